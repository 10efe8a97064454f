//! A broker that goes away, and a commit whose reply is lost (FAULTS 3, 4).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::proxy::api;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::STOP;

const DEADLINE: Duration = Duration::from_secs(90);

/// What a post costs in these scenarios: enough to be interrupted at.
const PER_POST: Duration = Duration::from_millis(2);

#[test]
fn a_broker_restart_interrupts_but_loses_and_doubles_nothing() {
    let mut broker = Broker::start();
    let mut stage = Stage::new(&broker.address(), "restart", &Layout::partitions(2));
    stage.produce(posts::take(4_000));
    let launch = stage.worker("steady").instance("steady").set("batch.target", "250ms");
    let mut worker = launch.hash_classifier(PER_POST).start();
    stage.wait_for(1_000, DEADLINE);
    broker.restart();
    stage.wait_until_done(DEADLINE);
    worker.wait_ready();
    stage.finish([worker], DEADLINE);
}

#[test]
fn sigterm_without_a_broker_ends_in_time_and_loses_and_doubles_nothing() {
    let mut broker = Broker::start();
    let mut stage = Stage::new(&broker.address(), "term-down", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("cut-off").instance("cut-off").set("batch.target", "250ms").hash_classifier(PER_POST);
    let mut worker = launch.start();
    stage.wait_for(500, DEADLINE);
    broker.kill();
    worker.signal(Signal::SIGTERM);
    // Whether the batch in hand could be ended in time decides between 0 and 1; a signal or a hang is a defect.
    let status = worker.wait(STOP);
    assert!(matches!(status.code(), Some(0 | 1)), "ended with {status}");
    drop(worker);
    broker.start_again();
    stage.finish([launch.start()], DEADLINE);
}

#[test]
fn a_commit_whose_reply_is_lost_is_not_repeated() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut stage = Stage::new(&broker.address(), "lost-reply", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("committing").instance("committing").set("batch.target", "250ms");
    let worker = launch.hash_classifier(PER_POST).start();
    for (hits, records) in [(1, 300), (2, 1_000), (3, 2_000)] {
        stage.wait_for(records, DEADLINE);
        proxy.lose_next_reply(api::END_TXN);
        proxy.wait_for_hits(api::END_TXN, hits, DEADLINE);
    }
    stage.finish([worker], DEADLINE);
}

#[test]
fn a_commit_of_unknown_result_is_resolved_by_the_committed_offsets() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut stage = Stage::new(&broker.address(), "unknown-commit", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch =
        stage.worker("unsure").instance("unsure").set("batch.target", "250ms").set("kafka.request_deadline", "4s");
    let mut worker = launch.hash_classifier(PER_POST).start();
    stage.wait_for(500, DEADLINE);
    // The broker commits; the worker asks again and again and is never told.
    proxy.lose_next_reply_and_all_repeats(api::END_TXN);
    proxy.wait_for_hits(api::END_TXN, 2, DEADLINE);
    worker.wait_for_line(DEADLINE, "a warning about the unknown result", |line| {
        line["level"] == "WARN" || line["level"] == "ERROR"
    });
    proxy.clear();
    stage.wait_until_done(DEADLINE);
    worker.wait_for_count(3_000);
    stage.finish([worker], DEADLINE);
}

#[test]
fn lost_replies_cut_connections_and_slow_answers_lose_and_double_nothing() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut stage = Stage::new(&broker.address(), "lost-offsets", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("committing").instance("committing").set("batch.target", "250ms");
    let mut worker = launch.hash_classifier(PER_POST).start();
    let keys = [api::ADD_PARTITIONS, api::PRODUCE, api::ADD_OFFSETS, api::TXN_OFFSET_COMMIT];
    for (step, key) in keys.into_iter().enumerate() {
        stage.wait_for(300 * (step + 1), DEADLINE);
        proxy.lose_next_reply(key);
        proxy.wait_for_hits(key, 1, DEADLINE);
    }
    // Every connection at once.
    stage.wait_for(1_500, DEADLINE);
    proxy.cut();
    stage.wait_for(2_000, DEADLINE);
    proxy.delay_replies(api::PRODUCE, Duration::from_millis(700));
    proxy.delay_replies(api::END_TXN, Duration::from_millis(700));
    stage.wait_for(2_500, DEADLINE);
    proxy.clear();
    stage.wait_until_done(DEADLINE);
    worker.wait_for_count(3_000);
    stage.finish([worker], DEADLINE);
}
