//! Workers that come, go, freeze, or share a name (FAULTS 8, 11, 12, 23).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::Broker;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::{self, Launch, Worker};
use crate::support::{eventually, posts};

const DEADLINE: Duration = Duration::from_secs(90);

/// What a post costs in these scenarios: enough to be interrupted at.
const PER_POST: Duration = Duration::from_millis(2);

/// Four workers, at most three at a time, join and leave while batches run.
pub(crate) fn join_and_leave(name: &str, launch: impl Fn(&Stage, &str) -> Launch) {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(6));
    stage.produce(posts::take(9_000));
    let start = |name: &str| {
        let launch = launch(&stage, name).set("batch.target", "250ms").hash_classifier(PER_POST);
        let mut worker = launch.start();
        worker.wait_ready();
        worker
    };
    let first = start("first");
    stage.wait_for(500, DEADLINE);
    let second = start("second");
    let third = start("third");
    stage.wait_for(3_000, DEADLINE);
    first.stop();
    stage.wait_for(5_000, DEADLINE);
    let fourth = start("fourth");
    stage.wait_for(6_500, DEADLINE);
    second.stop();
    stage.finish([third, fourth], DEADLINE);
}

#[test]
fn workers_without_a_name_join_and_leave_while_batches_run() {
    join_and_leave("dynamic", Stage::worker);
}

#[test]
fn named_workers_join_and_leave_for_good_while_batches_run() {
    join_and_leave("static", |stage, name| stage.worker(name).instance(name).set_raw("worker.leave_group", "true"));
}

/// Freezes one of two workers until the group has given its partitions away and the other has done its work,
/// then lets it go on with the batch that it holds.
pub(crate) fn freeze(name: &str, launch: impl Fn(&Stage, &str) -> Launch) {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(4));
    stage.produce(posts::take(4_000));
    let start = |name: &str| {
        let launch = launch(&stage, name).set("kafka.session_timeout", "6s").set("batch.target", "500ms");
        let mut worker = launch.hash_classifier(PER_POST).start();
        worker.wait_ready();
        worker
    };
    let mut zombie = start("zombie");
    let mut survivor = start("survivor");
    stage.wait_for(1_000, DEADLINE);
    zombie.signal(Signal::SIGSTOP);
    stage.wait_until_done(DEADLINE);
    zombie.signal(Signal::SIGCONT);

    // The zombie finds itself thrown out, drops what it holds, and joins again.
    stage.produce(posts::take(1_000));
    stage.wait_until_done(DEADLINE);
    zombie.wait_ready();
    worker::wait_for_counts(&mut [&mut zombie, &mut survivor], 5_000);
    stage.finish([zombie, survivor], DEADLINE);
}

#[test]
fn a_nameless_worker_frozen_beyond_the_session_timeout_is_fenced() {
    freeze("frozen-dynamic", Stage::worker);
}

#[test]
fn a_named_worker_frozen_beyond_the_session_timeout_is_fenced() {
    freeze("frozen-static", |stage, name| stage.worker(name).instance(name));
}

#[test]
fn the_open_transaction_of_a_worker_that_died_for_good_holds_the_others_up_no_longer_than_its_session() {
    const SESSION: Duration = Duration::from_secs(6);
    let mut stage = Stage::new(&Broker::shared().address(), "died", &Layout::partitions(4));
    stage.produce(posts::take(4_000));
    let launch = |name: &str| {
        let worker = stage.worker(name).instance(name).set("kafka.session_timeout", "6s");
        worker.set("batch.target", "250ms").hash_classifier(PER_POST)
    };
    let mut dead = launch("dead").crash_at("offsets_sent", 5).start();
    let survivor = launch("survivor").start();
    dead.wait(DEADLINE);
    // The group waits for its session to end; its transaction must not keep its partitions for longer.
    stage.finish([survivor], 2 * SESSION + Duration::from_secs(15));
}

#[test]
fn of_two_workers_with_one_name_one_gives_up_and_says_why() {
    // Mutual fencing is slow: each steps back for longer every time.
    const GIVES_UP: Duration = Duration::from_mins(3);
    let mut stage = Stage::new(&Broker::shared().address(), "twins", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("twin").instance("twin").set("batch.target", "250ms").hash_classifier(PER_POST);
    let mut first = launch.start();
    first.wait_ready();
    stage.wait_for(300, DEADLINE);
    let mut twins = [first, launch.start()];

    let mut counted = [0.0; 2];
    let mut count = |twins: &mut [Worker]| {
        for (twin, counted) in twins.iter_mut().zip(&mut counted) {
            *counted = twin.metric("moodstream_outcomes_total", "").unwrap_or(*counted);
        }
        counted.iter().sum::<f64>()
    };
    let loser = eventually(GIVES_UP, "one of the twins gives up", || {
        count(&mut twins);
        twins.iter_mut().position(|twin| twin.exit_status().is_some())
    });
    let status = twins[loser].exit_status().expect("it has ended");
    assert_eq!(status.code(), Some(1), "failed at work: {status}");
    let naming = |line: &serde_json::Value| worker::is_error(line) && line.to_string().contains("/twin/");
    let errors = twins[loser].lines(naming);
    assert!(!errors.is_empty(), "no error names the transactional id with the shared name");

    stage.produce(posts::take(500));
    stage.wait_until_done(DEADLINE);
    // What the loser counted last may be unknown, but nothing is counted by both.
    let counted = count(&mut twins);
    assert!(counted <= 3_500.0, "{counted} outcomes are counted, of 3,500 inputs");
    let [first, second] = twins;
    stage.finish([if loser == 0 { second } else { first }], DEADLINE);
}

#[test]
fn sigterm_in_the_midst_of_a_batch_ends_well_and_in_time() {
    let mut stage = Stage::new(&Broker::shared().address(), "sigterm", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("stopped").instance("stopped").set("batch.target", "500ms").hash_classifier(PER_POST);
    for round in 1..=4 {
        let worker = launch.start();
        stage.wait_for(round * 500, DEADLINE);
        worker.stop();
    }
    stage.finish([launch.start()], DEADLINE);
}
