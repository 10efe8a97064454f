//! The classifier that production runs: encode, deduplicate, look up, cut, run, remember.
//!
//! Texts with equal token ids get equal scores (I5), so they are run once; only when start-up
//! has shown that this model's scores do not depend on the batch.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use super::cache::ScoreCache;
use super::encode::{EncodeError, Encoded, Encoder};
use super::micro_batch::{Cutter, MicroBatch};
use super::pool::Pool;
use super::{
    Answer, Classified, Classifier, ClassifierDown, Cost, LaneClassifier, ModelInfo, Scored, TokenIds, Verdict,
};

/// One ONNX model behind a pool of sessions.
pub(super) struct OnnxClassifier {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    encoder: Encoder,
    cutter: Cutter,
    pool: Pool,
    /// None: the model's scores depend on the batch, so every text is run.
    reuse: Option<Reuse>,
}

/// What is done so that a text is run once.
struct Reuse {
    cache: Option<ScoreCache>,
}

/// The classifier as one lane has it.
struct OnnxLane {
    encoder: Encoder,
    inner: Arc<Inner>,
}

/// The texts of a batch, those with equal token ids together.
struct Unique {
    /// Per text, the sequence that it is.
    slots: Vec<Result<(usize, bool), EncodeError>>,
    sequences: Vec<TokenIds>,
}

impl OnnxClassifier {
    pub(super) fn new(
        info: ModelInfo,
        encoder: Encoder,
        cutter: Cutter,
        pool: Pool,
        batch_independent: bool,
        cache_entries: usize,
    ) -> Self {
        let reuse = batch_independent.then(|| Reuse { cache: NonZeroUsize::new(cache_entries).map(ScoreCache::new) });
        Self { inner: Arc::new(Inner { info, encoder, cutter, pool, reuse }) }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.inner.encoder
    }

    pub(super) fn cutter(&self) -> Cutter {
        self.inner.cutter()
    }
}

impl Classifier for OnnxClassifier {
    fn model(&self) -> &ModelInfo {
        &self.inner.info
    }

    fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
        let inner = Arc::clone(&self.inner);
        Ok(Box::new(OnnxLane { encoder: inner.encoder.clone(), inner }))
    }
}

impl LaneClassifier for OnnxLane {
    fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
        let mut cost = Cost::default();
        let started = Instant::now();
        let encoded = texts.iter().map(|text| self.encoder.encode(text)).collect();
        cost.tokenize = started.elapsed();

        let Unique { slots, sequences } = unique(encoded, self.inner.reuse.is_some());
        cost.duplicates = slots.iter().filter(|slot| slot.is_ok()).count() - sequences.len();
        let answers = self.inner.answer(&sequences, &mut cost)?;

        let verdicts = slots.into_iter().map(|slot| match slot {
            Ok((index, truncated)) => match &answers[index] {
                Ok(scores) => Verdict::Scored(Scored {
                    scores: Arc::clone(scores),
                    token_count: sequences[index].len(),
                    truncated,
                }),
                Err(reason) => Verdict::Failed { reason: reason.clone() },
            },
            Err(error) => Verdict::Failed { reason: error.to_string() },
        });
        Ok(Classified { verdicts: verdicts.collect(), cost })
    }
}

impl Inner {
    /// Scores of every sequence, or why it has none: from the cache, else from the sessions.
    fn answer(&self, sequences: &[TokenIds], cost: &mut Cost) -> Result<Vec<Answer>, ClassifierDown> {
        let cache = self.reuse.as_ref().and_then(|reuse| reuse.cache.as_ref());
        let known = cache.map_or_else(|| vec![None; sequences.len()], |cache| cache.lookup(sequences));
        let missing: Vec<usize> = (0..known.len()).filter(|&index| known[index].is_none()).collect();
        cost.cache_hits = known.len() - missing.len();

        let to_run: Vec<TokenIds> = missing.iter().map(|&index| Arc::clone(&sequences[index])).collect();
        cost.tokens = to_run.iter().map(|ids| ids.len()).sum();
        let cut = self.cut(&to_run, cost.tokens);
        let ran = self.pool.run(to_run, cut)?;
        cost.queue = ran.queue;
        cost.infer = ran.infer;
        cost.busy = ran.busy;
        cost.padded_tokens = ran.padded_tokens;
        cost.micro_batches = ran.runs;
        cost.out_of_memory = ran.out_of_memory;
        cost.token_budget = self.cutter().budget;
        if ran.out_of_memory > 0 {
            tracing::warn!(
                runs = ran.out_of_memory,
                token_budget = cost.token_budget,
                "micro-batches did not fit the device's memory and were halved; smaller ones from now on"
            );
        }

        if let Some(cache) = cache {
            let scored = missing.iter().zip(&ran.results).filter_map(|(&index, result)| {
                let scores = result.as_ref().ok()?;
                Some((Arc::clone(&sequences[index]), Arc::clone(scores)))
            });
            cache.insert(scored);
        }
        let mut fresh = ran.results.into_iter();
        let answers = known.into_iter().map(|known| known.map(Ok).or_else(|| fresh.next()));
        answers
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| ClassifierDown { reason: "a text was left without an answer".to_owned() })
    }

    /// How batches are cut, after what did not fit the device's memory.
    fn cutter(&self) -> Cutter {
        Cutter { budget: self.cutter.budget.min(self.pool.room()), ..self.cutter }
    }

    /// Cuts a batch; a small one into as many micro-batches as there are sessions, so that it is
    /// done sooner, but not so small that the overhead of each is an eighth of its work.
    fn cut(&self, sequences: &[TokenIds], tokens: usize) -> Vec<MicroBatch> {
        let cutter = self.cutter();
        let share = tokens.div_ceil(self.pool.sessions()).max(8 * cutter.overhead);
        let cutter = Cutter { budget: cutter.budget.min(share), ..cutter };
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
        cutter.cut(&lengths)
    }
}

/// Groups texts by their token ids; each is a group of its own when they must not be merged.
fn unique(encoded: Vec<Result<Encoded, EncodeError>>, merge: bool) -> Unique {
    let mut sequences = Vec::with_capacity(encoded.len());
    let mut seen: HashMap<TokenIds, usize> = HashMap::new();
    let slots = encoded.into_iter().map(|encoded| {
        let Encoded { ids, truncated } = encoded?;
        let next = sequences.len();
        let index = if merge { *seen.entry(Arc::clone(&ids)).or_insert(next) } else { next };
        if index == next {
            sequences.push(ids);
        }
        Ok((index, truncated))
    });
    Unique { slots: slots.collect(), sequences }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(ids: &[u32], truncated: bool) -> Encoded {
        Encoded { ids: ids.into(), truncated }
    }

    #[test]
    fn equal_ids_share_a_sequence_and_keep_their_own_truncation() {
        let encoded = vec![
            Ok(encoded(&[1, 2], false)),
            Err(EncodeError::Refused),
            Ok(encoded(&[3], false)),
            Ok(encoded(&[1, 2], true)),
        ];
        let found = unique(encoded.clone(), true);
        assert_eq!(found.slots, [Ok((0, false)), Err(EncodeError::Refused), Ok((1, false)), Ok((0, true))]);
        assert_eq!(found.sequences.len(), 2);
        let found = unique(encoded, false);
        assert_eq!(found.slots[3], Ok((2, true)));
        assert_eq!(found.sequences.len(), 3);
    }
}
