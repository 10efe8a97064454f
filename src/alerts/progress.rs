//! Up to which moment the posts that had arrived were labelled and read, and from which on they are all there; pure.

use std::collections::BTreeSet;

/// How far reading has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything that had arrived before was labelled and read.
    pub(super) passed: i64,
    /// Posts that arrived before may be missing.
    pub(super) whole_from: i64,
    /// Partitions that do not hold the beginning of the time to look at, until their first record tells what they hold.
    cut: BTreeSet<i32>,
}

impl Progress {
    /// Nothing was read yet; of these partitions, the beginning cannot be.
    pub(super) fn new(cut: BTreeSet<i32>) -> Self {
        Self { passed: i64::MIN, whole_from: i64::MIN, cut }
    }

    /// A record that arrived then was read.
    pub(super) fn read(&mut self, partition: i32, arrived: i64) {
        if self.cut.remove(&partition) {
            self.whole_from = self.whole_from.max(arrived);
        }
    }

    /// Everything that was committed until now is read. What arrived before `labelled` was labelled before that, if
    /// anything is known.
    pub(super) fn caught_up(&mut self, labelled: Option<i64>, now: i64) {
        self.passed = self.passed.max(labelled.unwrap_or(i64::MIN));
        if !self.cut.is_empty() {
            // Nothing is left of them.
            self.cut.clear();
            self.whole_from = self.whole_from.max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_passed_when_what_arrived_before_was_labelled_and_then_read() {
        let mut progress = Progress::new(BTreeSet::new());
        progress.read(0, 70);
        progress.caught_up(None, 100);
        assert_eq!(progress.passed, i64::MIN, "there may be posts that are not labelled");
        progress.caught_up(Some(90), 110);
        progress.caught_up(None, 120);
        progress.caught_up(Some(60), 130);
        assert_eq!(progress.passed, 90, "what was passed stays so");
        assert_eq!(progress.whole_from, i64::MIN, "nothing was lost");
    }

    #[test]
    fn windows_that_a_partition_has_lost_the_beginning_of_are_not_whole() {
        let mut progress = Progress::new(BTreeSet::from([1, 2]));
        progress.read(0, 10);
        progress.read(1, 40);
        progress.read(1, 45);
        assert_eq!(progress.whole_from, 40, "its first record tells what it holds");
        progress.caught_up(None, 100);
        assert_eq!(progress.whole_from, 100, "nothing is left of the other");
        progress.caught_up(None, 200);
        assert_eq!(progress.whole_from, 100);
    }
}
