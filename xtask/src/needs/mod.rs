//! What the tests need and where it is: the table at the head of `cargo xtask test`, and all of `cargo xtask doctor`.
//!
//! Looked for before anything is compiled but xtask itself, so that a newcomer is told within a second what will run.

mod browsers;
mod build;
mod npm;
mod plan;
mod system;
mod tools;

use std::{env, fmt, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args as ClapArgs;

pub(crate) use self::{
    browsers::{provide_geckodriver, versions as browser_versions},
    npm::provide as provide_npm,
    plan::{Part, Plan, Required},
    system::System,
};
use crate::{apt, contract_tests, docker, process, services};

/// Exit code of a run that lacks what `--require` names.
pub(crate) const LACKS: u8 = 3;

/// Arguments of `cargo xtask doctor`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Ends with exit code 3 if these cannot run here: all, or a list of kafka, nats, chromium, firefox, npm, nginx and haproxy.
    #[arg(long, value_name = "PARTS")]
    require: Option<Required>,
    /// The brokers are to come from docker (compose.yaml).
    #[arg(long)]
    docker: bool,
}

/// Runs `cargo xtask doctor`: the table alone.
pub(crate) fn doctor(args: &Args) -> Result<ExitCode> {
    let needs = probe(&Context::new(args.docker));
    for need in &needs {
        println!("{need}");
    }
    let plan = Plan::new(&needs);
    println!("\n{}", advice(&needs, &plan));
    let required = args.require.unwrap_or_default();
    Ok(match plan.unmet(required) {
        Some(unmet) => {
            eprintln!("error: required and not here: {unmet}");
            ExitCode::from(LACKS)
        }
        None => ExitCode::SUCCESS,
    })
}

/// What the table is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// The brokers that tests share come from docker.
    docker: bool,
    /// The broker that tests share is somebody else's.
    kafka_named: bool,
    nats_named: bool,
    /// Packages can be installed without asking anybody.
    obtains: bool,
}

impl Context {
    pub(crate) fn new(docker: bool) -> Self {
        let named = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            docker,
            kafka_named: named("TIDEWATER_TEST_KAFKA"),
            nats_named: named("TIDEWATER_TEST_NATS"),
            obtains: apt::usable(),
        }
    }

    /// The same, but what can be installed has been: the rest is missing.
    pub(crate) fn obtained(self) -> Self {
        Self { obtains: false, ..self }
    }
}

/// One thing that is needed.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    /// What it is for: shown where it is not here.
    purpose: &'static str,
    /// The parts of the tests that do not run without it.
    parts: Vec<Part>,
    /// Whether it is needed to build them already.
    builds: bool,
}

/// Where a needed thing is.
#[derive(Debug)]
pub(crate) enum State {
    /// It is here.
    Found(String),
    /// It is not here, but this run can get it; says how.
    Obtainable(String),
    /// It is neither here nor to be had.
    Missing {
        /// `no make`, or what is wrong with the one that is here.
        why: String,
        /// What the table says besides: what else would do, or why what is here does not.
        detail: String,
        fix: Fix,
    },
    /// It is not here, and nothing waits for it; says why.
    Unneeded(String),
}

/// What brings a missing thing.
#[derive(Debug)]
pub(crate) enum Fix {
    /// Packages, by Debian's names.
    Packages(&'static [&'static str]),
    /// In words.
    Words(String),
}

impl State {
    /// Missing; these packages bring it.
    pub(crate) fn missing(why: impl Into<String>, packages: &'static [&'static str]) -> Self {
        Self::Missing { why: why.into(), detail: String::new(), fix: Fix::Packages(packages) }
    }

    /// The same, with more for the table.
    pub(crate) fn missing_as(why: &str, detail: String, packages: &'static [&'static str]) -> Self {
        Self::Missing { why: why.to_owned(), detail, fix: Fix::Packages(packages) }
    }

    /// What is named or found here is of no use; `why` says what to do.
    pub(crate) fn unusable(why: impl Into<String>) -> Self {
        let why = why.into().lines().next().unwrap_or_default().to_owned();
        Self::Missing { why, detail: String::new(), fix: Fix::Words(String::new()) }
    }
}

