//! The archivers' side of Kafka: a member of their group that reads the output topic, told where by the archive.
//!
//! The group shares out the partitions and nothing more: where to read on is what the archive's claims say, and
//! the group's committed offset is a hint that also names the archive (I6).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::Producer;
use rdkafka::{Message, Offset, TopicPartitionList};
use sha2::{Digest, Sha256};

use super::access::{Access, Link};
use super::cluster::{self, ClusterError};
use super::consumer::LaneConsumer;
use super::failure::BrokerError;
use super::inputs::Inputs;
use super::lag::Lag;
use super::positions::Partition;
use super::tail::{Tail, offset_at};
use super::{client, native};
use crate::config::{Config, GroupProtocol};
use crate::telemetry::Metrics;

/// How long one look into a queue waits.
const LOOK: Duration = Duration::from_millis(100);

/// What archivers know of the cluster.
pub(crate) struct OutputTopic {
    config: Config,
    access: Access,
    metrics: Arc<Metrics>,
    instance: String,
    embedded: bool,
    /// Empty where the broker has none.
    pub(crate) cluster_id: String,
    /// The topic's name.
    pub(crate) topic: String,
    /// The topic's id when this process first saw it; its name's stand-in where the broker has none.
    pub(crate) topic_id: String,
}

/// What one poll gave.
pub(crate) enum Polled<'a> {
    /// A committed record.
    Record(BorrowedMessage<'a>),
    /// All committed records of the partition were given.
    End(i32),
}

/// The offsets that a partition holds: `low` to before `stable`, behind which transactions may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) low: i64,
    pub(crate) stable: i64,
}

/// What the group has noted of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) offset: i64,
    /// The archive that committed it.
    pub(crate) archive: String,
}

impl OutputTopic {
    /// Asks the broker for the cluster's and the topic's id.
    ///
    /// # Errors
    /// When no broker answers, the topic is missing, or the broker lets this worker not in.
    pub(crate) fn open(config: &Config, metrics: &Arc<Metrics>, instance: &str) -> Result<Self, ClusterError> {
        let access = Access::new(config)?;
        let (topic, timeout) = (config.output.topic.clone(), config.kafka.request_deadline.0);
        cluster::reach(&access, config, &topic)?;
        let settings = |error: BrokerError| ClusterError::Settings(error.to_string());
        let client = access.enquirer().map_err(settings)?;
        cluster::partitions(client.client(), config, "output.topic", &topic, timeout)?;
        let cluster_id = client.client().fetch_cluster_id(timeout).unwrap_or_default();
        let mut found = Self {
            embedded: cluster::is_embedded(client.client(), timeout),
            config: config.clone(),
            access,
            metrics: metrics.clone(),
            instance: instance.to_owned(),
            cluster_id,
            topic_id: String::new(),
            topic,
        };
        let brokers = || config.kafka.brokers.clone();
        found.topic_id = found
            .id_now()
            .map_err(|error| ClusterError::Unreachable { brokers: brokers(), reason: error.to_string() })?;
        Ok(found)
    }

    /// The topic's id as it is now.
    pub(crate) fn id_now(&self) -> Result<String, BrokerError> {
        let stand_in = || format!("name-{}", self.topic);
        if self.embedded {
            return Ok(stand_in());
        }
        let client = self.access.enquirer()?;
        let topics = [self.topic.clone()];
        let ids = native::topic_ids(client.client(), &topics, self.config.kafka.request_deadline.0)?;
        Ok(ids.into_iter().next().filter(|id| !id.is_empty()).map_or_else(stand_in, |id| as_name(&id)))
    }

    /// Joins the archivers' group.
    pub(crate) fn join(&self) -> Result<OutputReader, BrokerError> {
        let timeout = self.config.kafka.request_deadline.0;
        let name = format!("{}/{}", self.config.archive_group(), self.instance);
        let stable = !self.config.worker.instance.is_empty();
        let fixed = stable && self.config.kafka.group_protocol != GroupProtocol::Consumer;
        let partitions = self.partitions()?;
        let digest = hex::encode(Sha256::digest(format!("{}\t{partitions}\n", self.topic)));
        let instance_id = fixed.then(|| format!("{name}/{}", &digest[..8]));
        let settings = client::archiver(&self.config, &name, instance_id.as_deref());
        let topics = std::iter::once(self.topic.clone()).collect();
        let lag = Lag::new(self.metrics.clone());
        let rebalances = &self.metrics.archive.rebalances;
        let consumer = LaneConsumer::subscribe(&self.access, &settings, topics, timeout, lag, rebalances)?;
        Ok(OutputReader { consumer, topic: self.topic.clone(), timeout })
    }

