//! A post meets the same fate in a file as in a topic: same scores, same labels, same reasons (I5).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use moodstream::demo::EmbeddedBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::program::{DEADLINE, Model, Running, json, moodstream, read};

const TOPICS: [(&str, i32); 3] = [("posts", 2), ("posts.emotions", 2), ("posts.dead-letter", 1)];

/// The starter model, with nothing remembered: every score is the model's own.
fn starter(folder: &Path, arguments: &[&str]) -> Running {
    let own = ["--set", "inference.cache_entries=0", "--set", "input.extra.mood=/mood"];
    Running::start(&mut moodstream(folder, Model::Starter, &[arguments, &own].concat()))
}

/// So many records of the output and the dead-letter topic, each once, by partition and offset of their source.
fn published(brokers: &str, count: usize) -> Vec<Value> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..2 {
        list.add_partition_offset("posts.emotions", partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let give_up = Instant::now() + 2 * DEADLINE;
    let mut found = BTreeMap::new();
    while found.len() < count {
        assert!(Instant::now() < give_up, "{} of {count} records", found.len());
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let record = json(&[message.payload().expect("a value"), b"\n"].concat()).remove(0);
            found.insert((record["source"]["partition"].as_i64(), record["source"]["offset"].as_i64()), record);
        }
    }
    found.into_values().collect()
}

/// By text, what must not depend on where a post came from.
fn fates(records: Vec<Value>) -> BTreeMap<String, Value> {
    let fate = |mut record: Value| {
        let text = record["text"].as_str().expect("a text").to_owned();
        let table = record.as_object_mut().expect("an object");
        for own in ["source", "labelled_at"] {
            assert!(table.remove(own).is_some());
        }
        // Without a credible time of writing the event time is the record's or the moment's.
        if table["time_source"] != "created_at" {
            table["time_source"] = Value::Null;
            table["event_time"] = Value::Null;
        }
        (text, record)
    };
    records.into_iter().map(fate).collect()
}

#[test]
fn label_and_run_give_the_same_posts_the_same_scores() {
    let folder = tempfile::tempdir().expect("a folder");
    // The demo's posts that have a text of their own and an id: all but source and moment must agree.
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/posts.jsonl");
    let mut seen = std::collections::BTreeSet::new();
    let demo = std::fs::read_to_string(demo).expect("the demo's posts");
    let posts = demo.lines().filter(|line| {
        let post: Value = serde_json::from_str(line).expect("JSON");
        post["id"].is_string() && post["text"].as_str().is_some_and(|text| seen.insert(text.to_owned()))
    });
    let posts: Vec<&str> = posts.collect();
    assert!(posts.len() > 200, "{}", posts.len());
    std::fs::write(folder.path().join("in.jsonl"), posts.join("\n")).expect("written");

    let broker = EmbeddedBroker::start(1, &TOPICS).expect("a broker");
    broker.set_join_delay(Duration::from_millis(100));
    broker.commit_beginnings("moodstream", &TOPICS[..1]).expect("beginnings");
    let address = broker.address().expect("an address");
    let brokers = ["--brokers", &address];
    let produced = starter(folder.path(), &[&["produce", "in.jsonl", "--topic", "posts"], &brokers[..]].concat());
    produced.wait().expect(0, &[]);
    let worker = starter(folder.path(), &[&["run", "--set", "admin.listen="], &brokers[..]].concat());
    let by_run = fates(published(&address, posts.len()));
    drop(worker);

    starter(folder.path(), &["label", "in.jsonl", "--out", "out.jsonl"]).wait().expect(0, &["0 rejected"]);
    let by_label = fates(read(folder.path(), "out.jsonl"));
    assert_eq!(by_label.len(), posts.len());
    assert!(by_label.keys().eq(by_run.keys()));
    let mut scored = 0;
    for (text, mut ours) in by_label {
        let mut theirs = by_run[&text].clone();
        let (one, other) = (ours["scores"].take(), theirs["scores"].take());
        assert_eq!(ours, theirs, "{text}");
        let empty = serde_json::Map::new();
        let (one, other) = (one.as_object().unwrap_or(&empty), other.as_object().unwrap_or(&empty));
        assert!(one.keys().eq(other.keys()), "{text}");
        for (label, score) in one {
            let apart = score.as_f64().expect("a number") - other[label].as_f64().expect("a number");
            assert!(apart.abs() <= 1e-6, "{text}: {label} is {apart} apart");
            scored += 1;
        }
    }
    assert!(scored > 200 * 11, "{scored} scores");
}
