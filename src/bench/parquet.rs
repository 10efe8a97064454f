//! The archive's computing alone: records become a Parquet file, without broker and store.

use anyhow::{Context, Result};

use crate::archive::footer::Footer;
use crate::archive::hour::Hour;
use crate::archive::post::ArchivedPost;
use crate::archive::rows::{RowPolicy, Rows};
use crate::config::Exposure;

/// Reads every record, as the archive does.
///
/// # Errors
/// When one is no output record.
pub fn parse<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Result<i64> {
    let parsed = records.into_iter().map(|record| ArchivedPost::parse(record).map(|post| post.event_time_ms));
    // Something has to come of it, or nothing is done.
    parsed.sum::<Result<i64, _>>().context("a record cannot be read")
}

/// The file of these records' rows, which must be of one model.
///
/// # Errors
/// When one is no output record of that model.
pub fn parquet<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
    let mut rows = Rows::new(RowPolicy { text: Exposure::Keep, key: None });
    let mut hour = Hour::of(0);
    for (offset, record) in (0..).zip(records) {
        let post = ArchivedPost::parse(record)?;
        hour = Hour::of(post.event_time_ms);
        rows.push(&post, Some((0, offset)))?;
    }
    Ok(rows.finish(&Footer { hour, segment: None })?)
}
