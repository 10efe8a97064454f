//! Hours that stand out with their examples, and periods that are not complete.

use serde_json::Value;

use crate::archive::{HOUR, Model, Post, declare, millis, write};
use crate::program::{ask, moodstream};

/// Posts of one hour, of which so many of a hundred are angry.
fn hour(start: i64, angry: i64, text: bool) -> Vec<Post> {
    let post = |number: i64| {
        #[expect(clippy::cast_precision_loss, reason = "below a hundred")]
        let anger = if number < angry { 0.6 + number as f32 / 1000.0 } else { 0.1 };
        Post {
            id: format!("{}-{number}", start / HOUR),
            time: start + number * 30_000,
            platform: Some("bluesky"),
            lang: Some("en"),
            text: text.then(|| format!("why, number {number}?")),
            scores: Some(vec![0.1, anger, 0.9, 0.1]),
            labels: None,
        }
    };
    (0..100).map(post).collect()
}

/// Ten days with the same three hours, of which one stands out.
fn days(text: bool) -> Vec<Post> {
    let start = millis("2025-10-01T00:00:00Z");
    let mut posts = Vec::new();
    for day in 0..10 {
        for of_day in [8, 17, 23] {
            let angry = match (day, of_day) {
                (6, 17) => 60,
                (_, 17) => 18 + day % 3 * 2,
                _ => 60,
            };
            posts.extend(hour(start + (day * 24 + of_day) * HOUR, angry, text));
        }
    }
    posts
}

#[test]
fn an_hour_that_comes_twice_as_clocks_go_back_is_no_other_day_of_its_own() {
    // Two in the morning in Berlin; on the 26th twice, and the second time people are angry.
    let times = ["24T00", "25T00", "26T00", "26T01", "27T01", "28T01", "29T01"];
    let posts = |times: &[&str]| -> Vec<Post> {
        let angry = |time: &str| if time == "26T01" { 60 } else { 20 };
        times.iter().flat_map(|time| hour(millis(&format!("2025-10-{time}:00:00Z")), angry(time), false)).collect()
    };
    let standouts = |posts: &[Post]| {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "1", &Model::first(), posts);
        let answer = ask(folder.path(), &[".", "--time-zone", "Europe/Berlin", "--emotion", "anger"]);
        answer["standouts"].as_array().expect("standouts").clone()
    };
    assert_eq!(standouts(&posts(&times[..6])), Vec::<Value>::new(), "four other days are too few");
    let found = standouts(&posts(&times));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["hour"], "2025-10-26T02:00:00+01:00");
}

#[test]
fn the_hour_that_differs_from_the_same_hour_of_other_days_stands_out_with_its_top_posts() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "1", &Model::first(), &days(true));
    let answer = ask(folder.path(), &["."]);
    let standouts = answer["standouts"].as_array().expect("standouts");
    assert_eq!(standouts.len(), 1, "{standouts:?}");
    let found = &standouts[0];
    assert_eq!((&found["hour"], &found["emotion"]), (&"2025-10-07T17:00:00+00:00".into(), &"anger".into()));
    assert_eq!(
        (found["share"].as_f64(), found["usual"].as_f64(), found["labelled"].as_u64()),
        (Some(0.6), Some(0.2), Some(100))
    );
    // Others: 18 20 22 18 20 22 | 20 22 18, of which the median absolute deviation is 0.02; chance: 0.0407.
    let p: f64 = (100.0 * 0.2 + 2.0) / 104.0;
    let expected = 0.4 / (p * (1.0 - p) / 100.0).sqrt().max(0.02 * 1.482_602_218_505_602);
    assert!((found["z"].as_f64().expect("a score") - expected).abs() < 1e-9, "{found}");
    let examples = found["examples"].as_array().expect("examples");
    let ids: Vec<&str> = examples.iter().map(|example| example["text"].as_str().expect("a text")).collect();
    assert_eq!(ids, ["why, number 59?", "why, number 58?", "why, number 57?"]);
    assert!((examples[0]["score"].as_f64().expect("a score") - 0.659).abs() < 1e-6, "{examples:?}");
    // On another clock it is another hour of the day, and the same hour.
    let kolkata = ask(folder.path(), &[".", "--time-zone", "Asia/Kolkata", "--group-by", "platform"]);
    let hours: Vec<&str> = kolkata["standouts"]
        .as_array()
        .expect("standouts")
        .iter()
        .map(|found| found["hour"].as_str().expect("an hour"))
        .collect();
    assert_eq!(
        hours,
        ["2025-10-07T22:00:00+05:30"],
        "there five o'clock is half past ten: the hour before has the first half of the posts, and all the angry ones"
    );
}

#[test]
fn without_texts_there_are_no_examples_and_with_few_days_nothing_stands_out() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "1", &Model::first(), &days(false));
    let answer = ask(folder.path(), &["."]);
    assert_eq!(answer["standouts"][0]["examples"], Value::Array(Vec::new()));
    let few = ask(folder.path(), &[".", "--from", "2025-10-04", "--to", "2025-10-09"]);
    assert_eq!(few["standouts"], Value::Array(Vec::new()), "only four other days");
    let none = ask(folder.path(), &[".", "--standouts", "0"]);
    assert_eq!(none["standouts"], Value::Array(Vec::new()));
}

#[test]
fn periods_with_an_hour_that_nobody_declared_are_marked() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "1", &Model::first(), &days(true));
    let first = millis("2025-10-01T00:00:00Z") / HOUR;
    // Neither the fourth day's 17 o'clock nor anything of the last day.
    declare(folder.path(), (first..first + 24 * 9).filter(|hour| *hour != first + 3 * 24 + 17));
    let answer = ask(folder.path(), &["."]);
    let complete: Vec<bool> = answer["periods"]
        .as_array()
        .expect("periods")
        .iter()
        .map(|period| period["complete"].as_bool().expect("known"))
        .collect();
    let expected: Vec<bool> = (0..10).map(|day| day != 3 && day != 9).collect();
    assert_eq!(complete, expected);
    let table = moodstream(folder.path(), &["trends", "."]).expect(0, &[]).text();
    for line in ["Sat 2025-10-04*", "Fri 2025-10-10*", "* not complete"] {
        assert!(table.contains(line), "no \"{line}\" in:\n{table}");
    }
    assert!(!table.contains("2025-10-05*"), "{table}");
    // What has expired is gone, though it was complete once.
    let expired = folder.path().join("_state/expired");
    std::fs::create_dir_all(&expired).expect("made");
    std::fs::remove_dir_all(folder.path().join("posts/date=2025-10-02/hour=08")).expect("removed");
    std::fs::write(expired.join("2025-10-02T08.json"), "{}").expect("written");
    assert_eq!(ask(folder.path(), &["."])["periods"][1]["complete"], false);
}
