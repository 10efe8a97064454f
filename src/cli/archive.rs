//! Commands on archives: verify, compact, rollup, trends, alert.

#![expect(clippy::doc_markdown, reason = "the comments on arguments are their help, printed as they stand")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Look at the live topic (output.topic) instead of the archive's files; the archive is for what was told, and for the
    /// days before that z-scores need.
    #[arg(long)]
    pub live: bool,
    /// With --live: posts that arrive no later than this after the end of a window are waited for; 1m unless given.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "live")]
    pub grace: Option<Duration>,
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
    /// Brokers of --live and of --to topic:NAME, host:port separated by commas (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Threads that read the archive; one for each core unless given.
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
