//! The demo: the worker as in production, a broker inside the process, and something to see.
//!
//! ```text
//! posts.jsonl, broken.txt ─► feeder ─► embedded broker ─► Worker ─► embedded broker ─► watch ─► board ─► screen
//!                                                                          └─────► archiver ─► Parquet
//! ```
//!
//! Ends by itself with a summary, and fails if any record has not exactly one outcome (I1).

mod archive;
mod board;
mod broker;
mod posts;
mod screen;
mod summary;
mod view;
mod watch;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use crossbeam_channel::Receiver;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::archive::DemoArchive;
use self::board::Board;
pub use self::broker::EmbeddedBroker;
use self::posts::DemoRecord;
use self::screen::Screen;
use self::summary::Ledger;
use self::watch::{Sighting, Watch};
use crate::config::Config;
use crate::inference::Classifier;
use crate::kafka::{Cluster, Crumb, Feed};
use crate::telemetry::{Metrics, Readiness};
use crate::worker::{Worker, WorkerError};

/// Lanes of the demo's worker.
pub const LANES: usize = 2;
/// Partitions of the input and the output topic.
const PARTITIONS: i32 = 4;
/// How long the new group waits for its second lane.
const JOIN_DELAY: Duration = Duration::from_millis(500);
/// How long the posts take to come: on a terminal there is something to see, elsewhere somebody waits.
const SHOWN: (Duration, Duration) = (Duration::from_secs(9), Duration::from_millis(2500));
/// How long the last picture stays.
const LAST_PICTURE: Duration = Duration::from_millis(1200);
/// Without any outcome for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
/// Exit code of a demo that was quit.
const QUIT: u8 = 130;

