//! The command line: commands, flags, help, exit codes.
//!
//! Flags that stand for settings become pairs of dotted key and value, the last layer of the
//! configuration; whether a value is right is decided there, in one place for all layers.

#![expect(clippy::doc_markdown, reason = "the comments on arguments are their help, printed as they stand")]

mod archive;
mod bench;
mod model;
mod shadow;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::alerts::{AlertError, RulesError};
use crate::archive::{ArchiveError, CompactError, StoreError};
use crate::config::{self, Config, ConfigErrors};
use crate::evaluation::DataError;
use crate::files::Refused;
use crate::shadow::NoShadow;
use crate::trends::TrendsError;

pub use archive::{
    AlertArgs, ArchiveCommand, ArchiveVerifyArgs, CompactArgs, Period, RollupArgs, TrendsArgs, TrendsFormat,
};
pub use bench::{
    BenchArchiveArgs, BenchArgs, BenchCommand, BenchCommon, BenchLabelArgs, BenchLaneArgs, BenchLatencyArgs,
    BenchMemoryArgs, BenchPipelineArgs, BenchScaleArgs, BenchScaleWorkerArgs, BenchTrendsArgs, Opponent, Reader,
};
pub use model::{EvaluateArgs, ModelCommand, ModelVerifyArgs, ReportFormat};
pub use shadow::ShadowArgs;

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
    /// See how often, and where, a worker's shadow model differs from its live one.
    ///
    /// Asks the admin server of a worker that runs with shadow.path, and prints for each label who gave it. Posts are
    /// counted since that worker's start.
    #[command(after_help = concat!(
        "Example:\n  moodstream run --topic posts --set shadow.path=models/candidate --set shadow.share=0.1\n",
        "  moodstream shadow\n\n",
        "Exit codes: 0 done, 1 no answer, 2 wrong use or configuration, or the worker runs no shadow model."
    ))]
    Shadow(ShadowArgs),
    /// Tell of windows in which rules about emotions hold, each once, from the archive or the live topic.
    ///
    /// A rule is an emotion with a bound for its share, its mean score or its z-score, a window of hours, and filters.
    /// A topic that alerts go to gets each exactly once, whatever crashes: it remembers by itself. For a webhook or
    /// standard output, what was told is remembered in the archive, so several alerters tell of an event once together;
    /// after a crash in mid-delivery it may come again, with the same id.
    #[command(after_help = concat!(
        "Example:\n  moodstream alert --rules rules.toml s3://bucket/moods\n",
        "  moodstream alert --rules rules.toml --every 1m --to webhook:https://host/path\n",
        "  moodstream alert --rules rules.toml --live --every 10s --to topic:moods.alerts --brokers kafka:9092\n\n",
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

impl Settings {
    /// The arguments that give another process of this program the same settings.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let file = self.config.iter().flat_map(|file| ["--config".to_owned(), file.display().to_string()]);
        let set = self.set.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        file.chain(set).collect()
    }
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
            Command::Alert(AlertArgs { brokers, .. }) | Command::Produce(ProduceArgs { brokers, .. }) => {
                vec![("kafka.brokers", brokers.clone())]
            }
            Command::Bench(bench) => bench.settings(),
            Command::Demo(DemoArgs { model, .. })
            | Command::Label(LabelArgs { model, .. })
            | Command::Model(
                ModelCommand::Verify(ModelVerifyArgs { model, .. })
                | ModelCommand::Evaluate(EvaluateArgs { model, .. }),
            ) => {
                vec![("model.path", model.clone())]
            }
            Command::Shadow(ShadowArgs { admin, .. }) => vec![("admin.listen", admin.clone())],
            Command::Rollup(_) | Command::Schema { .. } | Command::Trends(_) => Vec::new(),
        };
        flags.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        flags
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
    let no_shadow = error.is::<NoShadow>();
    let question = error.downcast_ref::<TrendsError>().is_some_and(TrendsError::is_wrong_use);
    let alert = error.is::<RulesError>() || error.downcast_ref::<AlertError>().is_some_and(AlertError::is_wrong_use);
    let wrong =
        store || file || question || alert || no_shadow || error.is::<ConfigErrors>() || is_wrong_archive(error);
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
