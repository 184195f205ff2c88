//! The brokers of `compose.yaml`, for `cargo xtask test --docker`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    needs::{Need, State},
    process,
    services::Name,
    workspace,
};

/// Where `compose.yaml` publishes them.
const KAFKA: &str = "127.0.0.1:9092";
const NATS: &str = "nats://127.0.0.1:4222";

/// docker's client, if it is here.
pub(crate) fn client() -> Option<PathBuf> {
    process::find("docker")
}

/// Its row of the table. Only `--docker` needs it.
pub(crate) fn need(wanted: bool) -> Need {
    let state = match client() {
        Some(docker) if wanted => match works(&docker) {
            Ok(()) => State::Found(docker.display().to_string()),
            Err(error) => State::unusable(format!("{error:#}")),
        },
        Some(docker) => {
            State::Unneeded(format!("{} is here: --docker takes the brokers from it", docker.display()))
        }
        None if wanted => State::missing("no docker", &["docker"]),
        None => State::Unneeded("not needed".into()),
    };
    Need::docker(state)
}

/// The client alone starts nothing: it takes compose, and an engine that runs.
fn works(docker: &Path) -> Result<()> {
    process::output(Command::new(docker).args(["compose", "version"]))
        .context("docker compose is not there: install its plugin")?;
    process::output(Command::new(docker).args(["info", "--format", "{{.ServerVersion}}"]))
        .context("docker's engine does not answer: start it")?;
    Ok(())
}

/// Brokers that compose runs; dropping it stops those that this run started.
#[derive(Debug)]
pub(crate) struct Compose {
    docker: PathBuf,
    /// None, if they ran before.
    started: Vec<Name>,
}

impl Compose {
    /// Makes these run and healthy.
    pub(crate) fn up(docker: PathBuf, names: &[Name]) -> Result<Self> {
        let mut compose = Self { docker, started: Vec::new() };
        let running = compose.output(&["ps", "--services", "--status", "running"], &[])?;
        let lacking: Vec<Name> = names
            .iter()
            .copied()
            .filter(|name| !running.lines().any(|line| line.trim() == service(*name)))
            .collect();
        if !lacking.is_empty() {
            eprintln!("docker: starting the brokers of compose.yaml");
            // Registered first: what is half up when this fails is stopped too.
            compose.started.clone_from(&lacking);
            process::run(&mut compose.command(&["up", "--detach", "--wait"], &lacking))
                .context("starting the brokers of compose.yaml")?;
        }
        Ok(compose)
    }

    /// The variable that tells the tests where a broker is.
    pub(crate) fn export(name: Name) -> (&'static str, String) {
        match name {
            Name::Kafka => ("TIDEWATER_TEST_KAFKA", KAFKA.to_owned()),
            Name::Nats => ("TIDEWATER_TEST_NATS", NATS.to_owned()),
        }
    }

    fn output(&self, action: &[&str], names: &[Name]) -> Result<String> {
        process::output(&mut self.command(action, names)).context("asking docker compose")
    }

    fn command(&self, action: &[&str], names: &[Name]) -> Command {
        let mut command = Command::new(&self.docker);
        command.args(["compose", "--file"]).arg(workspace::root().join("compose.yaml")).args(action);
        command.args(names.iter().map(|name| service(*name)));
        command
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if self.started.is_empty() {
            return;
        }
        let down = process::run(&mut self.command(&["rm", "--stop", "--force", "--volumes"], &self.started));
        if let Err(error) = down {
            eprintln!("error: {error:#}");
        }
    }
}

/// Its name in `compose.yaml`.
fn service(name: Name) -> &'static str {
    match name {
        Name::Kafka => "kafka",
        Name::Nats => "nats",
    }
}

/// Takes docker's client, or says what is missing.
pub(crate) fn required() -> Result<PathBuf> {
    let Some(docker) = client() else { bail!("--docker: there is no docker on PATH") };
    works(&docker).context("--docker")?;
    Ok(docker)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::process::tests::Helper;

    /// What the helper, as `docker`, was asked while `act` ran. `running` stands in its list of services.
    fn asked(running: &str, act: impl FnOnce(PathBuf)) -> Vec<String> {
        let helper = Helper::named("docker");
        fs::write(helper.folder().join("running"), running).unwrap();
        act(helper.program());
        let asked = fs::read_to_string(helper.folder().join("asked")).unwrap();
        let file = workspace::root().join("compose.yaml").display().to_string();
        asked.lines().map(|line| line.replace(&file, "FILE")).collect()
    }

    #[test]
    fn brokers_come_up_and_are_taken_down() {
        let asked = asked("", |docker| {
            works(&docker).unwrap();
            drop(Compose::up(docker, &[Name::Kafka, Name::Nats]).unwrap());
        });
        assert_eq!(
            asked,
            [
                "compose version",
                "info --format {{.ServerVersion}}",
                "compose --file FILE ps --services --status running",
                "compose --file FILE up --detach --wait kafka nats",
                "compose --file FILE rm --stop --force --volumes kafka nats",
            ]
        );
    }

    #[test]
    fn what_runs_already_stays() {
        let asked = asked("nats\n", |docker| drop(Compose::up(docker, &[Name::Kafka, Name::Nats]).unwrap()));
        assert_eq!(
            asked[1..],
            [
                "compose --file FILE up --detach --wait kafka",
                "compose --file FILE rm --stop --force --volumes kafka"
            ]
        );
    }

    #[test]
    fn a_broker_that_does_not_come_up_is_an_error_and_is_taken_down() {
        let asked = asked("fail", |docker| {
            let error = Compose::up(docker, &[Name::Nats]).unwrap_err();
            assert!(format!("{error:#}").contains("compose.yaml"), "{error:#}");
        });
        assert!(asked.last().unwrap().ends_with("rm --stop --force --volumes nats"), "{asked:?}");
    }

    /// The file is what the code above takes it for: its services, ports and health checks (`--wait` waits for those).
    #[test]
    fn the_compose_file_has_these_services() {
        let text = fs::read_to_string(workspace::root().join("compose.yaml")).unwrap();
        for name in Name::ALL {
            let (_, address) = Compose::export(name);
            let port = address.rsplit(':').next().unwrap();
            assert!(text.contains(&format!("\n  {}:\n", service(name))), "{name:?}");
            assert!(text.contains(&format!("\"127.0.0.1:{port}:{port}\"")), "{name:?}");
        }
        assert_eq!(text.matches("healthcheck:").count(), 2);
    }
}
