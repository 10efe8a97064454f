//! `moodstream alert` as people and scripts meet it: what it prints, what it refuses, and what it remembers.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use moodstream::demo::EmbeddedBroker;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::archive::{HOUR, Model, Post, declare, millis, write};
use crate::program::{Ran, command, moodstream, moodstream_with};

/// Ten years: the posts are of 2025.
const LOOK: [&str; 6] = ["alert", "--rules", "rules.toml", "--look-back", "10years", "."];

const RULES: &str = r#"
    [[rule]]
    name = "angry-hours"
    emotion = "anger"
    z_above = 3.5
    share_above = 0.5
    window = "1h"

    [[rule]]
    name = "angry-on-bluesky"
    emotion = "anger"
    share_above = 0.59
    window = "24h"
    least_posts = 200
    group_by = ["platform"]
    where = { platform = ["bluesky", "threads"] }
"#;

/// Posts of one hour, of which so many of a hundred are angry.
fn hour(start: i64, angry: i64) -> Vec<Post> {
    let post = |number: i64| Post {
        id: format!("{}-{number}", start / HOUR),
        time: start + number * 30_000,
        platform: Some("bluesky"),
        lang: Some("en"),
        text: None,
        scores: Some(vec![0.1, if number < angry { 0.75 } else { 0.25 }, 0.2, 0.1]),
        labels: None,
    };
    (0..100).map(post).collect()
}

/// Ten days with the same three hours: one of them is angry out of turn, and one day is as a whole.
fn archive() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let start = millis("2025-10-01T00:00:00Z");
    let mut posts = Vec::new();
    for day in 0..10 {
        for of_day in [8, 17, 23] {
            let angry = match (day, of_day) {
                (6, 17) | (9, 8 | 17 | 23) => 60,
                _ => 18 + day % 3 * 2,
            };
            posts.extend(hour(start + (day * 24 + of_day) * HOUR, angry));
        }
    }
    write(folder.path(), "1", &Model::first(), &posts);
    declare(folder.path(), start / HOUR..start / HOUR + 240);
    fs::write(folder.path().join("rules.toml"), RULES).expect("written");
    folder
}

