//! A model bundle on disk: manifest, graph, tokenizer and golden texts, every file verified.
//!
//! Nothing is used before its sha256 has been compared with the manifest's, so a half-copied or
//! exchanged file stops the start instead of changing scores.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ModelInfo;
use super::error::ModelError;
use super::manifest::{GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Manifest, TOKENIZER_FILE};

/// A bundle whose files are what its manifest says.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its directory.
    pub path: PathBuf,
    /// What it says about itself.
    pub manifest: Manifest,
    /// Texts with the scores that the model must give.
    pub golden: Vec<GoldenText>,
    /// Identity, as outputs carry it.
    pub info: ModelInfo,
}

/// One line of `golden.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenText {
    /// The text.
    pub text: String,
    /// Its scores, one per label.
    pub scores: Vec<f32>,
}

impl Bundle {
    /// Reads and verifies the bundle in a directory.
    ///
    /// # Errors
    /// When a file is missing, damaged or not what the manifest says.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let manifest = read_manifest(&path.join(MANIFEST_FILE))?;
        for (name, expected) in &manifest.files {
            let file = path.join(name);
            let found = sha256(&file)?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(ModelError::HashMismatch { file, expected: expected.clone(), found });
            }
        }
        let golden = read_golden(&path.join(GOLDEN_FILE), manifest.labels.len())?;
        let info = ModelInfo {
            id: manifest.id.clone(),
            hash: manifest.model_hash(),
            labels: manifest.labels.clone(),
            thresholds: manifest.thresholds.clone(),
            languages: manifest.languages.clone(),
        };
        Ok(Self { path: path.to_path_buf(), manifest, golden, info })
    }

    /// The graph's file.
    #[must_use]
    pub fn model_file(&self) -> PathBuf {
        self.path.join(MODEL_FILE)
    }

    /// The tokenizer's file.
    #[must_use]
    pub fn tokenizer_file(&self) -> PathBuf {
        self.path.join(TOKENIZER_FILE)
    }

    /// The golden texts' file.
    #[must_use]
    pub fn golden_file(&self) -> PathBuf {
        self.path.join(GOLDEN_FILE)
    }
}

fn read_manifest(file: &Path) -> Result<Manifest, ModelError> {
    let unreadable = |source| ModelError::Unreadable { file: file.to_path_buf(), source };
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|source| ModelError::Malformed {
        file: file.to_path_buf(),
        line: source.line(),
        source,
    })?;
    manifest.check(file)?;
    Ok(manifest)
}

/// Reads texts with a score for each label.
pub(crate) fn read_golden(file: &Path, labels: usize) -> Result<Vec<GoldenText>, ModelError> {
    let unreadable = |source| ModelError::Unreadable { file: file.to_path_buf(), source };
    let invalid = |key: String, expected: String, found: String| {
        Err(ModelError::Invalid { file: file.to_path_buf(), key, expected, found })
    };
    let mut golden = Vec::new();
    for (index, line) in BufReader::new(File::open(file).map_err(unreadable)?).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let text: GoldenText = serde_json::from_str(&line).map_err(|source| ModelError::Malformed {
            file: file.to_path_buf(),
            line: index + 1,
            source,
        })?;
        let key = format!("line {}: scores", index + 1);
        if text.scores.len() != labels {
            return invalid(key, format!("{labels}, one per label"), text.scores.len().to_string());
        }
        if let Some(wrong) = text.scores.iter().find(|score| !(0.0..=1.0).contains(*score)) {
            return invalid(key, "values from 0 to 1".to_owned(), wrong.to_string());
        }
        golden.push(text);
    }
    if golden.is_empty() {
        return invalid("lines".to_owned(), "at least one text".to_owned(), "none".to_owned());
    }
    Ok(golden)
}

/// Digest of a file in hex, read in pieces: models are larger than memory should be.
fn sha256(file: &Path) -> Result<String, ModelError> {
    let unreadable = |source| ModelError::Unreadable { file: file.to_path_buf(), source };
    let mut reader = File::open(file).map_err(unreadable)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        let read = reader.read(&mut piece).map_err(unreadable)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&piece[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::manifest::tests::right;

    const GOLDEN: &str = "{\"text\":\"a\",\"scores\":[0.1,0.9]}\n{\"text\":\"b\",\"scores\":[0,1]}\n";

    fn bundle(golden: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut manifest = right();
        for (name, content) in [(MODEL_FILE, "m"), (TOKENIZER_FILE, "t"), (GOLDEN_FILE, golden)] {
            std::fs::write(folder.path().join(name), content).expect("file");
            manifest["files"][name] = hex::encode(Sha256::digest(content)).into();
        }
        std::fs::write(folder.path().join(MANIFEST_FILE), manifest.to_string()).expect("file");
        folder
    }

    #[test]
    fn a_right_bundle_opens() {
        let folder = bundle(GOLDEN);
        let bundle = Bundle::open(folder.path()).expect("nothing is wrong with it");
        assert_eq!(bundle.golden.len(), 2);
        assert_eq!(bundle.info.labels, ["joy", "fear"]);
        assert_eq!(bundle.info.hash, bundle.manifest.model_hash());
    }

    #[test]
    fn a_changed_file_is_refused_with_both_digests() {
        let folder = bundle(GOLDEN);
        std::fs::write(folder.path().join(MODEL_FILE), "n").expect("file");
        let error = Bundle::open(folder.path()).expect_err("changed").to_string();
        for part in ["model.onnx", &hex::encode(Sha256::digest("m")), &hex::encode(Sha256::digest("n"))] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = bundle(GOLDEN);
        std::fs::remove_file(folder.path().join(TOKENIZER_FILE)).expect("file");
        let error = Bundle::open(folder.path()).expect_err("missing").to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
        let error = Bundle::open(&folder.path().join("no")).expect_err("missing").to_string();
        assert!(error.contains("model.json"), "{error}");
    }

    #[test]
    fn wrong_golden_texts_are_refused_with_their_line() {
        for (golden, part) in [
            ("", "at least one text"),
            ("{\"text\":\"a\",\"scores\":[0.1]}", "line 1: scores: expected 2, one per label, found 1"),
            ("{\"text\":\"a\",\"scores\":[0.1,1.5]}", "expected values from 0 to 1, found 1.5"),
            (&format!("{GOLDEN}text"), "line 3"),
        ] {
            let folder = bundle(golden);
            let error = Bundle::open(folder.path()).expect_err("wrong").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_manifest_that_is_no_json_is_refused_with_its_line() {
        let folder = bundle(GOLDEN);
        std::fs::write(folder.path().join(MANIFEST_FILE), "{\n\"id\": 5,\n}").expect("file");
        let error = Bundle::open(folder.path()).expect_err("wrong").to_string();
        assert!(error.contains("model.json line 2"), "{error}");
    }
}
