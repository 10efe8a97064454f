//! `moodstream bench`: what to measure, and against what.

#![expect(clippy::doc_markdown, reason = "the comments on arguments are their help, printed as they stand")]

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE", required = true)]
    pub input: Option<PathBuf>,
    /// The whole pipeline.
    #[command(flatten)]
    pub pipeline: BenchPipelineArgs,
    /// A part.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
}

/// A part to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure `label` against the model alone, as a ratio in one run. No broker is needed.
    ///
    /// The model alone, `label` from a file to a file, the model alone again.
    #[command(after_help = concat!("Example:\n  moodstream bench label posts.jsonl --seconds 60\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Label(BenchLabelArgs),
    /// Measure one lane with a classifier that does nothing.
    #[command(after_help = concat!("Example:\n  moodstream bench lane posts.jsonl --posts 500000 --batch 4096\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Lane(BenchLaneArgs),
    /// Measure the time from producing a post to its committed label, at low load.
    #[command(after_help = concat!("Example:\n  moodstream bench latency posts.jsonl --rate 10 --seconds 120\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Latency(BenchLatencyArgs),
    /// Measure the archiver: rows a second, and per second of processor time, also against Python.
    #[command(after_help = concat!("Example:\n  moodstream bench archive posts.jsonl --records 500000 --against python\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Archive(BenchArchiveArgs),
    /// Measure the peak resident memory on a large backlog.
    #[command(after_help = concat!("Example:\n  moodstream bench memory posts.jsonl --posts 1000000\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Memory(BenchMemoryArgs),
    /// Measure `trends` over an archive of random posts, also against DuckDB. No broker is needed.
    #[command(after_help = concat!("Example:\n  moodstream bench trends --rows 100000000 --days 90 --dir /var/tmp/random --against duckdb\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Trends(BenchTrendsArgs),
}

/// What every measurement on a broker takes.
#[derive(Debug, Args)]
pub struct BenchCommon {
    /// File for the figures as JSON; overwritten.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Brokers, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

impl BenchCommon {
    fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("kafka.brokers", self.brokers.clone()), ("model.path", self.model.clone())]
    }
}

/// Options of `bench archive`.
#[derive(Debug, Args)]
pub struct BenchArchiveArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// Records to archive.
    #[arg(long, value_name = "N", default_value = "500000")]
    pub records: NonZeroU64,
    /// Let another archiver do the same, for comparison.
    #[arg(long, value_enum)]
    pub against: Option<Opponent>,
    /// Interpreter of --against python; `make python-archiver` makes one.
    #[arg(long, value_name = "FILE", default_value = ".deps/python-archiver/bin/python")]
    pub python: PathBuf,
    /// What every measurement takes.
    #[command(flatten)]
    pub common: BenchCommon,
}

/// Options of `bench trends`.
#[derive(Debug, Args)]
pub struct BenchTrendsArgs {
    /// Posts of the archive.
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub rows: NonZeroU64,
    /// Days that they are spread over.
    #[arg(long, value_name = "N", default_value = "30")]
    pub days: NonZeroU32,
    /// Folder for the archive, which stays; one that holds an archive of an earlier run is used as it is.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Ask another program the same, for comparison.
    #[arg(long, value_enum)]
    pub against: Option<Reader>,
    /// Interpreter of --against duckdb; `make readers` makes one.
    #[arg(long, value_name = "FILE", default_value = ".deps/readers/bin/python")]
    pub python: PathBuf,
    /// File for the figures as JSON; overwritten.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Programs that read Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// DuckDB, with as many threads.
    Duckdb,
}

/// Options of `bench label`.
#[derive(Debug, Args)]
pub struct BenchLabelArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// How long to measure each of the three, about.
    #[arg(long, value_name = "N", default_value = "60")]
    pub seconds: NonZeroU32,
    /// File for the figures as JSON; overwritten.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// Options of `bench lane`.
#[derive(Debug, Args)]
pub struct BenchLaneArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What every measurement takes.
    #[command(flatten)]
    pub common: BenchCommon,
    /// Posts to label.
    #[arg(long, value_name = "N", default_value = "500000")]
    pub posts: NonZeroU64,
    /// Posts per batch.
    #[arg(long, value_name = "N", default_value = "4096")]
    pub batch: NonZeroUsize,
    /// Tokenize the texts too.
    #[arg(long)]
    pub tokenize: bool,
}

/// Options of `bench` itself.
#[derive(Debug, Args)]
pub struct BenchPipelineArgs {
    /// What every measurement takes.
    #[command(flatten)]
    pub common: BenchCommon,
    /// How long to measure each.
    #[arg(long, value_name = "N", default_value = "60")]
    pub seconds: NonZeroU32,
    /// Use a broker inside the process: needs no Kafka, and is no proof of exactly-once.
    #[arg(long, conflicts_with_all = ["against", "brokers"])]
    pub embedded: bool,
    /// Another worker to measure in the same run.
    #[arg(long, value_enum)]
    pub against: Option<Opponent>,
    /// Python interpreter of that worker, see `make python-worker`.
    #[arg(long, value_name = "FILE", default_value = ".deps/python-worker/bin/python", requires = "against")]
    pub python: PathBuf,
}

/// Workers that can be measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Opponent {
    /// A careful one in Python: confluent-kafka, exactly once, the same runtime and sessions.
    Python,
}

/// Options of `bench latency`.
#[derive(Debug, Args)]
pub struct BenchLatencyArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What every measurement takes.
    #[command(flatten)]
    pub common: BenchCommon,
    /// Posts a second, at random moments.
    #[arg(long, value_name = "N", default_value = "10")]
    pub rate: NonZeroU32,
    /// How long to measure.
    #[arg(long, value_name = "N", default_value = "60")]
    pub seconds: NonZeroU32,
}

/// Options of `bench memory`.
#[derive(Debug, Args)]
pub struct BenchMemoryArgs {
    /// JSON lines with posts; texts seen before are left out.
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What every measurement takes.
    #[command(flatten)]
    pub common: BenchCommon,
    /// Posts of the backlog.
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub posts: NonZeroU64,
    /// How long the model works on it.
    #[arg(long, value_name = "N", default_value = "120")]
    pub seconds: NonZeroU32,
}

impl BenchArgs {
    pub(super) fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        match &self.command {
            None => self.pipeline.common.settings(),
            Some(BenchCommand::Label(BenchLabelArgs { model, .. })) => vec![("model.path", model.clone())],
            Some(BenchCommand::Trends(_)) => Vec::new(),
            Some(
                BenchCommand::Archive(BenchArchiveArgs { common, .. })
                | BenchCommand::Lane(BenchLaneArgs { common, .. })
                | BenchCommand::Latency(BenchLatencyArgs { common, .. })
                | BenchCommand::Memory(BenchMemoryArgs { common, .. }),
            ) => common.settings(),
        }
    }
}
