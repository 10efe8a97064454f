//! Positions that are gone: each is reported and stops the lane; nothing is skipped or repeated unasked (I10,
//! FAULTS 18, 19).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::eventually;
use crate::support::oracle::Verdict;
use crate::support::posts::{self, Draft};
use crate::support::stage::{Layout, Stage};
use crate::support::topic::Isolation;
use crate::support::worker::{Launch, Worker, field, is_error, message};

const DEADLINE: Duration = Duration::from_mins(1);

/// The worker must say that it lost its position and how to go on, count it, stop being ready, and live. Returns the
/// command that goes on.
fn expect_lost_position(worker: &mut Worker, stage: &Stage, cause: &str) -> String {
    let line = worker
        .wait_for_line(DEADLINE, "position lost", |line| is_error(line) && message(line).contains("position lost"));
    assert_eq!(field(&line, "cause").and_then(|cause| cause.as_str()), Some(cause), "{line}");
    assert_eq!(field(&line, "topic").and_then(|topic| topic.as_str()), Some(stage.input.as_str()), "{line}");
    assert!(field(&line, "partition").is_some(), "{line}");
    let command = field(&line, "command").and_then(|command| command.as_str()).unwrap_or_default().to_owned();
    assert!(command.contains(" run --config ") && command.ends_with(" --on-lost-position earliest"), "{line}");
    assert!(message(&line).contains(&command), "a person reads the message: {line}");
    let reset = format!("--group {} --topic {}:", stage.group, stage.input);
    assert!(message(&line).contains(&reset), "names no other way on: {line}");
    worker.wait_not_ready("position lost", DEADLINE);
    eventually(DEADLINE, "the lost position is counted", || {
        (worker.metric("moodstream_lost_positions_total", "")? >= 1.0).then_some(())
    });
    assert_eq!(worker.exit_status(), None, "the process lives");
    command
}

/// Everything published once; what is committed does not matter.
#[track_caller]
fn assert_published_once(verdict: &Verdict) {
    let published = Verdict { uncommitted: Vec::new(), ..verdict.clone() };
    published.assert_clean();
}

/// A stage with 400 posts done by a worker that has left.
fn worked_off(name: &str) -> Stage {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(2));
    stage.produce(posts::take(400));
    stage.finish([stage.worker("first").start()], DEADLINE);
    stage
}

#[test]
fn deleted_group_offsets_stop_the_lane_and_repeat_nothing() {
    let mut stage = worked_off("offsets-deleted");
    stage.admin.delete_group(&stage.group);
    let mut worker = stage.worker("stopped").start();
    expect_lost_position(&mut worker, &stage, "no_committed_offset");
    worker.stop();
    assert_published_once(&stage.verdict());

    let mut worker = stage.worker("told").set("input.on_lost_position", "latest").start();
    worker.wait_ready();
    stage.produce(posts::take(100));
    stage.finish([worker], DEADLINE);
}

#[test]
fn the_deleted_offset_of_one_partition_stops_the_lane_and_repeats_nothing() {
    let stage = worked_off("one-offset-deleted");
    stage.admin.delete_committed(&stage.group, &stage.input, 1);
    let mut worker = stage.worker("stopped").start();
    expect_lost_position(&mut worker, &stage, "no_committed_offset");
    worker.stop();
    assert_published_once(&stage.verdict());
}

#[test]
fn records_deleted_past_the_committed_offset_stop_the_lane() {
    const GONE_BELOW: i64 = 250;
    let mut stage = worked_off("records-deleted");
    stage.produce(posts::take(400));
    stage.admin.delete_records(&stage.input, 0, GONE_BELOW);
    let launch = stage.worker("stopped");
    let mut worker = launch.start();
    let command = expect_lost_position(&mut worker, &stage, "out_of_range");
    // Run again by its own command, it does the rest: only what the broker no longer has is missing. The one that is to
    // be stopped first must live on until then, because its settings go with it in this test.
    let mut told = launch.start_as_told(&command);
    told.wait_ready();
    worker.stop();
    stage.wait_until_done(DEADLINE);
    told.stop();
    let done = 200;
    stage.forget(|input| input.partition == 0 && (done..GONE_BELOW).contains(&input.offset));
    stage.verdict().assert_clean();
}

