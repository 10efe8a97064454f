//! The incremental group protocols through the scenarios that the eager one goes through in `kills`, `membership` and
//! `positions` (FAULTS 1, 11, 12, 14, 18).

use std::time::Duration;

use crate::check::{check, settings as check_settings};
use crate::kills::kill;
use crate::membership::{freeze, join_and_leave};
use crate::positions::add_partitions;
use crate::support::broker::Broker;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::Launch;
use crate::support::{eventually, posts};

const DEADLINE: Duration = Duration::from_mins(1);

fn cooperative(worker: Launch) -> Launch {
    worker.set("kafka.group_protocol", "cooperative")
}

fn consumer(worker: Launch) -> Launch {
    worker.set("kafka.group_protocol", "consumer")
}

#[test]
fn kills_of_cooperative_members_lose_and_double_nothing() {
    kill("kills-cooperative", 8_000, 6, cooperative);
}

#[test]
fn kills_of_kip_848_members_lose_and_double_nothing() {
    kill("kills-consumer", 8_000, 6, consumer);
}

#[test]
fn cooperative_members_join_and_leave_while_batches_run() {
    join_and_leave("join-cooperative", |stage, name| cooperative(stage.worker(name)));
}

#[test]
fn kip_848_members_join_and_leave_while_batches_run() {
    join_and_leave("join-consumer", |stage, name| consumer(stage.worker(name).instance(name)));
}

#[test]
fn cooperative_members_read_added_partitions_from_their_beginning() {
    add_partitions("added-cooperative", cooperative);
}

#[test]
fn kip_848_members_read_added_partitions_from_their_beginning() {
    add_partitions("added-consumer", consumer);
}

#[test]
fn a_cooperative_member_frozen_beyond_the_session_timeout_is_fenced() {
    freeze("frozen-cooperative", |stage, name| cooperative(stage.worker(name).instance(name)));
}

#[test]
fn a_kip_848_member_frozen_beyond_the_session_timeout_is_fenced() {
    freeze("frozen-consumer", |stage, name| consumer(stage.worker(name)));
}

#[test]
fn a_cooperative_worker_says_why_an_eager_group_does_not_take_it_in() {
    let mut stage = Stage::new(&Broker::shared().address(), "mixed", &Layout::partitions(2));
    let mut eager = stage.worker("eager").start();
    eager.wait_ready();
    let mut stranger = cooperative(stage.worker("cooperative")).start();
    stranger.wait_not_ready("have another kafka.group_protocol", DEADLINE);
    stage.produce(posts::take(300));
    stage.finish([eager, stranger], DEADLINE);
}

#[test]
fn a_group_moves_from_eager_to_kip_848_one_worker_after_the_other() {
    let mut stage = Stage::new(&Broker::shared().address(), "moving", &Layout::partitions(4));
    stage.produce(posts::take(4_000));
    let eager = ["one", "two"].map(|name| stage.worker(name).instance(name).hash_classifier(Duration::from_millis(2)));
    let [mut one, mut two] = eager.each_ref().map(Launch::start);
    one.wait_ready();
    two.wait_ready();
    stage.wait_for(500, DEADLINE);
    let mut workers = Vec::new();
    for (before, launch) in [one, two].into_iter().zip(eager) {
        before.stop();
        let mut after = consumer(launch).start();
        after.wait_ready();
        workers.push(after);
    }
    let brokers = Broker::shared().address();
    // The named members of before count until their session ends.
    eventually(DEADLINE, "check sees the members of this protocol, too", || {
        let (_, said) = check(&check_settings(&stage, &brokers), false);
        said.contains("stable, 2 members: ").then_some(())
    });
    stage.finish(workers, DEADLINE);
}
