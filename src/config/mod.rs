//! Every setting of the worker, typed; `config/default.toml` documents and sets each of them.
//!
//! Layers, later ones win: embedded defaults, a preset for the input, the file named by `--config`, the environment
//! (`MOODSTREAM__SECTION__KEY`), command-line flags. Loading reports every problem at once.

mod archive;
mod known;
mod layers;
mod librdkafka;
mod mapping;
mod oauth;
mod problem;
mod properties;
#[cfg(test)]
mod reference;
pub mod schema;
mod start;
mod topics;
mod units;
mod validate;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use archive::Archive;
pub use layers::environment;
pub(crate) use layers::parse as parse_toml;
pub(crate) use librdkafka::words as librdkafka_words;
pub use mapping::{Condition, Not, OneOrMore, Preset};
pub use oauth::OAuth;
pub use problem::{ConfigErrors, Problem};
pub use properties::Properties;
pub(crate) use topics::InputTopics;
pub use units::{Bytes, Span};

/// The whole configuration of one worker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where posts come from and how their JSON is read.
    pub input: Input,
    /// Where labelled posts go.
    pub output: Output,
    /// Where records go that cannot be labelled.
    pub dead_letter: DeadLetter,
    /// The hourly Parquet archive of the output topic.
    pub archive: Archive,
    /// The Kafka cluster and the consumer group.
    pub kafka: Kafka,
    /// Threads, identity and shutdown of this worker.
    pub worker: Worker,
    /// When a batch closes.
    pub batch: Batch,
    /// The breaker that keeps a wrong mapping from emptying the topic into the dead letters.
    pub breaker: Breaker,
    /// The model bundle.
    pub model: Model,
    /// How the model is run.
    pub inference: Inference,
    /// A second model beside the first, on a share of the posts.
    pub shadow: Shadow,
    /// What of a post's text and author is published.
    pub privacy: Privacy,
    /// The admin HTTP server.
    pub admin: Admin,
    /// Logging.
    pub log: Log,
}

impl Config {
    /// The configuration of these layers: the embedded defaults, then the file, then the environment
    /// (see [`environment`]), then the flags as pairs of dotted key and value. Later ones win.
    ///
    /// # Errors
    /// Everything that is wrong, at once: keys that do not exist, values of the wrong kind, and values
    /// that do not go together. No secret is named.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        layers::load(file, environment, flags)
    }
}

/// Input topics and the mapping of their JSON.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Settings of `[input]` for the records of one platform, below your own.
    pub preset: Preset,
    /// Topics to read: names, and patterns, which begin with `^` and match whole names.
    pub topics: Vec<String>,
    /// Topics that no pattern of `topics` matches, written in the same way.
    pub exclude_topics: Vec<String>,
    /// Where a group without any committed offset begins: `earliest`, `latest` or an RFC 3339 time.
    pub start: Start,
    /// What to do when the committed position is missing, out of range, or belongs to a topic that was made anew.
    pub on_lost_position: LostPosition,
    /// JSON pointer of the post inside the record: an object, or JSON written into a string; empty: the record itself.
    pub post: String,
    /// Platform of the posts that name none.
    pub platform: String,
    /// JSON pointers of the fields of a post.
    pub fields: Fields,
    /// Keep only records whose value at each JSON pointer meets the condition; the rest are skipped as `not_selected`.
    pub select: BTreeMap<String, Condition>,
    /// More values to carry into the output's `extra`: name = JSON pointer.
    pub extra: BTreeMap<String, String>,
    /// How the text is written.
    pub text_format: TextFormat,
    /// Longer lines of a file are rejected.
    pub max_line_bytes: Bytes,
    /// Text beyond this is cut for the model, at a character boundary.
    pub max_text_bytes: Bytes,
    /// Posts in a language that the model does not know.
    pub other_languages: OtherLanguages,
}