    /// How many partitions the topic has now.
    pub(crate) fn partitions(&self) -> Result<i32, BrokerError> {
        let client = self.access.enquirer()?;
        let metadata = client.client().fetch_metadata(Some(&self.topic), self.config.kafka.request_deadline.0)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        let count = found.map_or(0, |found| found.partitions().len());
        i32::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| BrokerError::local("the output topic is gone"))
    }

    /// Calls `each` with every committed record of `start..end` that the topic still holds.
    pub(crate) fn read_range(
        &self,
        partition: i32,
        start: i64,
        end: i64,
        deadline: Duration,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), BrokerError> {
        let consumer = self.loner(&self.config.archive_group())?;
        let (low, _) = consumer.fetch_watermarks(&self.topic, partition, self.config.kafka.request_deadline.0)?;
        if low >= end {
            return Ok(());
        }
        assign(&consumer, &self.topic, partition, start.max(low))?;
        let give_up = Instant::now() + deadline;
        while Instant::now() < give_up {
            match consumer.poll(LOOK) {
                Some(Ok(record)) if record.offset() >= end => return Ok(()),
                Some(Ok(record)) => {
                    each(&record);
                    if record.offset() + 1 == end {
                        return Ok(());
                    }
                }
                // The range ends at a transaction's marker, which nobody is given.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
        }
        Err(BrokerError::local("the claimed records could not be read again in time"))
    }

    /// Its committed records from an instant on, in milliseconds since 1970, for who belongs to no group.
    pub(crate) fn tail(&self, since: i64) -> Result<Tail, BrokerError> {
        Tail::open(&self.config, &self.access, &self.topic, Some(since))
    }

    /// What a partition holds, whoever it is assigned to.
    pub(crate) fn held(&self, partition: i32) -> Result<Held, BrokerError> {
        let client = self.access.enquirer()?;
        let timeout = self.config.kafka.request_deadline.0;
        let (low, stable) = client.client().fetch_watermarks(&self.topic, partition, timeout)?;
        Ok(Held { low, stable })
    }

    /// What the archivers' group has noted of these partitions.
    pub(crate) fn hints(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Hint>, BrokerError> {
        let consumer = self.loner(&self.config.archive_group())?;
        hints(&consumer, &self.topic, partitions, self.config.kafka.request_deadline.0)
    }

    /// Sets what the archivers' group has noted; the broker refuses while the group has members.
    pub(crate) fn note(&self, partition: i32, hint: &Hint) -> Result<(), BrokerError> {
        let consumer = self.loner(&self.config.archive_group())?;
        Ok(consumer.commit(&noted(&self.topic, partition, hint)?, CommitMode::Sync)?)
    }

    /// Whether the partition's last stable offset is its end: no transaction is open there.
    pub(crate) fn is_settled(&self, partition: i32, held: Held) -> Result<bool, BrokerError> {
        let mut settings = client::loner(&self.config, &self.config.archive_group());
        settings.set("isolation.level", "read_uncommitted");
        let consumer = self.access.consumer(&settings, self.access.quiet_link())?;
        let (_, high) = consumer.fetch_watermarks(&self.topic, partition, self.config.kafka.request_deadline.0)?;
        Ok(high == held.stable)
    }

    /// Whether the labelling group has labelled every record of its inputs.
    pub(crate) fn inputs_are_labelled(&self) -> Result<bool, BrokerError> {
        self.inputs_are_labelled_to(None)
    }

    /// Whether it has labelled every one that arrived before a moment, in milliseconds since 1970.
    pub(crate) fn inputs_are_labelled_before(&self, moment: i64) -> Result<bool, BrokerError> {
        self.inputs_are_labelled_to(Some(moment))
    }

    fn inputs_are_labelled_to(&self, moment: Option<i64>) -> Result<bool, BrokerError> {
        let timeout = self.config.kafka.request_deadline.0;
        let consumer = self.loner(&self.config.kafka.group)?;
        let inputs = Inputs::new(&self.config).now(consumer.client(), timeout)?;
        let mut asked = TopicPartitionList::new();
        for (topic, partitions) in &inputs {
            asked.add_partition_range(topic, 0, i32::try_from(*partitions).unwrap_or(i32::MAX) - 1);
        }
        for element in consumer.committed_offsets(asked, timeout)?.elements() {
            element.error()?;
            let (topic, partition) = (element.topic(), element.partition());
            let (low, stable) = consumer.fetch_watermarks(topic, partition, timeout)?;
            let committed = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            let arrived_later = match moment {
                Some(moment) => offset_at(&consumer, topic, partition, moment, timeout)?,
                None => None,
            };
            let end = arrived_later.unwrap_or(stable);
            if committed < end && first_record(&consumer, topic, partition, committed)?.is_some_and(|first| first < end)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn loner(&self, group: &str) -> Result<BaseConsumer<Link>, BrokerError> {
        self.access.consumer(&client::loner(&self.config, group), self.access.quiet_link())
    }
}

/// An id as a name in a store, the way Kafka itself writes ids: the client's base64 has slashes.
fn as_name(id: &str) -> String {
    id.replace('/', "_").replace('+', "-")
}

/// The first record at this offset or behind it; none where there are markers only. At the offset itself if nothing is
/// given in time.
fn first_record(
    consumer: &BaseConsumer<Link>,
    topic: &str,
    partition: i32,
    from: i64,
) -> Result<Option<i64>, BrokerError> {
    assign(consumer, topic, partition, from)?;
    let give_up = Instant::now() + Duration::from_secs(10);
    while Instant::now() < give_up {
        match consumer.poll(LOOK) {
            Some(Ok(record)) => return Ok(Some(record.offset())),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(Some(from))
}

fn hints<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> Result<BTreeMap<i32, Hint>, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let mut hints = BTreeMap::new();
    for element in consumer.committed_offsets(list, timeout)?.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            hints.insert(element.partition(), Hint { offset, archive: element.metadata().to_owned() });
        }
    }
    Ok(hints)
}

fn noted(topic: &str, partition: i32, hint: &Hint) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(hint.offset))?;
    element.set_metadata(&hint.archive);
    Ok(list)
}

