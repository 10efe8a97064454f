//! Whether scores depend on the batch (I5), tried on any number of texts: in random orders, batches and paddings,
//! through the worker's own cutting and sessions. Nothing is merged or cached, so every text is run every time.
//!
//! The golden texts show it at each start in two orders; this is the long version, `moodstream model verify --shuffle`.

use std::cmp::Reverse;
use std::sync::Arc;

use super::load::Loaded;
use super::micro_batch::{Cutter, MicroBatch};
use super::{Answer, ClassifierDown, TokenIds};

/// Texts of a batch, at most.
const MOST: usize = 512;
/// Fixed cost of a micro-batch, in tokens, at most: the larger, the more a cut prefers padding to another micro-batch.
const OVERHEAD: usize = 2_048;

/// What the rounds have shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shuffled {
    /// Texts run in every round.
    pub texts: usize,
    /// Rounds.
    pub rounds: usize,
    /// Micro-batches run, those of single texts left out.
    pub micro_batches: usize,
    /// Share of the padded tokens that were padding.
    pub padding: f64,
    /// The largest move of a score from what its text gets alone.
    pub worst: Worst,
    /// Labels that a text was given in a batch and not alone, or the other way round.
    pub labels_flipped: usize,
}

/// A score that moved.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Worst {
    /// By how much; 0: none has moved.
    pub moved: f64,
    /// Which text, counted from 0.
    pub text: usize,
    /// Which label, in the model's order.
    pub label: usize,
}

