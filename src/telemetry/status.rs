//! What the status page shows, as `/status.json` says it: one snapshot of metrics, readiness, lanes and log.
//!
//! Nothing is counted here a second time: totals are the metrics' own, reasons are those of `/readyz`. Fields are
//! added, never renamed or given another meaning, as long as `v` is 1 (`schemas/status.schema.json`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use super::history::{BUCKET, Counted, History, RATE_OVER};
use super::lanes::{LaneState, Lanes};
use super::notices::{Notice, Notices};
use super::shadow::ShadowReport;
use super::{Metrics, Outcome, Readiness};
use crate::config::{Config, Delivery};

/// The order in which outcomes are told.
const OUTCOMES: [Outcome; 3] = [Outcome::Labelled, Outcome::Skipped, Outcome::DeadLettered];

/// Where the status page takes everything from; clones share it.
#[derive(Debug, Clone)]
pub struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    about: About,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    notices: Notices,
    started: (Instant, Timestamp),
    /// The worker's lanes and its instance name, once it has been started.
    worker: Mutex<Option<(Lanes, String)>>,
    history: Mutex<History>,
}

/// What the configuration says the worker does.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct About {
    /// Version of the program.
    version: &'static str,
    /// Consumer group.
    group: String,
    /// Input topics.
    input: Vec<String>,
    /// Output topic.
    output: String,
    /// Dead-letter topic.
    dead_letter: String,
    /// `exactly_once` or `at_least_once`.
    delivery: Delivery,
    /// `shadow.share`.
    #[serde(skip)]
    shadow_share: f64,
}

/// One snapshot: the answer of `/status.json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Status")]
pub struct Report {
    /// Version of this format: 1.
    v: u32,
    /// When the snapshot was taken (RFC 3339, UTC).
    now: String,
    /// When the process started (RFC 3339, UTC); another one is another process.
    started_at: String,
    /// Time since then, in seconds.
    uptime_seconds: u64,
    /// As `/readyz` says.
    ready: bool,
    /// Why not: as `/readyz` lists them.
    reasons: Vec<Reason>,
    /// What the configuration says the worker does.
    worker: About,
    /// The instance name that it goes by; null before it has started.
    instance: Option<String>,
    /// The model in use; null before it is loaded.
    model: Option<Model>,
    /// A second model beside it; null while none runs.
    shadow: Option<ShadowReport>,
    /// Records since the start of the process, by outcome.
    totals: Outcomes<u64>,
    /// Records a second, by outcome, over the last `rates_over_seconds`.
    rates: Outcomes<f64>,
    /// Time that `rates` are taken over.
    rates_over_seconds: u64,
    /// The same totals by reason; labelled records have none.
    outcomes: Vec<OutcomeCount>,
    /// Over all partitions of this worker; null while no partition's lag is known.
    lag: Option<Lag>,
    /// Every lane; empty before the worker has started.
    lanes: Vec<Lane>,
    /// The last quarter of an hour.
    minutes: Minutes,
    /// The latest warnings and errors of the log, the latest first.
    notices: Vec<LogEvent>,
}

/// Something for each outcome of an input record.
#[derive(Debug, Serialize, JsonSchema)]
struct Outcomes<T> {
    /// Published with scores.
    labelled: T,
    /// Left without scores, for a reason.
    skipped: T,
    /// Sent to the dead-letter topic.
    dead_lettered: T,
}

/// Why the worker is not ready.
#[derive(Debug, Serialize, JsonSchema)]
struct Reason {
    /// What keeps it from working, such as `lane-2`.
    condition: String,
    /// How.
    reason: String,
}

/// The model and how it is run.
#[derive(Debug, Serialize, JsonSchema)]
struct Model {
    /// The bundle's id.
    id: String,
    /// Content hash, hexadecimal.
    hash: String,
    /// Execution provider.
    provider: String,
    /// Precision of its weights.
    precision: String,
    /// Sessions, one thread each.
    sessions: i64,
    /// Version of ONNX Runtime.
    library_version: String,
}

