//! Topics of the real Kafka, and kcat to produce into them.

use std::{fmt, process::Stdio};

use anyhow::{Context, Result, bail, ensure};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::{PATIENCE, env, eventually, kafka_admin, source::Record};

/// A topic that only one test knows.
#[derive(Clone, Debug)]
pub struct Topic {
    broker: String,
    name: String,
    partitions: u32,
    settings: Vec<(&'static str, &'static str)>,
}

impl Topic {
    /// Makes a topic whose name begins with `base` and that nobody has used.
    ///
    /// # Errors
    /// If there is no Kafka, or it refuses.
    pub async fn create(base: &str, partitions: u32) -> Result<Self> {
        Self::create_at(&env::kafka()?, base, partitions).await
    }

    /// Makes a topic on this broker, `host:port`.
    ///
    /// # Errors
    /// If there is no such broker, or it refuses.
    pub async fn create_at(broker: &str, base: &str, partitions: u32) -> Result<Self> {
        let topic = Self::absent_at(broker, base, partitions);
        topic.make().await?;
        Ok(topic)
    }

    /// A name that nobody has used, and no topic yet: [`make`](Self::make) it.
    pub fn absent_at(broker: &str, base: &str, partitions: u32) -> Self {
        Self {
            broker: broker.to_owned(),
            name: format!("{base}-{:08x}", fastrand::u32(..)),
            partitions,
            settings: vec![("max.message.bytes", "4194304")],
        }
    }

    /// The same, which the broker will store in zstd whatever it is sent.
    #[must_use]
    pub fn in_zstd(self) -> Self {
        self.set("compression.type", "zstd")
    }