/// Runs texts alone, then `rounds` times in random batches. `watch` hears how many texts were run. The same texts meet
/// the same batches in every run.
///
/// # Errors
/// When a text cannot be encoded or the model fails.
pub fn shuffle(
    loaded: &Loaded,
    texts: &[&str],
    rounds: usize,
    mut watch: impl FnMut(usize),
) -> Result<Shuffled, ClassifierDown> {
    let onnx = &loaded.onnx;
    let encode = |(index, text): (usize, &&str)| {
        let encoded = onnx.encoder().encode(text).map(|encoded| encoded.ids);
        encoded.map_err(|error| ClassifierDown { reason: format!("text {}: {error}", index + 1) })
    };
    let sequences: Vec<TokenIds> = texts.iter().enumerate().map(encode).collect::<Result<_, _>>()?;
    let mut alone = Vec::with_capacity(sequences.len());
    for group in sequences.chunks(MOST) {
        let single = |(index, ids): (usize, &TokenIds)| MicroBatch { indices: vec![index], longest: ids.len() };
        let cut = group.iter().enumerate().map(single).collect();
        alone.extend(scores(onnx.pool().run(group.to_vec(), cut)?.results, |index| alone.len() + index)?);
        watch(alone.len());
    }

    let thresholds = &loaded.classifier.model().thresholds;
    let mut random = Random(0);
    let (mut ran, mut tokens, mut padded) = (sequences.len(), 0, 0);
    let mut shown = Shuffled {
        texts: sequences.len(),
        rounds,
        micro_batches: 0,
        padding: 0.0,
        worst: Worst::default(),
        labels_flipped: 0,
    };
    for _ in 0..rounds {
        let order = random.order(sequences.len());
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(random.below(MOST).min(rest.len() - 1) + 1);
            rest = after;
            let group: Vec<TokenIds> = batch.iter().map(|&index| Arc::clone(&sequences[index])).collect();
            let lengths: Vec<usize> = group.iter().map(|ids| ids.len()).collect();
            let cut = random.cut(onnx.cutter().budget, &lengths);
            tokens += lengths.iter().sum::<usize>();
            padded += cut.iter().map(MicroBatch::padded_tokens).sum::<usize>();
            shown.micro_batches += cut.len();
            let found = scores(onnx.pool().run(group, cut)?.results, |index| batch[index])?;
            for (&text, found) in batch.iter().zip(found) {
                shown.compare(text, &alone[text], &found, thresholds);
            }
            ran += batch.len();
            watch(ran);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
    {
        shown.padding = 1.0 - tokens as f64 / padded.max(1) as f64;
    }
    Ok(shown)
}

impl Shuffled {
    /// Whether no score moved by more than this and no label with it.
    #[must_use]
    pub fn is_within(&self, most: f64) -> bool {
        self.worst.moved <= most && self.labels_flipped == 0
    }

    fn compare(&mut self, text: usize, alone: &[f32], found: &[f32], thresholds: &[f32]) {
        for (label, ((alone, found), threshold)) in alone.iter().zip(found).zip(thresholds).enumerate() {
            let moved = (f64::from(*alone) - f64::from(*found)).abs();
            if moved > self.worst.moved {
                self.worst = Worst { moved, text, label };
            }
            self.labels_flipped += usize::from((alone >= threshold) != (found >= threshold));
        }
    }
}

/// The scores of every text of a batch, all of which must have some.
fn scores(results: Vec<Answer>, text: impl Fn(usize) -> usize) -> Result<Vec<Arc<[f32]>>, ClassifierDown> {
    let failed = |index: usize, reason: String| format!("text {}: {reason}", text(index) + 1);
    let results = results.into_iter().enumerate();
    results.map(|(index, answer)| answer.map_err(|reason| ClassifierDown { reason: failed(index, reason) })).collect()
}

/// Splitmix64 (Steele, Lea and Flood, 2014): good enough for orders, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `end`, which is small beside 2^64 and not 0.
    #[expect(clippy::cast_possible_truncation, reason = "less than a usize")]
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// 0 to `count` - 1 in random order (Fisher and Yates).
    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// Every other batch as the worker cuts it, sorted, so that there is little padding; the rest as the texts come,
    /// with much. Micro-batches are from an eighth of the usual budget to all of it.
    fn cut(&mut self, budget: usize, lengths: &[usize]) -> Vec<MicroBatch> {
        let least = budget / 8;
        let budget = least + self.below(budget - least + 1);
        if self.below(2) == 0 {
            return Cutter { budget, overhead: self.below(OVERHEAD) }.cut(lengths);
        }
        let mut cut: Vec<MicroBatch> = Vec::new();
        for (index, &length) in lengths.iter().enumerate() {
            match cut.last_mut() {
                Some(part) if part.longest.max(length) * (part.indices.len() + 1) <= budget => {
                    part.indices.push(index);
                    part.longest = part.longest.max(length);
                }
                _ => cut.push(MicroBatch { indices: vec![index], longest: length }),
            }
        }
        for part in &mut cut {
            part.indices.sort_by_key(|&index| Reverse(lengths[index]));
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_every_text_once_and_another_one_follows() {
        let mut random = Random(0);
        let (one, other) = (random.order(100), random.order(100));
        assert_ne!(one, other);
        for mut order in [one, other] {
            order.sort_unstable();
            assert!(order.into_iter().eq(0..100));
        }
        assert_eq!((random.order(0), random.order(1)), (vec![], vec![0]));
    }

    #[test]
    fn cuts_hold_every_text_once_under_the_budget_with_little_padding_or_much() {
        let mut random = Random(0);
        let lengths: Vec<usize> = (0..300).map(|index| 3 + index * 7 % 60).collect();
        let tokens: usize = lengths.iter().sum();
        let (mut least, mut most) = (usize::MAX, 0);
        for _ in 0..50 {
            let cut = random.cut(512, &lengths);
            let mut indices: Vec<usize> = cut.iter().flat_map(|part| part.indices.clone()).collect();
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..lengths.len()));
            for part in &cut {
                let longest = part.indices.iter().map(|&index| lengths[index]).max();
                assert_eq!(longest, Some(part.longest));
                assert!(part.padded_tokens() <= 512);
            }
            let padded = cut.iter().map(MicroBatch::padded_tokens).sum();
            (least, most) = (least.min(padded), most.max(padded));
        }
        assert!(least * 10 < tokens * 11 && most * 10 > tokens * 14, "{tokens}: {least} to {most}");
    }

    #[test]
    fn the_largest_move_and_every_flipped_label_are_kept() {
        let mut shown = Shuffled {
            texts: 2,
            rounds: 1,
            micro_batches: 1,
            padding: 0.0,
            worst: Worst::default(),
            labels_flipped: 0,
        };
        shown.compare(0, &[0.5, 0.25], &[0.5, 0.25], &[0.5, 0.5]);
        assert!(shown.is_within(0.0));
        shown.compare(1, &[0.5, 0.25], &[0.5, 0.375], &[0.5, 0.5]);
        shown.compare(0, &[0.5, 0.25], &[0.5625, 0.25], &[0.5, 0.5]);
        assert_eq!((shown.worst, shown.labels_flipped), (Worst { moved: 0.125, text: 1, label: 1 }, 0));
        assert!(shown.is_within(0.125) && !shown.is_within(0.124));
        shown.compare(0, &[0.5, 0.25], &[0.4375, 0.25], &[0.5, 0.5]);
        assert!(shown.labels_flipped == 1 && !shown.is_within(0.125), "a flipped label is too much");
    }
}
