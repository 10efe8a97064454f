//! What the runtime alone can do: the yardstick that the whole pipeline is measured against.
//!
//! Same sessions, same options; tokenizing, sorting and cutting done beforehand, over all texts
//! at once, nothing merged or cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::load::Loaded;
use super::micro_batch::MicroBatch;
use super::{ClassifierDown, TokenIds};

/// Parts that the micro-batches are dealt to, so that the clock may stop between two of them.
const PARTS: usize = 16;

/// What the runtime alone did.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Posts run, those that a pass repeats counted again.
    pub posts: usize,
    /// Time it took.
    pub elapsed: Duration,
    /// Posts a second.
    pub posts_per_second: f64,
    /// Tokens of a post, on average.
    pub tokens_per_post: f64,
    /// Share of the padded tokens that are padding.
    pub padding_waste: f64,
    /// Sum of the sessions' busy time.
    pub busy: Duration,
}

/// Texts in ideal micro-batches.
struct Part {
    sequences: Vec<TokenIds>,
    cut: Vec<MicroBatch>,
}

/// Runs texts in ideal micro-batches, pass after pass, until `duration` is over; what is running then is finished.
///
/// # Errors
/// When a text cannot be encoded or the model fails.
pub fn baseline(loaded: &Loaded, texts: &[&str], duration: Duration) -> Result<Baseline, ClassifierDown> {
    let onnx = &loaded.onnx;
    let sequences: Vec<TokenIds> = texts
        .iter()
        .map(|text| onnx.encoder().encode(text).map(|encoded| encoded.ids))
        .collect::<Result<_, _>>()
        .map_err(|error| ClassifierDown { reason: error.to_string() })?;
    let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
    let cut = onnx.cutter().cut(&lengths);
    let padded: usize = cut.iter().map(MicroBatch::padded_tokens).sum();
    let parts = deal(&sequences, &cut);

    let (next, started) = (AtomicUsize::new(0), Instant::now());
    // Two at a time: while one waits for its last micro-batch, the sessions work on the other's.
    let hand = || {
        let (mut posts, mut busy) = (0, Duration::ZERO);
        while started.elapsed() < duration {
            let part = &parts[next.fetch_add(1, Ordering::Relaxed) % parts.len()];
            busy += onnx.pool().run(part.sequences.clone(), part.cut.clone())?.busy;
            posts += part.sequences.len();
        }
        Ok((posts, busy))
    };
    let ran: [Result<_, ClassifierDown>; 2] = thread::scope(|scope| {
        let down = |_| Err(ClassifierDown { reason: "the baseline panicked".to_owned() });
        [scope.spawn(hand), scope.spawn(hand)].map(|thread| thread.join().unwrap_or_else(down))
    });
    let elapsed = started.elapsed();
    let (mut posts, mut busy) = (0, Duration::ZERO);
    for hand in ran {
        let (ran, worked) = hand?;
        (posts, busy) = (posts + ran, busy + worked);
    }
    let tokens = lengths.iter().sum();
    Ok(Baseline {
        posts,
        elapsed,
        posts_per_second: ratio(posts, 1) / elapsed.as_secs_f64(),
        tokens_per_post: ratio(tokens, sequences.len()),
        padding_waste: 1.0 - ratio(tokens, padded),
        busy,
    })
}

/// Deals the micro-batches, which are sorted by cost, one to each part in turn: every part is as the whole.
fn deal(sequences: &[TokenIds], cut: &[MicroBatch]) -> Vec<Part> {
    let part = |first| {
        let mut ids = Vec::new();
        let renumbered = cut.iter().skip(first).step_by(PARTS).map(|micro_batch| {
            let start = ids.len();
            ids.extend(micro_batch.indices.iter().map(|&index| Arc::clone(&sequences[index])));
            MicroBatch { indices: (start..ids.len()).collect(), longest: micro_batch.longest }
        });
        let cut = renumbered.collect();
        Part { sequences: ids, cut }
    };
    (0..PARTS.min(cut.len())).map(part).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of posts and tokens are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::micro_batch::Cutter;
    use super::*;

    #[test]
    fn dealt_parts_hold_every_text_once_in_the_micro_batches_it_was_cut_into() {
        let sequences: Vec<TokenIds> = (0..500_u32).map(|id| vec![id; 3 + id as usize % 40].into()).collect();
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
        let cut = Cutter { budget: 128, overhead: 16 }.cut(&lengths);
        let parts = deal(&sequences, &cut);
        assert_eq!(parts.len(), PARTS);
        let mut seen: Vec<u32> = Vec::new();
        for part in &parts {
            for micro_batch in &part.cut {
                let texts = micro_batch.indices.iter().map(|&index| &part.sequences[index]);
                assert_eq!(texts.clone().map(|ids| ids.len()).max(), Some(micro_batch.longest));
                seen.extend(texts.map(|ids| ids[0]));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        assert_eq!(parts.iter().map(|part| part.cut.len()).sum::<usize>(), cut.len());
    }
}