    /// The same with a setting of the topic.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value));
        self
    }

    /// Makes the topic of this name. Messages may have 4 MiB, unless it is set.
    ///
    /// # Errors
    /// If it exists, or the broker refuses.
    pub async fn make(&self) -> Result<()> {
        // A topic that was deleted just now may be there for another moment.
        eventually("the topic to be made", || {
            kafka_admin::create(&self.broker, &self.name, self.partitions, &self.settings)
        })
        .await?;
        eventually("the topic's leaders", || async {
            let led = kafka_admin::led(&self.broker, &self.name).await?;
            ensure!(led == self.partitions as usize, "{led} of {} partitions have one", self.partitions);
            Ok(())
        })
        .await
    }

    /// Deletes the topic.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn delete(&self) -> Result<()> {
        kafka_admin::delete(&self.broker, &self.name).await
    }

    /// Deletes the topic and makes it again: another incarnation under the same name.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn recreate(&self) -> Result<()> {
        self.delete().await?;
        self.make().await
    }

    /// Raises the number of partitions.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn grow(&mut self, partitions: u32) -> Result<()> {
        kafka_admin::grow(&self.broker, &self.name, partitions).await?;
        self.partitions = partitions;
        Ok(())
    }

    /// Removes every message before an offset, as retention would.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn forget_before(&self, partition: u32, offset: u64) -> Result<()> {
        kafka_admin::forget_before(&self.broker, &self.name, partition, offset).await
    }

    /// `host:port`.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source's and sink's URL.
    pub fn url(&self) -> String {
        format!("kafka://{}/{}", self.broker, self.name)
    }

    /// Appends one message per line to a partition, in this order; kcat does it. Returns when the broker has them.
    ///
    /// # Errors
    /// If kcat fails.
    pub async fn produce(
        &self,
        partition: u32,
        lines: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<()> {
        self.produce_lines(partition, &[], lines.into_iter().map(Into::into)).await
    }

    /// The same with a key for each.
    ///
    /// # Errors
    /// If kcat fails.
    pub async fn produce_keyed(
        &self,
        partition: u32,
        lines: impl IntoIterator<Item = (impl fmt::Display, impl fmt::Display)>,
    ) -> Result<()> {
        let lines = lines.into_iter().map(|(key, line)| format!("{key}\t{line}"));
        self.produce_lines(partition, &["-K", "\t"], lines).await
    }

    async fn produce_lines(
        &self,
        partition: u32,
        args: &[&str],
        lines: impl Iterator<Item = String>,
    ) -> Result<()> {
        let text: String = lines.map(|line| line + "\n").collect();
        let mut kcat = self.kcat("-P");
        // One request at a time: a retry must not change the order.
        kcat.args([
            "-p",
            &partition.to_string(),
            "-X",
            "max.in.flight=1",
            "-X",
            "linger.ms=0",
            "-X",
            "acks=all",
        ]);
        kcat.args(args);
        let mut child =
            kcat.stdin(Stdio::piped()).spawn().context("cannot run kcat: apt-get install kcat")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(text.as_bytes()).await?;
        drop(stdin);
        finish(child).await
    }

    /// Appends one message with all that it may have; kcat does it.
    ///
    /// # Errors
    /// If kcat fails.
    pub async fn produce_record(&self, partition: u32, record: &Record) -> Result<()> {
        let mut kcat = self.kcat("-P");
        kcat.args(["-p", &partition.to_string(), "-X", "message.max.bytes=4194304", "-X", "acks=all"]);
        for (name, value) in &record.headers {
            kcat.args(["-H", &format!("{name}={value}")]);
        }
        match record.payload.as_deref() {
            // kcat takes no empty file and no empty line, but a key with nothing behind it.
            None | Some([]) => {
                if record.payload.is_none() {
                    kcat.arg("-Z");
                }
                kcat.args(["-K", "\\x01"]);
                let mut child = kcat.stdin(Stdio::piped()).spawn().context("cannot run kcat")?;
                let mut stdin = child.stdin.take().context("no standard input")?;
                stdin.write_all(format!("{}\x01\n", record.key.unwrap_or_default()).as_bytes()).await?;
                drop(stdin);
                finish(child).await
            }
            Some(payload) => {
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(file.path(), payload)?;
                if let Some(key) = record.key {
                    kcat.args(["-k", key]);
                }
                let child = kcat.arg(file.path()).stdin(Stdio::null()).spawn().context("cannot run kcat")?;
                finish(child).await
            }
        }
    }

    /// Reads the message at an offset: its key, its headers (`a=b,c=d`) and its payload; kcat does it.
    ///
    /// # Errors
    /// If kcat fails.
    pub async fn consume(&self, partition: u32, offset: u64) -> Result<(String, String, String)> {
        let mut kcat = self.kcat("-C");
        kcat.args(["-p", &partition.to_string(), "-o", &offset.to_string(), "-c", "1", "-q", "-e"]);
        kcat.args(["-f", "%k\\x01%h\\x01%s"]).stdin(Stdio::null());
        let output = timeout(PATIENCE, kcat.output()).await.context("kcat hangs")??;
        let text = String::from_utf8(output.stdout)?;
        match text.split('\x01').collect::<Vec<_>>()[..] {
            [key, headers, payload] => Ok((key.into(), headers.into(), payload.into())),
            _ => bail!("kcat printed {text:?} and {:?}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Reads all that a partition holds, in its order, without what transactions have aborted: the keys, headers and
    /// payloads, as [`consume`](Self::consume) has them. kcat does it.
    ///
    /// # Errors
    /// If kcat fails.
    pub async fn consume_all(&self, partition: u32) -> Result<Vec<(String, String, String)>> {
        let mut kcat = self.kcat("-C");
        kcat.args(["-p", &partition.to_string(), "-o", "beginning", "-q", "-e"]);
        kcat.args(["-X", "isolation.level=read_committed", "-f", "%k\\x01%h\\x01%s\\x02"])
            .stdin(Stdio::null());
        let output = timeout(PATIENCE, kcat.output()).await.context("kcat hangs")??;
        ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let messages =
            text.split_terminator('\x02').map(
                |message| match message.split('\x01').collect::<Vec<_>>()[..] {
                    [key, headers, payload] => Ok((key.into(), headers.into(), payload.into())),
                    _ => bail!("kcat printed {message:?}"),
                },
            );
        messages.collect()
    }

    fn kcat(&self, mode: &str) -> Command {
        let mut command = Command::new("kcat");
        command.args([mode, "-b", &self.broker, "-t", &self.name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

async fn finish(child: tokio::process::Child) -> Result<()> {
    let output = timeout(PATIENCE, child.wait_with_output()).await.context("kcat hangs")??;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
