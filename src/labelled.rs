//! What flows out: one JSON object per labelled or skipped post, as schemas/labelled-post.schema.json says.
//!
//! Every record carries its source (topic, partition, offset), so nothing downstream can lose it, and
//! the model that made it (I9).

use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::config::Exposure;
use crate::inference::ModelInfo;
use crate::post::{EventTime, TimeSource};

/// Version of the record format.
pub const FORMAT_VERSION: u8 = 1;

/// One record of the output topic.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LabelledPost<'a> {
    /// Version of this format: 1.
    pub v: u8,
    /// Whether the post was labelled.
    pub status: Status,
    /// Why it was not; null when labelled.
    pub skip_reason: Option<SkipReason>,
    /// The post's id, or `topic/partition/offset` of its record.
    pub id: &'a str,
    /// The text; null unless `privacy.text = "keep"`.
    pub text: Option<&'a str>,
    /// HMAC-SHA256 of the text, 64 hex digits, with `privacy.text = "hash"`; null otherwise.
    pub text_hash: Option<String>,
    /// The time of writing as given: a string or a number.
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
    /// The input record.
    pub source: Source<'a>,
    /// When it was labelled, UTC, RFC 3339 with milliseconds.
    #[schemars(with = "String")]
    pub labelled_at: EventTime,
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

/// The input record that a post came in.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Source<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp, milliseconds since 1970.
    pub timestamp: i64,
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

/// The JSON schema of an output record.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(LabelledPost<'static>);
    schema.insert("title".to_owned(), "LabelledPost".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

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
