//! What the fuzz targets check: `cargo xtask fuzz` runs them with libFuzzer.
//!
//! | target | input | holds |
//! |---|---|---|
//! | [`decode`] | a stream | the decoder says what the standard's text says, read line by line ([`literal`]) |
//! | [`split`] | limits, two feedings, a stream | however a stream is cut and fed, the same comes out; memory is bounded |
//! | [`encode`] | a feeding, frames | what is encoded is read back, and nothing else; what cannot be framed is refused |
//! | [`head`] | what a connection begins with | a head is taken for a direct stream's only where it can be read in one way |
//! | [`forwarded`] | how proxies write, what a client sent | a client behind proxies is nobody but itself, whatever it writes |
//! | [`cursor`] | a text | a cursor has one text, and reads back from it |
//!
//! Each check is a plain function over bytes that panics if it does not hold. So an input is replayed without libFuzzer
//! and on stable, by `cargo run --bin decode -- FILE` in this folder; and `cargo test` runs the checks over the seeds
//! and over `regressions/TARGET/`: inputs that found a fault, be it one that was made to see whether a check finds it.
//!
//! Seeds are written by a program ([`seeds`], `cargo run --example seeds`) and not kept: they are the vectors of
//! `tests/vectors` in other clothes, and a copy would miss what is added there.

pub mod cursor;
pub mod decode;
pub mod encode;
pub mod feeding;
pub mod forwarded;
pub mod head;
pub mod literal;
pub mod reading;
pub mod replay;
pub mod seeds;
pub mod split;
pub mod vectors;

/// A check, over an input of any kind. Panics if it does not hold.
pub type Check = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Check); 6] = [
    ("decode", decode::check),
    ("split", split::check),
    ("encode", encode::check),
    ("cursor", cursor::check),
    ("head", head::check),
    ("forwarded", forwarded::check),
];

/// The program of a target: libFuzzer's under `cargo fuzz`, else one that replays the files that it is given.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name::check(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::replay::main($crate::$name::check)
        }
    };
}
