//! A lane: one OS thread with one consumer and one producer, in the manner of a Kafka Streams thread.
//!
//! ```text
//! poll ─► decode ─► tokenize ─► classify ─► begin ─► produce ─► send offsets ─► commit ─► poll …
//!   ▲                                          any failure: abort, or throw the producer away
//!   └──────────── read from the committed offsets ◄──────────────┘
//! ```
//!
//! Synchronous on purpose: rebalance callbacks run inside `poll`, so nothing is in flight when partitions
//! are revoked (I3), and a batch is committed only in the assignment epoch it was polled in (I2). While a lane
//! works, its next batch gathers in the client's bounded queue (I8); other lanes keep the sessions busy.

mod batch;
mod breaker;
mod editor;
mod label;
mod size;
mod tally;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::breaker::Breaker;
use self::editor::Editor;
use self::label::Labeller;
use self::size::BatchSize;
use self::tally::Tally;
use crate::config::Config;
use crate::inference::{LaneClassifier, ModelInfo};
use crate::kafka::{BrokerError, Clients, Cluster, LaneConsumer, Lost, Note, Partition, Resumed};
use crate::telemetry::{Metrics, Outcome, Readiness};

/// How long an idle lane waits in one poll; it looks at the stop flag in between.
const IDLE: Duration = Duration::from_millis(100);
/// Waits after failures grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Fatal client errors within an hour that are answered by starting anew; one more ends the worker.
const FATAL_PER_HOUR: usize = 5;

/// Why a lane ended the worker.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The client died again and again.
    #[error("lane {lane}: fatal client error for the {times}th time within an hour: {error}{rival}")]
    Fatal {
        /// Lane.
        lane: usize,
        /// How often.
        times: usize,
        /// The last one.
        error: BrokerError,
        /// Who else uses this lane's names, if that is the cause.
        rival: String,
    },
}

/// What lanes and their supervisor share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    /// The secret of the keyed hash, where the configuration asks for one.
    pub(crate) key: Option<Arc<[u8]>>,
    /// Set to stop between batches.
    pub(crate) stop: Arc<AtomicBool>,
}

/// One lane, before it runs.
pub(crate) struct Lane {
    index: usize,
    shared: Shared,
    labeller: Labeller,
    editor: Editor,
    size: BatchSize,
    breaker: Breaker,
    /// Milliseconds since 1970 of the last pass without a fatal error.
    heartbeat: Arc<AtomicI64>,
    condition: String,
    /// Sessions that share the work, so that a batch's time can be told from their busy time.
    sessions: u32,
    paused: Paused,
    /// How far this lane has polled each partition, to tell replayed records apart.
    seen: BTreeMap<Partition, i64>,
}

