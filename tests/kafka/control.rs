//! Negative control: without transactions the same crash must make the same oracle object. A proof that cannot
//! fail proves nothing.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::stage::{Layout, Stage};

#[test]
fn without_transactions_a_crash_before_the_commit_doubles_posts() {
    const DEADLINE: Duration = Duration::from_mins(1);
    let mut stage = Stage::new(&Broker::shared().address(), "control", &Layout::partitions(2));
    stage.produce(posts::take(600));
    let launch = stage
        .worker("crashing")
        .instance("crashing")
        .set("kafka.delivery", "at_least_once")
        .set_raw("batch.max_posts", "50");
    let status = launch.clone().crash_at("acknowledged", 3).start().wait(DEADLINE);
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "ended by the crash point: {status}");
    let again = launch.start();
    stage.wait_until_done(DEADLINE);
    again.stop();

    let verdict = stage.verdict();
    assert!(!verdict.duplicated.is_empty(), "the oracle sees no duplicates: {verdict}");
    assert!(!verdict.disordered.is_empty(), "the repeated batch stands behind itself: {verdict}");
    assert!(verdict.missing.is_empty(), "at least once is promised: {verdict}");
    assert!(verdict.altered.is_empty() && verdict.uncommitted.is_empty(), "{verdict}");
}
