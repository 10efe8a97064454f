//! `--out DIR`: the archive's files without a broker.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Int64Type, TimestampMillisecondType};
use moodstream::inference::REFERENCE_LABELS;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::program::{label, names, posts, read, start, until};

/// A row as a reader of the tree finds it.
#[derive(Debug)]
struct Row {
    /// `date=…/hour=…` of its file.
    folder: String,
    id: String,
    event_time: i64,
    text: Option<String>,
    line: i64,
    /// In the model's order.
    scores: Vec<Option<f32>>,
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The rows of `posts/`, which holds nothing but Parquet files in folders of hours.
fn rows(tree: &Path) -> Vec<Row> {
    let posts = tree.join("posts");
    let mut rows = Vec::new();
    for path in files(&posts) {
        let below = path.strip_prefix(&posts).expect("below").to_str().expect("UTF-8").to_owned();
        let (folder, name) = below.rsplit_once('/').expect("in a folder");
        assert!(name.starts_with("part-") && name.ends_with(".parquet"), "{below}");
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("opened")).expect("Parquet");
        for batch in reader.build().expect("a reader") {
            let batch = batch.expect("rows");
            let column = |name: &str| batch.column_by_name(name).expect(name);
            let text = column("text").as_string::<i32>();
            for row in 0..batch.num_rows() {
                let score = |label: &&str| {
                    let column = column(label).as_primitive::<Float32Type>();
                    column.is_valid(row).then(|| column.value(row))
                };
                rows.push(Row {
                    folder: folder.to_owned(),
                    id: column("post_id").as_string::<i32>().value(row).to_owned(),
                    event_time: column("event_time").as_primitive::<TimestampMillisecondType>().value(row),
                    text: text.is_valid(row).then(|| text.value(row).to_owned()),
                    line: column("source_line").as_primitive::<Int64Type>().value(row),
                    scores: REFERENCE_LABELS.iter().map(score).collect(),
                });
            }
        }
    }
    rows
}

/// Posts of several hours, every seventh in another language, every eleventh unreadable.
fn of_several_hours(count: usize) -> String {
    let line = |number: usize| match number {
        _ if number.is_multiple_of(11) => format!("no JSON {number}\n"),
        _ => {
            let (hour, minute) = (number % 4, number % 60);
            // A whole hour is skipped.
            let lang = if hour == 0 || number.is_multiple_of(7) { "de" } else { "en" };
            format!(
                "{{\"id\":\"{number}\",\"text\":\"post {number}\",\"lang\":\"{lang}\",\
                 \"created_at\":\"2025-03-14T2{hour}:{minute:02}:00Z\"}}\n"
            )
        }
    };
    (1..=count).map(line).collect()
}

/// Posts of three hours that take memory, encoded or not.
fn of_long_texts(count: usize) -> String {
    let line = |number: usize| {
        let part = |part: usize| format!("{:x}", (number * 64 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text: String = (0..40).map(part).collect();
        let hour = number % 3;
        format!("{{\"id\":\"{number}\",\"text\":\"{text}\",\"created_at\":\"2025-03-14T2{hour}:00:00Z\"}}\n")
    };
    (1..=count).map(line).collect()
}

#[test]
fn every_post_is_a_row_of_its_hour_with_the_scores_of_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("in"), of_several_hours(500)).expect("written");
    label(folder.path(), &["in", "--out", "lines.jsonl"]).expect(0, &["500 lines"]);
    let ran = label(folder.path(), &["in", "--out", "tree/"]);
    ran.expect(0, &["500 lines", "+ 45 rejected", "output: tree/posts, rejects: tree.rejects.jsonl"]);
    assert_eq!(names(&folder.path().join("tree")), ["posts"]);
    assert_eq!(read(folder.path(), "tree.rejects.jsonl").len(), 45);
    let mut rows = rows(&folder.path().join("tree"));
    for pair in rows.windows(2).filter(|pair| pair[0].folder == pair[1].folder) {
        assert!((pair[0].event_time, pair[0].line) < (pair[1].event_time, pair[1].line), "sorted, then as they came");
    }
    rows.sort_by_key(|row| row.line);
    let lines = read(folder.path(), "lines.jsonl");
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        assert_eq!((Some(row.id.as_str()), row.text.as_deref()), (line["id"].as_str(), line["text"].as_str()));
        let time = line["event_time"].as_str().expect("a time");
        assert_eq!(row.folder, format!("date={}/hour={}", &time[..10], &time[11..13]));
        let scores = REFERENCE_LABELS.map(|label| line["scores"].get(label).and_then(Value::as_f64));
        #[expect(clippy::cast_possible_truncation, reason = "it is an f32 in JSON")]
        let scores = scores.map(|score| score.map(|score| score as f32));
        assert_eq!(row.scores, scores);
    }
    let folders: BTreeSet<&str> = rows.iter().map(|row| row.folder.as_str()).collect();
    assert_eq!(folders.len(), 4);
}

