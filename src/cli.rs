//! The command line: commands, flags, help, exit codes.
//!
//! Flags that stand for settings become pairs of dotted key and value, the last layer of the
//! configuration; whether a value is right is decided there, in one place for all layers.

#![expect(clippy::doc_markdown, reason = "the comments on arguments are their help, printed as they stand")]

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::alerts::{AlertError, RulesError};
use crate::archive::{ArchiveError, CompactError, StoreError};
use crate::config::{self, Config, ConfigErrors};
use crate::evaluation::DataError;
use crate::files::Refused;
use crate::trends::TrendsError;

const TOP_HELP: &str = "\
First steps:
  moodstream demo                      watch posts being labelled, no Kafka needed
  moodstream check --topic posts       see whether everything is in place
  moodstream run --topic posts         label the topic posts into posts.emotions
  moodstream label posts.jsonl         label a file, no Kafka needed
  moodstream trends                    see how emotions move, from the archive
  moodstream alert --rules rules.toml  be told when one leaves its bounds

Settings come from built-in defaults, then the file given by --config, then environment variables
(MOODSTREAM__KAFKA__BROKERS is kafka.brokers), then flags; later ones win.

Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration.";

/// Label a Kafka topic of social-media posts with the emotions they express, exactly once.
// No Debug here nor in `Settings`: `--set` may hold a secret.
#[derive(Parser)]
#[command(name = "moodstream", version, after_help = TOP_HELP, propagate_version = true)]
pub struct Cli {
    /// Settings for every command.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings for every command.
#[derive(Args)]
pub struct Settings {
    /// TOML file of settings; it needs only the keys that differ from the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as batch.linger=20ms; repeatable, lists are separated by commas.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// What to do.
// No Debug: see `AlertArgs`.
#[derive(Subcommand)]
pub enum Command {
    /// Label a topic until stopped, and archive the labelled posts.
    ///
    /// Reads posts from the input topics, labels each with the emotions it expresses, and publishes
    /// every one to the output topic exactly once; what cannot be read goes to the dead-letter topic
    /// with the reason. Beside it the output topic is archived in hourly Parquet files. Workers of one
    /// group share the partitions. SIGTERM or Ctrl-C finishes the batches in hand; a second one ends at once.
    #[command(after_help = concat!(
        "Example:\n  moodstream run --brokers kafka:9092 --topic posts --group moods --instance worker-0\n",
        "  moodstream run --brokers kafka:9092 --group moods --role archive --archive s3://bucket/moods\n\n",
        "Exit codes: 0 stopped as asked, 1 failed at work, 2 wrong use or configuration."
    ))]
    Run(RunArgs),
    /// Watch posts being labelled, with a broker inside the program.
    ///
    /// Runs the real worker on an embedded broker with sample posts: moods of all kinds, emoji,
    /// duplicates, other languages, broken records. Ends by itself with a summary.
    #[command(after_help = concat!("Example:\n  moodstream demo\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Demo(DemoArgs),
    /// Tell what is right and what is wrong, without touching anything.
    ///
    /// Checks in order: configuration, library, model, brokers, topics, permissions, transactions.
    /// Prints the commands that create missing topics.
    #[command(after_help = concat!(
        "Example:\n  moodstream check --brokers kafka:9092 --topic posts --create\n\n",
        "Exit codes: 0 all is right, 1 something is wrong, 2 wrong use or configuration."
    ))]
    Check(CheckArgs),
    /// Label files of JSON lines, without any broker.
    ///
    /// Every line ends in exactly one place: labelled or skipped posts in the output, lines that cannot be labelled
    /// in the rejects with the reason and their bytes; lines that input.select leaves out and blank lines are
    /// counted. Order is kept. Inputs may be gzip or zstd, told by their contents; outputs are compressed when
    /// their name ends in .gz or .zst. A folder (--out DIR/) gets the archive's Parquet files, one for each hour of the
    /// posts, below DIR/posts. A file, or a folder's posts, has its name only once it is whole.
    #[command(after_help = concat!(
        "Example:\n  moodstream label posts-*.jsonl.gz --out labelled.jsonl.zst\n",
        "  zstdcat archive.zst | moodstream label - --rejects rejects.jsonl | jq -c .labels\n",
        "  moodstream label posts.jsonl --out labelled/ && duckdb -c \"SELECT hour, avg(joy) FROM 'labelled/posts/*/*/*.parquet' GROUP BY hour\"\n\n",
        "Exit codes: 0 done, rejects or not, 1 failed at work, 2 wrong use or configuration."
    ))]
    Label(LabelArgs),
    /// Send JSON lines to a topic.
    ///
    /// Each line becomes one record, sent as it stands, keyed by the post's id (input.fields.id) if it
    /// has one; empty lines are left out. A time of writing in the future becomes the moment of
    /// sending, since brokers refuse records from the future.
    #[command(after_help = concat!(
        "Example:\n  moodstream produce --brokers kafka:9092 --topic posts posts.jsonl --rate 1000\n\n",
        "Exit codes: 0 all sent, 1 failed at work, 2 wrong use or configuration."
    ))]
    Produce(ProduceArgs),
    /// Work with a model bundle.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look after an archive.
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Write the files of each complete hour as few large ones, into a tree of its own.
    ///
    /// Takes in what no earlier run has taken in, so late files follow in the next one. No broker is needed. Originals
    /// stay, unless --remove-originals says from which age on those go whose whole hour is compacted.
    #[command(after_help = concat!(
        "Example:\n  moodstream compact --archive s3://bucket/moods --to s3://bucket/moods-large --remove-originals 90d\n\n",
        "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."
    ))]
    Compact(CompactArgs),
    /// See how emotions move: what people felt, when, and what changed.
    ///
    /// Reads an archive, a tree of `compact`, or one of `label --out DIR/`: shares of the posts that have each emotion
    /// with 95 % intervals, mean scores, changes from period to period, and the hours that stand out from the same
    /// hour of other days. Only labelled posts count; skipped ones are told beside them. No broker is needed.
    #[command(after_help = concat!(
        "Example:\n  moodstream trends --from 7d --emotion joy,anger\n",
        "  moodstream trends s3://bucket/moods --from 2026-11-01 --by week --where lang=en --group-by platform\n",
        "  moodstream trends labelled/ --by hour --time-zone Europe/Berlin --format csv --out moods.csv\n\n",
        "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration, an empty archive or a damaged file."
    ))]
    Trends(TrendsArgs),
    /// Keep the tallies beside an archive that let `trends` answer at once.
    ///
    /// Counts and sums of each hour by emotion, platform, language and model. What a run finds counted already it
    /// leaves; hours with newer files, such as late ones, are counted anew, and until then `trends` reads those itself.
    #[command(after_help = concat!(
        "Example:\n  moodstream rollup s3://bucket/moods\n\n",
        "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration, an empty archive or a damaged file."
    ))]
    Rollup(RollupArgs),
    /// Tell of windows of the archive in which rules about emotions hold, each once.
    ///
    /// A rule is an emotion with a bound for its share, its mean score or its z-score, a window of hours, and filters.
    /// What was told is remembered in the archive, so several alerters of one archive tell of an event once together;
    /// after a crash in mid-delivery it may come again, with the same id.
    #[command(after_help = concat!(
        "Example:\n  moodstream alert --rules rules.toml s3://bucket/moods\n",
        "  moodstream alert --rules rules.toml --every 1m --to webhook:https://host/path\n",
        "  moodstream alert --rules rules.toml --every 1m --to topic:moods.alerts --brokers kafka:9092\n\n",
        "Exit codes: 0 done, alerts or not, 1 failed at work or an alert was not delivered, 2 wrong use, configuration or rules."
    ))]
    Alert(AlertArgs),
    /// Measure on a real broker: the whole pipeline against the model alone, or a part.
    ///
    /// Without a subcommand: baseline, pipeline, baseline, in one run. The baseline is ONNX Runtime alone on the
    /// same texts, tokenized, sorted and cut beforehand. Makes topics and groups of its own and removes them.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    #[command(after_help = concat!(
        "Example:\n  moodstream bench posts.jsonl --brokers localhost:9092 --against python --json figures.json\n\n",
        "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."
    ))]
    Bench(BenchArgs),
    /// Print a JSON schema.
    #[command(after_help = concat!("Example:\n  moodstream schema config > config.schema.json\n\n", "Exit codes: 0 done, 1 failed at work, 2 wrong use or configuration."))]
    Schema {
        /// Of what.
        of: SchemaOf,
    },
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Part of the work: all, label or archive (worker.role).
    #[arg(long, value_name = "ROLE", help_heading = "Settings, all with a key in the configuration")]
    pub role: Option<String>,
    /// Where the archive is, a folder or a URL such as s3://bucket/posts (archive.url).
    #[arg(long, value_name = "URL", help_heading = "Settings, all with a key in the configuration")]
    pub archive: Option<String>,
    /// Settings of a worker.
    #[command(flatten)]
    pub worker: WorkerFlags,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Create the topics that are missing.
    #[arg(long)]
    pub create: bool,
    /// Settings of a worker.
    #[command(flatten)]
    pub worker: WorkerFlags,
}

