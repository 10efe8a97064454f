//! The archiver: one OS thread that reads the output topic as a member of the archivers' group and keeps the archive.
//!
//! Synchronous like a lane: rebalance callbacks run inside its polls, and between two polls it does one step of each
//! partition. While the store is down it reads until its memory is used up, then pauses, and polls on. It never
//! stops labelling: what fails here is told loudly, and tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message;

use super::claim::RowRules;
use super::hours::{self, Hours};
use super::identity::{Identity, IdentityError};
use super::partition::{Desk, Partition, Stepped, millis};
use super::retention::Retention;
use super::rows::RowPolicy;
use super::segment::{Close, Closing, Taken};
use super::store::{Store, StoreError};
use crate::config::Config;
use crate::kafka::{BrokerError, ClusterError, OutputReader, OutputTopic, Polled};
use crate::telemetry::{Metrics, Readiness};

/// How long an idle archiver waits in one poll.
const IDLE: Duration = Duration::from_millis(100);
/// Records between two looks at everything else.
const BURST: usize = 4096;
/// How often memory and closing rules are looked at.
const TICK: Duration = Duration::from_millis(500);
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
    setup: Setup,
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

    fn stopping(&self) -> bool {
        self.setup.stop.load(Ordering::Relaxed)
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stopping() {
            thread::sleep(IDLE);
        }
    }

    fn fail(&self, reason: &str) {
        self.setup.metrics.archive.failing.set(1);
        if self.decides {
            self.setup.readiness.set(CONDITION, reason);
        }
    }

    fn work(&self) {
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
            tokio::time::sleep(TICK).await;
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

/// One membership at work.
struct Session<'a> {
    archiver: &'a Archiver,
    desk: &'a Desk,
    reader: &'a OutputReader,
    partitions: BTreeMap<i32, Partition>,
    hours: Hours,
    retention: Retention,
    /// Whether fetching is paused, because the memory is used up.
    held: bool,
    ticked: Instant,
}

impl<'a> Session<'a> {
    fn new(archiver: &'a Archiver, desk: &'a Desk, reader: &'a OutputReader) -> Self {
        let config = &archiver.setup.config;
        Self {
            archiver,
            desk,
            reader,
            partitions: BTreeMap::new(),
            hours: Hours::new(config.archive.grace.0, config.archive.idle.0),
            retention: Retention::new(config.archive.retention.0, config.archive.put_deadline.0),
            held: false,
            ticked: Instant::now(),
        }
    }

    fn serve(&mut self) -> Result<(), ArchiveError> {
        let mut epoch = self.reader.epoch();
        while !self.archiver.stopping() {
            if let Some(error) = self.reader.fatal() {
                return Err(error.into());
            }
            if self.reader.epoch() != epoch {
                epoch = self.reader.epoch();
                self.rebalanced()?;
            }
            let busy = self.step_all()?;
            self.note_what_was_made();
            self.poll(if busy { Duration::ZERO } else { IDLE })?;
            self.close_what_is_due(now())?;
            self.bound_memory(now())?;
            if self.ticked.elapsed() >= TICK {
                self.ticked = Instant::now();
                self.tick()?;
            }
        }
        // Open rows are dropped: they are read again.
        Ok(())
    }

    fn rebalanced(&mut self) -> Result<(), ArchiveError> {
        self.partitions.clear();
        self.held = false;
        self.desk.metrics.archive.lag_seconds.clear();
        let Some(assigned) = self.reader.assigned() else {
            tracing::info!("the archive's partitions are revoked");
            return Ok(());
        };
        tracing::info!(partitions = ?assigned, "the archive's assignment");
        let hints = self.reader.hints(&assigned)?;
        let now = now();
        for partition in assigned {
            let hint = hints.get(&partition).cloned();
            self.partitions.insert(partition, Partition::new(self.desk, partition, hint, now));
        }
        self.hours.look_at_everything();
        Ok(())
    }

