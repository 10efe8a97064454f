//! `model.json`: what a model bundle says about itself, and whether that makes sense.
//!
//! Labels, their order and their thresholds come from here alone, so a model with 11 emotions
//! and one with 28 work alike.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ModelError;
use crate::archive::columns;

/// The ONNX graph of a bundle.
pub(super) const MODEL_FILE: &str = "model.onnx";
/// The tokenizer of a bundle.
pub(super) const TOKENIZER_FILE: &str = "tokenizer.json";
/// The golden texts of a bundle.
pub(super) const GOLDEN_FILE: &str = "golden.jsonl";
/// The manifest of a bundle.
pub(super) const MANIFEST_FILE: &str = "model.json";

/// The manifest of a model bundle.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name and version, as every output carries it (I9).
    pub id: String,
    /// Labels in the order of the model's outputs.
    pub labels: Vec<String>,
    /// From logits to scores; `sigmoid` is the only one.
    pub activation: String,
    /// Per label: it is given when its score reaches this.
    pub thresholds: Vec<f32>,
    /// Most tokens that the model takes, special ones included.
    pub max_length: usize,
    /// Token id that fills up short sequences.
    pub pad_id: u32,
    /// Primary language subtags that the model knows; empty: all.
    pub languages: Vec<String>,
    /// Names of the graph's inputs.
    pub inputs: InputNames,
    /// Name of the graph's output: float32 logits, [batch, labels].
    pub output: String,
    /// Arithmetic of the graph.
    pub precision: Precision,
    /// File name → sha256, 64 hex digits.
    pub files: BTreeMap<String, String>,
    /// How far the golden scores may be off on another machine.
    pub tolerance: Tolerance,
    /// Measured quality, free names.
    pub metrics: BTreeMap<String, f64>,
    /// Terms of use.
    pub licence: String,
    /// Where weights and training data come from.
    pub provenance: String,
    /// What it is, in a sentence or two.
    pub description: String,
}

/// Names of the graph's inputs, both int64 [batch, sequence].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputNames {
    /// Token ids.
    pub input_ids: String,
    /// 1 for a token, 0 for padding.
    pub attention_mask: String,
}

/// Arithmetic of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers.
    Int8,
}

impl Precision {
    /// As the manifest writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

/// How far golden scores may be off.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Mean of the absolute deviations.
    pub mean: f64,
    /// Largest absolute deviation.
    pub max: f64,
}

impl Precision {
    /// The widest tolerance that a manifest may ask for.
    ///
    /// Other kernels (another processor, another version of the runtime) move int8 scores by up
    /// to 0.02, fp32 scores by rounding only.
    #[must_use]
    pub fn widest_tolerance(self) -> Tolerance {
        match self {
            Self::Fp32 => Tolerance { mean: 1e-4, max: 1e-4 },
            Self::Fp16 | Self::Int8 => Tolerance { mean: 0.005, max: 0.05 },
        }
    }
}

/// What of the manifest a score or a label depends on, fields in alphabetical order: the
/// canonical JSON in the model's hash.
#[derive(Serialize)]
struct Shaping<'a> {
    activation: &'a str,
    labels: &'a [String],
    max_length: usize,
    pad_id: u32,
    thresholds: &'a [f32],
}

