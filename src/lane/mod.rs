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
mod session;
mod size;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::breaker::Breaker;
use self::editor::Editor;
use self::size::BatchSize;
use crate::config::Config;
use crate::fate::Tally;
use crate::inference::{LaneClassifier, ModelInfo};
use crate::kafka::{BrokerError, Cluster, Partition};
use crate::labeller::Labeller;
use crate::telemetry::{Lanes, Metrics, Outcome, Readiness};

/// How long an idle lane waits in one poll; it looks at the stop flag in between.
const IDLE: Duration = Duration::from_millis(100);
/// Fatal client errors within an hour that are answered by starting anew; one more ends the worker.
const FATAL_PER_HOUR: usize = 5;

/// Why a lane ended the worker.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The broker refuses something for lack of a permission: only a person can help.
    #[error("lane {lane}: {error}: this user lacks a permission: {missing}")]
    Denied {
        /// Lane.
        lane: usize,
        /// What the broker said.
        error: BrokerError,
        /// What is missing, with the commands that give it.
        missing: String,
    },
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
    /// What each lane holds, for the status page.
    pub(crate) lanes: Lanes,
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
    /// Batches in a row that the broker refused for lack of a permission.
    denials: u32,
    /// Names this lane's batches: random at first, then counted up.
    batch: u64,
    /// The batch whose fate only the broker knows.
    uncertain: Option<Uncertain>,
}

/// Waits that double from 100 ms to 5 s.
struct Backoff(Duration);

impl Backoff {
    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Duration::from_secs(5));
        now
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
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

/// A batch of which nobody knows yet whether it was committed.
struct Uncertain {
    batch: u64,
    partitions: Vec<Partition>,
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
        let condition = format!("lane-{index}");
        // Before its thread runs: a worker is not ready because a lane has not said anything yet.
        shared.readiness.set(&condition, "starting");
        // At zero from the start, so that an emotion that no post has yet is told from one that the model lacks.
        for label in &model.labels {
            shared.metrics.emotion_labels.of([label]);
        }
        Self {
            index,
            labeller: Labeller::new(config, classifier, model),
            editor: Editor::new(config, &shared.cluster, shared.key.as_deref()),
            size: BatchSize::new(config.batch.max_posts.get(), config.batch.target.0),
            breaker: Breaker::new(&config.breaker),
            heartbeat: Arc::new(AtomicI64::new(Timestamp::now().as_millisecond())),
            condition,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX).max(1),
            paused: Paused::default(),
            seen: BTreeMap::new(),
            denials: 0,
            batch: RandomState::new().hash_one(index),
            uncertain: None,
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
        let mut backoff = Backoff::default();
        while !self.stopping() {
            self.shared.readiness.set(&self.condition, "connecting");
            let began = Instant::now();
            let connected = self.shared.cluster.connect(self.index);
            let Err(error) = connected.and_then(|clients| self.session(clients)) else { break };
            self.shared.metrics.client_restarts.inc();
            self.shared.readiness.set(&self.condition, error.to_string());
            self.shared.lanes.assigned(self.index, None);
            if error.is_unauthorized() {
                let missing = self.shared.cluster.denied(&error);
                return Err(LaneError::Denied { lane: self.index, error, missing });
            }
            if error.fatal {
                fatal.push_back(Instant::now());
                while fatal.front().is_some_and(|first| first.elapsed() > Duration::from_hours(1)) {
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
            if began.elapsed() > Duration::from_mins(1) {
                backoff.reset();
            }
            self.rest(backoff.next());
        }
        self.shared.readiness.set(&self.condition, "stopped");
        self.shared.lanes.stopped(self.index);
        Ok(())
    }

    /// Notes that this lane pauses for a reason, or no longer does.
    fn pause(&mut self, reason: Option<&'static str>) {
        self.paused.set(&self.shared.metrics, reason);
        self.shared.lanes.paused(self.index, reason);
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

    /// Counts a batch of unknown result once the broker has told which offsets are committed.
    fn settle_uncertain(&mut self, batches: &BTreeMap<Partition, u64>) {
        let Some(Uncertain { batch, partitions, tally }) = self.uncertain.take() else { return };
        // Only this very batch: others may have gone beyond it since.
        let committed = partitions.iter().all(|partition| batches.get(partition) == Some(&batch));
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
}
