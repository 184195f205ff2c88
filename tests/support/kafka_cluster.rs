//! A Kafka of three brokers, each of which may be killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    metadata::MetadataPartition,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{env, eventually, free_port, kafka::Topic};

/// 16 bytes in base64url.
const CLUSTER_ID: &str = "dGlkZXdhdGVyLXRlc3QtMw";

/// Three brokers, numbered from 1. Dropping it kills them and removes their data.
#[derive(Debug)]
pub struct KafkaCluster {
    home: TempDir,
    libs: PathBuf,
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    port: u16,
    controller_port: u16,
    process: Option<Child>,
}

#[derive(Debug)]
struct Partition {
    /// -1 if there is none.
    leader: i32,
    in_sync: usize,
}

impl KafkaCluster {
    /// Starts them, and waits until all three serve.
    ///
    /// # Errors
    /// If they can't be started; what they wrote stands in the error.
    pub async fn start() -> Result<Self> {
        let mut brokers = Vec::new();
        for _ in 0..3 {
            brokers.push(Broker { port: free_port()?, controller_port: free_port()?, process: None });
        }
        let mut cluster = Self { home: tempfile::tempdir()?, libs: env::kafka_libs()?, brokers };
        for number in 1..=3 {
            cluster.format(number)?;
            cluster.spawn(number)?;
        }
        cluster.until_serving(3).await?;
        Ok(cluster)
    }

    /// All three, as clients are given them.
    pub fn brokers(&self) -> String {
        let all: Vec<_> = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
        all.join(",")
    }

    /// Makes a topic whose name begins with `base`: for each partition the brokers that have it, the first of which
    /// leads.
    ///
    /// # Errors
    /// If the cluster refuses.
    pub async fn topic(&self, base: &str, replicas: &[&[i32]], settings: &[(&str, &str)]) -> Result<Topic> {
        let topic = Topic::absent_at(&self.brokers(), base, u32::try_from(replicas.len())?);
        let mut new =
            NewTopic::new(topic.name(), i32::try_from(replicas.len())?, TopicReplication::Variable(replicas));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let client: AdminClient<DefaultClientContext> = self.client().create()?;
        for result in client.create_topics([&new], &options).await? {
            result.map_err(|(name, code)| anyhow::anyhow!("creating {name}: {code}"))?;
        }
        self.until_led(&topic, 0, |_| true).await?;
        Ok(topic)
    }

    /// Waits until every partition has so many replicas that are in sync.
    ///
    /// # Errors
    /// If they haven't.
    pub async fn until_in_sync(&self, topic: &Topic, count: usize) -> Result<()> {
        eventually("the replicas", async || {
            let partitions = self.partitions(topic).await?;
            ensure!(partitions.iter().all(|one| one.in_sync == count), "{partitions:?}");
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    /// Waits until a partition is led by a broker that is wanted.
    ///
    /// # Errors
    /// If it is not.
    pub async fn until_led(
        &self,
        topic: &Topic,
        partition: usize,
        wanted: impl Fn(i32) -> bool,
    ) -> Result<()> {
        eventually("a leader", async || {
            let partitions = self.partitions(topic).await?;
            let led = partitions.get(partition).is_some_and(|one| one.leader > 0 && wanted(one.leader));
            ensure!(led, "{partitions:?}");
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    /// Ends a broker as a power cut would.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self, number: i32) -> Result<()> {
        let mut process = self.broker(number)?.process.take().context("it does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts a broker again, with its data, and waits for nothing.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn restart(&mut self, number: i32) -> Result<()> {
        self.spawn(number)
    }

    /// Waits until so many brokers are part of the cluster.
    ///
    /// # Errors
    /// If they are not.
    pub async fn until_serving(&self, count: usize) -> Result<()> {
        eventually("the brokers", async || {
            let config = self.client();
            let there = spawn_blocking(move || {
                let client: BaseConsumer = config.create()?;
                anyhow::Ok(client.fetch_metadata(None, Duration::from_secs(5))?.brokers().len())
            });
            let there = there.await??;
            ensure!(there == count, "{there} brokers are there");
            Ok(())
        })
        .await
        .with_context(|| self.logs())
    }

    async fn partitions(&self, topic: &Topic) -> Result<Vec<Partition>> {
        let (config, name) = (self.client(), topic.name().to_owned());
        let asked = spawn_blocking(move || {
            let client: BaseConsumer = config.create()?;
            let metadata = client.fetch_metadata(Some(&name), Duration::from_secs(5))?;
            let partitions = metadata.topics().first().context("no topic")?.partitions();
            let one = |one: &MetadataPartition| Partition { leader: one.leader(), in_sync: one.isr().len() };
            anyhow::Ok(partitions.iter().map(one).collect())
        });
        asked.await?
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }

    fn broker(&mut self, number: i32) -> Result<&mut Broker> {
        let index = usize::try_from(number - 1)?;
        self.brokers.get_mut(index).with_context(|| format!("there is no broker {number}"))
    }

    fn folder(&self, number: i32) -> PathBuf {
        self.home.path().join(number.to_string())
    }

    fn format(&mut self, number: i32) -> Result<()> {
        let folder = self.folder(number);
        fs::create_dir_all(&folder)?;
        let config = folder.join("server.properties");
        fs::write(&config, self.configuration(number)?)?;
        let mut command = self.java("128m");
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&config);
        let output = command.stdin(Stdio::null()).output().context("cannot run java")?;
        ensure!(output.status.success(), "formatting: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn configuration(&mut self, number: i32) -> Result<String> {
        let voters: Vec<_> = (1..)
            .zip(&self.brokers)
            .map(|(id, one)| format!("{id}@127.0.0.1:{}", one.controller_port))
            .collect();
        let data = self.folder(number).join("data");
        let Broker { port, controller_port, .. } = self.broker(number)?;
        Ok(format!(
            "process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=300
",
            voters = voters.join(","),
            data = data.display()
        ))
    }

    fn spawn(&mut self, number: i32) -> Result<()> {
        let folder = self.folder(number);
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let mut command = self.java("256m");
        command.arg("kafka.Kafka").arg(folder.join("server.properties")).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().context("cannot run java")?;
        let broker = self.broker(number)?;
        if broker.process.replace(process).is_some() {
            bail!("broker {number} ran already");
        }
        Ok(())
    }

    fn java(&self, memory: &str) -> Command {
        let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin").join("java"));
        let mut command = Command::new(home.filter(|java| java.is_file()).unwrap_or_else(|| "java".into()));
        command.arg(format!("-Xmx{memory}")).args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dorg.apache.logging.log4j.level=WARN", "-cp"]).arg(self.libs.join("*"));
        command
    }

    /// The ends of what the brokers wrote.
    fn logs(&self) -> String {
        (1..=3)
            .map(|number| format!("broker {number}:\n{}\n", end_of(&self.folder(number).join("log"))))
            .collect()
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        for broker in &mut self.brokers {
            if let Some(mut process) = broker.process.take() {
                // One that has ended by itself can't be killed.
                process.kill().ok();
                process.wait().ok();
            }
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
}
