//! Counts and sums of posts, by hour and what they are told apart by: all that an answer is computed from.
//!
//! Everything is a whole number. A score is taken as the nearest multiple of 2⁻³⁶, and so is its square: what a mean
//! loses by that is below 10⁻¹¹, and sums are the same in whatever order they are made, by any number of threads, from
//! any cut of the rows into files, now or in a roll-up of an earlier day.

use std::collections::HashMap;
use std::sync::Arc;

use super::statistics::float;

/// A score of 1 in a sum.
pub(super) const ONE: f64 = 68_719_476_736.0;
/// Added to a number below 2⁵¹ it leaves, in the lower bits, the nearest whole number (ties to even).
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// No score is this large: probabilities are at most 1. The squares of a row group have to fit 63 bits.
const TOO_LARGE: f32 = 2.0;

/// What the posts of a cell have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// Beginning of the hour, or of the part of one, in milliseconds since 1970.
    pub(super) start: i64,
    /// Number of the model.
    pub(super) model: usize,
    /// The words of the query's columns, in their order; none for posts without one.
    pub(super) words: Box<[Option<Arc<str>>]>,
}

/// Of one emotion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Posts labelled by a model that knows the emotion.
    pub(super) labelled: u64,
    /// Posts that have the label.
    pub(super) count: u64,
    /// Of scores, in units of 2⁻³⁶.
    pub(super) sum: i128,
    /// Of their squares, in the same units.
    pub(super) squares: i128,
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// The mean score.
    #[expect(clippy::cast_precision_loss, reason = "the sum loses less than its parts have lost")]
    pub(super) fn mean(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.sum as f64 / ONE / float(self.labelled))
    }
}

/// The posts of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) labelled: u64,
    pub(super) skipped: u64,
    /// By the emotion's number; those beyond the end have nothing.
    pub(super) emotions: Vec<Sums>,
}

impl Cell {
    pub(super) fn add(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.skipped += other.skipped;
        if self.emotions.len() < other.emotions.len() {
            self.emotions.resize(other.emotions.len(), Sums::default());
        }
        for (own, other) in self.emotions.iter_mut().zip(&other.emotions) {
            own.add(other);
        }
    }

    /// Of one emotion.
    pub(super) fn emotion(&self, number: usize) -> Sums {
        self.emotions.get(number).copied().unwrap_or_default()
    }
}

/// All cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) cells: HashMap<Key, Cell>,
}

impl Tally {
    /// Adds what was counted under one key.
    pub(super) fn add(&mut self, key: Key, cell: &Cell) {
        self.cells.entry(key).or_default().add(cell);
    }

    /// Adds all of another one.
    pub(super) fn merge(&mut self, other: Self) {
        if self.cells.is_empty() {
            self.cells = other.cells;
            return;
        }
        for (key, cell) in other.cells {
            self.add(key, &cell);
        }
    }
}

/// A score and its square as whole numbers, each too large by [`EXCESS`]: taking that off once for a whole sum is
/// cheaper than once for each.
#[expect(clippy::cast_possible_wrap, reason = "sums wrap around, and back when the excess is taken off")]
#[inline]
pub(super) fn raw(score: f32) -> (i64, i64) {
    let score = f64::from(score);
    // The product by a power of two is exact: rounded once, as every processor does.
    let whole = |value: f64| (value * ONE + ROUNDER).to_bits() as i64;
    (whole(score), whole(score * score))
}

/// What [`raw`] adds.
pub(super) const EXCESS: i64 = 0x4338_0000_0000_0000;

/// Whether a number can be a score. Not if it is none.
#[inline]
pub(super) fn is_score(score: f32) -> bool {
    score.abs() < TOO_LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(score: f32) -> (i64, i64) {
        let (sum, square) = raw(score);
        (sum.wrapping_sub(EXCESS), square.wrapping_sub(EXCESS))
    }

    #[test]
    fn scores_become_the_nearest_whole_numbers() {
        let one = 1_i64 << 36;
        for (score, expected) in [(0.0, 0), (1.0, one), (0.5, one / 2), (-1.0, -one), (1.5, one + one / 2)] {
            assert_eq!(exact(score).0, expected, "{score}");
        }
        for score in [0.1_f32, 0.333_333_34, 1e-9, 0.999_999_94] {
            let wide = f64::from(score);
            #[expect(clippy::cast_possible_truncation, reason = "rounded already")]
            let nearest = |value: f64| (value * ONE).round_ties_even() as i64;
            assert_eq!(exact(score), (nearest(wide), nearest(wide * wide)), "{score}");
        }
    }

    #[test]
    fn what_is_no_probability_is_no_score() {
        assert!([0.0, 1.0, -0.0, 0.5].into_iter().all(is_score));
        assert!(![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9].into_iter().any(is_score));
    }

    #[test]
    fn cells_of_different_emotions_add_up() {
        let sums = |labelled, count| Sums { labelled, count, sum: 5, squares: 3 };
        let mut one = Cell { labelled: 2, skipped: 1, emotions: vec![sums(2, 1)] };
        one.add(&Cell { labelled: 3, skipped: 0, emotions: vec![sums(3, 2), sums(3, 0)] });
        assert_eq!((one.labelled, one.skipped, one.emotion(0).count, one.emotion(0).sum), (5, 1, 3, 10));
        assert_eq!((one.emotion(1), one.emotion(7)), (sums(3, 0), Sums::default()));
    }
}
