//! What `tidewater serve` is made of.

mod kind;

pub(crate) use kind::ServerKind;
