//! A classifier that does nothing, for `bench lane`: it shows what everything else costs.

use std::sync::Arc;
use std::time::Instant;

use super::bundle::Bundle;
use super::encode::Encoder;
use super::error::ModelError;
use super::{Classified, Classifier, ClassifierDown, Cost, LaneClassifier, ModelInfo, Scored, Verdict};

/// Labels of the reference model.
pub const REFERENCE_LABELS: [&str; 11] = [
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "love",
    "optimism",
    "pessimism",
    "sadness",
    "surprise",
    "trust",
];

/// Gives every text the same scores; tokenizes it first if it has a tokenizer.
pub struct NullClassifier {
    info: ModelInfo,
    encoder: Option<Encoder>,
}

struct NullLane {
    encoder: Option<Encoder>,
    scores: Arc<[f32]>,
}

impl NullClassifier {
    /// Neither tokenizes nor infers.
    #[must_use]
    pub fn new() -> Self {
        let info = ModelInfo {
            id: "null".to_owned(),
            hash: "0".repeat(64),
            labels: REFERENCE_LABELS.map(str::to_owned).to_vec(),
            thresholds: vec![0.5; REFERENCE_LABELS.len()],
            languages: Vec::new(),
        };
        Self { info, encoder: None }
    }

    /// Tokenizes with a bundle's tokenizer, then does nothing.
    ///
    /// # Errors
    /// When the tokenizer cannot be loaded.
    pub fn with_tokenizer(bundle: &Bundle) -> Result<Self, ModelError> {
        let manifest = &bundle.manifest;
        let file = bundle.tokenizer_file();
        let encoder = Encoder::load(&file, manifest.max_length, manifest.pad_id)?;
        Ok(Self { encoder: Some(encoder), ..Self::new() })
    }
}

impl Default for NullClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Classifier for NullClassifier {
    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
        // One label in five is given, as by a real model.
        let scores = (0..self.info.labels.len()).map(|index| if index % 5 == 4 { 0.9 } else { 0.1 });
        Ok(Box::new(NullLane { encoder: self.encoder.clone(), scores: scores.collect() }))
    }
}

impl LaneClassifier for NullLane {
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
        let started = Instant::now();
        let verdict = |text: &&str| {
            let (token_count, truncated) = match &self.encoder {
                None => (0, false),
                Some(encoder) => match encoder.encode(text) {
                    Ok(text) => (text.ids.len(), text.truncated),
                    Err(error) => {
                        return Verdict::Failed { reason: error.to_string() };
                    }
                },
            };
            Verdict::Scored(Scored { scores: Arc::clone(&self.scores), token_count, truncated })
        };
        let verdicts = texts.iter().map(verdict).collect();
        Ok(Classified { verdicts, cost: Cost { tokenize: started.elapsed(), ..Cost::default() } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_gets_eleven_scores() {
        let classifier = NullClassifier::new();
        assert_eq!(classifier.model().hash.len(), 64);
        let mut lane = classifier.lane().expect("needs nothing");
        let verdicts = lane.classify(&["a", ""]).expect("never down").verdicts;
        assert_eq!(verdicts.len(), 2);
        for verdict in verdicts {
            let Verdict::Scored(scored) = verdict else { panic!("not scored") };
            assert_eq!(scored.scores.len(), classifier.model().labels.len());
        }
    }
}
