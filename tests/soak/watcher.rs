//! A consumer downstream that notes how long each post took: from its record's timestamp to the moment at which a
//! `read_committed` reader has its labels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, Message, TopicPartitionList};
use serde_json::Value;

/// Reads until it is stopped.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Vec<Duration>>,
}

impl Watcher {
    /// Reads all partitions of the topic from their beginnings.
    pub(crate) fn start(brokers: &str, topic: &str) -> Self {
        const CALL: Duration = Duration::from_secs(10);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "watcher-never-joins")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .expect("a reader's configuration is valid");
        let metadata = consumer.fetch_metadata(Some(topic), CALL).expect("the broker answers");
        let mut assignment = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let partition = assignment.add_partition_offset(topic, partition.id(), Offset::Beginning);
            partition.expect("a partition that exists");
        }
        consumer.assign(&assignment).expect("an assignment of existing partitions");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let reading = thread::spawn(move || {
            let mut took = Vec::new();
            loop {
                match consumer.poll(Duration::from_millis(200)) {
                    Some(message) => took.push(age(message.expect("the topic can be read").payload())),
                    None if stopped.load(Ordering::Relaxed) => return took,
                    None => {}
                }
            }
        });
        Self { stop, reading }
    }

    /// Reads what is left, and gives the times, the shortest first.
    pub(crate) fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.reading.join().expect("the watcher reads on");
        took.sort();
        took
    }
}

/// The time since the input record of this output was produced.
fn age(output: Option<&[u8]>) -> Duration {
    let output: Value = serde_json::from_slice(output.expect("an output is no tombstone")).expect("JSON");
    let produced = output["source"]["timestamp"].as_u64().expect("milliseconds since 1970");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.saturating_sub(Duration::from_millis(produced))
}
