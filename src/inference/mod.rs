//! From texts to scores: the model bundle, the tokenizer, micro-batches and the pool of sessions.
//!
//! ```text
//! texts ─► encode (lane's thread) ─► unique, not cached ─► micro-batches ─► session threads ─► scores in order
//! ```
//!
//! Keeps I5 (scores depend on text and model alone) and I9 (every output names its model).

mod baseline;
mod bisect;
mod bundle;
mod cache;
mod classifier;
mod encode;
mod error;
#[cfg(feature = "fault-injection")]
pub mod faulty;
mod golden;
mod library;
mod load;
mod manifest;
mod micro_batch;
mod null;
mod pool;
mod session;
mod shuffle;

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

pub use baseline::{Baseline, baseline};
pub(crate) use bundle::read_golden;
pub use bundle::{Bundle, GoldenText};
pub use encode::{EncodeError, Encoded, Encoder};
pub use error::{GoldenMismatch, ModelError};
pub use golden::{BATCH_TOLERANCE, Verification};
pub use library::{LibraryInfo, load as load_library};
pub use load::{Loaded, load};
pub use manifest::{InputNames, Manifest, Precision, Tolerance};
pub use micro_batch::{Cutter, MicroBatch};
pub use null::{NullClassifier, REFERENCE_LABELS};
pub use shuffle::{Shuffled, Worst, shuffle};

/// Token ids of one text.
type TokenIds = Arc<[u32]>;

/// Scores of one text, or why it has none.
type Answer = Result<Arc<[f32]>, String>;

/// Turns texts into scores. The worker's lanes share one.
pub trait Classifier: Send + Sync {
    /// What the classifier says about itself.
    fn model(&self) -> &ModelInfo;

    /// A classifier handle for one thread (tokenizer state is per thread).
    ///
    /// # Errors
    /// When the tokenizer cannot be set up.
    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>>;
}

/// A classifier as one lane's thread uses it.
pub trait LaneClassifier: Send {
    /// One verdict per text, in order.
    ///
    /// # Errors
    /// When the model itself is at fault: nothing can be said of any text.
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown>;
}

/// The identity of a model, as every output names it (I9).
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// The manifest's id.
    pub id: String,
    /// Content hash, 64 hex digits.
    pub hash: String,
    /// Labels in the order of the scores.
    pub labels: Vec<String>,
    /// A label is given when its score reaches its threshold.
    pub thresholds: Vec<f32>,
    /// Primary language subtags that the model knows; empty: all.
    pub languages: Vec<String>,
}

/// The verdicts on one batch of texts and what they cost.
#[derive(Debug)]
pub struct Classified {
    /// One per text, in order.
    pub verdicts: Vec<Verdict>,
    /// Where the time went.
    pub cost: Cost,
}

/// What became of one text.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Scored.
    Scored(Scored),
    /// The model failed on this text, and on this text alone.
    Failed {
        /// Why, without any of the text.
        reason: String,
    },
}

/// The scores of one text.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Probabilities (0 to 1), one per label, in the order of [`ModelInfo::labels`].
    pub scores: Arc<[f32]>,
    /// Tokens that the model saw, special ones included.
    pub token_count: usize,
    /// The text was longer than the model's `max_length`.
    pub truncated: bool,
}

/// What a batch cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Encoding texts into tokens.
    pub tokenize: Duration,
    /// Waiting for a session, first hand-over to first start.
    pub queue: Duration,
    /// From the first micro-batch's start to the last one's end.
    pub infer: Duration,
    /// Sum of the sessions' busy time.
    pub busy: Duration,
    /// Tokens of the texts that were run.
    pub tokens: usize,
    /// Tokens with padding: Σ longest × count.
    pub padded_tokens: usize,
    /// Micro-batches run.
    pub micro_batches: usize,
    /// Texts answered by the cache.
    pub cache_hits: usize,
    /// Texts equal to another one of the same batch.
    pub duplicates: usize,
    /// Runs that failed for lack of memory and were halved.
    pub out_of_memory: usize,
    /// Most padded tokens of a micro-batch, now; 0: the classifier has no such limit.
    pub token_budget: usize,
}

/// Of several batches; times of batches that ran beside each other are summed up all the same.
impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.tokenize += more.tokenize;
        self.queue += more.queue;
        self.infer += more.infer;
        self.busy += more.busy;
        self.tokens += more.tokens;
        self.padded_tokens += more.padded_tokens;
        self.micro_batches += more.micro_batches;
        self.cache_hits += more.cache_hits;
        self.duplicates += more.duplicates;
    }
}

/// The model cannot work at all: the caller pauses and keeps every post.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot classify: {reason}")]
pub struct ClassifierDown {
    /// Why.
    pub reason: String,
}
