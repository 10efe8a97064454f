//! From records' bytes to what becomes of each: decode, choose, classify.
//!
//! Shared by the lanes of a worker and by `moodstream label`, so that a post meets the same fate in both.
//! Every record gets exactly one [`Fate`] (I1), and a bad one only its own (I7).

use std::time::{Duration, Instant};

use crate::config::{Config, OtherLanguages};
use crate::fate::{Death, Fate, Stage};
use crate::inference::{Classified, ClassifierDown, Cost, LaneClassifier, ModelInfo, Verdict};
use crate::labelled::SkipReason;
use crate::post::{BadInput, Decoded, Mapping, Post};

/// A decoded batch, before the model has seen it.
pub(crate) struct DecodedBatch(Vec<Result<Decoded, BadInput>>);

impl DecodedBatch {
    /// What is wrong with the bad ones, in a sentence.
    pub(crate) fn complaint(&self) -> String {
        let first = self.0.iter().find_map(|decoded| decoded.as_ref().err());
        let example = first.map(|bad| format!(", for example because {bad}")).unwrap_or_default();
        format!(
            "{} of {} records of the last batch cannot be read{example}",
            self.bad().filter(|bad| *bad).count(),
            self.0.len()
        )
    }

    /// Whether each record is bad.
    pub(crate) fn bad(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(Result::is_err)
    }
}

/// Decodes and classifies for one thread.
pub(crate) struct Labeller {
    mapping: Mapping,
    classifier: Box<dyn LaneClassifier>,
    model: ModelInfo,
    max_text_bytes: usize,
    other_languages: OtherLanguages,
}

impl Labeller {
    pub(crate) fn new(config: &Config, classifier: Box<dyn LaneClassifier>, model: &ModelInfo) -> Self {
        Self {
            mapping: Mapping::new(&config.input),
            classifier,
            model: model.clone(),
            max_text_bytes: config.input.max_text_bytes.0,
            other_languages: config.input.other_languages,
        }
    }

    pub(crate) fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Reads the value of every record; `None` is a tombstone.
    pub(crate) fn decode<'v>(&self, values: impl Iterator<Item = Option<&'v [u8]>>) -> (DecodedBatch, Duration) {
        let start = Instant::now();
        let decoded = values.map(|value| self.mapping.decode(value)).collect();
        (DecodedBatch(decoded), start.elapsed())
    }

    /// Gives every record its fate, in order.
    pub(crate) fn label(&mut self, DecodedBatch(decoded): DecodedBatch) -> Result<(Vec<Fate>, Cost), ClassifierDown> {
        let mut cut_short = Vec::new();
        let wanted: Vec<Option<&str>> = decoded
            .iter()
            .map(|decoded| match decoded {
                Ok(Decoded::Post(post)) if self.skip(post).is_none() => {
                    let text = cut(&post.text, self.max_text_bytes);
                    cut_short.push(text.len() < post.text.len());
                    Some(text)
                }
                _ => None,
            })
            .collect();
        let texts: Vec<&str> = wanted.iter().flatten().copied().collect();
        let Classified { verdicts, cost } = self.classifier.classify(&texts)?;
        if verdicts.len() != texts.len() {
            let reason = format!("it gave {} verdicts on {} texts", verdicts.len(), texts.len());
            return Err(ClassifierDown { reason });
        }
        let mut verdicts = verdicts.into_iter().zip(cut_short);
        let wanted: Vec<bool> = wanted.iter().map(Option::is_some).collect();
        let fates = decoded.into_iter().zip(wanted).map(|(decoded, wanted)| match decoded {
            Err(bad) => Fate::Dead(Death { stage: Stage::Decode, class: bad.class, message: bad.message }),
            Ok(Decoded::NotSelected) => Fate::NotSelected,
            Ok(Decoded::Post(post)) if !wanted => {
                let reason = self.skip(&post).unwrap_or(SkipReason::Empty);
                Fate::Skipped { post, reason }
            }
            Ok(Decoded::Post(post)) => match verdicts.next() {
                Some((Verdict::Scored(mut scored), cut_short)) => {
                    scored.truncated |= cut_short;
                    Fate::Labelled { post, scored }
                }
                Some((Verdict::Failed { reason }, _)) => {
                    Fate::Dead(Death { stage: Stage::Classify, class: "model_failed", message: reason })
                }
                None => Fate::Dead(Death {
                    stage: Stage::Classify,
                    class: "model_failed",
                    message: "the model gave no verdict".to_owned(),
                }),
            },
        });
        Ok((fates.collect(), cost))
    }

    fn skip(&self, post: &Post) -> Option<SkipReason> {
        if post.text.trim().is_empty() {
            return Some(SkipReason::Empty);
        }
        let known = |lang: &String| self.model.languages.is_empty() || self.model.languages.contains(lang);
        match &post.lang {
            Some(lang) if self.other_languages == OtherLanguages::Skip && !known(lang) => Some(SkipReason::Language),
            _ => None,
        }
    }
}

/// The first `limit` bytes at most, at a character boundary.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_texts_are_cut_at_a_character_boundary() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("ab😀", 5), "ab");
        assert_eq!(cut("😀", 3), "");
    }
}