/// Records of one outcome and reason since the start.
#[derive(Debug, Serialize, JsonSchema)]
struct OutcomeCount {
    /// `labelled`, `skipped` or `dead_lettered`.
    outcome: String,
    /// Why; empty for labelled ones.
    reason: String,
    /// How many.
    records: u64,
}

/// How far behind the end of the input.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Lag {
    /// Records not committed yet.
    records: i64,
    /// Age of the oldest of them.
    seconds: f64,
}

/// A lane.
#[derive(Debug, Serialize, JsonSchema)]
struct Lane {
    /// Its number, from 0.
    number: usize,
    /// What it does.
    state: State,
    /// Why it does not work; null when it does.
    reason: Option<String>,
    /// What it holds.
    partitions: Vec<LanePartition>,
    /// Posts at which its batches close, as adapted; null before its first batch.
    batch_limit: Option<i64>,
}

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Connects, joins the group, or asks where to go on.
    Joining,
    /// Reads and labels.
    Working,
    /// Has no partition: ready to take over.
    Standby,
    /// Polls and labels nothing, and keeps every record.
    Paused,
    /// Has ended.
    Stopped,
}

/// A partition of a lane.
#[derive(Debug, Serialize, JsonSchema)]
struct LanePartition {
    /// Topic.
    topic: String,
    /// Number.
    partition: i32,
    /// How far behind; null while the client has not told.
    lag: Option<Lag>,
}

/// Columns of equal length, one value per bucket, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
struct Minutes {
    /// Width of a bucket.
    bucket_seconds: u64,
    /// How long before `now` the last bucket ended.
    ended_seconds_ago: f64,
    /// Records labelled.
    labelled: Vec<u64>,
    /// Records skipped.
    skipped: Vec<u64>,
    /// Records dead-lettered.
    dead_lettered: Vec<u64>,
    /// Records not committed at the end of the bucket; null where it was not known.
    lag_records: Vec<Option<i64>>,
    /// Posts that were given each emotion; a post can have several, or none.
    emotions: BTreeMap<String, Vec<u64>>,
}

/// A warning or an error of the log.
#[derive(Debug, Serialize, JsonSchema)]
struct LogEvent {
    /// `error`: a person must act; `warn`: recovered.
    level: &'static str,
    /// The module that said it.
    target: String,
    /// What it said.
    message: String,
    /// What came with it the last time.
    fields: String,
    /// How often it came.
    count: u64,
    /// The first time (RFC 3339, UTC).
    first: String,
    /// The last time (RFC 3339, UTC).
    last: String,
}

impl About {
    /// What the configuration says.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            group: config.kafka.group.clone(),
            input: config.input.topics.clone(),
            output: config.output.topic.clone(),
            dead_letter: config.dead_letter.topic.clone(),
            delivery: config.kafka.delivery,
            shadow_share: config.shadow.share,
        }
    }
}

