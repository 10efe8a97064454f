//! The client settings that the invariants rest on, under whatever else the user passes through.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use sha2::{Digest, Sha256};

use super::failure::message;
use crate::config::{Compression, Config, ConfigErrors, Delivery, GroupProtocol, Partitioner, Problem};

/// Bytes that one lane's consumer may hold fetched and not yet polled (I8).
const FETCHED_KIB: &str = "8192";
/// Bytes that one lane's producer may hold unsent (I8).
const UNSENT_KIB: &str = "65536";
/// librdkafka's own default, an upper bound for `batch.size`.
const BATCH_SIZE: usize = 1_000_000;

/// The names that one lane goes by at the broker. No part holds a '/', so no two lanes share a name.
#[derive(Debug, Clone)]
pub(crate) struct LaneNames {
    /// `<group>/<instance>/<lane>`.
    pub(crate) transactional_id: String,
}

impl LaneNames {
    pub(crate) fn new(group: &str, instance: &str, lane: usize) -> Self {
        Self { transactional_id: format!("{group}/{instance}/{lane}") }
    }

    /// The name of a static member: the same and a hash of the input topics and their numbers of partitions. With an
    /// unchanged name the broker hands back the old assignment, and what has come since stays unread.
    pub(super) fn group_instance_id(&self, inputs: &BTreeMap<String, usize>) -> String {
        let lines = inputs.iter().map(|(topic, partitions)| format!("{topic}\t{partitions}\n"));
        let digest = hex::encode(Sha256::digest(lines.collect::<String>()));
        format!("{}/{}", self.transactional_id, &digest[..8])
    }
}

/// Brokers and whatever else the user passes through.
pub(crate) fn base(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (key, value) in config.kafka.properties.iter() {
        client.set(key, value);
    }
    // At the default of ten seconds a lane finds a restarted broker late.
    set_default(&mut client, "reconnect.backoff.max.ms", "1000");
    client
        .set("bootstrap.servers", &config.kafka.brokers)
        .set("client.software.name", "moodstream")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn set_default(client: &mut ClientConfig, key: &str, value: &str) {
    if client.get(key).is_none() {
        client.set(key, value);
    }
}

/// Whether librdkafka can make a client of these settings: what goes together only shows when one is made, as does
/// a certificate that cannot be read. It connects to nobody.
///
/// # Errors
/// The problem with `kafka.properties`, without any value.
pub fn verify(config: &Config) -> Result<(), ConfigErrors> {
    let mut settings = base(config);
    settings.remove("bootstrap.servers");
    let made: Result<BaseProducer, _> = settings.create();
    made.map(drop).map_err(|error| {
        let remedy = format!("the Kafka client refuses its settings: {}", message(&error));
        ConfigErrors(vec![Problem::about("kafka.properties", remedy)])
    })
}

/// One lane's consumer; a static member if it has an instance id.
pub(super) fn consumer(config: &Config, names: &LaneNames, instance_id: Option<&str>) -> ClientConfig {
    let strategy = if config.input.has_several_topics() { "roundrobin" } else { "range" };
    let mut client = member(config, &config.kafka.group, &names.transactional_id, strategy, instance_id);
    client.set("statistics.interval.ms", "1000");
    client
}

/// The archiver's consumer of the output topic; a static member if it has an instance id.
pub(super) fn archiver(config: &Config, name: &str, instance_id: Option<&str>) -> ClientConfig {
    let mut client = member(config, &config.archive_group(), name, "range", instance_id);
    client.set("enable.partition.eof", "true");
    client
}

/// A consumer that belongs to no group.
pub(super) fn loner(config: &Config, group: &str) -> ClientConfig {
    let mut client = base(config);
    set_default(&mut client, "fetch.queue.backoff.ms", "10");
    set_default(&mut client, "queued.max.messages.kbytes", FETCHED_KIB);
    // It never subscribes: the group is only asked for its offsets.
    client
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true");
    client
}

/// A member of a group that reads committed records only and commits nothing by itself.
fn member(config: &Config, group: &str, name: &str, eager: &str, instance_id: Option<&str>) -> ClientConfig {
    let mut client = base(config);
    let session = config.kafka.session_timeout.0.as_millis();
    set_default(&mut client, "client.id", name);
    // The default of a second stalls a fast partition whenever the queue was full.
    set_default(&mut client, "fetch.queue.backoff.ms", "10");
    set_default(&mut client, "queued.max.messages.kbytes", FETCHED_KIB);
    set_default(&mut client, "fetch.max.bytes", "4194304");
    // Added partitions stay unread for minutes at the default.
    set_default(&mut client, "topic.metadata.refresh.interval.ms", "10000");
    match config.kafka.group_protocol {
        GroupProtocol::Consumer => {
            // Sessions and heartbeats are the brokers' affair.
            client.set("group.protocol", "consumer");
        }
        classic => {
            let strategy = if classic == GroupProtocol::Cooperative { "cooperative-sticky" } else { eager };
            set_default(&mut client, "heartbeat.interval.ms", &(session / 4).to_string());
            client.set("partition.assignment.strategy", strategy).set("session.timeout.ms", session.to_string());
        }
    }
    if let Some(id) = instance_id {
        client.set("group.instance.id", id);
    }
    client
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    client
}

/// One lane's producer; `largest` and `smallest` are the target topics' `max.message.bytes`.
pub(super) fn producer(config: &Config, names: &LaneNames, largest: usize, smallest: usize) -> ClientConfig {
    let mut client = base(config);
    set_default(&mut client, "client.id", &names.transactional_id);
    set_default(&mut client, "linger.ms", "2");
    set_default(&mut client, "retry.backoff.ms", "10");
    set_default(&mut client, "queue.buffering.max.kbytes", UNSENT_KIB);
    let compression = match config.output.compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
    };
    if config.output.partitioner == Partitioner::Key {
        client.set("partitioner", "murmur2_random");
    }
    client
        .set("enable.idempotence", "true")
        .set("compression.type", compression)
        .set("message.max.bytes", largest.to_string())
        // librdkafka does not split a batch that the broker finds too large.
        .set("batch.size", smallest.min(BATCH_SIZE).to_string());
    if config.kafka.delivery == Delivery::ExactlyOnce {
        // Longer, a dead worker's open transaction silences the survivors of its session timeout.
        client
            .set("transactional.id", &names.transactional_id)
            .set("transaction.timeout.ms", config.kafka.session_timeout.0.as_millis().to_string());
    }
    client
}

