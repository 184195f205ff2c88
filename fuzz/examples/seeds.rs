//! Writes the seeds: `cargo run --example seeds -- FOLDER` makes `FOLDER/TARGET/` of them, in place of what was there.

use std::{env, fs, io, path::PathBuf};

use tidewater_fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: cargo run --example seeds -- FOLDER");
        std::process::exit(2);
    };
    for (target, _) in TARGETS {
        let folder = folder.join(target);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for (at, seed) in seeds::of(target)?.into_iter().enumerate() {
            fs::write(folder.join(format!("{at:03}")), seed)?;
        }
    }
    Ok(())
}
