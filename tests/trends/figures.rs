//! Figures against `DuckDB`'s, and that they depend on nothing but the rows.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::archive::{Dice, HOUR, Model, declare, millis, mixed, posts, write};
use crate::duckdb::{Question, answers, assert_same, python};
use crate::program::{ask, moodstream};

const FIRST: [(&[&str], &str); 4] =
    [(&["Self doubt"], "self_doubt"), (&["anger"], "anger"), (&["joy"], "joy"), (&["trust"], "trust")];
const OF_FIRST: &str = "model_id = 'first'";

fn questions() -> Vec<Question<'static>> {
    let model = ["--model", "0a1b2c3d"];
    let plain = Question {
        flags: model.to_vec(),
        by: "day",
        zone: "UTC",
        filters: vec![OF_FIRST],
        groups: Vec::new(),
        emotions: FIRST.to_vec(),
    };
    let more = |flags: &[&'static str], change: &dyn Fn(&mut Question<'static>)| {
        let mut question = plain.clone();
        question.flags.extend(flags);
        change(&mut question);
        question
    };
    let by_model = Question {
        flags: vec!["--group-by", "model"],
        filters: Vec::new(),
        groups: vec![("model", "model_id || ' ' || model_hash[:8]")],
        // In the order of the model that has most posts; then the other's own.
        emotions: [&FIRST[..2], &[(&["joy", "Joy"], "joy")], &FIRST[3..], &[(&["love"], "love")]].concat(),
        ..plain.clone()
    };
    // Two models, knowingly taken together: shares are of the posts that know the emotion.
    let together = Question {
        flags: vec!["--model", "first,second", "--by", "week"],
        by: "week",
        groups: Vec::new(),
        ..by_model.clone()
    };
    vec![
        by_model,
        together,
        more(&["--time-zone", "Europe/Berlin", "--group-by", "platform,lang"], &|question| {
            question.zone = "Europe/Berlin";
            question.groups = vec![("platform", "platform"), ("lang", "lang")];
        }),
        more(&["--time-zone", "Europe/Berlin", "--by", "week"], &|question| {
            (question.zone, question.by) = ("Europe/Berlin", "week");
        }),
        more(&["--by", "hour", "--where", "platform=bluesky,mastodon", "--where", "lang=en,"], &|question| {
            question.by = "hour";
            question.filters.extend(["platform IN ('bluesky', 'mastodon')", "(lang = 'en' OR lang IS NULL)"]);
        }),
        // Neither the zone nor the ends of the range keep to hours of UTC.
        more(
            &["--time-zone", "Asia/Kolkata", "--from", "2025-10-22T10:07:30.5Z", "--to", "2025-10-24T22:59:59.999Z"],
            &|question| {
                question.zone = "Asia/Kolkata";
                question.filters.extend([
                    "event_time >= '2025-10-22T10:07:30.500Z'::TIMESTAMPTZ",
                    "event_time < '2025-10-24T22:59:59.999Z'::TIMESTAMPTZ",
                ]);
            },
        ),
        more(&["--time-zone", "Asia/Kathmandu", "--by", "hour", "--group-by", "lang"], &|question| {
            (question.zone, question.by) = ("Asia/Kathmandu", "hour");
            question.groups = vec![("lang", "lang")];
        }),
        more(&["--emotion", "trust,JOY", "--group-by", "time_source,source_topic"], &|question| {
            question.emotions = vec![FIRST[3], FIRST[2]];
            question.groups = vec![("time_source", "time_source"), ("source_topic", "source_topic")];
        }),
    ]
}

fn compare(root: &Path, python: &Path) {
    let questions = questions();
    let rows = answers(python, &root.join("posts"), &questions);
    for (question, rows) in questions.iter().zip(&rows) {
        assert!(!rows.is_empty(), "DuckDB finds posts: {:?}", question.flags);
        let answer = ask(root, &[&["."], &question.flags[..]].concat());
        assert_same(&answer, rows, question);
    }
}

/// Needs what `make readers` installs.
#[test]
fn figures_are_those_that_duckdb_computes_from_the_same_files() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    mixed(folder.path());
    compare(folder.path(), &python);
}

/// Needs what `make readers` installs.
#[test]
fn compacted_hours_give_the_figures_of_the_archive() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (archive, large) = (folder.path().join("archive"), folder.path().join("large"));
    mixed(&archive);
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    declare(&archive, start..start + 24 * 20);
    moodstream(folder.path(), &["compact", "--archive", "archive", "--to", "large"]).expect(0, &[]);
    for question in questions() {
        let of = |place| ask(folder.path(), &[&[place], &question.flags[..]].concat());
        let (own, compacted) = (of("archive"), of("large"));
        assert_eq!(own["groups"], compacted["groups"], "{:?}", question.flags);
        assert!(compacted["read"]["files"].as_u64() < own["read"]["files"].as_u64());
    }
    compare(&large, &python);
}

#[test]
fn an_answer_does_not_depend_on_how_many_threads_read() {
    let folder = tempfile::tempdir().expect("a folder");
    mixed(folder.path());
    let of = |threads| {
        let mut answer = ask(folder.path(), &[".", "--group-by", "model,platform", "--threads", threads]);
        answer["read"]["seconds"] = Value::Null;
        answer
    };
    let one = of("1");
    assert!(one["read"]["rows"].as_u64() > Some(3000), "{}", one["read"]);
    for threads in ["2", "3", "8"] {
        assert_eq!(of(threads), one, "{threads} threads");
    }
}

