//! What a data file says about itself: keys and values beside the Parquet schema, in its footer.
//!
//! A writer that finds a file where a claim promises one compares this, and need not read a row: a file is whole or it
//! has no footer at all.

use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader};

use super::hour::Hour;

/// Version of the files: columns and keys are added in one version, never renamed or given another meaning.
pub(crate) const FORMAT: u32 = 1;

/// Bytes at the end of a file: length of the metadata and the format's mark.
const TAIL: usize = 8;

const PREFIX: &str = "moodstream.";

/// Every key and what it holds.
pub(super) const KEYS: [(&str, &str); 16] = [
    ("moodstream.format", "Version of the files: 1."),
    ("moodstream.version", "The program that wrote the file."),
    ("moodstream.archive_id", "The archive's identity; absent without a broker, as are the next five."),
    ("moodstream.topic", "The output topic."),
    ("moodstream.topic_id", "Its id, as the broker tells it."),
    ("moodstream.partition", "The partition whose records these are."),
    ("moodstream.start", "First offset of the segment."),
    ("moodstream.end", "The offset after the segment."),
    ("moodstream.hour", "The hour of every event_time: YYYY-MM-DDTHH, UTC."),
    ("moodstream.rows", "Rows of the file."),
    ("moodstream.text", "archive.text: keep, hash or omit."),
    ("moodstream.model_id", "The model's id."),
    ("moodstream.model_hash", "The model's content hash."),
    ("moodstream.labels", "The model's labels in its order, as a JSON array; absent when all rows are skipped."),
    ("moodstream.columns", "The labels' columns in the same order, as a JSON array; absent when all rows are skipped."),
    ("moodstream.thresholds", "The threshold of each label, as a JSON array."),
];

/// Where the rows of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The hour of all rows.
    pub(crate) hour: Hour,
    /// The offsets that the rows are of; none without a broker.
    pub(crate) segment: Option<Segment>,
}

/// A contiguous range of one partition of the output topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Identity of the archive.
    pub(crate) archive_id: String,
    /// Topic.
    pub(crate) topic: String,
    /// Its id: a topic made anew under the same name is another one.
    pub(crate) topic_id: String,
    /// Partition.
    pub(crate) partition: i32,
    /// First offset.
    pub(crate) start: i64,
    /// The offset after the last.
    pub(crate) end: i64,
}

/// What is known of a file's rows beside where they come from.
pub(crate) struct About<'a> {
    pub(crate) rows: usize,
    pub(crate) text: &'static str,
    pub(crate) model_id: &'a str,
    pub(crate) model_hash: &'a str,
    /// Labels and their columns; none when no row is labelled.
    pub(crate) labels: Option<(&'a [String], Vec<String>)>,
    pub(crate) thresholds: &'a [f32],
}

/// What an existing file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    /// Where its rows come from.
    pub(crate) footer: Footer,
    /// How many there are, by the Parquet metadata.
    pub(crate) rows: u64,
    /// Content hash of the model.
    pub(crate) model_hash: String,
}

/// Why bytes cannot be told to be a file of an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFooter {
    /// Read at least as many bytes of the file's end, if it has as many.
    #[error("the last {needed} bytes of the file are needed")]
    Short {
        /// Bytes.
        needed: usize,
    },
    /// Torn, or no Parquet at all.
    #[error("it is no whole Parquet file")]
    Torn(#[source] ParquetError),
    /// Another program's file, or one of a later version.
    #[error("it is no file of this archive: {what}")]
    Foreign {
        /// What is missing, or is not what it should be.
        what: String,
    },
}

