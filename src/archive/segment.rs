//! An open segment: the rows of a contiguous range of one partition, by hour and model, and when they are to be closed.
//!
//! What it becomes is a function of its records alone, so whoever reads the same range again makes the same files.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::claim::Promise;
use super::footer::{self, Footer};
use super::hour::Hour;
use super::layout::{Place, model_mark};
use super::post::ArchivedPost;
use super::rows::{NotEncoded, RowPolicy, Rows};

/// A record of the output topic, as it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// Why a segment closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// An hour of the clock is over, and its grace.
    Hour,
    /// It holds as much as one segment may.
    Size,
    /// Nothing has come for a while, and its hours are over.
    Idle,
}

/// When segments close.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// Milliseconds.
    pub(crate) grace: i64,
    /// Milliseconds.
    pub(crate) idle: i64,
    /// Bytes.
    pub(crate) size: usize,
    /// Idle segments close although their hours are not over: nothing more will come.
    pub(crate) impatient: bool,
}

/// The rows of a range.
pub(crate) struct Segment {
    policy: RowPolicy,
    /// First offset.
    pub(crate) start: i64,
    /// The offset after the last record.
    pub(crate) next: i64,
    partition: i32,
    buckets: BTreeMap<(Hour, String), Bucket>,
    rejects: Vec<u8>,
    rejected: u64,
    /// See [`super::claim::Claim`].
    pub(crate) watermark: Option<i64>,
    /// When the first record was read, milliseconds since 1970.
    opened: Option<i64>,
    /// When the last one was.
    touched: i64,
    /// The timestamp of the oldest record.
    oldest: Option<i64>,
}

/// The rows of one hour and one model.
struct Bucket {
    model_hash: String,
    rows: Rows,
}

/// A record that cannot be a row.
#[derive(Debug, Serialize)]
struct Reject<'a> {
    offset: i64,
    timestamp: i64,
    class: &'a str,
    message: &'a str,
    value: Option<&'a str>,
    value_base64: Option<String>,
}

/// What becomes a promised file.
pub(crate) enum Content {
    Rows(Hour, Box<Rows>),
    Bytes(Vec<u8>),
}

/// Whose segment it is, as its files' footers say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) archive_id: &'a str,
    pub(crate) place: &'a Place,
}

impl Segment {
    /// An empty one. `watermark` is how far event time had come before it.
    pub(crate) fn new(policy: RowPolicy, partition: i32, start: i64, watermark: Option<i64>, now: i64) -> Self {
        Self {
            policy,
            start,
            next: start,
            partition,
            buckets: BTreeMap::new(),
            rejects: Vec::new(),
            rejected: 0,
            watermark,
            opened: None,
            touched: now,
            oldest: None,
        }
    }

    /// Takes a record in. Returns whether it cannot be a row.
    pub(crate) fn push(&mut self, record: Taken<'_>, now: i64) -> bool {
        if record.offset < self.next {
            return false;
        }
        self.next = record.offset + 1;
        self.opened.get_or_insert(now);
        self.touched = now;
        self.oldest = Some(self.oldest.map_or(record.timestamp, |oldest| oldest.min(record.timestamp)));
        let Some(value) = record.value else {
            return self.reject(record, "tombstone", "the record has no value");
        };
        let post = match ArchivedPost::parse(value) {
            Ok(post) => post,
            Err(unreadable) => return self.reject(record, unreadable.class, &unreadable.message),
        };
        let hour = Hour::of(post.event_time_ms);
        let key = (hour, model_mark(&post.model_hash));
        let begun = || Bucket { model_hash: post.model_hash.to_string(), rows: Rows::new(self.policy.clone()) };
        let bucket = self.buckets.entry(key.clone()).or_insert_with(begun);
        if let Err(misfit) = bucket.rows.push(&post, Some((self.partition, record.offset))) {
            if bucket.rows.len() == 0 {
                self.buckets.remove(&key);
            }
            return self.reject(record, misfit.class(), &misfit.to_string());
        }
        // A clock that runs ahead must not pass hours for others.
        let time = post.event_time_ms.min(record.timestamp);
        self.watermark = Some(self.watermark.map_or(time, |watermark| watermark.max(time)));
        false
    }

    fn reject(&mut self, record: Taken<'_>, class: &str, message: &str) -> bool {
        let bytes = record.value.unwrap_or_default();
        let value = std::str::from_utf8(bytes).ok().filter(|_| record.value.is_some());
        let value_base64 = (value.is_none() && record.value.is_some()).then(|| STANDARD.encode(bytes));
        let (offset, timestamp) = (record.offset, record.timestamp);
        let line = Reject { offset, timestamp, class, message, value, value_base64 };
        // Writing such a line to memory cannot fail.
        if serde_json::to_writer(&mut self.rejects, &line).is_ok() {
            self.rejects.push(b'\n');
        }
        self.rejected += 1;
        true
    }

