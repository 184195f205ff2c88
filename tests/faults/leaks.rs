//! What a gateway holds, from `/proc`: descriptors, threads, memory, and the sockets of its clients.

use std::{collections::HashSet, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tidewater_tests::{Gateway, eventually, http};
use tokio::time::sleep;

/// What a gateway holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Resident, in KiB.
    pub(crate) memory: u64,
    /// Of that, what its channels keep for clients that come back, in KiB as they count it.
    pub(crate) log: u64,
    /// Connections that clients have, as the kernel sees it.
    pub(crate) connections: usize,
    /// Streams that are served, as the channels see it.
    pub(crate) streams: u64,
}

impl Held {
    /// What it holds now.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) async fn of(gateway: &Gateway) -> Result<Self> {
        let pid = gateway.id().context("the gateway does not run")?;
        let mut held = Self::of_process(pid, gateway.address().port())?;
        let told = http::get(gateway.address(), "/channels").await?.json()?;
        for channel in told["channels"].as_array().into_iter().flatten() {
            held.streams += channel["clients"].as_u64().context("no clients")?;
            held.log += channel["log"]["bytes"].as_u64().context("no log")? >> 10;
        }
        Ok(held)
    }

    /// What it holds when all its clients have gone: nothing of them.
    ///
    /// # Errors
    /// If it still does after a while.
    pub(crate) async fn after_clients(gateway: &Gateway) -> Result<Self> {
        eventually("the gateway to let go of its clients", || async {
            let held = Self::of(gateway).await?;
            ensure!(held.connections == 0 && held.streams == 0, "it holds {held:?}");
            Ok(())
        })
        .await?;
        // Some were just being closed while that was looked at.
        sleep(Duration::from_millis(200)).await;
        Self::of(gateway).await
    }

    fn of_process(pid: u32, port: u16) -> Result<Self> {
        ensure!(cfg!(target_os = "linux"), "what a process holds is read from /proc, which only Linux has");
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let links: Vec<_> = fs::read_dir(folder.join("fd"))?.flatten().collect();
        // One that was closed meanwhile can't be read any more.
        let targets = links.iter().filter_map(|link| fs::read_link(link.path()).ok());
        let targets: HashSet<String> = targets.map(|path| path.to_string_lossy().into_owned()).collect();
        let status = fs::read_to_string(folder.join("status"))?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).with_context(|| format!("no {name} in {status}"))
        };
        let sockets = fs::read_to_string(folder.join("net/tcp"))?;
        let connections = sockets.lines().filter(|line| is_connection(line, port, &targets)).count();
        Ok(Self {
            descriptors: links.len(),
            threads: usize::try_from(number("Threads:")?)?,
            memory: number("VmRSS:")?,
            connections,
            ..Self::default()
        })
    }
}

/// Lets this process, and the gateways that it starts, each have the descriptors that so many connections take.
///
/// # Errors
/// If the system allows too few.
pub(crate) fn allow_descriptors(connections: usize) -> Result<()> {
    /// For all else: files, brokers, and connections that come while the old ones are still being closed.
    const OTHERS: u64 = 2_048;
    let wanted = connections as u64 + OTHERS;
    let mut limit = getrlimit(Resource::Nofile);
    if let Some(maximum) = limit.maximum {
        ensure!(
            maximum >= wanted,
            "{connections} clients take {wanted} descriptors, and the system allows {maximum}: raise the hard limit \
             (`ulimit -Hn`; with systemd LimitNOFILE=)"
        );
    }
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).context("the limit of descriptors can't be raised")?;
    }
    Ok(())
}

/// A line of `/proc/PID/net/tcp`: a socket at this port that the process has, and that does not listen.
fn is_connection(line: &str, port: u16, targets: &HashSet<String>) -> bool {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return false };
    local.ends_with(&format!(":{port:04X}"))
        && state != LISTEN
        && targets.contains(&format!("socket:[{inode}]"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_that_is_kept_is_seen() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let held = || Held::of_process(std::process::id(), port);
        assert_eq!(held()?.connections, 0, "a listener is none");
        let client = TcpStream::connect(("127.0.0.1", port))?;
        let kept = listener.accept()?.0;
        assert_eq!(held()?.connections, 1);
        assert!(held()?.descriptors > 3 && held()?.threads > 1 && held()?.memory > 0);
        drop(client);
        assert_eq!(held()?.connections, 1, "half of it is still there");
        drop(kept);
        assert_eq!(held()?.connections, 0);
        Ok(())
    }
}
