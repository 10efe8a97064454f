//! Where everything of an archive lies below its URL.
//!
//! `posts/` holds nothing but hourly Parquet files, because readers take every file of a folder for data;
//! `_state/` beside it holds the rest: identity, claims, complete hours, rejects, local staging.

use sha2::{Digest, Sha256};

use super::hour::Hour;

/// The data root.
pub(crate) const POSTS: &str = "posts";
/// The archive's identity.
pub(crate) const IDENTITY: &str = "_state/archive.json";
/// Files on their way to their names, on local disks.
pub(crate) const STAGING: &str = "_state/staging";
/// Claims, by topic id and partition.
pub(crate) const CLAIMS: &str = "_state/claims";
/// Complete hours.
pub(crate) const HOURS: &str = "_state/hours";
/// Tallies of hours for `trends`, which can be made again at any time.
pub(crate) const ROLLUP: &str = "_state/rollup";
/// Alerts that have fired, by rule.
pub(crate) const ALERTS: &str = "_state/alerts";
/// Hours that retention has removed.
pub(crate) const EXPIRED: &str = "_state/expired";

/// A partition of one topic, by the topic's id: a topic made anew under the same name is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The topic's name.
    pub(crate) topic: String,
    /// Its id, as the broker tells it.
    pub(crate) topic_id: String,
    /// Partition.
    pub(crate) partition: i32,
}

impl Place {
    /// The folder of the partition's claims.
    pub(crate) fn claims(&self) -> String {
        format!("{CLAIMS}/{}/{}", self.topic_id, self.partition)
    }

    /// The claim that begins at this offset.
    pub(crate) fn claim(&self, start: i64) -> String {
        format!("{}/{start:020}.json", self.claims())
    }

    /// The file of records in `start..end` that cannot be rows.
    pub(crate) fn rejects(&self, start: i64, end: i64) -> String {
        format!("_state/rejects/{}/{}/{start:020}-{end:020}.jsonl", self.topic_id, self.partition)
    }

    /// The file of one hour's and one model's rows of the segment `start..end`.
    pub(crate) fn data(&self, hour: Hour, start: i64, end: i64, model_hash: &str) -> String {
        let (topic, id, partition) = (&self.topic, mark(&self.topic_id), self.partition);
        let model = model_mark(model_hash);
        format!("{POSTS}/{}/{topic}-{id}-{partition}-{start:020}-{end:020}-{model}.parquet", hour.folder())
    }
}

/// The beginning of a model's hash, as file names carry it.
pub(crate) fn model_mark(hash: &str) -> String {
    let short: String = hash.chars().take(8).collect();
    let fits = short.len() == 8 && short.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    if fits { short } else { mark(hash) }
}

/// 8 hex digits that stand for a topic's id in file names: ids hold hyphens, and differ by case.
pub(crate) fn mark(id: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(id));
    digits.truncate(8);
    digits
}

/// What a data file's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataName {
    /// Hour of the folder.
    pub(crate) hour: Hour,
    /// The topic's name.
    pub(crate) topic: String,
    /// [`mark`] of the topic's id.
    pub(crate) topic_mark: String,
    /// Partition.
    pub(crate) partition: i32,
    /// First offset of the segment.
    pub(crate) start: i64,
    /// The offset after the segment.
    pub(crate) end: i64,
    /// [`model_mark`].
    pub(crate) model_mark: String,
}

impl DataName {
    /// Reads the name of a data file, given below the archive's URL.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let below = path.strip_prefix(POSTS)?.strip_prefix('/')?;
        let hour = Hour::of_path(below)?;
        let mut folders = below.split('/').skip(2);
        let stem = folders.next()?.strip_suffix(".parquet")?;
        if folders.next().is_some() {
            return None;
        }
        // From the right: a topic's name may hold hyphens.
        let mut parts = stem.rsplitn(6, '-');
        let model_mark = parts.next()?.to_owned();
        let end = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        let partition = parts.next()?.parse().ok()?;
        let topic_mark = parts.next()?.to_owned();
        let topic = parts.next()?.to_owned();
        Some(Self { hour, topic, topic_mark, partition, start, end, model_mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { topic: "posts-old.emotions".into(), topic_id: "x-Y_z".into(), partition: 7 }
    }

    #[test]
    fn names_of_data_files_are_read_as_they_are_written() {
        let hour = Hour::of(1_760_000_000_000);
        let path = place().data(hour, 5, 12, "78df8f1e22");
        let expected = "posts/date=2025-10-09/hour=08/posts-old.emotions-";
        assert!(path.starts_with(expected), "{path}");
        assert!(path.ends_with("-7-00000000000000000005-00000000000000000012-78df8f1e.parquet"), "{path}");
        let name = DataName::parse(&path).expect("a name");
        assert_eq!((name.topic.as_str(), name.partition, name.start, name.end), ("posts-old.emotions", 7, 5, 12));
        assert_eq!((name.topic_mark, name.model_mark.as_str()), (mark("x-Y_z"), "78df8f1e"));
    }

    #[test]
    fn what_is_no_name_of_ours_is_not_taken_for_one() {
        for path in [
            "posts/date=2025-10-09/hour=08/part-0.parquet",
            "posts/date=2025-10-09/hour=08/more/a-b-7-1-2-c.parquet",
            "other/date=2025-10-09/hour=08/a-b-7-1-2-c.parquet",
            "posts/date=2025-10-09/hour=08/a-b-7-1-2-c.json",
        ] {
            assert_eq!(DataName::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_hash_that_is_no_hash_still_makes_a_file_name() {
        assert_eq!(model_mark("../../etc").len(), 8);
        assert_ne!(model_mark("A/b"), model_mark("A/c"));
    }
}
