//! One lane on a real broker, exactly once, with a classifier that does nothing: what the plumbing can carry.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::Context;
use serde::Serialize;

use super::machine::Machine;
use super::rig::{Posts, Rig};
use crate::config::Config;
use crate::inference::{Bundle, NullClassifier};

/// What a lane carried.
#[derive(Debug, Serialize)]
pub struct LaneFigures {
    /// Where.
    pub machine: Machine,
    /// Posts measured, the first batches left out.
    pub posts: u64,
    /// Posts per batch at most.
    pub batch: usize,
    /// Posts a second.
    pub posts_per_second: f64,
    /// Whether the texts were tokenized.
    pub tokenized: bool,
}

impl fmt::Display for LaneFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokenizing = if self.tokenized { "tokenizing" } else { "no tokenizing" };
        writeln!(f, "{}", self.machine)?;
        write!(
            f,
            "one lane, null classifier, {tokenizing}, batches of {}: {:.0} posts/s over {} posts",
            self.batch, self.posts_per_second, self.posts
        )
    }
}

/// Measures one lane over `count` posts in batches of `batch`.
///
/// # Errors
/// When the broker or the worker fails.
pub async fn lane(
    mut config: Config,
    posts: &Posts,
    count: usize,
    batch: NonZeroUsize,
    tokenize: bool,
) -> anyhow::Result<LaneFigures> {
    config.worker.lanes = NonZeroUsize::MIN;
    config.batch.max_posts = batch;
    let rig = Rig::new(config, 1).await?;
    tracing::info!(count, "filling the topic");
    rig.fill(posts, count, 1)?;
    let classifier = if tokenize {
        NullClassifier::with_tokenizer(&Bundle::open(&rig.config.model.path)?)?
    } else {
        NullClassifier::new()
    };
    let run = rig.work(&classifier, 1).await?;
    // The batch size doubles up to its limit first.
    run.wait(8 * batch.get() as u64, None).await?;
    let (first, started) = (run.labelled(), Instant::now());
    run.wait(count as u64, None).await?;
    let (posts, elapsed) = (run.labelled() - first, started.elapsed());
    run.worker.stop().await.context("the worker did not stop")?;
    rig.remove().await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of posts")]
    let posts_per_second = posts as f64 / elapsed.as_secs_f64();
    let machine = Machine::here();
    Ok(LaneFigures { machine, posts, batch: batch.get(), posts_per_second, tokenized: tokenize })
}
