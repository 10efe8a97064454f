//! What the runtime alone can do: the yardstick that the whole pipeline is measured against.
//!
//! Same sessions, same options; tokenizing, sorting and cutting done beforehand, over all texts
//! at once, nothing merged or cached.

use std::time::{Duration, Instant};

use super::load::Loaded;
use super::micro_batch::MicroBatch;
use super::{ClassifierDown, TokenIds};

/// What the runtime alone did.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Posts run, those that a pass repeats counted again.
    pub posts: usize,
    /// Time it took.
    pub elapsed: Duration,
    /// Posts a second.
    pub posts_per_second: f64,
    /// Share of the padded tokens that are padding.
    pub padding_waste: f64,
    /// Sum of the sessions' busy time.
    pub busy: Duration,
}

/// Runs texts in ideal micro-batches, pass after pass, until `duration` is over; the pass that
/// is running then is finished.
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

    let started = Instant::now();
    let mut posts = 0;
    let mut busy = Duration::ZERO;
    loop {
        let ran = onnx.pool().run(sequences.clone(), cut.clone())?;
        posts += sequences.len();
        busy += ran.busy;
        if started.elapsed() >= duration {
            break;
        }
    }
    let elapsed = started.elapsed();
    Ok(Baseline {
        posts,
        elapsed,
        posts_per_second: ratio(posts, 1) / elapsed.as_secs_f64(),
        padding_waste: 1.0 - ratio(lengths.iter().sum(), padded),
        busy,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of posts and tokens are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
