//! A new model: looked at in the shadow of the old one, then brought by a rolling restart; and other rolling restarts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::broker::Broker;
use crate::support::oracle::Kind;
use crate::support::stage::{Layout, Stage};
use crate::support::topic::Isolation;
use crate::support::worker::{Launch, Worker};
use crate::support::{eventually, posts, unique};

const DEADLINE: Duration = Duration::from_mins(2);

/// The project's model under another name, which gives joy only from a higher score on.
fn candidate() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("candidate");
    fs::create_dir(&path).expect("a new folder");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter");
    for file in ["model.json", "model.onnx", "tokenizer.json", "golden.jsonl"] {
        fs::copy(original.join(file), path.join(file)).expect("the project's model");
    }
    let manifest = path.join("model.json");
    let mut model: Value = serde_json::from_slice(&fs::read(&manifest).expect("a copy")).expect("JSON");
    model["id"] = "candidate".into();
    let labels = model["labels"].as_array().expect("labels");
    let joy = labels.iter().position(|label| label == "joy").expect("it knows joy");
    model["thresholds"][joy] = json!(0.95);
    fs::write(manifest, model.to_string()).expect("an own folder can be written");
    (folder, path)
}

/// The model that each output names, in the order of each input partition.
fn models(stage: &Stage) -> BTreeMap<i32, Vec<String>> {
    let mut outcomes = stage.published(Isolation::Committed).outcomes;
    outcomes.retain(|outcome| outcome.kind == Kind::Labelled);
    outcomes.sort_by(|one, other| one.source.cmp(&other.source));
    let mut models: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for outcome in outcomes {
        let model = outcome.record.json()["model"]["id"].as_str().expect("it names its model").to_owned();
        models.entry(outcome.source.1).or_default().push(model);
    }
    models
}

#[test]
fn a_shadow_model_says_where_it_differs_and_nothing_of_it_is_published() {
    let mut stage = Stage::new(&Broker::shared().address(), "shadow", &Layout::partitions(2));
    let (_folder, path) = candidate();
    stage.produce(posts::take(600));
    let launch = stage.worker("live").real_model().set("shadow.path", path.to_str().expect("text"));
    let mut worker = launch.set_raw("shadow.share", "1.0").start();
    stage.wait_until_done(DEADLINE);

    let mut page = |path| worker.page(path).expect("the admin server answers").1;
    let labelled =
        || serde_json::from_str::<Value>(&page("/status.json")).expect("JSON")["totals"]["labelled"].as_u64();
    let labelled = eventually(DEADLINE, "posts are labelled", labelled);
    let shadow = eventually(DEADLINE, "every labelled post is compared or passed over", || {
        let status: Value = serde_json::from_str(&page("/status.json")).expect("JSON");
        let shadow = status["shadow"].clone();
        let posts = ["same", "different", "failed", "passed_over"].map(|key| shadow[key].as_u64().expect("a count"));
        (posts.iter().sum::<u64>() == labelled).then_some(shadow)
    });
    assert_eq!((&shadow["id"], &shadow["failed"]), (&json!("candidate"), &json!(0)), "{shadow}");
    let different = shadow["different"].as_u64().expect("a count");
    assert!(different > 0, "{shadow}");
    for label in shadow["labels"].as_array().expect("labels") {
        // Same weights: same scores, whatever batch they come from.
        assert!(label["mean_difference"].as_f64().expect("compared") < 1e-6, "{label}");
        assert_eq!(label["shadow"], 0, "{label}");
        let only_live = if label["label"] == "joy" { different } else { 0 };
        assert_eq!(label["live"], only_live, "{label}");
    }
    let metrics = page("/metrics");
    assert!(metrics.contains("moodstream_shadow_info{model=\"candidate\""), "{metrics}");

    stage.finish([worker], DEADLINE);
    let models = models(&stage).into_values().flatten().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(models.into_iter().collect::<Vec<_>>(), [starter()]);
}

/// The id of the project's model.
fn starter() -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter/model.json");
    let model: Value = serde_json::from_slice(&fs::read(manifest).expect("the project's model")).expect("JSON");
    model["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_shadow_model_that_cannot_be_loaded_ends_the_start_and_names_its_key() {
    let stage = Stage::new(&Broker::shared().address(), "no-shadow", &Layout::partitions(1));
    let mut worker = stage.worker("live").set("shadow.path", "/nowhere/candidate").start();
    let status = worker.wait(DEADLINE);
    assert_eq!(status.code(), Some(1), "{status}");
    let told = worker.lines(|line| line.to_string().contains("shadow.path") && line.to_string().contains("/nowhere"));
    assert!(!told.is_empty(), "{:?}", worker.lines(|_| true));
}

