//! The archive: hourly Parquet files beside the output topic, in which every output record is in exactly one row (I6).
//!
//! ```text
//! posts.emotions ─► read ─► segment (open rows, by hour and model) ─► claim ─► files ─► offset
//!                              a contiguous range of one partition      │        │
//!                                                        _state/claims/…        posts/date=…/hour=…/*.parquet
//! ```
//!
//! A segment's range is claimed before any of its files is written, and only one writer can win a claim; whoever
//! finds a claim without its files makes them from the topic. So two writers of one partition, a crash at any
//! moment, a lost reply and a writer that wakes up late all lead to the same rows, once.

pub(crate) mod archiver;
mod buffer;
pub(crate) mod claim;
pub(crate) mod columns;
pub(crate) mod compact;
#[cfg(test)]
mod compact_tests;
pub(crate) mod desk;
pub(crate) mod encode;
pub(crate) mod footer;
pub(crate) mod hour;
pub(crate) mod hours;
pub(crate) mod identity;
mod json;
pub(crate) mod layout;
mod open;
pub(crate) mod partition;
pub(crate) mod post;
pub(crate) mod protocol;
#[cfg(test)]
mod protocol_tests;
pub(crate) mod retention;
pub(crate) mod rows;
#[cfg(test)]
mod samples;
pub(crate) mod segment;
mod session;
pub(crate) mod store;
pub(crate) mod verify;

pub(crate) use archiver::{ArchiveError, Running as Archiver, Setup, verify_setup};
pub(crate) use compact::{CompactError, Compactor, Done as Compacted};
pub(crate) use store::{Store, StoreError};
pub(crate) use verify::Report;

/// Holds an archive, its topic and its group against each other; see [`mod@verify`].
///
/// # Errors
/// When one of them cannot be asked.
pub(crate) fn verify(setup: &Setup, repair: bool, progress: impl FnMut(u64)) -> Result<Report, ArchiveError> {
    let desk = archiver::open(setup)?;
    verify::verify(&desk, repair, progress).map_err(|stuck| ArchiveError::Refused(stuck.to_string()))
}
