//! `bench label` measures what it says it measures.

use std::path::Path;

use crate::program::{Model, Running, moodstream};

#[test]
fn bench_label_gives_both_absolutes_and_their_ratio() {
    let folder = tempfile::tempdir().expect("a folder");
    let posts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/posts.jsonl");
    let posts = posts.to_str().expect("a name");
    let measure = ["bench", "label", posts, "--seconds", "1", "--set", "log.level=warn"];
    let ran = Running::start(&mut moodstream(folder.path(), Model::Starter, &measure)).wait();
    ran.expect(0, &[]);
    let said = String::from_utf8(ran.stdout).expect("text");
    let rates: Vec<f64> = said.lines().filter_map(|line| before(line, " posts/s")).collect();
    let ratio =
        said.lines().find_map(|line| line.trim().strip_prefix("label / ONNX Runtime alone")?.trim().parse().ok());
    let [first, own, last] = rates[..] else { panic!("three rates in\n{said}") };
    let expected = own * 2.0 / (first + last);
    assert!(own > 0.0 && ratio.is_some_and(|ratio: f64| (ratio - expected).abs() < 0.02), "{expected} in\n{said}");
}

/// The number that stands before these words.
fn before(line: &str, words: &str) -> Option<f64> {
    line.split_once(words)?.0.split_whitespace().next_back()?.parse().ok()
}