impl Input {
    /// Whether there may be more topics than one.
    #[must_use]
    pub fn has_several_topics(&self) -> bool {
        self.topics.len() > 1 || self.topics.iter().any(|topic| topic.starts_with('^'))
    }
}

/// Where a new group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record with this timestamp or a later one (milliseconds since 1970).
    Time(i64),
}

/// What a lane does when it cannot tell where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LostPosition {
    /// Stop and say so: nothing is skipped or repeated unasked.
    Stop,
    /// Go on at the oldest record kept.
    Earliest,
    /// Go on behind the newest record.
    Latest,
}

/// JSON pointers (RFC 6901) of the fields of a post; an empty one means that the field is absent. Of several, the
/// first that leads to a value counts, except for the id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// One pointer, or several whose values are joined with `/`.
    pub id: OneOrMore,
    /// The text.
    pub text: OneOrMore,
    /// The time of writing.
    pub created_at: OneOrMore,
    /// The language: a string, or an array of them.
    pub lang: OneOrMore,
    /// The author's id.
    pub author: OneOrMore,
    /// The platform.
    pub platform: OneOrMore,
}

/// How a post's text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// As it stands.
    Plain,
    /// HTML: tags are taken out and entities decoded before labelling.
    Html,
    /// Plain, with characters such as `&` written as HTML entities: those are decoded before labelling.
    Escaped,
}

/// What happens to a post in a language that the model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtherLanguages {
    /// Published as skipped, reason `language`.
    Skip,
    /// Labelled all the same.
    Label,
}

/// The output topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The topic of labelled posts.
    pub topic: String,
    /// How the output partition is chosen.
    pub partitioner: Partitioner,
    /// Compression of produced batches.
    pub compression: Compression,
}

/// How the partition of an output record is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// Input partition modulo the number of output partitions: keeps the order of each input partition.
    Input,
    /// By key, as Java clients do (murmur2): gives up the order per input partition.
    Key,
}

/// Compression of produced batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// None.
    None,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
}

/// The dead-letter topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// The topic of records that cannot be labelled.
    pub topic: String,
}

/// The Kafka cluster and the consumer group.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// Guarantee of delivery.
    pub delivery: Delivery,
    /// How the group shares its partitions out.
    pub group_protocol: GroupProtocol,
    /// How long the group waits for a silent member; also bounds the transaction timeout.
    pub session_timeout: Span,
    /// How long a broker call may be retried before its result counts as unknown.
    pub request_deadline: Span,
    /// How often the identity of the input topics is compared with the committed one.
    pub topic_check_interval: Span,
    /// Where the token of SASL OAUTHBEARER comes from.
    pub oauth: OAuth,
    /// Any other librdkafka property, dotted keys or nested tables; `<secret>_file` reads a secret from a file.
    pub properties: Properties,
}

/// Guarantee of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Outputs and offsets are committed in one transaction.
    ExactlyOnce,
    /// Offsets are committed after the outputs: lower latency, duplicates after a crash.
    AtLeastOnce,
}

/// How a consumer group shares its partitions out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// The classic protocol: every rebalance takes all partitions and gives them out anew.
    Eager,
    /// The classic protocol, incremental (`cooperative-sticky`): a rebalance moves only the partitions that change hands.
    Cooperative,
    /// KIP-848, incremental too: the brokers (Kafka 4.0 or later) share out, and their settings say how long a
    /// silent member is waited for.
    Consumer,
}

/// Threads, identity and shutdown of this worker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Which part of the work this process does.
    pub role: Role,
    /// A stable name, unique in the group: static membership. Empty: a random one per start.
    pub instance: String,
    /// Consumer threads.
    pub lanes: NonZeroUsize,
    /// How long SIGTERM waits for the batches in hand.
    pub shutdown_timeout: Span,
    /// Leave the group at shutdown although `instance` is set: for scaling down.
    pub leave_group: bool,
}