    /// Whether no record was taken in.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.start
    }

    /// The timestamp of the oldest record, milliseconds since 1970.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.oldest
    }

    /// Files that the rows become.
    pub(crate) fn files(&self) -> usize {
        self.buckets.len()
    }

    /// Rows in it.
    pub(crate) fn rows(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.rows.len()).sum()
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.rows.memory()).sum::<usize>() + self.rejects.capacity()
    }

    /// Encodes the open rows of the largest buckets until this many bytes are open at most; encoded ones take a
    /// fraction of the memory.
    pub(crate) fn seal(&mut self, open: usize) -> Result<(), NotEncoded> {
        let mut buckets: Vec<&mut Rows> = self.buckets.values_mut().map(|bucket| &mut bucket.rows).collect();
        buckets.sort_by_key(|rows| std::cmp::Reverse(rows.open_memory()));
        let mut held: usize = buckets.iter().map(|rows| rows.open_memory()).sum();
        for rows in buckets {
            if held <= open {
                break;
            }
            held -= rows.open_memory();
            rows.seal()?;
        }
        Ok(())
    }

    /// Whether nothing has come for this long.
    pub(crate) fn is_idle(&self, now: i64, idle: i64) -> bool {
        now - self.touched >= idle
    }

    /// Whether it is time to close, and why.
    pub(crate) fn due(&self, closing: &Closing, now: i64) -> Option<Close> {
        let opened = self.opened?;
        if self.memory() >= closing.size {
            return Some(Close::Size);
        }
        if now >= Hour::of(opened).end() + closing.grace {
            return Some(Close::Hour);
        }
        let over = closing.impatient || self.buckets.keys().all(|(hour, _)| hour.end() <= now);
        (over && self.is_idle(now, closing.idle)).then_some(Close::Idle)
    }

    /// What the range up to `end` becomes: each file's promise and content, in the order of their paths.
    pub(crate) fn close(self, place: &Place, end: i64) -> Vec<(Promise, Content)> {
        let mut files = Vec::with_capacity(self.buckets.len() + 1);
        for ((hour, mark), Bucket { model_hash, rows }) in self.buckets {
            let path = place.data(hour, self.start, end, &mark);
            let promise = Promise { path, rows: rows.len() as u64, model: model_hash };
            files.push((promise, Content::Rows(hour, Box::new(rows))));
        }
        if self.rejected > 0 {
            let path = place.rejects(self.start, end);
            let promise = Promise { path, rows: self.rejected, model: String::new() };
            files.push((promise, Content::Bytes(self.rejects)));
        }
        files.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        files
    }
}