    /// One step of every partition that does not gather; reading begins once all of them know where.
    /// Returns whether there is more to do at once.
    fn step_all(&mut self) -> Result<bool, ArchiveError> {
        let (mut waiting, mut busy, mut moved) = (false, false, Vec::new());
        for (number, partition) in &mut self.partitions {
            loop {
                match partition.step(self.desk, self.reader).map_err(ArchiveError::Refused)? {
                    Stepped::On if partition.reading => {
                        busy = true;
                        break;
                    }
                    Stepped::On => {}
                    Stepped::Waiting => {
                        waiting |= !partition.reading;
                        break;
                    }
                    Stepped::Gathering { from, moved: changed } => {
                        if !partition.reading || changed {
                            moved.push((*number, from));
                        }
                        break;
                    }
                }
            }
        }
        if moved.is_empty() || waiting {
            return Ok(busy);
        }
        if self.partitions.values().all(|partition| !partition.reading) {
            self.reader.read_from(&moved.iter().copied().collect())?;
        } else {
            for (number, from) in &moved {
                self.reader.seek(*number, *from)?;
            }
        }
        for (number, _) in moved {
            if let Some(partition) = self.partitions.get_mut(&number) {
                partition.reading = true;
            }
        }
        Ok(busy)
    }

    /// Hours with new rows are to be declared, or were already and have late rows now.
    fn note_what_was_made(&mut self) {
        let made: Vec<_> = self.partitions.values_mut().flat_map(|partition| partition.made.drain(..)).collect();
        for (hour, rows) in made {
            let over = hour.end() + self.desk.closing.grace <= now();
            // A store that does not tell now is asked again when the hour is declared.
            let declared = || self.desk.wait(self.desk.store.head(&hours::path(hour)));
            if over && matches!(declared(), Ok(Some(_))) {
                self.desk.metrics.archive.late_rows.inc_by(rows);
            } else {
                self.hours.wrote(hour);
            }
        }
    }