/// Which part of the work a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Labels and archives.
    All,
    /// Labels.
    Label,
    /// Archives what others have labelled; needs no model.
    Archive,
}

impl Role {
    /// Whether posts are labelled.
    #[must_use]
    pub fn labels(self) -> bool {
        self != Self::Archive
    }

    /// Whether the output topic is archived.
    #[must_use]
    pub fn archives(self) -> bool {
        self != Self::Label
    }
}

/// When a batch closes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// At this many posts.
    pub max_posts: NonZeroUsize,
    /// At this many bytes of input.
    pub max_bytes: Bytes,
    /// This long after its first record.
    pub linger: Span,
    /// Inference time that the size adapts to.
    pub target: Span,
}

/// The breaker.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// How many of the last decoded records are looked at.
    pub window: NonZeroUsize,
    /// How many must have been seen before it can trip.
    pub min_seen: NonZeroUsize,
    /// It trips when more than this share of them is bad (0 to 1).
    pub threshold: f64,
    /// How long a paused lane waits before it probes one batch.
    pub probe_interval: Span,
}

/// The model bundle.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The bundle's directory.
    pub path: PathBuf,
}

/// How the model is run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// ONNX Runtime's shared library; empty: `ORT_DYLIB_PATH`, then beside the program, then the project's own.
    pub library: PathBuf,
    /// Execution provider.
    pub provider: Provider,
    /// GPU to use, with the CUDA provider.
    pub device: u32,
    /// GPU memory that the runtime may take, all sessions together; 0: no limit.
    pub gpu_memory: Bytes,
    /// Sessions, one thread each; 0: one per core, or two on a GPU.
    pub sessions: usize,
    /// Padded tokens of one micro-batch (longest × count); 0: 512 on the processor, 16384 on a GPU.
    pub token_budget: usize,
    /// Recently seen texts whose scores are kept; 0: none.
    pub cache_entries: usize,
}

/// A second model that is shown a share of the posts, so that what would change is known before anyone switches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// The second bundle's directory; empty: none.
    pub path: PathBuf,
    /// The share of the posts that it is shown, chosen by their text (above 0, at most 1).
    pub share: f64,
    /// Its sessions, one thread each.
    pub sessions: NonZeroUsize,
}

/// Execution provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU; a start that cannot have it fails.
    Cuda,
}

/// What of a post is published.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// The text.
    pub text: Exposure,
    /// The author's id.
    pub author: Exposure,
    /// File that holds the key of the keyed hash (HMAC-SHA256); its trailing line break is ignored.
    pub key_file: PathBuf,
}

impl Privacy {
    /// The key of the keyed hash, where something is hashed.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn key(&self) -> io::Result<Option<Vec<u8>>> {
        if self.text != Exposure::Hash && self.author != Exposure::Hash {
            return Ok(None);
        }
        self.read_key().map(Some)
    }

    /// The secret itself, whoever needs it.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn read_key(&self) -> io::Result<Vec<u8>> {
        let text = std::fs::read(&self.key_file)?;
        let key = text.strip_suffix(b"\n").unwrap_or(&text);
        Ok(key.strip_suffix(b"\r").unwrap_or(key).to_vec())
    }
}

/// How much of a value is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// As it is.
    Keep,
    /// Its keyed HMAC-SHA256.
    Hash,
    /// Not at all.
    Omit,
}

impl Exposure {
    /// As the configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Hash => "hash",
            Self::Omit => "omit",
        }
    }
}

/// The admin HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port; port 0 takes a free one; empty: no server.
    pub listen: String,
}

/// Logging.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Form of the lines.
    pub format: LogFormat,
    /// Filter, as of `tracing`'s `EnvFilter`: `info`, `moodstream=debug`.
    pub level: String,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human-readable on a terminal, JSON otherwise.
    Auto,
    /// Human-readable.
    Text,
    /// One JSON object a line.
    Json,
}
