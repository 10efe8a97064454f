//! A claim: the promise that exactly this range of a partition becomes exactly these files.
//!
//! Claims of a partition form one chain without gaps from offset 0, each put only where none was; the end of the
//! last one is the archive's position. They are never changed or deleted.

use serde::{Deserialize, Serialize};

use crate::config::Exposure;

/// Version of the rules by which a record becomes a row; another one would make other rows of the same records.
pub(crate) const RULES_VERSION: u32 = 1;

/// Everything beside the record itself that shapes its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowRules {
    /// [`RULES_VERSION`].
    pub(crate) version: u32,
    /// What of the text is kept.
    pub(crate) text: Exposure,
    /// Tells one key of the keyed hash from another, without telling the key; empty where nothing is hashed.
    pub(crate) key_id: String,
}

/// A file that a claim promises.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// Its path below the archive's URL.
    pub(crate) path: String,
    /// Rows, or rejected records.
    pub(crate) rows: u64,
    /// Content hash of the model; empty for rejects.
    pub(crate) model: String,
}

/// Offsets of a claim without rows, because their records could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hole {
    /// The topic no longer held them when the archive began.
    BeforeArchive,
    /// The topic's retention removed them before they were archived.
    Expired,
}

/// A claimed range of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// First offset.
    pub(crate) start: i64,
    /// The offset after the last; transaction markers count.
    pub(crate) end: i64,
    /// Every file that the range becomes.
    pub(crate) files: Vec<Promise>,
    /// Set when the range's records are gone.
    pub(crate) hole: Option<Hole>,
    /// What shaped the rows.
    pub(crate) rules: RowRules,
    /// How far event time has come, over the whole chain: the latest event time that lies not after its
    /// record's own timestamp, in milliseconds since 1970.
    pub(crate) watermark: Option<i64>,
    /// The instance that claimed it.
    pub(crate) by: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}
