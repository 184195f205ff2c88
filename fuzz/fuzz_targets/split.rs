//! The same bytes in two cuts. See `tidewater_fuzz::split`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(split);