/// Posts with ids of their own, so that those of the old and the new topic can be told apart.
fn named(stem: &str, count: usize) -> Vec<Draft> {
    (0..count).map(|number| Draft::post(&format!("{stem}-{number}"), &format!("{stem} day {number}"))).collect()
}

/// How often each id was published.
fn ids(stage: &Stage) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for outcome in stage.published(Isolation::Committed).outcomes {
        *ids.entry(outcome.record.json()["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    ids
}

#[test]
fn a_topic_made_anew_under_a_running_lane_stops_it() {
    let mut stage = Stage::new(&Broker::shared().address(), "made-anew", &Layout::partitions(2));
    stage.produce(named("old", 400));
    let mut worker = stage.worker("running").set("kafka.topic_check_interval", "1s").start();
    stage.wait_until_done(DEADLINE);

    stage.admin.delete_topic(&stage.input);
    stage.admin.create_topic(&stage.input, 2, &[]);
    // More than before: the old offsets are valid ones of the new topic.
    stage.produce(named("new", 1_000));
    expect_lost_position(&mut worker, &stage, "topic_recreated");
    worker.stop();
    let ids = ids(&stage);
    let twice: Vec<_> = ids.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "published more than once: {twice:?}");
    assert_eq!(ids.keys().filter(|id| id.starts_with("old-")).count(), 400);
}

#[test]
fn a_topic_made_anew_while_no_worker_ran_is_not_mistaken_for_the_old_one() {
    let mut stage = Stage::new(&Broker::shared().address(), "made-anew-idle", &Layout::partitions(2));
    stage.produce(named("old", 400));
    let worker = stage.worker("first").start();
    stage.wait_until_done(DEADLINE);
    worker.stop();

    stage.admin.delete_topic(&stage.input);
    stage.admin.create_topic(&stage.input, 2, &[]);
    stage.produce(named("new", 1_000));
    let mut worker = stage.worker("second").start();
    // The broker forgets the offsets with the topic, sooner or later: either cause is true.
    worker.wait_for_line(DEADLINE, "position lost", |line| is_error(line) && message(line).contains("position lost"));
    worker.wait_not_ready("position lost", DEADLINE);
    worker.stop();
    assert_eq!(ids(&stage).len(), 400, "nothing of the new topic is published unasked");

    let worker = stage.worker("told").set("input.on_lost_position", "earliest").start();
    stage.wait_until_done(DEADLINE);
    worker.stop();
    let ids = ids(&stage);
    assert_eq!(ids.len(), 1_400, "every post of the old and of the new topic");
    assert!(ids.values().all(|times| *times == 1), "each once");
}

/// Adds partitions under two workers of two lanes, so that each added one falls to a lane that learns of it by itself.
pub(crate) fn add_partitions(name: &str, launch: impl Fn(Launch) -> Launch) {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(4));
    stage.produce(posts::take(400));
    let mut workers = ["one", "two"]
        .map(|instance| launch(stage.worker(instance).instance(instance)).set_raw("worker.lanes", "2").start());
    for worker in &mut workers {
        worker.wait_ready();
    }
    stage.wait_until_done(DEADLINE);
    stage.admin.add_partitions(&stage.input, 8);
    // Before the workers can know of them.
    stage.produce_to(&[4, 5, 6, 7], posts::take(400));
    stage.produce(posts::take(400));
    stage.finish(workers, DEADLINE);
}

#[test]
fn added_partitions_are_read_from_their_beginning() {
    add_partitions("added", |worker| worker);
}

#[test]
fn partitions_added_while_a_named_worker_was_away_are_read_from_their_beginning() {
    let mut stage = Stage::new(&Broker::shared().address(), "added-away", &Layout::partitions(2));
    stage.produce(posts::take(400));
    let launch = stage.worker("away").instance("away");
    let worker = launch.start();
    stage.wait_until_done(DEADLINE);
    worker.stop();
    stage.admin.add_partitions(&stage.input, 4);
    stage.produce(posts::take(400));
    // The broker may still keep the assignment of before for this name.
    stage.finish([launch.start()], DEADLINE);
}
