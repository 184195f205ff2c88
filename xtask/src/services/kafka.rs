//! Apache Kafka, one node in KRaft mode: found or downloaded; configured; started; asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::{
    PATIENCE, Place, kafka_wire,
    state::{self, Service},
};
use crate::{
    apt,
    needs::{Need, State as Found, System},
    net, process, workspace,
};

/// 16 bytes in base64url. Always the same: the data is new each time, and the topics' ids with it.
const CLUSTER_ID: &str = "dGlkZXdhdGVyLXRlc3QtMQ";

/// What a broker has beside what every one has.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Extra {
    /// Kafka listens on another port too, by SSL, SASL_SSL, SASL_PLAINTEXT or PLAINTEXT (repeatable); the port is told
    /// as TIDEWATER_TEST_KAFKA_NAME.
    #[arg(long = "listener", value_name = "NAME=PROTOCOL")]
    listeners: Vec<Listener>,
    /// Lines for Kafka's server.properties: how its listeners authenticate, who may what. A file, so that no secret
    /// stands on a command line.
    #[arg(long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Extra {
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.config.is_none()
    }

    /// How many ports it takes.
    pub(super) fn ports(&self) -> usize {
        self.listeners.len()
    }
}

/// A further listener.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    /// Capital letters, digits and underscores: it is part of a variable's name.
    name: String,
    protocol: String,
}

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let (name, protocol) = text.split_once('=').unwrap_or((text, ""));
        let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(legal) || ["PLAINTEXT", "CONTROLLER"].contains(&name) {
            return Err(format!(
                "{name:?} is no name for a listener: capital letters, digits and \"_\", and neither PLAINTEXT nor CONTROLLER"
            ));
        }
        if !PROTOCOLS.contains(&protocol) {
            return Err(format!("{protocol:?} is none of {}", PROTOCOLS.join(", ")));
        }
        Ok(Self { name: name.to_owned(), protocol: protocol.to_owned() })
    }
}

/// Starts a broker and waits until it serves metadata: with the data and on the ports that it had `before`, else with
/// none on the ports given (for clients, for its controller, and for each further listener).
pub(super) fn start(
    place: &Place,
    before: Option<&Service>,
    ports: &[u16],
    extra: &Extra,
) -> Result<Service> {
    let [port, controller, further @ ..] = ports else { bail!("too few ports") };
    if let Some(before) = before {
        before.stop()?;
    }
    let java = java()?;
    let from = provide(&place.cache)?;
    let libs = libs(&from).with_context(|| format!("{} has no jars", from.display()))?;
    let version = version(&libs)?;
    let home = place.dir.join("kafka");
    let config = home.join("server.properties");
    let log = home.join("kafka.log");
    let before = before.filter(|before| before.config == config && config.is_file());
    let port = before.map_or(*port, |before| before.port);
    let listeners = match before {
        Some(before) => before.listeners.clone(),
        None => extra.listeners.iter().map(|one| one.name.clone()).zip(further.iter().copied()).collect(),
    };
    eprintln!("kafka: starting Kafka {version} from {} on port {port}", from.display());
    let class_path = libs.join("*");
    if before.is_none() {
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot delete {}", home.display()))?;
        }
        fs::create_dir_all(&home)?;
        let mut text = configuration(port, *controller, &listeners, extra, &home.join("data"));
        if let Some(file) = &extra.config {
            let more = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            text.push_str(&format!("\n# Of {}\n{more}", file.display()));
        }
        fs::write(&config, text)?;
        let mut format = Command::new(&java);
        format.args(["-Xmx256m", "-cp"]).arg(&class_path);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&config);
        process::output(&mut format).context("formatting its storage")?;
    }
    let mut command = Command::new(&java);
    // With no configuration of its own log4j would write errors only.
    command.args(["-Xmx512m", "-Dorg.apache.logging.log4j.level=INFO", "-cp"]).arg(&class_path);
    command.arg("kafka.Kafka").arg(&config).current_dir(&home);
    let pid = process::spawn_detached(&mut command, &log)?;
    let service = Service { pid, port, listeners, version, from, log, config };
    if let Err(error) = wait(&service, Duration::from_secs(90)) {
        service.stop()?;
        return Err(error.context(format!("see {}", service.log.display())));
    }
    eprintln!("kafka: Kafka {} answers on 127.0.0.1:{port}", service.version);
    Ok(service)
}

fn wait(service: &Service, limit: Duration) -> Result<()> {
    net::wait_for("Kafka", limit, || service.is_running(), || kafka_wire::ask(service.port))
}

/// Whether the service runs and serves metadata.
pub(super) fn answers(service: &Service) -> bool {
    service.is_running() && wait(service, PATIENCE).is_ok()
}

