//! The supervisor: starts the lanes, watches them, stops them within a deadline.
//!
//! The first lane that fails stops the rest: a worker that cannot do its work says why and stops being
//! ready (I10), it never goes on with half of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::inference::Classifier;
use crate::kafka::Cluster;
use crate::lane::{Lane, LaneError, Shared};
use crate::telemetry::{Lanes, Metrics, Readiness};

/// A lane that has not come round for this long is stuck: the worker is not ready.
const STUCK: Duration = Duration::from_mins(1);
/// How often the lanes are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key of the keyed hash cannot be read.
    #[error("privacy.key_file = \"{path}\" cannot be read")]
    Key {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A lane's classifier or thread could not be made.
    #[error("lane {lane} cannot start")]
    Lane {
        /// Lane.
        lane: usize,
        /// Why.
        source: anyhow::Error,
    },
}

/// Why a worker ended by itself, or not in time.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A lane gave up.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// A lane's thread panicked: a defect of ours.
    #[error("{0} panicked; this is a defect of moodstream, please report it with the log")]
    Panicked(String),
    /// Lanes were still busy at the deadline.
    #[error("{lanes} did not stop within {deadline:?}; their open transactions abort and their posts are read again")]
    Late {
        /// The lanes' names.
        lanes: String,
        /// `worker.shutdown_timeout`.
        deadline: Duration,
    },
}

/// A running worker.
pub struct Worker {
    lanes: Vec<Running>,
    ended: mpsc::UnboundedReceiver<()>,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    states: Lanes,
    instance: String,
    shutdown_timeout: Duration,
}

struct Running {
    name: String,
    thread: thread::JoinHandle<Result<(), LaneError>>,
    heartbeat: Arc<AtomicI64>,
}

/// Tells the supervisor that a lane's thread has ended, however it ended.
struct Ended(mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The supervisor may be gone already.
        let _ = self.0.send(());
    }
}

impl Worker {
    /// Starts the lanes. `sessions` is how many share the inference.
    ///
    /// # Errors
    /// [`StartError`], before anything was read.
    pub fn start(
        config: &Arc<Config>,
        cluster: Cluster,
        classifier: &dyn Classifier,
        sessions: usize,
        metrics: &Arc<Metrics>,
        readiness: &Readiness,
    ) -> Result<Self, StartError> {
        let key = read_key(config)?;
        let (end, ended) = mpsc::unbounded_channel();
        let mut worker = Self {
            lanes: Vec::new(),
            ended,
            stop: Arc::default(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            states: Lanes::new(config.worker.lanes.get()),
            instance: cluster.instance().to_owned(),
            shutdown_timeout: config.worker.shutdown_timeout.0,
        };
        let shared = Shared {
            config: config.clone(),
            cluster: Arc::new(cluster),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            lanes: worker.states.clone(),
            key,
            stop: worker.stop.clone(),
        };
        for index in 0..config.worker.lanes.get() {
            let running = start_lane(index, &shared, classifier, sessions, Ended(end.clone()));
            worker.lanes.push(running.map_err(|source| StartError::Lane { lane: index, source })?);
        }
        metrics.lanes.set(i64::try_from(worker.lanes.len()).unwrap_or(i64::MAX));
        Ok(worker)
    }

    /// What each lane holds, for as long as it runs.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.states
    }

    /// The instance name that the worker goes by.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Watches the lanes until one ends.
    pub async fn watch(&mut self) {
        loop {
            tokio::select! {
                _ = self.ended.recv() => return,
                () = tokio::time::sleep(WATCH) => self.look_for_stuck_lanes(),
            }
        }
    }

    fn look_for_stuck_lanes(&self) {
        let now = Timestamp::now().as_millisecond();
        for lane in &self.lanes {
            let silent = Duration::from_millis((now - lane.heartbeat.load(Ordering::Relaxed)).unsigned_abs());
            let condition = format!("{}-alive", lane.name);
            if silent > STUCK {
                self.readiness.set(&condition, format!("no sign of life for {} s", silent.as_secs()));
            } else {
                self.readiness.clear(&condition);
            }
        }
    }

    /// Tells every lane to stop after its batch and waits for them.
    ///
    /// # Errors
    /// The first error that a lane ended with, or the lanes that were late.
    pub async fn stop(self) -> Result<(), WorkerError> {
        self.stop.store(true, Ordering::Relaxed);
        let give_up = Instant::now() + self.shutdown_timeout;
        let (mut first, mut late) = (Ok(()), Vec::new());
        for lane in self.lanes {
            while !lane.thread.is_finished() && Instant::now() < give_up {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if !lane.thread.is_finished() {
                late.push(lane.name);
                continue;
            }
            let ended = match lane.thread.join() {
                Ok(ended) => ended.map_err(WorkerError::from),
                Err(_) => Err(WorkerError::Panicked(lane.name)),
            };
            first = first.and(ended);
        }
        self.metrics.lanes.set(i64::try_from(late.len()).unwrap_or(i64::MAX));
        if first.is_ok() && !late.is_empty() {
            return Err(WorkerError::Late { lanes: late.join(", "), deadline: self.shutdown_timeout });
        }
        first
    }
}

fn start_lane(
    index: usize,
    shared: &Shared,
    classifier: &dyn Classifier,
    sessions: usize,
    ended: Ended,
) -> anyhow::Result<Running> {
    let name = format!("lane-{index}");
    let lane = Lane::new(index, shared.clone(), classifier.lane()?, classifier.model(), sessions);
    let heartbeat = lane.heartbeat();
    let run = move || {
        let _ended = ended;
        lane.run()
    };
    let thread = thread::Builder::new().name(name.clone()).spawn(run).context("no thread can be started")?;
    Ok(Running { name, thread, heartbeat })
}

fn read_key(config: &Config) -> Result<Option<Arc<[u8]>>, StartError> {
    let path = || config.privacy.key_file.display().to_string();
    let key = config.privacy.key().map_err(|source| StartError::Key { path: path(), source })?;
    Ok(key.map(Into::into))
}
