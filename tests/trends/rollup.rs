//! The roll-up: the same answers as from the files, whatever came since.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::archive::{Dice, HOUR, Model, declare, millis, mixed, posts, write};
use crate::program::{Ran, ask, moodstream};

const START: &str = "2025-10-21T21:00:00Z";

fn archive(root: &Path) {
    mixed(root);
    let start = millis(START) / HOUR;
    declare(root, start..start + 24 * 9);
}

fn roll_up(root: &Path) -> Ran {
    let ran = moodstream(root, &["rollup", "."]);
    ran.expect(0, &[]);
    ran
}

/// What an answer says, without what was read for it.
fn said(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer.as_object_mut().expect("an object").remove("read");
    answer
}

/// Questions that the roll-up answers, and some that it cannot.
fn questions() -> Vec<(bool, Vec<&'static str>)> {
    vec![
        (true, vec!["--group-by", "model"]),
        (true, vec!["--group-by", "model,lang,platform", "--by", "hour"]),
        (
            true,
            vec![
                "--model",
                "first",
                "--time-zone",
                "Europe/Berlin",
                "--where",
                "platform=bluesky,",
                "--emotion",
                "joy",
            ],
        ),
        (true, vec!["--model", "first,second", "--by", "week", "--group-by", "lang", "--where", "lang=en,fr"]),
        (true, vec!["--model", "second", "--from", "2025-10-22T10:30:00Z"]),
        (false, vec!["--model", "first", "--time-zone", "Asia/Kolkata"]),
        (false, vec!["--model", "first", "--group-by", "source_topic"]),
        (false, vec!["--model", "first", "--full-scan"]),
    ]
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for day in fs::read_dir(root.join("_state/rollup")).expect("a folder") {
        let day = day.expect("an entry").path();
        found.extend(fs::read_dir(day).expect("a folder").map(|entry| entry.expect("an entry").path()));
    }
    found.sort();
    found
}

#[test]
fn the_roll_up_gives_the_answers_of_the_files_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    archive(folder.path());
    let of = |flags: &[&str]| ask(folder.path(), &[&["."], flags].concat());
    let before: Vec<Value> = questions().iter().map(|(_, flags)| of(flags)).collect();
    let ran = roll_up(folder.path());
    assert!(ran.text().contains("8 days; 0 days are as they were"), "{}", ran.text());
    for ((rolled, flags), before) in questions().iter().zip(&before) {
        let answer = of(flags);
        assert_eq!(answer["read"]["from_rollup"], *rolled, "{flags:?}");
        assert_eq!(said(&answer), said(before), "{flags:?}");
        let read = answer["read"]["rows"].as_u64().expect("a count");
        let hours = if flags.contains(&"2025-10-22T10:30:00Z") { 200 } else { 0 };
        assert!(!rolled || read <= hours, "{read} rows were read for {flags:?}");
    }
    moodstream(folder.path(), &["trends", "."]).expect(2, &["several models have labelled these posts"]);
}

#[test]
fn hours_with_newer_files_are_read_until_they_are_counted_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    archive(folder.path());
    roll_up(folder.path());
    let again = roll_up(folder.path());
    assert!(again.text().starts_with("0 hours with 0 rows were counted for 0 days; 8 days"), "{}", again.text());
    let (mut dice, model) = (Dice::new(99), Model::first());
    let late = millis("2025-10-23T10:00:00Z") / HOUR;
    write(folder.path(), "9", &model, &posts(&mut dice, &model, late..late + 2, 30));
    let question = [".", "--model", "first"];
    let full = ask(folder.path(), &[&question[..], &["--full-scan"]].concat());
    let mixed = ask(folder.path(), &question);
    assert_eq!(said(&mixed), said(&full));
    let rows = |answer: &Value| answer["read"]["rows"].as_u64().expect("a count");
    assert!(rows(&mixed) > 30 && rows(&mixed) < rows(&full) / 10, "{} of {}", rows(&mixed), rows(&full));
    let anew = roll_up(folder.path());
    assert!(anew.text().starts_with("2 hours with "), "{}", anew.text());
    let after = ask(folder.path(), &question);
    assert_eq!((said(&after), rows(&after)), (said(&full), 0));
    assert_eq!(files(folder.path()).len(), 8, "of each day there is one file");
}

#[test]
fn a_roll_up_that_cannot_be_read_is_passed_over_and_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    archive(folder.path());
    let question = [".", "--group-by", "model"];
    let full = ask(folder.path(), &question);
    roll_up(folder.path());
    let files = files(folder.path());
    fs::write(&files[1], "no Parquet").expect("written");
    let answer = ask(folder.path(), &question);
    assert_eq!(said(&answer), said(&full));
    assert!(answer["read"]["rows"].as_u64() > Some(100), "{}", answer["read"]);
    let ran = roll_up(folder.path());
    assert!(ran.text().contains("for 1 days; 7 days are as they were"), "{}", ran.text());
    let answer = ask(folder.path(), &question);
    assert_eq!((said(&answer), &answer["read"]["rows"]), (said(&full), &0.into()));
}

#[test]
fn compacted_hours_have_a_roll_up_of_their_own_and_trees_of_label_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("archive");
    archive(&root);
    moodstream(folder.path(), &["compact", "--archive", "archive", "--to", "large"]).expect(0, &[]);
    let of = |place: &str| ask(folder.path(), &[place, "--group-by", "model,platform"]);
    let scanned = ask(folder.path(), &["large", "--group-by", "model,platform", "--full-scan"]);
    let rolled = of("large");
    assert_eq!((rolled["groups"].clone(), &rolled["read"]["rows"]), (scanned["groups"].clone(), &0.into()));
    assert_eq!(rolled["groups"], of("archive")["groups"]);
    let ran = moodstream(folder.path(), &["rollup", "large"]);
    assert!(ran.text().contains("for 0 days"), "compact has written all of it: {}", ran.text());
    // One that died after compacting and before the roll-up.
    fs::remove_dir_all(folder.path().join("large/_state/rollup")).expect("removed");
    moodstream(folder.path(), &["compact", "--archive", "archive", "--to", "large"]).expect(0, &[]);
    assert_eq!(of("large")["read"]["rows"], 0);
    fs::rename(root.join("posts"), folder.path().join("posts")).expect("moved");
    moodstream(folder.path(), &["rollup", "."]).expect(2, &["only those keep a roll-up"]);
    moodstream(folder.path(), &["rollup", "nowhere"]).expect(2, &["PATH: nowhere: there is no such folder"]);
    assert!(!folder.path().join("_state").exists() && !folder.path().join("nowhere").exists());
}
