//! The commands: one file each, with its arguments and its examples.

pub(crate) mod check;
pub(crate) mod cursor;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod health;
pub(crate) mod pipe;
pub(crate) mod plugins;
pub(crate) mod serve;
pub(crate) mod tail;
#[cfg(feature = "authorization")]
pub(crate) mod token;
