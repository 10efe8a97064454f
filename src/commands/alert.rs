//! `moodstream alert`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::alerts::{self, AlertError, Alerter, Courier, Round, Target};
use crate::cli::AlertArgs;
use crate::config::Config;
use crate::kafka;
use crate::telemetry::logging;
use crate::trends::{Source, TrendsError};

/// What is logged of a single look unless `log.level` is set: standard output is for the alerts.
const WARNINGS: &str = "warn";
/// Exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// Looks once, or until stopped.
///
/// # Errors
/// What is wrong with the rules, or which file or store is.
pub(super) fn run(args: &AlertArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if args.every.is_some() {
        drop(logging::init(&config.log)?);
    } else {
        logging::init_quiet(&config.log, WARNINGS)?;
    }
    let rules = alerts::read(&args.rules)?;
    let target = Target::parse(&args.to)?;
    if matches!(target, Target::Topic(_)) {
        kafka::verify(config)?;
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("service")
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let archive = &config.archive;
    let (named, url) = match &args.path {
        Some(path) => ("PATH", path),
        None => ("archive.url", &archive.url),
    };
    let (properties, deadline) = (&archive.properties, archive.put_deadline.0);
    let source = runtime.block_on(Source::open(named, url, properties, deadline))?;
    let source = source.into_written("what was told", properties, deadline)?;
    let mut courier = target.courier(config)?;
    let mut alerter = Alerter::new(source, rules, args.look_back, args.threads.map(usize::from));
    match args.every {
        None => {
            let round = look(&mut alerter, &mut courier, &runtime)?;
            Ok(if round.undelivered == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(every) => watch(&mut alerter, &mut courier, &runtime, every),
    }
}

/// Looks until a signal comes; what may mend itself is tried again.
fn watch(
    alerter: &mut Alerter,
    courier: &mut Courier<'_>,
    runtime: &Runtime,
    every: Duration,
) -> anyhow::Result<ExitCode> {
    let stop = stop(runtime)?;
    tracing::info!(every = %humantime::format_duration(every), "watching the archive");
    loop {
        match look(alerter, courier, runtime) {
            Ok(round) => tracing::debug!(?round, "looked"),
            Err(Ended::Fatal(error)) => return Err(error),
            Err(Ended::Later(error)) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the archive could not be looked at; it is tried again");
            }
        }
        let stopped = runtime.block_on(async {
            tokio::select! {
                () = stop.notified() => true,
                () = tokio::time::sleep(every) => false,
            }
        });
        if stopped {
            tracing::info!("stopped");
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Why a look ended early.
enum Ended {
    /// The next may go well.
    Later(AlertError),
    /// None will.
    Fatal(anyhow::Error),
}

impl From<Ended> for anyhow::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Later(error) => error.into(),
            Ended::Fatal(error) => error,
        }
    }
}

fn look(alerter: &mut Alerter, courier: &mut Courier<'_>, runtime: &Runtime) -> Result<Round, Ended> {
    let mut deaf = None;
    let mut deliver = |id: &str, event: &[u8]| {
        let delivered = courier.deliver(id, event);
        if let (Err(error), Courier::Stdout) = (&delivered, &*courier) {
            // What nobody reads any more must not be claimed.
            deaf = Some(anyhow::anyhow!("standard output cannot be written: {error:#}"));
        }
        delivered
    };
    let round = alerter.round(Timestamp::now(), runtime.handle(), &mut deliver);
    match (deaf, round) {
        (Some(deaf), _) => Err(Ended::Fatal(deaf)),
        (None, Ok(round)) => Ok(round),
        // A file that is damaged now keeps the other rules from nothing.
        (None, Err(error @ AlertError::Unread { source: TrendsError::Damaged { .. }, .. })) => Err(Ended::Later(error)),
        (None, Err(error)) if error.is_wrong_use() => Err(Ended::Fatal(error.into())),
        (None, Err(error)) => Err(Ended::Later(error)),
    }
}

/// Is notified by the first signal; a second one ends the process at once.
fn stop(runtime: &Runtime) -> anyhow::Result<Arc<Notify>> {
    let _entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let stop = Arc::new(Notify::new());
    let told = Arc::clone(&stop);
    runtime.spawn(async move {
        for time in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if time > 0 {
                std::process::exit(INTERRUPTED);
            }
            told.notify_one();
        }
    });
    Ok(stop)
}
