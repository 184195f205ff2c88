//! Where the harness comes from: named, or built by Go.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    group::{self, Group},
    needs::{Fix, Need, State},
    process, workspace,
};

/// Names a folder of its sources, or a binary.
pub(super) const VARIABLE: &str = "TIDEWATER_SSE_CONTRACT_TESTS";

const MODULE: &str = "github.com/launchdarkly/sse-contract-tests";
/// By commit, not by version: its tags are v2 and its module's path has no /v2, so that Go finds none of them.
const COMMIT: &str = "81fc820";
const PROGRAM: &str = "sse-contract-tests";

/// How long Go's proxy may take to say whether it has the module, and how long fetching and building may take then.
const ASKING: Duration = Duration::from_secs(20);
const BUILDING: Duration = Duration::from_secs(240);
/// For so long nobody asks again but whom somebody waits for.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether what failed to be had today is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    Tomorrow,
}

/// Finds the harness, or builds it. Answers with its binary.
pub(super) fn provide(named: Option<&Path>, again: Again) -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let Some(named) = named else { return install(&folder, again) };
    let named = named.canonicalize().with_context(|| format!("{} is not there: {HOW}", named.display()))?;
    if named.is_file() {
        return Ok(named);
    }
    ensure!(named.join("go.mod").is_file(), "{} is no folder of Go sources: {HOW}", named.display());
    let go = go()?;
    let binary = folder.join(PROGRAM);
    eprintln!("Building {}", named.display());
    let mut build = Command::new(go);
    // Not stamped with a version: the folder may be a part of another repository, or may not be writable.
    build.args(["build", "-buildvcs=false", "-o"]).arg(&binary).arg(".").current_dir(&named);
    within(&mut build, BUILDING, &folder)?;
    Ok(binary)
}

/// What the table says about it. Quick, and nothing that CI would insist on.
pub(crate) fn need() -> Need {
    let named = std::env::var_os(VARIABLE).filter(|named| !named.is_empty());
    let folder = folder();
    let installed = installed(&folder);
    let missing = |why: &str| State::Missing {
        why: why.to_owned(),
        detail: String::new(),
        fix: Fix::Words(HOW.into()),
    };
    let state = if let Some(named) = named {
        State::Found(PathBuf::from(named).display().to_string())
    } else if installed.is_file() {
        State::Found(installed.display().to_string())
    } else if remembered(&folder).is_some() {
        missing("not to be had today")
    } else if process::find("go").is_some() {
        State::Obtainable(format!("go install {MODULE}@{COMMIT}"))
    } else {
        missing("no Go to build it")
    };
    Need::optional("SSE harness", state)
}

const HOW: &str = "set TIDEWATER_SSE_CONTRACT_TESTS (or --harness) to a clone of \
                   https://github.com/launchdarkly/sse-contract-tests, or to its binary";

fn folder() -> PathBuf {
    workspace::target().join("xtask").join("contract-tests")
}

fn installed(folder: &Path) -> PathBuf {
    folder.join(COMMIT).join(PROGRAM).with_extension(std::env::consts::EXE_EXTENSION)
}

fn install(folder: &Path, again: Again) -> Result<PathBuf> {
    let binary = installed(folder);
    if binary.is_file() {
        return Ok(binary);
    }
    let go = go()?;
    if again == Again::Tomorrow
        && let Some(why) = remembered(folder)
    {
        bail!("{why} (asked within a day; `cargo xtask contract-tests` asks again)");
    }
    let module = format!("{MODULE}@{COMMIT}");
    eprintln!("Building {module} with Go, once");
    let mut ask = Command::new(&go);
    ask.args(["list", "-m", &module]).current_dir(folder).env("GO111MODULE", "on");
    let mut build = Command::new(&go);
    build.args(["install", &module]).env("GOBIN", folder.join(COMMIT)).current_dir(folder);
    let outcome = within(&mut ask, ASKING, folder).and_then(|()| within(&mut build, BUILDING, folder));
    if let Err(error) = outcome {
        group::check_interrupted()?;
        let why = format!("Go can't get {module}: {error:#}. {HOW}");
        fs::write(memory(folder), &why)
            .with_context(|| format!("cannot write {}", memory(folder).display()))?;
        bail!(why);
    }
    ensure!(binary.is_file(), "`go install` brought no {}", binary.display());
    Ok(binary)
}

fn go() -> Result<PathBuf> {
    process::find("go").with_context(|| format!("there is no Go to build the harness: install it, or {HOW}"))
}

fn memory(folder: &Path) -> PathBuf {
    folder.join("unavailable")
}

/// Why Go could not get it, if that was tried within a day.
fn remembered(folder: &Path) -> Option<String> {
    let file = memory(folder);
    let age = file.metadata().ok()?.modified().ok()?.elapsed().ok()?;
    if age < REMEMBERED { fs::read_to_string(file).ok() } else { None }
}

/// Runs a command that may wait for a network, and not for longer than this. The error is what it said, on one line.
fn within(command: &mut Command, limit: Duration, folder: &Path) -> Result<()> {
    let log = folder.join("go.log");
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let shown = process::shown(command);
    let mut running = Group::spawn(command)?;
    let start = Instant::now();
    while running.is_running() {
        ensure!(start.elapsed() < limit, "`{shown}` does not end within {} s", limit.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
    let status = running.wait()?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(status.success(), "`{shown}` failed ({status}): {}", said.trim_end_matches('.'));
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::process::tests::Helper;

    #[test]
    fn what_does_not_end_is_ended_and_what_fails_says_why() {
        let helper = Helper::named("helper");
        let mut endless = Command::new(helper.program());
        let error =
            within(endless.args(["sleep", "81"]), Duration::from_millis(50), helper.folder()).unwrap_err();
        assert!(error.to_string().contains("does not end within"), "{error}");
        // This very program: where there is Rust alone, there is no other.
        let mut failing = Command::new(std::env::current_exe().unwrap());
        let error =
            within(failing.arg("--no-such-flag"), Duration::from_secs(20), helper.folder()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("failed (exit status: ") && said.contains("Unrecognized option"), "{said}");
    }

    #[test]
    fn a_failure_is_remembered() {
        let helper = Helper::named("helper");
        assert_eq!(remembered(helper.folder()), None);
        fs::write(memory(helper.folder()), "why").unwrap();
        assert_eq!(remembered(helper.folder()).as_deref(), Some("why"));
    }

    #[test]
    fn what_is_named_has_to_be_there() {
        let helper = Helper::named("harness");
        let program = helper.program();
        assert_eq!(provide(Some(&program), Again::Yes).unwrap(), program.canonicalize().unwrap());
        for (named, what) in
            [(helper.folder(), "no folder of Go sources"), (Path::new("/no/such"), "is not there")]
        {
            let error = provide(Some(named), Again::Yes).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(VARIABLE), "{error}");
        }
    }
}
