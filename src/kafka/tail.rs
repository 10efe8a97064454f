//! Reads a topic as far as it reaches now, belonging to no group: nobody else's partitions or offsets change by it.
//!
//! Each time the ends are asked for first and then read up to, transaction markers included, so that afterwards
//! everything that was committed before is known to have been seen. Between two times nothing is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::access::{Access, Link};
use super::failure::BrokerError;
use super::{client, cluster, native};
use crate::config::Config;

/// How long one look into the queue waits.
const LOOK: Duration = Duration::from_millis(100);

/// A committed record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read<'a> {
    pub(crate) partition: i32,
    /// Its timestamp, in milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// A topic's committed records, from some time on.
pub(crate) struct Tail {
    consumer: BaseConsumer<Link>,
    topic: String,
    /// What the broker called it at first; none where it does not tell.
    id: Option<String>,
    /// By partition, the offset of the next record.
    next: BTreeMap<i32, i64>,
    /// Partitions that have lost the beginning of the time that was asked for, or may have.
    cut: BTreeSet<i32>,
    timeout: Duration,
}

impl Tail {
    /// Begins with the first record of each partition from `since` on, in milliseconds since 1970; with its very first
    /// unless given.
    ///
    /// # Errors
    /// When the broker does not answer, or lets this user not read the topic.
    pub(crate) fn open(config: &Config, access: &Access, topic: &str, since: Option<i64>) -> Result<Self, BrokerError> {
        // The group is named because the client wants one; nothing is asked of it.
        let consumer = access.consumer(&client::loner(config, &config.kafka.group), access.quiet_link())?;
        let timeout = config.kafka.request_deadline.0;
        let id = if cluster::is_embedded(consumer.client(), timeout) {
            None
        } else {
            native::topic_ids(consumer.client(), &[topic.to_owned()], timeout)?.into_iter().next()
        };
        let (next, cut) = (BTreeMap::new(), BTreeSet::new());
        let mut tail = Self { consumer, topic: topic.to_owned(), id, next, cut, timeout };
        for partition in 0..tail.partitions()? {
            let (low, end) = tail.bounds(partition)?;
            let begin = match since {
                Some(since) => offset_at(&tail.consumer, topic, partition, since, timeout)?.unwrap_or(end).max(low),
                None => low,
            };
            if begin == low && low > 0 {
                tail.cut.insert(partition);
            }
            tail.next.insert(partition, begin);
        }
        Ok(tail)
    }

    /// The partitions whose records of the time that was asked for may have been removed in part before it was opened.
    pub(crate) fn cut(&self) -> &BTreeSet<i32> {
        &self.cut
    }

    /// Calls `each` with every record that was committed before this, in order by partition. Whether all of them were
    /// given: after `limit` the rest is left for the next time.
    ///
    /// # Errors
    /// When the broker does not answer, or has lost records that were not read yet: then [`BrokerError::is_out_of_range`].
    pub(crate) fn read_on(&mut self, limit: Duration, mut each: impl FnMut(Read<'_>)) -> Result<bool, BrokerError> {
        self.verify_id()?;
        let mut list = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..self.partitions()? {
            let (low, end) = self.bounds(partition)?;
            // One that was added begins at its beginning.
            let next = *self.next.entry(partition).or_insert(0);
            if next < low || next > end {
                return Err(BrokerError::out_of_range(&format!(
                    "{}/{partition} holds the offsets {low} to {end}, and {next} was to be read next",
                    self.topic
                )));
            }
            if next < end {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(next))?;
                ends.insert(partition, end);
            }
        }
        if ends.is_empty() {
            return Ok(true);
        }
        self.consumer.assign(&list)?;
        let read = self.read_to(ends, limit, &mut each);
        // What was fetched beyond the ends is read again: nothing is kept between two times.
        self.consumer.unassign()?;
        read
    }

    fn read_to(
        &mut self,
        mut ends: BTreeMap<i32, i64>,
        limit: Duration,
        each: &mut impl FnMut(Read<'_>),
    ) -> Result<bool, BrokerError> {
        let (started, mut heard) = (Instant::now(), Instant::now());
        while !ends.is_empty() {
            if started.elapsed() > limit {
                return Ok(false);
            }
            match self.consumer.poll(LOOK) {
                Some(Ok(record)) => {
                    heard = Instant::now();
                    let (partition, offset) = (record.partition(), record.offset());
                    let Some(end) = ends.get(&partition).copied() else { continue };
                    if offset < end {
                        let timestamp = record.timestamp().to_millis();
                        each(Read { partition, timestamp, key: record.key(), value: record.payload() });
                    }
                    if offset + 1 >= end {
                        ends.remove(&partition);
                    }
                    self.next.insert(partition, (offset + 1).min(end));
                }
                // Behind the last record there may be markers, which nobody is given.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(end) = ends.remove(&partition) {
                        self.next.insert(partition, end);
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None if heard.elapsed() > self.timeout => {
                    return Err(BrokerError::local(&format!("the brokers give no records of {} any more", self.topic)));
                }
                None => {}
            }
        }
        Ok(true)
    }

    /// # Errors
    /// When the topic is another one of the same name.
    fn verify_id(&self) -> Result<(), BrokerError> {
        let Some(id) = &self.id else { return Ok(()) };
        let now = native::topic_ids(self.consumer.client(), std::slice::from_ref(&self.topic), self.timeout)?;
        if now.first() == Some(id) {
            return Ok(());
        }
        Err(BrokerError::out_of_range(&format!("{} was made anew", self.topic)))
    }

    fn partitions(&self) -> Result<i32, BrokerError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), self.timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic).map(MetadataTopic::partitions);
        let count = i32::try_from(found.map_or(0, <[_]>::len)).ok().filter(|count| *count > 0);
        count.ok_or_else(|| BrokerError::local(&format!("the broker does not have the topic {}", self.topic)))
    }

    /// The first offset, and the one after the last that no open transaction hides.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), BrokerError> {
        Ok(self.consumer.fetch_watermarks(&self.topic, partition, self.timeout)?)
    }
}

/// The first offset of a time on, in milliseconds since 1970; none when nothing is that late.
pub(super) fn offset_at(
    consumer: &BaseConsumer<Link>,
    topic: &str,
    partition: i32,
    since: i64,
    timeout: Duration,
) -> Result<Option<i64>, BrokerError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(since))?;
    let found = consumer.offsets_for_times(asked, timeout)?;
    let Some(element) = found.find_partition(topic, partition) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
