//! Two models' scores of one text, label by label.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;

use crate::inference::ModelInfo;
use crate::telemetry::shadow::{GivenBy, Result, ShadowMetrics};

/// How the labels of two models are held against each other.
pub(super) struct Comparison {
    labels: Vec<Common>,
    same: Counter,
    different: Counter,
}

/// A label that both models have: where, from which score on, and what is counted of it.
struct Common {
    live: (usize, f32),
    second: (usize, f32),
    /// In the order of [`GivenBy::ALL`].
    given: Vec<Counter>,
    difference: Counter<f64, AtomicU64>,
}

impl Comparison {
    /// Over the labels that both have; none if there are none.
    pub(super) fn new(live: &ModelInfo, second: &ModelInfo, metrics: &ShadowMetrics) -> Option<Self> {
        let common = |(place, label): (usize, &String)| {
            let other = second.labels.iter().position(|one| one == label)?;
            Some(Common {
                live: (place, live.thresholds[place]),
                second: (other, second.thresholds[other]),
                given: GivenBy::ALL.iter().map(|by| metrics.labels.of([label, by.name()])).collect(),
                difference: metrics.score_difference.of([label]),
            })
        };
        let labels: Vec<Common> = live.labels.iter().enumerate().filter_map(common).collect();
        let result = |result: Result| metrics.posts.of([result.name()]);
        let (same, different) = (result(Result::Same), result(Result::Different));
        (!labels.is_empty()).then_some(Self { labels, same, different })
    }

    /// Counts one text's scores by both.
    pub(super) fn count(&self, live: &[f32], second: &[f32]) {
        let mut differs = false;
        for label in &self.labels {
            let (one, other) = (live[label.live.0], second[label.second.0]);
            let given = (one >= label.live.1, other >= label.second.1);
            let by = match given {
                (true, true) => GivenBy::Both,
                (true, false) => GivenBy::Live,
                (false, true) => GivenBy::Shadow,
                (false, false) => GivenBy::Neither,
            };
            label.given[by as usize].inc();
            label.difference.inc_by(f64::from((one - other).abs()));
            differs |= given.0 != given.1;
        }
        if differs { &self.different } else { &self.same }.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn model(labels: &[&str], thresholds: &[f32]) -> ModelInfo {
        ModelInfo {
            id: "m".to_owned(),
            hash: "00".to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            thresholds: thresholds.to_vec(),
            languages: Vec::new(),
        }
    }

    #[test]
    fn labels_are_found_by_name_and_given_at_each_models_own_threshold() {
        let metrics = Metrics::new();
        let (live, second) =
            (model(&["joy", "fear", "trust"], &[0.5, 0.5, 0.5]), model(&["anger", "fear", "joy"], &[0.5, 0.3, 0.5]));
        let comparison = Comparison::new(&live, &second, &metrics.shadow).expect("joy and fear");
        comparison.count(&[0.9, 0.4, 0.9], &[0.9, 0.4, 0.75]);
        comparison.count(&[0.5, 0.1, 0.0], &[0.0, 0.2, 0.5]);
        comparison.count(&[0.6, 0.1, 0.0], &[0.0, 0.2, 0.1]);
        let of = |label, by: GivenBy| metrics.shadow.labels.of([label, by.name()]).get();
        let all = |label| GivenBy::ALL.iter().map(|by| of(label, *by)).collect::<Vec<_>>();
        // Both, live, shadow, neither.
        assert_eq!(all("joy"), [2, 1, 0, 0]);
        assert_eq!(all("fear"), [0, 0, 1, 2]);
        assert_eq!(metrics.shadow.labels.all().len(), 8, "trust and anger are no common labels");
        let posts = |result: Result| metrics.shadow.posts.of([result.name()]).get();
        assert_eq!((posts(Result::Same), posts(Result::Different)), (1, 2));
        let difference = metrics.shadow.score_difference.of(["joy"]).get();
        assert!((difference - 0.65).abs() < 1e-6, "{difference}");
    }

    #[test]
    fn models_without_a_common_label_cannot_be_compared() {
        let metrics = Metrics::new();
        assert!(Comparison::new(&model(&["joy"], &[0.5]), &model(&["Joy"], &[0.5]), &metrics.shadow).is_none());
    }
}
