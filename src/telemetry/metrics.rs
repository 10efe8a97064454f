//! Every metric of the worker, declared in one place: name, labels, meaning.
//!
//! Labels are bounded: topics and partitions by the assignment ([`Metrics::forget_partition`]),
//! emotions by the model's manifest, reasons and causes by being constants of the code. Callers on
//! the hot path take a handle once and keep it; a handle is an atomic behind an `Arc`.

use std::fmt::Write;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::archive::ArchiveMetrics;
use super::declare::{Declarations, Description, Labelled};
use super::shadow::ShadowMetrics;

/// Half a millisecond to half a minute.
const SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Powers of four up to 16,384.
const POSTS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];

/// A gauge of fractions, such as seconds.
pub type FloatGauge = Gauge<f64, AtomicU64>;

/// An enum whose values are label values.
macro_rules! label_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The label's value.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }
    };
}

pub(super) use label_values;

label_values! {
    /// What became of an input record (I1).
    Outcome {
        /// Published with scores.
        Labelled = "labelled",
        /// Left without scores, for a reason.
        Skipped = "skipped",
        /// Sent to the dead-letter topic, for a reason.
        DeadLettered = "dead_lettered",
    }
}

label_values! {
    /// A step of a batch's way through a lane.
    Stage {
        /// Waiting for records.
        Wait = "wait",
        /// Reading the posts out of the records.
        Decode = "decode",
        /// Encoding texts into tokens.
        Tokenize = "tokenize",
        /// Waiting for a session of the model.
        Queue = "queue",
        /// Running the model.
        Infer = "infer",
        /// Sending the outputs until all are acknowledged.
        Produce = "produce",
        /// Sending the offsets and committing.
        Commit = "commit",
    }
}

label_values! {
    /// How a transaction ended.
    TransactionResult {
        /// Committed.
        Committed = "committed",
        /// Aborted; its posts are read again.
        Aborted = "aborted",
        /// Unknown; the broker's offsets decide.
        Ambiguous = "ambiguous",
        /// Refused, because another producer has this lane's transactional id.
        Fenced = "fenced",
    }
}

/// The model and how it is run.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Execution provider in use.
    pub provider: &'a str,
    /// The model's id.
    pub model: &'a str,
    /// Its content hash.
    pub hash: &'a str,
    /// Precision of its weights.
    pub precision: &'a str,
    /// Version of ONNX Runtime.
    pub library_version: &'a str,
    /// Sessions, one thread each.
    pub sessions: usize,
}

