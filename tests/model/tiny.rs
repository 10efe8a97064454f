//! Bundles around the graphs of `tools/model/make_fixtures.py`, made in a temporary folder.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Logits that each word of the tiny vocabulary adds to its text: joy, fear.
const WORTH: [(&str, [f64; 2]); 2] = [("good", [2.0, -1.0]), ("bad", [-1.0, 2.0])];

/// A bundle in the making; break what a test is about.
pub(crate) struct Tiny {
    pub(crate) graph: &'static str,
    pub(crate) tokenizer: Value,
    pub(crate) manifest: Value,
    /// Added to the first golden score.
    pub(crate) golden_off_by: f64,
}

impl Default for Tiny {
    fn default() -> Self {
        Self { graph: "tiny", tokenizer: tokenizer(), manifest: manifest(), golden_off_by: 0.0 }
    }
}

impl Tiny {
    /// Writes it, with the right hashes.
    pub(crate) fn write(mut self) -> TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model");
        let graph = std::fs::read(fixtures.join(self.graph).with_extension("onnx"));
        let labels = self.manifest["labels"].as_array().map_or(0, Vec::len);
        let texts = ["good", "bad bad", "good good bad", ""];
        let golden: Vec<String> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let mut scores = expected(text).to_vec();
                scores.resize(labels, 0.5);
                scores[0] += if index == 0 { self.golden_off_by } else { 0.0 };
                json!({"text": text, "scores": scores}).to_string()
            })
            .collect();
        for (name, content) in [
            ("model.onnx", graph.expect("a fixture")),
            ("tokenizer.json", self.tokenizer.to_string().into_bytes()),
            ("golden.jsonl", golden.join("\n").into_bytes()),
        ] {
            self.manifest["files"][name] = hex::encode(Sha256::digest(&content)).into();
            std::fs::write(folder.path().join(name), content).expect("file");
        }
        let manifest = self.manifest.to_string();
        std::fs::write(folder.path().join("model.json"), manifest).expect("file");
        folder
    }
}

/// What the tiny graph gives a text.
pub(crate) fn expected(text: &str) -> [f64; 2] {
    let mut logits = [0.0, 0.0];
    for word in text.split_whitespace() {
        let worth = WORTH.iter().find(|(known, _)| *known == word).expect("a known word").1;
        logits = [logits[0] + worth[0], logits[1] + worth[1]];
    }
    logits.map(|logit| 1.0 / (1.0 + f64::exp(-logit)))
}

fn manifest() -> Value {
    json!({
        "id": "tiny", "labels": ["joy", "fear"], "activation": "sigmoid", "thresholds": [0.5, 0.5],
        "max_length": 16, "pad_id": 0, "languages": ["en"],
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"},
        "output": "logits", "precision": "fp32", "files": {},
        "tolerance": {"mean": 1e-5, "max": 1e-4}, "metrics": {},
        "licence": "Apache-2.0", "provenance": "made for tests", "description": "adds words up",
    })
}

/// Words; `nan` gives a score that is no number, `broken` is not in the graph's table.
fn tokenizer() -> Value {
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 1,
            "[CLS]": 2, "[SEP]": 3, "good": 4, "bad": 5, "nan": 6, "broken": 7}},
    })
}