/// Stops each worker in turn and starts it as the other launch says, while posts come in.
fn roll(stage: &mut Stage, mut workers: Vec<Worker>, launches: &[Launch]) -> Vec<Worker> {
    for launch in launches {
        stage.produce(posts::take(300));
        workers.remove(0).stop();
        let mut worker = launch.start();
        worker.wait_ready();
        workers.push(worker);
    }
    workers
}

#[test]
fn a_rolling_restart_brings_a_new_model_and_each_partition_stays_where_it_is() {
    const NAMES: [&str; 3] = ["worker-0", "worker-1", "worker-2"];
    let mut stage = Stage::new(&Broker::shared().address(), "rollout", &Layout::partitions(6));
    let (_folder, path) = candidate();
    // A restart takes less than the session timeout also on a busy machine.
    let launch = |name: &str| stage.worker(name).instance(name).set("kafka.session_timeout", "60s").real_model();
    let old = NAMES.map(launch);
    let new = NAMES.map(|name| launch(name).set("model.path", path.to_str().expect("text")));
    let workers: Vec<Worker> = old.iter().map(Launch::start).collect();
    stage.produce(posts::take(600));
    stage.wait_until_done(DEADLINE);
    let workers = roll(&mut stage, workers, &new);
    stage.produce(posts::take(300));
    stage.finish(workers, DEADLINE);

    for (partition, models) in models(&stage) {
        let switched = models.iter().position(|model| model == "candidate").expect("the new model has labelled here");
        assert!(switched > 0, "partition {partition}: the old model has labelled nothing");
        // Had the partition moved to a worker with the old model and back, the old one would come again.
        assert!(models[switched..].iter().all(|model| model == "candidate"), "partition {partition}: {models:?}");
    }
}

#[test]
fn a_rolling_restart_takes_one_topic_away_and_adds_another() {
    const NAMES: [&str; 3] = ["worker-0", "worker-1", "worker-2"];
    let mut stage = Stage::new(&Broker::shared().address(), "topics-roll", &Layout::partitions(4));
    let (gone, added) = (unique("gone"), unique("added"));
    let topics = |topic: &str| format!("[\"{}\", \"{topic}\"]", stage.input);
    let launch = |name: &str, topic: &str| {
        let worker = stage.worker(name).instance(name).set("kafka.session_timeout", "60s");
        worker.set_raw("input.topics", &topics(topic)).hash_classifier(Duration::from_millis(1))
    };
    let old = NAMES.map(|name| launch(name, &gone));
    let new = NAMES.map(|name| launch(name, &added));
    stage.add_input(&gone, 3, posts::take(600));
    let workers: Vec<Worker> = old.iter().map(Launch::start).collect();
    stage.wait_until_done(DEADLINE);
    stage.add_input(&added, 3, posts::take(600));
    let workers = roll(&mut stage, workers, &new);
    stage.produce(posts::take(300));
    stage.finish(workers, DEADLINE);
}

#[test]
fn survivors_have_all_partitions_within_five_seconds_of_a_worker_that_leaves() {
    const WITHIN: Duration = Duration::from_secs(5);
    let stage = Stage::new(&Broker::shared().address(), "leave", &Layout::partitions(6));
    let launch = |name: &str| stage.worker(name).instance(name).set_raw("worker.leave_group", "true");
    let mut workers = ["a", "b", "c"].map(|name| launch(name).start());
    for worker in &mut workers {
        worker.wait_ready();
    }
    let held = |worker: &mut Worker| {
        let (_, body) = worker.page("/status.json")?;
        let status: Value = serde_json::from_str(&body).expect("JSON");
        let lanes = status["lanes"].as_array().expect("lanes").iter();
        Some(lanes.map(|lane| lane["partitions"].as_array().map_or(0, Vec::len)).sum::<usize>())
    };
    let [mut a, mut b, mut leaving] = workers;
    eventually(DEADLINE, "each has its share", || {
        [&mut a, &mut b, &mut leaving].map(|worker| held(worker) == Some(2)).iter().all(|even| *even).then_some(())
    });
    leaving.signal(Signal::SIGTERM);
    eventually(WITHIN, "the survivors have its partitions", || {
        (held(&mut a)? == 3 && held(&mut b)? == 3).then_some(())
    });
    assert_eq!(leaving.wait(DEADLINE).code(), Some(0));
    stage.finish([a, b], DEADLINE);
}
