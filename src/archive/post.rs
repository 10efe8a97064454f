//! An output record as the archive reads it: the format of schemas/labelled-post.schema.json, borrowed from its bytes.
//!
//! The archive spends its time here, so nothing is copied that is not escaped, and scores stay a list in the record's
//! order. Numbers and objects of the post's own (`created_at`, `extra`) stay as they are written.

use std::borrow::Cow;

use super::json::{Fault, Json, Read};
use crate::labelled::FORMAT_VERSION;
use crate::post::EventTime;

/// Largest record: above what any broker takes, and below what the columns of a row group can address.
const MAX_BYTES: usize = 1 << 30;

/// Why a record cannot become a row. Never holds any of the post's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unreadable {
    /// A fixed word for the kind of fault.
    pub(crate) class: &'static str,
    /// What was found and what would be right.
    pub(crate) message: String,
}

/// One record of the output topic, or one line of the output of `label`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ArchivedPost<'a> {
    pub(crate) status: Cow<'a, str>,
    pub(crate) skip_reason: Option<Cow<'a, str>>,
    pub(crate) id: Cow<'a, str>,
    pub(crate) text: Option<Cow<'a, str>>,
    pub(crate) text_hash: Option<Cow<'a, str>>,
    /// A string's content, or a number as it is written.
    pub(crate) created_at: Option<Cow<'a, str>>,
    /// Milliseconds since 1970, UTC.
    pub(crate) event_time_ms: i64,
    pub(crate) time_source: Cow<'a, str>,
    pub(crate) platform: Option<Cow<'a, str>>,
    pub(crate) lang: Option<Cow<'a, str>>,
    pub(crate) author_id: Option<Cow<'a, str>>,
    /// The JSON object as it is written; none when it is empty.
    pub(crate) extra: Option<&'a str>,
    /// In the record's order; none when skipped.
    pub(crate) scores: Option<Vec<(Cow<'a, str>, f32)>>,
    pub(crate) labels: Option<Vec<Cow<'a, str>>>,
    pub(crate) token_count: Option<i32>,
    pub(crate) truncated: bool,
    pub(crate) model_id: Cow<'a, str>,
    pub(crate) model_hash: Cow<'a, str>,
    pub(crate) thresholds: Vec<f32>,
    pub(crate) source: ArchivedSource<'a>,
    /// Milliseconds since 1970, UTC.
    pub(crate) labelled_at_ms: i64,
}

/// Where the post came from: a record of an input topic, or a line of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ArchivedSource<'a> {
    pub(crate) topic: Option<Cow<'a, str>>,
    pub(crate) partition: Option<i32>,
    pub(crate) offset: Option<i64>,
    /// The record's timestamp, milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
    pub(crate) file: Option<Cow<'a, str>>,
    pub(crate) line: Option<i64>,
}

/// What has to be there; the others are null where they are not.
#[derive(Clone, Copy)]
enum Required {
    Version,
    Status,
    Id,
    EventTime,
    TimeSource,
    Truncated,
    Model,
    LabelledAt,
}

impl Required {
    /// Every key, in the order of the variants.
    const KEYS: [&str; 8] = ["v", "status", "id", "event_time", "time_source", "truncated", "model", "labelled_at"];
}

impl<'a> ArchivedPost<'a> {
    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is not such a record; nothing else is ever wrong with what the labeller wrote.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, Unreadable> {
        if value.len() > MAX_BYTES {
            let message = format!("it has {} bytes, where {MAX_BYTES} are the most", value.len());
            return Err(Unreadable { class: "too_large", message });
        }
        let mut json = Json::new(value)?;
        let (mut post, mut version) = (Self::default(), 0);
        let mut found = [false; Required::KEYS.len()];
        json.object(|json, key| {
            if let Some(required) = post.field(json, key, &mut version)? {
                found[required as usize] = true;
            }
            Ok(())
        })?;
        json.end()?;
        if let Some((key, _)) = Required::KEYS.iter().zip(found).find(|(_, found)| !found) {
            return Err(Unreadable { class: "not_a_record", message: format!("it has no \"{key}\"") });
        }
        if version != u64::from(FORMAT_VERSION) {
            let message = format!("it is of format {version}, where {FORMAT_VERSION} is known");
            return Err(Unreadable { class: "other_version", message });
        }
        Ok(post)
    }

