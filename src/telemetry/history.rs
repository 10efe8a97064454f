//! The last minutes of the worker's counters, kept by the worker itself, so that a status page opened late shows
//! them too. Pure: the caller brings the counters and the time.
//!
//! Two rings, both bounded: one reading a second for the present rate, and one bucket for every five seconds of
//! the last quarter of an hour.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Width of a bucket.
pub(super) const BUCKET: Duration = Duration::from_secs(5);
/// Buckets kept: the last quarter of an hour.
pub(super) const BUCKETS: usize = 180;
/// The present rate is that of this time: a batch is committed as a whole, once a second or so.
pub(super) const RATE_OVER: Duration = Duration::from_secs(10);

/// What is counted up since the start, and how far behind the worker is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Labelled, skipped and dead-lettered records.
    pub(super) outcomes: [u64; 3],
    /// Posts given each emotion, in the order of the labels.
    pub(super) emotions: Vec<u64>,
    /// Records not committed yet; unknown until the client has told.
    pub(super) lag: Option<i64>,
}

/// What happened within one [`BUCKET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Labelled, skipped and dead-lettered records.
    pub(super) outcomes: [u64; 3],
    /// Posts given each emotion.
    pub(super) emotions: Vec<u64>,
    /// Records not committed at its end.
    pub(super) lag: Option<i64>,
}

/// The rings.
#[derive(Debug)]
pub(super) struct History {
    buckets: VecDeque<Bucket>,
    /// When the bucket that is being filled began, and the counters then.
    began: Instant,
    before: Counted,
    recent: VecDeque<(Instant, [u64; 3])>,
}

impl History {
    /// Nothing yet, from now on.
    #[must_use]
    pub(super) fn new(now: Instant) -> Self {
        let recent = VecDeque::from([(now, [0; 3])]);
        Self { buckets: VecDeque::new(), began: now, before: Counted::default(), recent }
    }

    /// Takes a reading of the counters; call it about once a second.
    pub(super) fn record(&mut self, now: Instant, counted: &Counted) {
        self.recent.push_back((now, counted.outcomes));
        // The oldest one that is needed is the last that is old enough.
        while self.recent.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= RATE_OVER) {
            self.recent.pop_front();
        }
        while now.saturating_duration_since(self.began) >= BUCKET {
            self.began += BUCKET;
            // Of several buckets that went by without a reading, the first takes it all: nothing is invented.
            self.buckets.push_back(difference(&self.before, counted));
            self.before = counted.clone();
            if self.buckets.len() > BUCKETS {
                self.buckets.pop_front();
            }
        }
    }

    /// Labelled, skipped and dead-lettered records a second, lately.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of records within seconds")]
    pub(super) fn rates(&self) -> [f64; 3] {
        let (Some((from, first)), Some((to, last))) = (self.recent.front(), self.recent.back()) else {
            return [0.0; 3];
        };
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        // Counted within the first moments after the start, a few posts are not thousands a second.
        let seconds = seconds.max(1.0);
        std::array::from_fn(|index| last[index].saturating_sub(first[index]) as f64 / seconds)
    }

    /// What is kept, the oldest first; the last one ended [`Self::age`] ago.
    pub(super) fn buckets(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.buckets.iter()
    }

    /// How long ago the last bucket ended.
    #[must_use]
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

fn difference(before: &Counted, now: &Counted) -> Bucket {
    let emotion =
        |(index, posts): (usize, &u64)| posts.saturating_sub(before.emotions.get(index).copied().unwrap_or(0));
    Bucket {
        outcomes: std::array::from_fn(|index| now.outcomes[index].saturating_sub(before.outcomes[index])),
        emotions: now.emotions.iter().enumerate().map(emotion).collect(),
        lag: now.lag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(posts: u64) -> Counted {
        Counted { outcomes: [posts, posts / 10, 0], emotions: vec![posts / 2], lag: Some(7) }
    }

    fn outcomes(history: &History) -> Vec<u64> {
        history.buckets().map(|bucket| bucket.outcomes[0]).collect()
    }

    #[test]
    fn a_steady_stream_gives_its_rate_and_equal_buckets() {
        let start = Instant::now();
        let mut history = History::new(start);
        assert_eq!(history.rates().map(f64::to_bits), [0; 3], "nothing is known yet");
        for second in 1..=20_u32 {
            history.record(start + Duration::from_secs(second.into()), &labelled(u64::from(second) * 100));
        }
        let [labelled, skipped, dead] = history.rates();
        assert!((labelled - 100.0).abs() < 1e-9 && (skipped - 10.0).abs() < 1e-9 && dead.abs() < 1e-9);
        assert_eq!(outcomes(&history), [500, 500, 500, 500]);
        let last = history.buckets().last().expect("a bucket");
        assert_eq!((last.emotions.as_slice(), last.lag), ([250].as_slice(), Some(7)));
    }

    #[test]
    fn a_reading_right_after_the_start_gives_no_absurd_rate() {
        let start = Instant::now();
        let mut history = History::new(start);
        history.record(start + Duration::from_millis(2), &labelled(40));
        assert!((history.rates()[0] - 40.0).abs() < 1e-9, "{:?}", history.rates());
    }

    #[test]
    fn the_rate_forgets_what_is_older_than_its_time() {
        let start = Instant::now();
        let mut history = History::new(start);
        for second in 1..=30_u32 {
            let posts = u64::from(second.min(10)) * 100;
            history.record(start + Duration::from_secs(second.into()), &labelled(posts));
        }
        assert_eq!(history.rates().map(f64::to_bits), [0; 3], "nothing was labelled for twenty seconds");
    }

    #[test]
    fn both_rings_are_bounded_and_the_oldest_goes() {
        let start = Instant::now();
        let mut history = History::new(start);
        let seconds = u32::try_from(BUCKETS).expect("small") * 5 + 50;
        for second in 1..=seconds {
            // The first fifty seconds were busy.
            history.record(start + Duration::from_secs(second.into()), &labelled(u64::from(second.min(50))));
        }
        assert_eq!(history.buckets().len(), BUCKETS);
        assert_eq!(outcomes(&history).iter().sum::<u64>(), 0, "the busy ones are gone");
        assert!(history.recent.len() <= 12, "{}", history.recent.len());
    }

    #[test]
    fn readings_that_were_missed_leave_empty_buckets_and_no_posts_are_lost() {
        let start = Instant::now();
        let mut history = History::new(start);
        history.record(start + Duration::from_secs(1), &labelled(10));
        history.record(start + Duration::from_secs(16), &labelled(40));
        assert_eq!(outcomes(&history), [40, 0, 0]);
        assert_eq!(history.age(start + Duration::from_secs(16)), Duration::from_secs(1));
    }
}
