//! What one lane owns in its group, by assignment epoch: a batch is committed only in the epoch that it was polled
//! in (I2, I3).
//!
//! Pure. Eager protocols tell the whole assignment or take all of it, incremental ones tell what is added and what
//! is taken; an epoch ends with every change.

use std::collections::BTreeSet;

use super::positions::Partition;

/// A lane's membership in the group.
#[derive(Debug, Default)]
pub(super) struct Membership {
    epoch: u64,
    /// `None` before the first assignment, and after all was taken until the next one.
    owned: Option<BTreeSet<Partition>>,
}

impl Membership {
    /// Counts the changes.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// This lane's partitions; `None` while it waits for the group.
    pub(super) fn owned(&self) -> Option<Vec<Partition>> {
        self.owned.as_ref().map(|owned| owned.iter().cloned().collect())
    }

    /// Eager: these are all. Returns whether the epoch ended, as all of these do.
    pub(super) fn assign(&mut self, partitions: Vec<Partition>) -> bool {
        self.owned = Some(partitions.into_iter().collect());
        self.end_epoch()
    }

    /// Eager: all are taken.
    pub(super) fn unassign(&mut self) -> bool {
        self.owned = None;
        self.end_epoch()
    }

    /// Incremental: these are added. None of them: the group rebalanced and this lane keeps what it has.
    pub(super) fn add(&mut self, partitions: Vec<Partition>) -> bool {
        if partitions.is_empty() && self.owned.is_some() {
            return false;
        }
        self.owned.get_or_insert_default().extend(partitions);
        self.end_epoch()
    }

    /// Incremental: these are taken.
    pub(super) fn remove(&mut self, partitions: &[Partition]) -> bool {
        if let Some(owned) = &mut self.owned {
            owned.retain(|partition| !partitions.contains(partition));
        }
        if self.owned.as_ref().is_some_and(BTreeSet::is_empty) {
            self.owned = None;
        }
        self.end_epoch()
    }

    fn end_epoch(&mut self) -> bool {
        self.epoch += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(numbers: &[i32]) -> Vec<Partition> {
        numbers.iter().map(|&number| Partition { topic: "posts".into(), number }).collect()
    }

    #[test]
    fn incremental_changes_add_up() {
        let mut lane = Membership::default();
        assert_eq!((lane.epoch(), lane.owned()), (0, None));
        assert!(lane.add(partitions(&[2, 0])) && lane.add(partitions(&[1])));
        assert_eq!((lane.epoch(), lane.owned()), (2, Some(partitions(&[0, 1, 2]))));
        assert!(lane.remove(&partitions(&[0, 2])));
        assert_eq!((lane.epoch(), lane.owned()), (3, Some(partitions(&[1]))));
    }

    #[test]
    fn a_rebalance_that_changes_nothing_for_a_lane_ends_no_epoch() {
        let mut lane = Membership::default();
        lane.add(partitions(&[0]));
        assert!(!lane.add(Vec::new()));
        assert_eq!((lane.epoch(), lane.owned()), (1, Some(partitions(&[0]))));
    }

    #[test]
    fn a_stand_by_has_joined_with_nothing_and_one_that_lost_all_has_not() {
        let mut lane = Membership::default();
        assert!(lane.add(Vec::new()), "the first assignment counts, empty as it is");
        assert_eq!(lane.owned(), Some(Vec::new()));
        lane.add(partitions(&[0]));
        lane.remove(&partitions(&[0]));
        assert_eq!(lane.owned(), None, "until the group answers");
        assert!(lane.add(Vec::new()));
        assert_eq!((lane.epoch(), lane.owned()), (4, Some(Vec::new())));
    }

    #[test]
    fn an_eager_assignment_replaces_the_one_before() {
        let mut lane = Membership::default();
        lane.assign(partitions(&[0, 1]));
        assert!(lane.assign(partitions(&[1])), "equal or not, it is a new epoch");
        assert_eq!((lane.epoch(), lane.owned()), (2, Some(partitions(&[1]))));
        lane.unassign();
        assert_eq!((lane.epoch(), lane.owned()), (3, None));
    }
}