/// Flags that stand for settings of a worker.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings, all with a key in the configuration")]
pub struct WorkerFlags {
    /// Brokers, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Consumer group; workers of one group share the partitions (kafka.group).
    #[arg(long)]
    pub group: Option<String>,
    /// Topic to read; repeatable (input.topics).
    #[arg(long, value_name = "TOPIC")]
    pub topic: Vec<String>,
    /// Stable name of this worker, for quick restarts (worker.instance).
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// Consumer threads (worker.lanes).
    #[arg(long, value_name = "N")]
    pub lanes: Option<String>,
    /// Guarantee: exactly_once or at_least_once (kafka.delivery).
    #[arg(long, value_name = "GUARANTEE")]
    pub delivery: Option<String>,
    /// Leave the group when stopped, for scaling down (worker.leave_group).
    #[arg(long)]
    pub leave: bool,
    /// When the committed position is lost: stop, earliest or latest (input.on_lost_position).
    #[arg(long, value_name = "WHAT")]
    pub on_lost_position: Option<String>,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// File for the labelled posts; moodstream-demo.jsonl in the system's temporary folder unless given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Files of JSON lines, labelled one after the other; - reads standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// File for the labelled posts; - is standard output, also when not given. A folder that is there, or a name that
    /// ends in /, gets hourly Parquet files.
    #[arg(long, value_name = "FILE|DIR/")]
    pub out: Option<PathBuf>,
    /// File for the lines that cannot be labelled; when not given, and if there are any, one beside the output
    /// (out.rejects.jsonl) or the folder (DIR.rejects.jsonl), or moodstream.rejects.jsonl here.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Replace files that are there already; of a folder, all of its posts.
    #[arg(long)]
    pub overwrite: bool,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// Options of `produce`.
#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// File of JSON lines; - reads standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Topic to send to.
    #[arg(long)]
    pub topic: String,
    /// Timestamp of the records.
    #[arg(long, value_enum, default_value_t = RecordTime::Now)]
    pub timestamp: RecordTime,
    /// Posts per second; as fast as possible unless given.
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU32>,
    /// Brokers, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
}