impl Footer {
    /// Every key that has a value.
    pub(crate) fn metadata(&self, about: &About<'_>) -> Vec<KeyValue> {
        let About { rows, text, model_id, model_hash, labels, thresholds } = about;
        let list = |values: &[String]| serde_json::Value::from(values).to_string();
        let mut pairs = vec![
            ("format", FORMAT.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("hour", self.hour.to_string()),
            ("rows", rows.to_string()),
            ("text", (*text).to_owned()),
            ("model_id", (*model_id).to_owned()),
            ("model_hash", (*model_hash).to_owned()),
            ("thresholds", format!("[{}]", thresholds.iter().map(f32::to_string).collect::<Vec<_>>().join(","))),
        ];
        if let Some(Segment { archive_id, topic, topic_id, partition, start, end }) = &self.segment {
            pairs.extend([
                ("archive_id", archive_id.clone()),
                ("topic", topic.clone()),
                ("topic_id", topic_id.clone()),
                ("partition", partition.to_string()),
                ("start", start.to_string()),
                ("end", end.to_string()),
            ]);
        }
        if let Some((labels, columns)) = labels {
            pairs.extend([("labels", list(labels)), ("columns", list(columns))]);
        }
        pairs.into_iter().map(|(key, value)| KeyValue::new(format!("{PREFIX}{key}"), value)).collect()
    }

    /// Reads it from a file, or from the end of one.
    ///
    /// # Errors
    /// When there is none, it is another's, or more bytes are needed.
    pub(crate) fn read(bytes: &[u8]) -> Result<Stated, NoFooter> {
        let Some((rest, tail)) = bytes.split_last_chunk::<TAIL>() else {
            return Err(NoFooter::Short { needed: TAIL });
        };
        let length = FooterTail::try_new(tail).map_err(NoFooter::Torn)?.metadata_length();
        let Some(from) = rest.len().checked_sub(length) else {
            return Err(NoFooter::Short { needed: length.saturating_add(TAIL) });
        };
        let metadata = ParquetMetaDataReader::decode_metadata(&rest[from..]).map_err(NoFooter::Torn)?;
        Stated::of(&metadata)
    }
}

impl Stated {
    /// Reads it from a file's metadata.
    ///
    /// # Errors
    /// When the file is another's.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Result<Self, NoFooter> {
        let file = metadata.file_metadata();
        let values = Values::of(metadata);
        let format: u32 = values.parsed("format")?;
        if format != FORMAT {
            return Err(NoFooter::Foreign { what: format!("it is of format {format}, where {FORMAT} is known") });
        }
        let segment = if values.find("archive_id").is_some() {
            Some(Segment {
                archive_id: values.text("archive_id")?,
                topic: values.text("topic")?,
                topic_id: values.text("topic_id")?,
                partition: values.parsed("partition")?,
                start: values.parsed("start")?,
                end: values.parsed("end")?,
            })
        } else {
            None
        };
        let rows = u64::try_from(file.num_rows())
            .map_err(|_| NoFooter::Foreign { what: "it has fewer rows than none".to_owned() })?;
        let footer = Footer { hour: values.parsed("hour")?, segment };
        Ok(Self { footer, rows, model_hash: values.text("model_hash")? })
    }
}

/// The model of a file's rows, and where its labels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labelling {
    /// The model's id.
    pub(crate) model_id: String,
    /// Each label and the column of its scores, in the model's order; none when all rows are skipped.
    pub(crate) labels: Vec<(String, String)>,
}

impl Labelling {
    /// Reads it from a file's metadata.
    ///
    /// # Errors
    /// When the file is another's.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Result<Self, NoFooter> {
        let values = Values::of(metadata);
        let (labels, columns) = (values.list("labels")?, values.list("columns")?);
        if labels.len() != columns.len() {
            return Err(NoFooter::Foreign { what: format!("it has not one of {PREFIX}columns for each label") });
        }
        Ok(Self { model_id: values.text("model_id")?, labels: labels.into_iter().zip(columns).collect() })
    }
}

/// Keys and values as they were read.
struct Values<'a>(&'a [KeyValue]);

impl<'a> Values<'a> {
    fn of(metadata: &'a ParquetMetaData) -> Self {
        Self(metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice))
    }

    /// A JSON array of strings; empty when there is none.
    fn list(&self, key: &str) -> Result<Vec<String>, NoFooter> {
        let Some(text) = self.find(key) else { return Ok(Vec::new()) };
        serde_json::from_str(text).map_err(|_| NoFooter::Foreign { what: format!("its {PREFIX}{key} is {text}") })
    }

    fn find(&self, key: &str) -> Option<&str> {
        let wanted = |pair: &&KeyValue| pair.key.strip_prefix(PREFIX) == Some(key);
        self.0.iter().find(wanted)?.value.as_deref()
    }

    fn text(&self, key: &str) -> Result<String, NoFooter> {
        let missing = || NoFooter::Foreign { what: format!("it has no {PREFIX}{key}") };
        self.find(key).map(str::to_owned).ok_or_else(missing)
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, NoFooter> {
        let text = self.text(key)?;
        text.parse().map_err(|_| NoFooter::Foreign { what: format!("its {PREFIX}{key} is {text}") })
    }
}
