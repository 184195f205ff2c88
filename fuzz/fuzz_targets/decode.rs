//! The decoder against the standard's text, read line by line. See `tidewater_fuzz::decode`.

#![cfg_attr(fuzzing, no_main)]

tidewater_fuzz::target!(decode);
