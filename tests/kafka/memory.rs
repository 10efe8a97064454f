//! Memory is bounded by configuration, not by backlog (I8, FAULTS 22).

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::posts::Draft;
use crate::support::stage::{Layout, Stage};
use crate::support::within;

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the memory of another process is read from /proc")]
fn a_backlog_larger_than_the_bound_stays_on_the_broker() {
    const DEADLINE: Duration = Duration::from_mins(2);
    /// For a worker with two lanes and batches of 1 MiB. The backlog is larger.
    const BOUND: u64 = 160 << 20;
    const POSTS: usize = 24_000;
    const TEXT: usize = 10_000;

    let mut stage = Stage::new(&Broker::shared().address(), "backlog", &Layout::partitions(8));
    let filler = "what a long day it was ".repeat(TEXT / 23);
    stage.produce((0..POSTS).map(|number| Draft::post(&number.to_string(), &format!("{number} {filler}"))).collect());
    let launch = stage.worker("one").instance("one").set_raw("worker.lanes", "2").set("batch.max_bytes", "1MiB");
    let mut worker = launch.start();
    let mut peak = 0;
    let done = within(DEADLINE, || {
        peak = peak.max(worker.resident_bytes().expect("a running process has a resident set"));
        (stage.done()? >= POSTS).then_some(())
    });
    assert!(done.is_some(), "not done within {DEADLINE:?}");
    worker.wait_ready();
    stage.finish([worker], DEADLINE);
    let backlog = (POSTS * TEXT) as u64;
    assert!(backlog > BOUND, "the backlog is the larger one");
    assert!(peak < BOUND, "{} MiB at the peak, {} MiB are allowed", peak >> 20, BOUND >> 20);
}
