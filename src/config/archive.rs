//! Settings of the archive.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Config, Exposure, Properties, Span};

/// The hourly Parquet archive of the output topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Where the archive is: a folder, or a URL such as `s3://bucket/prefix`.
    pub url: String,
    /// The archivers' consumer group; empty: `<kafka.group>-archive`.
    pub group: String,
    /// What of the text is archived, of what the output topic holds.
    pub text: Exposure,
    /// How long after its end an hour is closed.
    pub grace: Span,
    /// A partition without a new record for this long is archived up to its end, once its hours are over.
    pub idle: Span,
    /// A segment closes at this size of its open rows.
    pub segment_bytes: Bytes,
    /// All open rows of this worker together.
    pub memory: Bytes,
    /// Open files of this worker: one for each partition, hour and model.
    pub open_files: NonZeroUsize,
    /// How long one request to the store may take.
    pub put_deadline: Span,
    /// Hours whose end is longer ago than this are removed; 0: none.
    pub retention: Span,
    /// Options of the object store, by the names of its own (`aws_region`); `<secret>_file` reads a secret from a file.
    pub properties: Properties,
}

impl Config {
    /// The consumer group of the archivers.
    #[must_use]
    pub fn archive_group(&self) -> String {
        if self.archive.group.is_empty() { format!("{}-archive", self.kafka.group) } else { self.archive.group.clone() }
    }
}
