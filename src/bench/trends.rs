//! `moodstream trends` over a large archive, from its files and from the roll-up, and `DuckDB` on the same question over
//! the same files.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;

use super::machine::Machine;
use super::memory::{forget_peak, peak};
use super::synthetic;
use crate::archive::layout::{POSTS, ROLLUP};
use crate::config::Config;
use crate::inference::REFERENCE_LABELS;
use crate::trends::{self, Asked, Query, Source};

/// `DuckDB`'s part, built in, so that a figure belongs to the version that printed it.
const PROGRAM: &str = include_str!("../../tools/readers/bench.py");
/// Times that each is asked; the quickest counts, since others only disturb.
const ROUNDS: usize = 3;

/// How long an answer took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Took {
    seconds: f64,
    /// Peak resident memory in MB (10⁶ bytes).
    memory: f64,
}

/// The figures.
#[derive(Debug, Serialize)]
pub struct TrendsFigures {
    machine: Machine,
    rows: u64,
    days: usize,
    files: u64,
    threads: usize,
    /// A full scan.
    moodstream: Took,
    /// The same answer from the roll-up.
    from_rollup: Took,
    /// What `rollup` took.
    rolling_up: Took,
    /// Posts counted by comparing scores with thresholds, `DuckDB`'s quickest way.
    duckdb_by_scores: Option<Took>,
    /// Posts counted by their labels, as moodstream does.
    duckdb_by_labels: Option<Took>,
}

impl fmt::Display for TrendsFigures {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rows, days, files, threads, moodstream, from_rollup, rolling_up, .. } = self;
        writeln!(f, "{machine}")?;
        write!(
            f,
            "each emotion by day, {rows} rows of {days} days in {files} files, {threads} threads, best of {ROUNDS}"
        )?;
        let each = [
            ("moodstream, full scan", Some(moodstream)),
            ("DuckDB, by scores", self.duckdb_by_scores.as_ref()),
            ("DuckDB, by labels", self.duckdb_by_labels.as_ref()),
        ];
        for (name, took) in each {
            let Some(Took { seconds, memory }) = took else { continue };
            let speed = *rows as f64 / seconds;
            write!(f, "\n  {name:<24}{seconds:>8.2} s{speed:>14.0} rows/s{memory:>8.0} MB")?;
            if name != each[0].0 {
                write!(f, "   moodstream's speed ÷ its: {:.2}", seconds / moodstream.seconds)?;
            }
        }
        let Took { seconds, memory } = from_rollup;
        write!(f, "\n  {:<24}{seconds:>8.2} s{:>21}{memory:>8.0} MB", "moodstream, roll-up", "")?;
        let Took { seconds, memory } = rolling_up;
        write!(f, "\n  {:<24}{seconds:>8.2} s{:>21}{memory:>8.0} MB", "making the roll-up", "")
    }
}

/// Asks for each emotion by day. `folder` is filled with `rows` random posts of so many days unless it holds some.
///
/// # Errors
/// When the archive cannot be written or read, or `DuckDB`'s answer is another one.
pub fn trends(
    config: &Config,
    runtime: &Handle,
    folder: &Path,
    rows: u64,
    days: u32,
    duckdb: Option<&Path>,
) -> anyhow::Result<TrendsFigures> {
    if !folder.join(POSTS).exists() {
        tracing::info!(rows, days, "writing the archive");
        synthetic::write(folder, rows, days)?;
    }
    synthetic::identify(folder)?;
    let url = folder.to_str().context("the folder's path is no text")?;
    let deadline = config.archive.put_deadline.0;
    let source = runtime.block_on(Source::open("--dir", url, &config.archive.properties, deadline))?;
    let query = |reads_files| Query::new(&Asked { reads_files, ..Asked::default() }, Timestamp::now());
    let full = query(true)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut own, mut by_scores, mut by_labels): (Vec<Took>, Vec<Took>, Vec<Took>) =
        (Vec::new(), Vec::new(), Vec::new());
    let mut read = None;
    let mut counted = Vec::new();
    for _ in 0..ROUNDS {
        forget_peak()?;
        let started = Instant::now();
        let answer = trends::ask(&source, &full, runtime, &|_| ())?;
        own.push(Took { seconds: started.elapsed().as_secs_f64(), memory: peak()? });
        let counts: Vec<Vec<u64>> = answer.groups[0].series.iter().map(|series| series.count.clone()).collect();
        if let Some(python) = duckdb {
            for (labels, into) in [(false, &mut by_scores), (true, &mut by_labels)] {
                let answered = ask_duckdb(python, folder, labels, threads)?;
                if answered.counts != counts {
                    bail!("DuckDB counts other posts than moodstream");
                }
                into.push(answered.took);
            }
        }
        read = Some((answer.read, answer.periods.len()));
        counted = counts;
    }
    // Made anew, whatever an earlier run has left.
    remove(&folder.join(ROLLUP))?;
    let written = source.into_written(trends::ROLLUP, &config.archive.properties, deadline)?;
    forget_peak()?;
    let started = Instant::now();
    trends::roll_up(&written, runtime, None, |_, _| ())?;
    let rolling_up = Took { seconds: started.elapsed().as_secs_f64(), memory: peak()? };
    let quick = query(false)?;
    let mut rolled: Vec<Took> = Vec::new();
    for _ in 0..ROUNDS {
        forget_peak()?;
        let started = Instant::now();
        let answer = trends::ask(&written, &quick, runtime, &|_| ())?;
        rolled.push(Took { seconds: started.elapsed().as_secs_f64(), memory: peak()? });
        let counts: Vec<Vec<u64>> = answer.groups[0].series.iter().map(|series| series.count.clone()).collect();
        if counts != counted || answer.read.rows > 0 {
            bail!("the roll-up does not give the answer of the files");
        }
    }
    let (read, days) = read.context("it was asked")?;
    let best = |took: &[Took]| took.iter().copied().min_by(|one, other| one.seconds.total_cmp(&other.seconds));
    Ok(TrendsFigures {
        machine: Machine::here(),
        rows: read.rows,
        days,
        files: read.files,
        threads,
        moodstream: best(&own).context("it was asked")?,
        from_rollup: best(&rolled).context("it was asked")?,
        rolling_up,
        duckdb_by_scores: best(&by_scores),
        duckdb_by_labels: best(&by_labels),
    })
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What the program prints.
#[derive(Deserialize)]
struct Answered {
    #[serde(flatten)]
    took: Took,
    /// Posts by emotion and day.
    counts: Vec<Vec<u64>>,
}

fn ask_duckdb(python: &Path, folder: &Path, by_labels: bool, threads: usize) -> anyhow::Result<Answered> {
    let asked =
        json!({"posts": folder.join(POSTS), "emotions": REFERENCE_LABELS, "by_labels": by_labels, "threads": threads});
    let output = Command::new(python)
        .args(["-c", PROGRAM, &asked.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot run; `make readers` installs it with DuckDB", python.display()))?;
    if !output.status.success() {
        bail!("DuckDB has failed; `make readers` installs it");
    }
    serde_json::from_slice(&output.stdout).context("DuckDB's program did not print its figures")
}
