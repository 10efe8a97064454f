//! What flows out: one JSON object per labelled or skipped post, as schemas/labelled-post.schema.json says.
//!
//! Every record carries its source (topic, partition and offset, or file and line), so nothing downstream can
//! lose it, and the model that made it (I9).

mod writer;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::config::Exposure;
use crate::inference::ModelInfo;
use crate::post::{EventTime, TimeSource};

pub(crate) use writer::{Content, RecordWriter};

/// Version of the record format.
pub const FORMAT_VERSION: u8 = 1;

/// One record of the output topic, or one line that `moodstream label` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LabelledPost<'a> {
    /// Version of this format: 1.
    pub v: u8,
    /// Whether the post was labelled.
    pub status: Status,
    /// Why it was not; null when labelled.
    pub skip_reason: Option<SkipReason>,
    /// The post's id, or `topic/partition/offset` of its record, or `file:line`.
    pub id: &'a str,
    /// The text; null unless `privacy.text = "keep"`.
    pub text: Option<&'a str>,
    /// HMAC-SHA256 of the text, 64 hex digits, with `privacy.text = "hash"`; null otherwise.
    pub text_hash: Option<String>,
    /// The time of writing as given: a string or a number.
    #[schemars(with = "Option<StringOrNumber>")]
    pub created_at: Option<&'a Value>,
    /// Event time in UTC, RFC 3339 with milliseconds.
    #[schemars(with = "String")]
    pub event_time: EventTime,
    /// Where the event time comes from.
    pub time_source: TimeSource,
    /// The platform, as given.
    pub platform: Option<&'a str>,
    /// Primary language subtag; null when unknown.
    pub lang: Option<&'a str>,
    /// The author's id, or its HMAC-SHA256 with `privacy.author = "hash"`; null with `"omit"`.
    pub author_id: Option<String>,
    /// The values of `input.extra`, by name.
    pub extra: &'a Map<String, Value>,
    /// Probability (0 to 1) of each label, in the model's order; null when skipped.
    #[schemars(with = "Option<std::collections::BTreeMap<String, f32>>")]
    pub scores: Option<Scores<'a>>,
    /// The labels given: score ≥ threshold; null when skipped.
    pub labels: Option<Vec<&'a str>>,
    /// Tokens that the model saw; null when skipped.
    pub token_count: Option<usize>,
    /// Whether the model saw only the beginning of the text.
    pub truncated: bool,
    /// The model that gave the scores.
    pub model: ModelRef<'a>,
    /// The input record, or the input line.
    pub source: Source<'a>,
    /// When it was labelled, UTC, RFC 3339 with milliseconds.
    #[schemars(with = "String")]
    pub labelled_at: EventTime,
}

/// For the schema: a time of writing as given.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
enum StringOrNumber {
    String(String),
    Number(f64),
}

/// Whether a post was labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With scores and labels.
    Labelled,
    /// Without, for the reason given.
    Skipped,
}

/// Why a published post has no labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Nothing is left after trimming.
    Empty,
    /// In a language that the model does not know.
    Language,
}

impl SkipReason {
    /// The word used in the output and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Language => "language",
        }
    }
}

/// Scores by label, written as an object in the model's order.
#[derive(Debug)]
pub struct Scores<'a> {
    /// Labels in the model's order.
    pub labels: &'a [String],
    /// Probabilities in the same order.
    pub scores: &'a [f32],
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.labels.len()))?;
        for (label, score) in self.labels.iter().zip(self.scores) {
            map.serialize_entry(label, score)?;
        }
        map.end()
    }
}

impl<'a> Scores<'a> {
    /// The labels whose score reaches the model's threshold.
    #[must_use]
    pub fn given(&self, thresholds: &[f32]) -> Vec<&'a str> {
        let reached = self.scores.iter().zip(thresholds).map(|(score, threshold)| score >= threshold);
        self.labels.iter().zip(reached).filter(|(_, reached)| *reached).map(|(label, _)| label.as_str()).collect()
    }
}

/// The model that gave the scores.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelRef<'a> {
    /// The manifest's id.
    pub id: &'a str,
    /// Content hash, 64 hex digits.
    pub hash: &'a str,
    /// The threshold of each label, in the model's order.
    pub thresholds: &'a [f32],
}

