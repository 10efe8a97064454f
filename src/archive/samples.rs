//! Output records for the tests, made by the labeller's own types.

use serde_json::{Map, Value, json};

use crate::labelled::{FORMAT_VERSION, FileLine, LabelledPost, ModelRef, Scores, SkipReason, Source, Status};
use crate::post::{EventTime, TimeSource};

/// 2025-10-09T08:53:20Z.
pub(super) const TIME: i64 = 1_760_000_000_000;

/// What differs between the records of a test; the rest is the same in all of them.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) id: String,
    pub(super) text: Option<String>,
    pub(super) text_hash: Option<String>,
    pub(super) created_at: Option<Value>,
    pub(super) event_time_ms: i64,
    pub(super) platform: Option<String>,
    pub(super) lang: Option<String>,
    pub(super) author_id: Option<String>,
    pub(super) extra: Map<String, Value>,
    /// None: skipped.
    pub(super) scores: Option<Vec<f32>>,
    pub(super) labels: Vec<String>,
    pub(super) thresholds: Vec<f32>,
    pub(super) model_id: String,
    pub(super) model_hash: String,
    /// None: a line of a file.
    pub(super) offset: Option<i64>,
}

impl Sample {
    /// The record at this offset, of a model with so many labels.
    #[expect(clippy::cast_precision_loss, reason = "scores of two digits")]
    pub(super) fn labelled(offset: i64, labels: usize) -> Self {
        Self {
            id: format!("id-{offset}"),
            text: Some(format!("post {offset}")),
            text_hash: None,
            created_at: Some(json!("2025-10-09T08:53:20Z")),
            event_time_ms: TIME + offset,
            platform: Some("example".to_owned()),
            lang: Some("en".to_owned()),
            author_id: Some(format!("author-{}", offset % 7)),
            extra: Map::new(),
            scores: Some(
                (0_i64..).take(labels).map(|label| ((offset * 31 + label * 7) % 100) as f32 / 100.0).collect(),
            ),
            labels: (0..labels).map(|label| format!("label-{label}")).collect(),
            thresholds: vec![0.5; labels],
            model_id: "model-1".to_owned(),
            model_hash: "78df8f1e".repeat(8),
            offset: Some(offset),
        }
    }

    /// The same, skipped.
    pub(super) fn skipped(offset: i64, labels: usize) -> Self {
        Self { scores: None, ..Self::labelled(offset, labels) }
    }

    /// The labels that its record says are given.
    pub(super) fn given(&self) -> Option<Vec<&str>> {
        let scores = self.scores.as_ref()?;
        Some(Scores { labels: &self.labels, scores }.given(&self.thresholds))
    }

    /// The record's value, as the labeller writes it.
    pub(super) fn json(&self) -> Vec<u8> {
        let labelled = self.scores.is_some();
        let source = match self.offset {
            Some(offset) => Source::Record { topic: "posts", partition: 3, offset, timestamp: TIME + 1000 },
            None => Source::Line(FileLine { file: "posts.jsonl", line: 17 }),
        };
        let record = LabelledPost {
            v: FORMAT_VERSION,
            status: if labelled { Status::Labelled } else { Status::Skipped },
            skip_reason: (!labelled).then_some(SkipReason::Language),
            id: &self.id,
            text: self.text.as_deref(),
            text_hash: self.text_hash.clone(),
            created_at: self.created_at.as_ref(),
            event_time: EventTime(self.event_time_ms),
            time_source: TimeSource::CreatedAt,
            platform: self.platform.as_deref(),
            lang: self.lang.as_deref(),
            author_id: self.author_id.clone(),
            extra: &self.extra,
            scores: self.scores.as_ref().map(|scores| Scores { labels: &self.labels, scores }),
            labels: self.given(),
            token_count: labelled.then_some(12),
            truncated: labelled,
            model: ModelRef { id: &self.model_id, hash: &self.model_hash, thresholds: &self.thresholds },
            source,
            labelled_at: EventTime(TIME + 2000),
        };
        serde_json::to_vec(&record).expect("JSON")
    }
}
