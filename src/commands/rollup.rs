//! `moodstream rollup`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime;

use super::{place, progress};
use crate::cli::RollupArgs;
use crate::config::Config;
use crate::telemetry::logging;
use crate::trends::{self, RolledUp};

/// What is logged unless `log.level` is set.
const WARNINGS: &str = "warn";

/// Brings the roll-up up to date.
///
/// # Errors
/// When the archive cannot be read, or nothing can be written beside it.
pub(super) fn run(args: &RollupArgs, config: &Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let source = place::open(args.path.as_deref(), config, &runtime)?;
    let source = place::writable(source, trends::ROLLUP, config)?;
    let bar = progress::bar(None);
    let done = trends::roll_up(&source, runtime.handle(), args.threads.map(usize::from), |date, done| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{date}: {} rows counted", done.rows));
            bar.tick();
        }
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let RolledUp { days, unchanged, hours, rows } = done?;
    let text =
        format!("{hours} hours with {rows} rows were counted for {days} days; {unchanged} days are as they were\n");
    // A standard output that is gone hides nothing that matters.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
