//! A Kafka broker inside the process, for the demo and for the pipeline tests.
//!
//! librdkafka's mock cluster: real clients, groups and transactions on a loopback port. It stores no
//! offsets of transactions and writes no transaction markers, so it is no witness for exactly-once (I2).

use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::kafka;

/// A broker that ends with this value.
pub struct EmbeddedBroker {
    /// The client that owns the cluster; it sends nothing.
    owner: BaseProducer,
}

impl EmbeddedBroker {
    /// Starts `brokers` of them with these topics and numbers of partitions.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start(brokers: usize, topics: &[(&str, i32)]) -> anyhow::Result<Self> {
        let owner = ClientConfig::new().set("test.mock.num.brokers", brokers.to_string()).create();
        let broker = Self { owner: owner.context("the embedded broker cannot be started")? };
        let replicas = i32::try_from(brokers).unwrap_or(1);
        for (topic, partitions) in topics {
            let created = broker.cluster()?.create_topic(topic, *partitions, replicas);
            created.with_context(|| format!("the embedded broker refuses the topic {topic}"))?;
        }
        Ok(broker)
    }

    /// The cluster, with all that it can be told to do wrong.
    ///
    /// # Errors
    /// Never, once started.
    pub fn cluster(&self) -> anyhow::Result<MockCluster<'_, DefaultProducerContext>> {
        self.owner.client().mock_cluster().context("the embedded broker is gone")
    }

    /// `host:port` of all brokers, as `kafka.brokers` takes it.
    ///
    /// # Errors
    /// Never, once started.
    pub fn address(&self) -> anyhow::Result<String> {
        Ok(self.cluster()?.bootstrap_servers())
    }

    /// How long a new group waits for more members before its first assignment; three seconds unless set.
    pub fn set_join_delay(&self, delay: Duration) {
        kafka::set_embedded_join_delay(self.owner.client(), delay);
    }

    /// Commits offset 0 of every partition for a group that has no member yet. The worker commits a new group's
    /// beginnings in a transaction, which this broker forgets.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn commit_beginnings(&self, group: &str, topics: &[(&str, i32)]) -> anyhow::Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address()?)
            .set("group.id", group)
            .create()
            .context("no consumer can be created")?;
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                list.add_partition_offset(topic, partition, Offset::Offset(0)).context("not an offset")?;
            }
        }
        consumer.commit(&list, CommitMode::Sync).context("the embedded broker refuses to commit the beginnings")
    }
}
