//! What becomes of an input record, of a topic or of a file, and the count of it.
//!
//! Every record gets exactly one [`Fate`] (I1); a [`Tally`] counts them once they are out.

use std::collections::BTreeMap;

use crate::inference::{ModelInfo, Scored};
use crate::labelled::SkipReason;
use crate::post::Post;

/// What becomes of a record.
pub(crate) enum Fate {
    /// Published with scores.
    Labelled { post: Post, scored: Scored },
    /// Published without, for this reason.
    Skipped { post: Post, reason: SkipReason },
    /// Counted only.
    NotSelected,
    /// To the dead letters, or the rejects.
    Dead(Death),
}

/// Why a record cannot be labelled. Never holds any of the post's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) stage: Stage,
    pub(crate) class: &'static str,
    pub(crate) message: String,
}

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Reading its bytes.
    Decode,
    /// Running the model on it.
    Classify,
    /// Publishing what became of it.
    Produce,
}

impl Stage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Classify => "classify",
            Self::Produce => "produce",
        }
    }
}

/// The outcomes of one batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) labelled: u64,
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    pub(crate) dead_lettered: BTreeMap<&'static str, u64>,
    /// Posts per label, in the model's order.
    pub(crate) labels: Vec<u64>,
}

impl Tally {
    pub(crate) fn labelled(&mut self, scored: &Scored, model: &ModelInfo) {
        self.labelled += 1;
        self.labels.resize(model.labels.len(), 0);
        let reached = scored.scores.iter().zip(&model.thresholds).map(|(score, threshold)| score >= threshold);
        for (count, reached) in self.labels.iter_mut().zip(reached) {
            *count += u64::from(reached);
        }
    }

    pub(crate) fn skipped(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    pub(crate) fn dead_lettered(&mut self, class: &'static str) {
        *self.dead_lettered.entry(class).or_default() += 1;
    }

    /// Adds another tally of the same model.
    pub(crate) fn add(&mut self, more: Self) {
        self.labelled += more.labelled;
        for (counts, more) in [(&mut self.skipped, more.skipped), (&mut self.dead_lettered, more.dead_lettered)] {
            for (word, count) in more {
                *counts.entry(word).or_default() += count;
            }
        }
        self.labels.resize(self.labels.len().max(more.labels.len()), 0);
        for (count, more) in self.labels.iter_mut().zip(more.labels) {
            *count += more;
        }
    }
}