#[test]
fn with_little_memory_an_hour_has_several_parts_and_every_row_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = 8_000;
    fs::write(folder.path().join("in"), of_long_texts(count)).expect("written");
    let small = ["--set", "archive.memory=1MiB", "--set", "archive.segment_bytes=1MiB"];
    label(folder.path(), &[&["in", "--out", "tree/"], &small[..]].concat()).expect(0, &["8,000 labelled"]);
    let written = files(&folder.path().join("tree"));
    assert!(written.len() > 3, "{written:?}");
    let rows = rows(&folder.path().join("tree"));
    let lines: BTreeSet<i64> = rows.iter().map(|row| row.line).collect();
    assert_eq!((rows.len(), lines.len()), (count, count));
}

#[test]
fn what_is_archived_of_the_text_is_what_the_configuration_says() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("in"), posts(3)).expect("written");
    fs::create_dir(folder.path().join("tree")).expect("made");
    label(folder.path(), &["in", "--out", "tree", "--set", "archive.text=omit"]).expect(0, &["3 labelled"]);
    let rows = rows(&folder.path().join("tree"));
    assert_eq!(rows.iter().filter(|row| row.text.is_none()).count(), 3);
}

#[test]
fn a_tree_is_replaced_whole_and_only_when_it_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    fs::write(folder.path().join("in"), of_several_hours(30)).expect("written");
    fs::write(folder.path().join("later"), posts(2)).expect("written");
    label(folder.path(), &["in", "--out", "tree/"]).expect(0, &[]);
    fs::write(tree.join("notes"), "kept").expect("written");
    label(folder.path(), &["later", "--out", "tree"]).expect(2, &["tree/posts holds files already", "--overwrite"]);
    assert_eq!(rows(&tree).len(), 28);
    label(folder.path(), &["later", "--out", "tree", "--overwrite"]).expect(0, &["2 labelled"]);
    assert_eq!(rows(&tree).len(), 2);
    assert_eq!(names(&tree), ["notes", "posts"], "nothing of the old tree is left, and nothing else is touched");
    assert!(!folder.path().join("tree.rejects.jsonl").exists(), "nor the rejects of an earlier run");
}

#[test]
fn what_no_run_of_ours_has_made_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("in"), posts(3)).expect("written");
    for (made, parts) in [
        ("a/_state/claims", ["a is a worker's archive", "_state"]),
        ("b/posts/holiday", ["cannot write b/posts", "holds holiday"]),
    ] {
        let tree = &made[..1];
        fs::create_dir_all(folder.path().join(made)).expect("made");
        for more in [&[][..], &["--overwrite"]] {
            label(folder.path(), &[&["in", "--out", tree], more].concat()).expect(2, &parts);
        }
        assert!(folder.path().join(made).is_dir());
    }
    fs::create_dir_all(folder.path().join("c/posts/date=2025-01-01")).expect("made");
    fs::copy(folder.path().join("in"), folder.path().join("c/posts/date=2025-01-01/in")).expect("copied");
    let inside = "c/posts/date=2025-01-01";
    for arguments in [
        &["c/posts/date=2025-01-01/in", "--out", "c", "--overwrite"][..],
        &["in", "--out", "c", "--overwrite", "--rejects", "c/posts/date=2025-01-01/rejects"],
    ] {
        label(folder.path(), arguments).expect(2, &[inside, "lies in c/posts"]);
    }
    for (out, parts) in [
        ("in/", ["cannot write in/", "ot a directory"]),
        ("nowhere/tree/", ["cannot write nowhere/tree", "No such file"]),
    ] {
        label(folder.path(), &["in", "--out", out]).expect(2, &parts);
    }
    assert_eq!(names(folder.path()), ["a", "b", "c", "in"]);
}

#[test]
fn a_run_that_fails_or_is_interrupted_leaves_the_old_tree_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    fs::write(folder.path().join("first"), of_several_hours(30)).expect("written");
    label(folder.path(), &["first", "--out", "tree/", "--rejects", "/dev/null"]).expect(0, &[]);
    fs::write(folder.path().join("in"), of_long_texts(20_000)).expect("written");
    let arguments = [
        "in",
        "--out",
        "tree",
        "--overwrite",
        "--set",
        "batch.max_posts=256",
        "--set",
        "archive.memory=1MiB",
        "--set",
        "archive.segment_bytes=1MiB",
    ];
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = start(folder.path(), "delay_us=300", &arguments);
        until("a part is written", || {
            assert!(running.is_running(), "it has ended already");
            files(&tree).iter().any(|path| path.to_string_lossy().contains(".partial/"))
        });
        kill(Pid::from_raw(running.id()), signal).expect("sent");
        let ran = running.wait();
        assert_eq!(ran.status.signal(), Some(signal as i32), "{}", ran.stderr);
        assert_eq!(names(&tree), ["posts"]);
        assert_eq!(rows(&tree).len(), 28);
    }
    label(folder.path(), &["in", "missing.gz", "--out", "new/"]).expect(2, &["missing.gz"]);
    fs::write(folder.path().join("torn.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]).expect("written");
    label(folder.path(), &["in", "torn.gz", "--out", "new/"]).expect(1, &["torn.gz"]);
    assert_eq!(names(folder.path()), ["first", "in", "torn.gz", "tree"]);
}