/// Between two looks for acknowledgements.
const NAP: Duration = Duration::from_micros(500);

/// Takes in what was delivered; gives the core away for a moment when nothing was and more is on its way.
///
/// rdkafka's own waiting would spin: `poll` passes whole milliseconds on, so that it asks with no time, again and
/// again, through the last one. That took more of the cores than tokenizing did. `flush` waits in steps of 100 ms.
pub(super) fn serve<C: ProducerContext>(producer: &BaseProducer<C>) {
    let before = producer.in_flight_count();
    // One event, which may tell of many records.
    producer.poll(Duration::ZERO);
    let left = producer.in_flight_count();
    if left > 0 && left >= before {
        thread::sleep(NAP);
    }
}

/// librdkafka's log lines. It announces every lost connection as an error; for a client that reconnects
/// by itself that is a warning at most.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// librdkafka's global errors: whatever matters is in its log too, or comes back from a call.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    tracing::debug!(%error, "librdkafka: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_names_cannot_collide_and_follow_the_topics_and_their_partitions() {
        let names = LaneNames::new("g", "a-b", 0);
        assert_ne!(names.transactional_id, LaneNames::new("g-a", "b", 0).transactional_id);
        let name = |inputs: &[(&str, usize)]| {
            names.group_instance_id(&inputs.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect())
        };
        assert_eq!(name(&[("p", 2)]), name(&[("p", 2)]));
        assert_ne!(name(&[("p", 2)]), name(&[("p", 2), ("q", 2)]));
        assert_ne!(name(&[("p", 2)]), name(&[("p", 3)]));
        assert!(name(&[]).starts_with("g/a-b/0/"));
    }
}