impl Content {
    /// The file's bytes; rows are encoded once and the bytes kept.
    pub(crate) fn bytes(&mut self, owner: Owner<'_>, start: i64, end: i64) -> Result<&[u8], NotEncoded> {
        if let Self::Rows(..) = self
            && let Self::Rows(hour, rows) = std::mem::replace(self, Self::Bytes(Vec::new()))
        {
            let Owner { archive_id, place } = owner;
            let segment = footer::Segment {
                archive_id: archive_id.to_owned(),
                topic: place.topic.clone(),
                topic_id: place.topic_id.clone(),
                partition: place.partition,
                start,
                end,
            };
            *self = Self::Bytes(rows.finish(&Footer { hour, segment: Some(segment) })?);
        }
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Rows(..) => Ok(&[]),
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Rows(_, rows) => rows.memory(),
            Self::Bytes(bytes) => bytes.capacity(),
        }
    }

    /// Rows, or rejected records.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Self::Rows(_, rows) => Some(rows.len() as u64),
            Self::Bytes(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, TIME};
    use super::*;
    use crate::config::Exposure;

    const CLOSING: Closing = Closing { grace: 300_000, idle: 30_000, size: 1 << 20, impatient: false };
    const HOUR: i64 = 3_600_000;

    fn segment(now: i64) -> Segment {
        Segment::new(RowPolicy { text: Exposure::Keep, key: None }, 0, 0, None, now)
    }

    fn take(segment: &mut Segment, sample: &Sample, timestamp: i64, now: i64) -> bool {
        let json = sample.json();
        segment.push(Taken { offset: sample.offset.expect("an offset"), timestamp, value: Some(&json) }, now)
    }

    fn place() -> Place {
        Place { topic: "posts.emotions".into(), topic_id: "t".into(), partition: 0 }
    }

    #[test]
    fn in_steady_flow_a_segment_closes_once_an_hour_when_its_grace_is_over() {
        // A record each ten seconds, for a day.
        let (mut now, mut closes) = (TIME, 0);
        let mut open = segment(now);
        for offset in 0..8_640 {
            now += 10_000;
            let mut sample = Sample::labelled(offset, 2);
            sample.event_time_ms = now;
            take(&mut open, &sample, now, now);
            if let Some(why) = open.due(&CLOSING, now) {
                assert_eq!(why, Close::Hour);
                assert!(now - Hour::of(now).start() >= CLOSING.grace);
                assert!(open.files() <= 2, "the hour that is over, and the beginning of the next one");
                (open, closes) = (Segment::new(open.policy.clone(), 0, open.next, open.watermark, now), closes + 1);
            }
        }
        assert_eq!(closes, 24);
    }

    #[test]
    fn an_idle_segment_waits_for_the_end_of_its_hours() {
        let mut open = segment(TIME);
        take(&mut open, &Sample::labelled(0, 2), TIME, TIME);
        assert_eq!(open.due(&CLOSING, TIME + CLOSING.idle), None, "its hour is not over");
        assert_eq!(open.due(&CLOSING, Hour::of(TIME).end()), Some(Close::Idle));
        let late = TIME + 5 * HOUR;
        let mut open = segment(late);
        take(&mut open, &Sample::labelled(0, 2), late, late);
        assert_eq!(open.due(&CLOSING, late + CLOSING.idle - 1), None);
        assert_eq!(open.due(&CLOSING, late + CLOSING.idle), Some(Close::Idle));
    }

    #[test]
    fn a_large_segment_closes_at_its_size() {
        let mut open = segment(TIME);
        let mut offset = 0;
        while open.due(&CLOSING, TIME).is_none() {
            take(&mut open, &Sample::labelled(offset, 11), TIME, TIME);
            offset += 1;
        }
        assert_eq!(open.due(&CLOSING, TIME), Some(Close::Size));
        assert!(open.memory() >= CLOSING.size && open.memory() < 2 * CLOSING.size, "{}", open.memory());
    }

    #[test]
    fn a_clock_that_runs_ahead_passes_no_hour_for_others() {
        let mut open = segment(TIME);
        let mut ahead = Sample::labelled(0, 2);
        ahead.event_time_ms = TIME + 20 * HOUR;
        take(&mut open, &ahead, TIME, TIME);
        assert_eq!(open.watermark, Some(TIME));
    }

    #[test]
    fn the_same_range_becomes_the_same_files_by_hour_and_model_and_what_is_no_row_is_kept() {
        let close = || {
            let mut open = segment(TIME);
            take(&mut open, &Sample::labelled(0, 2), TIME, TIME);
            let mut later = Sample::labelled(1, 2);
            later.event_time_ms = TIME + HOUR;
            take(&mut open, &later, TIME, TIME);
            let mut other = Sample::labelled(2, 2);
            other.model_hash = "00ff00ff".repeat(8);
            take(&mut open, &other, TIME, TIME);
            // Below is read again after a seek, and is here already.
            assert!(!take(&mut open, &Sample::labelled(1, 2), TIME, TIME));
            assert!(open.push(Taken { offset: 3, timestamp: TIME, value: Some(b"{\xff}") }, TIME), "no row");
            assert!(open.push(Taken { offset: 4, timestamp: TIME, value: None }, TIME), "a tombstone");
            open.close(&place(), 9)
        };
        let files = close();
        let rows: Vec<u64> = files.iter().map(|(promise, _)| promise.rows).collect();
        assert_eq!(rows, [2, 1, 1, 1], "rejects, two models of one hour, the next hour");
        let again: Vec<Promise> = close().into_iter().map(|(promise, _)| promise).collect();
        assert_eq!(files.iter().map(|(promise, _)| promise.clone()).collect::<Vec<_>>(), again);
        let Content::Bytes(rejects) = &files[0].1 else { panic!("rejects first: {:?}", files[0].0) };
        let lines: Vec<serde_json::Value> = rejects
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        assert_eq!((&lines[0]["offset"], &lines[0]["value_base64"]), (&3.into(), &"e/99".into()));
        assert_eq!((&lines[1]["class"], &lines[1]["value"]), (&"tombstone".into(), &serde_json::Value::Null));
    }
}