/// Needs what `make readers` installs.
#[test]
fn posts_are_counted_by_their_labels_whatever_their_scores_and_once() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (mut dice, model) = (Dice::new(3), Model::first());
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    let mut odd = posts(&mut dice, &model, start..start + 3, 50);
    for post in odd.iter_mut().filter(|post| post.scores.is_some()) {
        // Not what the scores say, and one of them twice.
        post.labels = Some(dice.of(&[&["joy", "anger", "joy"][..], &["trust"], &[], &["Self doubt", "joy"]]).to_vec());
    }
    write(folder.path(), "1", &model, &odd);
    let question = Question {
        flags: vec!["--group-by", "platform"],
        by: "day",
        zone: "UTC",
        filters: Vec::new(),
        groups: vec![("platform", "platform")],
        emotions: FIRST.to_vec(),
    };
    let rows = answers(&python, &folder.path().join("posts"), std::slice::from_ref(&question));
    assert_same(&ask(folder.path(), &[".", "--group-by", "platform"]), &rows[0], &question);
    let by_scores = |label: usize, threshold: f32| {
        odd.iter().filter(|post| post.scores.as_ref().is_some_and(|scores| scores[label] >= threshold)).count()
    };
    let joy = ask(folder.path(), &["."])["groups"][0]["series"][2]["count"][0].as_u64().expect("a count");
    assert_ne!(usize::try_from(joy), Ok(by_scores(2, 0.3)), "the test can tell the two apart");
}

#[test]
fn what_statistics_rule_out_is_not_read_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut dice, model) = (Dice::new(5), Model::first());
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    let mut all = posts(&mut dice, &model, start..start + 48, 10);
    for post in &mut all {
        post.platform = Some(if post.time / HOUR < start + 24 { "bluesky" } else { "mastodon" });
    }
    write(folder.path(), "1", &model, &all);
    let whole = ask(folder.path(), &[".", "--group-by", "platform"]);
    assert_eq!(whole["read"]["row_groups"], 48);
    let day = ask(folder.path(), &[".", "--where", "platform=mastodon"]);
    assert_eq!(day["read"]["row_groups"], 24, "of one platform");
    let of = |answer: &Value, group: usize, day: usize| answer["groups"][group]["series"][0]["count"][day].clone();
    let mastodon = usize::from(whole["groups"][1]["key"]["platform"] == "mastodon");
    assert_eq!(of(&day, 0, 1), of(&whole, mastodon, 1));
    let hour = ask(folder.path(), &[".", "--from", "2025-10-21T05:00:00Z", "--to", "2025-10-21T06:00:00Z"]);
    assert_eq!((&hour["read"]["files"], &hour["read"]["row_groups"]), (&1.into(), &1.into()));
    let none = ask(folder.path(), &[".", "--where", "platform=x"]);
    assert_eq!((&none["read"]["rows"], &none["groups"].as_array().expect("groups").len()), (&0.into(), &1));
}

#[test]
fn an_archive_is_found_by_its_root_its_posts_a_url_and_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("moods");
    let (mut dice, model) = (Dice::new(5), Model::first());
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    write(&root, "1", &model, &posts(&mut dice, &model, start..start + 5, 10));
    declare(&root, start..start + 4);
    let url = format!("file://{}", root.display());
    let expected = ask(folder.path(), &["moods"])["groups"].clone();
    assert_eq!(expected[0]["series"].as_array().map(Vec::len), Some(4));
    for arguments in [
        &["moods/"][..],
        &["moods/posts"],
        &["moods/posts/"],
        &[&url],
        &["--set", "archive.url=moods"],
        &["moods", "--set", "archive.url=elsewhere"],
    ] {
        let answer = ask(folder.path(), arguments);
        assert_eq!(answer["groups"], expected, "{arguments:?}");
        assert_eq!(answer["periods"][0]["complete"], false, "{arguments:?}");
    }
    assert_eq!(ask(&root, &["posts"])["periods"][0]["complete"], false);
    // The folder of dates alone has no state beside it.
    fs::rename(root.join("posts"), folder.path().join("bare")).expect("moved");
    let answer = ask(folder.path(), &["bare"]);
    assert_eq!((&answer["groups"], &answer["periods"][0]["complete"]), (&expected, &Value::Null));
}

#[test]
fn what_label_writes_into_a_folder_can_be_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |number: u32| {
        format!(
            "{{\"id\":\"{number}\",\"text\":\"post {number}\",\"lang\":\"{}\",\"created_at\":\"2025-03-14T{:02}:00:00Z\"}}\n",
            if number.is_multiple_of(5) { "de" } else { "en" },
            number % 3
        )
    };
    fs::write(folder.path().join("in"), (0..90).map(line).collect::<String>()).expect("written");
    moodstream(folder.path(), &["label", "in", "--out", "tree/"]).expect(0, &["72 labelled + 18 skipped"]);
    let answer = ask(folder.path(), &["tree", "--by", "hour", "--from", "2025-03-14", "--to", "2025-03-14T03:00"]);
    let sum = |what: &str| {
        let periods = answer["periods"].as_array().expect("periods").iter();
        periods.map(|period| period[what].as_u64().expect("a count")).sum::<u64>()
    };
    assert_eq!((sum("labelled"), sum("skipped"), answer["emotions"].as_array().map(Vec::len)), (72, 18, Some(11)));
    assert_eq!(answer["models"][0]["id"], "hash");
}