/// Where a produced record's timestamp comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordTime {
    /// The moment of sending.
    Now,
    /// The post's own time (input.fields.created_at).
    #[value(name = "created_at")]
    CreatedAt,
}

/// What to do with a model bundle.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Verify a model bundle: hashes, labels, shapes, golden scores.
    ///
    /// The same checks as at the start of a worker. With --against its scores are also held against those that
    /// another implementation gave the same texts; with --shuffle texts are run again in random orders, batches and
    /// paddings, and no score may move by more than 1e-6.
    #[command(after_help = concat!(
        "Example:\n  moodstream model verify --model models/starter\n",
        "  moodstream model verify --model models/mine --against pytorch.jsonl --max 1e-5 --shuffle 10\n\n",
        "Exit codes: 0 it is sound, 1 it is not, 2 wrong use or configuration."
    ))]
    Verify(ModelVerifyArgs),
    /// Judge a model bundle on posts whose labels people have given.
    ///
    /// Prints precision, recall and F1 of each label and of all, Hamming accuracy and Jaccard, beside what is published
    /// about other systems, and what a score means: of the scores of a size, the share that came true. The posts go
    /// through the same tokenizer, batches and sessions as in `label`, and labels are given at the bundle's own thresholds.
    #[command(after_help = concat!(
        "Example:\n  moodstream model evaluate dev.txt --model models/starter --svg quality.svg\n",
        "  moodstream model evaluate dev.txt --format json | jq .overall\n\n",
        "Exit codes: 0 done, however good, 1 failed at work, 2 wrong use or configuration."
    ))]
    Evaluate(EvaluateArgs),
}

