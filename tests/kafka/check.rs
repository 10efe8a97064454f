//! `moodstream check` against a real broker: what it finds, what it creates, and that it disturbs nobody.

use std::process::Command;
use std::time::Duration;

use crate::support::admin::Admin;
use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::unique;

const DEADLINE: Duration = Duration::from_secs(90);

/// Runs `check` with these settings: its exit code and what it printed.
pub(crate) fn check(settings: &[(&str, &str)], create: bool) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    command.arg("check").current_dir(env!("CARGO_MANIFEST_DIR")).args(create.then_some("--create"));
    for (key, value) in settings {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let output = command.output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn missing_topics_are_named_with_their_command_and_created_on_request() {
    let brokers = Broker::shared().address();
    let admin = Admin::new(&brokers);
    let (input, output, dead) = (unique("check.posts"), unique("check.emotions"), unique("check.dead-letter"));
    admin.create_topic(&input, 5, &[]);
    let group = unique("check.group");
    let settings = [
        ("kafka.brokers", brokers.as_str()),
        ("kafka.group", &group),
        ("input.topics", &input),
        ("output.topic", &output),
        ("dead_letter.topic", &dead),
    ];
    let (code, said) = check(&settings, false);
    assert_eq!(code, Some(1), "{said}");
    for topic in [&output, &dead] {
        let command = format!("kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 5 ");
        assert!(said.contains(&format!("there is no topic {topic}")) && said.contains(&command), "{said}");
    }
    let (code, said) = check(&settings, true);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((admin.partitions(&output), admin.partitions(&dead)), (5, 5));
    assert!(said.contains(&format!("ok    transactions  begun and aborted as {group}/check/")), "{said}");
    assert!(said.contains(&format!("ok    group         {group}: new")), "{said}");
    assert_eq!(check(&settings, false).0, Some(0), "nothing is missing now");
    let committed = admin.group(&group).committed(&[(input.as_str(), 5)]);
    assert!(committed.is_some_and(|offsets| offsets.is_empty()), "it committed nothing");
}

#[test]
fn a_compacted_output_is_wrong_and_a_compacted_input_is_remarked() {
    const COMPACT: (&str, &str) = ("cleanup.policy", "compact");
    let brokers = Broker::shared().address();
    for (layout, code, line) in [
        (Layout { output: vec![COMPACT], ..Layout::partitions(1) }, 1, "WRONG output"),
        (Layout { dead_letter: vec![COMPACT], ..Layout::partitions(1) }, 1, "WRONG dead letters"),
        (Layout { input: vec![COMPACT], ..Layout::partitions(1) }, 0, "note  input"),
    ] {
        let stage = Stage::new(&brokers, "compacted", &layout);
        let (found, said) = check(&settings(&stage, &brokers), false);
        assert_eq!(found, Some(code), "{said}");
        let compacted = said.lines().find(|line| line.contains("is compacted")).unwrap_or_default();
        assert!(compacted.starts_with(line), "{said}");
    }
}

#[test]
fn checking_disturbs_no_worker_of_the_same_name() {
    let brokers = Broker::shared().address();
    let mut stage = Stage::new(&brokers, "checked", &Layout::partitions(2));
    stage.produce(posts::take(3_000));
    let launch = stage.worker("steady").instance("steady").set("batch.target", "250ms");
    let mut worker = launch.hash_classifier(Duration::from_millis(2)).start();
    stage.wait_for(300, DEADLINE);
    let rebalances = worker.metric("moodstream_rebalances_total", "");
    let settings = [&settings(&stage, &brokers)[..], &[("worker.instance", "steady")]].concat();
    for _ in 0..2 {
        let (code, said) = check(&settings, false);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("1 member") && said.contains("\"steady\" is at work on 127.0.0.1"), "{said}");
    }
    stage.wait_until_done(DEADLINE);
    worker.wait_for_count(3_000);
    assert_eq!(worker.metric("moodstream_client_restarts_total", ""), Some(0.0));
    assert!(worker.metric("moodstream_transactions_total", "result=\"fenced\"").is_none_or(|fenced| fenced < 1.0));
    assert_eq!(worker.metric("moodstream_rebalances_total", ""), rebalances);
    stage.finish([worker], DEADLINE);
}

pub(crate) fn settings<'a>(stage: &'a Stage, brokers: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("kafka.brokers", brokers),
        ("kafka.group", &stage.group),
        ("input.topics", &stage.input),
        ("output.topic", &stage.targets.output),
        ("dead_letter.topic", &stage.targets.dead_letter),
    ]
}
