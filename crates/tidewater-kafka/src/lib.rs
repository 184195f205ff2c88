//! Apache Kafka as a Tidewater source and sink