fn assign(consumer: &BaseConsumer<Link>, topic: &str, partition: i32, from: i64) -> Result<(), BrokerError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(from))?;
    Ok(consumer.assign(&list)?)
}

/// A member of the archivers' group.
pub(crate) struct OutputReader {
    consumer: LaneConsumer,
    topic: String,
    timeout: Duration,
}

impl OutputReader {
    /// Waits for one record, or the end of a partition.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<Result<Polled<'_>, BrokerError>> {
        Some(match self.consumer.base().poll(timeout)? {
            Ok(record) => Ok(Polled::Record(record)),
            Err(KafkaError::PartitionEOF(partition)) => Ok(Polled::End(partition)),
            Err(error) => Err(error.into()),
        })
    }

    /// The fatal error that this client has run into, if any.
    pub(crate) fn fatal(&self) -> Option<BrokerError> {
        self.consumer.fatal()
    }

    /// Counts the changes of the assignment.
    pub(crate) fn epoch(&self) -> u64 {
        self.consumer.epoch()
    }

    /// The partitions of this member; `None` while the group rebalances.
    pub(crate) fn assigned(&self) -> Option<Vec<i32>> {
        Some(self.consumer.assigned()?.into_iter().map(|partition| partition.number).collect())
    }

    /// Whether it has joined and nothing was given to it.
    pub(crate) fn stands_by(&self) -> bool {
        self.consumer.stands_by()
    }

    /// Reads from these offsets, and only from these partitions; what was fetched before is dropped.
    pub(crate) fn read_from(&self, positions: &BTreeMap<i32, i64>) -> Result<(), BrokerError> {
        let positions = positions.iter().map(|(number, offset)| (self.partition(*number), *offset));
        self.consumer.read_from(&positions.collect())
    }

    /// Goes back, or on, to this offset of one partition; what was fetched of it before is dropped.
    pub(crate) fn seek(&self, partition: i32, offset: i64) -> Result<(), BrokerError> {
        Ok(self.consumer.base().seek(&self.topic, partition, Offset::Offset(offset), self.timeout)?)
    }

    /// Stops or resumes the fetching of everything that is read.
    pub(crate) fn hold(&self, hold: bool) -> Result<(), BrokerError> {
        let reading = self.consumer.base().assignment()?;
        let base = self.consumer.base();
        Ok(if hold { base.pause(&reading) } else { base.resume(&reading) }?)
    }

    /// What the partition holds.
    pub(crate) fn held(&self, partition: i32) -> Result<Held, BrokerError> {
        let bounds = self.consumer.bounds(&self.partition(partition))?;
        Ok(Held { low: bounds.low, stable: bounds.high })
    }

    /// What the group has noted of these partitions.
    pub(crate) fn hints(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Hint>, BrokerError> {
        hints(self.consumer.base(), &self.topic, partitions, self.timeout)
    }

    /// Notes with the group that all before `offset` is in this archive.
    pub(crate) fn note(&self, partition: i32, hint: &Hint) -> Result<(), BrokerError> {
        self.consumer.commit(&noted(&self.topic, partition, hint)?)
    }

    /// Leaves, or is waited for if it is a static member and `leave` is not set.
    pub(crate) fn close(self, leave: bool, deadline: Duration) {
        self.consumer.close(leave, deadline);
    }

    fn partition(&self, number: i32) -> Partition {
        Partition { topic: self.topic.clone(), number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_name_in_a_store() {
        assert_eq!(as_name("X3//hw+RqSHdx1tkecsvw"), "X3__hw-RqSHdx1tkecsvw");
    }
}
