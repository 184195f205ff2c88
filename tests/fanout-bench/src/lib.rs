//! What the fan-out costs, beside other people's: what the servers and the load have in common.
//!
//! `serve NAME` is a server of that name; `load` opens clients, hands the server events to send, checks what arrives,
//! and reads from `/proc` what the server used. `cargo xtask bench fanout` runs them. `encodings` is both at once, for
//! streams that are compressed: `cargo xtask bench compression` runs it.

#![cfg(target_os = "linux")]

pub mod machine;
pub mod partitions;
pub mod payload;
pub mod token;
