//! `moodstream model evaluate` and the longer checks of `model verify` on real models: the figures are those that the
//! scores themselves give, and what differs is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use moodstream::inference::{BATCH_TOLERANCE, Bundle, shuffle};
use serde_json::{Value, json};

use crate::load_bundle;
use crate::tiny::{Tiny, expected};

/// Posts of this project's own, in the layout of SemEval-2018 Task 1 E-c.
const POSTS: &str = "tests/fixtures/evaluation/posts.txt";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MOODSTREAM")) {
        command.env_remove(name);
    }
    command.output().expect("the program starts")
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Ids and gold labels of a file, read without any of the program.
fn gold(path: &str) -> Vec<(String, Vec<bool>)> {
    let file = fs::read_to_string(root(path)).expect("a file");
    let post = |line: &str| {
        let values: Vec<&str> = line.split('\t').collect();
        (values[0].to_owned(), values[2..].iter().map(|value| *value == "1").collect())
    };
    file.lines().skip(1).map(post).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn figures_of_the_starter_model_are_those_that_its_scores_give() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (scores, svg) = (path("scores.jsonl"), path("quality.svg"));
    let ran = run(&[
        "model",
        "evaluate",
        POSTS,
        "--model",
        "models/starter",
        "--format",
        "json",
        "--scores",
        &scores,
        "--svg",
        &svg,
    ]);
    said(&ran, 0);
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let posts = gold(POSTS);
    let model = Bundle::open(&root("models/starter")).expect("the starter model").info;
    assert_eq!(report["model"]["hash"], model.hash.as_str());
    assert_eq!((&report["data"]["file"], &report["data"]["posts"]), (&json!("posts.txt"), &json!(posts.len())));

    let lines = fs::read_to_string(scores).expect("scores");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().map(|line| line["id"].as_str()).eq(posts.iter().map(|(id, _)| Some(id.as_str()))));
    let (mut right, mut f1, mut off) = (0.0, 0.0, 0.0);
    for (index, label) in model.labels.iter().enumerate() {
        let (mut both, mut either) = (0.0, 0.0);
        for (line, (_, gold)) in lines.iter().zip(&posts) {
            let score = number(&line["scores"][label]);
            let (gold, given) = (gold[index], score >= f64::from(model.thresholds[index]));
            both += f64::from(u8::from(gold && given));
            either += f64::from(u8::from(gold)) + f64::from(u8::from(given));
            right += f64::from(u8::from(gold == given));
            off += (score - f64::from(u8::from(gold))).powi(2);
        }
        let own = if either > 0.0 { 2.0 * both / either } else { 0.0 };
        let told = &report["labels"][index];
        assert_eq!(told["label"], label.as_str());
        assert!((number(&told["f1"]) - own).abs() < 1e-12, "{label}: {told}, not {own}");
        f1 += own;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let decisions = (lines.len() * model.labels.len()) as f64;
    for (pointer, own) in [
        ("/overall/macro_f1", f1 / 11.0),
        ("/overall/hamming_accuracy", right / decisions),
        ("/calibration/brier_score", off / decisions),
    ] {
        let told = number(report.pointer(pointer).expect(pointer));
        assert!((told - own).abs() < 1e-6, "{pointer}: {told}, not {own}");
    }
    // Plain posts: a model that is not much better than chance on them has been fed something else.
    assert!(number(&report["overall"]["micro_f1"]) > 0.5, "{}", report["overall"]);
    assert!(fs::read_to_string(svg).expect("a picture").contains("starter-v2 on posts.txt"));
}

#[test]
fn a_model_with_other_labels_is_judged_by_the_names_of_the_columns() {
    let (model, data) = (Tiny::default().write(), tempfile::tempdir().expect("a folder"));
    let file = data.path().join("words.tsv");
    // Columns in another order than the model's. "good" is joy, "bad" is fear: one of four posts is wrong.
    let lines = "fear\tID\tjoy\tTweet\n0\ta\t1\tgood\n1\tb\t0\tbad bad\n1\tc\t0\tgood\n0\td\t1\tgood good bad\n";
    fs::write(&file, lines).expect("written");
    let [model, file] = [model.path(), &file].map(|path| path.display().to_string());
    let ran = run(&["model", "evaluate", &file, "--model", &model, "--format", "json"]);
    said(&ran, 0);
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(report["labels"][0]["label"], "joy");
    // good good bad: its fear has a logit of 0, which reaches 0.5.
    for (label, expected) in [(0, [2.0, 3.0, 2.0 / 3.0, 1.0]), (1, [2.0, 2.0, 0.5, 0.5])] {
        for (figure, expected) in ["support", "predicted", "precision", "recall"].into_iter().zip(expected) {
            let told = number(&report["labels"][label][figure]);
            assert!((told - expected).abs() < 1e-12, "{label} {figure}: {told}, not {expected}");
        }
    }
    assert_eq!(report["published"], Value::Null);
    let text = said(&run(&["model", "evaluate", &file, "--model", &model]), 0);
    assert!(text.contains("fear") && !text.contains("Published"), "{text}");
}