/// The worker's settings for the demo: the defaults, with the given model and topics in the embedded broker.
///
/// # Errors
/// Never: the defaults are tested.
pub fn settings(model: &Config) -> anyhow::Result<Config> {
    let lanes = LANES.to_string();
    let flags = [
        ("kafka.group", "moodstream-demo"),
        ("worker.lanes", lanes.as_str()),
        ("worker.shutdown_timeout", "5s"),
        // Short batches, so that the picture moves.
        ("batch.target", "200ms"),
        ("kafka.request_deadline", "10s"),
        ("admin.listen", ""),
        // The posts are of hours long past: their files come as soon as no more of them do.
        ("archive.idle", "1s"),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = Config::load(None, std::iter::empty(), &flags)?;
    Ok(Config { model: model.model.clone(), inference: model.inference.clone(), ..config })
}

/// What the demo is given.
pub struct Demo {
    /// [`settings`], but for the brokers.
    pub config: Config,
    /// The model, verified.
    pub classifier: Arc<dyn Classifier>,
    /// How many sessions share the inference.
    pub sessions: usize,
    /// The worker's metrics.
    pub metrics: Arc<Metrics>,
    /// Where the labelled posts are written.
    pub out: PathBuf,
    /// Since when people have waited.
    pub started: Instant,
}

/// Everything that runs beside the screen.
struct Running {
    labelling: JoinHandle<Result<(), WorkerError>>,
    stop_worker: oneshot::Sender<()>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    feeder: thread::JoinHandle<anyhow::Result<()>>,
    watcher: thread::JoinHandle<anyhow::Result<()>>,
    sightings: Receiver<Sighting>,
    archive: DemoArchive,
}

impl Demo {
    /// Runs it on this runtime, whose threads carry the worker's supervision.
    ///
    /// # Errors
    /// When something cannot be started, or the outcomes do not add up.
    pub fn run(self, runtime: &Runtime) -> anyhow::Result<ExitCode> {
        let records = posts::records();
        let model = self.classifier.model();
        let mut board = Board::new(records.len(), &model.id, &model.labels, LANES);
        let mut screen = Screen::open();
        let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let shown = if screen.is_terminal() { SHOWN.0 } else { SHOWN.1 };
        let broker = self.start_broker()?;
        let quit = quit_on_signals(runtime)?;
        let running = self.start(runtime, &broker, records, shown)?;
        let done = running.picture(&mut screen, &mut board, self.started, &quit);
        // The terminal is given back before anything else is said.
        drop(screen);
        let (stopped, archive) = running.end(runtime, &mut board);
        match done {
            // What ended too early has its own reason.
            Err(error) => {
                stopped.context(error.to_string())?;
                return Err(error);
            }
            Ok(false) => {
                writeln!(io::stdout(), "quit after {} of {} records", board.outcomes(), board.total)?;
                return Ok(ExitCode::from(QUIT));
            }
            Ok(true) => stopped?,
        }
        let ledger = Ledger::read(&self.metrics, &board, &self.config.input.topics[0]);
        let page = summary::text(&board, &ledger, self.started.elapsed(), &self.out, coloured);
        io::stdout().write_all(page.as_bytes())?;
        let tree = archive.finish(runtime, board.labelled + board.skipped())?;
        io::stdout().write_all(tree.as_bytes())?;
        ledger.check(&board).map_err(|mismatch| anyhow!("the outcomes do not add up: {mismatch}"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn start_broker(&self) -> anyhow::Result<EmbeddedBroker> {
        let Config { input, output, dead_letter, kafka, .. } = &self.config;
        let posts = (input.topics[0].as_str(), PARTITIONS);
        let topics = [posts, (output.topic.as_str(), PARTITIONS), (dead_letter.topic.as_str(), 1)];
        let broker = EmbeddedBroker::start(1, &topics)?;
        broker.set_join_delay(JOIN_DELAY);
        broker.commit_beginnings(&kafka.group, &[posts])?;
        Ok(broker)
    }

    fn start(
        &self,
        runtime: &Runtime,
        broker: &EmbeddedBroker,
        records: Vec<DemoRecord>,
        shown: Duration,
    ) -> anyhow::Result<Running> {
        let mut config = self.config.clone();
        config.kafka.brokers = broker.address()?;
        config.archive.url = archive::folder(&self.out).display().to_string();
        let out = create(&self.out)?;
        let (sender, sightings) = crossbeam_channel::bounded(1024);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let watch = Watch::open(&config, out)?;
        let feed = Feed::open(&config, "input.topics", &config.input.topics[0])?;
        let readiness = Readiness::new(self.metrics.ready.clone());
        let config = Arc::new(config);
        let cluster = runtime.block_on(Cluster::open(&config, &self.metrics))?;
        let worker = Worker::start(&config, cluster, &*self.classifier, self.sessions, &self.metrics, &readiness)?;
        readiness.clear(Readiness::STARTING);
        let archive = DemoArchive::start(runtime, &config, &self.metrics)?;
        let watcher = {
            let stop = stop.clone();
            spawn("watch", move || watch.run(&sender, &stop))?
        };
        let feeder = {
            let (stop, sent) = (stop.clone(), sent.clone());
            // The embedded broker forgets the offsets of transactions, so everything would begin again at a rebalance:
            // posts come once both lanes have their partitions.
            let joined = move || readiness.is_ready();
            spawn("feed", move || feed_all(feed, &records, shown, &joined, &stop, &sent))?
        };
        let (stop_worker, stopped) = oneshot::channel();
        let labelling = runtime.spawn(supervise(worker, stopped));
        Ok(Running { labelling, stop_worker, stop, sent, feeder, watcher, sightings, archive })
    }
}

impl Running {
    /// Shows what happens until everything has an outcome. False: someone quit.
    fn picture(
        &self,
        screen: &mut Screen,
        board: &mut Board,
        started: Instant,
        quit: &AtomicBool,
    ) -> anyhow::Result<bool> {
        let mut last_outcome = Instant::now();
        let mut complete: Option<Instant> = None;
        loop {
            let before = board.outcomes();
            for sighting in self.sightings.try_iter() {
                board.see(sighting);
            }
            // In this order: a feeder that has ended has counted everything that it sent.
            let fed = self.feeder.is_finished();
            board.sent = self.sent.load(Ordering::Acquire);
            board.tick(Instant::now());
            let now = Instant::now();
            if board.outcomes() > before {
                last_outcome = now;
            }
            if board.outcomes() >= board.total {
                complete.get_or_insert(now);
            }
            board.phase = match (complete, board.sent) {
                (Some(_), _) => "done".to_owned(),
                (None, 0) => "joining the group".to_owned(),
                (None, _) => "labelling".to_owned(),
            };
            if screen.show(board, started)? || quit.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let rest = if screen.is_terminal() { LAST_PICTURE } else { Duration::ZERO };
            if complete.is_some_and(|complete| complete.elapsed() >= rest) {
                return Ok(true);
            }
            if self.labelling.is_finished() || fed && board.sent < board.total {
                bail!("the worker or the feeder of posts ended before its time");
            }
            if last_outcome.elapsed() > PATIENCE {
                bail!("nothing was labelled for {} s", PATIENCE.as_secs());
            }
        }
    }

    /// Stops everything; the first failure is the reason of the others.
    fn end(self, runtime: &Runtime, board: &mut Board) -> (anyhow::Result<()>, DemoArchive) {
        let Self { labelling, stop_worker, stop, sent: _, feeder, watcher, sightings, archive } = self;
        // Whoever is gone has said why already.
        let _ = stop_worker.send(());
        let worked = runtime.block_on(labelling).context("the worker's supervisor panicked");
        stop.store(true, Ordering::Relaxed);
        let fed = joined(feeder);
        let watched = joined(watcher);
        sightings.try_iter().for_each(|sighting| board.see(sighting));
        let stopped = worked.and_then(|worked| Ok(worked?)).and(fed).and(watched);
        (stopped, archive)
    }
}

/// A signal must not leave the terminal as the view has made it: the first one ends the view, a second one the
/// process. A terminal that hangs up ends it too, since reading its keys would never return.
fn quit_on_signals(runtime: &Runtime) -> anyhow::Result<Arc<AtomicBool>> {
    let quit = Arc::new(AtomicBool::new(false));
    let _entered = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signal = signal(kind).context("signals cannot be handled")?;
        let quit = quit.clone();
        runtime.spawn(async move {
            while signal.recv().await.is_some() {
                if kind == SignalKind::hangup() || quit.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(QUIT));
                }
            }
        });
    }
    Ok(quit)
}

async fn supervise(mut worker: Worker, stop: oneshot::Receiver<()>) -> Result<(), WorkerError> {
    tokio::select! {
        () = worker.watch() => {}
        _ = stop => {}
    }
    worker.stop().await
}

fn feed_all(
    mut feed: Feed,
    records: &[DemoRecord],
    shown: Duration,
    joined: &dyn Fn() -> bool,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> anyhow::Result<()> {
    let stopped = || stop.load(Ordering::Relaxed);
    while !joined() && !stopped() {
        feed.serve(Duration::from_millis(20));
    }
    let started = Instant::now();
    for (index, record) in records.iter().enumerate() {
        let due = posts::due(index, records.len(), shown);
        while started.elapsed() < due && !stopped() {
            feed.serve(due.saturating_sub(started.elapsed()).min(Duration::from_millis(50)));
        }
        if stopped() {
            return Ok(());
        }
        feed.send(Crumb { key: record.key.as_deref().map(str::as_bytes), value: &record.value, timestamp: None })?;
        sent.store(index as u64 + 1, Ordering::Release);
    }
    let result = feed.finish();
    match result.first_reason {
        Some(reason) => bail!("the embedded broker refused {} posts: {reason}", result.refused),
        None => Ok(()),
    }
}

fn create(out: &Path) -> anyhow::Result<File> {
    File::create(out).with_context(|| format!("cannot write {}; choose another place with --out", out.display()))
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run).context("no thread can be started")
}

fn joined(thread: thread::JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the demo panicked")))
}
