//! What a lane does between two batches: join, ask the broker where to go on, read, hold.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use rdkafka::error::RDKafkaErrorCode;

use super::{Backoff, IDLE, Lane};
use crate::kafka::{BrokerError, Clients, LaneConsumer, Lost, Names, Note, Partition, Resumed};

/// What a lane reads, since the broker said from where.
pub(super) struct Reading {
    pub(super) epoch: u64,
    /// The next batch is to show whether what paused the lane is over.
    pub(super) probe: bool,
    pub(super) slots: Vec<Slot>,
    pub(super) notes: BTreeMap<String, Note>,
}

impl Reading {
    /// Whether a topic has another id than the one that is committed with its offsets.
    fn is_recreated(&self, ids: &BTreeMap<String, String>) -> bool {
        self.notes.iter().any(|(topic, note)| ids.get(topic).is_some_and(|id| !id.is_empty() && *id != note.topic_id))
    }
}

/// A partition that a lane reads.
pub(super) struct Slot {
    pub(super) partition: Partition,
    /// The next offset to poll.
    pub(super) next: i64,
    pub(super) output: Option<i32>,
    pub(super) dead_letter: Option<i32>,
}

/// What a session does next.
enum Stance {
    /// Asks the broker where to go on, not before this time.
    Resume {
        /// The earliest time.
        at: Instant,
        /// One batch is to show whether what paused the lane is over.
        probe: bool,
    },
    /// Reads and labels.
    Read(Reading),
    /// Reads nothing until this time, if ever; polling goes on.
    Hold(Option<Instant>),
}

/// How a batch ended.
pub(super) enum Ended {
    /// Outputs and offsets are committed.
    Committed,
    /// Go on from the committed offsets.
    Rewind(String),
    /// Throw the producer away, then go on from the committed offsets.
    Renew(BrokerError),
    /// This user lacks a permission.
    Denied(BrokerError),
    /// Stop reading for a while.
    Hold(&'static str, String),
}

impl Lane {
    /// The life of one pair of clients.
    pub(super) fn session(&mut self, mut clients: Clients) -> Result<(), BrokerError> {
        let ended = self.serve(&mut clients);
        let config = &self.shared.config;
        let leave = ended.is_ok() && config.worker.leave_group;
        clients.close(leave, config.worker.shutdown_timeout.0);
        ended
    }

    fn serve(&mut self, clients: &mut Clients) -> Result<(), BrokerError> {
        self.shared.readiness.set(&self.condition, "joining the group");
        self.tell_whether_topics_match(&clients.consumer);
        let mut stance = Stance::Hold(None);
        let mut epoch = clients.consumer.epoch();
        let mut backoff = Backoff::default();
        let mut checked = Instant::now();
        while !self.stopping() {
            if let Some(error) = clients.consumer.fatal() {
                return Err(error);
            }
            self.heartbeat.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
            if clients.consumer.epoch() != epoch {
                epoch = clients.consumer.epoch();
                stance = self.rebalanced(&clients.consumer);
                continue;
            }
            if checked.elapsed() >= self.shared.config.kafka.topic_check_interval.0 {
                checked = Instant::now();
                stance = self.check_topics(clients, stance);
            }
            stance = match stance {
                Stance::Hold(Some(until)) if Instant::now() >= until => Stance::Resume { at: until, probe: true },
                Stance::Resume { at, probe } if Instant::now() >= at => {
                    self.resume(clients, epoch, probe, &mut backoff)?
                }
                waiting @ (Stance::Hold(_) | Stance::Resume { .. }) => {
                    // Nothing is assigned to read: whatever comes is stale. The poll serves the callbacks.
                    let polled = clients.consumer.poll(IDLE).and_then(Result::err);
                    if polled.as_ref().is_some_and(BrokerError::is_unauthorized) {
                        return polled.map_or(Ok(()), Err);
                    }
                    if let Some(error) = polled.filter(|_| clients.consumer.assigned().is_none()) {
                        self.complain(&error);
                    }
                    if clients.consumer.stands_by() {
                        self.shared.readiness.clear(&self.condition);
                    }
                    waiting
                }
                Stance::Read(mut reading) => match self.batch(clients, &mut reading) {
                    None => Stance::Read(reading),
                    Some(ended) => self.after(clients, reading, ended, &mut backoff)?,
                },
            };
        }
        Ok(())
    }

    /// The group does not take this lane in; the client tries again by itself.
    fn complain(&self, error: &BrokerError) {
        let mut reason = format!("waiting for the group: {error}");
        if error.code == Some(RDKafkaErrorCode::InconsistentGroupProtocol) {
            reason.push_str(
                "; its members have another kafka.group_protocol: eager and cooperative ones cannot share a group, so \
                 stop them all before the first one starts anew",
            );
        }
        // Each try fails alike: only the first is news.
        if self.shared.readiness.set(&self.condition, &reason) {
            tracing::warn!(lane = self.index, reason);
        }
    }

    /// What follows a batch.
    fn after(
        &mut self,
        clients: &mut Clients,
        mut reading: Reading,
        ended: Ended,
        backoff: &mut Backoff,
    ) -> Result<Stance, BrokerError> {
        match ended {
            Ended::Committed => {
                backoff.reset();
                if std::mem::take(&mut reading.probe) {
                    self.pause(None);
                    self.shared.readiness.clear(&self.condition);
                    tracing::info!(lane = self.index, "the probe went well: the lane works again");
                }
                Ok(Stance::Read(reading))
            }
            Ended::Rewind(reason) => {
                tracing::warn!(lane = self.index, reason, "batch given up; going on from the committed offsets");
                clients.consumer.read_nothing()?;
                Ok(Stance::Resume { at: Instant::now() + backoff.next(), probe: reading.probe })
            }
            Ended::Renew(error) => {
                clients.consumer.read_nothing()?;
                if error.is_fenced() {
                    return Err(BrokerError { fatal: true, ..error });
                }
                tracing::warn!(lane = self.index, %error, "the producer is lost; a new one asks the broker where to go on");
                clients.renew_publisher(self.index)?;
                Ok(Stance::Resume { at: Instant::now(), probe: reading.probe })
            }
            Ended::Denied(error) => Err(error),
            Ended::Hold(kind, reason) => self.hold(&clients.consumer, kind, &reason),
        }
    }

