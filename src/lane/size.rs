//! How many posts a batch may hold.
//!
//! The size follows the measured inference time towards `batch.target`: long batches stall a rebalance for the
//! whole group and lose more work at a kill, short ones pad more. When the broker refuses a batch for good, the
//! size is halved until the guilty record stands alone.

use std::time::Duration;

/// Posts of a lane's first batch.
const FIRST: usize = 64;
/// Permanent refusals in a row before the batch is halved.
const PATIENCE: u32 = 3;

/// The current limit of a lane.
#[derive(Debug)]
pub(super) struct BatchSize {
    max: usize,
    target: Duration,
    /// What inference time allows.
    adapted: usize,
    /// What the search for a refused record allows.
    search: Option<usize>,
    refusals: u32,
}

impl BatchSize {
    pub(super) fn new(max: usize, target: Duration) -> Self {
        Self { max, target, adapted: FIRST.min(max), search: None, refusals: 0 }
    }

    /// Posts that the next batch may hold.
    pub(super) fn limit(&self) -> usize {
        self.search.map_or(self.adapted, |search| search.min(self.adapted))
    }

    /// A batch was committed; `inference` is what its posts cost on all sessions together.
    pub(super) fn committed(&mut self, posts: usize, inference: Duration) {
        self.refusals = 0;
        self.search = self.search.map(|search| search * 2).filter(|search| *search < self.adapted);
        let full = posts >= self.limit();
        let target = self.target.as_secs_f64();
        let took = inference.as_secs_f64();
        // At most doubled or halved at a step, and only a full batch is a reason to grow.
        let wanted = if took * 2.0 <= target { 2.0 } else { (target / took).max(0.5) };
        if wanted < 1.0 || full {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a positive count"
            )]
            let size = (self.adapted as f64 * wanted) as usize;
            self.adapted = size.clamp(1, self.max);
        }
    }

    /// The broker refused a batch of `posts` for good. Returns whether a single post stands convicted.
    pub(super) fn refused(&mut self, posts: usize) -> bool {
        self.refusals += 1;
        if self.refusals < PATIENCE {
            return false;
        }
        if posts <= 1 {
            self.refusals = 0;
            return true;
        }
        self.search = Some(posts / 2);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn grows_to_what_a_second_allows_and_shrinks_when_posts_get_longer() {
        let mut size = BatchSize::new(4096, SECOND);
        let run = |size: &mut BatchSize, per_post: f64| {
            for _ in 0..20 {
                let posts = size.limit();
                size.committed(posts, Duration::from_secs_f64(per_post * f64::from(u32::try_from(posts).unwrap_or(0))));
            }
            size.limit()
        };
        let fast = run(&mut size, 0.001);
        assert!((900..=1000).contains(&fast), "{fast}");
        let slow = run(&mut size, 0.01);
        assert!((90..=100).contains(&slow), "{slow}");
        assert_eq!(run(&mut size, 0.0), 4096, "and never beyond the maximum");
    }

    #[test]
    fn small_batches_under_low_load_are_no_reason_to_grow() {
        let mut size = BatchSize::new(4096, SECOND);
        for _ in 0..10 {
            size.committed(3, Duration::from_millis(5));
        }
        assert_eq!(size.limit(), FIRST);
    }

    #[test]
    fn a_refused_batch_is_halved_down_to_the_guilty_post() {
        let mut size = BatchSize::new(4096, SECOND);
        let (mut posts, mut sends) = (size.limit(), 0);
        while !size.refused(posts) {
            posts = size.limit();
            sends += 1;
            assert!(sends < 20, "the search ends");
        }
        assert_eq!(posts, 1);
        for _ in 0..8 {
            size.committed(size.limit(), Duration::ZERO);
        }
        assert!(size.limit() > 64, "and grows again afterwards");
    }
}
