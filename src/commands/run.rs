//! `moodstream run`: the worker as a service.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::model;
use crate::config::Config;
use crate::kafka::Cluster;
use crate::telemetry::{AdminServer, Metrics, Readiness, logging};
use crate::worker::Worker;

/// Exit code of a process that a second signal ended.
const INTERRUPTED: u8 = 130;

/// Labels until a signal says stop.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    logging::init(&config.log)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("service")
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    runtime.block_on(serve(Arc::new(config)))
}

async fn serve(config: Arc<Config>) -> anyhow::Result<ExitCode> {
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::new(metrics.ready.clone());
    let mut stop = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let admin = match config.admin.listen.as_str() {
        "" => None,
        listen => Some(AdminServer::start(listen, metrics.clone(), readiness.clone()).await?),
    };
    if let Some(admin) = &admin {
        tracing::info!(address = %admin.address(), "admin server listening");
    }
    let loading = {
        let (config, metrics) = (config.clone(), metrics.clone());
        tokio::task::spawn_blocking(move || model::load(&config, &metrics))
    };
    // The cluster is asked while the model is verified; nothing is joined before both are done.
    let cluster = Cluster::open(&config, &metrics).await;
    let (classifier, sessions) = loading.await.context("loading the model panicked")??;
    let mut worker = Worker::start(&config, cluster?, &*classifier, sessions, &metrics, &readiness)?;
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
        _ = stop.recv() => tracing::info!("SIGTERM: finishing the batches in hand"),
        _ = interrupt.recv() => tracing::info!("interrupted: finishing the batches in hand; again to end at once"),
    }
    readiness.set("worker", "stopping");
    let stopped = tokio::select! {
        stopped = worker.stop() => stopped,
        _ = stop.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        _ = interrupt.recv() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if let Some(admin) = admin {
        admin.stop().await;
    }
    stopped?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
