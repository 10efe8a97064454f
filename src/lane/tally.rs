//! What a batch came to; added to the metrics once the broker has committed it (I1).

use std::collections::BTreeMap;

use crate::inference::{ModelInfo, Scored};

/// The outcomes of one batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) labelled: u64,
    pub(super) skipped: BTreeMap<&'static str, u64>,
    pub(super) dead_lettered: BTreeMap<&'static str, u64>,
    /// Posts per label, in the model's order.
    pub(super) labels: Vec<u64>,
}

impl Tally {
    pub(super) fn labelled(&mut self, scored: &Scored, model: &ModelInfo) {
        self.labelled += 1;
        self.labels.resize(model.labels.len(), 0);
        let reached = scored.scores.iter().zip(&model.thresholds).map(|(score, threshold)| score >= threshold);
        for (count, reached) in self.labels.iter_mut().zip(reached) {
            *count += u64::from(reached);
        }
    }

    pub(super) fn skipped(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    pub(super) fn dead_lettered(&mut self, class: &'static str) {
        *self.dead_lettered.entry(class).or_default() += 1;
    }
}