/// Options of `model verify`.
#[derive(Debug, Args)]
pub struct ModelVerifyArgs {
    /// JSON lines of texts with the scores that they should have: {"text": …, "scores": […]}, in the order of the labels.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Largest difference from those scores.
    #[arg(long, value_name = "DIFFERENCE", default_value = "1e-5", value_parser = difference, requires = "against")]
    pub max: f64,
    /// Run the texts of --against, or else the golden ones, so many times in random batches.
    #[arg(long, value_name = "TIMES")]
    pub shuffle: Option<NonZeroUsize>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// Options of `model evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Posts with gold labels: tab-separated, with a header of ID, Tweet and the model's labels, then 0 or 1 for each.
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// How the figures are printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// File for a picture of the figures; overwritten.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// File for each post's id and scores as JSON lines; overwritten.
    #[arg(long, value_name = "FILE")]
    pub scores: Option<PathBuf>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables.
    Text,
    /// One JSON object; `moodstream schema evaluation` describes it.
    Json,
}

/// What to do with an archive.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Hold claims, files, the topic and the group against each other.
    ///
    /// Says what is missing, torn, doubled or foreign. With --repair it removes files that no claim promises, makes
    /// promised ones that are missing as far as the topic still holds their records, and sets the group back to
    /// the claims; stop the archivers before.
    #[command(after_help = concat!(
        "Example:\n  moodstream archive verify --brokers kafka:9092 --group moods --archive s3://bucket/moods\n\n",
        "Exit codes: 0 it is sound, or was mended, 1 it is not, 2 wrong use or configuration."
    ))]
    Verify(ArchiveVerifyArgs),
}

/// Options of `compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// Where the large files go: a folder or a URL of their own.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Remove the originals of hours that ended longer ago than this, such as 90d.
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub remove_originals: Option<Duration>,
    /// Where the archive is (archive.url).
    #[arg(long, value_name = "URL")]
    pub archive: Option<String>,
}

/// Options of `rollup`.
#[derive(Debug, Args)]
pub struct RollupArgs {
    /// The archive or a tree of compact, a folder or a URL such as s3://bucket/moods (archive.url unless given).
    #[arg(value_name = "PATH|URL")]
    pub path: Option<String>,
    /// Threads that read; one for each core unless given.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Options of `trends`.
#[derive(Debug, Args)]
pub struct TrendsArgs {
    /// The archive, a folder or a URL such as s3://bucket/moods (archive.url unless given).
    #[arg(value_name = "PATH|URL")]
    pub path: Option<String>,
    /// First time: a date, a time in --time-zone, an instant, or how long ago, such as 7d; the archive's first unless given.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// The time after the last, written in the same way; the end of the archive unless given.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Length of the periods; weeks begin on Monday.
    #[arg(long, value_enum, default_value_t = Period::Day)]
    pub by: Period,
    /// Emotions, in this order; all unless given.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub emotion: Vec<String>,
    /// Only posts with one of these words: platform, lang, source_topic, source_file or time_source; repeatable. An empty word
    /// stands for posts without one.
    #[arg(long = "where", value_name = "COLUMN=WORD,…")]
    pub filter: Vec<String>,
    /// Tell figures apart by these columns, or by model.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub group_by: Vec<String>,
    /// Whose days and weeks: an IANA name such as Europe/Berlin, an offset such as +05:30; UTC unless given.
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// Only posts labelled by this model, by the beginning of its hash or its id; several are taken together.
    #[arg(long, value_name = "HASH,…", value_delimiter = ',')]
    pub model: Vec<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t = TrendsFormat::Table)]
    pub format: TrendsFormat,
    /// File for the answer; overwritten. Standard output unless given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write a report beside it: a page that works offline, with charts and all figures; overwritten.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a chart beside it, as SVG; overwritten.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write the same chart as PNG; overwritten.
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Draw the chart on dark paper.
    #[arg(long)]
    pub dark: bool,
    /// Hours that stand out, at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub standouts: usize,
    /// Read the posts even where the roll-up knows the answer.
    #[arg(long)]
    pub full_scan: bool,
    /// Threads that read; one for each core unless given.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Lengths of periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Period {
    /// Hours of the time zone's clock.
    Hour,
    /// Its days.
    Day,
    /// Its weeks.
    Week,
}

/// Forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrendsFormat {
    /// For people: figures, small charts, hours that stand out.
    Table,
    /// Everything, as one object.
    Json,
    /// A row for each period, group and emotion.
    Csv,
    /// The same rows as a Parquet file.
    Parquet,
}