/// Every metric of the worker.
#[derive(Debug)]
pub struct Metrics {
    /// Records polled, by topic.
    pub records_polled: Labelled<Counter, 1>,
    /// Records polled a second time, by topic.
    pub records_replayed: Labelled<Counter, 1>,
    /// Committed outcomes, by outcome and reason; see [`Metrics::outcome`].
    pub outcomes: Labelled<Counter, 2>,
    /// Committed labels, by emotion.
    pub emotion_labels: Labelled<Counter, 1>,
    /// Records not yet committed, by topic and partition.
    pub lag_records: Labelled<Gauge, 2>,
    /// Age of the oldest record not yet committed, by topic and partition.
    pub lag_seconds: Labelled<FloatGauge, 2>,
    /// Posts per batch.
    pub batch_posts: Histogram,
    /// The limit that the batch size has adapted to, by lane.
    pub batch_size_limit: Labelled<Gauge, 1>,
    /// Tokens run through the model.
    pub tokens: Counter,
    /// Time that sessions were at work.
    pub session_busy_seconds: Counter<f64, AtomicU64>,
    /// The same with padding.
    pub padded_tokens: Counter,
    /// Runs of the model that failed for lack of memory.
    pub out_of_memory: Counter,
    /// Most padded tokens of a micro-batch.
    pub token_budget: Gauge,
    /// Texts answered by the cache.
    pub cache_hits: Counter,
    /// Texts equal to another one of their batch.
    pub duplicate_texts: Counter,
    /// Time per stage and batch; see [`Metrics::stage`].
    pub stage_seconds: Labelled<Histogram, 1>,
    /// Transactions, by result.
    pub transactions: Labelled<Counter, 1>,
    /// Always 1; its labels name the model and how it is run. See [`Metrics::session`].
    pub session_info: Labelled<Gauge, 5>,
    /// Sessions of the model.
    pub sessions: Gauge,
    /// Lanes running.
    pub lanes: Gauge,
    /// Lanes that poll without labelling, by reason.
    pub lanes_paused: Labelled<Gauge, 1>,
    /// 1 while `/readyz` says yes.
    pub ready: Gauge,
    /// Positions that were lost, by cause.
    pub lost_positions: Labelled<Counter, 1>,
    /// Kafka clients thrown away and made anew.
    pub client_restarts: Counter,
    /// Changes of the assignment.
    pub rebalances: Counter,
    /// Times that the breaker paused a lane.
    pub breaker_trips: Counter,
    /// Those of the archive.
    pub archive: ArchiveMetrics,
    /// Those of a second model beside the first.
    pub shadow: ShadowMetrics,
    stages: Vec<Histogram>,
    registry: Registry,
    descriptions: Vec<Description>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Every metric at zero.
    #[expect(clippy::too_many_lines, reason = "a table: one declaration per metric")]
    #[must_use]
    pub fn new() -> Self {
        let mut declare = Declarations::new();
        let stage_seconds = declare.labelled_with(
            "stage_seconds",
            ["stage"],
            "Time that a batch spent in each stage",
            (|| Histogram::new(SECONDS)) as fn() -> Histogram,
        );
        let stages = Stage::ALL.iter().map(|stage| stage_seconds.of([stage.name()])).collect();
        let transactions = declare.labelled(
            "transactions",
            ["result"],
            "Transactions by result: committed, aborted (its posts are read again), ambiguous (the broker's offsets \
             decide), fenced (another worker has the same instance name)",
        );
        for result in TransactionResult::ALL {
            transactions.of([result.name()]);
        }
        Self {
            records_polled: declare.labelled(
                "records_polled",
                ["topic"],
                "Records polled, those polled a second time included",
            ),
            records_replayed: declare.labelled(
                "records_replayed",
                ["topic"],
                "Records polled again after an abort or a restart of the client; they are not labelled twice",
            ),
            outcomes: declare.labelled(
                "outcomes",
                ["outcome", "reason"],
                "Input records by what became of them (labelled, skipped, dead_lettered) and why, counted after the commit",
            ),
            emotion_labels: declare.labelled(
                "emotion_labels",
                ["label"],
                "Posts that were given each emotion, counted after the commit",
            ),
            lag_records: declare.labelled(
                "lag_records",
                ["topic", "partition"],
                "Records between the committed position and the end; rests at 1 or more where a transaction marker is last",
            ),
            lag_seconds: declare.labelled(
                "lag_seconds",
                ["topic", "partition"],
                "Age of the oldest record that is not committed yet",
            ),
            batch_posts: declare.plain("batch_posts", "Posts per batch", Histogram::new(POSTS)),
            batch_size_limit: declare.labelled(
                "batch_size_limit",
                ["lane"],
                "Posts at which a batch closes, as adapted to batch.target",
            ),
            tokens: declare.plain("tokens", "Tokens run through the model, without padding", Counter::default()),
            padded_tokens: declare.plain(
                "padded_tokens",
                "Tokens run through the model with padding; 1 - tokens / padded tokens is the waste",
                Counter::default(),
            ),
            session_busy_seconds: declare.plain(
                "session_busy_seconds",
                "Time that the model's sessions were at work, all sessions together",
                Counter::default(),
            ),
            out_of_memory: declare.plain(
                "out_of_memory",
                "Micro-batches that did not fit the device's memory; each was halved, and those that follow are smaller",
                Counter::default(),
            ),
            token_budget: declare.plain(
                "token_budget",
                "Padded tokens of a micro-batch at most; less than configured after a lack of memory",
                Gauge::default(),
            ),
            cache_hits: declare.plain("cache_hits", "Texts whose scores were still known", Counter::default()),
            duplicate_texts: declare.plain(
                "duplicate_texts",
                "Texts equal to another one of the same batch, run once for all",
                Counter::default(),
            ),
            stage_seconds,
            transactions,
            session_info: declare.labelled(
                "session_info",
                ["provider", "model", "hash", "precision", "library_version"],
                "Always 1: the execution provider in use, the model's id, content hash and precision, and ONNX Runtime's \
                 version",
            ),
            sessions: declare.plain("sessions", "Sessions of the model, one thread each", Gauge::default()),
            lanes: declare.plain("lanes", "Lanes running", Gauge::default()),
            lanes_paused: declare.labelled(
                "lanes_paused",
                ["reason"],
                "Lanes that keep polling but label nothing, by reason",
            ),
            ready: declare.plain("ready", "1 while the worker is ready, else 0; /readyz says why", Gauge::default()),
            lost_positions: declare.labelled(
                "lost_positions",
                ["cause"],
                "Times that the committed position was missing, out of range, or of a topic made anew",
            ),
            client_restarts: declare.plain(
                "client_restarts",
                "Kafka clients thrown away and made anew after an error that they cannot recover from",
                Counter::default(),
            ),
            rebalances: declare.plain("rebalances", "Changes of a lane's assignment", Counter::default()),
            breaker_trips: declare.plain(
                "breaker_trips",
                "Times that too many bad records paused a lane",
                Counter::default(),
            ),
            archive: ArchiveMetrics::declare(&mut declare),
            shadow: ShadowMetrics::declare(&mut declare),
            stages,
            registry: declare.registry,
            descriptions: declare.descriptions,
        }
    }