/// A file of texts with scores, each off by this.
fn references(folder: &Path, off: f64) -> String {
    let line = |text: &str| {
        let scores = expected(text).map(|score| score + off);
        json!({"text": text, "scores": scores}).to_string()
    };
    let file = folder.join("references.jsonl");
    fs::write(&file, ["good", "bad", "good bad bad", "bad good"].map(line).join("\n")).expect("written");
    file.display().to_string()
}

#[test]
fn scores_of_another_implementation_are_compared_and_too_far_off_is_not_sound() {
    let (tiny, folder) = (Tiny::default().write(), tempfile::tempdir().expect("a folder"));
    let model = tiny.path().display().to_string();
    let verify =
        |file: &str, more: &[&str]| run(&[&["model", "verify", "--model", &model, "--against", file], more].concat());
    let text = said(&verify(&references(folder.path(), 0.0), &[]), 0);
    assert!(text.contains("references    4 texts: scores off by") && text.contains("labels flipped: 0"), "{text}");
    let file = references(folder.path(), 1e-3);
    let text = said(&verify(&file, &[]), 1);
    for part in ["1.0e-3 at most", "references.jsonl line", "at most 1e-5 apart is allowed"] {
        assert!(text.contains(part), "no \"{part}\" in: {text}");
    }
    said(&verify(&file, &["--max", "0.01"]), 0);
    // "bad good" has a logit of 1 for both, so no label is near its threshold until the scores are far lower.
    let text = said(&verify(&references(folder.path(), -0.24), &["--max", "1"]), 1);
    assert!(text.contains("labels differ from"), "{text}");
}

#[test]
fn a_wrong_file_of_references_is_wrong_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("r.jsonl");
    fs::write(&file, "{\"text\":\"my secret\",\"scores\":[0.5]}\n").expect("written");
    let file = file.display().to_string();
    let text = said(&run(&["model", "verify", "--against", &file]), 2);
    assert!(text.contains("r.jsonl: line 1: scores: expected 11") && !text.contains("secret"), "{text}");
}

#[test]
fn shuffled_batches_leave_the_starter_models_scores_alone_and_move_those_of_a_model_that_looks_at_the_batch() {
    let bundle = Bundle::open(&root("models/starter")).expect("the starter model");
    let loaded = load_bundle(&bundle.path, 2, 0).expect("the starter model loads");
    let texts: Vec<&str> = bundle.golden.iter().map(|golden| &*golden.text).collect();
    let mut seen = 0;
    let shown = shuffle(&loaded, &texts, 3, |done| seen = done).expect("the model is up");
    assert!(shown.is_within(BATCH_TOLERANCE), "{shown:?}");
    assert_eq!((shown.texts, shown.rounds, seen), (texts.len(), 3, texts.len() * 4));
    assert!(shown.micro_batches > 9 && shown.padding > 0.01, "{shown:?}");

    let mut tiny = Tiny { graph: "batch_dependent", ..Tiny::default() };
    tiny.manifest["precision"] = "int8".into();
    tiny.manifest["tolerance"] = json!({"mean": 0.005, "max": 0.05});
    let tiny = tiny.write();
    let loaded = load_bundle(tiny.path(), 1, 0).expect("alone it gives its golden scores");
    let shown = shuffle(&loaded, &["good", "bad", "good bad bad", "bad good good"], 3, |_| ()).expect("it is up");
    assert!(!shown.is_within(BATCH_TOLERANCE), "{shown:?}");
    let ran = run(&["model", "verify", "--model", &tiny.path().display().to_string(), "--shuffle", "2"]);
    let text = said(&ran, 1);
    assert!(text.contains("scores depend on the batch") && text.contains("where 1e-6 is allowed"), "{text}");
}