fn events(ran: &Ran) -> Vec<Value> {
    ran.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn windows(events: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    events.iter().map(|event| format!("{} {}", text(&event["rule"]), &text(&event["window"]["start"])[..13])).collect()
}

/// The claims of a rule, and what was noted of them.
fn state(root: &Path, rule: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(root.join("_state/alerts").join(rule)).expect("a folder");
    let mut files: Vec<PathBuf> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

#[test]
fn events_are_told_once_in_lines_of_json() {
    let folder = archive();
    let ran = moodstream(folder.path(), &LOOK);
    let found = events(ran.expect(0, &[]));
    let expected = [
        "angry-hours 2025-10-07T17",
        "angry-hours 2025-10-10T08",
        "angry-hours 2025-10-10T17",
        "angry-hours 2025-10-10T23",
        "angry-on-bluesky 2025-10-10T00",
    ];
    assert_eq!(windows(&found), expected);
    let first = &found[0]["figures"];
    // As of docs/trends.md; the days before are 18 20 22 18 20 22.
    let p: f64 = (100.0 * 0.2 + 2.0) / 104.0;
    let expected = 0.4 / (p * (1.0 - p) / 100.0).sqrt().max(0.02 * 1.482_602_218_505_602);
    assert!((first["z"].as_f64().expect("a score") - expected).abs() < 1e-9, "{first}");
    assert_eq!((first["share"].as_f64(), first["mean"].as_f64()), (Some(0.6), Some(0.55)));
    assert_eq!(found[4]["key"]["platform"], "bluesky");
    assert_eq!((&found[4]["figures"]["labelled"], &found[4]["figures"]["z"]), (&300.into(), &Value::Null));
    let again = moodstream(folder.path(), &LOOK);
    assert_eq!(windows(&events(again.expect(0, &[]))), [""; 0]);
    assert_eq!(state(folder.path(), "angry-hours").len(), 8, "a claim and a mark each");
}

#[test]
fn without_claims_it_would_be_told_twice() {
    let folder = archive();
    for _ in 0..2 {
        let ran = moodstream_with(folder.path(), &LOOK, &[("MOODSTREAM_SWITCHED_OFF", "alert_claim")]);
        assert_eq!(events(ran.expect(0, &[])).len(), 5);
    }
}

#[test]
fn an_event_whose_alerter_died_before_or_after_delivering_is_told_again_with_the_same_id() {
    for (point, said) in [("alert_claimed:1", 0), ("alert_delivered:1", 1)] {
        let folder = archive();
        let died = moodstream_with(folder.path(), &LOOK, &[("MOODSTREAM_CRASH_AT", point)]);
        let before = events(&died);
        assert_eq!(before.len(), said, "{point}: {}", died.stderr);
        let claims = state(folder.path(), "angry-hours");
        assert_eq!(claims.len(), 1, "a claim and no mark");
        // Somebody may be delivering it: the next look tells the rest.
        assert_eq!(events(moodstream(folder.path(), &LOOK).expect(0, &[])).len(), 4, "{point}");
        let old = SystemTime::now() - Duration::from_mins(11);
        File::options().write(true).open(&claims[0]).expect("opened").set_modified(old).expect("set");
        let after = events(moodstream(folder.path(), &LOOK).expect(0, &[]));
        assert_eq!(windows(&after), ["angry-hours 2025-10-07T17"], "{point}");
        let claimed: Value = serde_json::from_slice(&fs::read(&claims[0]).expect("read")).expect("JSON");
        assert_eq!(after[0], claimed);
        assert!(before.iter().all(|event| *event == after[0]));
        assert_eq!(events(moodstream(folder.path(), &LOOK).expect(0, &[])).len(), 0, "{point}");
    }
}

/// Answers so many requests with this status; the URL, and later their id and body.
fn hook(status: u16, requests: usize) -> (String, JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("webhook:http://{}/s3cret", listener.local_addr().expect("bound"));
    let serve = move || {
        let each = (0..requests).map(|_| {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let (mut id, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => value.clone_into(&mut id),
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().expect("a number");
                    }
                    None if line.trim().is_empty() => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("sent");
            (id, serde_json::from_slice(&body).expect("JSON"))
        });
        each.collect()
    };
    (url, thread::spawn(serve))
}

#[test]
fn what_a_webhook_refuses_is_no_success_and_is_posted_again_later() {
    let folder = archive();
    let (url, server) = hook(410, 5);
    let ran = moodstream(folder.path(), &[&LOOK[..], &["--to", &url]].concat());
    ran.expect(1, &["could not be delivered", "127.0.0.1 answers with status 410"]);
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    let refused = server.join().expect("ended");
    assert_eq!(state(folder.path(), "angry-hours").len(), 4, "claims and no marks");
    let old = SystemTime::now() - Duration::from_mins(11);
    for claim in ["angry-hours", "angry-on-bluesky"].iter().flat_map(|rule| state(folder.path(), rule)) {
        File::options().write(true).open(claim).expect("opened").set_modified(old).expect("set");
    }
    let (url, server) = hook(200, 5);
    moodstream(folder.path(), &[&LOOK[..], &["--to", &url]].concat()).expect(0, &[]);
    let taken = server.join().expect("ended");
    assert_eq!(taken, refused, "the same events with the same ids");
    assert!(taken.iter().all(|(id, event)| event["id"] == id.as_str()));
    assert!(events(moodstream(folder.path(), &LOOK).expect(0, &[])).is_empty());
}

#[test]
fn a_topic_gets_each_event_once_and_remembers_by_itself() {
    let folder = archive();
    let broker = EmbeddedBroker::start(1, &[("moods.alerts", 2)]).expect("a broker");
    let address = broker.address().expect("an address");
    let to = |topic: &str, variables: &[(&str, &str)]| {
        let to = format!("topic:{topic}");
        let arguments = [&LOOK[..], &["--brokers", &address, "--to", &to]].concat();
        moodstream_with(folder.path(), &arguments, variables)
    };
    to("no-such-topic", &[]).expect(1, &["--to", "no-such-topic"]);
    to("posts.emotions", &[]).expect(2, &["--to: posts.emotions is one that output.topic names", "a topic of its own"]);
    for _ in 0..2 {
        to("moods.alerts", &[]).expect(0, &[]);
        let found = told(&address, "moods.alerts");
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().all(|(key, event)| event["id"] == key.as_str() && event["archive"] == "."));
    }
    assert!(!folder.path().join("_state/alerts").exists(), "the archive has nothing to remember");
    to("moods.alerts", &[("MOODSTREAM_SWITCHED_OFF", "alert_keys")]).expect(0, &[]);
    assert_eq!(told(&address, "moods.alerts").len(), 10, "without reading back what was told");
}

/// What a topic of two partitions holds: keys, and values as JSON.
fn told(brokers: &str, topic: &str) -> Vec<(String, Value)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..2 {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let give_up = Instant::now() + Duration::from_secs(20);
    let (mut found, mut ended) = (Vec::new(), 0);
    while ended < 2 {
        assert!(Instant::now() < give_up, "{found:?}");
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => {
                let event: Value = serde_json::from_slice(message.payload().expect("a value")).expect("JSON");
                found.push((String::from_utf8_lossy(message.key().expect("a key")).into_owned(), event));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            _ => {}
        }
    }
    found
}

#[test]
fn who_watches_tells_what_becomes_complete_and_stops_when_told() {
    let folder = archive();
    let hours: Vec<PathBuf> =
        (8..24).map(|hour| folder.path().join(format!("_state/hours/2025-10-10T{hour:02}.json"))).collect();
    for hour in &hours {
        fs::remove_file(hour).expect("removed");
    }
    let mut child = command(folder.path(), &[&LOOK[..], &["--every", "100ms"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("more").expect("a line")).expect("JSON") };
    let mut told = vec![next()];
    for hour in &hours {
        fs::write(hour, "{}").expect("written");
    }
    told.extend((0..4).map(|_| next()));
    let mut told = windows(&told);
    told.sort();
    let expected = ["07T17", "10T08", "10T17", "10T23"].map(|hour| format!("angry-hours 2025-10-{hour}"));
    assert_eq!(told, [&expected[..], &["angry-on-bluesky 2025-10-10T00".to_owned()]].concat());
    kill(Pid::from_raw(i32::try_from(child.id()).expect("small")), Signal::SIGTERM).expect("signalled");
    assert!(child.wait().expect("ended").success());
    assert!(lines.next().is_none(), "nothing twice");
}

#[test]
fn wrong_use_is_told_with_what_would_be_right() {
    let folder = archive();
    let rules = |text: &str| fs::write(folder.path().join("rules.toml"), text).expect("written");
    let refused = |parts: &[&str]| {
        let ran = moodstream(folder.path(), &LOOK);
        ran.expect(2, parts);
        assert!(ran.stdout.is_empty(), "{}", ran.text());
    };
    rules("[[rule]]\nname = \"a\"\nemotion = \"joy\"\nshare_above = 30\nwindow = \"5h\"\n");
    refused(&[
        "the rules are wrong in 2 places",
        "rule[1].share_above = 30 (rules.toml): must be a number from 0 to 1",
        "rule[1].window = \"5h\" (rules.toml): must be 1h",
    ]);
    rules("[[rule]]\nname = \"a\"\nemotion = \"jox\"\nshare_above = 0.3\nwindow = \"1h\"\n");
    refused(&["rule[1].emotion = \"jox\": there is no emotion \"jox\", did you mean \"joy\"?", "Self doubt"]);
    fs::remove_file(folder.path().join("rules.toml")).expect("removed");
    refused(&["rules.toml: cannot be read"]);
    rules(RULES);
    fs::remove_file(folder.path().join("_state/archive.json")).expect("removed");
    refused(&["only those keep what was told beside their posts"]);
    fs::write(folder.path().join("_state/compaction.json"), "{}").expect("written");
    refused(&["rule[1].wait = \"complete\"", "rule[2].wait", "wait = \"none\""]);
    let ran = moodstream(folder.path(), &[&LOOK[..], &["--to", "webhook:ftp://s3cret"]].concat());
    ran.expect(2, &["a webhook is a URL"]);
    assert!(!folder.path().join("_state/alerts").exists(), "nothing was claimed");
}
