//! The worked questions of docs/trends.md: what they say in `DuckDB` and Polars is what `moodstream trends` says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::archive::{Dice, HOUR, Model, millis, posts, write};
use crate::duckdb::python;
use crate::program::{ask, same};

/// The blocks of one language below the heading of the worked questions, in their order.
fn blocks(language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trends.md");
    let page = std::fs::read_to_string(page).expect("read");
    let (_, worked) = page.split_once("## Worked questions\n").expect("the heading");
    let (worked, _) = worked.split_once("\n## ").expect("another heading");
    let fence = format!("```{language}\n");
    worked.split(&fence).skip(1).map(|rest| rest.split_once("```").expect("the end").0.to_owned()).collect()
}

/// Three weeks of November 2026, by so many models that know the same emotions.
fn archive(root: &Path, models: usize) {
    let mut dice = Dice::new(11);
    let start = millis("2026-11-01T00:00:00Z") / HOUR;
    // Of every three hours one, which is that of five in the afternoon too.
    let hours = (start..start + 24 * 24).filter(|hour| hour % 3 == 2);
    let second = Model { id: "next", hash: "77".repeat(32), ..Model::first() };
    for (name, model) in [("1", Model::first()), ("2", second)].into_iter().take(models) {
        let made = posts(&mut dice, &model, hours.clone(), 12);
        write(root, name, &model, &made);
    }
}

/// What the snippets give in a folder: those in SQL, and those in Python.
fn snippets(folder: &Path, python: &Path) -> [Vec<Value>; 2] {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/readers/snippets.py");
    let mut child = Command::new(python)
        .arg(program)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let asked = json!({"python": blocks("python"), "sql": blocks("sql")});
    child.stdin.take().expect("a pipe").write_all(asked.to_string().as_bytes()).expect("asked");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    ["sql", "python"].map(|language| found[language].as_array().expect("a list").clone())
}

/// Posts and those with the emotion, over all periods.
fn sums(group: &Value, emotion: &str) -> (u64, f64) {
    let sum = |values: &Value| values.as_array().expect("a list").iter().filter_map(Value::as_u64).sum::<u64>();
    let series = group["series"].as_array().expect("series").iter().find(|series| series["emotion"] == emotion);
    let labelled = sum(&group["labelled"]);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = sum(&series.expect("the emotion")["count"]) as f64 / labelled as f64;
    (labelled, share)
}

/// The flags of a question. The snippets ask about all times, but for the first.
fn flags(block: &str) -> Vec<String> {
    let mut words: Vec<String> = block.split_whitespace().map(str::to_owned).skip(2).collect();
    if let Some(place) = words.iter().position(|word| word == "--from").filter(|_| !block.contains("--to")) {
        words.drain(place..place + 2);
    }
    words
}

#[test]
fn the_worked_questions_have_the_same_answers_in_duckdb_and_polars() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    archive(&one.join("archive"), 1);
    archive(&two.join("archive"), 2);
    let questions: Vec<Vec<String>> = blocks("sh").iter().map(|block| flags(block)).collect();
    assert_eq!(questions.len(), 4);
    let answer =
        |folder: &Path, number: usize| ask(folder, &questions[number].iter().map(String::as_str).collect::<Vec<_>>());
    let (days, platforms, models) = (answer(&one, 0), answer(&one, 1), answer(&two, 3));
    assert_eq!(answer(&one, 2)["standouts"].as_array().map(|found| found.len() <= 20), Some(true));
    let mut tops = Vec::new();
    for (of_one, of_two) in snippets(&one, &python).iter().zip(&snippets(&two, &python)) {
        assert_eq!((of_one.len(), of_two.len()), (4, 4));
        let found = of_one[0].as_array().expect("rows");
        assert_eq!(found.len(), 7);
        for (place, row) in found.iter().enumerate() {
            let group = &days["groups"][0];
            assert_eq!(row[1], group["labelled"][place]);
            for (column, series) in [(2, 0), (3, 1)] {
                let share = group["series"][series]["share"][place].as_f64();
                assert!(same(row[column].as_f64(), share), "{row} and {share:?}");
            }
        }
        assert_groups(&platforms, "platform", "anger", &of_one[1], 3);
        assert_groups(&models, "model", "joy", &of_two[3], 2);
        // Polars gives them in no order.
        let ids = of_one[2].as_array().expect("rows").iter().map(|row| row[0].to_string());
        tops.push(ids.collect::<BTreeSet<_>>());
    }
    assert!(!tops[0].is_empty());
    assert_eq!(tops[0], tops[1], "the posts of an hour");
}

/// Holds the groups of an answer against rows of a group's word, its posts, and the share of an emotion.
#[track_caller]
fn assert_groups(answer: &Value, column: &str, emotion: &str, rows: &Value, count: usize) {
    let rows: BTreeMap<String, &Value> =
        rows.as_array().expect("rows").iter().map(|row| (row[0].to_string(), row)).collect();
    let groups = answer["groups"].as_array().expect("groups");
    assert_eq!((groups.len(), rows.len()), (count, count));
    for group in groups {
        let (labelled, share) = sums(group, emotion);
        let mut word = group["key"][column].clone();
        if column == "model" {
            // As it is shown: the id and the beginning of the hash.
            word = word.as_str().and_then(|name| name.split(' ').next()).into();
        }
        let row = rows[&word.to_string()];
        assert_eq!(row[1], labelled);
        assert!(same(row[2].as_f64(), Some(share)), "{row} and {share}");
    }
}
