//! Cuts sequences into micro-batches under a padded-token budget, with the least padded work.
//!
//! A micro-batch of `count` sequences costs `longest × count` tokens, because the shorter ones
//! are padded, plus a fixed overhead. Sorted by length, an optimal cut is a partition into
//! neighbours, and dynamic programming finds it exactly. Pure.

use std::cmp::Reverse;

/// How a batch is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutter {
    /// Most padded tokens of a micro-batch; a single longer sequence goes alone.
    pub budget: usize,
    /// Fixed cost of a micro-batch, in tokens.
    pub overhead: usize,
}

/// Sequences to run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroBatch {
    /// Indices into the lengths that were cut, longest first.
    pub indices: Vec<usize>,
    /// Length of the longest.
    pub longest: usize,
}

impl MicroBatch {
    /// Tokens with padding.
    #[must_use]
    pub fn padded_tokens(&self) -> usize {
        self.longest * self.indices.len()
    }
}

/// Sequences of one length, neighbours in sorted order.
struct Run {
    start: usize,
    length: usize,
}

impl Cutter {
    /// Cuts so that Σ (longest × count + overhead) is least, the most expensive micro-batch
    /// first, so that parallel sessions finish together.
    ///
    /// With the sequences sorted longest first, let `best[j]` be the least cost of the first
    /// `j`: the minimum over `i` of `best[i] + length[i] × (j − i) + overhead`. Among starts `i`
    /// of equal length the earliest that the budget allows is never worse (dropping the
    /// shortest sequence from a cut saves at least its length), so each `j` looks at one start
    /// per distinct length: at most `n × max_length` steps, whatever the budget.
    #[must_use]
    pub fn cut(&self, lengths: &[usize]) -> Vec<MicroBatch> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&index| Reverse(lengths[index]));

        let mut runs: Vec<Run> = Vec::new();
        let mut best = vec![0_usize];
        let mut starts = vec![0_usize];
        for (last, &index) in order.iter().enumerate() {
            let length = lengths[index];
            if runs.last().is_none_or(|run| run.length != length) {
                runs.push(Run { start: last, length });
            }
            let end = last + 1;
            let mut least = usize::MAX;
            let mut chosen = last;
            let mut run_end = end;
            for run in runs.iter().rev() {
                let most = (self.budget / run.length.max(1)).max(1);
                let start = run.start.max(end.saturating_sub(most));
                if start >= run_end {
                    break;
                }
                let cost = best[start] + run.length * (end - start) + self.overhead;
                if cost < least {
                    (least, chosen) = (cost, start);
                }
                run_end = run.start;
            }
            best.push(least);
            starts.push(chosen);
        }

        let mut cut = Vec::new();
        let mut end = order.len();
        while end > 0 {
            let start = starts[end];
            cut.push(MicroBatch { indices: order[start..end].to_vec(), longest: lengths[order[start]] });
            end = start;
        }
        cut.sort_by_key(|part| Reverse((part.padded_tokens(), part.longest)));
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cost(cutter: Cutter, cut: &[MicroBatch]) -> usize {
        cut.iter().map(|part| part.padded_tokens() + cutter.overhead).sum()
    }

    /// Fills each micro-batch as far as the budget goes, longest first.
    fn greedy(cutter: Cutter, lengths: &[usize]) -> usize {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable_by_key(|&length| Reverse(length));
        let mut cost = 0;
        let mut rest = &sorted[..];
        while let Some(&longest) = rest.first() {
            let count = (cutter.budget / longest.max(1)).clamp(1, rest.len());
            cost += longest * count + cutter.overhead;
            rest = &rest[count..];
        }
        cost
    }

    /// The least cost over all partitions of the sorted lengths, by trying every one.
    fn exhaustive(cutter: Cutter, sorted: &[usize]) -> usize {
        let Some(&longest) = sorted.first() else {
            return 0;
        };
        (1..=sorted.len())
            .filter(|&count| count == 1 || longest * count <= cutter.budget)
            .map(|count| longest * count + cutter.overhead + exhaustive(cutter, &sorted[count..]))
            .min()
            .unwrap_or(usize::MAX)
    }

    /// Lengths as tweets have them: a sum of uniform ones, mean 27, with a long tail.
    fn tweets(count: usize) -> Vec<usize> {
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from((state >> 33) % bound).expect("small")
        };
        (0..count).map(|_| (5 + below(16) + below(16) + below(16) + below(100) / 98 * 60).min(128)).collect()
    }

    fn waste(cut: &[MicroBatch], lengths: &[usize]) -> f64 {
        let padded: usize = cut.iter().map(MicroBatch::padded_tokens).sum();
        let tokens: usize = lengths.iter().sum();
        1.0 - f64::from(u32::try_from(tokens).expect("small")) / f64::from(u32::try_from(padded).expect("small"))
    }

    #[test]
    fn nothing_cuts_into_nothing() {
        assert!(Cutter { budget: 512, overhead: 8 }.cut(&[]).is_empty());
    }

    #[test]
    fn a_sequence_over_the_budget_goes_alone_and_first() {
        let cut = Cutter { budget: 10, overhead: 1 }.cut(&[3, 40, 3]);
        assert_eq!(cut[0], MicroBatch { indices: vec![1], longest: 40 });
        assert_eq!(cut[1], MicroBatch { indices: vec![0, 2], longest: 3 });
    }

    #[test]
    fn an_odd_one_out_is_not_padded_to_when_a_micro_batch_of_its_own_is_cheaper() {
        let lengths = [100, 10, 10, 10, 10];
        let cut = Cutter { budget: 1000, overhead: 8 }.cut(&lengths);
        assert_eq!(cut.len(), 2);
        let cut = Cutter { budget: 1000, overhead: 1000 }.cut(&lengths);
        assert_eq!(cut.len(), 1);
    }

    #[test]
    fn padding_waste_on_lengths_like_tweets_stays_under_the_targets() {
        for (count, most) in [(512, 0.04), (1_024, 0.025), (2_048, 0.015)] {
            let lengths = tweets(count);
            let cut = Cutter { budget: 1_024, overhead: 16 }.cut(&lengths);
            let waste = waste(&cut, &lengths);
            assert!(waste < most, "{count} posts: {waste}");
        }
    }

    #[test]
    fn sixteen_thousand_equal_lengths_under_a_huge_budget_are_cut_at_once() {
        let lengths = vec![3; 16_384];
        let cut = Cutter { budget: 1 << 20, overhead: 8 }.cut(&lengths);
        assert_eq!(cut.len(), 1);
    }

    proptest! {
        #[test]
        fn every_index_is_there_once_and_the_budget_is_kept(
            lengths in prop::collection::vec(1_usize..200, 0..400),
            budget in 1_usize..2_000,
            overhead in 0_usize..100,
        ) {
            let cut = Cutter { budget, overhead }.cut(&lengths);
            let mut seen: Vec<usize> = cut.iter().flat_map(|part| part.indices.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for part in &cut {
                prop_assert!(part.indices.len() == 1 || part.padded_tokens() <= budget);
                let longest = part.indices.iter().map(|&index| lengths[index]).max();
                prop_assert_eq!(longest, Some(part.longest));
            }
            prop_assert!(cut.is_sorted_by_key(|part| Reverse(part.padded_tokens())));
        }

        #[test]
        fn never_dearer_than_filling_up_greedily(
            lengths in prop::collection::vec(1_usize..200, 0..400),
            budget in 1_usize..2_000,
            overhead in 0_usize..100,
        ) {
            let cutter = Cutter { budget, overhead };
            prop_assert!(cost(cutter, &cutter.cut(&lengths)) <= greedy(cutter, &lengths));
        }

        #[test]
        fn as_cheap_as_the_best_of_all_partitions(
            mut lengths in prop::collection::vec(1_usize..12, 0..12),
            budget in 1_usize..60,
            overhead in 0_usize..12,
        ) {
            let cutter = Cutter { budget, overhead };
            let found = cost(cutter, &cutter.cut(&lengths));
            lengths.sort_unstable_by_key(|&length| Reverse(length));
            prop_assert_eq!(found, exhaustive(cutter, &lengths));
        }
    }
}
