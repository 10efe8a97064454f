//! What is published about other systems on the benchmark that the starter model's labels come from.
//!
//! SemEval-2018 Task 1 E-c, English, test split (3,259 tweets), threshold 0.5; figures from the model card of `EmoAxis`
//! Model II, which gives macro-F1 alone of the others.

use schemars::JsonSchema;
use serde::Serialize;

use crate::inference::REFERENCE_LABELS;

/// Of which split the figures are.
pub(super) const SPLIT: &str = "SemEval-2018 Task 1 E-c, English, test split (3,259 tweets), threshold 0.5";

/// A system's published figures.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(super) struct Published {
    /// Its name.
    pub(super) system: &'static str,
    pub(super) macro_f1: f64,
    pub(super) micro_f1: Option<f64>,
    pub(super) macro_precision: Option<f64>,
    pub(super) macro_recall: Option<f64>,
    pub(super) hamming_accuracy: Option<f64>,
}

/// The systems, the best first.
pub(super) const SYSTEMS: [Published; 8] = [
    Published {
        system: "EmoAxis Model II",
        macro_f1: 0.61,
        micro_f1: Some(0.71),
        macro_precision: Some(0.54),
        macro_recall: Some(0.70),
        hamming_accuracy: Some(0.85),
    },
    other("UCCA-GAT", 0.60),
    other("BERT-base", 0.59),
    other("SpanEmo", 0.58),
    other("BERT+GCN", 0.56),
    other("BERT+DK", 0.55),
    other("TCS Research", 0.53),
    other("Dep-GAT", 0.52),
];

const fn other(system: &'static str, macro_f1: f64) -> Published {
    Published { system, macro_f1, micro_f1: None, macro_precision: None, macro_recall: None, hamming_accuracy: None }
}

/// Whether a model has the labels of that benchmark, in whatever order: else its figures are of something else.
pub(super) fn has_its_labels(labels: &[String]) -> bool {
    labels.len() == REFERENCE_LABELS.len() && REFERENCE_LABELS.iter().all(|label| labels.iter().any(|l| l == label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_eleven_labels_of_the_benchmark_are_compared() {
        let mut labels = REFERENCE_LABELS.map(str::to_owned).to_vec();
        labels.reverse();
        assert!(has_its_labels(&labels));
        labels[0] = "hope".to_owned();
        assert!(!has_its_labels(&labels));
        assert!(!has_its_labels(&labels[1..]));
    }
}
