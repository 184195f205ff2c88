//! What stands between the fallback and a socket.

mod begun;
mod patient;

pub(crate) use begun::Begun;
pub(crate) use patient::Patient;
