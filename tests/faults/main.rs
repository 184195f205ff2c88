//! Faults on real brokers, under load: nothing is lost, nothing comes twice or out of order, and a gap is told where the
//! broker has something no longer, and nowhere else (I1, I2, I6, I10). `docs/reliability.md` says what each does.
//!
//! The oracle is the broker, read back by another client. `cargo xtask test` plays each fault once;
//! `cargo xtask faults --rounds 10` ten times, and looks at what the gateway holds from round to round.

#![allow(clippy::unwrap_used, missing_docs)]

mod books;
mod brokers;
mod clients;
mod crowd;
mod gateway;
mod history;
mod leaks;
mod load;
mod mock;
mod payloads;
mod pipe;
mod proxy;
mod readback;
mod report;
mod stage;
mod truth;
