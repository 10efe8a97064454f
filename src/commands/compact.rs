//! `moodstream compact`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};

use super::{place, progress};
use crate::archive::layout::POSTS;
use crate::archive::{Compactor, Store};
use crate::cli::CompactArgs;
use crate::config::{Config, Properties};
use crate::telemetry::logging;
use crate::trends::{self, RolledUp, Source, TrendsError};

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
    let compacted = to.clone();
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
    let rolled = roll_up(&args.to, config, &compacted, &runtime)
        .context("the hours are compacted, but their roll-up cannot be written; moodstream rollup tries again")?;
    let text = format!(
        "{} files of {} hours became {} with {} rows; the originals of {} hours were removed\n\
         the roll-up has counted {} rows of {} days\n",
        done.inputs, done.hours, done.outputs, done.rows, done.removed, rolled.rows, rolled.days
    );
    // A standard output that is gone hides nothing that matters.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Brings the roll-up beside the large files up to date; a run that died may have left it behind, so always.
fn roll_up(url: &str, config: &Config, compacted: &Store, runtime: &Runtime) -> Result<RolledUp, TrendsError> {
    if runtime.block_on(compacted.folders(POSTS))?.is_empty() {
        return Ok(RolledUp::default());
    }
    let archive = &config.archive;
    let source = runtime.block_on(Source::open("--to", url, &archive.properties, archive.put_deadline.0))?;
    let source = place::writable(source, trends::ROLLUP, config)?;
    trends::roll_up(&source, runtime.handle(), None, |_, _| ())
}