/// A broker for tests: nothing is created by accident, nothing waits, cleaning and deletion come soon.
fn configuration(
    port: u16,
    controller: u16,
    further: &[(String, u16)],
    extra: &Extra,
    data: &Path,
) -> String {
    let further: String = further.iter().map(|(name, port)| format!(",{name}://127.0.0.1:{port}")).collect();
    let protocols: String =
        extra.listeners.iter().map(|one| format!(",{}:{}", one.name, one.protocol)).collect();
    format!(
        "# Written by `cargo xtask services up`.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{further}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{further}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
delete.topic.enable=true

# One node.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A broker that was killed is let in again when its old session is over (9 s by default).
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500

# Tests do not wait: retention and compaction act within seconds where a topic asks for them.
group.initial.rebalance.delay.ms=0
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
log.cleaner.enable=true
log.cleaner.backoff.ms=500
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
",
        data = data.display()
    )
}

/// What there is to tell about it and about Java before it is started.
pub(super) fn needs(cache: &Path, obtains: bool) -> [Need; 2] {
    let java = match find_java() {
        Ok(Some(java)) => Found::Found(java.display().to_string()),
        Ok(None) if obtains => Found::Obtainable(format!("Debian's package {}", JAVA[0])),
        Ok(None) => Found::missing("no Java 17", JAVA),
        Err(error) => Found::unusable(format!("{error:#}")),
    };
    let kafka = match locate(cache) {
        Ok(Some(folder)) => Found::Found(folder.display().to_string()),
        Ok(None) if process::find("mvn").is_some() => Found::Obtainable("Maven Central (43 MB)".into()),
        Ok(None) if obtains => Found::Obtainable("Debian's package maven, then Maven Central (43 MB)".into()),
        Ok(None) => Found::missing_as(
            "no Kafka",
            "and no Maven to download it; a distribution's folder can be named by TIDEWATER_KAFKA".into(),
            MAVEN,
        ),
        Err(error) => Found::unusable(format!("{error:#}")),
    };
    [Need::broker("Java 17", java), Need::broker("Kafka", kafka)]
}

const JAVA: &[&str] = &["default-jdk-headless"];
const MAVEN: &[&str] = &["maven"];

/// Packages that bring what is not here.
pub(super) fn lacking_packages(cache: &Path) -> Vec<&'static str> {
    let mut packages = Vec::new();
    if matches!(find_java(), Ok(None)) {
        packages.extend(JAVA);
    }
    if matches!(locate(cache), Ok(None)) && process::find("mvn").is_none() {
        packages.extend(MAVEN);
    }
    packages
}

/// Java 17 or newer; installed where that is possible.
fn java() -> Result<PathBuf> {
    if let Some(java) = find_java()? {
        return Ok(java);
    }
    if !apt::usable() {
        bail!("no Java found; install Java 17 or newer: {}", System::here().install(JAVA));
    }
    apt::install(&["default-jdk-headless", "maven"])?;
    find_java()?.context("Debian's default-jdk-headless brought no java")
}

/// Java in `JAVA_HOME`, else on PATH; an error if it is older than 17.
fn find_java() -> Result<Option<PathBuf>> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin").join("java"));
    let Some(java) = home.filter(|java| java.is_file()).or_else(|| process::find("java")) else {
        return Ok(None);
    };
    let text = process::output(Command::new(&java).arg("-version"))?;
    match java_major(&text) {
        Some(17..) => Ok(Some(java)),
        _ => bail!(
            "{} is too old for Kafka 4 ({}): install Java 17 or newer and set JAVA_HOME to it",
            java.display(),
            text.lines().next().unwrap_or_default()
        ),
    }
}

/// The number in `openjdk version "17.0.15" 2025-04-15`; Java 8 says `1.8`, which is 1 here: too old either way.
fn java_major(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version \"")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Finds a Kafka, or downloads one.
fn provide(cache: &Path) -> Result<PathBuf> {
    let _lock = state::lock(&cache.join("kafka.lock"))?;
    match locate(cache)? {
        Some(folder) => Ok(folder),
        None => download(cache),
    }
}

