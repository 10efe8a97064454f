//! The same figures, computed by `DuckDB` over the same files: tools/readers/trends.py.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::program::same;

/// The interpreter that has `DuckDB`; none where it is not installed, unless that is an error.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/readers/bin/python");
    if python.exists() {
        return Some(python);
    }
    let required = std::env::var_os("MOODSTREAM_REQUIRE_READERS").is_some();
    assert!(!required, "MOODSTREAM_REQUIRE_READERS is set, but there is no {}: make readers", python.display());
    eprintln!("left out: make readers installs what this test needs");
    None
}

/// A question as `DuckDB` is asked it.
#[derive(Debug, Clone)]
pub(crate) struct Question<'a> {
    /// The flags of `moodstream trends`.
    pub(crate) flags: Vec<&'a str>,
    /// `day`, `week`, `hour`, of this zone's clock.
    pub(crate) by: &'a str,
    pub(crate) zone: &'a str,
    /// SQL conditions.
    pub(crate) filters: Vec<&'a str>,
    /// Names and expressions of SQL.
    pub(crate) groups: Vec<(&'a str, &'a str)>,
    /// Labels as models spell them, and the column of their scores.
    pub(crate) emotions: Vec<(&'a [&'a str], &'a str)>,
}

/// `DuckDB`'s answers.
pub(crate) fn answers(python: &Path, posts: &Path, questions: &[Question<'_>]) -> Vec<Vec<Value>> {
    let asked = |question: &Question<'_>| {
        json!({"by": question.by, "zone": question.zone, "where": question.filters, "groups": question.groups,
            "emotions": question.emotions})
    };
    let asked = json!({"posts": posts, "questions": questions.iter().map(asked).collect::<Vec<_>>()});
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/readers/trends.py");
    let mut child =
        Command::new(python).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
    child.stdin.take().expect("a pipe").write_all(asked.to_string().as_bytes()).expect("asked");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Holds an answer of moodstream against `DuckDB`'s: counts and shares exactly, means to 1e-9, and nothing in one only.
#[track_caller]
pub(crate) fn assert_same(answer: &Value, rows: &[Value], question: &Question<'_>) {
    let mut met = 0;
    let periods = answer["periods"].as_array().expect("periods");
    for group in answer["groups"].as_array().expect("groups") {
        for (at, period) in periods.iter().enumerate() {
            let start = &period["start"].as_str().expect("a start")[..19];
            // The first day begins where the range does.
            let cut = if question.by == "day" { &start[..10] } else { start };
            let matching = |row: &&Value| {
                row["period"].as_str().is_some_and(|period| period.starts_with(cut)) && row["key"] == group["key"]
            };
            let row = rows.iter().find(matching);
            let labelled = row.map_or(0, |row| row["labelled"].as_u64().expect("a count"));
            let skipped = row.map_or(0, |row| row["skipped"].as_u64().expect("a count"));
            let place = format!("{start} {} of {:?}", group["key"], question.flags);
            assert_eq!(group["labelled"][at], labelled, "labelled, {place}");
            assert_eq!(group["skipped"][at], skipped, "skipped, {place}");
            met += usize::from(row.is_some());
            let series = group["series"].as_array().expect("series");
            assert_eq!(series.len(), question.emotions.len(), "{place}");
            for (series, (_, column)) in series.iter().zip(&question.emotions) {
                let place = format!("{column}, {place}");
                let Some(row) = row else {
                    assert_eq!((&series["count"][at], &series["share"][at]), (&json!(0), &Value::Null), "{place}");
                    continue;
                };
                let [count, of, mean] = [0, 1, 2].map(|part| row[*column][part].clone());
                let (count, of) = (count.as_u64().expect("a count"), of.as_u64().expect("a count"));
                assert_eq!(series["count"][at], count, "count, {place}");
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let share = (of > 0).then(|| count as f64 / of as f64);
                assert!(same(series["share"][at].as_f64(), share), "share {}, {place}", series["share"][at]);
                match (series["mean"][at].as_f64(), mean.as_f64()) {
                    (Some(mean), Some(right)) => {
                        assert!((mean - right).abs() < 1e-9, "mean {mean}, where it is {right}: {place}");
                    }
                    (mean, right) => assert_eq!(mean, right, "mean, {place}"),
                }
            }
        }
    }
    assert_eq!(met, rows.len(), "DuckDB has as many periods and groups with posts: {:?}", question.flags);
}