/// Why this lane is paused, as its metric says.
#[derive(Default)]
struct Paused(Option<&'static str>);

impl Paused {
    fn set(&mut self, metrics: &Metrics, reason: Option<&'static str>) {
        if let Some(before) = std::mem::replace(&mut self.0, reason) {
            metrics.lanes_paused.of([before]).dec();
        }
        if let Some(now) = reason {
            metrics.lanes_paused.of([now]).inc();
        }
    }
}

/// What a lane reads, since the broker said from where.
struct Reading {
    epoch: u64,
    slots: Vec<Slot>,
    notes: BTreeMap<String, Note>,
    checked: Instant,
}

/// A partition that a lane reads.
struct Slot {
    partition: Partition,
    /// The next offset to poll.
    next: i64,
    output: Option<i32>,
    dead_letter: Option<i32>,
}

/// What a session does next.
enum Stance {
    /// Asks the broker where to go on, not before this time.
    Resume(Instant),
    /// Reads and labels.
    Read(Reading),
    /// Reads nothing until this time, if ever; polling goes on.
    Hold(Option<Instant>),
}

/// How a batch ended.
enum Ended {
    Committed,
    /// Go on from the committed offsets.
    Rewind(String),
    /// Throw the producer away, then go on from the committed offsets.
    Renew(BrokerError),
    /// Stop reading for a while.
    Hold(&'static str, String),
}

/// A batch of which nobody knows yet whether it was committed.
struct Uncertain {
    ends: BTreeMap<Partition, i64>,
    tally: Tally,
}

impl Lane {
    pub(crate) fn new(
        index: usize,
        shared: Shared,
        classifier: Box<dyn LaneClassifier>,
        model: &ModelInfo,
        sessions: usize,
    ) -> Self {
        let config = &shared.config;
        Self {
            index,
            labeller: Labeller::new(config, classifier, model),
            editor: Editor::new(config, &shared.cluster, shared.key.as_deref()),
            size: BatchSize::new(config.batch.max_posts.get(), config.batch.target.0),
            breaker: Breaker::new(&config.breaker),
            heartbeat: Arc::new(AtomicI64::new(Timestamp::now().as_millisecond())),
            condition: format!("lane-{index}"),
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX).max(1),
            paused: Paused::default(),
            seen: BTreeMap::new(),
            shared,
        }
    }

    /// Milliseconds since 1970 of the lane's last sign of life.
    pub(crate) fn heartbeat(&self) -> Arc<AtomicI64> {
        self.heartbeat.clone()
    }

    /// Works until it is told to stop.
    ///
    /// # Errors
    /// When its clients die more often than starting anew can be hoped to help.
    pub(crate) fn run(mut self) -> Result<(), LaneError> {
        let mut fatal: VecDeque<Instant> = VecDeque::new();
        let mut backoff = BACKOFF.0;
        while !self.stopping() {
            self.shared.readiness.set(&self.condition, "connecting");
            let began = Instant::now();
            let connected = self.shared.cluster.connect(self.index);
            let Err(error) = connected.and_then(|clients| self.session(clients)) else { break };
            self.shared.metrics.client_restarts.inc();
            self.shared.readiness.set(&self.condition, error.to_string());
            if error.fatal {
                fatal.push_back(Instant::now());
                while fatal.front().is_some_and(|first| first.elapsed() > Duration::from_secs(3600)) {
                    fatal.pop_front();
                }
                let rival = if error.is_fenced() { self.shared.cluster.rival(self.index) } else { String::new() };
                if fatal.len() > FATAL_PER_HOUR {
                    return Err(LaneError::Fatal { lane: self.index, times: fatal.len(), error, rival });
                }
                tracing::error!(lane = self.index, %error, "the client is dead, a new one takes over{rival}");
            } else {
                tracing::warn!(lane = self.index, %error, "the lane starts anew");
            }
            if began.elapsed() > Duration::from_secs(60) {
                backoff = BACKOFF.0;
            }
            self.rest(backoff);
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        self.shared.readiness.set(&self.condition, "stopped");
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn rest(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while Instant::now() < until && !self.stopping() {
            thread::sleep(IDLE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// The life of one pair of clients.
    fn session(&mut self, mut clients: Clients) -> Result<(), BrokerError> {
        let ended = self.serve(&mut clients);
        let config = &self.shared.config;
        let leave = ended.is_ok() && config.worker.leave_group;
        clients.close(leave, config.worker.shutdown_timeout.0);
        ended
    }

    fn serve(&mut self, clients: &mut Clients) -> Result<(), BrokerError> {
        self.shared.readiness.set(&self.condition, "joining the group");
        let mut stance = Stance::Hold(None);
        let mut epoch = clients.consumer.epoch();
        let mut backoff = BACKOFF.0;
        let mut uncertain: Option<Uncertain> = None;
        let mut probing = false;
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
            stance = match stance {
                Stance::Hold(until) if until.is_some_and(|until| Instant::now() >= until) => {
                    probing = true;
                    Stance::Resume(Instant::now())
                }
                Stance::Resume(at) if Instant::now() >= at => {
                    let stance = self.resume(clients, epoch, &mut uncertain, &mut backoff)?;
                    if matches!(stance, Stance::Read(_)) && !probing {
                        self.shared.readiness.clear(&self.condition);
                    }
                    stance
                }
                waiting @ (Stance::Hold(_) | Stance::Resume(_)) => {
                    // Nothing is assigned to read: whatever comes is stale. The poll serves the callbacks.
                    drop(clients.consumer.poll(IDLE));
                    waiting
                }
                Stance::Read(mut reading) => match self.batch(clients, &mut reading, probing, &mut uncertain) {
                    Some(Ended::Committed) => {
                        backoff = BACKOFF.0;
                        if std::mem::take(&mut probing) {
                            self.paused.set(&self.shared.metrics, None);
                            self.shared.readiness.clear(&self.condition);
                            tracing::info!(lane = self.index, "the probe went well: the lane works again");
                        }
                        Stance::Read(reading)
                    }
                    None => Stance::Read(reading),
                    Some(Ended::Rewind(reason)) => {
                        tracing::warn!(
                            lane = self.index,
                            reason,
                            "batch given up; going on from the committed offsets"
                        );
                        clients.consumer.read_nothing()?;
                        let at = Instant::now() + backoff;
                        backoff = (backoff * 2).min(BACKOFF.1);
                        Stance::Resume(at)
                    }
                    Some(Ended::Renew(error)) => {
                        tracing::warn!(lane = self.index, %error, "transaction of unknown result; asking the broker with a new producer");
                        clients.consumer.read_nothing()?;
                        if error.is_fenced() {
                            return Err(BrokerError { fatal: true, ..error });
                        }
                        clients.renew_publisher(self.index)?;
                        Stance::Resume(Instant::now())
                    }
                    Some(Ended::Hold(kind, reason)) => {
                        probing = false;
                        self.hold(&clients.consumer, kind, &reason)?
                    }
                },
            };
        }
        Ok(())
    }

    /// The group gave this lane other partitions, or took them.
    fn rebalanced(&mut self, consumer: &LaneConsumer) -> Stance {
        let assigned = consumer.assigned();
        self.paused.set(&self.shared.metrics, None);
        tracing::info!(lane = self.index, partitions = %Names(&assigned), "assignment");
        if assigned.is_empty() {
            // Revoked, or more lanes than partitions: a stand-by is ready, it has nothing to do.
            self.shared.readiness.clear(&self.condition);
            Stance::Hold(None)
        } else {
            self.shared.readiness.set(&self.condition, "asking for the committed offsets");
            Stance::Resume(Instant::now())
        }
    }

    fn resume(
        &mut self,
        clients: &mut Clients,
        epoch: u64,
        uncertain: &mut Option<Uncertain>,
        backoff: &mut Duration,
    ) -> Result<Stance, BrokerError> {
        let assigned = clients.consumer.assigned();
        match clients.resume(&assigned) {
            Resumed::Reading { positions, notes, lost } => {
                for lost in &lost {
                    self.shared.cluster.report_lost(lost);
                }
                self.settle_uncertain(uncertain.take(), &positions);
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
                Ok(Stance::Read(Reading { epoch, slots, notes, checked: Instant::now() }))
            }
            Resumed::Later(reason) => {
                tracing::debug!(lane = self.index, reason, "cannot read yet");
                self.shared.readiness.set(&self.condition, reason);
                let at = Instant::now() + *backoff;
                *backoff = (*backoff * 2).min(BACKOFF.1);
                Ok(Stance::Resume(at))
            }
            Resumed::Stopped(lost) => {
                for lost in &lost {
                    self.shared.cluster.report_lost(lost);
                }
                self.paused.set(&self.shared.metrics, Some("position_lost"));
                self.shared.readiness.set(&self.condition, format!("position lost: {}", describe(&lost)));
                clients.consumer.read_nothing()?;
                Ok(Stance::Hold(None))
            }
            Resumed::Broken(error) => {
                clients.renew_publisher(self.index)?;
                tracing::warn!(lane = self.index, %error, "offsets of unknown result; asking the broker");
                Ok(Stance::Resume(Instant::now() + *backoff))
            }
        }
    }

    /// Counts a batch of unknown result once the broker has told which offsets are committed.
    fn settle_uncertain(&self, uncertain: Option<Uncertain>, positions: &BTreeMap<Partition, i64>) {
        let Some(Uncertain { ends, tally }) = uncertain else { return };
        let committed = ends.iter().all(|(partition, end)| positions.get(partition).is_some_and(|now| now >= end));
        if committed {
            self.count(&tally);
        }
        tracing::info!(lane = self.index, committed, "the broker has told what became of the unknown transaction");
    }

    fn count(&self, tally: &Tally) {
        let metrics = &self.shared.metrics;
        if tally.labelled > 0 {
            metrics.outcome(Outcome::Labelled, "", tally.labelled);
        }
        for (reason, records) in &tally.skipped {
            metrics.outcome(Outcome::Skipped, reason, *records);
        }
        for (class, records) in &tally.dead_lettered {
            metrics.outcome(Outcome::DeadLettered, class, *records);
        }
        for (label, posts) in self.labeller.model().labels.iter().zip(&tally.labels) {
            metrics.emotion_labels.of([label]).inc_by(*posts);
        }
    }

    /// Stops reading and says why; one batch is probed later.
    fn hold(&mut self, consumer: &LaneConsumer, kind: &'static str, reason: &str) -> Result<Stance, BrokerError> {
        consumer.read_nothing()?;
        let interval = self.shared.config.breaker.probe_interval.0;
        self.paused.set(&self.shared.metrics, Some(kind));
        self.shared.readiness.set(&self.condition, reason);
        tracing::error!(lane = self.index, kind, probe_in = ?interval, "the lane pauses and keeps every record: {reason}");
        Ok(Stance::Hold(Some(Instant::now() + interval)))
    }
}

/// Partitions as people read them.
struct Names<'a>(&'a [Partition]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, partition) in self.0.iter().enumerate() {
            write!(f, "{}{partition}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

fn describe(lost: &[Lost]) -> String {
    let each = lost.iter().map(|lost| format!("{} {} ({})", lost.partition, lost.cause.as_str(), lost.found));
    each.collect::<Vec<_>>().join("; ")
}
