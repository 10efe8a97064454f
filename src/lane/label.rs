//! From polled records to what becomes of each: decode, choose, classify.
//!
//! Every record gets exactly one [`Fate`] (I1), and a bad one only its own (I7).

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::config::{Config, OtherLanguages};
use crate::inference::{Classified, ClassifierDown, Cost, LaneClassifier, ModelInfo, Scored, Verdict};
use crate::kafka::{Death, Stage};
use crate::labelled::SkipReason;
use crate::post::{BadInput, Decoded, Mapping, Post};

/// A record as a lane polled it.
pub(super) struct Polled<'c> {
    pub(super) message: BorrowedMessage<'c>,
    /// Index of its partition among those that the lane reads.
    pub(super) slot: usize,
    /// Its timestamp, milliseconds since 1970; the time of polling where the record has none.
    pub(super) timestamp: i64,
}

/// What becomes of a record.
pub(super) enum Fate {
    /// Published with scores.
    Labelled { post: Post, scored: Scored },
    /// Published without, for this reason.
    Skipped { post: Post, reason: SkipReason },
    /// Counted only.
    NotSelected,
    /// To the dead letters.
    Dead(Death),
}

/// A decoded batch, before the model has seen it.
pub(super) struct DecodedBatch(Vec<Result<Decoded, BadInput>>);

impl DecodedBatch {
    /// What is wrong with the bad ones, in a sentence.
    pub(super) fn complaint(&self) -> String {
        let first = self.0.iter().find_map(|decoded| decoded.as_ref().err());
        let example = first.map(|bad| format!(", for example because {bad}")).unwrap_or_default();
        format!(
            "{} of {} records of the last batch cannot be read{example}",
            self.bad().filter(|bad| *bad).count(),
            self.0.len()
        )
    }

    /// Whether each record is bad.
    pub(super) fn bad(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(Result::is_err)
    }
}

/// Decodes and classifies for one lane.
pub(super) struct Labeller {
    mapping: Mapping,
    classifier: Box<dyn LaneClassifier>,
    model: ModelInfo,
    max_text_bytes: usize,
    other_languages: OtherLanguages,
}

impl Labeller {
    pub(super) fn new(config: &Config, classifier: Box<dyn LaneClassifier>, model: &ModelInfo) -> Self {
        Self {
            mapping: Mapping::new(&config.input),
            classifier,
            model: model.clone(),
            max_text_bytes: config.input.max_text_bytes.0,
            other_languages: config.input.other_languages,
        }
    }

    pub(super) fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Reads every record.
    pub(super) fn decode(&self, batch: &[Polled<'_>]) -> (DecodedBatch, Duration) {
        let start = Instant::now();
        let decoded = batch.iter().map(|polled| self.mapping.decode(polled.message.payload())).collect();
        (DecodedBatch(decoded), start.elapsed())
    }

    /// Gives every record its fate, in order.
    pub(super) fn label(&mut self, DecodedBatch(decoded): DecodedBatch) -> Result<(Vec<Fate>, Cost), ClassifierDown> {
        let mut cut_short = Vec::new();
        let wanted: Vec<Option<&str>> = decoded
            .iter()
            .map(|decoded| match decoded {
                Ok(Decoded::Post(post)) if self.skip(post).is_none() => {
                    let text = post.head(self.max_text_bytes);
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
