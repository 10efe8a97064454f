//! `moodstream run`: the worker as a service, with the archive beside it, or either alone.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::{self, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::model;
use crate::archive::{self, Archiver};
use crate::config::Config;
use crate::kafka::{self, Cluster};
use crate::telemetry::status::About;
use crate::telemetry::{AdminServer, Metrics, Notices, Readiness, Status, logging};
use crate::worker::Worker;

/// Exit code of a process that a second signal ended.
const INTERRUPTED: u8 = 130;

/// Labels until a signal says stop.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let notices = logging::init(&config.log)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("service")
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let served = runtime.block_on(serve(&Arc::new(config), notices));
    // Whatever still waits for a broker does not keep the process.
    runtime.shutdown_background();
    served
}

async fn serve(config: &Arc<Config>, notices: Notices) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::new(metrics.ready.clone());
    let status = Status::new(About::new(config), metrics.clone(), readiness.clone(), notices);
    let admin = match config.admin.listen.as_str() {
        "" => None,
        listen => Some(AdminServer::start(listen, status.clone()).await?),
    };
    if let Some(admin) = &admin {
        tracing::info!(address = %admin.address(), "admin server listening");
    }
    let mut parts = tokio::select! {
        started = start(config, &metrics, &readiness) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was over");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Some(worker) = &parts.worker {
        status.show_worker(worker.lanes().clone(), worker.instance());
        tracing::info!(
            lanes = config.worker.lanes,
            group = config.kafka.group,
            from = config.input.topics.join(","),
            to = config.output.topic,
            delivery = ?config.kafka.delivery,
            "labelling"
        );
    }
    readiness.clear(Readiness::STARTING);
    tokio::select! {
        () = parts.watch() => tracing::error!("a thread ended; stopping the rest"),
        signal = signals.next() => tracing::info!(signal, "finishing the batches in hand; a second signal ends at once"),
    }
    readiness.set("worker", "stopping");
    tokio::select! {
        stopped = parts.stop(config) => stopped?,
        _ = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What this process runs, as `worker.role` says.
struct Parts {
    worker: Option<Worker>,
    archiver: Option<Archiver>,
    /// The archiver's thread ended by itself.
    archiver_ended: bool,
}

impl Parts {
    /// Waits until something ends that the process cannot do without.
    async fn watch(&mut self) {
        match (&mut self.worker, &self.archiver) {
            (Some(worker), Some(archiver)) => {
                tokio::select! {
                    () = worker.watch() => return,
                    () = archiver.watch() => {}
                }
                // It does not delay labelling.
                tracing::error!(
                    "the archiver's thread has ended: a defect of moodstream, please report it with the log"
                );
                self.archiver = None;
                worker.watch().await;
            }
            (Some(worker), None) => worker.watch().await,
            (None, Some(archiver)) => {
                archiver.watch().await;
                self.archiver_ended = true;
            }
            (None, None) => {}
        }
    }

    async fn stop(self, config: &Config) -> anyhow::Result<()> {
        let give_up = Instant::now() + config.worker.shutdown_timeout.0;
        let archiver = async {
            let Some(archiver) = self.archiver else { return };
            if !archiver.stop(give_up).await {
                tracing::warn!("the archiver did not stop in time; what it holds is read again");
            }
        };
        let worker = async {
            match self.worker {
                Some(worker) => worker.stop().await,
                None => Ok(()),
            }
        };
        let (stopped, ()) = tokio::join!(worker, archiver);
        stopped?;
        if self.archiver_ended {
            anyhow::bail!(
                "the archiver's thread has ended; this is a defect of moodstream, please report it with the log"
            );
        }
        Ok(())
    }
}

async fn start(config: &Arc<Config>, metrics: &Arc<Metrics>, readiness: &Readiness) -> anyhow::Result<Parts> {
    let role = config.worker.role;
    let worker = if role.labels() { Some(start_worker(config, metrics, readiness).await?) } else { None };
    let instance = worker.as_ref().map_or_else(|| kafka::instance(config), |worker| worker.instance().to_owned());
    let archiver = if role.archives() {
        let setup = archive::Setup {
            config: config.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            instance,
            stop: Arc::default(),
            impatient: false,
            runtime: Handle::current(),
        };
        if !role.labels() {
            // Alone it is of no use until this goes well: wrong settings are told at once.
            let setup = setup.clone();
            let looking = tokio::task::spawn_blocking(move || archive::verify_setup(&setup));
            looking.await.context("looking at the archive panicked")??;
        }
        Some(Archiver::start(setup).context("no thread can be started")?)
    } else {
        None
    };
    Ok(Parts { worker, archiver, archiver_ended: false })
}

/// Asks the cluster while the model is verified; nothing is joined before both are done.
async fn start_worker(config: &Arc<Config>, metrics: &Arc<Metrics>, readiness: &Readiness) -> anyhow::Result<Worker> {
    let loading = {
        let (config, metrics) = (config.clone(), metrics.clone());
        tokio::task::spawn_blocking(move || {
            let (live, sessions) = model::load(&config, &metrics)?;
            anyhow::Ok((model::with_shadow(live, &config, &metrics)?, sessions))
        })
    };
    let opening = {
        let (config, metrics, runtime) = (config.clone(), metrics.clone(), Handle::current());
        tokio::task::spawn_blocking(move || runtime.block_on(Cluster::open(&config, &metrics)))
    };
    let loading = async { loading.await.context("loading the model panicked")? };
    let opening = async { anyhow::Ok(opening.await.context("asking the cluster panicked")??) };
    let ((classifier, sessions), cluster) = tokio::try_join!(loading, opening)?;
    Ok(Worker::start(config, cluster, &*classifier, sessions, metrics, readiness)?)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
