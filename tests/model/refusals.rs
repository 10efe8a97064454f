//! A model that is not what its manifest says never starts, and the message says what differs.

use std::path::Path;

use moodstream::config::{Model, Provider};
use moodstream::inference::{ModelError, load};
use serde_json::json;

use crate::tiny::Tiny;
use crate::{load_bundle, settings};

#[track_caller]
fn refused(tiny: Tiny, parts: &[&str]) {
    let folder = tiny.write();
    let error = load_bundle(folder.path(), 1, 0).err().expect("refused").to_string();
    for part in parts {
        assert!(error.contains(part), "no \"{part}\" in: {error}");
    }
}

#[test]
fn a_right_bundle_is_not_refused() {
    let folder = Tiny::default().write();
    let loaded = load_bundle(folder.path(), 2, 0).expect("nothing is wrong with it");
    assert_eq!((loaded.sessions, loaded.provider), (2, "cpu"));
    assert!(loaded.library.path.is_file());
    assert!(loaded.library.version.starts_with("1."), "{}", loaded.library.version);
    assert!(loaded.verification.batch_independent);
}

#[test]
fn a_wrong_hash_is_refused_with_both_digests() {
    let folder = Tiny::default().write();
    let file = folder.path().join("model.onnx");
    let mut graph = std::fs::read(&file).expect("file");
    graph.push(0);
    std::fs::write(&file, graph).expect("file");
    let error = load_bundle(folder.path(), 1, 0).err().expect("refused").to_string();
    let digests = error.split([' ', ',']).filter(|word| word.len() == 64).count();
    assert!(error.contains("model.onnx") && digests == 2, "{error}");
}

#[test]
fn more_labels_than_logits_are_refused() {
    let mut tiny = Tiny::default();
    tiny.manifest["labels"] = json!(["joy", "fear", "trust"]);
    tiny.manifest["thresholds"] = json!([0.5, 0.5, 0.5]);
    refused(tiny, &["model.onnx", "output \"logits\"", "expected float32 [batch, 3]", "[-1, 2]"]);
}

#[test]
fn more_labels_than_logits_are_refused_when_the_graph_leaves_its_width_open() {
    let mut tiny = Tiny { graph: "open_width", ..Tiny::default() };
    tiny.manifest["labels"] = json!(["joy", "fear", "trust"]);
    tiny.manifest["thresholds"] = json!([0.5, 0.5, 0.5]);
    refused(tiny, &["model.onnx", "expected [1, 3]", "found [1, 2]"]);
}

#[test]
fn logits_per_token_are_refused() {
    let tiny = Tiny { graph: "per_token", ..Tiny::default() };
    refused(tiny, &["model.onnx", "one logit per label", "[-1, -1, 2]"]);
}

#[test]
fn names_that_the_graph_does_not_have_are_refused_with_those_it_has() {
    let mut tiny = Tiny::default();
    tiny.manifest["output"] = "scores".into();
    refused(tiny, &["output \"scores\"", "found only logits"]);
    let mut tiny = Tiny::default();
    tiny.manifest["inputs"]["attention_mask"] = "mask".into();
    refused(tiny, &["input \"mask\"", "found only input_ids, attention_mask"]);
}

#[test]
fn golden_scores_beyond_the_tolerance_are_refused_with_text_label_and_both_values() {
    let tiny = Tiny { golden_off_by: -0.01, ..Tiny::default() };
    refused(tiny, &["golden.jsonl line 1", "joy", "expected 0.8707", "found 0.8807", "0.0001"]);
    let folder = Tiny { golden_off_by: -0.000_05, ..Tiny::default() }.write();
    assert!(load_bundle(folder.path(), 1, 0).is_ok(), "within the tolerance");
}

#[test]
fn another_activation_is_refused_by_name() {
    let mut tiny = Tiny::default();
    tiny.manifest["activation"] = "softmax".into();
    refused(tiny, &["model.json", "activation", "\"sigmoid\"", "\"softmax\""]);
}

#[test]
fn a_corrupted_tokenizer_is_refused() {
    let tiny = Tiny { tokenizer: json!({"version": "1.0", "model": {}}), ..Tiny::default() };
    refused(tiny, &["tokenizer.json", "not a tokenizer"]);
}

#[test]
fn a_file_that_is_no_graph_is_refused() {
    let folder = Tiny::default().write();
    let manifest = folder.path().join("model.json");
    let garbage = b"this is no graph";
    std::fs::write(folder.path().join("model.onnx"), garbage).expect("file");
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).expect("file")).expect("JSON");
    value["files"]["model.onnx"] = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(garbage)).into();
    std::fs::write(&manifest, value.to_string()).expect("file");
    let error = load_bundle(folder.path(), 1, 0).err().expect("refused").to_string();
    assert!(error.contains("model.onnx"), "{error}");
}

#[test]
fn cuda_that_cannot_be_had_is_an_error_and_never_the_processor_instead() {
    let folder = Tiny::default().write();
    let path = folder.path().to_path_buf();
    let mut inference = settings(1, 0);
    inference.provider = Provider::Cuda;
    // The library for processors, which has no CUDA.
    inference.library = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime");
    let error = load(&Model { path }, &inference).err().expect("refused");
    assert!(matches!(error, ModelError::Provider { .. }), "{error:?}");
    assert!(error.to_string().contains("inference.provider = \"cuda\""), "{error}");
}
