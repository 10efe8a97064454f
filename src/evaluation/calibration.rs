//! What a score means: of the decisions that were given about this score, how many were right? Pure.
//!
//! Ten bins of equal width, as in a reliability diagram. Expected calibration error as in Guo et al., "On Calibration
//! of Modern Neural Networks" (2017), on the label's probability: Σ (count ÷ all) × |mean score − observed share|.
//! Brier score: mean of (score − gold)², with gold 0 or 1.

use std::ops::AddAssign;

use super::metrics::float;

/// Bins; bin i holds scores from i/10 up to, and without, (i + 1)/10, the last one 1 as well.
pub(super) const BINS: usize = 10;

/// Scores of a bin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bin {
    /// Scores in it.
    pub(super) count: u64,
    /// Their sum.
    sum: f64,
    /// Those whose post has the label.
    observed: u64,
}

impl Bin {
    /// None: there are no scores.
    pub(super) fn mean_score(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / float(self.count))
    }

    /// Share of the scores whose post has the label; none: there are no scores.
    pub(super) fn observed(&self) -> Option<f64> {
        (self.count > 0).then(|| float(self.observed) / float(self.count))
    }
}

/// Scores of one label, or of several.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Calibration {
    pub(super) bins: [Bin; BINS],
    /// Sum of squared differences from gold.
    squared: f64,
}

impl Calibration {
    /// Counts one score, from 0 to 1.
    pub(super) fn count(&mut self, score: f32, gold: bool) {
        let score = f64::from(score);
        let bin = &mut self.bins[bin_of(score)];
        bin.count += 1;
        bin.sum += score;
        bin.observed += u64::from(gold);
        self.squared += (score - f64::from(u8::from(gold))).powi(2);
    }

    fn scores(&self) -> u64 {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// Σ (count ÷ all) × |mean score − observed share|; 0 of no scores.
    pub(super) fn expected_error(&self) -> f64 {
        let off = |bin: &Bin| (bin.sum - float(bin.observed)).abs();
        self.bins.iter().map(off).sum::<f64>() / float(self.scores().max(1))
    }

    /// Mean of (score − gold)²; 0 of no scores.
    pub(super) fn brier(&self) -> f64 {
        self.squared / float(self.scores().max(1))
    }
}

impl AddAssign<&Self> for Calibration {
    fn add_assign(&mut self, more: &Self) {
        for (bin, more) in self.bins.iter_mut().zip(&more.bins) {
            bin.count += more.count;
            bin.sum += more.sum;
            bin.observed += more.observed;
        }
        self.squared += more.squared;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "scores are from 0 to 1")]
fn bin_of(score: f64) -> usize {
    ((score * float(BINS as u64)) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-7, "{found}, not {expected}");
    }

    fn counted(scores: &[(f32, bool)]) -> Calibration {
        let mut calibration = Calibration::default();
        for (score, gold) in scores {
            calibration.count(*score, *gold);
        }
        calibration
    }

    #[test]
    fn scores_fall_into_ten_bins_and_1_into_the_last() {
        for (score, bin) in [(0.0, 0), (0.099, 0), (0.1, 1), (0.5, 5), (0.95, 9), (1.0, 9)] {
            assert_eq!(counted(&[(score, true)]).bins[bin].count, 1, "{score}");
        }
    }

    #[test]
    fn figures_are_those_computed_by_hand() {
        // Bin 2: 0.2 and 0.25, one of them right. Bin 8: 0.8, right.
        let calibration = counted(&[(0.2, false), (0.25, true), (0.8, true)]);
        let bin = &calibration.bins[2];
        near(bin.mean_score().expect("scores"), 0.225);
        near(bin.observed().expect("scores"), 0.5);
        assert_eq!((calibration.bins[0].mean_score(), calibration.bins[0].observed()), (None, None));
        near(calibration.expected_error(), 2.0 / 3.0 * 0.275 + 1.0 / 3.0 * 0.2);
        near(calibration.brier(), (0.04 + 0.5625 + 0.04) / 3.0);
    }

    #[test]
    fn scores_that_come_true_as_often_as_they_say_have_no_error() {
        let calibration = counted(&[(0.5, true), (0.5, false), (0.0, false), (1.0, true)]);
        near(calibration.expected_error(), 0.0);
        near(calibration.brier(), 0.125);
        near(counted(&[(1.0, false), (0.0, true)]).expected_error(), 1.0);
        near(Calibration::default().expected_error() + Calibration::default().brier(), 0.0);
    }

    #[test]
    fn labels_add_up_to_all_scores() {
        let (one, other) = (counted(&[(0.2, false), (0.9, true)]), counted(&[(0.25, true)]));
        let mut both = one.clone();
        both += &other;
        assert_eq!(both, counted(&[(0.2, false), (0.9, true), (0.25, true)]));
    }
}
