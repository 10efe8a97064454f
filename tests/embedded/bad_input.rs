//! Bad input harms itself only (I7), and a wrong mapping harms nothing at all.

use moodstream::telemetry::Outcome;

use crate::rig::{Setup, post};

#[test]
fn every_kind_of_bad_record_is_a_dead_letter_with_its_bytes_intact() {
    let deep = format!(r#"{{"text":"t","x":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
    let cases: [(&str, Option<&[u8]>); 11] = [
        ("not_json", Some(b"fallen out of a log")),
        ("not_json", Some(b"{\"text\":\"half")),
        ("not_json", Some(b"")),
        ("no_text", Some(br#"{"id":"1"}"#)),
        ("no_text", Some(br#"{"text":null}"#)),
        ("text_not_string", Some(br#"{"text":42}"#)),
        ("invalid_utf8", Some(b"{\"text\":\"caf\xe9\"}")),
        ("raw_control_character", Some(b"{\"text\":\"a\0b\"}")),
        ("lone_surrogate", Some(br#"{"text":"\ud83d"}"#)),
        ("too_deep", Some(deep.as_bytes())),
        ("tombstone", None),
    ];
    let mut rig = Setup::default().start();
    // Every bad one between two good ones.
    for (_, bytes) in &cases {
        rig.send(0, &[Some(post("good").as_bytes()), *bytes]);
    }
    rig.wait_for_outcomes(22);
    rig.stop();
    assert_eq!((rig.outputs().len(), rig.count(Outcome::Labelled, "")), (11, 11), "their neighbours are labelled");
    let letters = rig.dead_letters();
    assert_eq!(letters.len(), 11);
    for (index, (letter, (class, bytes))) in letters.iter().zip(&cases).enumerate() {
        let offset = 2 * index + 1;
        assert_eq!(letter.value.as_deref().unwrap_or_default(), bytes.unwrap_or_default(), "{class}");
        assert_eq!(letter.key.as_deref(), Some(format!("key-0-{offset}").as_bytes()));
        let header = |name: &str| letter.headers[&format!("moodstream.{name}")].as_str();
        assert_eq!((header("class"), header("stage")), (*class, "decode"));
        assert_eq!((header("topic"), header("partition")), ("posts", "0"));
        assert_eq!(header("offset"), offset.to_string());
        assert_eq!(header("bytes"), bytes.map_or(0, <[u8]>::len).to_string());
        assert_eq!(header("truncated"), "false");
        assert_eq!(letter.headers["trace"], format!("key-0-{offset}"), "its own headers are kept");
        for name in ["message", "worker", "model", "timestamp"] {
            assert!(!header(name).is_empty(), "{name} of {class}");
        }
        for words in ["fallen", "half", "caf"] {
            assert!(!header("message").contains(words), "a message must not quote the post: {}", header("message"));
        }
    }
    let classes = ["not_json", "no_text", "text_not_string", "tombstone"];
    assert_eq!(classes.map(|class| rig.count(Outcome::DeadLettered, class)), [3, 2, 1, 1]);
}

#[test]
fn huge_and_blank_texts_stop_nothing() {
    let rig = Setup::default().start();
    let (huge, blank) = ("word ".repeat(100_000), " ".repeat(500_000));
    rig.send_texts(0, &[&huge, &blank, "a small one"]);
    rig.wait_for_outcomes(3);
    let outputs = rig.outputs();
    let facts = |index: usize| {
        let json = outputs[index].json();
        (json["truncated"].as_bool(), json["skip_reason"].as_str().map(str::to_owned))
    };
    assert_eq!(facts(0), (Some(true), None), "cut for the model");
    assert_eq!(outputs[0].json()["text"].as_str().map(str::len), Some(huge.len()), "and published whole");
    assert_eq!(facts(1), (Some(false), Some("empty".to_owned())));
    assert_eq!(facts(2), (Some(false), None));
}

#[test]
fn an_output_too_large_for_the_topic_is_a_dead_letter() {
    let rig = Setup::default().start();
    // As an input it fits into max.message.bytes, with eleven scores around it it does not.
    let large = "x".repeat(1_048_200);
    rig.send_texts(0, &["before", &large, "after"]);
    rig.wait_for_outcomes(3);
    assert_eq!(rig.outputs().len(), 2);
    let letter = &rig.dead_letters()[0];
    assert_eq!(
        (letter.headers["moodstream.class"].as_str(), letter.headers["moodstream.stage"].as_str()),
        ("output_too_large", "produce")
    );
    let kept = letter.value.as_ref().map_or(0, Vec::len);
    assert!(kept < 1_048_588, "the dead-letter topic has a limit too");
    assert_eq!(letter.headers["moodstream.truncated"], "true");
}

#[test]
fn a_wrong_mapping_pauses_the_lane_until_the_input_is_good_and_empties_nothing_into_the_dead_letters() {
    let setup = Setup::default().with("breaker.min_seen", "20").with("breaker.window", "100");
    let rig = setup.with("input.on_lost_position", "earliest").start();
    let wrong: Vec<Option<&[u8]>> = vec![Some(br#"{"body":"the text is elsewhere"}"#); 50];
    rig.send(0, &wrong);
    rig.wait("the breaker trips", |rig| rig.metrics.breaker_trips.get() > 0);
    rig.wait("readiness says why", |rig| rig.complaints().contains("there is no text at \"/text\""));
    assert!(rig.complaints().contains("check input.fields"), "{}", rig.complaints());
    rig.wait("it probes and trips again", |rig| rig.metrics.breaker_trips.get() > 1);
    assert_eq!(rig.metrics.lanes_paused.of(["breaker"]).get(), 1);
    assert_eq!((rig.outcomes(), rig.outputs().len(), rig.dead_letters().len()), (0, 0, 0), "every record is kept");

    // The broker's retention, 5 MB a partition, takes the wrong ones away.
    let large = "good ".repeat(100_000);
    rig.send_texts(0, &vec![large.as_str(); 14]);
    rig.wait("the lane works again", |rig| rig.count(Outcome::Labelled, "") > 0 && rig.readiness.is_ready());
    assert_eq!(rig.metrics.lanes_paused.of(["breaker"]).get(), 0);
    assert!(rig.dead_letters().is_empty());
}