impl<'a> From<&'a ModelInfo> for ModelRef<'a> {
    fn from(model: &'a ModelInfo) -> Self {
        Self { id: &model.id, hash: &model.hash, thresholds: &model.thresholds }
    }
}

/// Where a post came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Source<'a> {
    /// A record of an input topic.
    Record {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Offset.
        offset: i64,
        /// The record's timestamp, milliseconds since 1970.
        timestamp: i64,
    },
    /// A line of an input file.
    Line(FileLine<'a>),
}

/// A line of an input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileLine<'a> {
    /// The file as it was named; `-` is standard input.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: u64,
}

/// The id of a post that has none of its own.
impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { topic, partition, offset, .. } => write!(f, "{topic}/{partition}/{offset}"),
            Self::Line(FileLine { file, line }) => write!(f, "{file}:{line}"),
        }
    }
}

/// What of text and author is published.
#[derive(Clone)]
pub struct Disclosure {
    text: Exposure,
    author: Exposure,
    key: Option<Hmac<Sha256>>,
}

impl Disclosure {
    /// `key` is the secret of the keyed hash; needed when either is hashed.
    #[must_use]
    pub fn new(text: Exposure, author: Exposure, key: Option<&[u8]>) -> Self {
        let key = key.and_then(|key| Hmac::new_from_slice(key).ok());
        Self { text, author, key }
    }

    /// The text as published and its keyed hash.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> (Option<&'a str>, Option<String>) {
        match self.text {
            Exposure::Keep => (Some(text), None),
            Exposure::Hash => (None, self.hash(text)),
            Exposure::Omit => (None, None),
        }
    }

    /// The author's id as published.
    #[must_use]
    pub fn author(&self, author: Option<&str>) -> Option<String> {
        match self.author {
            Exposure::Keep => author.map(str::to_owned),
            Exposure::Hash => author.and_then(|author| self.hash(author)),
            Exposure::Omit => None,
        }
    }

    fn hash(&self, value: &str) -> Option<String> {
        let mut mac = self.key.clone()?;
        mac.update(value.as_bytes());
        Some(hex::encode(mac.finalize().into_bytes()))
    }
}

/// The JSON schema of an output record, as written: every key is there, if only as null.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<LabelledPost<'static>>();
    schema.insert("title".to_owned(), "LabelledPost".into());
    schema.to_value()
}

