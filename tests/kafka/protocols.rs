//! The incremental group protocols through the scenarios that the eager one goes through in `kills`, `membership` and
//! `positions` (FAULTS 1, 11, 12, 14, 18).

use crate::kills::kill;
use crate::membership::{freeze, join_and_leave};
use crate::positions::add_partitions;
use crate::support::worker::Launch;

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
