//! Writes output records: the one place where a post and what the model said of it become JSON.

use jiff::Timestamp;

use super::{Disclosure, FORMAT_VERSION, LabelledPost, ModelRef, Scores, SkipReason, Source, Status};
use crate::config::Privacy;
use crate::inference::{ModelInfo, Scored};
use crate::post::{EventTime, Post, TimeSource};

/// The post of an output record and what the model said of it.
pub(crate) enum Content<'a> {
    /// With scores.
    Labelled(&'a Post, &'a Scored),
    /// Without, for this reason.
    Skipped(&'a Post, SkipReason),
}

/// Writes records as the configuration wants them.
pub(crate) struct RecordWriter {
    disclosure: Disclosure,
    now: EventTime,
}

impl RecordWriter {
    /// `key` is the secret of the keyed hash, where the configuration asks for one.
    pub(crate) fn new(privacy: &Privacy, key: Option<&[u8]>) -> Self {
        Self { disclosure: Disclosure::new(privacy.text, privacy.author, key), now: EventTime(0) }
    }

    /// A new batch: its records are labelled at this moment.
    pub(crate) fn begin(&mut self) {
        self.now = EventTime(Timestamp::now().as_millisecond());
    }

    /// The moment at which the batch is labelled.
    pub(crate) fn now(&self) -> EventTime {
        self.now
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When it cannot be JSON; `into` may hold a part of it then.
    pub(crate) fn write(
        &self,
        into: &mut Vec<u8>,
        source: Source<'_>,
        content: &Content<'_>,
        model: &ModelInfo,
    ) -> serde_json::Result<()> {
        let (post, labelled, skip_reason) = match content {
            Content::Labelled(post, scored) => (post, Some(scored), None),
            Content::Skipped(post, reason) => (post, None, Some(*reason)),
        };
        let scores = labelled.map(|scored| Scores { labels: &model.labels, scores: &scored.scores });
        let (text, text_hash) = self.disclosure.text(&post.text);
        let (event_time, time_source) = self.event_time(post, source);
        let place;
        let id = if let Some(id) = &post.id {
            id.as_str()
        } else {
            place = source.to_string();
            &place
        };
        let record = LabelledPost {
            v: FORMAT_VERSION,
            status: if labelled.is_some() { Status::Labelled } else { Status::Skipped },
            skip_reason,
            id,
            text,
            text_hash,
            created_at: post.created_at.as_ref(),
            event_time,
            time_source,
            platform: post.platform.as_deref(),
            lang: post.lang.as_deref(),
            author_id: self.disclosure.author(post.author.as_deref()),
            extra: &post.extra,
            labels: scores.as_ref().map(|scores| scores.given(&model.thresholds)),
            scores,
            token_count: labelled.map(|scored| scored.token_count),
            truncated: labelled.is_some_and(|scored| scored.truncated),
            model: ModelRef::from(model),
            source,
            labelled_at: self.now,
        };
        serde_json::to_writer(into, &record)
    }

    /// A line of a file has no time of its own: without a credible time of writing, now is when it happened.
    fn event_time(&self, post: &Post, source: Source<'_>) -> (EventTime, TimeSource) {
        let created_at = post.created_at.as_ref();
        match source {
            Source::Record { timestamp, .. } => EventTime::decide(created_at, timestamp),
            Source::Line(_) => match EventTime::of_writing(created_at, self.now.0) {
                Some(time) => (time, TimeSource::CreatedAt),
                None => (self.now, TimeSource::LabelledAt),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::config::Exposure;
    use crate::labelled::FileLine;

    const KEEP: Privacy = Privacy { text: Exposure::Keep, author: Exposure::Keep, key_file: std::path::PathBuf::new() };

    fn written(source: Source<'_>, created_at: Option<Value>) -> Value {
        let mut writer = RecordWriter::new(&KEEP, None);
        writer.begin();
        let post = Post {
            id: None,
            text: "t".into(),
            created_at,
            lang: None,
            author: None,
            platform: None,
            extra: Map::new(),
        };
        let model = ModelInfo {
            id: "m".into(),
            hash: "h".into(),
            labels: Vec::new(),
            thresholds: Vec::new(),
            languages: Vec::new(),
        };
        let mut json = Vec::new();
        let content = Content::Skipped(&post, SkipReason::Language);
        writer.write(&mut json, source, &content, &model).expect("JSON");
        serde_json::from_slice(&json).expect("JSON")
    }

    #[test]
    fn a_post_without_id_or_time_takes_those_of_its_record() {
        let record = Source::Record { topic: "posts", partition: 3, offset: 42, timestamp: 1_760_000_000_000 };
        let json = written(record, None);
        assert_eq!(json["id"], "posts/3/42");
        assert_eq!((&json["event_time"], &json["time_source"]), (&json!("2025-10-09T08:53:20.000Z"), &json!("record")));
        assert_eq!(
            json["source"],
            json!({"topic": "posts", "partition": 3, "offset": 42, "timestamp": 1_760_000_000_000_u64})
        );
    }

    #[test]
    fn a_post_without_id_or_time_takes_its_file_and_line_and_the_moment_of_labelling() {
        let line = Source::Line(FileLine { file: "a/posts.jsonl", line: 17 });
        let json = written(line, None);
        assert_eq!(json["id"], "a/posts.jsonl:17");
        assert_eq!(json["source"], json!({"file": "a/posts.jsonl", "line": 17}));
        assert_eq!((&json["event_time"], &json["time_source"]), (&json["labelled_at"], &json!("labelled_at")));
        let json = written(line, Some(json!("2025-03-14T05:40:28Z")));
        assert_eq!(
            (&json["event_time"], &json["time_source"]),
            (&json!("2025-03-14T05:40:28.000Z"), &json!("created_at"))
        );
    }
}