/// The schema as the committed file holds it.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::committed::assert_committed;

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/labelled-post.schema.json", &schema_text());
    }

    /// A record of the kind that a lane writes.
    fn record<'a>(
        labels: &'a [String],
        scores: Option<&'a [f32]>,
        extra: &'a Map<String, Value>,
        source: Source<'a>,
    ) -> LabelledPost<'a> {
        let scores = scores.map(|scores| Scores { labels, scores });
        LabelledPost {
            v: FORMAT_VERSION,
            status: if scores.is_some() { Status::Labelled } else { Status::Skipped },
            skip_reason: scores.is_none().then_some(SkipReason::Language),
            id: "1",
            text: Some("t"),
            text_hash: None,
            created_at: None,
            event_time: EventTime(0),
            time_source: TimeSource::Record,
            platform: None,
            lang: Some("en"),
            author_id: None,
            extra,
            labels: scores.as_ref().map(|scores| scores.given(&[0.5, 0.5])),
            token_count: scores.as_ref().map(|_| 3),
            scores,
            truncated: false,
            model: ModelRef { id: "m", hash: "h", thresholds: &[0.5, 0.5] },
            source,
            labelled_at: EventTime(0),
        }
    }

    /// Everything in `value` that `schema` does not allow; knows the words that our schema uses.
    fn violations(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
            return violations(root, target, value, at);
        }
        for word in ["anyOf", "oneOf"] {
            let Some(choices) = schema.get(word).and_then(Value::as_array) else { continue };
            let fits = choices.iter().any(|choice| violations(root, choice, value, at).is_empty());
            return if fits { Vec::new() } else { vec![format!("{at} fits none of {word}")] };
        }
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = |kind: &Value| kind == name || (kind == "number" && name == "integer");
        let mut wrong = Vec::new();
        match schema.get("type") {
            Some(Value::Array(kinds)) if !kinds.iter().any(fits) => wrong.push(format!("{at} is {name}")),
            Some(kind @ Value::String(_)) if !fits(kind) => wrong.push(format!("{at} is {name}")),
            _ => {}
        }
        if schema.get("const").is_some_and(|constant| constant != value) {
            wrong.push(format!("{at} is another constant"));
        }
        if schema.get("enum").and_then(Value::as_array).is_some_and(|allowed| !allowed.contains(value)) {
            wrong.push(format!("{at} is no value of the enum"));
        }
        if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
            wrong.extend(values.iter().flat_map(|value| violations(root, items, value, &format!("{at}[]"))));
        }
        if let Value::Object(table) = value {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let missing = required.filter_map(Value::as_str).filter(|key| !table.contains_key(*key));
            wrong.extend(missing.map(|key| format!("{at}.{key} is missing")));
            for (key, value) in table {
                let known = schema.get("properties").and_then(|properties| properties.get(key));
                match known.or_else(|| schema.get("additionalProperties")) {
                    Some(schema) => wrong.extend(violations(root, schema, value, &format!("{at}.{key}"))),
                    None => wrong.push(format!("{at}.{key} is unknown")),
                }
            }
        }
        wrong
    }

    #[test]
    fn records_are_what_the_schema_says_and_the_schema_can_refuse() {
        let schema = schema();
        let labels = ["joy".to_owned(), "anger".to_owned()];
        let extra = Map::from_iter([("likes".to_owned(), json!(3))]);
        let of_topic = Source::Record { topic: "posts", partition: 0, offset: 1, timestamp: 2 };
        let of_file = Source::Line(FileLine { file: "posts.jsonl", line: 1 });
        for (scores, source) in [(Some([0.75, 0.25]), of_topic), (None, of_topic), (Some([0.75, 0.25]), of_file)] {
            let post = record(&labels, scores.as_ref().map(<[f32; 2]>::as_slice), &extra, source);
            let mut post = serde_json::to_value(post).expect("JSON");
            assert_eq!(violations(&schema, &schema, &post, ""), [""; 0]);
            let keys: BTreeSet<String> = post.as_object().expect("an object").keys().cloned().collect();
            for key in &keys {
                let kept = post.as_object_mut().expect("an object").remove(key).expect("there");
                assert_eq!(violations(&schema, &schema, &post, ""), [format!(".{key} is missing")]);
                post[key] = kept;
            }
            for (key, wrong) in [
                ("v", json!("1")),
                ("status", json!("done")),
                ("labels", json!([1])),
                ("more", json!(1)),
                ("source", json!({"file": "f"})),
            ] {
                let mut bad = post.clone();
                bad[key] = wrong;
                assert_ne!(violations(&schema, &schema, &bad, ""), [""; 0], "{key}");
            }
        }
    }

    #[test]
    fn scores_are_an_object_in_the_models_order_and_labels_reach_their_threshold() {
        let labels = ["joy".to_owned(), "anger".to_owned()];
        let scores = Scores { labels: &labels, scores: &[0.5, 0.499_999] };
        assert_eq!(serde_json::to_string(&scores).expect("JSON"), r#"{"joy":0.5,"anger":0.499999}"#);
        assert_eq!(scores.given(&[0.5, 0.5]), ["joy"]);
    }

    #[test]
    fn disclosure_keeps_hashes_or_omits() {
        let keep = Disclosure::new(Exposure::Keep, Exposure::Omit, None);
        assert_eq!(keep.text("t"), (Some("t"), None));
        assert_eq!(keep.author(Some("a")), None);
        // RFC 4231, test case 2.
        let hash = Disclosure::new(Exposure::Hash, Exposure::Hash, Some(b"Jefe"));
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hash.text("what do ya want for nothing?"), (None, Some(expected.to_owned())));
        assert_eq!(hash.author(Some("what do ya want for nothing?")).as_deref(), Some(expected));
    }
}
