//! A Kafka of a test's own, which may be killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A broker that `cargo xtask services` runs in a folder of its own. It ends with this, and with this program.
pub struct OwnKafka {
    pub broker: String,
    data: tempfile::TempDir,
    /// Stops the broker when its standard input ends.
    holder: Child,
}

impl OwnKafka {
    pub fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = services(&data, "up");
        let mut holder =
            command.arg("--hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("xtask");
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
        let broker = lines.find_map(|line| address(&line)).expect("where Kafka is");
        // Until it is said that all is up.
        lines.take_while(|line| !line.starts_with('#')).for_each(drop);
        Self { broker, data, holder }
    }

    /// With SIGKILL.
    pub fn kill(&self) {
        assert!(services(&self.data, "kill").status().unwrap().success());
    }

    /// On the same port and with the same data; returns when it answers.
    pub fn restart(&self) {
        let output = services(&self.data, "up").output().unwrap();
        let exports = String::from_utf8(output.stdout).unwrap();
        assert_eq!(exports.lines().find_map(address).as_ref(), Some(&self.broker), "{exports}");
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}

fn services(data: &tempfile::TempDir, action: &str) -> Command {
    let xtask = std::env::var_os("TIDEWATER_XTASK").expect("TIDEWATER_XTASK: run cargo xtask test");
    let mut command = Command::new(xtask);
    command.args(["services", "--dir"]).arg(data.path()).args([action, "kafka"]);
    command
}

fn address(line: &str) -> Option<String> {
    line.strip_prefix("export TIDEWATER_TEST_KAFKA=").map(str::to_owned)
}
