//! The archiver on a real broker: rows a second and per second of processor time, and the same job done carefully in
//! Python (tools/python-archiver) on the same topic.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cpu::processor_seconds;
use super::machine::{Machine, ModelUsed};
use super::rig::{PATIENCE, Posts, Rig};
use crate::archive::{Archiver, Setup};
use crate::config::{Config, OtherLanguages, Role, Span};
use crate::files::{self, Plan, Unfinished};
use crate::inference;
use crate::telemetry::{Metrics, Readiness};

/// Its program, built in, so that a figure belongs to the version that printed it.
const PROGRAM: &str = include_str!("../../tools/python-archiver/archiver.py");
const PARTITIONS: i32 = 4;
/// How many times faster than labelling an archiver must be at least.
const ENOUGH: f64 = 20.0;

/// What an archiver did.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Archived {
    rows: u64,
    /// From the first look at the topic until the last file is written; waiting for idleness is left out.
    seconds: f64,
    /// Of all its threads.
    cpu_seconds: f64,
    bytes: u64,
}

impl Archived {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn rows(self) -> f64 {
        self.rows as f64
    }

    fn per_cpu_second(self) -> f64 {
        self.rows() / self.cpu_seconds
    }
}

/// The archiver's figures, and what they are compared with.
#[derive(Debug, Serialize)]
pub struct ArchiveFigures {
    machine: Machine,
    model: ModelUsed,
    records: usize,
    hours: usize,
    /// Bytes of a record of the topic, on average.
    record_bytes: f64,
    /// `label` on the same machine, before: posts a second.
    labelling: f64,
    archiver: Archived,
    python: Option<Archived>,
}

impl fmt::Display for ArchiveFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, model, records, hours, record_bytes, labelling, archiver, python } = self;
        writeln!(f, "{machine}\n{model}")?;
        writeln!(f, "archiving {records} records of {record_bytes:.0} bytes, {hours} hours, {PARTITIONS} partitions")?;
        for (name, figures) in [("moodstream", Some(archiver)), ("Python", python.as_ref())] {
            let Some(figures) = figures else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
            let bytes = figures.bytes as f64 / figures.rows();
            writeln!(
                f,
                "  {name:<12}{:>9.0} rows/s{:>10.0} rows per second of processor time{bytes:>8.1} bytes a row",
                figures.rows() / figures.seconds,
                figures.per_cpu_second(),
            )?;
        }
        if let Some(python) = python {
            writeln!(
                f,
                "  rows per second of processor time ÷ Python: {:.2}",
                archiver.per_cpu_second() / python.per_cpu_second()
            )?;
        }
        let times = archiver.rows() / archiver.seconds / labelling;
        write!(f, "  rows/s ÷ posts labelled a second ({labelling:.0}): {times:.0} ({ENOUGH:.0} or more wanted)")
    }
}

