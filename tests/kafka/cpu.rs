//! Waiting costs no processor time: it belongs to the model.

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::proxy::api;
use crate::support::stage::{Layout, Stage};

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the processor time of another process is read from /proc")]
fn a_lane_that_awaits_acknowledgements_leaves_the_core_alone() {
    const DEADLINE: Duration = Duration::from_secs(90);
    const DELAY: Duration = Duration::from_millis(500);
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut stage = Stage::new(&broker.address(), "waiting", &Layout::partitions(1));
    let launch = stage.worker("patient").instance("patient").set_raw("worker.lanes", "1");
    let mut worker = launch.set_raw("batch.max_posts", "50").hash_classifier(Duration::ZERO).start();
    worker.wait_ready();
    proxy.delay_replies(api::PRODUCE, DELAY);
    let before = worker.processor_time().expect("a running process has used some");
    stage.produce(posts::take(500));
    stage.wait_until_done(DEADLINE);
    let used = worker.processor_time().and_then(|now| now.checked_sub(before)).expect("it runs, and has used more");
    let waited = DELAY * u32::try_from(proxy.hits(api::PRODUCE)).expect("a few");
    proxy.clear();
    stage.finish([worker], DEADLINE);
    assert!(waited >= Duration::from_secs(3), "the replies were delayed: {waited:?}");
    assert!(used < waited / 3, "{used:?} of processor time while {waited:?} were spent waiting");
}