/// Options of `alert`.
// No Debug: a webhook's URL may hold a secret.
#[derive(Args)]
pub struct AlertArgs {
    /// TOML file of the rules (docs/alerts.md).
    #[arg(long, value_name = "FILE")]
    pub rules: PathBuf,
    /// The archive: a folder or a URL; archive.url unless given.
    #[arg(value_name = "PATH|URL")]
    pub path: Option<String>,
    /// Look once and end; so it is unless --every is given.
    #[arg(long, conflicts_with = "every")]
    pub once: bool,
    /// Look again and again, so long after the last look, such as 1m, until stopped.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub every: Option<Duration>,
    /// Where alerts go: stdout, webhook:URL, webhook:@FILE (a file that holds the URL) or topic:NAME.
    #[arg(long, value_name = "TARGET", default_value = "stdout")]
    pub to: String,
    /// Windows that ended longer ago are left alone.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "2d")]
    pub look_back: Duration,
    /// Brokers of --to topic:NAME, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Threads that read; one for each core unless given.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Options of `archive verify`.
#[derive(Debug, Args)]
pub struct ArchiveVerifyArgs {
    /// Mend what can be mended.
    #[arg(long)]
    pub repair: bool,
    /// Where the archive is (archive.url).
    #[arg(long, value_name = "URL")]
    pub archive: Option<String>,
    /// Brokers, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// The labelling group (kafka.group).
    #[arg(long)]
    pub group: Option<String>,
}

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

/// Schemas that can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file.
    Config,
    /// A record of the output topic, or a line of the output of `label`.
    LabelledPost,
    /// A line of the rejects of `label`.
    RejectedLine,
    /// The answer of `/status.json`.
    Status,
    /// An alert of `alert`.
    Alert,
    /// The columns of the archive's Parquet files, and what their footers say.
    Archive,
    /// The figures of `model evaluate --format json`.
    Evaluation,
    /// The answer of `trends --format json`.
    Trends,
}

impl Cli {
    /// The configuration of all layers, these flags the last.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load_config(&self) -> Result<Config, ConfigErrors> {
        Config::load(self.settings.config.as_deref(), config::environment(), &self.flags())
    }

    /// What the flags set, as dotted key and value; `--set` first, so that a flag of its own wins.
    #[must_use]
    pub fn flags(&self) -> Vec<(String, String)> {
        let mut flags = self.settings.set.clone();
        let more: Vec<(&str, Option<String>)> = match &self.command {
            Command::Run(RunArgs { role, archive, worker }) => {
                let own = [("worker.role", role.clone()), ("archive.url", archive.clone())];
                worker.settings().into_iter().chain(own).collect()
            }
            Command::Check(CheckArgs { worker, .. }) => worker.settings(),
            Command::Compact(CompactArgs { archive, .. }) => vec![("archive.url", archive.clone())],
            Command::Archive(ArchiveCommand::Verify(args)) => vec![
                ("worker.role", Some("archive".to_owned())),
                ("archive.url", args.archive.clone()),
                ("kafka.brokers", args.brokers.clone()),
                ("kafka.group", args.group.clone()),
            ],
            Command::Alert(AlertArgs { brokers, .. }) => vec![("kafka.brokers", brokers.clone())],
            Command::Produce(ProduceArgs { brokers, .. }) => vec![("kafka.brokers", brokers.clone())],
            Command::Bench(bench) => bench.settings(),
            Command::Demo(DemoArgs { model, .. })
            | Command::Label(LabelArgs { model, .. })
            | Command::Model(
                ModelCommand::Verify(ModelVerifyArgs { model, .. })
                | ModelCommand::Evaluate(EvaluateArgs { model, .. }),
            ) => {
                vec![("model.path", model.clone())]
            }
            Command::Rollup(_) | Command::Schema { .. } | Command::Trends(_) => Vec::new(),
        };
        flags.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        flags
    }
}

impl BenchArgs {
    fn settings(&self) -> Vec<(&'static str, Option<String>)> {
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

impl WorkerFlags {
    fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("kafka.brokers", self.brokers.clone()),
            ("kafka.group", self.group.clone()),
            ("input.topics", (!self.topic.is_empty()).then(|| self.topic.join(","))),
            ("worker.instance", self.instance.clone()),
            ("model.path", self.model.clone()),
            ("worker.lanes", self.lanes.clone()),
            ("kafka.delivery", self.delivery.clone()),
            ("worker.leave_group", self.leave.then(|| "true".to_owned())),
            ("input.on_lost_position", self.on_lost_position.clone()),
        ]
    }
}