    /// Counts input records of one outcome, after their commit; the reason of labelled ones is empty.
    pub fn outcome(&self, outcome: Outcome, reason: &'static str, records: u64) {
        self.outcomes.of([outcome.name(), reason]).inc_by(records);
    }

    /// Notes how long a batch spent in a stage.
    pub fn stage(&self, stage: Stage, time: Duration) {
        // `stages` holds one per stage, in their order.
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// Counts a transaction.
    pub fn transaction(&self, result: TransactionResult) {
        self.transactions.of([result.name()]).inc();
    }

    /// Sets the lag of a partition: records, and the age of the oldest one.
    pub fn lag(&self, topic: &str, partition: i32, records: i64, age: Duration) {
        let partition = partition.to_string();
        self.lag_records.of([topic, &partition]).set(records);
        self.lag_seconds.of([topic, &partition]).set(age.as_secs_f64());
    }

    /// Stops exporting the lag of a partition that was taken away: its new owner exports it.
    pub fn forget_partition(&self, topic: &str, partition: i32) {
        let partition = partition.to_string();
        self.lag_records.forget([topic, &partition]);
        self.lag_seconds.forget([topic, &partition]);
    }

    /// Names the model and how it is run; the one named before is forgotten.
    pub fn session(&self, session: &Session<'_>) {
        let Session { provider, model, hash, precision, library_version, sessions } = *session;
        self.session_info.clear();
        self.session_info.of([provider, model, hash, precision, library_version]).set(1);
        self.sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// The metrics in the text format that Prometheus reads (`OpenMetrics` 1.0).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail; a page cut short has no `# EOF`, which Prometheus refuses.
        let _ = text::encode(&mut page, &self.registry);
        page
    }

    /// What each metric means, in the order of the declarations.
    pub fn describe(&self) -> impl Iterator<Item = &Description> {
        self.descriptions.iter()
    }
}

/// The table of metrics that `docs/metrics.md` holds.
#[must_use]
pub fn document() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Served in Prometheus' text format at `/metrics` of `admin.listen` (127.0.0.1:9464 unless configured).\n\
         This table is generated from the declarations in `src/telemetry/metrics.rs` by `make schemas`.\n\n\
         | name | type | labels | meaning |\n|--|--|--|--|\n",
    );
    let metrics = Metrics::new();
    let mut descriptions = metrics.describe().collect::<Vec<_>>();
    descriptions.sort_by(|one, other| one.name.cmp(&other.name));
    for Description { name, kind, labels, help } in descriptions {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    fn session(provider: &str) -> Session<'_> {
        let (model, hash, precision, library_version) = ("starter", "abc", "int8", "1.32.0");
        Session { provider, model, hash, precision, library_version, sessions: 2 }
    }

    /// Every metric with something in it.
    fn used() -> Metrics {
        let metrics = Metrics::new();
        metrics.records_polled.of(["posts"]).inc_by(3);
        metrics.records_replayed.of(["posts"]).inc();
        metrics.outcome(Outcome::Labelled, "", 2);
        metrics.outcome(Outcome::Skipped, "language", 1);
        metrics.emotion_labels.of(["joy"]).inc();
        metrics.archive.lag_seconds.of(["3"]).set(1.5);
        metrics.lag("posts", 0, 7, Duration::from_millis(1500));
        metrics.batch_size_limit.of(["0"]).set(64);
        metrics.session(&session("cpu"));
        metrics.lanes_paused.of(["breaker"]).set(1);
        metrics.shadow.info.of(["candidate", "def", "int8"]).set(1);
        metrics.shadow.posts.of(["same"]).inc();
        metrics.shadow.labels.of(["joy", "both"]).inc();
        metrics.shadow.score_difference.of(["joy"]).inc_by(0.25);
        metrics.lost_positions.of(["out_of_range"]).inc();
        metrics.stage(Stage::Infer, Duration::from_millis(20));
        metrics.transaction(TransactionResult::Committed);
        metrics
    }

    #[test]
    fn committed_documentation_is_the_generated_one() {
        assert_committed("docs/metrics.md", &document());
    }

    #[test]
    fn what_is_exported_is_what_is_described() {
        let metrics = used();
        let page = metrics.encode();
        assert!(page.ends_with("# EOF\n"), "{page}");
        let mut types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect::<Vec<_>>();
        types.sort_unstable();
        let mut described = metrics
            .describe()
            .map(|Description { name, kind, .. }| format!("{} {kind}", name.strip_suffix("_total").unwrap_or(name)))
            .collect::<Vec<_>>();
        described.sort_unstable();
        assert_eq!(types, described);
        for Description { name, labels, .. } in metrics.describe().filter(|metric| !metric.labels.is_empty()) {
            let sample = page.lines().find(|line| line.starts_with(name)).expect("a sample");
            for label in labels {
                assert!(sample.contains(&format!("{label}=\"")), "{sample} lacks {label}");
            }
        }
    }

    #[test]
    fn samples_carry_their_labels_in_order() {
        let page = used().encode();
        for sample in [
            "moodstream_outcomes_total{outcome=\"skipped\",reason=\"language\"} 1",
            "moodstream_lag_records{topic=\"posts\",partition=\"0\"} 7",
            "moodstream_lag_seconds{topic=\"posts\",partition=\"0\"} 1.5",
            "moodstream_stage_seconds_bucket{le=\"0.025\",stage=\"infer\"} 1",
            "moodstream_transactions_total{result=\"fenced\"} 0",
            "moodstream_session_info{provider=\"cpu\",model=\"starter\",hash=\"abc\",precision=\"int8\",library_version=\"1.32.0\"} 1",
        ] {
            assert!(page.lines().any(|line| line == sample), "{sample} is not in\n{page}");
        }
    }

    #[test]
    fn each_stage_is_timed_under_its_own_name() {
        let metrics = Metrics::new();
        for (millis, stage) in (1u64..).zip(Stage::ALL) {
            metrics.stage(*stage, Duration::from_millis(millis * 1000));
        }
        let page = metrics.encode();
        for (seconds, stage) in (1..).zip(Stage::ALL) {
            let sum = format!("moodstream_stage_seconds_sum{{stage=\"{}\"}} {seconds}.0", stage.name());
            assert!(page.lines().any(|line| line == sum), "{sum} is not in\n{page}");
        }
    }

    #[test]
    fn a_partition_that_was_taken_away_is_no_longer_exported() {
        let metrics = used();
        metrics.lag("posts", 1, 1, Duration::ZERO);
        metrics.forget_partition("posts", 0);
        let told: Vec<_> = metrics.lag_records.all().into_iter().map(|(values, lag)| (values, lag.get())).collect();
        assert_eq!(told, [(["posts".to_owned(), "1".to_owned()], 1)]);
        let page = metrics.encode();
        assert!(!page.contains("partition=\"0\"") && page.contains("partition=\"1\""), "{page}");
    }

    #[test]
    fn only_the_latest_session_is_exported() {
        let metrics = used();
        metrics.session(&session("cuda"));
        assert_eq!(metrics.encode().matches("moodstream_session_info{").count(), 1);
    }
}
