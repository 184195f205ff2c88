//! What is encoded is read back. See `tidewater_fuzz::encode`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(encode);
