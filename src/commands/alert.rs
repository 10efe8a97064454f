//! `moodstream alert`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::place;
use crate::alerts::{self, AlertError, Alerter, Archived, Courier, Live, Memory, Round, Rule, Sight, Target};
use crate::cli::AlertArgs;
use crate::config::Config;
use crate::kafka::{self, OnceTopic, OutputTopic};
use crate::telemetry::{Metrics, logging};
use crate::trends::TrendsError;

/// What is logged of a single look unless `log.level` is set: standard output is for the alerts.
const WARNINGS: &str = "warn";
/// How long late posts are waited for unless `--grace` says.
const GRACE: Duration = Duration::from_mins(1);
/// What is kept beside the posts.
const WHAT: &str = "what was told";
/// What else the archive is for.
const MEMORY: &str = "what was told is remembered in the archive; only --to topic:NAME needs none";
const DAYS: &str = "a rule has z_above, and the days before are read from the archive";
/// Exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// Looks once, or until stopped.
///
/// # Errors
/// What is wrong with the rules, or which file, store or topic is.
pub(super) fn run(args: &AlertArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if args.every.is_some() {
        drop(logging::init(&config.log)?);
    } else {
        logging::init_quiet(&config.log, WARNINGS)?;
    }
    let rules = alerts::read(&args.rules)?;
    let target = Target::parse(&args.to)?;
    target.verify(config)?;
    if args.live || matches!(target, Target::Topic(_)) {
        kafka::verify(config)?;
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("service")
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let open = || place::open(args.path.as_deref(), config, &runtime);
    let memory = if let Target::Topic(topic) = &target {
        Memory::topic(OnceTopic::open(config, alerts::TO, topic)?)
    } else {
        let source = place::writable(open().context(MEMORY)?, WHAT, config)?;
        Memory::claims(source.store().clone())
    };
    let archived = |source| Archived::new(source, args.threads.map(usize::from));
    let sight = if args.live {
        let days = if rules.iter().any(Rule::needs_days) { Some(archived(open().context(DAYS)?)) } else { None };
        let metrics = Arc::new(Metrics::new());
        let topic = OutputTopic::open(config, &metrics, &kafka::instance(config))?;
        Sight::Topic(Box::new(Live::new(topic, args.grace.unwrap_or(GRACE), days)))
    } else {
        Sight::Archive(archived(open()?))
    };
    let courier = target.courier();
    let mut alerter = Alerter::new(sight, memory, rules, args.look_back);
    match args.every {
        None => loop {
            let round = look(&mut alerter, courier.as_ref(), &runtime)?;
            if !round.behind {
                return Ok(if round.undelivered == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        },
        Some(every) => watch(&mut alerter, courier.as_ref(), &runtime, every),
    }
}

/// Looks until a signal comes; what may mend itself is tried again.
fn watch(
    alerter: &mut Alerter,
    courier: Option<&Courier>,
    runtime: &Runtime,
    every: Duration,
) -> anyhow::Result<ExitCode> {
    let stop = stop(runtime)?;
    tracing::info!(every = %humantime::format_duration(every), "watching");
    loop {
        let mut pause = every;
        match look(alerter, courier, runtime) {
            Ok(round) => {
                tracing::debug!(?round, "looked");
                if round.behind {
                    pause = Duration::ZERO;
                }
            }
            Err(Ended::Fatal(error)) => return Err(error),
            Err(Ended::Later(error)) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "not everything could be looked at; it is tried again");
            }
        }
        let stopped = runtime.block_on(async {
            tokio::select! {
                () = stop.notified() => true,
                () = tokio::time::sleep(pause) => false,
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

fn look(alerter: &mut Alerter, courier: Option<&Courier>, runtime: &Runtime) -> Result<Round, Ended> {
    let mut deaf = None;
    let mut deliver = |id: &str, event: &[u8]| {
        let Some(courier) = courier else { return Ok(()) };
        let delivered = courier.deliver(id, event);
        if let (Err(error), Courier::Stdout) = (&delivered, courier) {
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
        (None, Err(error @ AlertError::TakenOver(_))) => Err(Ended::Fatal(error.into())),
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
