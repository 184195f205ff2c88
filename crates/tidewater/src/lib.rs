//! Broker topics to browsers: Kafka and NATS into Server-Sent Events through warp, rocket and salvo
