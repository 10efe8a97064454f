//! `moodstream trends`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::HumanCount;
use jiff::Timestamp;
use tokio::runtime;

use super::{place, progress};
use crate::cli::{Period, TrendsArgs, TrendsFormat};
use crate::config::Config;
use crate::telemetry::logging;
use crate::trends::{self, Asked, By, Format, Look, Picture, Progress, Query, TrendsError};

/// What is logged unless `log.level` is set.
const WARNINGS: &str = "warn";
/// A question that is answered sooner needs no bar.
const LONG: Duration = Duration::from_millis(500);
/// Columns where there is no terminal to ask.
const WIDTH: usize = 100;

/// Answers the question.
///
/// # Errors
/// What is wrong with it, or which file or store is.
pub(super) fn run(args: &TrendsArgs, config: &Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let format = match args.format {
        TrendsFormat::Table => Format::Table,
        TrendsFormat::Json => Format::Json,
        TrendsFormat::Csv => Format::Csv,
        TrendsFormat::Parquet => Format::Parquet,
    };
    if format == Format::Parquet && args.out.is_none() && io::stdout().is_terminal() {
        let message = "--format parquet: a terminal cannot show it; name a file with --out";
        return Err(TrendsError::Refused(message.to_owned()).into());
    }
    let query = Query::new(&asked(args), Timestamp::now())?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let source = place::open(args.path.as_deref(), config, &runtime)?;
    let bar = progress::bar(Some(0));
    if let Some(bar) = &bar {
        // Nothing is drawn before it is worth it.
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let started = Instant::now();
    let show = |done: Progress| {
        let Some(bar) = bar.as_ref().filter(|_| started.elapsed() > LONG) else { return };
        if bar.is_hidden() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        bar.set_length(done.all_bytes);
        bar.set_position(done.bytes);
        bar.set_message(format!("{} rows", HumanCount(done.rows)));
    };
    let answer = trends::ask(&source, &query, runtime.handle(), &show);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let answer = answer?;
    let pictures =
        [("--html", Picture::Html, &args.html), ("--svg", Picture::Svg, &args.svg), ("--png", Picture::Png, &args.png)];
    for (flag, picture, file) in pictures {
        if let Some(file) = file {
            trends::write_to(flag, file, &trends::draw(&answer, picture, args.dark)?)?;
        }
    }
    let bytes = trends::render(&answer, format, look(args))?;
    trends::write_out(&bytes, args.out.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn asked(args: &TrendsArgs) -> Asked {
    Asked {
        from: args.from.clone(),
        to: args.to.clone(),
        by: Some(match args.by {
            Period::Hour => By::Hour,
            Period::Day => By::Day,
            Period::Week => By::Week,
        }),
        emotions: args.emotion.clone(),
        filters: args.filter.clone(),
        group_by: args.group_by.clone(),
        time_zone: args.time_zone.clone(),
        models: args.model.clone(),
        standouts: args.standouts,
        reads_files: args.full_scan,
        threads: args.threads.map(usize::from),
    }
}

/// Colour where it goes to a terminal and nobody minds (no-color.org).
fn look(args: &TrendsArgs) -> Look {
    let on_terminal = args.out.is_none() && io::stdout().is_terminal();
    let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = if on_terminal { ratatui::crossterm::terminal::size().ok() } else { None };
    Look { width: width.map_or(WIDTH, |(columns, _)| usize::from(columns).max(40)), colour: on_terminal && !minds }
}
