//! `moodstream run`: the worker as a service.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{self, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::model;
use crate::config::Config;
use crate::kafka::Cluster;
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
    let mut worker = tokio::select! {
        started = start(config, &metrics, &readiness) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was over");
            return Ok(ExitCode::SUCCESS);
        }
    };
    status.show_worker(worker.lanes().clone(), worker.instance());
    readiness.clear(Readiness::STARTING);
    tracing::info!(
        lanes = config.worker.lanes,
        group = config.kafka.group,
        from = config.input.topics.join(","),
        to = config.output.topic,
        delivery = ?config.kafka.delivery,
        "labelling"
    );
    tokio::select! {
        () = worker.watch() => tracing::error!("a lane ended; stopping the rest"),
        signal = signals.next() => tracing::info!(signal, "finishing the batches in hand; a second signal ends at once"),
    }
    readiness.set("worker", "stopping");
    tokio::select! {
        stopped = worker.stop() => stopped?,
        _ = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Asks the cluster while the model is verified; nothing is joined before both are done.
async fn start(config: &Arc<Config>, metrics: &Arc<Metrics>, readiness: &Readiness) -> anyhow::Result<Worker> {
    let loading = {
        let (config, metrics) = (config.clone(), metrics.clone());
        tokio::task::spawn_blocking(move || model::load(&config, &metrics))
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
