//! nginx with nchan, as Debian packages it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{apt, group::Group, process};

/// Where events are posted to.
pub(super) const PUBLISH: &str = "/publish";

const PACKAGES: &[&str] = &["nginx", "libnginx-mod-nchan"];
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Installs it where that can be done without asking; answers what is there.
///
/// # Errors
/// What is missing, and what to do.
pub(super) fn find() -> Result<String> {
    if program().is_none() || !Path::new(MODULE).exists() {
        ensure!(apt::usable(), "it is not installed: sudo apt-get install {}", PACKAGES.join(" "));
        apt::install(PACKAGES)?;
    }
    let program = program().context("no nginx on PATH, nor in /usr/sbin")?;
    ensure!(Path::new(MODULE).exists(), "{MODULE} is not there");
    let nginx = process::output(Command::new(program).arg("-v"))?;
    let nginx = nginx.trim().rsplit('/').next().unwrap_or_default().to_owned();
    let nchan = process::output(Command::new("dpkg-query").args([
        "--show",
        "--showformat=${Version}",
        "libnginx-mod-nchan",
    ]));
    Ok(format!("nginx {nginx}, nchan {}", nchan.as_deref().map_or("of unknown version", str::trim)))
}

fn program() -> Option<PathBuf> {
    process::find("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|file| file.exists()))
}

/// Starts it with one worker on this core; answers the worker's process too.
pub(super) fn start(folder: &Path, address: SocketAddr, core: usize, log: File) -> Result<(Group, u32)> {
    let folder = folder.join("nginx");
    fs::create_dir_all(&folder)?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(&folder, address, core))?;
    let mut command = Command::new(program().context("nginx")?);
    command.arg("-p").arg(&folder).arg("-c").arg(&config).stdin(Stdio::null());
    let mut group = Group::spawn(command.stdout(log.try_clone()?).stderr(log))?;
    let master = group.id();
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let children =
            fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        if let Some(worker) = children.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Ok((group, worker));
        }
        if !group.is_running() || Instant::now() > limit {
            bail!("nginx does not start: see {}", folder.with_file_name("nchan.log").display());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing that it can do without costs it anything: no access log, and room for every event of a run.
fn configuration(folder: &Path, address: SocketAddr, core: usize) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let affinity =
        if cores > 1 { format!("worker_cpu_affinity {:b};", 1_u64 << core) } else { String::new() };
    let folder = folder.display();
    format!(
        "load_module {MODULE};
daemon off;
worker_processes 1;
{affinity}
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 18000; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  nchan_shared_memory_size 256M;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address} backlog=4096;
    location = /events {{
      nchan_subscriber eventsource;
      nchan_channel_id events;
      nchan_subscriber_first_message newest;
      nchan_message_buffer_length 65536;
    }}
    location = {PUBLISH} {{
      nchan_publisher;
      nchan_channel_id events;
      nchan_message_buffer_length 65536;
      nchan_message_timeout 10m;
    }}
  }}
}}
"
    )
}
