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

mod buffer;
pub(crate) mod claim;
pub(crate) mod columns;
mod encode;
pub(crate) mod footer;
pub(crate) mod hour;
mod json;
pub(crate) mod layout;
mod open;
pub(crate) mod post;
pub(crate) mod rows;
#[cfg(test)]
mod samples;
pub(crate) mod store;
