//! The queue between the lanes and the second model, and the thread that empties it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::compare::Comparison;
use crate::inference::{LaneClassifier, Verdict};
use crate::telemetry::Metrics;
use crate::telemetry::shadow::Result;

/// Batches that wait; those of all lanes together. What is in them is bounded by the lanes' batches (I8).
const WAITING: usize = 4;
/// Texts run at once, so that the end of the worker waits for no more than these.
const AT_ONCE: usize = 32;

/// A text, and what the live model said of it.
pub(super) struct Sample {
    pub(super) text: String,
    pub(super) scores: Arc<[f32]>,
}

/// Takes samples; dropping it ends and joins its thread.
pub(super) struct Desk {
    queue: Option<Sender<Vec<Sample>>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Desk {
    pub(super) fn start(
        second: Box<dyn LaneClassifier>,
        comparison: Comparison,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let (queue, waiting) = bounded(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let mut clerk = Clerk { second, comparison, stop: stop.clone(), metrics: metrics.clone() };
        let thread = thread::Builder::new().name("shadow".to_owned()).spawn(move || clerk.serve(&waiting))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), stop, metrics: metrics.clone() })
    }

    /// Hands over samples if there is room for them, and never waits.
    pub(super) fn offer(&self, samples: Vec<Sample>) {
        let (Some(queue), false) = (&self.queue, samples.is_empty()) else { return };
        match queue.try_send(samples) {
            Ok(()) => {}
            Err(TrySendError::Full(samples)) => count(&self.metrics, Result::PassedOver, samples.len()),
            // Its thread has panicked, which its log says.
            Err(TrySendError::Disconnected(samples)) => count(&self.metrics, Result::Failed, samples.len()),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

struct Clerk {
    second: Box<dyn LaneClassifier>,
    comparison: Comparison,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Clerk {
    fn serve(&mut self, waiting: &Receiver<Vec<Sample>>) {
        for samples in waiting {
            for some in samples.chunks(AT_ONCE) {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                self.compare(some);
            }
        }
    }

    fn compare(&mut self, samples: &[Sample]) {
        let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
        let verdicts = match self.second.classify(&texts) {
            Ok(classified) => classified.verdicts,
            Err(down) => {
                tracing::warn!(reason = down.reason, "the shadow model failed; labelling is not affected");
                return count(&self.metrics, Result::Failed, samples.len());
            }
        };
        for (sample, verdict) in samples.iter().zip(verdicts) {
            match verdict {
                Verdict::Scored(scored) => self.comparison.count(&sample.scores, &scored.scores),
                Verdict::Failed { .. } => count(&self.metrics, Result::Failed, 1),
            }
        }
    }
}

fn count(metrics: &Metrics, result: Result, posts: usize) {
    metrics.shadow.posts.of([result.name()]).inc_by(u64::try_from(posts).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::inference::{Classified, ClassifierDown, Cost, ModelInfo, Scored};

    /// Waits at a barrier in each call, twice: as long as a test wants it to.
    struct Slow(Arc<Barrier>);

    impl LaneClassifier for Slow {
        fn classify(&mut self, texts: &[&str]) -> std::result::Result<Classified, ClassifierDown> {
            self.0.wait();
            self.0.wait();
            if texts[0] == "down" {
                return Err(ClassifierDown { reason: "asked to".to_owned() });
            }
            let scored = |text: &&str| match *text {
                "fail" => Verdict::Failed { reason: "asked to".to_owned() },
                _ => Verdict::Scored(Scored { scores: [0.9].into(), token_count: 1, truncated: false }),
            };
            Ok(Classified { verdicts: texts.iter().map(scored).collect(), cost: Cost::default() })
        }
    }

    fn samples(texts: &[&str]) -> Vec<Sample> {
        texts.iter().map(|text| Sample { text: (*text).to_owned(), scores: [0.1].into() }).collect()
    }

    #[test]
    fn what_finds_no_room_is_passed_over_and_what_fails_is_counted_and_harms_nothing_else() {
        let info = ModelInfo {
            id: "m".to_owned(),
            hash: "00".to_owned(),
            labels: vec!["joy".to_owned()],
            thresholds: vec![0.5],
            languages: Vec::new(),
        };
        let metrics = Arc::new(Metrics::new());
        let barrier = Arc::new(Barrier::new(2));
        let comparison = Comparison::new(&info, &info, &metrics.shadow).expect("one label");
        let desk = Desk::start(Box::new(Slow(barrier.clone())), comparison, &metrics).expect("a thread");
        let posts = |result: Result| metrics.shadow.posts.of([result.name()]).get();

        desk.offer(samples(&["down", "b"]));
        barrier.wait();
        // It is at work on the first one: so many more have room.
        for _ in 0..WAITING {
            desk.offer(samples(&["a", "fail", "c"]));
        }
        desk.offer(samples(&["d", "e"]));
        assert_eq!(posts(Result::PassedOver), 2);
        barrier.wait();
        for _ in 0..WAITING {
            barrier.wait();
            barrier.wait();
        }
        drop(desk);
        assert_eq!((posts(Result::Failed), posts(Result::Different), posts(Result::Same)), (2 + 4, 8, 0));
        assert_eq!(posts(Result::PassedOver), 2);
    }
}
