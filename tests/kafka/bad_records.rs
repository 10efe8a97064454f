//! Bad input harms itself only: it ends among the dead letters with its bytes intact, and the lane goes on (I7,
//! FAULTS 25–29).

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::support::broker::Broker;
use crate::support::oracle::{Kind, Outcome};
use crate::support::posts::{self, Draft};
use crate::support::stage::{Layout, Stage};
use crate::support::topic::Isolation;
use crate::support::worker::{is_error, message};

const DEADLINE: Duration = Duration::from_secs(90);

/// How a record must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Labelled.
    Labelled,
    /// Labelled, its text cut for the model.
    Cut,
    /// Skipped as empty.
    Empty,
    /// Among the dead letters.
    Dead,
    /// Among the dead letters as `output_too_large`.
    TooLarge,
}

/// Values that no post can be read from.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let text = |inner: &[u8]| [br#"{"id":"x","text":""#, inner, br#""}"#].concat();
    let arrays = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    vec![
        ("plain words", b"not JSON at all".to_vec()),
        ("no bytes", Vec::new()),
        ("a cut object", br#"{"id":"x","text":"good mor"#.to_vec()),
        ("two objects", br#"{"text":"a"}{"text":"b"}"#.to_vec()),
        ("an array", br#"["good morning"]"#.to_vec()),
        ("invalid UTF-8", text(b"good \xff\xfe morning")),
        ("a raw NUL", text(b"good \0 morning")),
        ("a lone surrogate", text(br"good \ud83d morning")),
        ("no text", br#"{"id":"x","lang":"en"}"#.to_vec()),
        ("text a number", br#"{"id":"x","text":42}"#.to_vec()),
        ("text null", br#"{"id":"x","text":null}"#.to_vec()),
        ("text an object", br#"{"id":"x","text":{"de":"gut"}}"#.to_vec()),
        ("deep beside a text", format!(r#"{{"text":"hi","x":{arrays}}}"#).into_bytes()),
        ("deep arrays", arrays.into_bytes()),
        ("deep objects", objects.into_bytes()),
    ]
}

/// Records and how each must end.
fn corpus() -> Vec<(&'static str, Draft, End)> {
    let tombstone = || Draft { value: None, ..Draft::default() };
    let marked = Draft::raw("{").keyed("k").header("trace", b"\0\xff").header("trace", b"2");
    let post = |text: &str| Draft::post("an id", text);
    let pad = " ".repeat(450_000);
    let day = |bytes: usize| post(&"what a long day ".repeat(bytes / 16));
    let read = unreadable().into_iter().map(|(name, value)| (name, Draft::raw(value), End::Dead));
    let others = vec![
        ("a tombstone", tombstone(), End::Dead),
        ("a tombstone with a key", tombstone().keyed("gone"), End::Dead),
        ("key and headers", marked, End::Dead),
        ("the model fails", post("one to FAIL-THIS time"), End::Dead),
        ("a million spaces", post(&" ".repeat(1_000_000)), End::Empty),
        ("spaces around a word", post(&format!("{pad}hi{pad}")), End::Cut),
        ("900 kB of text", day(900_000), End::Cut),
        ("an escaped NUL", post("good \0 morning"), End::Labelled),
        ("emoji and joiners", post(&"👩‍👩‍👧‍👦\u{200d}".repeat(300)), End::Labelled),
        ("10 MB of text", day(10_000_000), End::TooLarge),
    ];
    read.chain(others).collect()
}

#[test]
fn bad_records_end_among_the_dead_letters_intact_and_the_lane_goes_on() {
    const LARGE: (&str, &str) = ("max.message.bytes", "16000000");
    let layout = Layout { input: vec![LARGE], dead_letter: vec![LARGE], ..Layout::partitions(1) };
    let mut stage = Stage::new(&Broker::shared().address(), "bad-records", &layout);
    let corpus = corpus();
    // Good posts between them, two for each.
    let good = posts::take(2 * corpus.len());
    let drafts = corpus
        .iter()
        .zip(good.chunks(2))
        .flat_map(|((_, draft, _), good)| [&good[..1], std::slice::from_ref(draft), &good[1..]].concat());
    stage.produce(drafts.collect());
    let mut worker = stage.worker("one").instance("one").start();
    stage.wait_until_done(DEADLINE);
    worker.wait_for_count(u32::try_from(stage.produced().len()).expect("a small corpus"));
    stage.finish([worker], DEADLINE);

    let outcomes = stage.published(Isolation::Committed).outcomes;
    for (index, (name, draft, end)) in corpus.iter().enumerate() {
        let offset = stage.produced()[3 * index + 1].offset;
        let outcome = outcomes.iter().find(|outcome| outcome.source.2 == offset).expect("the verdict is clean");
        assert_eq!(ended(outcome), *end, "{name}: {:?}", outcome.record.headers);
        if outcome.kind == Kind::DeadLettered {
            check_letter(name, draft, outcome);
        }
    }
}

#[test]
fn a_wrong_mapping_does_not_empty_the_topic_into_the_dead_letters() {
    // What may have been dead-lettered before so many were seen that the breaker could trip.
    const FEW: usize = 200;
    let mut stage = Stage::new(&Broker::shared().address(), "breaker", &Layout::partitions(1));
    stage.produce(posts::take(3_000));
    let mut wrong = stage.worker("wrong").instance("one").set("input.fields.text", "/body").start();
    wrong.wait_for_line(DEADLINE, "the lane pauses", |line| is_error(line) && message(line).contains("pauses"));
    wrong.wait_not_ready("input.fields", DEADLINE);
    wrong.stop();
    let dead = stage.done().expect("the broker tells the committed offsets");
    assert!(dead <= FEW, "{dead} records are among the dead letters");

    let verdict = stage.finish([stage.worker("right").instance("one").start()], DEADLINE);
    assert_eq!((verdict.count(Kind::DeadLettered), verdict.count(Kind::Labelled)), (dead, 3_000 - dead));
}

fn ended(outcome: &Outcome) -> End {
    let json = outcome.record.json();
    match outcome.kind {
        Kind::Labelled if json["truncated"] == true => End::Cut,
        Kind::Labelled => End::Labelled,
        Kind::Skipped => {
            assert_eq!(json["skip_reason"], "empty");
            End::Empty
        }
        Kind::DeadLettered if outcome.record.header("moodstream.class") == Some("output_too_large") => End::TooLarge,
        Kind::DeadLettered => End::Dead,
    }
}

fn check_letter(name: &str, draft: &Draft, outcome: &Outcome) {
    let letter = &outcome.record;
    assert_eq!(letter.value, draft.value, "{name}: its bytes");
    for header in ["stage", "class", "message", "timestamp", "worker", "model"] {
        let value = letter.header(&format!("moodstream.{header}"));
        assert!(value.is_some_and(|value| !value.is_empty()), "{name}: no header moodstream.{header}");
    }
    let bytes = draft.value.as_deref().unwrap_or_default();
    assert_eq!(letter.header("moodstream.bytes"), Some(bytes.len().to_string().as_str()), "{name}");
    if draft.value.is_some() {
        assert_eq!(letter.header("moodstream.sha256"), Some(hex::encode(Sha256::digest(bytes)).as_str()), "{name}");
    }
    let message = letter.header("moodstream.message").expect("checked above");
    for word in ["good", "FAIL-THIS", "long day", "not JSON at all"] {
        assert!(!message.contains(word), "{name}: the message holds text of the post: {message}");
    }
}
