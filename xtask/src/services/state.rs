//! What runs: `target/services/state.json`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Name;
use crate::process;

/// Both brokers, as far as they were started.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) kafka: Option<Service>,
    pub(crate) nats: Option<Service>,
}

impl State {
    /// Reads the state; no file means that nothing runs.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let file = dir.join("state.json");
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            format!("{} is not readable: delete it (and stop brokers that still run)", file.display())
        })
    }

    /// The place of one broker.
    pub(super) fn of(&mut self, name: Name) -> &mut Option<Service> {
        match name {
            Name::Kafka => &mut self.kafka,
            Name::Nats => &mut self.nats,
        }
    }

    /// Writes the state, whole or not at all.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let (file, new) = (dir.join("state.json"), dir.join("state.json.new"));
        fs::write(&new, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&new, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// One broker that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) pid: u32,
    pub(crate) port: u16,
    /// What it listens on besides, by name.
    #[serde(default)]
    pub(crate) listeners: Vec<(String, u16)>,
    pub(crate) version: String,
    /// The binary or the distribution's folder.
    pub(crate) from: PathBuf,
    pub(crate) log: PathBuf,
    /// The configuration file: it stands in the process's command line and proves that a pid is ours.
    pub(crate) config: PathBuf,
}

impl Service {
    /// Whether the process is alive.
    pub(crate) fn is_running(&self) -> bool {
        process::is_ours(self.pid, &self.config.to_string_lossy())
    }

    /// Ends the process; says whether there was one. Data need not survive, so patience is short.
    pub(crate) fn stop(&self) -> Result<bool> {
        process::stop(self.pid, &self.config.to_string_lossy(), Duration::from_secs(3))
    }

    /// Ends the process as a power cut would; says whether there was one.
    pub(crate) fn kill(&self) -> Result<bool> {
        process::kill(self.pid, &self.config.to_string_lossy())
    }
}

/// Waits for other runs of xtask that hold the same lock. Held until the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another `cargo xtask` that holds {}", path.display());
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_tells_a_foreign_pid_apart() {
        let dir = std::env::temp_dir().join(format!("xtask-state-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let service = Service {
            pid: std::process::id(),
            port: 1,
            listeners: Vec::new(),
            version: "1.0".into(),
            from: "/from".into(),
            log: "/log".into(),
            config: "/no/such/config/in/our/command/line".into(),
        };
        State { kafka: None, nats: Some(service) }.save(&dir).unwrap();
        let nats = State::load(&dir).unwrap().nats.unwrap();
        assert_eq!(nats.port, 1);
        assert!(!nats.is_running(), "a pid that belongs to somebody else is not our broker");
        assert!(!nats.stop().unwrap(), "and is left alone");
        fs::remove_dir_all(dir).unwrap();
    }
}
