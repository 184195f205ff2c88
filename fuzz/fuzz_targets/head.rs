//! Whose a request's head is. See `tidewater_fuzz::head`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(head);
