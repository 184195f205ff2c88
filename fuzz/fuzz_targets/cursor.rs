//! The text of cursors. See `tidewater_fuzz::cursor`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(cursor);
