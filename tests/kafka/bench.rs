//! `moodstream bench` against a real broker: it ends, and its figures are those of what it ran. Not how high they are:
//! this machine is busy.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::admin::Admin;
use crate::support::broker::Broker;
use crate::support::within;

/// Runs a benchmark on the demo's posts: the table and the JSON. Nothing of it may be left on the broker.
fn bench(args: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("figures.json");
    let brokers = Broker::shared().address();
    let output = Command::new(env!("CARGO_BIN_EXE_moodstream"))
        .arg("bench")
        .args(args)
        .args(["src/demo/posts.jsonl", "--brokers", &brokers, "--json"])
        .arg(&json)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("few distinct texts"), "a few hundred posts are too few, and it says so: {said}");
    let topics: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("\"topic\":\"")?.1.split('"').next()).collect();
    assert!(!topics.is_empty(), "it says which topic it makes: {said}");
    let admin = Admin::new(&brokers);
    for topic in topics.iter().filter(|topic| topic.starts_with("moodstream-bench-")) {
        let gone = within(Duration::from_secs(30), || (admin.partitions(topic) == 0).then_some(()));
        assert!(gone.is_some(), "{topic} is left");
    }
    let figures = std::fs::read_to_string(&json).expect("the figures are written");
    (String::from_utf8_lossy(&output.stdout).into_owned(), serde_json::from_str(&figures).expect("JSON"))
}

fn number(figures: &Value, pointer: &str) -> f64 {
    figures.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer}: {figures:#}"))
}

#[test]
fn the_pipeline_is_stated_with_its_baselines_their_ratio_and_what_it_was_taken_with() {
    let (table, figures) = bench(&["--seconds", "2"]);
    let baseline = f64::midpoint(number(&figures, "/baseline/0"), number(&figures, "/baseline/1"));
    let pipeline = number(&figures, "/pipeline/0/posts_per_second");
    let ratio = number(&figures, "/ratio");
    assert!(pipeline > 1.0 && baseline > 1.0 && (ratio - pipeline / baseline).abs() < 1e-9, "{figures:#}");
    assert!(table.contains(&format!("pipeline / ONNX Runtime alone   {ratio:>8.3}")), "{table}");
    for (pointer, expected) in [("/model/id", "starter-v2"), ("/model/precision", "int8"), ("/model/provider", "cpu")] {
        assert_eq!(figures.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer}");
    }
    assert!(number(&figures, "/tokens_per_post") > 5.0, "{figures:#}");
    assert!(figures.pointer("/machine/cpu").is_some() && figures.pointer("/python").is_some_and(Value::is_null));
    if cfg!(target_os = "linux") {
        // With a few hundred texts, equal ones merge and the pipeline is done in no time: look at the baseline.
        assert!(number(&figures, "/baseline_cpu/sessions") > 0.0, "{figures:#}");
    }
}

#[test]
fn a_lane_without_a_model_is_measured_over_the_posts_asked_for() {
    let (table, figures) = bench(&["lane", "--posts", "4000", "--batch", "100"]);
    assert!(number(&figures, "/posts_per_second") > 100.0, "{figures:#}");
    assert!((1.0..=3300.0).contains(&number(&figures, "/posts")), "the first batches are left out: {figures:#}");
    assert!(table.contains("one lane, null classifier, no tokenizing, batches of 100"), "{table}");
}

#[test]
fn latency_is_measured_post_by_post_and_memory_over_a_backlog() {
    let (_, figures) = bench(&["latency", "--seconds", "3", "--rate", "20"]);
    assert!((number(&figures, "/posts") - 60.0).abs() < 0.5, "{figures:#}");
    let [p50, p99, max] = ["/p50", "/p99", "/max"].map(|pointer| number(&figures, pointer));
    assert!(1.0 < p50 && p50 <= p99 && p99 <= max, "{figures:#}");
    if cfg!(target_os = "linux") {
        let (_, figures) = bench(&["memory", "--posts", "5000", "--seconds", "2"]);
        let [before, null, real] = ["/before", "/null", "/real"].map(|pointer| number(&figures, pointer));
        assert!(5.0 < before && before < null && null < real, "a model takes more than none: {figures:#}");
    }
}

#[test]
fn workers_with_an_accelerator_each_are_measured_by_their_number() {
    let (table, figures) = bench(&[
        "scale",
        "--workers",
        "1,2",
        "--wait-per-post",
        "4ms",
        "--seconds",
        "3",
        "--set",
        "batch.target=250ms",
    ]);
    for (round, workers) in [(0, 1.0), (1, 2.0)] {
        let number = |field: &str| number(&figures, &format!("/rounds/{round}/{field}"));
        assert!((number("workers") - workers).abs() < 1e-9, "{figures:#}");
        // An accelerator does 250 posts a second, and no worker can do more.
        let most = 250.0 * workers;
        assert!(number("posts_per_second") > 0.2 * most && number("posts_per_second") < 1.2 * most, "{figures:#}");
        let of_accelerators = number("posts_per_second") / most;
        assert!((number("of_accelerators") - of_accelerators).abs() < 1e-9, "{figures:#}");
    }
    assert!((number(&figures, "/rounds/0/of_linear") - 1.0).abs() < 1e-9, "{figures:#}");
    assert!(table.contains("of linear") && table.contains("takes 4000 µs"), "{table}");
}