/// Labels the posts with the model, fills a topic with `count` of these records, and archives it, with Python
/// `python` beside it if that is given.
///
/// # Errors
/// When the model, the broker or an archiver fails.
pub async fn archive(
    mut config: Config,
    posts: &Posts,
    count: usize,
    python: Option<&Path>,
) -> anyhow::Result<ArchiveFigures> {
    config.inference.cache_entries = 0;
    config.input.other_languages = OtherLanguages::Label;
    let loaded = inference::load(&config.model, &config.inference)?;
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let (input, output) = (folder.path().join("posts.jsonl"), folder.path().join("labelled.jsonl"));
    let mut file = BufWriter::new(File::create(&input)?);
    for record in posts.records() {
        file.write_all(record)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    tracing::info!(posts = posts.len(), "labelling the posts");
    let plan = Plan::look(&[input], Some(&output), None, false)?;
    let sinks = plan.open(&config, loaded.classifier.model(), &Unfinished::default())?;
    let started = Instant::now();
    files::label(&config, &*loaded.classifier, plan.inputs.clone(), sinks, |_| ())?;
    #[expect(clippy::cast_precision_loss, reason = "a count of posts")]
    let labelling = posts.len() as f64 / started.elapsed().as_secs_f64();

    let labelled = BufReader::new(File::open(&output)?).split(b'\n').collect::<Result<Vec<_>, _>>()?;
    let model = ModelUsed::new(&loaded);
    drop(loaded);
    let rig = Rig::new(config, PARTITIONS).await?;
    tracing::info!(count, "filling the topic");
    rig.fill_output(&labelled, count, PARTITIONS)?;
    let bytes: usize = labelled.iter().cycle().take(count).map(Vec::len).sum();
    drop(labelled);

    let url = folder.path().join("archive");
    let archiver = run(&rig, &url, count as u64).await?;
    let hours = hours(&url.join("posts"))?;
    let python = python.map(|interpreter| run_python(&rig, interpreter, folder.path(), count)).transpose()?;
    rig.remove().await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
    let record_bytes = bytes as f64 / count as f64;
    Ok(ArchiveFigures {
        machine: Machine::here(),
        model,
        records: count,
        hours,
        record_bytes,
        labelling,
        archiver,
        python,
    })
}

async fn run(rig: &Rig, url: &Path, count: u64) -> anyhow::Result<Archived> {
    let mut config = rig.config.clone();
    config.worker.role = Role::Archive;
    config.archive.url = url.to_str().context("the temporary folder's path is no text")?.to_owned();
    config.archive.idle = Span(Duration::from_secs(1));
    let idle = config.archive.idle.0.as_secs_f64();
    let metrics = Arc::new(Metrics::new());
    let setup = Setup {
        config: Arc::new(config),
        readiness: Readiness::new(metrics.ready.clone()),
        instance: "bench".to_owned(),
        stop: Arc::default(),
        impatient: true,
        runtime: tokio::runtime::Handle::current(),
        metrics: metrics.clone(),
    };
    let (cpu, started) = (processor_time()?, Instant::now());
    let archiver = Archiver::start(setup).context("no thread can be started")?;
    let counted = &metrics.archive;
    let (mut last, mut moved) = (0, Instant::now());
    while counted.rows.get() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = counted.rows.get() + u64::try_from(counted.memory_bytes.get()).unwrap_or(0);
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            bail!("the archiver has archived nothing for {} s", PATIENCE.as_secs());
        }
    }
    let seconds = started.elapsed().as_secs_f64() - idle;
    let cpu_seconds = processor_time()? - cpu;
    if !archiver.stop(Instant::now() + PATIENCE).await {
        bail!("the archiver did not stop");
    }
    Ok(Archived { rows: counted.rows.get(), seconds, cpu_seconds, bytes: counted.bytes.get() })
}

/// What the Python program prints.
#[derive(Deserialize)]
struct Printed {
    rows: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    bytes: u64,
}

fn run_python(rig: &Rig, interpreter: &Path, folder: &Path, count: usize) -> anyhow::Result<Archived> {
    let advice = || {
        format!(
            "{} cannot run the Python archiver; `make python-archiver` makes its environment",
            interpreter.display()
        )
    };
    tracing::info!("the same in Python");
    let config = json!({
        "brokers": rig.config.kafka.brokers, "group": format!("{}-python", rig.config.kafka.group),
        "topic": rig.config.output.topic, "out": folder.join("python"), "records": count,
    });
    let mut command = Command::new(interpreter);
    command.args(["-c", PROGRAM, &config.to_string()]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(advice)?;
    if !output.status.success() {
        bail!(advice());
    }
    let Printed { rows, wall_seconds, cpu_seconds, bytes } =
        serde_json::from_slice(&output.stdout).context("the Python archiver did not print its figures")?;
    Ok(Archived { rows, seconds: wall_seconds, cpu_seconds, bytes })
}

/// Hours that have files.
fn hours(posts: &Path) -> anyhow::Result<usize> {
    let mut hours = 0;
    for date in fs::read_dir(posts)? {
        hours += fs::read_dir(date?.path())?.count();
    }
    Ok(hours)
}

fn processor_time() -> anyhow::Result<f64> {
    processor_seconds().context("processor time is read from /proc, which this system does not have")
}