    /// Reads the value of a key, and says whether it is one that has to be there.
    fn field(&mut self, json: &mut Json<'a>, key: &str, version: &mut u64) -> Read<Option<Required>> {
        match key {
            "skip_reason" => self.skip_reason = json.optional(Json::string)?,
            "text" => self.text = json.optional(Json::string)?,
            "text_hash" => self.text_hash = json.optional(Json::string)?,
            "created_at" => self.created_at = json.optional(string_or_number)?,
            "platform" => self.platform = json.optional(Json::string)?,
            "lang" => self.lang = json.optional(Json::string)?,
            "author_id" => self.author_id = json.optional(Json::string)?,
            "extra" => self.extra = json.optional(Json::raw_object)?.flatten(),
            "scores" => self.scores = json.optional(scores)?,
            "labels" => self.labels = json.optional(strings)?,
            "token_count" => self.token_count = json.optional(|json| json.number("a count of tokens"))?,
            "source" => json.object(|json, key| self.source.field(json, key))?,
            _ => return self.required(json, key, version),
        }
        Ok(None)
    }

    fn required(&mut self, json: &mut Json<'a>, key: &str, version: &mut u64) -> Read<Option<Required>> {
        let required = match key {
            "v" => {
                *version = json.number("a format's number")?;
                Required::Version
            }
            "status" => {
                self.status = json.string()?;
                Required::Status
            }
            "id" => {
                self.id = json.string()?;
                Required::Id
            }
            "event_time" => {
                self.event_time_ms = time(json)?;
                Required::EventTime
            }
            "time_source" => {
                self.time_source = json.string()?;
                Required::TimeSource
            }
            "truncated" => {
                self.truncated = json.boolean()?;
                Required::Truncated
            }
            "model" => {
                json.object(|json, key| self.model(json, key))?;
                Required::Model
            }
            "labelled_at" => {
                self.labelled_at_ms = time(json)?;
                Required::LabelledAt
            }
            // A key that a later program adds to the same format.
            _ => {
                json.raw()?;
                return Ok(None);
            }
        };
        Ok(Some(required))
    }

    fn model(&mut self, json: &mut Json<'a>, key: &str) -> Read<()> {
        match key {
            "id" => self.model_id = json.string()?,
            "hash" => self.model_hash = json.string()?,
            "thresholds" => {
                self.thresholds.clear();
                json.array(|json| {
                    self.thresholds.push(share(json)?);
                    Ok(())
                })?;
            }
            _ => drop(json.raw()?),
        }
        Ok(())
    }
}

impl<'a> ArchivedSource<'a> {
    fn field(&mut self, json: &mut Json<'a>, key: &str) -> Read<()> {
        match key {
            "topic" => self.topic = json.optional(Json::string)?,
            "partition" => self.partition = json.optional(|json| json.number("a partition"))?,
            "offset" => self.offset = json.optional(|json| json.number("an offset"))?,
            "timestamp" => self.timestamp = json.optional(|json| json.number("a timestamp"))?,
            "file" => self.file = json.optional(Json::string)?,
            "line" => self.line = json.optional(|json| json.number("a line's number"))?,
            _ => drop(json.raw()?),
        }
        Ok(())
    }
}

fn string_or_number<'a>(json: &mut Json<'a>) -> Read<Cow<'a, str>> {
    if json.is_string() { json.string() } else { json.digits("a string or a number").map(Cow::Borrowed) }
}

fn time(json: &mut Json<'_>) -> Read<i64> {
    let text = json.string()?;
    EventTime::parse(&text).map_or_else(|| json.wrong("a time as RFC 3339 writes it"), |time| Ok(time.0))
}

fn scores<'a>(json: &mut Json<'a>) -> Read<Vec<(Cow<'a, str>, f32)>> {
    let mut scores = Vec::with_capacity(16);
    json.entries(|json, label| {
        scores.push((label, share(json)?));
        Ok(())
    })?;
    Ok(scores)
}