    /// Takes in what has come.
    fn poll(&mut self, mut patience: Duration) -> Result<(), ArchiveError> {
        let epoch = self.reader.epoch();
        for _ in 0..BURST {
            let polled = self.reader.poll(patience);
            if self.reader.epoch() != epoch {
                return Ok(());
            }
            patience = Duration::ZERO;
            match polled {
                None => return Ok(()),
                Some(Ok(Polled::Record(record))) => {
                    let Some(partition) = self.partitions.get_mut(&record.partition()) else { continue };
                    let taken = Taken {
                        offset: record.offset(),
                        timestamp: record.timestamp().to_millis().unwrap_or_default(),
                        value: record.payload(),
                    };
                    partition.push(taken, now(), &self.desk.metrics);
                }
                Some(Ok(Polled::End(number))) => {
                    let Some(partition) = self.partitions.get_mut(&number) else { continue };
                    if let Some(end) = partition.draining.take()
                        && partition.is_gathering(self.desk)
                    {
                        partition.close(self.desk, end.max(partition.open.next), Close::Idle, now());
                    }
                }
                Some(Err(error)) if error.is_out_of_range() => {
                    let now = now();
                    for partition in self.partitions.values_mut() {
                        let held = self.reader.held(partition.place.partition)?;
                        if held.low > partition.open.next && partition.is_gathering(self.desk) {
                            partition.lost_position(self.desk, self.reader, now)?;
                        }
                    }
                }
                Some(Err(error)) if error.is_unauthorized() || error.fatal => return Err(error.into()),
                Some(Err(error)) => {
                    tracing::warn!(%error, "reading the output topic");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), ArchiveError> {
        let now = now();
        self.tell();
        let own: BTreeSet<i32> = self.partitions.keys().copied().collect();
        let wanted = self.hours.tick(self.desk, &own, now).map_err(ArchiveError::Refused)?;
        for number in wanted {
            if let Some(partition) = self.partitions.get_mut(&number)
                && partition.open.is_empty()
                && partition.open.is_idle(now, self.desk.closing.idle)
            {
                drain(partition, self.desk, self.reader, now)?;
            }
        }
        self.retention.tick(self.desk, now).map_err(ArchiveError::Refused)?;
        Ok(())
    }

    fn close_what_is_due(&mut self, now: i64) -> Result<(), ArchiveError> {
        for partition in self.partitions.values_mut() {
            match partition.open.due(&self.desk.closing, now) {
                _ if !partition.is_gathering(self.desk) => {}
                None => {}
                Some(Close::Idle) => drain(partition, self.desk, self.reader, now)?,
                Some(why) => {
                    let end = partition.open.next;
                    partition.close(self.desk, end, why, now);
                }
            }
        }
        Ok(())
    }

    /// Encodes what is open, closes the largest segment, and stops fetching while nothing of this helps.
    fn bound_memory(&mut self, now: i64) -> Result<(), ArchiveError> {
        let archive = &self.archiver.setup.config.archive;
        let (budget, most_files) = (archive.memory.0, archive.open_files.get());
        let memory = |partitions: &BTreeMap<i32, Partition>| partitions.values().map(Partition::memory).sum::<usize>();
        if memory(&self.partitions) > budget / 2 {
            let share = budget / 4 / self.partitions.len().max(1);
            for partition in self.partitions.values_mut() {
                partition.open.seal(share).map_err(|error| ArchiveError::Refused(error.to_string()))?;
            }
        }
        let held = memory(&self.partitions);
        let files: usize = self.partitions.values().map(Partition::files).sum();
        // Files are encoded one at a time, beside what is held.
        if held > budget * 3 / 4 || files > most_files {
            let by_files = held <= budget * 3 / 4;
            let mut gathering: Vec<_> = self.partitions.values_mut().collect();
            gathering.retain_mut(|partition| partition.is_gathering(self.desk));
            let weight = |partition: &&mut Partition| {
                if by_files { partition.open.files() } else { partition.open.memory() }
            };
            if let Some(largest) = gathering.into_iter().max_by_key(weight) {
                let end = largest.open.next;
                largest.close(self.desk, end, Close::Size, now);
            }
        }
        let full = held > budget * 7 / 8;
        if full != self.held {
            self.held = full;
            self.reader.hold(full)?;
            if full {
                tracing::warn!(held, budget, "archive.memory is used up: reading pauses until files are written");
            }
        }
        let metrics = &self.desk.metrics.archive;
        metrics.memory_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
        metrics.open_files.set(i64::try_from(files).unwrap_or(i64::MAX));
        Ok(())
    }

    fn tell(&self) {
        let now = now();
        for (number, partition) in &self.partitions {
            let age = partition.oldest().map_or(0, |oldest| (now - oldest).max(0));
            let lag = self.desk.metrics.archive.lag_seconds.of([&number.to_string()]);
            lag.set(Duration::from_millis(age.unsigned_abs()).as_secs_f64());
        }
        let works = self.partitions.values().all(|partition| partition.reading && !partition.failing());
        if self.partitions.values().any(Partition::failing) {
            self.archiver.fail("the archive does not get on; the log says why");
        } else if works && (!self.partitions.is_empty() || self.reader.stands_by()) {
            self.archiver.work();
        }
    }
}

/// Reads a partition up to its stable end, so that the segment can close there, markers included.
fn drain(partition: &mut Partition, desk: &Desk, reader: &OutputReader, now: i64) -> Result<(), BrokerError> {
    if partition.draining.is_some() || !partition.is_gathering(desk) {
        return Ok(());
    }
    let number = partition.place.partition;
    let stable = reader.held(number)?.stable;
    if stable <= partition.open.next {
        let end = partition.open.next;
        partition.close(desk, end, Close::Idle, now);
    } else {
        // The end that is told after this seek is one that was found after the stable end.
        reader.seek(number, partition.open.next)?;
        partition.draining = Some(stable);
    }
    Ok(())
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}
