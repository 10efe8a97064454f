//! The rig itself: what it reads is what was produced, and its proxy does what it says.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;

use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::proxy::api;
use crate::support::stage::{Layout, Stage};
use crate::support::topic::{self, Isolation};
use crate::support::{eventually, unique};

const CALL: Duration = Duration::from_secs(20);

fn transactional(brokers: &str, id: &str, timeout: Duration) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        .create()
        .expect("a producer's configuration is valid");
    producer.init_transactions(CALL).expect("the coordinator answers");
    producer
}

fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(value)).expect("the queue is empty");
    producer.flush(CALL).expect("the broker acknowledges");
}

#[test]
fn what_is_produced_is_read_back_in_place() {
    let mut stage = Stage::new(&Broker::shared().address(), "round-trip", &Layout::partitions(3));
    stage.produce(posts::take(20_000));
    let records = topic::read(&Broker::shared().address(), &stage.input, Isolation::Committed);
    assert_eq!(records.len(), 20_000);
    let mut inputs = stage.produced().to_vec();
    inputs.sort_by_key(|input| (input.partition, input.offset));
    for (record, input) in records.iter().zip(&inputs) {
        assert_eq!((record.partition, record.offset), (input.partition, input.offset));
        assert_eq!(record.value, input.draft.value);
    }
    let verdict = stage.verdict();
    assert_eq!(verdict.missing.len(), 20_000, "nothing has been labelled yet");
    assert_eq!(verdict.uncommitted.len(), 3);
}

#[test]
fn aborted_records_are_seen_uncommitted_only() {
    let brokers = Broker::shared().address();
    let stage = Stage::new(&brokers, "isolation", &Layout::partitions(1));
    let producer = transactional(&brokers, &unique("isolation"), CALL);
    for (value, commit) in [("kept", true), ("dropped", false)] {
        producer.begin_transaction().expect("no transaction is open");
        send(&producer, &stage.targets.output, value);
        if commit {
            producer.commit_transaction(CALL).expect("nothing stands against it");
        } else {
            producer.abort_transaction(CALL).expect("nothing stands against it");
        }
    }
    let values = |isolation| -> Vec<_> {
        topic::read(&brokers, &stage.targets.output, isolation).into_iter().filter_map(|record| record.value).collect()
    };
    assert_eq!(values(Isolation::Committed), [b"kept".to_vec()]);
    assert_eq!(values(Isolation::Uncommitted), [b"kept".to_vec(), b"dropped".to_vec()]);
}

#[test]
fn reading_waits_for_the_open_transaction_of_a_dead_producer() {
    let brokers = Broker::shared().address();
    let stage = Stage::new(&brokers, "open", &Layout::partitions(1));
    let dead = transactional(&brokers, &unique("open"), Duration::from_secs(8));
    dead.begin_transaction().expect("no transaction is open");
    send(&dead, &stage.targets.output, "never decided");
    let after: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a valid one");
    send(&after, &stage.targets.output, "behind it");
    let records = topic::read(&brokers, &stage.targets.output, Isolation::Committed);
    let values: Vec<_> = records.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, [b"behind it".to_vec()]);
}

#[test]
fn the_proxy_loses_the_reply_of_a_commit_that_the_broker_has_done() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let brokers = broker.address();
    let stage = Stage::new(&brokers, "lost-reply", &Layout::partitions(1));
    let producer = transactional(&brokers, &unique("lost-reply"), Duration::from_secs(8));
    producer.begin_transaction().expect("no transaction is open");
    send(&producer, &stage.targets.output, "committed all the same");

    producer.flush(CALL).expect("nothing stands against it");

    proxy.lose_next_reply_and_all_repeats(api::END_TXN);
    let error = producer.commit_transaction(Duration::from_secs(4)).expect_err("no reply can come");
    assert!(proxy.hits(api::END_TXN) > 0, "the broker has decided: {error}");
    proxy.clear();

    // The coordinator answers once it has decided; the partition learns of it a little later.
    let committed = || topic::read(&brokers, &stage.targets.output, Isolation::Committed).len();
    eventually(CALL, "the record is committed", || (committed() == 1).then_some(()));
}

#[test]
fn topics_offsets_and_the_node_can_be_changed_under_a_group() {
    let mut broker = Broker::start();
    let mut stage = Stage::new(&broker.address(), "changes", &Layout::partitions(2));
    stage.produce(posts::take(100));
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", &stage.group)
        .create()
        .expect("a consumer's configuration is valid");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_range(&stage.input, 0, 1);
    offsets.set_all_offsets(Offset::Offset(40)).expect("a valid offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("a group without members takes offsets");
    drop(consumer);
    assert_eq!(stage.done(), Some(80));

    stage.admin.delete_committed(&stage.group, &stage.input, 1);
    assert_eq!(stage.done(), Some(40), "one partition's offset is gone");
    broker.restart();
    stage.wait_for(40, CALL);
    stage.admin.delete_group(&stage.group);
    assert_eq!(stage.done(), Some(0));

    stage.admin.delete_records(&stage.input, 0, 10);
    let left = topic::read(&broker.address(), &stage.input, Isolation::Committed);
    assert_eq!(left.len(), 90);
    stage.admin.add_partitions(&stage.input, 3);
    stage.admin.delete_topic(&stage.input);
    stage.admin.create_topic(&stage.input, 1, &[]);
    assert_eq!(topic::read(&broker.address(), &stage.input, Isolation::Committed).len(), 0);
}