impl Status {
    /// The status of a worker that has yet to be started.
    #[must_use]
    pub fn new(about: About, metrics: Arc<Metrics>, readiness: Readiness, notices: Notices) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            about,
            metrics,
            readiness,
            notices,
            started: (now, Timestamp::now()),
            worker: Mutex::default(),
            history: Mutex::new(History::new(now)),
        }))
    }

    /// The worker has been started, under this instance name.
    pub fn show_worker(&self, lanes: Lanes, instance: &str) {
        *lock(&self.0.worker) = Some((lanes, instance.to_owned()));
    }

    /// What the metrics come to now goes into the last minutes; call it once a second.
    pub fn record(&self) {
        let Inner { metrics, history, .. } = &*self.0;
        let counted = Counted {
            outcomes: OUTCOMES.map(|outcome| total(metrics, outcome)),
            emotions: metrics.emotion_labels.all().iter().map(|(_, posts)| posts.get()).collect(),
            lag: together(lags(metrics).values()).map(|lag| lag.records),
        };
        lock(history).record(Instant::now(), &counted);
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// One snapshot.
    #[must_use]
    pub fn report(&self) -> Report {
        let Inner { about, metrics, readiness, notices, started, worker, history } = &*self.0;
        let now = Instant::now();
        let reasons = readiness.reasons();
        let (lanes, instance) = match &*lock(worker) {
            None => (Vec::new(), None),
            Some((lanes, instance)) => (lanes.states(), Some(instance.clone())),
        };
        let lags = lags(metrics);
        let totals = OUTCOMES.map(|outcome| total(metrics, outcome));
        let (rates, minutes) = {
            let history = lock(history);
            (history.rates(), minutes(metrics, &history, now))
        };
        let count = |([outcome, reason], records): ([String; 2], Counter)| OutcomeCount {
            outcome,
            reason,
            records: records.get(),
        };
        Report {
            v: 1,
            now: time(Timestamp::now()),
            started_at: time(started.1),
            uptime_seconds: now.saturating_duration_since(started.0).as_secs(),
            ready: reasons.is_empty(),
            lanes: lanes
                .into_iter()
                .enumerate()
                .map(|(index, lane)| show_lane(index, lane, metrics, &lags, &reasons))
                .collect(),
            reasons: reasons.into_iter().map(|(condition, reason)| Reason { condition, reason }).collect(),
            worker: about.clone(),
            instance,
            model: model(metrics),
            shadow: ShadowReport::of(&metrics.shadow, about.shadow_share),
            totals: totals.into(),
            rates: rates.map(|rate| (rate * 100.0).round() / 100.0).into(),
            rates_over_seconds: RATE_OVER.as_secs(),
            outcomes: metrics.outcomes.all().into_iter().map(count).collect(),
            lag: together(lags.values()),
            minutes,
            notices: notices.latest().into_iter().map(LogEvent::from).collect(),
        }
    }
}

impl<T> From<[T; 3]> for Outcomes<T> {
    fn from([labelled, skipped, dead_lettered]: [T; 3]) -> Self {
        Self { labelled, skipped, dead_lettered }
    }
}

impl From<Notice> for LogEvent {
    fn from(notice: Notice) -> Self {
        let Notice { error, target, message, fields, first, last, count } = notice;
        let level = if error { "error" } else { "warn" };
        Self { level, target, message, fields, count, first: time(first), last: time(last) }
    }
}

/// The JSON schema of a snapshot, as the committed file holds it.
#[must_use]
pub fn schema_text() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    format!("{:#}\n", settings.into_generator().into_root_schema_for::<Report>().to_value())
}

fn total(metrics: &Metrics, outcome: Outcome) -> u64 {
    let all = metrics.outcomes.all();
    all.iter().filter(|([name, _], _)| name == outcome.name()).map(|(_, records)| records.get()).sum()
}

/// The lag of each partition, by topic and number.
fn lags(metrics: &Metrics) -> BTreeMap<[String; 2], Lag> {
    let seconds: BTreeMap<_, _> = metrics.lag_seconds.all().into_iter().collect();
    let records = metrics.lag_records.all().into_iter();
    let lag = |(partition, records): ([String; 2], Gauge)| {
        let seconds = seconds.get(&partition).map_or(0.0, Gauge::get);
        (partition, Lag { records: records.get(), seconds })
    };
    records.map(lag).collect()
}

/// The lag of some partitions together.
fn together<'a>(lags: impl Iterator<Item = &'a Lag>) -> Option<Lag> {
    lags.copied().reduce(|sum, lag| Lag { records: sum.records + lag.records, seconds: sum.seconds.max(lag.seconds) })
}

fn model(metrics: &Metrics) -> Option<Model> {
    let ([provider, id, hash, precision, library_version], _) = metrics.session_info.all().into_iter().next()?;
    Some(Model { id, hash, provider, precision, sessions: metrics.sessions.get(), library_version })
}

