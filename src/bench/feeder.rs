//! Keeps a topic of the embedded broker supplied while its posts are labelled.
//!
//! That broker holds 5 MB of each partition and forgets what is older, and it forgets the offsets of transactions: so
//! posts come once every lane has its partitions, and never so many that one could be lost before it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::rig::{PostProducer, Posts, Rig, Run};
use crate::telemetry::Outcome;

/// Posts that a partition gets at a time, as a producer with full batches deals them.
const BLOCK: usize = 256;
/// Bytes of posts in the topic that are not labelled yet, per partition: however unevenly the lanes read, far below what
/// the broker holds.
const AHEAD: usize = 1_500_000;

/// A thread that produces.
pub(super) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl Feeder {
    /// Starts to feed the posts, again and again, to the worker's topic.
    pub(super) fn start(rig: &Rig, posts: &Posts, run: &Run, partitions: i32) -> anyhow::Result<Self> {
        let records: Vec<Vec<u8>> = posts.records().map(<[u8]>::to_vec).collect();
        let producer = rig.producer()?;
        let ahead = ahead(&records, usize::try_from(partitions)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, metrics) = (stop.clone(), run.metrics.clone());
        let labelled = move || metrics.outcomes.of([Outcome::Labelled.name(), ""]).get();
        let feed = move || feed(&producer, &records, partitions, ahead, &labelled, &stopped);
        let thread = thread::Builder::new().name("feeder".to_owned()).spawn(feed);
        Ok(Self { stop, thread: thread.context("a thread cannot be started")? })
    }

    /// Ends it; its failure, if it had one, is why the worker has run dry.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))?
    }
}

/// Posts that may wait in the topic.
fn ahead(records: &[Vec<u8>], partitions: usize) -> u64 {
    let bytes = records.iter().map(Vec::len).sum::<usize>().max(1);
    (AHEAD * partitions * records.len() / bytes).max(BLOCK) as u64
}

fn feed(
    producer: &PostProducer,
    records: &[Vec<u8>],
    partitions: i32,
    ahead: u64,
    labelled: &dyn Fn() -> u64,
    stopped: &AtomicBool,
) -> anyhow::Result<()> {
    let mut sent = 0;
    for (block, partition) in (0..).zip((0..partitions).cycle()) {
        while sent + BLOCK as u64 > labelled() + ahead {
            if stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            // The client's own waiting spins when it is asked for so little.
            producer.serve(Duration::ZERO);
            thread::sleep(Duration::from_millis(1));
        }
        for record in records.iter().cycle().skip(block * BLOCK % records.len()).take(BLOCK) {
            producer.send(partition, record)?;
            sent += 1;
        }
        producer.serve(Duration::ZERO);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_the_topic_is_bounded_by_bytes_whatever_a_post_has() {
        let records = |length| vec![vec![b'x'; length]; 10];
        assert_eq!(ahead(&records(300), 4), 20_000);
        assert_eq!(ahead(&records(3_000), 4), 2_000);
        assert_eq!(ahead(&records(100_000_000), 4), 256, "one block passes, or nothing would");
    }
}
