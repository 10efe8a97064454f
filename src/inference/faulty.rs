//! A stand-in classifier for tests of everything around the model; no release has it.
//!
//! Its scores are a function of the text, so a test can tell what a post must have been given.
//! It is as slow as asked, fails on texts that ask for it, and is down when told to be. Real models
//! can be given a device with little memory.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::null::REFERENCE_LABELS;
use super::{Classified, Classifier, ClassifierDown, Cost, LaneClassifier, ModelInfo, Scored, Verdict};

/// The environment variable that asks for a stand-in.
pub const VARIABLE: &str = "MOODSTREAM_TEST_CLASSIFIER";

/// A text that contains this fails, and it alone.
pub const FAILING: &str = "FAIL-THIS";

/// Models whose device is small, by their bundle's folder.
static MEMORY: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// From now on sessions of the model in this folder run out of memory above so many padded tokens.
pub fn limit_memory(bundle: &Path, padded_tokens: usize) {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).insert(bundle.to_path_buf(), padded_tokens);
}

/// The same, if the environment variable `MOODSTREAM_TEST_DEVICE_TOKENS` says how many.
///
/// # Errors
/// When its value is no number.
pub fn limit_memory_from_env(bundle: &Path) -> Result<(), String> {
    const NAME: &str = "MOODSTREAM_TEST_DEVICE_TOKENS";
    let Some(value) = env::var_os(NAME) else { return Ok(()) };
    let value = value.to_string_lossy();
    let tokens = value.parse().map_err(|_| format!("{NAME}: expected a number, found \"{value}\""))?;
    limit_memory(bundle, tokens);
    Ok(())
}

pub(super) fn memory(bundle: &Path) -> Option<usize> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).get(bundle).copied()
}

/// Scores texts by their hash.
#[derive(Debug, Clone)]
pub struct FaultyClassifier {
    info: ModelInfo,
    faults: Faults,
}

/// What goes wrong, and how slowly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Time that each text takes.
    pub delay_per_post: Duration,
    /// Every batch finds the model down.
    pub down: bool,
    /// Batches find the model down as long as this file exists.
    pub down_file: Option<PathBuf>,
}

impl FaultyClassifier {
    /// A stand-in with these faults.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        let info = ModelInfo {
            id: "hash".to_owned(),
            hash: hex::encode(Sha256::digest("the stand-in that scores texts by their hash")),
            labels: REFERENCE_LABELS.map(str::to_owned).to_vec(),
            thresholds: vec![0.5; REFERENCE_LABELS.len()],
            languages: vec!["en".to_owned()],
        };
        Self { info, faults }
    }

    /// The stand-in that the environment asks for, if it does: `hash`, then any of
    /// `delay_us=200`, `down`, `down_file=PATH`, separated by commas.
    ///
    /// # Errors
    /// When the variable's value is none of these.
    pub fn from_env() -> Result<Option<Self>, String> {
        let Some(value) = env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let value = value.to_string_lossy();
        parse(&value).map(|faults| Some(Self::new(faults)))
    }
}

/// The scores that a text gets.
#[must_use]
pub fn scores(text: &str) -> [f32; 11] {
    let digest = Sha256::digest(text);
    std::array::from_fn(|index| f32::from(digest[index]) / 255.0)
}

fn parse(value: &str) -> Result<Faults, String> {
    let wrong = |part: &str| {
        format!("{VARIABLE}: expected \"hash\", then delay_us=N, down or down_file=PATH, found \"{part}\"")
    };
    let mut faults = Faults::default();
    let mut parts = value.split(',');
    let kind = parts.next().unwrap_or_default();
    if kind != "hash" {
        return Err(wrong(kind));
    }
    for part in parts {
        match part.split_once('=') {
            Some(("delay_us", delay)) => {
                let micros = delay.parse().map_err(|_| wrong(part))?;
                faults.delay_per_post = Duration::from_micros(micros);
            }
            Some(("down_file", file)) => faults.down_file = Some(file.into()),
            None if part == "down" => faults.down = true,
            _ => return Err(wrong(part)),
        }
    }
    Ok(faults)
}

impl Classifier for FaultyClassifier {
    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
        Ok(Box::new(self.clone()))
    }
}

impl LaneClassifier for FaultyClassifier {
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
        let started = Instant::now();
        let posts = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        thread::sleep(self.faults.delay_per_post * posts);
        if self.faults.down || self.faults.down_file.as_ref().is_some_and(|file| file.exists()) {
            return Err(ClassifierDown { reason: "a test told it to be".to_owned() });
        }
        let verdict = |text: &&str| {
            if text.contains(FAILING) {
                return Verdict::Failed { reason: "a test told it to fail".to_owned() };
            }
            let token_count = text.split_whitespace().count();
            Verdict::Scored(Scored { scores: Arc::new(scores(text)), token_count, truncated: false })
        };
        let verdicts = texts.iter().map(verdict).collect();
        let spent = started.elapsed();
        Ok(Classified { verdicts, cost: Cost { infer: spent, busy: spent, ..Cost::default() } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_always_gets_the_same_scores_and_another_text_others() {
        let bits = |text| scores(text).map(f32::to_bits);
        assert_eq!(bits("a"), bits("a"));
        assert_ne!(bits("a"), bits("b"));
        assert!(scores("a").iter().all(|score| (0.0..=1.0).contains(score)));
    }

    #[test]
    fn the_variable_is_read_or_refused() {
        assert_eq!(parse("hash"), Ok(Faults::default()));
        let faults = parse("hash,delay_us=200,down_file=/x").expect("right");
        assert_eq!(faults.delay_per_post, Duration::from_micros(200));
        assert_eq!(faults.down_file, Some("/x".into()));
        for wrong in ["", "null", "hash,delay_us=x", "hash,up"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_texts_that_ask_for_it_fail() {
        let mut lane = FaultyClassifier::new(Faults::default()).lane().expect("needs nothing");
        let classified = lane.classify(&["a", "FAIL-THIS", "b"]).expect("up");
        let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed { .. });
        let failed: Vec<_> = classified.verdicts.iter().map(failed).collect();
        assert_eq!(failed, [false, true, false]);
    }

    #[test]
    fn it_is_down_as_long_as_its_file_exists() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let down_file = Some(file.path().to_path_buf());
        let classifier = FaultyClassifier::new(Faults { down_file, ..Faults::default() });
        let mut lane = classifier.lane().expect("needs nothing");
        lane.classify(&["a"]).expect_err("down");
        drop(file);
        lane.classify(&["a"]).expect("up again");
    }
}
