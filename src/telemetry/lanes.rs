//! What each lane holds and whether it works: for the status page. The lanes write it at every change of their
//! assignment, so it costs nothing per record.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lanes of one worker; clones share the table.
#[derive(Debug, Clone, Default)]
pub struct Lanes(Arc<Mutex<Vec<LaneState>>>);

/// What one lane holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Topic and number of its partitions, in their order; `None` while the group has not given it any answer.
    pub partitions: Option<Vec<(String, i32)>>,
    /// Why it polls and labels nothing, as `moodstream_lanes_paused` says.
    pub paused: Option<&'static str>,
    /// Its thread has come to its end.
    pub stopped: bool,
}

impl Lanes {
    /// So many lanes, none of which has joined.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![LaneState::default(); count])))
    }

    /// The group gave the lane these partitions, or (`None`) took what it had.
    pub fn assigned(&self, lane: usize, partitions: Option<Vec<(String, i32)>>) {
        let sorted = partitions.map(|mut partitions| {
            partitions.sort_unstable();
            partitions
        });
        self.change(lane, |state| state.partitions = sorted);
    }

    /// The lane pauses for this reason, or goes on.
    pub fn paused(&self, lane: usize, reason: Option<&'static str>) {
        self.change(lane, |state| state.paused = reason);
    }

    /// The lane has ended, and gave everything back.
    pub fn stopped(&self, lane: usize) {
        self.change(lane, |state| *state = LaneState { stopped: true, ..LaneState::default() });
    }

    /// Every lane's state, by its number.
    #[must_use]
    pub fn states(&self) -> Vec<LaneState> {
        self.lock().clone()
    }

    fn change(&self, lane: usize, change: impl FnOnce(&mut LaneState)) {
        if let Some(state) = self.lock().get_mut(lane) {
            change(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LaneState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_keeps_its_partitions_in_order_and_gives_them_back() {
        let lanes = Lanes::new(2);
        let held = |lanes: &Lanes| lanes.states()[1].partitions.clone();
        lanes.assigned(1, Some(vec![("b".into(), 0), ("a".into(), 10), ("a".into(), 9)]));
        assert_eq!(held(&lanes), Some(vec![("a".into(), 9), ("a".into(), 10), ("b".into(), 0)]));
        lanes.paused(1, Some("breaker"));
        assert_eq!(lanes.states()[1].paused, Some("breaker"));
        assert_eq!(lanes.states()[0], LaneState::default(), "the other lane is untouched");
        lanes.assigned(1, None);
        assert_eq!(held(&lanes), None);
        lanes.assigned(1, Some(Vec::new()));
        lanes.stopped(1);
        assert_eq!(lanes.states()[1], LaneState { stopped: true, ..LaneState::default() });
        lanes.paused(7, None); // a lane that is not there is nobody's panic
    }
}
