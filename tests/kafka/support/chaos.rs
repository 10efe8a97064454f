//! Harm that several scenarios do.

use std::time::Duration;

use super::stage::Stage;
use super::worker::{Launch, Worker};

/// Starts the workers and kills them in turn, each when it has been at work, at even steps of the group's progress;
/// each is started again at once.
pub(crate) fn kill_in_turn(stage: &Stage, launches: &[Launch], kills: usize) -> Vec<Worker> {
    const STEP: Duration = Duration::from_secs(90);
    let posts = stage.produced().len();
    let mut workers: Vec<Worker> = launches.iter().map(Launch::start).collect();
    for kill in 0..kills {
        let turn = kill % launches.len();
        workers[turn].wait_ready();
        stage.wait_for(posts * (kill + 1) / (kills + 2), STEP);
        workers.remove(turn).kill();
        workers.insert(turn, launches[turn].start());
    }
    workers
}