    /// The group gave this lane other partitions, or took them.
    fn rebalanced(&mut self, consumer: &LaneConsumer) -> Stance {
        self.pause(None);
        let Some(assigned) = consumer.assigned() else {
            tracing::info!(lane = self.index, "partitions revoked");
            self.shared.lanes.assigned(self.index, None);
            self.shared.readiness.set(&self.condition, "the group rebalances");
            return Stance::Hold(None);
        };
        tracing::info!(lane = self.index, partitions = %Names(&assigned), "assignment");
        let held = assigned.iter().map(|partition| (partition.topic.clone(), partition.number)).collect();
        self.shared.lanes.assigned(self.index, Some(held));
        if assigned.is_empty() {
            // More lanes than partitions: a stand-by has nothing to do, and is ready to take over.
            Stance::Hold(None)
        } else {
            self.shared.readiness.set(&self.condition, "asking for the committed offsets");
            Stance::Resume { at: Instant::now(), probe: false }
        }
    }

    /// Whether the input topics are still the ones that the lane's positions belong to.
    fn check_topics(&self, clients: &mut Clients, stance: Stance) -> Stance {
        match clients.check_topics() {
            Ok(ids) => {
                self.tell_whether_topics_match(&clients.consumer);
                match stance {
                    Stance::Read(reading) if reading.is_recreated(&ids) => {
                        tracing::warn!(
                            lane = self.index,
                            "an input topic was made anew; asking the broker where to go on"
                        );
                        Stance::Resume { at: Instant::now(), probe: reading.probe }
                    }
                    other => other,
                }
            }
            Err(error) => {
                tracing::warn!(lane = self.index, %error, "the input topics cannot be found");
                let condition = self.topics_condition();
                self.shared.readiness.set(&condition, format!("the input topics cannot be found: {error}"));
                stance
            }
        }
    }

    /// A lane without a topic waits for one, unready: nobody may take its silence for an empty topic.
    fn tell_whether_topics_match(&self, consumer: &LaneConsumer) {
        let (readiness, condition) = (&self.shared.readiness, self.topics_condition());
        if consumer.topics().is_empty() {
            let topics = self.shared.config.input.topics.join(", ");
            readiness.set(&condition, format!("no topic matches input.topics = {topics} yet"));
        } else {
            readiness.clear(&condition);
        }
    }

    fn topics_condition(&self) -> String {
        format!("{}-topics", self.condition)
    }

    fn resume(
        &mut self,
        clients: &mut Clients,
        epoch: u64,
        probe: bool,
        backoff: &mut Backoff,
    ) -> Result<Stance, BrokerError> {
        let assigned = clients.consumer.assigned().unwrap_or_default();
        match clients.resume(&assigned) {
            Resumed::Reading { positions, notes, lost, batches } => {
                for lost in &lost {
                    self.shared.cluster.report_lost(lost);
                }
                self.settle_uncertain(&batches);
                let cluster = &self.shared.cluster;
                let slots = positions.iter().map(|(partition, offset)| {
                    clients.consumer.lag().begin(partition, *offset);
                    Slot {
                        next: *offset,
                        output: cluster.partition_for(&cluster.output, partition),
                        dead_letter: cluster.partition_for(&cluster.dead_letter, partition),
                        partition: partition.clone(),
                    }
                });
                let slots = slots.collect();
                if !probe {
                    self.shared.readiness.clear(&self.condition);
                }
                Ok(Stance::Read(Reading { epoch, probe, slots, notes }))
            }
            Resumed::Later(reason) => {
                tracing::debug!(lane = self.index, reason, "cannot read yet");
                self.shared.readiness.set(&self.condition, reason);
                Ok(Stance::Resume { at: Instant::now() + backoff.next(), probe })
            }
            Resumed::Stopped(lost) => {
                for lost in &lost {
                    self.shared.cluster.report_lost(lost);
                }
                self.pause(Some("position_lost"));
                self.shared.readiness.set(&self.condition, format!("position lost: {}", describe(&lost)));
                clients.consumer.read_nothing()?;
                Ok(Stance::Hold(None))
            }
            Resumed::Denied(error) => Err(error),
            Resumed::Broken(error) => {
                clients.renew_publisher(self.index)?;
                tracing::warn!(lane = self.index, %error, "offsets of unknown result; asking the broker");
                Ok(Stance::Resume { at: Instant::now() + backoff.next(), probe })
            }
        }
    }

    /// Stops reading and says why; one batch is probed later.
    fn hold(&mut self, consumer: &LaneConsumer, kind: &'static str, reason: &str) -> Result<Stance, BrokerError> {
        consumer.read_nothing()?;
        let interval = self.shared.config.breaker.probe_interval.0;
        self.pause(Some(kind));
        self.shared.readiness.set(&self.condition, reason);
        tracing::error!(lane = self.index, kind, probe_in = ?interval, "the lane pauses and keeps every record: {reason}");
        Ok(Stance::Hold(Some(Instant::now() + interval)))
    }
}

fn describe(lost: &[Lost]) -> String {
    let each = lost.iter().map(|lost| format!("{} {} ({})", lost.partition, lost.cause.as_str(), lost.found));
    each.collect::<Vec<_>>().join("; ")
}
