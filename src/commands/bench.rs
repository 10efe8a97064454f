//! `moodstream bench`: measures and prints the figures.

use std::fmt::Display;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::runtime;

use crate::bench::{self, Broker, Posts, Python};
use crate::cli::{BenchArgs, BenchCommand, Settings};
use crate::config::Config;
use crate::telemetry::logging;

/// Distinct texts that are measured with, at most.
const MOST: usize = 30_000;

/// Measures what is asked for.
pub(super) fn run(args: &BenchArgs, settings: &Settings, config: Config) -> anyhow::Result<ExitCode> {
    drop(logging::init(&config.log)?);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let read = |input: &Path| Posts::read(input, &config, MOST);
    match &args.command {
        None => {
            let pipeline = &args.pipeline;
            let input = args.input.as_deref().context("name a FILE of posts to measure with")?;
            let python = pipeline.against.map(|_| Python::find(&pipeline.python)).transpose()?;
            let posts = read(input)?;
            let broker = if pipeline.embedded { Broker::Embedded } else { Broker::Cluster(python.as_ref()) };
            let measured = bench::pipeline(config, &posts, seconds(pipeline.seconds), broker);
            report(&runtime.block_on(measured)?, pipeline.common.json.as_deref())?;
        }
        Some(BenchCommand::Archive(archive)) => {
            let (posts, count) = (read(&archive.input)?, usize::try_from(archive.records.get())?);
            let python = archive.against.map(|_| archive.python.as_path());
            let measured = bench::archive(config, &posts, count, python);
            report(&runtime.block_on(measured)?, archive.common.json.as_deref())?;
        }
        Some(BenchCommand::Label(label)) => {
            let posts = read(&label.input)?;
            report(&bench::label(config, &posts, seconds(label.seconds))?, label.json.as_deref())?;
        }
        Some(BenchCommand::Lane(lane)) => {
            let (posts, count) = (read(&lane.input)?, usize::try_from(lane.posts.get())?);
            let measured = bench::lane(config, &posts, count, lane.batch, lane.tokenize);
            report(&runtime.block_on(measured)?, lane.common.json.as_deref())?;
        }
        Some(BenchCommand::Latency(latency)) => {
            let posts = read(&latency.input)?;
            let measured = bench::latency(config, &posts, latency.rate, seconds(latency.seconds));
            report(&runtime.block_on(measured)?, latency.common.json.as_deref())?;
        }
        Some(BenchCommand::Scale(scale)) => {
            let posts = read(&scale.input)?;
            let mut arguments = settings.arguments();
            // Brokers and model may come from flags of this command.
            let model = config.model.path.display();
            for setting in [format!("kafka.brokers={}", config.kafka.brokers), format!("model.path={model}")] {
                arguments.extend(["--set".to_owned(), setting]);
            }
            let (workers, seconds) = (&scale.workers, seconds(scale.seconds));
            let measured = bench::scale(config, &posts, &arguments, workers, scale.wait_per_post, seconds);
            report(&runtime.block_on(measured)?, scale.common.json.as_deref())?;
        }
        Some(BenchCommand::ScaleWorker(worker)) => {
            runtime.block_on(bench::scale_worker(config, worker.wait_per_post))?;
            // Its standard input may still be read by a thread.
            runtime.shutdown_background();
        }
        Some(BenchCommand::Trends(trends)) => {
            let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
            let folder = trends.dir.as_deref().unwrap_or(temporary.path());
            let duckdb = trends.against.map(|_| trends.python.as_path());
            let (rows, days) = (trends.rows.get(), trends.days.get());
            let measured = bench::trends(&config, runtime.handle(), folder, rows, days, duckdb);
            report(&measured?, trends.json.as_deref())?;
        }
        Some(BenchCommand::Memory(memory)) => {
            // More than the cache holds: coming round again, none of them is in it, and the model always works.
            let posts = Posts::read(&memory.input, &config, MOST + config.inference.cache_entries)?;
            let count = usize::try_from(memory.posts.get())?;
            let measured = bench::memory(config, &posts, count, seconds(memory.seconds));
            report(&runtime.block_on(measured)?, memory.common.json.as_deref())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn seconds(seconds: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(seconds.get()))
}

/// The table on standard output, the same as JSON where it was asked for.
fn report(figures: &(impl Display + Serialize), json: Option<&Path>) -> anyhow::Result<()> {
    #[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
    {
        println!("{figures}");
    }
    json.map_or(Ok(()), |file| write(figures, file))
}

fn write(figures: &impl Serialize, file: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(figures)? + "\n";
    fs::write(file, json).with_context(|| format!("cannot write the figures to {}", file.display()))
}
