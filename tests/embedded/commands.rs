//! `produce` and `demo` as programs, on the embedded broker.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use moodstream::demo::EmbeddedBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use rdkafka_sys::types::{RDKafkaApiKey, RDKafkaRespErr};

const TOPIC: &str = "lines";

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start(1, &[(TOPIC, 2)]).expect("a broker")
}

/// Runs the program with this standard input.
fn moodstream(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_moodstream"))
        .args(arguments)
        .env("MOODSTREAM_TEST_CLASSIFIER", "hash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("ended")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Key, value and timestamp of so many records.
fn records(broker: &EmbeddedBroker, count: usize) -> Vec<(Option<String>, Vec<u8>, i64)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address().expect("an address")).set("group.id", "reader");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..2 {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let give_up = Instant::now() + Duration::from_secs(20);
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < give_up, "{} of {count} records", records.len());
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let value = message.payload().unwrap_or_default().to_vec();
            records.push((message.key().map(text), value, message.timestamp().to_millis().expect("a timestamp")));
        }
    }
    records.sort_by(|one, other| one.1.cmp(&other.1));
    records
}

#[test]
fn produce_sends_lines_as_they_stand_keyed_by_their_id() {
    let broker = broker();
    let address = broker.address().expect("an address");
    let lines = b"{\"id\":\"a\",\"text\":\"x\"}\n\nno json at all\n{\"id\":\"b\"}";
    let output = moodstream(&["produce", "-", "--topic", TOPIC, "--brokers", &address], lines);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("sent 3 records to lines (2 partitions)"), "{}", text(&output.stdout));
    let records = records(&broker, 3);
    let keys: Vec<_> = records.iter().map(|(key, ..)| key.as_deref()).collect();
    assert_eq!(keys, [None, Some("a"), Some("b")]);
    assert_eq!(records[0].1, b"no json at all");
}

#[test]
fn produce_takes_the_time_of_writing_but_never_the_future() {
    let broker = broker();
    let address = broker.address().expect("an address");
    let before = now_ms();
    let ahead = before + 7_200_000;
    let lines =
        format!("{{\"id\":\"1\",\"created_at\":\"2025-03-14T05:40:28Z\"}}\n{{\"id\":\"2\",\"created_at\":{ahead}}}\n");
    let arguments = ["produce", "-", "--topic", TOPIC, "--brokers", &address, "--timestamp", "created_at"];
    assert!(moodstream(&arguments, lines.as_bytes()).status.success());
    let records = records(&broker, 2);
    assert_eq!(records[0].2, 1_741_930_828_000);
    assert!((before..=now_ms()).contains(&records[1].2), "{}", records[1].2);
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("a timestamp")
}

#[test]
fn produce_names_a_missing_topic_and_what_to_do() {
    let broker = broker();
    let address = broker.address().expect("an address");
    let output = moodstream(&["produce", "-", "--topic", "nowhere", "--brokers", &address], b"{}\n");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("--topic names the topic \"nowhere\", which the broker does not have"), "{said}");
}

#[test]
fn produce_counts_what_the_broker_refuses() {
    let broker = broker();
    let address = broker.address().expect("an address");
    broker
        .cluster()
        .expect("a cluster")
        .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let output = moodstream(&["produce", "-", "--topic", TOPIC, "--brokers", &address], b"{\"id\":\"1\"}\n");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("1 records were not accepted, the first because") && said.contains("too large"), "{said}");
}

#[test]
fn produce_keeps_to_its_rate() {
    let broker = broker();
    let address = broker.address().expect("an address");
    let started = Instant::now();
    let lines = "{}\n".repeat(31);
    let arguments = ["produce", "-", "--topic", TOPIC, "--brokers", &address, "--rate", "20"];
    assert!(moodstream(&arguments, lines.as_bytes()).status.success());
    assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[test]
fn the_demo_ends_by_itself_with_every_outcome_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.jsonl");
    let output = moodstream(&["demo", "--out", &out.display().to_string()], b"");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("467 consumed = ") && said.contains("dead-lettered  not_json"), "{said}");
    assert!(text(&output.stderr).is_empty(), "a quiet demo: {}", text(&output.stderr));
    assert!(said.contains("archived        454 rows in ") && said.contains("duckdb -c "), "{said}");
    let posts = folder.path().join("out.archive/posts");
    assert!(std::fs::read_dir(&posts).expect("the archive").count() > 0, "{said}");
    let lines = std::fs::read_to_string(&out).expect("the labelled posts");
    assert_eq!(lines.lines().count(), 454, "labelled and skipped posts");

    let report = folder.path().join("out.html");
    assert!(said.contains(&format!("report          {}", report.display())), "{said}");
    let page = std::fs::read_to_string(report).expect("the report");
    let (_, answer) = page.split_once("id=\"answer\">").expect("the figures");
    let answer: serde_json::Value =
        serde_json::from_str(answer.split_once("</script>").expect("their end").0).expect("JSON");
    let sum = |name: &str| -> u64 {
        let periods = answer["periods"].as_array().expect("periods");
        periods.iter().map(|period| period[name].as_u64().expect("a count")).sum()
    };
    assert_eq!(sum("labelled") + sum("skipped"), 454, "every row of the archive");
}