/// A Kafka that is here: named, on PATH, or downloaded before. The folder holds `libs/` or `lib/`.
fn locate(cache: &Path) -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("TIDEWATER_KAFKA").filter(|named| !named.is_empty()) {
        let folder = PathBuf::from(named);
        let found = folder.canonicalize().ok().filter(|folder| libs(folder).is_some());
        return found.map(Some).with_context(|| {
            format!(
                "TIDEWATER_KAFKA={} holds no libs/ or lib/ with kafka_*.jar: name the folder of a Kafka distribution",
                folder.display()
            )
        });
    }
    let on_path = process::find("kafka-server-start.sh").or_else(|| process::find("kafka-server-start"));
    let distribution =
        on_path.and_then(|script| Some(script.canonicalize().ok()?.parent()?.parent()?.to_path_buf()));
    if let Some(folder) = distribution.filter(|folder| libs(folder).is_some()) {
        return Ok(Some(folder));
    }
    // Downloaded for this very pom: another version there means another download.
    let folder = cache.join("kafka");
    let same =
        fs::read(pom()).is_ok_and(|wanted| fs::read(folder.join("pom.xml")).is_ok_and(|had| had == wanted));
    Ok(Some(folder).filter(|folder| same && libs(folder).is_some()))
}

fn pom() -> PathBuf {
    workspace::root().join("xtask").join("kafka").join("pom.xml")
}

/// Copies the jars of `xtask/kafka/pom.xml` into the cache.
fn download(cache: &Path) -> Result<PathBuf> {
    let pom = pom();
    let wanted = fs::read(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let folder = cache.join("kafka");
    let stamp = folder.join("pom.xml");
    if process::find("mvn").is_none() {
        if !apt::usable() {
            bail!(
                "no Kafka found, and no Maven to download it: install Maven (Debian: apt-get install maven), \
                 or name the folder of a Kafka distribution by TIDEWATER_KAFKA"
            );
        }
        apt::install(&["maven"])?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("libs"))?;
    eprintln!("kafka: downloading Kafka and what it depends on with Maven (43 MB, once)");
    process::run(
        Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", folder.join("libs").display()))
            .arg(format!("-Dmaven.repo.local={}", cache.join("maven").display())),
    )
    .context(
        "downloading Kafka; with no way to Maven Central, name a distribution's folder by TIDEWATER_KAFKA",
    )?;
    ensure!(libs(&folder).is_some(), "Maven brought no Kafka into {}", folder.display());
    // Last, so that a download which broke off is done again.
    fs::write(stamp, wanted)?;
    Ok(folder)
}

/// The folder of jars in a distribution.
fn libs(folder: &Path) -> Option<PathBuf> {
    ["libs", "lib"].iter().map(|name| folder.join(name)).find(|libs| version(libs).is_ok())
}

/// The version in the name of the broker's jar, `kafka_2.13-4.3.1.jar`.
fn version(libs: &Path) -> Result<String> {
    for entry in fs::read_dir(libs)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stem = name.strip_prefix("kafka_").and_then(|rest| rest.strip_suffix(".jar"));
        if let Some((_scala, version)) = stem.and_then(|stem| stem.split_once('-'))
            && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        {
            return Ok(version.to_owned());
        }
    }
    bail!("no kafka_*.jar in {}", libs.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_javas_version() {
        assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(java_major("java version \"1.8.0_402\"\n"), Some(1));
        assert_eq!(java_major("java version \"21\" 2023-09-19 LTS\n"), Some(21));
        assert_eq!(java_major("command not found"), None);
    }

    #[test]
    fn a_listener_has_a_name_and_a_protocol() {
        let listener = Listener { name: "MTLS".into(), protocol: "SSL".into() };
        assert_eq!("MTLS=SSL".parse(), Ok(listener.clone()));
        for (bad, told) in [
            ("", "no name"),
            ("mtls=SSL", "no name"),
            ("CONTROLLER=SSL", "no name"),
            ("MTLS", "none of"),
            ("MTLS=TLS", "SASL_SSL"),
        ] {
            assert!(bad.parse::<Listener>().unwrap_err().contains(told), "{bad}");
        }
        let extra = Extra { listeners: vec![listener], config: None };
        let text = configuration(1, 2, &[("MTLS".into(), 3)], &extra, Path::new("data"));
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,MTLS://127.0.0.1:3",
            "advertised.listeners=PLAINTEXT://127.0.0.1:1,MTLS://127.0.0.1:3",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MTLS:SSL",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn finds_the_version_in_a_distribution() {
        let dir = std::env::temp_dir().join(format!("xtask-kafka-{}", std::process::id()));
        let libs_dir = dir.join("libs");
        fs::create_dir_all(&libs_dir).unwrap();
        assert!(libs(&dir).is_none());
        for jar in ["kafka-clients-4.3.1.jar", "kafka_2.13-4.3.1-test.jar", "kafka_2.13-4.3.1.jar"] {
            fs::write(libs_dir.join(jar), "").unwrap();
        }
        assert_eq!(version(&libs(&dir).unwrap()).unwrap(), "4.3.1");
        fs::remove_dir_all(dir).unwrap();
    }
}
