//! NATS subjects and JetStream streams as Tidewater sources and sinks
