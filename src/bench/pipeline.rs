//! The whole pipeline against ONNX Runtime alone, in one run: baseline, pipeline, baseline.
//!
//! The baseline runs the same texts, tokenized, sorted and cut beforehand, through the same sessions.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::rig::{Posts, Rig, Run};
use crate::config::Config;
use crate::inference::{self, Baseline, Loaded};

/// Partitions of the benchmark's topics.
const PARTITIONS: i32 = 4;
/// Time for the batch size to find its level.
const WARM_UP: Duration = Duration::from_secs(10);

/// Both absolutes and what lies between them.
#[derive(Debug)]
pub struct PipelineFigures {
    /// Model id.
    pub model: String,
    /// Execution provider and number of sessions.
    pub provider: String,
    /// The runtime alone, before and after.
    pub baseline: [f64; 2],
    /// The pipeline, posts a second.
    pub pipeline: f64,
    /// Share of the padded tokens that are padding, in the pipeline.
    pub padding_waste: f64,
    /// The same in the baseline.
    pub baseline_padding_waste: f64,
    /// Posts per batch, on average.
    pub batch_posts: f64,
    /// Share of the sessions' time that they were at work.
    pub sessions_busy: f64,
}

impl PipelineFigures {
    /// Pipeline ÷ mean of the two baselines.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.pipeline * 2.0 / (self.baseline[0] + self.baseline[1])
    }
}

impl fmt::Display for PipelineFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.baseline;
        writeln!(f, "model {}, {}", self.model, self.provider)?;
        writeln!(
            f,
            "  ONNX Runtime alone, before    {before:>9.0} posts/s  (padding {:.1} %)",
            self.baseline_padding_waste * 100.0
        )?;
        writeln!(
            f,
            "  whole pipeline, exactly once  {:>9.0} posts/s  (padding {:.1} %)",
            self.pipeline,
            self.padding_waste * 100.0
        )?;
        writeln!(f, "  ONNX Runtime alone, after     {after:>9.0} posts/s")?;
        writeln!(f, "  pipeline / runtime alone      {:>9.3}", self.ratio())?;
        write!(
            f,
            "  batches of {:.0} posts; sessions busy {:.0} % of the time",
            self.batch_posts,
            self.sessions_busy * 100.0
        )
    }
}

/// Measures for `seconds` each.
///
/// # Errors
/// When the model, the broker or the worker fails.
pub async fn pipeline(config: Config, posts: &Posts, seconds: Duration) -> anyhow::Result<PipelineFigures> {
    let rig = Rig::new(config, PARTITIONS).await?;
    let loaded = inference::load(&rig.config.model, &rig.config.inference)?;
    let before = alone(&loaded, posts, seconds)?;
    let wanted = before.posts_per_second * (seconds + WARM_UP).as_secs_f64() * 1.3;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of posts")]
    let count = wanted as usize + 4096 * rig.config.worker.lanes.get();
    rig.fill(posts, count, PARTITIONS)?;
    let run = rig.work(&*loaded.classifier, loaded.sessions).await?;
    run.wait(1, None).await?;
    run.wait(u64::MAX, Some(Instant::now() + WARM_UP)).await?;
    // Batches are committed as a whole: measured from one commit to another.
    run.wait(run.labelled() + 1, None).await?;
    let (first, started) = (Snapshot::of(&run), Instant::now());
    run.wait(count as u64, Some(started + seconds)).await?;
    run.wait((count as u64).min(run.labelled() + 1), None).await?;
    let last = Snapshot::of(&run);
    let elapsed = started.elapsed().as_secs_f64();
    run.worker.stop().await.context("the worker did not stop")?;
    rig.remove().await?;
    let after = alone(&loaded, posts, seconds)?;
    let spent = last.since(&first);
    Ok(PipelineFigures {
        model: loaded.classifier.model().id.clone(),
        provider: format!("{}, {} sessions", loaded.provider, loaded.sessions),
        baseline: [before.posts_per_second, after.posts_per_second],
        pipeline: spent.posts / elapsed,
        padding_waste: 1.0 - spent.tokens / spent.padded_tokens,
        baseline_padding_waste: before.padding_waste,
        batch_posts: spent.posts / spent.transactions,
        sessions_busy: spent.busy / elapsed / f64::from(u32::try_from(loaded.sessions).unwrap_or(1)),
    })
}

fn alone(loaded: &Loaded, posts: &Posts, seconds: Duration) -> anyhow::Result<Baseline> {
    tracing::info!(seconds = seconds.as_secs(), "ONNX Runtime alone");
    Ok(inference::baseline(loaded, &posts.texts(), seconds)?)
}

/// The worker's counters at one moment.
struct Snapshot {
    posts: f64,
    tokens: f64,
    padded_tokens: f64,
    transactions: f64,
    busy: f64,
}

impl Snapshot {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn of(run: &Run) -> Self {
        let metrics = &run.metrics;
        Self {
            posts: run.labelled() as f64,
            tokens: metrics.tokens.get() as f64,
            padded_tokens: metrics.padded_tokens.get() as f64,
            transactions: metrics.transactions.of(["committed"]).get() as f64,
            busy: metrics.session_busy_seconds.get(),
        }
    }

    fn since(&self, first: &Self) -> Self {
        Self {
            posts: self.posts - first.posts,
            tokens: self.tokens - first.tokens,
            padded_tokens: self.padded_tokens - first.padded_tokens,
            transactions: self.transactions - first.transactions,
            busy: self.busy - first.busy,
        }
    }
}