/// The exit code of an error: 2 for a wrong configuration or wrong files, else 1. Other wrong use is clap's, also 2.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let store = matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Refused { .. }));
    let file = error.is::<Refused>() || error.is::<DataError>();
    let question = error.downcast_ref::<TrendsError>().is_some_and(TrendsError::is_wrong_use);
    let alert = error.is::<RulesError>() || error.downcast_ref::<AlertError>().is_some_and(AlertError::is_wrong_use);
    let wrong = store || file || question || alert || error.is::<ConfigErrors>() || is_wrong_archive(error);
    ExitCode::from(if wrong { 2 } else { 1 })
}

/// An archive, or a place for compactions, that the settings should not name.
fn is_wrong_archive(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<CompactError>() {
        Some(CompactError::Refused(_) | CompactError::Store(StoreError::Refused { .. })) => true,
        Some(_) => false,
        None => error.downcast_ref::<ArchiveError>().is_some_and(ArchiveError::is_wrong_setting),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value, such as batch.linger=20ms")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn difference(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "write a number from 0 to 1, such as 1e-5".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn flags(line: &str) -> Vec<(String, String)> {
        Cli::try_parse_from(line.split(' ')).expect("valid").flags()
    }

    #[test]
    fn every_command_has_help_with_exit_codes_and_parses_without_conflicts() {
        fn walk(command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!leaf || (after.contains("Exit codes: 0") && after.contains("Example:")), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        let command = Cli::command();
        command.clone().debug_assert();
        walk(&command);
    }

    #[test]
    fn flags_become_settings_and_win_over_set() {
        let line = "moodstream run --set worker.lanes=2 --brokers b:1 --group g --topic a --topic b --instance i \
                    --model m --lanes 3 --delivery at_least_once --leave --on-lost-position earliest --set log.level=warn";
        let expected = [
            ("worker.lanes", "2"),
            ("log.level", "warn"),
            ("kafka.brokers", "b:1"),
            ("kafka.group", "g"),
            ("input.topics", "a,b"),
            ("worker.instance", "i"),
            ("model.path", "m"),
            ("worker.lanes", "3"),
            ("kafka.delivery", "at_least_once"),
            ("worker.leave_group", "true"),
            ("input.on_lost_position", "earliest"),
        ];
        assert_eq!(flags(line), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn every_flag_names_a_key_that_takes_its_value() {
        let line = "moodstream check --create --brokers b:1 --group g --topic a --topic b --instance i --model m --lanes 3 \
                    --delivery at_least_once --leave --on-lost-position earliest";
        let config = Config::load(None, std::iter::empty(), &flags(line)).expect("valid");
        assert_eq!(config.input.topics, ["a", "b"]);
        assert_eq!(config.worker.lanes.get(), 3);
        assert!(config.worker.leave_group);
        for line in [
            "produce --topic t - --brokers b:1",
            "bench lane posts.jsonl --brokers b:1",
            "model verify --model m --against r.jsonl --max 0.001 --shuffle 3",
            "model evaluate dev.txt --model m --format json --svg a.svg --scores b.jsonl",
            "bench posts.jsonl --model m",
            "bench latency posts.jsonl --model m",
            "bench memory posts.jsonl --model m",
            "bench label posts.jsonl --model m",
            "label a.jsonl - --out o.gz --overwrite --model m",
            "alert --rules r.toml --every 1m --to topic:t --brokers b:1",
        ] {
            let flags = flags(&format!("moodstream {line}"));
            assert_eq!(flags.len(), 1, "{line}");
            assert!(Config::load(None, std::iter::empty(), &flags).is_ok(), "{line}");
        }
    }

    #[test]
    fn settings_stand_before_or_after_the_command() {
        assert_eq!(flags("moodstream --set a.b=c=d demo"), flags("moodstream demo --set a.b=c=d"));
        assert_eq!(flags("moodstream demo --set a.b=c=d"), [("a.b".to_owned(), "c=d".to_owned())]);
        assert!(Cli::try_parse_from(["moodstream", "demo", "--set", "a.b"]).is_err());
    }

    #[test]
    fn a_wrong_configuration_exits_with_2_and_other_failures_with_1() {
        let wrong = Config::load(None, std::iter::empty(), &[("a".into(), "b".into())]).expect_err("wrong");
        let failed = anyhow::anyhow!("no broker");
        let codes = [exit_code(&anyhow::Error::new(wrong).context("start")), exit_code(&failed)];
        assert_eq!(format!("{codes:?}"), format!("{:?}", [ExitCode::from(2), ExitCode::from(1)]));
    }
}
