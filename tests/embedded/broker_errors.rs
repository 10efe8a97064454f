//! Errors of the broker, injected: afterwards every record is labelled, at least once.

use std::time::Duration;

use moodstream::inference::faulty::Faults;
use moodstream::telemetry::TransactionResult;
use rdkafka::mocking::MockCoordinator;
use rdkafka_sys::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::rig::{GROUP, Rig, Setup};

/// What an injected error must leave in the metrics.
#[derive(Clone, Copy)]
enum Trace {
    /// Nothing: the client itself tries again.
    None,
    /// At least one aborted transaction.
    Aborted,
    /// At least one whose result was unknown, or that was fenced.
    Unknown,
}

/// Labels some posts, injects the errors, and labels some more.
fn survives(api: RDKafkaApiKey, errors: &[RDKafkaRespErr], trace: Trace) {
    let folder = tempfile::tempdir().expect("a folder");
    let down = folder.path().join("down");
    let faults = Faults { down_file: Some(down.clone()), ..Faults::default() };
    let mut rig = Setup { partitions: 2, faults, ..Setup::default() }.start();
    rig.send_many(2, 20, "before");
    rig.wait_until_all_are_labelled();
    let broken = || {
        let count = |result| rig.transactions(result);
        match trace {
            Trace::None => 1,
            Trace::Aborted => count(TransactionResult::Aborted),
            Trace::Unknown => count(TransactionResult::Ambiguous) + count(TransactionResult::Fenced),
        }
    };
    assert!(matches!(trace, Trace::None) || broken() == 0, "nothing is wrong yet");
    // The worker waits for its model while the test sends, so the errors meet the worker and nobody else.
    std::fs::write(&down, "").expect("written");
    rig.send_many(2, 20, "after");
    rig.wait("the lane pauses", |rig| rig.metrics.lanes_paused.of(["model"]).get() == 1);
    rig.broker.cluster().expect("a cluster").request_errors(api, errors);
    std::fs::remove_file(&down).expect("removed");
    rig.wait_until_all_are_labelled();
    assert!(broken() > 0, "the error left no trace: it was not injected\n{}", rig.metrics.encode());
    assert!(rig.dead_letters().is_empty(), "no record is to blame");
    rig.stop();
}

macro_rules! errors {
    ($($name:ident: $api:ident [$($error:ident),*] => $trace:ident;)*) => {
        $(#[test]
        fn $name() {
            survives(RDKafkaApiKey::$api, &[$(RDKafkaRespErr::$error),*], Trace::$trace);
        })*
    };
}

errors! {
    retriable_produce_errors_are_tried_again: Produce
        [RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT] => None;
    a_permanent_produce_error_aborts_the_batch: Produce [RD_KAFKA_RESP_ERR_INVALID_RECORD] => Aborted;
    a_batch_refused_three_times_is_halved_until_it_passes: Produce
        [RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_RECORD,
         RD_KAFKA_RESP_ERR_INVALID_RECORD] => Aborted;
    a_lost_produce_connection_is_made_again: Produce [RD_KAFKA_RESP_ERR__TRANSPORT] => None;
    a_loading_coordinator_delays_the_offsets: TxnOffsetCommit
        [RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR] => None;
    offsets_of_an_old_generation_abort_the_batch: TxnOffsetCommit
        [RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION] => Aborted;
    offsets_that_are_forbidden_abort_the_batch: TxnOffsetCommit
        [RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED] => Aborted;
    a_busy_coordinator_delays_the_commit: EndTxn
        [RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS] => None;
    a_commit_whose_reply_is_lost_is_settled: EndTxn [RD_KAFKA_RESP_ERR__TRANSPORT] => None;
    a_commit_in_the_wrong_state_makes_a_new_producer: EndTxn [RD_KAFKA_RESP_ERR_INVALID_TXN_STATE] => Unknown;
    a_fenced_producer_starts_anew: EndTxn [RD_KAFKA_RESP_ERR_PRODUCER_FENCED] => Unknown;
    concurrent_transactions_delay_the_partitions: AddPartitionsToTxn
        [RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR] => None;
    partitions_that_are_forbidden_abort_the_batch: AddPartitionsToTxn
        [RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED] => Aborted;
    offsets_that_cannot_be_added_abort_the_batch: AddOffsetsToTxn
        [RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED] => Aborted;
    a_lost_rebalance_is_joined_again: Heartbeat
        [RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID] => None;
}

/// A worker with a stable name on three brokers, which has worked.
fn on_three_brokers() -> Rig {
    let setup = Setup { brokers: 3, partitions: 2, ..Setup::default() }.with("worker.instance", "w");
    let rig = setup.with("worker.leave_group", "true").start();
    rig.send_many(2, 20, "before");
    rig.wait_until_all_are_labelled();
    rig
}

#[test]
fn coordinators_may_move_while_posts_are_labelled() {
    let rig = on_three_brokers();
    for broker in [1, 2, 3] {
        let cluster = rig.broker.cluster().expect("a cluster");
        let transactions = MockCoordinator::Transaction(format!("{GROUP}/w/0"));
        cluster.coordinator(transactions, broker).expect("moved");
        cluster.coordinator(MockCoordinator::Group(GROUP.to_owned()), broker).expect("moved");
        rig.send_many(2, 20, "moved");
        rig.wait_until_all_are_labelled();
    }
}

#[test]
fn brokers_may_go_and_come_back() {
    let rig = on_three_brokers();
    rig.broker.cluster().expect("a cluster").broker_down(-1).expect("down");
    rig.broker.cluster().expect("a cluster").broker_up(-1).expect("up");
    rig.send_many(2, 20, "after");
    rig.wait_until_all_are_labelled();
}

#[test]
fn a_slow_broker_only_takes_longer() {
    let rig = on_three_brokers();
    let slow = Duration::from_millis(150);
    rig.broker.cluster().expect("a cluster").broker_round_trip_time(-1, slow).expect("slow");
    rig.send_many(2, 200, "slowly");
    rig.wait_until_all_are_labelled();
}
