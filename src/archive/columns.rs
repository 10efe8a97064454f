//! The columns of an archived row: one list, from which come the schema of the files, its description in
//! schemas/archive.schema.json, and the names that no label may take.
//!
//! Between the fixed columns stands one for each label of the model, under the label's own name, so that a query reads
//! `avg(joy)`. That is why labels whose columns would not differ are refused before a model is used.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, TimeUnit};
use serde_json::{Value, json};

use super::footer;

/// Where readers find the hour: they make columns of the folders' names.
const FOLDERS: [&str; 2] = ["date", "hour"];

/// What a fixed column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    PostId,
    EventTime,
    TimeSource,
    CreatedAt,
    Platform,
    Lang,
    AuthorId,
    Text,
    TextHash,
    Status,
    SkipReason,
    Labels,
    TokenCount,
    Truncated,
    ModelId,
    ModelHash,
    SourceTopic,
    SourcePartition,
    SourceOffset,
    SourceTimestamp,
    SourceFile,
    SourceLine,
    OutputPartition,
    OutputOffset,
    LabelledAt,
    Extra,
}

/// The kind of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Strings that differ from row to row.
    Text,
    /// Strings of which the rows share a few: as a dictionary.
    Word,
    /// List of strings.
    Words,
    /// Milliseconds since 1970, UTC.
    Time,
    /// Times that a batch of rows shares: as a dictionary.
    SharedTime,
    Int32,
    Int64,
    Boolean,
    Float32,
}

/// A fixed column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    meaning: &'static str,
}

const fn column(field: Field, name: &'static str, kind: Kind, nullable: bool, meaning: &'static str) -> Column {
    Column { field, name, kind, nullable, meaning }
}

/// The columns before those of the labels.
pub(super) const BEFORE: [Column; 11] = [
    column(Field::PostId, "post_id", Kind::Text, false, "The post's id, or topic/partition/offset, or file:line."),
    column(Field::EventTime, "event_time", Kind::Time, false, "When the post happened, UTC; rows are sorted by it."),
    column(
        Field::TimeSource,
        "time_source",
        Kind::Word,
        false,
        "Where event_time comes from: created_at, record, labelled_at.",
    ),
    column(
        Field::CreatedAt,
        "created_at",
        Kind::Text,
        true,
        "The time of writing as given: a string's content or a number's text.",
    ),
    column(Field::Platform, "platform", Kind::Word, true, "The platform, as given."),
    column(Field::Lang, "lang", Kind::Word, true, "Primary language subtag; null when unknown."),
    column(
        Field::AuthorId,
        "author_id",
        Kind::Text,
        true,
        "The author's id or its keyed hash, as privacy.author says.",
    ),
    column(Field::Text, "text", Kind::Text, true, "The text; null unless privacy.text and archive.text keep it."),
    column(
        Field::TextHash,
        "text_hash",
        Kind::Text,
        true,
        "HMAC-SHA256 of the text, 64 hex digits, where one of them is \"hash\".",
    ),
    column(Field::Status, "status", Kind::Word, false, "labelled or skipped."),
    column(Field::SkipReason, "skip_reason", Kind::Word, true, "Why it was not labelled; null when it was."),
];

/// The columns behind those of the labels.
pub(super) const AFTER: [Column; 15] = [
    column(
        Field::Labels,
        "labels",
        Kind::Words,
        true,
        "The labels given: score at or above its threshold; null when skipped.",
    ),
    column(Field::TokenCount, "token_count", Kind::Int32, true, "Tokens that the model saw; null when skipped."),
    column(
        Field::Truncated,
        "truncated",
        Kind::Boolean,
        false,
        "Whether the model saw only the beginning of the text.",
    ),
    column(Field::ModelId, "model_id", Kind::Word, false, "The model's id."),
    column(Field::ModelHash, "model_hash", Kind::Word, false, "The model's content hash, 64 hex digits; one per file."),
    column(
        Field::SourceTopic,
        "source_topic",
        Kind::Word,
        true,
        "Topic of the input record; null for a line of a file.",
    ),
    column(Field::SourcePartition, "source_partition", Kind::Int32, true, "Its partition."),
    column(Field::SourceOffset, "source_offset", Kind::Int64, true, "Its offset."),
    column(Field::SourceTimestamp, "source_timestamp", Kind::Time, true, "Its timestamp."),
    column(Field::SourceFile, "source_file", Kind::Word, true, "The input file; null for a record of a topic."),
    column(Field::SourceLine, "source_line", Kind::Int64, true, "Its line, counted from 1."),
    column(
        Field::OutputPartition,
        "output_partition",
        Kind::Int32,
        true,
        "Partition of the output record; null without a broker.",
    ),
    column(
        Field::OutputOffset,
        "output_offset",
        Kind::Int64,
        true,
        "Its offset: with the partition, the row's identity.",
    ),
    column(Field::LabelledAt, "labelled_at", Kind::SharedTime, false, "When it was labelled, UTC."),
    column(
        Field::Extra,
        "extra",
        Kind::Text,
        true,
        "The values of input.extra as a JSON object; null when there are none.",
    ),
];

/// The fixed columns, in order.
pub(super) fn fixed() -> impl Iterator<Item = &'static Column> {
    BEFORE.iter().chain(&AFTER)
}

