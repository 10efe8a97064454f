//! `moodstream compact`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime;

use super::progress;
use crate::archive::{Compactor, Store};
use crate::cli::CompactArgs;
use crate::config::{Config, Properties};
use crate::telemetry::logging;

/// What is logged unless `log.level` is set.
const WARNINGS: &str = "warn";
/// Clocks of stores and machines differ by less than this.
const SKEW: Duration = Duration::from_mins(1);

/// Compacts what is complete.
///
/// # Errors
/// When a store fails, or is not for this.
pub(super) fn run(args: &CompactArgs, config: &Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let archive = &config.archive;
    let deadline = archive.put_deadline.0;
    let from = Store::open(&archive.url, &archive.properties, deadline)?;
    // The options are those of a bucket; a folder has none.
    let none = Properties::default();
    let properties = if args.to.contains("://") { &archive.properties } else { &none };
    let to = Store::open(&args.to, properties, deadline)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let bar = progress::bar(None);
    let done = runtime.block_on(async {
        let compactor = Compactor::open(from, to).await?;
        let show = |hour, done: &crate::archive::Compacted| {
            if let Some(bar) = &bar {
                bar.set_message(format!("{hour}: {} files became {}", done.inputs, done.outputs));
                bar.tick();
            }
        };
        let mut done = compactor.run(show).await?;
        if let Some(age) = args.remove_originals {
            let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::now().as_millisecond().saturating_sub(millis(age));
            compactor.remove_originals(before, millis(deadline * 2 + SKEW), &mut done).await?;
        }
        anyhow::Ok(done)
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let done = done?;
    let text = format!(
        "{} files of {} hours became {} with {} rows; the originals of {} hours were removed\n",
        done.inputs, done.hours, done.outputs, done.rows, done.removed
    );
    // A standard output that is gone hides nothing that matters.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