fn strings<'a>(json: &mut Json<'a>) -> Read<Vec<Cow<'a, str>>> {
    let mut strings = Vec::new();
    json.array(|json| {
        strings.push(json.string()?);
        Ok(())
    })?;
    Ok(strings)
}

/// A score or a threshold.
fn share(json: &mut Json<'_>) -> Read<f32> {
    let share: f32 = json.number("a number")?;
    if share.is_finite() { Ok(share) } else { json.wrong("a number in range") }
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        let class = if fault.json { "not_a_record" } else { "not_json" };
        Self { class, message: format!("expected {} at byte {}", fault.expected, fault.at) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::archive::samples::{Sample, TIME};

    fn parse(json: &[u8]) -> ArchivedPost<'_> {
        ArchivedPost::parse(json).expect("a record")
    }

    #[test]
    fn a_labelled_record_is_read_whole() {
        let mut sample = Sample::labelled(42, 11);
        sample.text = Some("zwei \"Züge\"\n😀\u{0}".to_owned());
        sample.extra.insert("likes".to_owned(), json!({"n": [1, 2.50, "}"]}));
        let json = sample.json();
        let post = parse(&json);
        let labels = sample.labels.iter().map(|label| Cow::Borrowed(label.as_str()));
        let expected = ArchivedPost {
            status: "labelled".into(),
            skip_reason: None,
            id: "id-42".into(),
            text: sample.text.as_deref().map(Cow::Borrowed),
            text_hash: None,
            created_at: Some("2025-10-09T08:53:20Z".into()),
            event_time_ms: TIME + 42,
            time_source: "created_at".into(),
            platform: Some("example".into()),
            lang: Some("en".into()),
            author_id: Some("author-0".into()),
            extra: Some(r#"{"likes":{"n":[1,2.5,"}"]}}"#),
            scores: Some(labels.zip(sample.scores.clone().expect("scores")).collect()),
            labels: Some(sample.given().expect("labels").into_iter().map(Cow::Borrowed).collect()),
            token_count: Some(12),
            truncated: true,
            model_id: "model-1".into(),
            model_hash: sample.model_hash.as_str().into(),
            thresholds: vec![0.5; 11],
            source: ArchivedSource {
                topic: Some("posts".into()),
                partition: Some(3),
                offset: Some(42),
                timestamp: Some(TIME + 1000),
                file: None,
                line: None,
            },
            labelled_at_ms: TIME + 2000,
        };
        assert_eq!(post, expected);
        assert!(matches!(post.platform, Some(Cow::Borrowed(_))), "what holds no escapes is not copied");
    }

    #[test]
    fn a_skipped_line_of_a_file_is_read_whole() {
        let sample = Sample { offset: None, text: None, text_hash: Some("ab".into()), ..Sample::skipped(1, 2) };
        let json = sample.json();
        let post = parse(&json);
        assert_eq!((&*post.status, post.skip_reason.as_deref()), ("skipped", Some("language")));
        assert_eq!((&post.scores, &post.labels, post.token_count, post.extra), (&None, &None, None, None));
        assert_eq!((post.text, post.text_hash.as_deref()), (None, Some("ab")));
        let source = ArchivedSource { file: Some("posts.jsonl".into()), line: Some(17), ..ArchivedSource::default() };
        assert_eq!(post.source, source);
    }

    #[test]
    fn times_of_writing_stay_as_they_were_given() {
        for (given, kept) in [
            (json!("10/9/2025"), Some("10/9/2025")),
            (json!(1_760_000_000), Some("1760000000")),
            (json!(1_755_000_000.125), Some("1755000000.125")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (Value::Null, None),
        ] {
            let json = Sample { created_at: Some(given), ..Sample::labelled(1, 1) }.json();
            assert_eq!(parse(&json).created_at.as_deref(), kept);
        }
        let json = String::from_utf8(Sample::labelled(1, 1).json()).expect("UTF-8");
        let json = json.replace("\"2025-10-09T08:53:20Z\"", "1.7550000000001250000e9");
        assert_eq!(parse(json.as_bytes()).created_at.as_deref(), Some("1.7550000000001250000e9"));
    }

    #[test]
    fn what_is_no_record_is_told_by_its_class_and_never_by_its_text() {
        let right: Value = serde_json::from_slice(&Sample::labelled(1, 2).json()).expect("JSON");
        let with = |pointer: &str, value: Value| {
            let mut wrong = right.clone();
            *wrong.pointer_mut(pointer).expect(pointer) = value;
            wrong.to_string()
        };
        let without = |key: &str| {
            let mut wrong = right.clone();
            wrong.as_object_mut().expect("an object").remove(key).expect(key);
            wrong.to_string()
        };
        let cases = [
            (String::new(), "not_json", "expected an object at byte 0"),
            ("secret".to_owned(), "not_json", "expected an object at byte 0"),
            ("[\"secret\"]".to_owned(), "not_a_record", "expected an object at byte 0"),
            (format!("{right}secret"), "not_json", "expected the end at byte"),
            (right.to_string()[..200].to_owned(), "not_json", "at byte 200"),
            (with("/v", json!(2)), "other_version", "format 2"),
            (with("/id", json!(["secret"])), "not_a_record", "expected a string"),
            (with("/event_time", json!("secret")), "not_a_record", "expected a time as RFC 3339 writes it"),
            (with("/event_time", json!("1755000000000000")), "not_a_record", "expected a time"),
            (with("/scores/label-0", json!("secret")), "not_a_record", "expected a number"),
            (with("/scores/label-0", json!(1e300)), "not_a_record", "expected a number in range"),
            (with("/token_count", json!(1.5)), "not_a_record", "expected a count of tokens"),
            (with("/extra", json!(["secret"])), "not_a_record", "expected an object"),
            (with("/source/offset", json!("secret")), "not_a_record", "expected an offset"),
            (with("/created_at", json!({"secret": 1})), "not_a_record", "expected a string or a number"),
            (with("/truncated", json!("secret")), "not_a_record", "expected true or false"),
        ];
        let missing = Required::KEYS.map(|key| (without(key), "not_a_record", "it has no \""));
        for (json, class, part) in cases.into_iter().chain(missing) {
            let error = ArchivedPost::parse(json.as_bytes()).expect_err(&json);
            assert_eq!(error.class, class, "{json}: {error}");
            assert!(error.message.contains(part) && !error.message.contains("secret"), "{json}: {error}");
        }
    }

    #[test]
    fn keys_of_later_programs_are_passed_over_and_absent_values_are_null() {
        let mut json: Value = serde_json::from_slice(&Sample::labelled(1, 2).json()).expect("JSON");
        let before = parse(json.to_string().as_bytes()).scores.map(|scores| scores.len());
        json["more"] = json!({"text": [1, {"id": 2}]});
        json["model"]["more"] = json!("x");
        json["source"]["more"] = json!([]);
        json.as_object_mut().expect("an object").remove("lang");
        let json = json.to_string();
        let post = parse(json.as_bytes());
        assert_eq!((post.scores.map(|scores| scores.len()), &*post.id, post.lang), (before, "id-1", None));
    }

    proptest! {
        #[test]
        fn scores_and_strings_survive_to_the_bit(
            scores in prop::collection::vec(any::<f32>().prop_filter("a score", |score| score.is_finite()), 1..30),
            text in any::<String>(),
            id in any::<String>(),
        ) {
            let sample = Sample {
                scores: Some(scores.clone()),
                text: Some(text.clone()),
                id: id.clone(),
                ..Sample::labelled(1, scores.len())
            };
            let json = sample.json();
            let post = parse(&json);
            let read: Vec<u32> = post.scores.expect("scores").iter().map(|(_, score)| score.to_bits()).collect();
            prop_assert_eq!(read, scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>());
            prop_assert_eq!((post.text.as_deref(), &*post.id), (Some(text.as_str()), id.as_str()));
        }
    }
}
