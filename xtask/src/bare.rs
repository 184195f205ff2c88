//! `cargo xtask bare`: what a newcomer meets whose machine has Rust and the linker that it needs, and nothing else.
//!
//! The same commands with an empty environment and a PATH of a few links: `demo` brings events, `test` ends well and
//! says what it has not run, `test --require all` refuses. The target folder is the one that is there already.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    group::{self, Group},
    net, process, workspace,
};

/// Rust, and what it links with. `cc` finds its own parts by itself, and `ld` on PATH.
const PROGRAMS: [&str; 5] = ["cargo", "rustc", "rustdoc", "cc", "ld"];

/// The demo is built if need be.
const LIMIT: Duration = Duration::from_secs(900);

/// Runs `cargo xtask bare`.
pub(crate) fn run() -> Result<ExitCode> {
    group::catch_interrupts()?;
    let bare = Bare::make()?;
    for (name, check) in [
        ("doctor tells what is missing", Bare::doctor as fn(&Bare) -> Result<String>),
        ("demo brings events", Bare::demo),
        ("test --require all refuses", Bare::refuses),
        ("test runs what it can", Bare::tests),
    ] {
        let start = Instant::now();
        match check(&bare) {
            Ok(said) => println!("ok   {name}: {said} ({} s)", start.elapsed().as_secs()),
            Err(error) => {
                group::check_interrupted()?;
                println!("FAIL {name}: {error:#}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A PATH with nothing but links to [`PROGRAMS`]; dropping it removes the folder.
struct Bare {
    path: PathBuf,
}

impl Bare {
    fn make() -> Result<Self> {
        let path = workspace::target().join("xtask").join("bare").join(std::process::id().to_string());
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let bare = Self { path };
        for name in PROGRAMS {
            match process::find(name) {
                Some(program) => link(&program, &bare.path.join(name))?,
                // Some linkers have no `ld`.
                None if name == "ld" => {}
                None => bail!("{name} is not on PATH"),
            }
        }
        Ok(bare)
    }

    /// `cargo xtask …` there. Of the environment only where Rust keeps itself is left.
    fn xtask(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path.join("cargo"));
        command.current_dir(workspace::root()).env_clear().env("PATH", &self.path).stdin(Stdio::null());
        for name in
            ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS"]
        {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command.arg("xtask").args(args);
        command
    }

    fn doctor(&self) -> Result<String> {
        let table = process::output(&mut self.xtask(&["doctor"]))?;
        let downloads = workspace::target().join("services").display().to_string();
        let missing = table.lines().filter(|line| line.contains(" MISSING ")).count();
        for name in
            ["make", "Java 17", "Kafka", "nats-server", "Chromium", "Firefox", "npm", "nginx", "HAProxy"]
        {
            let row = table.lines().find(|line| line.trim_start().starts_with(name));
            // A download of an earlier run is there for a newcomer's second run, too.
            ensure!(
                row.is_some_and(|row| row.contains("MISSING") || row.contains(&downloads)),
                "{name} is not told as missing:\n{table}"
            );
        }
        ensure!(table.contains("install: "), "no command:\n{table}");
        Ok(format!("{missing} things, each with what to do"))
    }

    fn demo(&self) -> Result<String> {
        let port = net::next_free_port(18_080)?;
        let mut demo =
            Group::spawn(self.xtask(&["demo", "--port", &port.to_string()]).stdout(Stdio::null()))?;
        let url = format!("http://127.0.0.1:{port}");
        let agent = |limit| -> ureq::Agent {
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(limit))).build().into()
        };
        let ready = || agent(5).get(&url).call().map(drop).map_err(Into::into);
        net::wait_for("the demo", LIMIT, || demo.is_running(), ready)?;
        let stream =
            agent(60).get(format!("{url}/channels/demo")).header("accept", "text/event-stream").call()?;
        let lines = BufReader::new(stream.into_body().into_reader()).lines();
        for line in lines {
            if line?.starts_with("event: load") {
                return Ok("the page, and its load as an event".to_owned());
            }
        }
        bail!("the stream of {url}/channels/demo ended without an event of the feed")
    }

    fn refuses(&self) -> Result<String> {
        let output = self.xtask(&["test", "--require", "all"]).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(3), "{}, and it wrote:\n{told}", output.status);
        let line = told.lines().find(|line| line.starts_with("error: required and not here: "));
        Ok(format!("exit code 3, {} characters of why", line.context("no reason")?.len()))
    }

    fn tests(&self) -> Result<String> {
        // What they write is shown when they fail alone: its last line must not be taken for that of a whole run.
        let log = self.path.with_extension("log");
        let file = fs::File::create(&log)?;
        let mut command = self.xtask(&["test"]);
        command.stdout(file.try_clone()?).stderr(file);
        let status = Group::spawn(&mut command)?.wait()?;
        let wrote = fs::read_to_string(&log)?;
        ensure!(status.success(), "{status}; it wrote:\n{wrote}");
        let mut last = wrote.lines().rev();
        let verdict = last.next().unwrap_or_default();
        let partial = last.next().unwrap_or_default();
        ensure!(verdict.contains(" passed, 0 failed"), "{verdict}");
        for word in [
            "PARTIAL. Not run: kafka (",
            "nats (",
            "chromium (",
            "firefox (",
            "npm (",
            "nginx (",
            "install: ",
        ] {
            ensure!(partial.contains(word), "no {word:?} in: {partial}");
        }
        fs::remove_file(log)?;
        Ok(format!("exit code 0, PARTIAL, {verdict}"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot delete {}: {error}", self.path.display());
        }
    }
}

#[cfg(unix)]
fn link(program: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(program, to).with_context(|| format!("cannot link {}", to.display()))
}

#[cfg(not(unix))]
fn link(program: &Path, _to: &Path) -> Result<()> {
    bail!("a PATH of links to {} and the like is not made on this system", program.display())
}
