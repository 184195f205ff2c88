//! What takes a Kafka client: making topics, changing them, deleting them.
//!
//! The client is a feature: without `kafka` nothing here builds librdkafka, and each call is an error that says so.

#[cfg(feature = "kafka")]
pub(crate) use real::{create, delete, forget_before, grow, led};
#[cfg(not(feature = "kafka"))]
pub(crate) use without::{create, delete, forget_before, grow, led};

#[cfg(feature = "kafka")]
mod real {
    use std::time::Duration;

    use anyhow::{Context, Result};
    use rdkafka::{
        ClientConfig, Offset, TopicPartitionList,
        admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
        client::DefaultClientContext,
        metadata::MetadataTopic,
        types::RDKafkaErrorCode,
    };
    use tokio::task::spawn_blocking;

    /// A topic with these settings.
    pub(crate) async fn create(
        broker: &str,
        topic: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut topic = NewTopic::new(topic, i32::try_from(partitions)?, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let results = admin(broker)?.create_topics([&topic], &options()).await?;
        results.into_iter().try_for_each(told).context("creating the topic")
    }

    /// How many partitions have a leader.
    pub(crate) async fn led(broker: &str, topic: &str) -> Result<usize> {
        let (admin, topic) = (admin(broker)?, topic.to_owned());
        let asked = spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(5))?;
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            anyhow::Ok(partitions.filter(|partition| partition.leader() >= 0).count())
        });
        asked.await?
    }

    pub(crate) async fn delete(broker: &str, topic: &str) -> Result<()> {
        let results = admin(broker)?.delete_topics(&[topic], &options()).await?;
        results.into_iter().try_for_each(told).context("deleting the topic")
    }

    pub(crate) async fn grow(broker: &str, topic: &str, partitions: u32) -> Result<()> {
        let more = NewPartitions::new(topic, partitions as usize);
        let results = admin(broker)?.create_partitions([&more], &options()).await?;
        results.into_iter().try_for_each(told).context("adding partitions")
    }

    pub(crate) async fn forget_before(broker: &str, topic: &str, partition: u32, offset: u64) -> Result<()> {
        let mut before = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(offset)?);
        before.add_partition_offset(topic, i32::try_from(partition)?, offset)?;
        let removed = admin(broker)?.delete_records(&before, &options()).await?;
        removed.elements().iter().try_for_each(|element| element.error()).context("removing messages")
    }

    fn admin(broker: &str) -> Result<AdminClient<DefaultClientContext>> {
        ClientConfig::new().set("bootstrap.servers", broker).create().context("cannot reach Kafka")
    }

    fn options() -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)))
    }

    fn told(result: Result<String, (String, RDKafkaErrorCode)>) -> Result<()> {
        result.map(drop).map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))
    }
}

#[cfg(not(feature = "kafka"))]
mod without {
    use anyhow::{Result, bail};

    const WITHOUT: &str = "the tests are built without their feature `kafka`";

    pub(crate) async fn create(_: &str, topic: &str, _: u32, _: &[(&str, &str)]) -> Result<()> {
        bail!("cannot create {topic}: {WITHOUT}")
    }

    pub(crate) async fn led(_: &str, topic: &str) -> Result<usize> {
        bail!("cannot ask for {topic}: {WITHOUT}")
    }

    pub(crate) async fn delete(_: &str, topic: &str) -> Result<()> {
        bail!("cannot delete {topic}: {WITHOUT}")
    }

    pub(crate) async fn grow(_: &str, topic: &str, _: u32) -> Result<()> {
        bail!("cannot grow {topic}: {WITHOUT}")
    }

    pub(crate) async fn forget_before(_: &str, topic: &str, _: u32, _: u64) -> Result<()> {
        bail!("cannot shorten {topic}: {WITHOUT}")
    }
}
