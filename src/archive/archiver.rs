//! The archiver: one OS thread that reads the output topic as a member of the archivers' group and keeps the archive.
//!
//! Synchronous like a lane: rebalance callbacks run inside its polls, and between two polls it does one step of each
//! partition. While the store is down it reads until its memory is used up, then pauses, and polls on. It never
//! stops labelling: what fails here is told loudly, and tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::claim::RowRules;
use super::desk::{Desk, millis};
use super::identity::{Identity, IdentityError};
use super::rows::RowPolicy;
use super::segment::Closing;
use super::session::Session;
use super::store::{Store, StoreError};
use crate::config::Config;
use crate::kafka::{BrokerError, ClusterError, OutputTopic};
use crate::telemetry::{Metrics, Readiness};

/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(100);
/// The condition that readiness names.
const CONDITION: &str = "archive";

/// Why the archive cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive is another's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A call to the cluster failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A person must act.
    #[error("{0}")]
    Refused(String),
}

impl ArchiveError {
    /// Whether it may be over soon, without anybody doing anything.
    fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) | Self::Identity(IdentityError::Store(error)) => {
                !matches!(error, StoreError::Refused { .. })
            }
            Self::Broker(error) => !error.is_unauthorized(),
            Self::Identity(_) | Self::Cluster(_) | Self::Refused(_) => false,
        }
    }

    /// Whether the settings name a store or an archive that they should not.
    pub(crate) fn is_wrong_setting(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Refused { .. })
                | Self::Identity(IdentityError::Other { .. } | IdentityError::Store(StoreError::Refused { .. }))
        )
    }

    /// How long the next try is put off at most.
    fn longest_pause(&self) -> Duration {
        if self.is_passing() { Duration::from_secs(5) } else { Duration::from_mins(1) }
    }
}

/// What an archiver needs.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    pub(crate) instance: String,
    pub(crate) stop: Arc<AtomicBool>,
    /// Whether the hour that is not over yet is written too, once nothing comes: for a topic that ends.
    pub(crate) impatient: bool,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The archiver, before it runs.
pub(crate) struct Archiver {
    pub(super) setup: Setup,
    /// Whether the whole worker is unready while this does not work: when it does nothing else.
    decides: bool,
}

impl Archiver {
    pub(crate) fn new(setup: Setup) -> Self {
        let decides = !setup.config.worker.role.labels();
        if decides {
            setup.readiness.set(CONDITION, "starting");
        }
        Self { setup, decides }
    }

    /// Works until it is told to stop; whatever fails is told and tried again.
    pub(crate) fn run(self) {
        const FIRST: Duration = Duration::from_secs(1);
        let mut pause = FIRST;
        while !self.stopping() {
            let began = Instant::now();
            let Err(error) = self.session() else { break };
            // One that has worked for a while is no sign that the next will fail at once.
            if began.elapsed() > 4 * pause {
                pause = FIRST;
            }
            self.fail(&error.to_string());
            tracing::error!(again_in = ?pause, "the archive cannot work: {error}");
            self.rest(pause);
            pause = (pause * 2).min(error.longest_pause());
        }
        self.setup.metrics.archive.failing.set(0);
    }

    pub(super) fn stopping(&self) -> bool {
        self.setup.stop.load(Ordering::Relaxed)
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stopping() {
            thread::sleep(LOOK);
        }
    }

    pub(super) fn fail(&self, reason: &str) {
        self.setup.metrics.archive.failing.set(1);
        if self.decides {
            self.setup.readiness.set(CONDITION, reason);
        }
    }

    pub(super) fn work(&self) {
        self.setup.metrics.archive.failing.set(0);
        if self.decides {
            self.setup.readiness.clear(CONDITION);
        }
    }

    /// One membership in the group.
    fn session(&self) -> Result<(), ArchiveError> {
        let desk = open(&self.setup)?;
        let reader = desk.topic.join()?;
        let config = &self.setup.config;
        tracing::info!(
            url = config.archive.url,
            archive = desk.identity.id,
            group = config.archive_group(),
            topic = desk.topic.topic,
            "archiving"
        );
        let mut session = Session::new(self, &desk, &reader);
        let ended = session.serve();
        let metrics = &desk.metrics.archive;
        metrics.open_files.set(0);
        metrics.memory_bytes.set(0);
        metrics.lag_seconds.clear();
        drop(session);
        let leave = ended.is_ok() && config.worker.leave_group;
        reader.close(leave, config.worker.shutdown_timeout.0);
        ended
    }
}

/// An archiver at work.
pub(crate) struct Running {
    thread: thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(setup: Setup) -> std::io::Result<Self> {
        let stop = setup.stop.clone();
        let archiver = Archiver::new(setup);
        let thread = thread::Builder::new().name("archiver".to_owned()).spawn(move || archiver.run())?;
        Ok(Self { thread, stop })
    }

    /// Waits until the thread ends, which by itself it does only by a defect.
    pub(crate) async fn watch(&self) {
        while !self.thread.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells it to stop and waits until `give_up`. Returns whether it was in time; open rows are read again.
    pub(crate) async fn stop(self, give_up: Instant) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.thread.is_finished()
    }
}

/// Everything that is looked at before the group is joined.
///
/// # Errors
/// What keeps the archive from working.
pub(crate) fn open(setup: &Setup) -> Result<Desk, ArchiveError> {
    let (config, runtime) = (&setup.config, &setup.runtime);
    let archive = &config.archive;
    let store = Store::open(&archive.url, &archive.properties, archive.put_deadline.0)?;
    let topic = OutputTopic::open(config, &setup.metrics, &setup.instance)?;
    let policy = RowPolicy::of(config).map_err(|error| {
        let file = config.privacy.key_file.display();
        ArchiveError::Refused(format!("privacy.key_file = \"{file}\" cannot be read: {error}"))
    })?;
    let rules = RowRules::of(&policy);
    let identity = runtime.block_on(async {
        store.probe().await?;
        store.sweep().await?;
        Identity::settle(&store, config, &topic.cluster_id, &rules).await.map_err(ArchiveError::from)
    })?;
    Ok(Desk {
        store,
        topic: Arc::new(topic),
        identity,
        rules,
        policy,
        closing: Closing {
            grace: millis(archive.grace.0),
            idle: millis(archive.idle.0),
            size: archive.segment_bytes.0,
            impatient: setup.impatient,
        },
        put_deadline: archive.put_deadline.0,
        instance: setup.instance.clone(),
        metrics: setup.metrics.clone(),
        runtime: runtime.clone(),
        began: Instant::now(),
    })
}

/// Looks at store, identity and topic. What may be over soon is only logged.
///
/// # Errors
/// What keeps the archive from working until a person changes something.
pub(crate) fn verify_setup(setup: &Setup) -> Result<(), ArchiveError> {
    match open(setup) {
        Err(error) if error.is_passing() => {
            tracing::warn!("{error}; the archiver tries again");
            Ok(())
        }
        opened => opened.map(drop),
    }
}
