//! The starter model's manifest and a smaller one, mutated: refused with a reason, or right in every part.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use moodstream::inference::Manifest;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fuzz;
use crate::mutate::mutants;

fn examples() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter/model.json");
    let starter = serde_json::from_slice(&std::fs::read(file).expect("the starter model")).expect("JSON");
    let digest = "0f".repeat(32);
    let small = json!({
        "id": "small", "description": "", "labels": ["joy", "fear"], "activation": "sigmoid", "thresholds": [0.5, 0.3],
        "max_length": 16, "pad_id": 0, "languages": [], "inputs": {"input_ids": "a", "attention_mask": "b"},
        "output": "c", "precision": "fp32", "tolerance": {"mean": 1e-5, "max": 1e-4}, "metrics": {}, "licence": "",
        "provenance": "", "files": {"model.onnx": digest, "tokenizer.json": digest, "golden.jsonl": digest},
    });
    vec![starter, small]
}

#[test]
fn a_mutated_manifest_is_refused_with_a_reason_or_right_in_every_part() {
    let examples = examples();
    let file = Path::new("bundle/model.json");
    fuzz("manifest", &mutants(), |mutant| {
        let manifest = match serde_json::from_slice::<Manifest>(&mutant.bytes(&examples)) {
            Ok(manifest) => manifest,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        let hash = manifest.model_hash();
        prop_assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Err(error) = manifest.check(file) {
            prop_assert!(error.to_string().starts_with("bundle/model.json: "), "{}", error);
            return Ok(());
        }
        let labels: BTreeSet<_> = manifest.labels.iter().collect();
        prop_assert!(!labels.is_empty() && labels.len() == manifest.labels.len());
        prop_assert_eq!(manifest.thresholds.len(), labels.len());
        prop_assert!(manifest.thresholds.iter().all(|threshold| *threshold > 0.0 && *threshold < 1.0));
        prop_assert!(manifest.max_length > 2 && !manifest.id.trim().is_empty());
        for name in manifest.files.keys() {
            let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            prop_assert!(Path::new(name).components().all(inside), "{} leaves the bundle", name);
        }
        Ok(())
    });
}
