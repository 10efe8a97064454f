//! Precision, recall, F1, Hamming accuracy and Jaccard of labels given against gold labels. Pure.
//!
//! Definitions as in scikit-learn with `zero_division=0`, and as SemEval-2018 Task 1 E-c scores: a ratio of 0 to 0 is
//! 0, but the Jaccard index of a post that has no label and was given none is 1.

/// Decisions on one label, or on several, by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Decisions {
    /// Given, and right.
    pub(super) true_positives: u64,
    /// Given, and wrong.
    pub(super) false_positives: u64,
    /// Not given, and wrong.
    pub(super) false_negatives: u64,
    /// Not given, and right.
    pub(super) true_negatives: u64,
}

impl Decisions {
    fn count(&mut self, gold: bool, given: bool) {
        *match (gold, given) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        } += 1;
    }

    fn add(&mut self, more: Self) {
        self.true_positives += more.true_positives;
        self.false_positives += more.false_positives;
        self.false_negatives += more.false_negatives;
        self.true_negatives += more.true_negatives;
    }

    /// Posts that have the label.
    pub(super) fn support(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Posts that were given the label.
    pub(super) fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// TP ÷ (TP + FP).
    pub(super) fn precision(&self) -> f64 {
        ratio(self.true_positives, self.predicted())
    }

    /// TP ÷ (TP + FN).
    pub(super) fn recall(&self) -> f64 {
        ratio(self.true_positives, self.support())
    }

    /// 2 TP ÷ (2 TP + FP + FN), the harmonic mean of precision and recall.
    pub(super) fn f1(&self) -> f64 {
        ratio(2 * self.true_positives, self.support() + self.predicted())
    }

    /// (TP + TN) ÷ all.
    pub(super) fn accuracy(&self) -> f64 {
        let wrong = self.false_positives + self.false_negatives;
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + wrong)
    }
}

/// What was counted over all posts.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    /// Per label, in the model's order.
    pub(super) labels: Vec<Decisions>,
    posts: u64,
    /// Sum of the posts' Jaccard indices.
    jaccard: f64,
}

impl Metrics {
    pub(super) fn new(labels: usize) -> Self {
        Self { labels: vec![Decisions::default(); labels], posts: 0, jaccard: 0.0 }
    }

    /// Counts one post's labels.
    pub(super) fn count(&mut self, gold: &[bool], given: &[bool]) {
        let (mut both, mut either) = (0, 0);
        for ((decisions, &gold), &given) in self.labels.iter_mut().zip(gold).zip(given) {
            decisions.count(gold, given);
            both += u64::from(gold && given);
            either += u64::from(gold || given);
        }
        self.posts += 1;
        self.jaccard += if either == 0 { 1.0 } else { ratio(both, either) };
    }

    /// Decisions on all labels together: what micro averages are of.
    pub(super) fn together(&self) -> Decisions {
        let mut all = Decisions::default();
        for decisions in &self.labels {
            all.add(*decisions);
        }
        all
    }

    /// Mean over the labels, each counting the same however rare: a macro average.
    pub(super) fn macro_average(&self, figure: impl Fn(&Decisions) -> f64) -> f64 {
        let sum: f64 = self.labels.iter().map(figure).sum();
        sum / float(self.labels.len().max(1) as u64)
    }

    /// Mean over the posts of |gold ∩ given| ÷ |gold ∪ given|, 1 when both are empty.
    pub(super) fn jaccard(&self) -> f64 {
        self.jaccard / float(self.posts.max(1))
    }
}

/// 0 when both are 0.
fn ratio(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels as digits: `110` is the first two of three.
    fn set(digits: &str) -> Vec<bool> {
        digits.chars().map(|digit| digit == '1').collect()
    }

    fn measured(posts: &[(&str, &str)]) -> Metrics {
        let mut metrics = Metrics::new(posts[0].0.len());
        for (gold, given) in posts {
            metrics.count(&set(gold), &set(given));
        }
        metrics
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    #[test]
    fn figures_of_four_posts_are_those_computed_by_hand() {
        // First label: TP 2, FP 1, FN 0, TN 1. Second: TP 1, FP 0, FN 2, TN 1. Third: TP 0, FP 1, FN 1, TN 2.
        let metrics = measured(&[("110", "100"), ("111", "110"), ("010", "101"), ("000", "000")]);
        let [first, second, third] = metrics.labels[..] else { panic!("three labels") };
        assert_eq!((first.support(), first.predicted(), second.support(), second.predicted()), (2, 3, 3, 1));
        near(first.precision(), 2.0 / 3.0);
        near(first.recall(), 1.0);
        near(first.f1(), 0.8);
        near(second.precision(), 1.0);
        near(second.recall(), 1.0 / 3.0);
        near(second.f1(), 0.5);
        near(third.f1(), 0.0);
        near(metrics.macro_average(Decisions::f1), 1.3 / 3.0);
        near(metrics.macro_average(Decisions::precision), (2.0 / 3.0 + 1.0) / 3.0);
        near(metrics.macro_average(Decisions::recall), (1.0 + 1.0 / 3.0) / 3.0);
        // Together: TP 3, FP 2, FN 3, TN 4.
        let all = metrics.together();
        near(all.precision(), 0.6);
        near(all.recall(), 0.5);
        near(all.f1(), 6.0 / 11.0);
        near(all.accuracy(), 7.0 / 12.0);
        // 1/2, 2/3, 0/3, and 1 for the post without labels.
        near(metrics.jaccard(), (0.5 + 2.0 / 3.0 + 0.0 + 1.0) / 4.0);
    }

    #[test]
    fn nothing_of_nothing_is_0_but_for_posts_without_labels_that_were_given_none() {
        let metrics = measured(&[("00", "00"), ("00", "00")]);
        let label = metrics.labels[0];
        for figure in [label.precision(), label.recall(), label.f1(), metrics.macro_average(Decisions::f1)] {
            near(figure, 0.0);
        }
        near(metrics.together().accuracy(), 1.0);
        near(metrics.jaccard(), 1.0);
        // A label that is never given has no precision, one that no post has no recall.
        let [never_given, never_there] = measured(&[("10", "01")]).labels[..] else { panic!("two labels") };
        assert_eq!((never_given.predicted(), never_there.support()), (0, 0));
        near(never_given.precision() + never_given.f1() + never_there.recall() + never_there.f1(), 0.0);
        near(measured(&[("10", "01")]).jaccard(), 0.0);
    }

    #[test]
    fn all_right_is_1_everywhere() {
        let metrics = measured(&[("10", "10"), ("01", "01"), ("11", "11")]);
        near(metrics.macro_average(Decisions::f1), 1.0);
        near(metrics.together().f1(), 1.0);
        near(metrics.together().accuracy(), 1.0);
        near(metrics.jaccard(), 1.0);
    }
}
