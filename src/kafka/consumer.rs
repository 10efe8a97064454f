//! One lane's consumer: assignment epochs, positions and lag.
//!
//! Rebalance callbacks run inside `poll`, on the lane's own thread, so nothing is in flight when
//! partitions are revoked (I3). A callback notes what changed and stops all reading; the lane then asks the
//! broker where to go on and assigns those offsets itself. It is the same with the incremental protocols, which
//! tell what changed only: whatever the lane owns is asked for anew.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::access::{Access, Link};
use super::failure::BrokerError;
use super::lag::Lag;
use super::membership::Membership;
use super::native::GroupMetadata;
use super::note::Note;
use super::positions::{Bounds, Committed, Partition};

/// What librdkafka calls back.
pub(super) struct Callbacks {
    link: Link,
    membership: Mutex<Membership>,
    pub(super) lag: Lag,
    rebalances: Counter,
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn generate_oauth_token(&self, settings: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.generate_oauth_token(settings)
    }

    fn stats(&self, statistics: Statistics) {
        self.lag.observe(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let given = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let incremental = is_incremental(consumer);
        let mut changed = true;
        if let Ok(mut membership) = self.membership.lock() {
            changed = match (given, incremental) {
                (true, false) => membership.assign(list(partitions)),
                (false, false) => membership.unassign(),
                (true, true) => membership.add(list(partitions)),
                (false, true) => membership.remove(&list(partitions)),
            };
        }
        // Nothing is fetched after a change: the lane assigns the offsets once it has asked for them. The client
        // waits for one of these calls, whatever is in it.
        let nothing = TopicPartitionList::new();
        let done = match (given, incremental) {
            (true, false) => consumer.assign(&nothing),
            (false, false) => consumer.unassign(),
            (true, true) => {
                let stopped = if changed { read_nothing(consumer) } else { Ok(()) };
                stopped.and(consumer.incremental_assign(&nothing))
            }
            (false, true) => {
                read_nothing(consumer).or_else(|error| consumer.incremental_unassign(&nothing).and(Err(error)))
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the client refused the group's assignment; the next rebalance repeats it");
        }
        if changed {
            self.rebalances.inc();
            self.lag.clear();
        }
    }
}

/// Whether the group's protocol tells changes only, and takes changes only.
fn is_incremental<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Stops reading everything, under an incremental protocol.
fn read_nothing<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> KafkaResult<()> {
    consumer.incremental_unassign(&consumer.assignment()?)
}

/// A lane's consumer.
pub(crate) struct LaneConsumer {
    base: BaseConsumer<Callbacks>,
    topics: BTreeSet<String>,
    timeout: Duration,
    /// Whether the brokers share out (KIP-848).
    kip_848: bool,
}

impl LaneConsumer {
    /// Creates the client and subscribes; it joins while it is polled.
    pub(super) fn subscribe(
        access: &Access,
        config: &ClientConfig,
        topics: BTreeSet<String>,
        timeout: Duration,
        lag: Lag,
        rebalances: &Counter,
    ) -> Result<Self, BrokerError> {
        let callbacks =
            Callbacks { link: access.link(), membership: Mutex::default(), lag, rebalances: rebalances.clone() };
        let base = access.consumer(config, callbacks)?;
        let kip_848 = config.get("group.protocol") == Some("consumer");
        let mut consumer = Self { base, topics: BTreeSet::new(), timeout, kip_848 };
        if !topics.is_empty() {
            consumer.change_topics(topics)?;
        }
        Ok(consumer)
    }

    /// The topics that it reads; none while no topic matches.
    pub(crate) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// Reads other topics; the group rebalances.
    pub(super) fn change_topics(&mut self, topics: BTreeSet<String>) -> Result<(), BrokerError> {
        if topics.is_empty() {
            self.base.unsubscribe();
        } else {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            self.base.subscribe(&names)?;
        }
        self.topics = topics;
        Ok(())
    }

    pub(super) fn base(&self) -> &BaseConsumer<Callbacks> {
        &self.base
    }

    pub(crate) fn lag(&self) -> &Lag {
        &self.base.context().lag
    }

    /// Waits for one record.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<Result<BorrowedMessage<'_>, BrokerError>> {
        self.base.poll(timeout).map(|polled| polled.map_err(BrokerError::from))
    }

    /// The fatal error that this client has run into, if any: it is reported once, then `poll` is silent.
    pub(crate) fn fatal(&self) -> Option<BrokerError> {
        let (code, message) = self.base.client().fatal_error()?;
        Some(BrokerError { code: Some(code), message, fatal: true, retriable: false, requires_abort: false })
    }

    /// The assignment epoch; what was polled in another one is not committed.
    pub(crate) fn epoch(&self) -> u64 {
        self.base.context().membership.lock().map_or(0, |membership| membership.epoch())
    }

    /// Whether what was polled in this epoch is still this lane's to commit: nothing was taken, and the client has
    /// not found itself thrown out of the group, of which the callback is yet to come.
    pub(crate) fn holds(&self, epoch: u64) -> bool {
        self.epoch() == epoch && !self.base.assignment_lost()
    }

    /// This lane's partitions; `None` while the group rebalances.
    pub(crate) fn assigned(&self) -> Option<Vec<Partition>> {
        self.base.context().membership.lock().ok()?.owned()
    }

    /// Whether this lane has joined and nothing was given to it. With KIP-848 no callback tells of that.
    pub(crate) fn stands_by(&self) -> bool {
        let joined = || GroupMetadata::of(&self.base).is_some_and(|metadata| metadata.generation() > 0);
        match self.assigned() {
            Some(assigned) => assigned.is_empty(),
            None => self.kip_848 && joined(),
        }
    }

    /// Reads from these offsets, and only from these partitions; what was fetched before is dropped.
    pub(super) fn read_from(&self, positions: &BTreeMap<Partition, i64>) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset))?;
        }
        if !is_incremental(&self.base) {
            return Ok(self.base.assign(&list)?);
        }
        read_nothing(&self.base)?;
        if !positions.is_empty() {
            self.base.incremental_assign(&list)?;
        }
        Ok(())
    }

    /// Reads nothing, and stays in the group.
    pub(crate) fn read_nothing(&self) -> Result<(), BrokerError> {
        self.read_from(&BTreeMap::new())
    }

    /// All partitions of the topics that it reads.
    pub(super) fn partitions(&self) -> Result<Vec<Partition>, BrokerError> {
        let mut all = Vec::new();
        for topic in &self.topics {
            let metadata = self.base.fetch_metadata(Some(topic), self.timeout)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let found = found.filter(|found| !found.partitions().is_empty());
            let found = found.ok_or_else(|| BrokerError::local(&format!("the broker knows no topic {topic}")))?;
            all.extend(found.partitions().iter().map(|p| Partition { topic: topic.clone(), number: p.id() }));
        }
        Ok(all)
    }

    /// The group's committed offsets of `partitions`; waits for open transactions to end.
    pub(super) fn committed(
        &self,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Option<Committed>>, BrokerError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        let found = self.base.committed_offsets(list, self.timeout)?;
        found
            .elements()
            .iter()
            .map(|element| {
                element.error()?;
                let partition = Partition { topic: element.topic().to_owned(), number: element.partition() };
                let committed = match element.offset() {
                    Offset::Offset(offset) => {
                        Some(Committed { offset, note: serde_json::from_str(element.metadata()).ok() })
                    }
                    _ => None,
                };
                Ok((partition, committed))
            })
            .collect()
    }

    /// What the log of one partition holds.
    pub(super) fn bounds(&self, partition: &Partition) -> Result<Bounds, BrokerError> {
        let (low, high) = self.base.fetch_watermarks(&partition.topic, partition.number, self.timeout)?;
        Ok(Bounds { low, high })
    }

    /// The first offsets whose records have this timestamp (milliseconds since 1970) or a later one; the end where there is none.
    pub(super) fn offsets_at(
        &self,
        partitions: &[Partition],
        time: i64,
    ) -> Result<BTreeMap<Partition, i64>, BrokerError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(time))?;
        }
        let found = self.base.offsets_for_times(list, self.timeout)?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            let partition = Partition { topic: element.topic().to_owned(), number: element.partition() };
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => self.bounds(&partition)?.high,
            };
            offsets.insert(partition, offset);
        }
        Ok(offsets)
    }

    /// Commits offsets by the consumer itself: for at-least-once delivery.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> Result<(), BrokerError> {
        Ok(self.base.commit(offsets, CommitMode::Sync)?)
    }

    /// Closes the client on a thread of its own: closing can hang while the coordinator is down.
    /// A static member leaves its group only if `leave` is set.
    pub(super) fn close(self, leave: bool, deadline: Duration) {
        let (done, closed) = mpsc::channel();
        let closing = thread::Builder::new().name("close-consumer".to_owned()).spawn(move || {
            if leave {
                self.base.unsubscribe();
                // The poll sends the LeaveGroup of a static member; closing alone does not.
                let _ = self.base.poll(Duration::from_millis(200));
            }
            drop(self);
            let _ = done.send(());
        });
        if closing.is_err() || closed.recv_timeout(deadline).is_err() {
            tracing::warn!("the consumer did not close in time; the group will time it out");
        }
    }
}

/// The offsets to commit with a batch, each with the note that the next assignment checks.
pub(super) fn offsets_to_commit(
    positions: &BTreeMap<Partition, i64>,
    notes: &BTreeMap<String, Note>,
    batch: u64,
) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        let mut element = list.add_partition(&partition.topic, partition.number);
        element.set_offset(Offset::Offset(*offset))?;
        let note = notes.get(&partition.topic).map(|note| Note { batch, ..note.clone() });
        if let Some(note) = note.and_then(|note| serde_json::to_string(&note).ok()) {
            element.set_metadata(note);
        }
    }
    Ok(list)
}

fn list(partitions: &TopicPartitionList) -> Vec<Partition> {
    let elements = partitions.elements();
    elements.iter().map(|e| Partition { topic: e.topic().to_owned(), number: e.partition() }).collect()
}
