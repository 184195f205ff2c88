//! Whom a client is taken for. See `tidewater_fuzz::forwarded`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(forwarded);
