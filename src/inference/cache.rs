//! Scores of recently seen texts, by their token ids.
//!
//! Bounded by a number of entries (I8). Used only when start-up has shown that the model's
//! scores do not depend on the batch (I5). One lock per batch to look up, one to insert.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::TokenIds;

type Entries = LruCache<TokenIds, Arc<[f32]>>;

/// A least-recently-used map from token ids to scores.
#[derive(Debug)]
pub(super) struct ScoreCache {
    entries: Mutex<Entries>,
}

impl ScoreCache {
    /// An empty cache for at most so many texts.
    pub(super) fn new(entries: NonZeroUsize) -> Self {
        Self { entries: Mutex::new(LruCache::sparse(entries)) }
    }

    /// The scores of each sequence that is known.
    pub(super) fn lookup<'a>(&self, sequences: impl IntoIterator<Item = &'a TokenIds>) -> Vec<Option<Arc<[f32]>>> {
        let mut entries = self.lock();
        sequences.into_iter().map(|ids| entries.get(ids).cloned()).collect()
    }

    /// Remembers scores, forgetting the longest unused ones.
    pub(super) fn insert(&self, scored: impl IntoIterator<Item = (TokenIds, Arc<[f32]>)>) {
        let mut entries = self.lock();
        for (ids, scores) in scored {
            entries.put(ids, scores);
        }
    }

    /// Nothing is left half-changed by a panic, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(id: u32) -> TokenIds {
        [id].into()
    }

    #[test]
    fn forgets_the_longest_unused_text_first() {
        let cache = ScoreCache::new(NonZeroUsize::MIN.saturating_add(1));
        cache.insert([(ids(1), [0.1].into()), (ids(2), [0.2].into())]);
        assert_eq!(cache.lookup([&ids(1)])[0].as_deref(), Some(&[0.1][..]));
        cache.insert([(ids(3), [0.3].into())]);
        let known: Vec<_> = cache.lookup([&ids(1), &ids(2), &ids(3)]);
        assert_eq!(known.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    }
}
