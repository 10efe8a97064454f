//! Good input: labelled, in order, and published as configured.

use std::io::Write;

use moodstream::inference::faulty;
use moodstream::telemetry::Outcome;
use serde_json::{Value, json};

use crate::rig::{Record, Setup};

#[test]
fn labels_a_topic_end_to_end_and_keeps_the_order_of_every_partition() {
    let mut rig = Setup { partitions: 4, output_partitions: 4, lanes: 2, ..Setup::default() }.start();
    rig.send_many(4, 100, "post");
    rig.send(0, &[Some(br#"{"text":"no id, no language"}"#)]);
    rig.wait_for_outcomes(401);
    rig.stop();
    assert_eq!((rig.outcomes(), rig.count(Outcome::Labelled, "")), (401, 401));

    let outputs = rig.outputs();
    assert_eq!(outputs.len(), 401);
    for partition in 0..4 {
        let of_partition = outputs.iter().filter(|output| output.partition == partition);
        let sources: Vec<_> = of_partition.map(Record::source).collect();
        let count = if partition == 0 { 101 } else { 100 };
        assert_eq!(sources, (0..count).map(|offset| (partition, offset)).collect::<Vec<_>>(), "in order");
    }
    for output in &outputs {
        let json = output.json();
        let text = json["text"].as_str().expect("a text");
        let scores = faulty::scores(text);
        let published: Vec<f32> = json["scores"].as_object().expect("scores").values().map(number).collect();
        assert_eq!(sorted(published), sorted(scores.to_vec()), "{text}");
        let given = scores.iter().filter(|score| **score >= 0.5).count();
        assert_eq!(json["labels"].as_array().expect("labels").len(), given, "{text}");
        assert_eq!((&json["status"], &json["model"]["id"]), (&json!("labelled"), &json!("hash")));
        let (partition, offset) = output.source();
        let key = format!("key-{partition}-{offset}");
        assert_eq!(output.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(output.headers["trace"], key, "headers are kept");
        let id = if offset == 100 { "posts/0/100".to_owned() } else { format!("id of {text}") };
        assert_eq!(json["id"], json!(id));
    }
    assert!(rig.dead_letters().is_empty());
}

#[expect(clippy::cast_possible_truncation, reason = "it was a 32-bit number")]
fn number(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}

fn sorted(mut scores: Vec<f32>) -> Vec<f32> {
    scores.sort_by(f32::total_cmp);
    scores
}

#[test]
fn fewer_output_partitions_take_the_input_partitions_in_turn() {
    let rig = Setup { partitions: 4, output_partitions: 3, lanes: 1, ..Setup::default() }.start();
    rig.send_many(4, 20, "post");
    rig.wait_for_outcomes(80);
    for output in rig.outputs() {
        assert_eq!(output.partition, output.source().0 % 3);
    }
}

#[test]
fn other_languages_and_blank_texts_are_published_without_scores() {
    let rig = Setup::default().start();
    let cases = [
        (r#"{"text":"Guten Tag","lang":"de"}"#, Some("language")),
        (r#"{"text":"hello","lang":["pt-BR","en"]}"#, Some("language")),
        (r#"{"text":" \n\t ","lang":"en"}"#, Some("empty")),
        (r#"{"text":"","lang":"de"}"#, Some("empty")),
        (r#"{"text":"hello","lang":"en-GB"}"#, None),
        (r#"{"text":"hallo","lang":"und"}"#, None),
    ];
    rig.send(0, &cases.map(|(json, _)| Some(json.as_bytes())));
    rig.wait_for_outcomes(6);
    for (output, (_, reason)) in rig.outputs().iter().zip(cases) {
        let json = output.json();
        assert_eq!(json["skip_reason"].as_str(), reason, "{json}");
        assert_eq!(json["status"], if reason.is_some() { "skipped" } else { "labelled" });
        assert_eq!((json["scores"].is_null(), json["labels"].is_null()), (reason.is_some(), reason.is_some()));
    }
    let counts = ["language", "empty"].map(|reason| rig.count(Outcome::Skipped, reason));
    assert_eq!((counts, rig.count(Outcome::Labelled, "")), ([2, 2], 2));
}

#[test]
fn other_languages_are_labelled_if_so_configured() {
    let rig = Setup::default().with("input.other_languages", "label").start();
    rig.send(0, &[Some(br#"{"text":"Guten Tag","lang":"de"}"#)]);
    rig.wait_for_outcomes(1);
    assert_eq!(rig.outputs()[0].json()["status"], "labelled");
}

#[test]
fn what_is_not_selected_is_counted_and_not_published() {
    let rig = Setup::default().with("input.select./kind", "commit").start();
    rig.send(
        0,
        &[
            Some(br#"{"kind":"commit","text":"wanted"}"#),
            Some(br#"{"kind":"identity"}"#),
            Some(br#"{"kind":"commit"}"#),
            Some(br#"{"text":"of no kind"}"#),
        ],
    );
    rig.wait_for_outcomes(4);
    assert_eq!(rig.outputs().len(), 1);
    assert_eq!(rig.outputs()[0].json()["text"], "wanted");
    assert_eq!(rig.dead_letters()[0].headers["moodstream.class"], "no_text", "selected, but no post");
    let counts = [(Outcome::Labelled, ""), (Outcome::Skipped, "not_selected"), (Outcome::DeadLettered, "no_text")];
    assert_eq!(counts.map(|(outcome, reason)| rig.count(outcome, reason)), [1, 2, 1]);
}

const SECRET: &str = "my most private thought";

#[test]
fn an_omitted_text_and_author_are_nowhere_in_the_output() {
    let rig = Setup::default().with("privacy.text", "omit").with("privacy.author", "omit").start();
    rig.send(0, &[Some(json!({"id": "1", "text": SECRET, "author": "jane"}).to_string().as_bytes())]);
    rig.wait_for_outcomes(1);
    let value = String::from_utf8(rig.outputs()[0].value.clone().expect("a value")).expect("text");
    assert!(!value.contains("private") && !value.contains("jane"), "{value}");
    assert_eq!(rig.outputs()[0].json()["text_hash"], Value::Null);
}

#[test]
fn hashed_texts_stay_equal_and_are_nowhere_in_the_output() {
    let mut key = tempfile::NamedTempFile::new().expect("a file");
    key.write_all(b"a key of thirty-two bytes or more\n").expect("written");
    let path = key.path().display().to_string();
    let setup = Setup::default().with("privacy.text", "hash").with("privacy.author", "hash");
    let rig = setup.with("privacy.key_file", &path).start();
    rig.send_texts(0, &[SECRET, SECRET, "something else"]);
    rig.wait_for_outcomes(3);
    let outputs = rig.outputs();
    // The id of these posts is made of the text, so it is looked for in every other field.
    let hashes: Vec<Value> = outputs.iter().map(|output| output.json()["text_hash"].clone()).collect();
    assert!(hashes[0].as_str().is_some_and(|hash| hash.len() == 64), "{}", hashes[0]);
    assert!(hashes[0] == hashes[1] && hashes[0] != hashes[2]);
    for output in &outputs {
        let mut json = output.json();
        json["id"].take();
        assert!(json["text"].is_null() && !json.to_string().contains("private"), "{json}");
        assert_eq!(json["author_id"].as_str().map(str::len), Some(64));
    }
}

#[test]
fn a_worker_at_least_once_goes_on_where_it_stopped() {
    let mut rig = Setup::default().with("kafka.delivery", "at_least_once").start();
    rig.send_many(1, 50, "before");
    rig.wait_for_outcomes(50);
    rig.stop();
    assert_eq!(rig.outputs().len(), 50);
}
