//! A classifier that waits as long as an accelerator would work, and uses the processor for nothing but tokenizing:
//! with it `bench scale` shows what many workers on one machine would do if each had an accelerator of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::inference::{
    Bundle, Classified, Classifier, ClassifierDown, LaneClassifier, ModelError, ModelInfo, NullClassifier,
};

/// Gives every text the same scores, after the time that the device needs for it.
pub(super) struct Accelerator {
    texts: NullClassifier,
    device: Device,
}

/// One device for all lanes: what one of them runs, the others wait for.
#[derive(Clone)]
struct Device {
    per_post: Duration,
    free_at: Arc<Mutex<Instant>>,
}

impl Accelerator {
    /// Tokenizes as the bundle does.
    pub(super) fn new(bundle: &Bundle, per_post: Duration) -> Result<Self, ModelError> {
        let device = Device { per_post, free_at: Arc::new(Mutex::new(Instant::now())) };
        Ok(Self { texts: NullClassifier::with_tokenizer(bundle)?, device })
    }
}

impl Classifier for Accelerator {
    fn model(&self) -> &ModelInfo {
        self.texts.model()
    }

    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
        Ok(Box::new(AcceleratorLane { texts: self.texts.lane()?, device: self.device.clone() }))
    }
}

struct AcceleratorLane {
    texts: Box<dyn LaneClassifier>,
    device: Device,
}

impl LaneClassifier for AcceleratorLane {
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
        let mut classified = self.texts.classify(texts)?;
        let (start, end) = self.device.book(texts.len());
        let handed = Instant::now();
        thread::sleep(end.saturating_duration_since(handed));
        classified.cost.queue = start.saturating_duration_since(handed);
        classified.cost.infer = end - start;
        classified.cost.busy = end - start;
        Ok(classified)
    }
}

impl Device {
    /// When the device begins with so many posts and when it is done with them, behind those that it has already.
    fn book(&self, posts: usize) -> (Instant, Instant) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*free_at).max(Instant::now());
        let end = start + self.per_post * u32::try_from(posts).unwrap_or(u32::MAX);
        *free_at = end;
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_does_one_batch_after_the_other() {
        let device = Device { per_post: Duration::from_secs(1), free_at: Arc::new(Mutex::new(Instant::now())) };
        let (first, second) = (device.book(10), device.clone().book(5));
        assert_eq!(first.1 - first.0, Duration::from_secs(10));
        assert_eq!((second.0, second.1 - second.0), (first.1, Duration::from_secs(5)));
    }
}
