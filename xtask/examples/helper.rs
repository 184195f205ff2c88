//! What xtask's own tests start: a process that sleeps, one that has a child, and a `docker` that writes down what it
//! is asked. Unix's own tools would do, but the tests also run where there are none.

#![allow(clippy::unwrap_used)]

use std::{
    env,
    fs::File,
    io::Write,
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let program = Path::new(&args[0]);
    if program.file_stem().is_some_and(|name| name == "docker") {
        return docker(program.parent().unwrap(), &args[1..]);
    }
    match args.get(1).map(String::as_str) {
        // `helper sleep 61`
        Some("sleep") => thread::sleep(Duration::from_secs(args[2].parse().unwrap())),
        // `helper parent 61`: a child that sleeps; its id is told.
        Some("parent") => {
            let mut child = Command::new(program).args(["sleep", &args[2]]).spawn().unwrap();
            println!("{}", child.id());
            child.wait().unwrap();
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// Its folder says what runs, and is told what was asked.
fn docker(folder: &Path, asked: &[String]) -> ExitCode {
    let mut file = File::options().create(true).append(true).open(folder.join("asked")).unwrap();
    writeln!(file, "{}", asked.join(" ")).unwrap();
    let running = std::fs::read_to_string(folder.join("running")).unwrap();
    let is = |word: &str| asked.iter().any(|arg| arg == word);
    if is("ps") {
        print!("{running}");
    }
    if running == "fail" && is("up") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
