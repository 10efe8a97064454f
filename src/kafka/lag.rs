//! How far a lane is behind, per partition: in records, and in seconds as the age of the oldest uncommitted record.
//!
//! Computed from the log's last stable offset and our own committed positions: librdkafka's own lag goes
//! stale, because the offsets are committed by the producer. Transaction markers leave gaps, so a lane
//! that has fetched up to the end and holds nothing is at lag 0 whatever the offsets say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::statistics::Statistics;

use super::positions::Partition;
use crate::telemetry::Metrics;

/// The lag of one lane's partitions.
pub(crate) struct Lag {
    metrics: Arc<Metrics>,
    partitions: Mutex<HashMap<Partition, Progress>>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Next offset to read after the last commit.
    committed: i64,
    /// Next offset to read after what was polled.
    polled: i64,
    /// Timestamp (ms) of the oldest record polled and not committed, else of the last committed one.
    oldest_ms: Option<i64>,
}

impl Progress {
    /// Records behind the log's end, and milliseconds behind `now`.
    fn lag(&self, next_fetch: i64, stable_end: i64, queued: i64, now: i64) -> (i64, i64) {
        let idle = queued == 0 && next_fetch >= stable_end && self.committed >= self.polled;
        if idle {
            return (0, 0);
        }
        let records = (stable_end - self.committed).max(0);
        let age = self.oldest_ms.map_or(0, |oldest| (now - oldest).max(0));
        (records, if records == 0 { 0 } else { age })
    }
}

impl Lag {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, partitions: Mutex::default() }
    }

    /// The lane begins to read `partition` at `offset`.
    pub(crate) fn begin(&self, partition: &Partition, offset: i64) {
        if let Ok(mut partitions) = self.partitions.lock() {
            partitions.insert(partition.clone(), Progress { committed: offset, polled: offset, oldest_ms: None });
        }
    }

    /// A batch holds records of `partition` up to before `next`, the oldest one of `oldest_ms`.
    pub(crate) fn polled(&self, partition: &Partition, next: i64, oldest_ms: i64) {
        self.update(partition, |progress| {
            progress.polled = next;
            progress.oldest_ms = Some(oldest_ms);
        });
    }

    /// Everything of `partition` before `next` is committed; the last record was of `last_ms`.
    pub(crate) fn committed(&self, partition: &Partition, next: i64, last_ms: i64) {
        self.update(partition, |progress| {
            progress.committed = next;
            progress.oldest_ms = Some(last_ms);
        });
    }

    fn update(&self, partition: &Partition, change: impl FnOnce(&mut Progress)) {
        if let Ok(mut partitions) = self.partitions.lock()
            && let Some(progress) = partitions.get_mut(partition)
        {
            change(progress);
        }
    }

    /// The lane holds no partition any more.
    pub(super) fn clear(&self) {
        if let Ok(mut partitions) = self.partitions.lock() {
            for (partition, _) in partitions.drain() {
                self.metrics.forget_partition(&partition.topic, partition.number);
            }
        }
    }

    /// Takes in the client's statistics, once a second.
    pub(super) fn observe(&self, statistics: &Statistics) {
        let now = Timestamp::now().as_millisecond();
        let Ok(partitions) = self.partitions.lock() else { return };
        for (partition, progress) in partitions.iter() {
            let topic = statistics.topics.get(&partition.topic);
            let Some(seen) = topic.and_then(|topic| topic.partitions.get(&partition.number)) else { continue };
            if seen.ls_offset < 0 {
                continue;
            }
            let (records, age) = progress.lag(seen.next_offset, seen.ls_offset, seen.fetchq_cnt, now);
            self.metrics.lag(&partition.topic, partition.number, records, Duration::from_millis(age.unsigned_abs()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_has_read_everything_is_not_behind_although_markers_follow() {
        let progress = Progress { committed: 99, polled: 99, oldest_ms: Some(1_000) };
        assert_eq!(progress.lag(100, 100, 0, 9_000), (0, 0));
    }

    #[test]
    fn a_batch_in_hand_counts_with_the_age_of_its_oldest_record() {
        let progress = Progress { committed: 40, polled: 60, oldest_ms: Some(1_000) };
        assert_eq!(progress.lag(100, 100, 0, 9_000), (60, 8_000));
    }

    #[test]
    fn records_waiting_in_the_queue_count() {
        let progress = Progress { committed: 60, polled: 60, oldest_ms: Some(8_000) };
        assert_eq!(progress.lag(100, 100, 40, 9_000), (40, 1_000));
    }
}
