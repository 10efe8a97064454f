//! Reading a whole topic, as a consumer downstream sees it or with aborted records too.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;

use super::eventually;

/// Whether aborted records are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// As every consumer downstream should read.
    Committed,
    /// Aborted records too.
    Uncommitted,
}

/// A record of an output or dead-letter topic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Topic.
    pub(crate) topic: String,
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Option<Vec<u8>>,
    /// Headers.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn new(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
        });
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// A header's value as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> Value {
        self.value.as_deref().and_then(|value| serde_json::from_slice(value).ok()).unwrap_or(Value::Null)
    }
}

/// All records of a topic, as far as it reaches now. Waits for open transactions to be decided.
pub(crate) fn read(brokers: &str, topic: &str, isolation: Isolation) -> Vec<Record> {
    const DEADLINE: Duration = Duration::from_secs(40);
    const CALL: Duration = Duration::from_secs(5);
    let reader = |level: &str| -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "oracle-never-joins")
            .set("isolation.level", level)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "20000000")
            .set("fetch.queue.backoff.ms", "10")
            .create()
            .expect("a reader's configuration is valid")
    };
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let (raw, consumer) = (reader("read_uncommitted"), reader(level));
    let metadata = consumer.fetch_metadata(Some(topic), CALL).expect("the broker answers");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();

    // A read_committed client is told the last stable offset: it is the end once no transaction is open.
    for &partition in &partitions {
        eventually(DEADLINE, &format!("no transaction is open in {topic}/{partition}"), || {
            let (_, end) = raw.fetch_watermarks(topic, partition, CALL).ok()?;
            let (_, stable) = consumer.fetch_watermarks(topic, partition, CALL).ok()?;
            (stable == end).then_some(())
        });
    }

    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition that exists");
    }
    consumer.assign(&assignment).expect("an assignment of existing partitions");
    let mut records = Vec::new();
    let mut open: BTreeSet<i32> = partitions.into_iter().collect();
    while !open.is_empty() {
        match consumer.poll(DEADLINE) {
            Some(Ok(message)) => records.push(Record::new(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            None => panic!("{topic} says nothing for {DEADLINE:?}; partitions not at their end: {open:?}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
