//! Real brokers of a test's own: to be killed, restarted and broken as no shared one may be.

mod nats;

pub use nats::NatsServer;
