//! A target's program without libFuzzer.

use std::{env, fs, path::Path, process::ExitCode};

use crate::Check;

/// Runs a check over each file that the program is given. A check that does not hold panics, as under libFuzzer.
pub fn main(check: Check) -> ExitCode {
    let files: Vec<_> = env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: cargo run --bin TARGET -- FILE...\nReplays inputs of a fuzz target.");
        return ExitCode::from(2);
    }
    for file in files {
        let file = Path::new(&file);
        match fs::read(file) {
            Ok(input) => check(&input),
            Err(error) => {
                eprintln!("error: cannot read {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
        println!("ok {}", file.display());
    }
    ExitCode::SUCCESS
}
