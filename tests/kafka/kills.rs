//! SIGKILL at any moment, and aborts at named points of a batch (FAULTS 1, 2).

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::Broker;
use crate::support::chaos::kill_in_turn;
use crate::support::oracle::Kind;
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::topic::Isolation;
use crate::support::worker::Launch;

/// How many posts the kills with the real model run over.
const MODEL_POSTS_VARIABLE: &str = "MOODSTREAM_TEST_MODEL_POSTS";

/// Kills two named workers in turn while they label.
pub(crate) fn kill(name: &str, posts: usize, kills: usize, launch: impl Fn(Launch) -> Launch) {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(4));
    stage.produce(posts::take(posts));
    let launches = ["one", "two"].map(|instance| {
        let worker = launch(stage.worker(instance).instance(instance));
        worker.set("batch.target", "250ms").hash_classifier(Duration::from_millis(2))
    });
    let workers = kill_in_turn(&stage, &launches, kills);
    let verdict = stage.finish(workers, Duration::from_mins(2));
    assert_eq!(verdict.count(Kind::Labelled), posts);
}

#[test]
fn fifteen_kills_of_two_workers_lose_and_double_nothing() {
    kill("kills", 20_000, 15, |worker| worker);
}

#[test]
fn five_kills_with_the_real_model_lose_and_double_nothing() {
    let posts = env::var(MODEL_POSTS_VARIABLE)
        .map_or(2_500, |count| count.parse().unwrap_or_else(|_| panic!("{MODEL_POSTS_VARIABLE} is a number")));
    let mut stage = Stage::new(&Broker::shared().address(), "model-kills", &Layout::partitions(4));
    stage.produce(posts::take(posts));
    let launches = ["one", "two"]
        .map(|instance| stage.worker(instance).instance(instance).real_model().set("batch.target", "250ms"));
    let workers = kill_in_turn(&stage, &launches, 5);
    let verdict = stage.finish(workers, Duration::from_mins(3));
    assert_eq!(verdict.count(Kind::DeadLettered), 0, "{verdict}");
}

/// Aborts a worker at a crash point of its third batch and starts it again. Returns how many outcomes were
/// published twice, aborted ones included.
fn crash_at(point: &str) -> usize {
    const DEADLINE: Duration = Duration::from_mins(1);
    let mut stage = Stage::new(&Broker::shared().address(), &format!("crash-{point}"), &Layout::partitions(2));
    stage.produce(posts::take(600));
    let launch = stage.worker("crashing").instance("crashing").set_raw("batch.max_posts", "50");
    let mut crashing = launch.clone().crash_at(point, 3).start();
    let status = crashing.wait(DEADLINE);
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "ended by the crash point: {status}");
    let done = stage.done().unwrap_or_default();
    assert!(done < 600, "{point}: the crash came in the midst of the work, {done} records were done");
    stage.finish([launch.start()], DEADLINE);
    stage.verdict_at(Isolation::Uncommitted).duplicated.len()
}

#[test]
fn crash_after_polling_loses_and_doubles_nothing() {
    assert_eq!(crash_at("polled"), 0, "nothing was produced before the crash");
}

#[test]
fn crash_after_begin_loses_and_doubles_nothing() {
    assert_eq!(crash_at("begun"), 0, "nothing was produced before the crash");
}

#[test]
fn crash_while_outputs_are_on_their_way_loses_and_doubles_nothing() {
    // Nothing, a part or all of the batch may have reached the broker.
    crash_at("produced");
}

#[test]
fn crash_between_acknowledgement_and_offsets_loses_and_doubles_nothing() {
    assert!(crash_at("acknowledged") > 0, "a reader who ignores transactions sees the aborted batch");
}

#[test]
fn crash_between_offsets_and_commit_loses_and_doubles_nothing() {
    assert!(crash_at("offsets_sent") > 0, "a reader who ignores transactions sees the aborted batch");
}

#[test]
fn crash_after_commit_loses_and_doubles_nothing() {
    assert_eq!(crash_at("committed"), 0, "the batch of the crash was committed, offsets included");
}