impl Kind {
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::Word => DataType::Utf8,
            Self::Words => DataType::List(Arc::new(ArrowField::new("element", DataType::Utf8, false))),
            Self::Time | Self::SharedTime => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Float32 => DataType::Float32,
        }
    }

    /// As Arrow and as Parquet call it.
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Text | Self::Word => ["utf8", "BYTE_ARRAY (STRING)"],
            Self::Words => ["list<utf8>", "LIST of BYTE_ARRAY (STRING)"],
            Self::Time | Self::SharedTime => ["timestamp[ms, UTC]", "INT64 (TIMESTAMP(MILLIS, UTC))"],
            Self::Int32 => ["int32", "INT32"],
            Self::Int64 => ["int64", "INT64"],
            Self::Boolean => ["bool", "BOOLEAN"],
            Self::Float32 => ["float32", "FLOAT"],
        }
    }
}

/// The name of a label's column: in lower case, what is no letter, digit or `_` of ASCII as `_`.
pub(crate) fn name_of(label: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    label.chars().map(letter).collect()
}

/// The schema of a file: the emotions stand where the labels are known.
pub(crate) fn schema<'a>(labels: impl IntoIterator<Item = &'a str>) -> Schema {
    let arrow = |column: &Column| ArrowField::new(column.name, column.kind.data_type(), column.nullable);
    let scores = labels.into_iter().map(|label| ArrowField::new(name_of(label), DataType::Float32, true));
    let fields: Vec<ArrowField> = BEFORE.iter().map(arrow).chain(scores).chain(AFTER.iter().map(arrow)).collect();
    Schema::new(fields)
}

/// A label that cannot have a column of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clash {
    label: String,
    column: String,
    /// The other label; none when the column is the archive's own.
    other: Option<String>,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, column, other } = self;
        match other {
            Some(other) => write!(f, "\"{other}\" and \"{label}\", both of which would be the column {column}"),
            None => write!(f, "\"{label}\", which would be the column {column} that every row has"),
        }
    }
}

/// The first label whose column would have the name of another one.
pub(crate) fn clash<'a>(labels: impl IntoIterator<Item = &'a str>) -> Option<Clash> {
    let own = fixed().map(|column| column.name).chain(FOLDERS).map(|name| (name.to_owned(), None));
    let mut taken: HashMap<String, Option<&str>> = own.collect();
    for label in labels {
        let column = name_of(label);
        if let Some(other) = taken.get(&column) {
            return Some(Clash { label: label.to_owned(), column, other: other.map(str::to_owned) });
        }
        taken.insert(column, Some(label));
    }
    None
}

/// What the files of an archive hold, for programs that read them.
#[must_use]
pub(crate) fn description() -> Value {
    let described = |name: &str, kind: Kind, nullable: bool, meaning: &str| {
        let [arrow, parquet] = kind.names();
        json!({"name": name, "arrow": arrow, "parquet": parquet, "nullable": nullable, "meaning": meaning})
    };
    let fixed = |column: &Column| described(column.name, column.kind, column.nullable, column.meaning);
    let score = described(
        "<label>",
        Kind::Float32,
        true,
        "One column for each label of the model, in its order, under its name in lower case with _ for what is no \
         letter or digit: the label's probability, 0 to 1; null when skipped. A file of skipped posts alone has none.",
    );
    let columns: Vec<Value> = BEFORE.iter().map(fixed).chain([score]).chain(AFTER.iter().map(fixed)).collect();
    let metadata: Vec<Value> =
        footer::KEYS.iter().map(|(key, meaning)| json!({"key": key, "meaning": meaning})).collect();
    json!({
        "title": "moodstream archive",
        "format": footer::FORMAT,
        "files": "posts/date=YYYY-MM-DD/hour=HH/*.parquet, by event_time in UTC",
        "sorted_by": ["event_time", "output_offset"],
        "columns": columns,
        "metadata": metadata,
    })
}

/// [`description`], as the committed file holds it.
#[must_use]
pub(crate) fn description_text() -> String {
    format!("{:#}\n", description())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;
    use crate::inference::REFERENCE_LABELS;

    #[test]
    fn committed_description_is_the_generated_one() {
        assert_committed("schemas/archive.schema.json", &description_text());
    }

    #[test]
    fn labels_are_columns_in_lower_case_between_the_fixed_ones() {
        let schema = schema(["Joy", "self-doubt", "Ärger 2"]);
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let scores = BEFORE.len()..BEFORE.len() + 3;
        assert_eq!(names[scores.clone()], ["joy", "self_doubt", "_rger_2"]);
        assert!(schema.fields()[scores].iter().all(|field| field.is_nullable()));
        assert_eq!((names[0], names[1], names[names.len() - 1]), ("post_id", "event_time", "extra"));
    }

    #[test]
    fn every_label_needs_a_column_of_its_own() {
        let told = |labels: &[&str]| clash(labels.iter().copied()).map(|clash| clash.to_string());
        assert_eq!(told(&REFERENCE_LABELS), None);
        assert_eq!(
            told(&["joy", "Text"]).as_deref(),
            Some("\"Text\", which would be the column text that every row has")
        );
        let both = "\"self-doubt\" and \"Self doubt\", both of which would be the column self_doubt";
        assert_eq!(told(&["self-doubt", "joy", "Self doubt"]).as_deref(), Some(both));
        for name in fixed().map(|column| column.name).chain(FOLDERS) {
            assert!(told(&[name]).is_some(), "{name}");
        }
    }

    #[test]
    fn no_two_fixed_columns_have_one_name_or_one_field() {
        let columns: Vec<&Column> = fixed().collect();
        for (position, column) in columns.iter().enumerate() {
            let twice = |other: &&Column| other.name == column.name || other.field == column.field;
            assert!(!columns[position + 1..].iter().any(twice), "{}", column.name);
        }
    }
}
