//! What the scenarios ask of the cluster: topics, partitions, offsets.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;
use tokio::runtime::{Builder, Runtime};

use super::eventually;

/// Deadline of one administrative request.
const REQUEST: Duration = Duration::from_secs(20);

/// Topic and partition.
pub(crate) type Partition = (String, i32);

/// An administrator of one cluster.
pub(crate) struct Admin {
    brokers: String,
    client: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    options: AdminOptions,
}

impl Admin {
    /// Connects.
    pub(crate) fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            client: ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .create()
                .expect("an admin client's configuration is valid"),
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime needs no more than a thread"),
            options: AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST)),
        }
    }

    fn ask<T>(&self, what: &str, request: impl Future<Output = KafkaResult<T>>) -> T {
        self.runtime.block_on(request).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Makes a topic, and waits until the broker leads all of its partitions.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic =
            settings.iter().fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |topic, (key, value)| {
                topic.set(key, value)
            });
        for result in self.ask("create topic", self.client.create_topics(&[topic], &self.options)) {
            result.unwrap_or_else(|(name, error)| panic!("cannot create the topic {name}: {error}"));
        }
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes a topic, and waits until it is gone.
    pub(crate) fn delete_topic(&self, name: &str) {
        for result in self.ask("delete topic", self.client.delete_topics(&[name], &self.options)) {
            result.unwrap_or_else(|(name, error)| panic!("cannot delete the topic {name}: {error}"));
        }
        eventually(REQUEST, &format!("the topic {name} is gone"), || {
            let metadata = self.client.inner().fetch_metadata(None, REQUEST).ok()?;
            metadata.topics().iter().all(|topic| topic.name() != name).then_some(())
        });
    }

    /// Raises the number of partitions.
    pub(crate) fn add_partitions(&self, name: &str, partitions: i32) {
        let wanted = usize::try_from(partitions).expect("a count is not negative");
        let request = [NewPartitions::new(name, wanted)];
        for result in self.ask("add partitions", self.client.create_partitions(&request, &self.options)) {
            result.unwrap_or_else(|(name, error)| panic!("cannot add partitions to {name}: {error}"));
        }
        self.wait_for_partitions(name, partitions);
    }

    fn wait_for_partitions(&self, name: &str, partitions: i32) {
        eventually(REQUEST, &format!("{name} has {partitions} partitions with leaders"), || {
            let metadata = self.client.inner().fetch_metadata(Some(name), REQUEST).ok()?;
            let topic = metadata.topics().first()?;
            let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
            (i32::try_from(led) == Ok(partitions)).then_some(())
        });
    }

    /// The number of partitions of a topic.
    pub(crate) fn partitions(&self, name: &str) -> i32 {
        let metadata = self.client.inner().fetch_metadata(Some(name), REQUEST).expect("the broker answers");
        i32::try_from(metadata.topics()[0].partitions().len()).expect("a partition's number fits")
    }

    /// Deletes the records of a partition below an offset.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset that is not negative");
        let deleted = self.ask("delete records", self.client.delete_records(&offsets, &self.options));
        for element in deleted.elements() {
            element.error().unwrap_or_else(|error| panic!("cannot delete records of {topic}/{partition}: {error}"));
        }
    }

    /// Deletes a group without members and its offsets, as soon as the broker has seen the last member leave.
    pub(crate) fn delete_group(&self, group: &str) {
        eventually(REQUEST, &format!("the group {group} can be deleted"), || {
            let results = self.ask("delete group", self.client.delete_groups(&[group], &self.options));
            results.into_iter().all(|result| result.is_ok()).then_some(())
        });
    }

    /// Deletes what a group without members has committed for one partition.
    pub(crate) fn delete_committed(&self, group: &str, topic: &str, partition: i32) {
        let what = format!("the offset of {group} for {topic}/{partition} can be deleted");
        eventually(REQUEST, &what, || offset_delete(&self.brokers, group, topic, partition).ok());
    }

    /// A view of what a group has committed.
    pub(crate) fn group(&self, group: &str) -> Group {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .create()
            .expect("a consumer's configuration is valid");
        Group { consumer }
    }
}

/// Committed offsets of one group, read without joining it.
pub(crate) struct Group {
    consumer: BaseConsumer,
}

impl Group {
    /// Committed offsets of all partitions of the topics; partitions without one are left out. None: the broker
    /// cannot say now (a transaction is being decided, or it is down).
    pub(crate) fn committed(&self, topics: &[(&str, i32)]) -> Option<BTreeMap<Partition, i64>> {
        let mut partitions = TopicPartitionList::new();
        for &(topic, count) in topics {
            partitions.add_partition_range(topic, 0, count - 1);
        }
        let committed = self.consumer.committed_offsets(partitions, Duration::from_secs(5)).ok()?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error().ok()?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert((element.topic().to_owned(), element.partition()), offset);
            }
        }
        Some(offsets)
    }

    /// Where each partition ends: the offset behind its last record.
    pub(crate) fn ends(&self, topics: &[(&str, i32)]) -> Option<BTreeMap<Partition, i64>> {
        let mut ends = BTreeMap::new();
        for &(topic, count) in topics {
            // Partitions that were added are unknown to the client until it asks.
            self.consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
            for partition in 0..count {
                let (_, end) = self.consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).ok()?;
                ends.insert((topic.to_owned(), partition), end);
            }
        }
        Some(ends)
    }
}

/// An `OffsetDelete` request (api key 47, version 0), which the Rust client lacks, to the one node that there is.
fn offset_delete(broker: &str, group: &str, topic: &str, partition: i32) -> io::Result<()> {
    const API_KEY: i16 = 47;
    const VERSION: i16 = 0;
    const CORRELATION: i32 = 1;
    const NO_CLIENT_ID: i16 = -1;
    const ONE: i32 = 1;
    let text = |text: &str| {
        let length = i16::try_from(text.len()).expect("a name is short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let request = [
        &API_KEY.to_be_bytes()[..],
        &VERSION.to_be_bytes(),
        &CORRELATION.to_be_bytes(),
        &NO_CLIENT_ID.to_be_bytes(),
        &text(group),
        &ONE.to_be_bytes(),
        &text(topic),
        &ONE.to_be_bytes(),
        &partition.to_be_bytes(),
    ]
    .concat();
    let size = i32::try_from(request.len()).expect("a request is short");
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(REQUEST))?;
    stream.write_all(&[&size.to_be_bytes()[..], &request].concat())?;

    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut reply = vec![0; usize::try_from(i32::from_be_bytes(size)).map_err(io::Error::other)?];
    stream.read_exact(&mut reply)?;
    // The reply: correlation id, error of the whole, …, error of the partition.
    match (reply.get(4..6), reply.last_chunk::<2>()) {
        (Some([0, 0]), Some([0, 0])) => Ok(()),
        errors => Err(io::Error::other(format!("the offset is not deleted: {errors:?}"))),
    }
}
