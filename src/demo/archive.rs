//! The demo's archive: the real archiver on the embedded broker, in a folder beside the demo's other output, what it
//! wrote as people see it, and the report of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::archive::{Archiver, Setup};
use crate::config::Config;
use crate::telemetry::{Metrics, Readiness};
use crate::trends::{self, Asked, By, Picture, Query, Source};

/// How long the last rows may take to become files.
const PATIENCE: Duration = Duration::from_secs(20);
/// Folders of hours that are shown.
const SHOWN: usize = 4;

/// The folder beside the demo's file of labelled posts.
pub(super) fn folder(out: &Path) -> PathBuf {
    out.with_extension("archive")
}

/// An archiver of the demo's output topic.
pub(super) struct DemoArchive {
    archiver: Archiver,
    metrics: Arc<Metrics>,
    config: Arc<Config>,
    url: PathBuf,
}

impl DemoArchive {
    /// Removes the archive of an earlier demo, and nothing else that may be there, and starts the archiver.
    pub(super) fn start(runtime: &Runtime, config: &Arc<Config>, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let url = PathBuf::from(&config.archive.url);
        clear(&url)?;
        let setup = Setup {
            config: config.clone(),
            metrics: metrics.clone(),
            readiness: Readiness::new(metrics.ready.clone()),
            instance: "demo".to_owned(),
            stop: Arc::default(),
            impatient: true,
            runtime: runtime.handle().clone(),
        };
        let archiver = Archiver::start(setup).context("no thread can be started")?;
        Ok(Self { archiver, metrics: metrics.clone(), config: config.clone(), url })
    }

    /// Waits until so many rows are in files, ends the archiver, and tells what it wrote.
    pub(super) fn finish(self, runtime: &Runtime, rows: u64) -> anyhow::Result<String> {
        let give_up = Instant::now() + PATIENCE;
        let archived = || self.metrics.archive.rows.get();
        while archived() < rows && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(20));
        }
        let written = archived();
        runtime.block_on(self.archiver.stop(Instant::now() + PATIENCE));
        if written != rows {
            bail!("the archive holds {written} rows of {rows} labelled and skipped posts");
        }
        let report = report(&self.url, &self.config, runtime)?;
        Ok(tree(&self.url, rows)? + &format!("\nreport          {}\n", report.display()))
    }
}

/// What `moodstream trends --by hour --html` makes of the archive, beside it.
fn report(url: &Path, config: &Config, runtime: &Runtime) -> anyhow::Result<PathBuf> {
    let asked = Asked { by: Some(By::Hour), standouts: 10, ..Asked::default() };
    let query = Query::new(&asked, Timestamp::now())?;
    let archive = &config.archive;
    let source =
        runtime.block_on(Source::open("archive.url", &archive.url, &archive.properties, archive.put_deadline.0))?;
    let answer = trends::ask(&source, &query, runtime.handle(), &|_| ())?;
    let file = url.with_extension("html");
    trends::write_to("--out", &file, &trends::draw(&answer, Picture::Html, false)?)?;
    Ok(file)
}

fn clear(url: &Path) -> anyhow::Result<()> {
    let identity = url.join("_state/archive.json");
    if !url.exists() {
        return Ok(());
    }
    // The embedded broker's clusters are all called so.
    let of_a_demo = fs::read_to_string(&identity).is_ok_and(|text| text.contains("\"mockCluster"));
    if !of_a_demo {
        bail!("{} is there and no archive of an earlier demo; choose another place with --out", url.display());
    }
    fs::remove_dir_all(url).with_context(|| format!("cannot remove {}", url.display()))
}

/// The first hours of the archive as a tree, and how to ask it something.
fn tree(url: &Path, rows: u64) -> anyhow::Result<String> {
    let posts = url.join("posts");
    let mut hours = Vec::new();
    for date in sorted(&posts)? {
        for hour in sorted(&date)? {
            hours.push((hour.strip_prefix(&posts)?.to_owned(), sorted(&hour)?));
        }
    }
    let files: usize = hours.iter().map(|(_, files)| files.len()).sum();
    // Writing to a String cannot fail.
    let mut page = String::new();
    let _ = writeln!(page, "\narchived        {rows} rows in {files} Parquet files of {} hours", hours.len());
    let _ = writeln!(page, "  {}", posts.display());
    for (hour, files) in hours.iter().take(SHOWN) {
        let bytes: u64 = files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum();
        let _ = writeln!(page, "  ├─ {}  {} files, {:.1} kB", hour.display(), files.len(), kilobytes(bytes));
    }
    if hours.len() > SHOWN {
        let _ = writeln!(page, "  └─ … {} more hours", hours.len() - SHOWN);
    }
    let _ = writeln!(
        page,
        "  duckdb -c \"SELECT hour, count(*) posts, round(avg(joy), 2) joy, round(avg(anger), 2) anger FROM \
         read_parquet('{}/*/*/*.parquet', union_by_name=true) WHERE status = 'labelled' GROUP BY hour ORDER BY hour\"",
        posts.display()
    );
    Ok(page)
}

#[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}

fn sorted(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}