impl Need {
    /// Of a broker's program.
    pub(crate) fn broker(name: &'static str, state: State) -> Self {
        Self { name, state, purpose: "", parts: Vec::new(), builds: false }
    }

    /// Of what is no need of any part: without it, something is said and nothing fails.
    pub(crate) fn optional(name: &'static str, state: State) -> Self {
        Self { name, state, purpose: "", parts: Vec::new(), builds: false }
    }

    /// What the brokers that tests share run in, if that is asked for.
    pub(crate) fn docker(state: State) -> Self {
        let parts = vec![Part::Kafka, Part::Nats];
        Self { name: "docker", state, purpose: "compose.yaml's brokers run in it", parts, builds: false }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.state {
            State::Found(text) => ("found", text.clone()),
            State::Obtainable(text) => ("to get", text.clone()),
            State::Missing { why, detail, fix } => {
                let more = if detail.is_empty() { self.purpose } else { detail };
                let more = if more.is_empty() { String::new() } else { format!(" ({more})") };
                ("MISSING", format!("{why}{more}{fix}"))
            }
            State::Unneeded(text) => ("-", text.clone()),
        };
        write!(f, "  {:<13} {word:<8} {text}", self.name)
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(packages) => write!(f, "; install: {}", System::here().install(packages)),
            Self::Words(words) if words.is_empty() => Ok(()),
            Self::Words(words) => write!(f, "; {words}"),
        }
    }
}

/// Looks for everything that the tests need. Quick: starts no build and no download.
pub(crate) fn probe(context: &Context) -> Vec<Need> {
    let mut needs = build::needs(context.obtains);
    let mut java = Vec::new();
    let mut nats = vec![Part::OwnNats];
    if !context.kafka_named && !context.docker {
        java.push(Part::Kafka);
    }
    if !context.nats_named && !context.docker {
        nats.push(Part::Nats);
    }
    java.push(Part::OwnKafka);
    for mut need in services::needs(context.obtains) {
        (need.parts, need.purpose) = match need.name {
            "nats-server" => (nats.clone(), ""),
            "Go" => (Vec::new(), "it builds nats-server"),
            _ => (java.clone(), "Kafka runs in it"),
        };
        needs.push(need);
    }
    needs.extend(tools::needs(context.obtains));
    needs.push(contract_tests::need());
    needs.push(docker::need(context.docker));
    needs
}

/// The C++ compiler, for those who need it for something else than the tests.
pub(crate) fn cxx_compiler() -> State {
    build::cxx_compiler(false)
}

/// Installs the packages that the table promised to get.
pub(crate) fn obtain_packages(context: &Context) -> Result<()> {
    if !context.obtains {
        return Ok(());
    }
    let mut packages = tools::lacking();
    packages.extend(build::lacking());
    packages.extend(services::lacking_packages());
    if packages.is_empty() { Ok(()) } else { apt::install(&packages) }
}

/// What the tests are told of programs that are here: a variable for each.
pub(crate) fn exports() -> impl Iterator<Item = (&'static str, PathBuf)> {
    tools::exports()
}

/// What stands below the table: what will not run, and the one command that changes it.
pub(crate) fn advice(needs: &[Need], plan: &Plan) -> String {
    let Some(partial) = plan.partial() else { return "Everything can run here.".to_owned() };
    let mut packages: Vec<&str> = Vec::new();
    for need in needs.iter().filter(|need| !need.parts.is_empty()) {
        if let State::Missing { fix: Fix::Packages(names), .. } = &need.state {
            packages
                .extend(names.iter().filter(|name| !packages.contains(*name)).copied().collect::<Vec<_>>());
        }
    }
    let mut text = format!("Will not run: {partial}");
    if !packages.is_empty() {
        text.push_str(&format!("\nAll that is missing: {}", System::here().install(&packages)));
    }
    if docker::client().is_some() && (!plan.runs(Part::Kafka) || !plan.runs(Part::Nats)) {
        text.push_str("\nThe brokers alone can come from docker: --docker");
    }
    text
}

/// A program's place on PATH, by the first of its names that is there.
fn first(programs: &[&str]) -> Option<PathBuf> {
    programs.iter().find_map(|program| process::find(program))
}

/// The file that a variable names.
fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from).filter(|file| file.is_file())
}
