//! What is told: one event as JSON, and the id by which a receiver knows it again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::evaluate::Occurrence;
use super::rule::{Conditions, Rule};
use crate::archive::hour::Hour;

/// Version of the event: fields are added in one version, never renamed or given another meaning.
const SCHEMA: u32 = 1;

/// A rule that holds in a window of posts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "Alert")]
pub(super) struct Event<'a> {
    schema: u32,
    /// The same whenever this event is delivered: rule, beginning of the window, and a digest of group and model.
    id: String,
    rule: &'a str,
    emotion: &'a str,
    window: Window,
    /// Words that the posts have in common, by the columns of `group_by`; null for posts without one.
    key: &'a BTreeMap<&'static str, Option<String>>,
    model: Model<'a>,
    /// Words by the columns of the rule's `where`.
    #[serde(rename = "where")]
    filters: &'a BTreeMap<String, Vec<Option<String>>>,
    /// What the rule asks for: all of it holds.
    conditions: Conditions,
    figures: Measured,
    /// The archive whose posts were counted, as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<&'a str>,
    /// The topic whose posts were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    /// When it was found.
    found_at: String,
    /// A random name of the alerter that found it.
    by: &'a str,
}

/// Where posts were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// An archive, as it was named.
    Archive(String),
    /// A topic.
    Topic(String),
}

/// The time of the posts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Window {
    start: String,
    /// The instant after the last.
    end: String,
    hours: i64,
    /// Whether every post of it was there; null where nobody knows.
    complete: Option<bool>,
}

/// What has labelled the posts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Model<'a> {
    id: &'a str,
    hash: &'a str,
}

/// What was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Measured {
    /// Labelled posts.
    labelled: u64,
    /// Those that have the emotion.
    count: u64,
    share: f64,
    /// 95 % Wilson interval of the share.
    low: f64,
    high: f64,
    /// Mean score.
    mean: f64,
    /// The median of the same window on days before; only with `z_above`.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<f64>,
    /// The robust z-score of the share; only with `z_above`.
    #[serde(skip_serializing_if = "Option::is_none")]
    z: Option<f64>,
}

/// What an event's files are named by, below its rule: in the order of time.
pub(super) fn stem(occurrence: &Occurrence<'_>) -> String {
    let group = (&occurrence.series.key, &occurrence.series.model_hash);
    let group = serde_json::to_vec(&group).expect("strings by strings become JSON");
    let digest = hex::encode(Sha256::digest(group));
    format!("{}-{}", Hour::of(occurrence.start), &digest[..16])
}

/// What a receiver knows it by.
pub(super) fn id(rule: &str, stem: &str) -> String {
    format!("{rule}/{stem}")
}

/// The event as it is delivered, in one line.
pub(super) fn json(rule: &Rule, occurrence: &Occurrence<'_>, origin: &Origin, by: &str, now: Timestamp) -> Vec<u8> {
    let Occurrence { series, start, end, figures, outlier, complete } = occurrence;
    let instant =
        |millis: i64| Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| at.to_string());
    let (low, high) = figures.interval();
    let (archive, topic) = match origin {
        Origin::Archive(archive) => (Some(archive.as_str()), None),
        Origin::Topic(topic) => (None, Some(topic.as_str())),
    };
    let event = Event {
        schema: SCHEMA,
        id: id(&rule.name, &stem(occurrence)),
        rule: &rule.name,
        emotion: &rule.emotion,
        window: Window { start: instant(*start), end: instant(*end), hours: rule.window_hours, complete: *complete },
        key: &series.key,
        model: Model { id: &series.model_id, hash: &series.model_hash },
        filters: &rule.filters,
        conditions: rule.conditions,
        figures: Measured {
            labelled: figures.labelled,
            count: figures.count,
            share: figures.share(),
            low,
            high,
            mean: figures.mean,
            usual: outlier.map(|outlier| outlier.usual),
            z: outlier.map(|outlier| outlier.z),
        },
        archive,
        topic,
        found_at: instant(now.as_millisecond()),
        by,
    };
    serde_json::to_vec(&event).expect("numbers and strings become JSON")
}

/// The JSON schema of an event, as the committed file holds it.
pub(crate) fn schema_text() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    format!("{:#}\n", settings.into_generator().into_root_schema_for::<Event<'static>>().to_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/alert.schema.json", &schema_text());
    }
}
