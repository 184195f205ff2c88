//! A contender that runs, and the load on it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{contender::Contender, measured::Measured, nchan, workload::Load};
use crate::{
    group::{self, Group},
    net,
};

/// The cores of the load and of the server, where there are two.
const LOAD_CORE: &str = "0";
const SERVER_CORE: usize = 1;

/// Where the programs are, and where what they write goes.
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    pub(super) logs: PathBuf,
}

/// A server that runs; dropping it ends it.
pub(super) struct Server {
    _group: Group,
    pid: u32,
    contender: Contender,
    address: SocketAddr,
    /// `None` where events are posted to the server itself.
    control: Option<SocketAddr>,
}

impl Programs {
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command.stdin(Stdio::null());
        command
    }

    fn log(&self, name: &str) -> Result<File> {
        let log = self.logs.join(name).with_extension("log");
        File::create(&log).with_context(|| log.display().to_string())
    }
}

impl Server {
    pub(super) fn start(programs: &Programs, contender: Contender, load: &Load) -> Result<Self> {
        let [port, control] = net::free_ports(&programs.logs.join(contender.argument()))?;
        let (address, control) = (net::loopback(port), net::loopback(control));
        let log = programs.log(contender.argument())?;
        if contender == Contender::Nchan {
            let (group, pid) = nchan::start(&programs.logs, address, SERVER_CORE, log)?;
            return Ok(Self { _group: group, pid, contender, address, control: None });
        }
        let mut command = programs.program("serve");
        command.args([contender.argument(), "--listen", &address.to_string()]);
        command.args(["--control", &control.to_string(), "--core", &SERVER_CORE.to_string()]);
        if load.partitions {
            command.args(["--partitions", &load.keys.to_string()]);
        }
        let group = Group::spawn(command.stdout(log.try_clone()?).stderr(log))?;
        Ok(Self { pid: group.id(), _group: group, contender, address, control: Some(control) })
    }

    /// The load as it is to be run on this server.
    fn load(&self, programs: &Programs, load: &Load) -> Command {
        let mut command = programs.program("load");
        command.args(["--address", &self.address.to_string(), "--pid", &self.pid.to_string()]);
        command.args(["--core", LOAD_CORE]);
        command.args(["--clients", &load.clients.to_string(), "--events", &load.events.to_string()]);
        match load.rate {
            Some(rate) => command.args(["--rate", &rate.to_string()]),
            None => command.args(["--window", &load.window.to_string()]),
        };
        command.args(["--keys", &load.keys.to_string(), "--stalled", &load.stalled.to_string()]);
        if self.contender == Contender::DirectTokens {
            command.arg("--tokens");
        }
        if load.select {
            command.arg("--select");
        }
        command
    }

    /// Puts the load on it, which hands it the events.
    pub(super) fn measure(&self, programs: &Programs, load: &Load) -> Result<Measured> {
        let mut command = self.load(programs, load);
        match self.control {
            Some(control) => command.args(["--control", &control.to_string()]),
            None => command.args(["--post", nchan::PUBLISH]),
        };
        read(programs, &mut command)
    }
}

/// Runs the load and reads what it tells.
pub(super) fn read(programs: &Programs, command: &mut Command) -> Result<Measured> {
    let out = programs.logs.join("load.json");
    let errors = programs.log("load")?;
    let file = File::create(&out).with_context(|| out.display().to_string())?;
    let status = Group::spawn(command.stdout(file).stderr(errors))?.wait()?;
    group::check_interrupted()?;
    ensure!(status.success(), "the load: {}", last_words(&programs.logs.join("load.log")));
    let text = fs::read_to_string(&out)?;
    serde_json::from_str(&text).with_context(|| format!("what the load told: {text}"))
}

/// The first lines of what a program complained of.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().take_while(|line| !line.starts_with("Stack")).collect::<Vec<_>>().join(" ")
}
