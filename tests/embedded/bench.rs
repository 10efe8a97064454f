//! `moodstream bench` on a broker inside the process: the pipeline is measured without any Kafka.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    command.args(["bench", "src/demo/posts.jsonl"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("the program starts")
}

#[test]
fn the_pipeline_is_measured_on_an_embedded_broker_that_is_kept_supplied() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("figures.json");
    // Three lanes and sixteen partitions at least: each lane gets six.
    let ran =
        bench(&["--embedded", "--seconds=1", "--set=worker.lanes=3", "--json", json.to_str().expect("a plain name")]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let figures: Value = serde_json::from_slice(&std::fs::read(&json).expect("the figures are written")).expect("JSON");
    let number = |pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).expect("a number");
    assert_eq!(figures["broker"], "embedded");
    let labelled = number("/pipeline/0/posts_per_second") * number("/pipeline/0/seconds");
    assert!(labelled > 1.0 && number("/pipeline/0/batch_posts") >= 1.0, "{figures:#}");
    assert!(figures["baseline_gpu"].is_null() && figures["pipeline"][0]["gpu"].is_null(), "{figures:#}");
    let table = String::from_utf8_lossy(&ran.stdout);
    assert!(table.contains("whole pipeline, embedded broker"), "{table}");
    assert!(!table.contains("exactly once"), "it is no proof of that: {table}");
}

#[test]
fn an_embedded_broker_excludes_a_real_one_and_an_opponent() {
    for other in [["--brokers", "b:1"], ["--against", "python"]] {
        let ran = bench(&["--embedded", other[0], other[1]]);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.code() == Some(2) && said.contains(other[0]), "{said}");
    }
}