impl Manifest {
    /// Checks every value that can be judged without the other files.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] for the first value that makes no sense.
    pub fn check(&self, file: &Path) -> Result<(), ModelError> {
        let invalid = |key: &str, expected: &dyn Display, found: &dyn Display| {
            Err(ModelError::Invalid {
                file: file.to_path_buf(),
                key: key.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            })
        };
        if self.id.trim().is_empty() {
            return invalid("id", &"a name", &"nothing");
        }
        if self.activation != "sigmoid" {
            return invalid("activation", &"\"sigmoid\"", &quoted(&self.activation));
        }
        if self.labels.is_empty() {
            return invalid("labels", &"at least one", &"none");
        }
        let mut seen = HashSet::new();
        for label in &self.labels {
            if label.trim().is_empty() || !seen.insert(label) {
                return invalid("labels", &"names that differ", &quoted(label));
            }
        }
        if let Some(clash) = columns::clash(self.labels.iter().map(String::as_str)) {
            return invalid("labels", &"names that each make a column of the archive", &clash);
        }
        if self.thresholds.len() != self.labels.len() {
            return invalid(
                "thresholds",
                &format_args!("{}, one per label", self.labels.len()),
                &self.thresholds.len(),
            );
        }
        if let Some(wrong) = self.thresholds.iter().find(|t| !(**t > 0.0 && **t < 1.0)) {
            return invalid("thresholds", &"values between 0 and 1", wrong);
        }
        if self.max_length <= 2 {
            return invalid("max_length", &"more than 2", &self.max_length);
        }
        let is_subtag = |l: &String| !l.is_empty() && l.bytes().all(|b| b.is_ascii_lowercase());
        if let Some(wrong) = self.languages.iter().find(|language| !is_subtag(language)) {
            return invalid("languages", &"primary subtags such as \"en\"", &quoted(wrong));
        }
        for (name, digest) in &self.files {
            if name.contains(['/', '\\']) || name == ".." || name == MANIFEST_FILE {
                return invalid("files", &"names of files of the bundle", &quoted(name));
            }
            if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                let key = format!("files.\"{name}\"");
                return invalid(&key, &"a sha256 of 64 hex digits", &quoted(digest));
            }
        }
        for name in [MODEL_FILE, TOKENIZER_FILE, GOLDEN_FILE] {
            if !self.files.contains_key(name) {
                return invalid("files", &quoted(name), &"no such key");
            }
        }
        let widest = self.precision.widest_tolerance();
        for (key, value, widest) in
            [("tolerance.mean", self.tolerance.mean, widest.mean), ("tolerance.max", self.tolerance.max, widest.max)]
        {
            if !(value > 0.0 && value <= widest) {
                let expected = format!("above 0 and at most {widest} for this precision");
                return invalid(key, &expected, &value);
            }
        }
        Ok(())
    }

    /// The content hash that every output carries (I9): sha256 over the hashes of graph and
    /// tokenizer and the canonical JSON of what else shapes scores and labels.
    ///
    /// # Panics
    /// Never: what it turns into JSON always has a JSON form.
    #[must_use]
    pub fn model_hash(&self) -> String {
        let digest = |name| self.files.get(name).map_or(String::new(), |d| d.to_ascii_lowercase());
        let shaping = Shaping {
            activation: &self.activation,
            labels: &self.labels,
            max_length: self.max_length,
            pad_id: self.pad_id,
            thresholds: &self.thresholds,
        };
        let shaping = serde_json::to_string(&shaping).expect("strings, integers and floats always have a JSON form");
        let content = format!("{}\n{}\n{shaping}", digest(MODEL_FILE), digest(TOKENIZER_FILE));
        hex::encode(Sha256::digest(content))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest that is right, to be broken by tests.
    pub(in crate::inference) fn right() -> serde_json::Value {
        let digest = "ab".repeat(32);
        serde_json::json!({
            "id": "test-1",
            "labels": ["joy", "fear"],
            "activation": "sigmoid",
            "thresholds": [0.5, 0.3],
            "max_length": 16,
            "pad_id": 0,
            "languages": ["en"],
            "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"},
            "output": "logits",
            "precision": "fp32",
            "files": {MODEL_FILE: digest, TOKENIZER_FILE: digest, GOLDEN_FILE: digest},
            "tolerance": {"mean": 1e-5, "max": 1e-4},
            "metrics": {"macro_f1": 0.6},
            "licence": "none", "provenance": "made for a test", "description": "a test",
        })
    }

    fn parse(value: serde_json::Value) -> Manifest {
        serde_json::from_value(value).expect("a manifest")
    }

    #[test]
    fn a_right_manifest_passes() {
        parse(right()).check(Path::new("model.json")).expect("nothing is wrong with it");
    }

    #[test]
    fn every_wrong_value_is_refused_with_key_and_both_values() {
        let cases = [
            ("/id", serde_json::json!(" "), ["id", "a name", "nothing"]),
            ("/activation", "softmax".into(), ["activation", "\"sigmoid\"", "\"softmax\""]),
            ("/labels", serde_json::json!([]), ["labels", "at least one", "none"]),
            ("/labels/1", "joy".into(), ["labels", "names that differ", "\"joy\""]),
            ("/labels/1", "".into(), ["labels", "names that differ", "\"\""]),
            ("/labels/1", "Joy".into(), ["labels", "a column of the archive", "\"joy\" and \"Joy\""]),
            ("/labels/1", "Event-Time".into(), ["labels", "a column of the archive", "would be the column event_time"]),
            ("/thresholds", serde_json::json!([0.5]), ["thresholds", "2, one per label", "1"]),
            ("/thresholds/0", 1.0.into(), ["thresholds", "between 0 and 1", "1"]),
            ("/thresholds/0", 0.0.into(), ["thresholds", "between 0 and 1", "0"]),
            ("/max_length", 2.into(), ["max_length", "more than 2", "2"]),
            ("/languages/0", "EN-us".into(), ["languages", "\"en\"", "\"EN-us\""]),
            ("/files/model.onnx", "12".into(), ["model.onnx", "64 hex digits", "\"12\""]),
            ("/files", serde_json::json!({}), ["files", "model.onnx", "no such key"]),
            ("/tolerance/max", 0.01.into(), ["tolerance.max", "at most 0.0001", "0.01"]),
            ("/tolerance/mean", 0.0.into(), ["tolerance.mean", "above 0", "0"]),
        ];
        for (pointer, value, parts) in cases {
            let mut manifest = right();
            *manifest.pointer_mut(pointer).expect(pointer) = value;
            let error = parse(manifest).check(Path::new("b/model.json"));
            let message = error.expect_err(pointer).to_string();
            assert!(message.starts_with("b/model.json: "), "{message}");
            for part in parts {
                assert!(message.contains(part), "{pointer}: {message}");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let mut manifest = right();
        manifest["treshold"] = 0.5.into();
        let error = serde_json::from_value::<Manifest>(manifest).expect_err("unknown key");
        assert!(error.to_string().contains("treshold"), "{error}");
    }

    #[test]
    fn the_hash_is_over_digests_and_canonical_json() {
        let digest = "ab".repeat(32);
        let json =
            r#"{"activation":"sigmoid","labels":["joy","fear"],"max_length":16,"pad_id":0,"thresholds":[0.5,0.3]}"#;
        let expected = hex::encode(Sha256::digest(format!("{digest}\n{digest}\n{json}")));
        assert_eq!(parse(right()).model_hash(), expected);
    }

    #[test]
    fn the_hash_changes_with_all_that_shapes_scores_and_with_nothing_else() {
        let hash = parse(right()).model_hash();
        let changed = |pointer: &str, value: serde_json::Value| {
            let mut manifest = right();
            *manifest.pointer_mut(pointer).expect(pointer) = value;
            parse(manifest).model_hash() != hash
        };
        assert!(changed("/labels/0", "anger".into()));
        assert!(changed("/thresholds/0", 0.4.into()));
        assert!(changed("/max_length", 17.into()));
        assert!(changed("/pad_id", 1.into()));
        assert!(changed("/files/model.onnx", "cd".repeat(32).into()));
        assert!(changed("/files/tokenizer.json", "cd".repeat(32).into()));
        assert!(!changed("/files/golden.jsonl", "cd".repeat(32).into()));
        assert!(!changed("/description", "another".into()));
    }
}