fn show_lane(
    index: usize,
    lane: LaneState,
    metrics: &Metrics,
    lags: &BTreeMap<[String; 2], Lag>,
    reasons: &[(String, String)],
) -> Lane {
    // Readiness knows a lane's condition by its name, and some more of it: lane-2, lane-2-alive, lane-2-topics.
    let name = format!("lane-{index}");
    let own = |condition: &str| {
        condition.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let reason = reasons.iter().find(|(condition, _)| own(condition)).map(|(_, reason)| reason.clone());
    let state = match &lane {
        LaneState { stopped: true, .. } => State::Stopped,
        LaneState { paused: Some(_), .. } => State::Paused,
        LaneState { partitions: None, .. } => State::Joining,
        LaneState { partitions: Some(none), .. } if none.is_empty() => State::Standby,
        _ if reasons.iter().any(|(condition, _)| *condition == name) => State::Joining,
        _ => State::Working,
    };
    let limits = metrics.batch_size_limit.all();
    let limit = limits.into_iter().find(|([lane], _)| *lane == index.to_string());
    let partition = |(topic, partition): (String, i32)| {
        let key = [topic.clone(), partition.to_string()];
        LanePartition { lag: lags.get(&key).copied(), topic, partition }
    };
    Lane {
        number: index,
        state,
        reason: reason.or_else(|| lane.paused.map(str::to_owned)),
        partitions: lane.partitions.unwrap_or_default().into_iter().map(partition).collect(),
        batch_limit: limit.map(|(_, posts)| posts.get()),
    }
}

fn minutes(metrics: &Metrics, history: &History, now: Instant) -> Minutes {
    let column = |index: usize| history.buckets().map(|bucket| bucket.outcomes[index]).collect();
    let labels = metrics.emotion_labels.all().into_iter().map(|([label], _)| label);
    let emotion = |index: usize| {
        // A bucket from before the model was loaded has no emotions.
        history.buckets().map(|bucket| bucket.emotions.get(index).copied().unwrap_or(0)).collect()
    };
    Minutes {
        bucket_seconds: BUCKET.as_secs(),
        ended_seconds_ago: history.age(now).as_secs_f64(),
        labelled: column(0),
        skipped: column(1),
        dead_lettered: column(2),
        lag_records: history.buckets().map(|bucket| bucket.lag).collect(),
        emotions: labels.enumerate().map(|(index, label)| (label, emotion(index))).collect(),
    }
}

fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::committed::assert_committed;
    use crate::telemetry::Session;

    /// What the defaults say.
    pub(in crate::telemetry) fn about() -> About {
        About::new(&Config::load(None, std::iter::empty(), &[]).expect("the defaults"))
    }

    fn status() -> Status {
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        Status::new(about(), metrics, readiness, Notices::default())
    }

    fn json(status: &Status) -> Value {
        serde_json::to_value(status.report()).expect("JSON")
    }

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/status.schema.json", &schema_text());
    }

    #[test]
    fn a_worker_that_starts_says_so_and_knows_nothing_yet() {
        let report = json(&status());
        assert_eq!((&report["v"], &report["ready"]), (&1.into(), &false.into()));
        assert_eq!(report["reasons"][0]["reason"], "the worker is starting");
        for unknown in ["model", "shadow", "lag", "instance"] {
            assert!(report[unknown].is_null(), "{unknown}");
        }
        assert_eq!(report["lanes"], Value::Array(Vec::new()));
    }

    #[test]
    fn totals_lag_and_model_are_those_of_the_metrics() {
        let status = status();
        let metrics = &status.0.metrics;
        metrics.outcome(Outcome::Labelled, "", 40);
        metrics.outcome(Outcome::Skipped, "language", 3);
        metrics.outcome(Outcome::Skipped, "empty", 2);
        metrics.outcome(Outcome::DeadLettered, "not_json", 1);
        metrics.lag("posts", 0, 7, Duration::from_millis(1500));
        metrics.lag("posts", 1, 5, Duration::from_millis(500));
        let (provider, model, hash) = ("cpu", "starter", "abc");
        let (precision, library_version) = ("int8", "1.32.0");
        metrics.session(&Session { provider, model, hash, precision, library_version, sessions: 2 });
        let report = json(&status);
        assert_eq!(report["totals"], serde_json::json!({"labelled": 40, "skipped": 5, "dead_lettered": 1}));
        assert_eq!(report["lag"], serde_json::json!({"records": 12, "seconds": 1.5}));
        assert_eq!(report["outcomes"].as_array().map(Vec::len), Some(4));
        assert_eq!(report["outcomes"][2], serde_json::json!({"outcome": "skipped", "reason": "empty", "records": 2}));
        assert_eq!((&report["model"]["precision"], &report["model"]["sessions"]), (&"int8".into(), &2.into()));
    }

    #[test]
    fn a_second_model_is_told_with_what_was_compared() {
        let status = status();
        let shadow = &status.0.metrics.shadow;
        shadow.info.of(["candidate", "def", "int8"]).set(1);
        shadow.posts.of(["same"]).inc_by(7);
        shadow.posts.of(["different"]).inc();
        shadow.posts.of(["passed_over"]).inc_by(2);
        for (by, posts) in [("both", 2), ("shadow", 1), ("neither", 5)] {
            shadow.labels.of(["joy", by]).inc_by(posts);
        }
        shadow.score_difference.of(["joy"]).inc_by(0.4);
        let label = serde_json::json!({
            "label": "joy", "both": 2, "live": 0, "shadow": 1, "neither": 5, "mean_difference": 0.05,
        });
        let expected = serde_json::json!({
            "id": "candidate", "hash": "def", "precision": "int8", "share": 0.05, "same": 7, "different": 1, "failed": 0,
            "passed_over": 2, "labels": [label],
        });
        assert_eq!(json(&status)["shadow"], expected);
    }

    #[test]
    fn a_lane_tells_what_it_holds_and_why_it_does_not_work() {
        let status = status();
        let lanes = Lanes::new(12);
        status.show_worker(lanes.clone(), "worker-0");
        let held = |partition| Some(vec![("posts".to_owned(), partition)]);
        let Inner { readiness, metrics, .. } = &*status.0;
        lanes.assigned(1, held(0));
        metrics.lag("posts", 0, 7, Duration::from_secs(2));
        lanes.assigned(2, Some(Vec::new()));
        lanes.assigned(3, held(3));
        lanes.paused(3, Some("breaker"));
        readiness.set("lane-3", "too many bad records");
        lanes.assigned(4, held(4));
        readiness.set("lane-4", "asking for the committed offsets");
        lanes.assigned(5, held(5));
        readiness.set("lane-5-alive", "no sign of life for 61 s");
        lanes.stopped(6);
        // Not a reason of lane 1.
        readiness.set("lane-11", "joining the group");
        let report = json(&status);
        let seen = |lane: &Value| (lane["state"].clone(), lane["reason"].clone());
        let seen: Vec<_> = report["lanes"].as_array().expect("lanes")[..7].iter().map(seen).collect();
        assert_eq!(
            seen,
            [
                ("joining".into(), Value::Null),
                ("working".into(), Value::Null),
                ("standby".into(), Value::Null),
                ("paused".into(), "too many bad records".into()),
                ("joining".into(), "asking for the committed offsets".into()),
                ("working".into(), "no sign of life for 61 s".into()),
                ("stopped".into(), Value::Null),
            ]
        );
        assert_eq!(
            report["lanes"][1]["partitions"],
            serde_json::json!([{"topic": "posts", "partition": 0, "lag": {"records": 7, "seconds": 2.0}}])
        );
        assert!(report["lanes"][3]["partitions"][0]["lag"].is_null(), "not told yet");
        assert_eq!(report["instance"], "worker-0");
    }

    #[test]
    fn a_snapshot_has_every_field_that_the_schema_requires() {
        let report = json(&status());
        let schema: Value = serde_json::from_str(&schema_text()).expect("JSON");
        let required = schema["required"].as_array().expect("required fields");
        assert!(required.len() > 10 && required.iter().all(|key| report.get(key.as_str().expect("a name")).is_some()));
    }
}
