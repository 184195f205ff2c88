//! nats-server with JetStream: found, built or installed; configured; started; asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    PATIENCE, Place, nats_wire,
    state::{self, Service},
};
use crate::{
    apt,
    needs::{Need, State as Found},
    net, process,
};

/// Built when no nats-server is found. 2.12 is the oldest that the tests are written for.
const MODULE: &str = "github.com/nats-io/nats-server/v2";
const VERSION: &str = "v2.15.2";

/// A stream that is always there. With an account's last stream the server (2.15) removes the folder of them all, and
/// another that is made in the same moment fails: tests that run side by side make and delete theirs all the time.
const KEEPER: &str = "tidewater-keeper";

/// Starts a nats-server and waits until JetStream answers: with the data and on the port that it had `before`, else
/// with none on the port given.
pub(super) fn start(place: &Place, before: Option<&Service>, port: u16) -> Result<Service> {
    if let Some(before) = before {
        before.stop()?;
    }
    let binary = provide(&place.cache)?;
    let home = place.dir.join("nats");
    let config = home.join("nats-server.conf");
    let log = home.join("nats-server.log");
    let before = before.filter(|before| before.config == config && config.is_file());
    let port = before.map_or(port, |before| before.port);
    if before.is_none() {
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot delete {}", home.display()))?;
        }
        fs::create_dir_all(home.join("data"))?;
        fs::write(&config, configuration(port, &home.join("data")))?;
    }
    eprintln!("nats: starting {} on port {port}", binary.display());
    let pid = process::spawn_detached(Command::new(&binary).arg("-c").arg(&config), &log)?;
    let mut service =
        Service { pid, port, listeners: Vec::new(), version: String::new(), from: binary, log, config };
    let up = wait(&service, Duration::from_secs(30)).and_then(|version| {
        nats_wire::create_stream(port, KEEPER, &[KEEPER])?;
        Ok(version)
    });
    match up {
        Ok(version) => service.version = version,
        Err(error) => {
            service.stop()?;
            return Err(error.context(format!("see {}", service.log.display())));
        }
    }
    eprintln!("nats: nats-server {} answers on 127.0.0.1:{port}", service.version);
    Ok(service)
}

fn wait(service: &Service, limit: Duration) -> Result<String> {
    net::wait_for("nats-server", limit, || service.is_running(), || nats_wire::ask(service.port))
}

/// Whether the service runs and JetStream answers.
pub(super) fn answers(service: &Service) -> bool {
    service.is_running() && wait(service, PATIENCE).is_ok()
}

fn configuration(port: u16, data: &Path) -> String {
    format!(
        "# Written by `cargo xtask services up`.\n\
         server_name: tidewater-tests\n\
         listen: \"127.0.0.1:{port}\"\n\
         max_payload: 8MB\n\
         jetstream {{\n  store_dir: {data:?}\n  max_memory_store: 512MB\n  max_file_store: 4GB\n}}\n"
    )
}

/// What there is to tell about it, and about Go, before it is started.
pub(super) fn needs(cache: &Path, obtains: bool) -> [Need; 2] {
    let go = go();
    let here = locate(cache);
    let go_row = match &go {
        Ok(Some(go)) => Found::Found(go.display().to_string()),
        _ if matches!(here, Ok(Some(_))) => Found::Unneeded("not needed: it would build nats-server".into()),
        Ok(None) => Found::missing("no Go", GO),
        Err(error) => Found::unusable(format!("{error:#}")),
    };
    let state = match here {
        Err(error) => Found::unusable(format!("{error:#}")),
        Ok(Some(binary)) => Found::Found(binary.display().to_string()),
        Ok(None) if matches!(go, Ok(Some(_))) => Found::Obtainable(format!("go install {MODULE}@{VERSION}")),
        Ok(None) if obtains => Found::Obtainable("Debian's package nats-server".into()),
        Ok(None) => {
            Found::missing("no nats-server, and no Go 1.21 to build it (or name one by TIDEWATER_NATS)", GO)
        }
    };
    [Need::broker("Go", go_row), Need::broker("nats-server", state)]
}

const GO: &[&str] = &["golang-go"];

/// Go, if it is new enough to fetch the version that a module asks for (1.21); an error if it is older.
fn go() -> Result<Option<PathBuf>> {
    let Some(go) = process::find("go") else { return Ok(None) };
    let text = process::output(Command::new(&go).args(["env", "GOVERSION"]))?;
    match minor(&text) {
        Some(21..) => Ok(Some(go)),
        _ => bail!("{} is {}: nats-server takes Go 1.21 or newer", go.display(), text.trim()),
    }
}

/// The second number of `go1.25.3`.
fn minor(text: &str) -> Option<u32> {
    text.trim().strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

const MISSING: &str = "no nats-server found: install it or Go (which builds it, with no more than Go itself), \
                       or name a binary by TIDEWATER_NATS";

/// A nats-server that is here: named, on PATH, or built before.
fn locate(cache: &Path) -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("TIDEWATER_NATS").filter(|named| !named.is_empty()) {
        let binary = PathBuf::from(named);
        let file = binary.canonicalize().ok().filter(|binary| binary.is_file());
        return file.map(Some).with_context(|| {
            format!("TIDEWATER_NATS={} is no file: name a nats-server binary", binary.display())
        });
    }
    let built = cache.join("bin").join("nats-server");
    Ok(process::find("nats-server").or_else(|| built.is_file().then_some(built)))
}

/// Finds a nats-server, or makes one.
pub(super) fn provide(cache: &Path) -> Result<PathBuf> {
    let _lock = state::lock(&cache.join("nats.lock"))?;
    if let Some(binary) = locate(cache)? {
        return Ok(binary);
    }
    if go().is_ok_and(|go| go.is_some()) {
        return build(cache, &cache.join("bin").join("nats-server"));
    }
    if apt::usable() {
        eprintln!("nats: no Go here: taking Debian's nats-server (older than the one that Go would build)");
        apt::install(&["nats-server"])?;
        return process::find("nats-server").context("Debian's nats-server package brought no nats-server");
    }
    bail!(MISSING)
}

/// Builds the pinned version; everything that Go keeps goes into the cache, so that CI can keep it.
fn build(cache: &Path, binary: &Path) -> Result<PathBuf> {
    eprintln!("nats: building nats-server {VERSION} with Go (about a minute, once)");
    let go = cache.join("go");
    process::run(
        Command::new("go")
            .args(["install", &format!("{MODULE}@{VERSION}")])
            .env("GOBIN", cache.join("bin"))
            .env("GOMODCACHE", go.join("mod"))
            .env("GOCACHE", go.join("build"))
            // Else the module cache is read-only and `cargo clean` cannot delete it.
            .env("GOFLAGS", "-modcacherw")
            .env("CGO_ENABLED", "0"),
    )
    .context("building nats-server; with no way to the Go modules, name a binary by TIDEWATER_NATS")?;
    if !binary.is_file() {
        bail!("`go install` brought no {}", binary.display());
    }
    Ok(binary.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gos_version() {
        assert_eq!(minor("go1.25.3\n"), Some(25));
        assert_eq!(minor("go1.21rc2\n"), Some(21));
        assert_eq!(minor("go1.19.8\n"), Some(19));
        assert_eq!(minor("devel +abc"), None);
    }
}
