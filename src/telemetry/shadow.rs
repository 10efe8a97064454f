//! The metrics of a second model that runs beside the first.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::declare::{Declarations, Labelled};
use super::metrics::label_values;

label_values! {
    /// What came of a post that was chosen for the second model.
    Result {
        /// Both gave the same labels.
        Same = "same",
        /// They did not.
        Different = "different",
        /// The second model failed.
        Failed = "failed",
        /// It was busy.
        PassedOver = "passed_over",
    }
}

label_values! {
    /// Who gave a post a label.
    GivenBy {
        /// Both.
        Both = "both",
        /// The model whose labels are published.
        Live = "live",
        /// The second one.
        Shadow = "shadow",
        /// Neither.
        Neither = "neither",
    }
}

/// How often, and where, two models differ.
#[derive(Debug)]
pub struct ShadowMetrics {
    /// Always 1; its labels name the second model.
    pub info: Labelled<Gauge, 3>,
    /// Posts chosen for it, by [`Result`].
    pub posts: Labelled<Counter, 1>,
    /// Posts compared, by emotion and [`GivenBy`].
    pub labels: Labelled<Counter, 2>,
    /// Sum of the scores' absolute differences, by emotion.
    pub score_difference: Labelled<Counter<f64, AtomicU64>, 1>,
}

impl ShadowMetrics {
    pub(super) fn declare(declare: &mut Declarations) -> Self {
        Self {
            info: declare.labelled(
                "shadow_info",
                ["model", "hash", "precision"],
                "Always 1 while a shadow model runs: its id, content hash and precision",
            ),
            posts: declare.labelled(
                "shadow_posts",
                ["result"],
                "Posts chosen for the shadow model: it gave the same labels as the live one, different ones, failed, or \
                 was busy (passed_over); a post that is read again counts again",
            ),
            labels: declare.labelled(
                "shadow_labels",
                ["emotion", "given_by"],
                "Posts compared, by who gave the emotion: both, live, shadow or neither",
            ),
            score_difference: declare.labelled(
                "shadow_score_difference",
                ["emotion"],
                "Sum of |live score − shadow score| over the posts compared",
            ),
        }
    }
}

/// How a second model compares with the first, so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Shadow")]
pub struct ShadowReport {
    /// The second bundle's id.
    pub id: String,
    /// Its content hash, hexadecimal.
    pub hash: String,
    /// Precision of its weights.
    pub precision: String,
    /// The share of the posts that it is shown.
    pub share: f64,
    /// Posts to which both models gave the same labels.
    pub same: u64,
    /// Posts to which they did not.
    pub different: u64,
    /// Posts on which the second model failed.
    pub failed: u64,
    /// Posts that were passed over because it was busy.
    pub passed_over: u64,
    /// Every label that both models have.
    pub labels: Vec<LabelReport>,
}

/// Who gave a label, over the posts compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "ShadowLabel")]
pub struct LabelReport {
    /// The label.
    pub label: String,
    /// Posts that both gave it to.
    pub both: u64,
    /// … only the live model.
    pub live: u64,
    /// … only the second one.
    pub shadow: u64,
    /// … neither.
    pub neither: u64,
    /// Mean of |live score − shadow score|; null before the first post.
    pub mean_difference: Option<f64>,
}

impl ShadowReport {
    /// What the metrics come to; none while no second model runs.
    pub(super) fn of(metrics: &ShadowMetrics, share: f64) -> Option<Self> {
        let ([id, hash, precision], _) = metrics.info.all().into_iter().next()?;
        let posts = |result: Result| metrics.posts.of([result.name()]).get();
        let label = |([label], difference): ([String; 1], Counter<f64, AtomicU64>)| {
            let given = |by: GivenBy| metrics.labels.of([&label, by.name()]).get();
            let [both, live, shadow, neither] =
                [GivenBy::Both, GivenBy::Live, GivenBy::Shadow, GivenBy::Neither].map(given);
            let compared = both + live + shadow + neither;
            #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
            let mean_difference = (compared > 0).then(|| difference.get() / compared as f64);
            LabelReport { label, both, live, shadow, neither, mean_difference }
        };
        Some(Self {
            share,
            same: posts(Result::Same),
            different: posts(Result::Different),
            failed: posts(Result::Failed),
            passed_over: posts(Result::PassedOver),
            labels: metrics.score_difference.all().into_iter().map(label).collect(),
            id,
            hash,
            precision,
        })
    }
}
