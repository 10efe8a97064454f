//! A second model beside the first, on a share of the posts: how often and where they differ is known before anyone
//! switches.
//!
//! ```text
//! lane ─► live model ─► scores, published as ever
//!             └─ a share of the texts with their scores ─► queue ─► thread "shadow" ─► second model ─► compare ─► metrics
//! ```
//!
//! Nothing of it reaches an output. A lane never waits: what the queue has no room for is passed over and counted, and
//! a second model that fails harms itself only.

mod compare;
mod desk;
mod table;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use compare::Comparison;
use desk::{Desk, Sample};

use crate::config;
use crate::inference::{Classified, Classifier, ClassifierDown, LaneClassifier, ModelInfo, Verdict};
use crate::telemetry::Metrics;

pub(crate) use table::{NoShadow, ask, table};

/// Why a second model cannot run beside the first.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShadowError {
    /// Nothing can be compared.
    #[error("shadow.path = \"{path}\": its labels ({theirs}) have none in common with those of {live} ({ours})")]
    NoCommonLabel {
        /// `shadow.path`.
        path: String,
        /// Its labels.
        theirs: String,
        /// The live model's id.
        live: String,
        /// Its labels.
        ours: String,
    },
    /// Its thread or tokenizer cannot be had.
    #[error("shadow.path = \"{path}\": {reason}")]
    Start {
        /// `shadow.path`.
        path: String,
        /// Why.
        reason: String,
    },
}

/// The live model, which gives every verdict, and a second one that is shown a share of the texts.
pub(crate) struct Shadowed {
    live: Arc<dyn Classifier>,
    desk: Arc<Desk>,
    share: f64,
}

impl Shadowed {
    /// Starts the second model's thread.
    ///
    /// # Errors
    /// [`ShadowError`]
    pub(crate) fn start(
        live: Arc<dyn Classifier>,
        second: &dyn Classifier,
        config: &config::Shadow,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ShadowError> {
        let path = || config.path.display().to_string();
        let comparison = Comparison::new(live.model(), second.model(), &metrics.shadow);
        let comparison = comparison.ok_or_else(|| ShadowError::NoCommonLabel {
            path: path(),
            theirs: second.model().labels.join(", "),
            live: live.model().id.clone(),
            ours: live.model().labels.join(", "),
        })?;
        let failed = |error: anyhow::Error| ShadowError::Start { path: path(), reason: format!("{error:#}") };
        let lane = second.lane().map_err(failed)?;
        let desk = Desk::start(lane, comparison, metrics).map_err(|error| failed(error.into()))?;
        Ok(Self { live, desk: Arc::new(desk), share: config.share })
    }
}

impl Classifier for Shadowed {
    fn model(&self) -> &ModelInfo {
        self.live.model()
    }

    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
        Ok(Box::new(ShadowedLane { live: self.live.lane()?, desk: self.desk.clone(), share: self.share }))
    }
}

struct ShadowedLane {
    live: Box<dyn LaneClassifier>,
    desk: Arc<Desk>,
    share: f64,
}

impl LaneClassifier for ShadowedLane {
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
        let classified = self.live.classify(texts)?;
        let scored = texts.iter().zip(&classified.verdicts).filter_map(|(text, verdict)| match verdict {
            Verdict::Scored(scored) if is_chosen(text, self.share) => {
                Some(Sample { text: (*text).to_owned(), scores: Arc::clone(&scored.scores) })
            }
            _ => None,
        });
        self.desk.offer(scored.collect());
        Ok(classified)
    }
}

/// Whether a text is of the share: by its hash, so that every worker chooses the same ones, at each reading.
fn is_chosen(text: &str, share: f64) -> bool {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    let place = hasher.finish() as f64 / u64::MAX as f64;
    place < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_texts_and_the_same_each_time() {
        let texts: Vec<String> = (0..10_000).map(|number| format!("post {number}")).collect();
        let chosen = |share| texts.iter().filter(|text| is_chosen(text, share)).count();
        assert!((900..1_100).contains(&chosen(0.1)), "{}", chosen(0.1));
        assert_eq!(chosen(0.1), chosen(0.1));
        assert_eq!(chosen(1.0), 10_000);
        let of_more = |text: &&String| !is_chosen(text, 0.1) || is_chosen(text, 0.2);
        assert!(texts.iter().all(|text| of_more(&text)), "a larger share holds the smaller one");
    }
}
