//! `moodstream label` against ONNX Runtime alone, in one run: baseline, label, baseline.
//!
//! From a file to a file, as a user would: reading, decoding, tokenizing, encoding and writing are all in the figure,
//! start-up of the model is not. The texts are distinct within a batch and the cache is off.

use std::fmt;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::rig::Posts;
use crate::config::Config;
use crate::files::{self, Plan, Unfinished};
use crate::inference::{self, Baseline, Loaded};

/// Both absolutes and what lies between them.
#[derive(Debug)]
pub struct LabelFigures {
    /// Model id.
    pub model: String,
    /// Execution provider and number of sessions.
    pub provider: String,
    /// Lines labelled.
    pub lines: u64,
    /// Time that took, from opening the input to the output's having its name.
    pub elapsed: Duration,
    /// Lines a batch, on average.
    pub batch_lines: f64,
    /// Share of the sessions' time that they were at work.
    pub sessions_busy: f64,
    /// Share of the padded tokens that are padding.
    pub padding_waste: f64,
    /// The runtime alone, before and after.
    pub baseline: [Baseline; 2],
}

impl LabelFigures {
    /// Lines a second.
    #[must_use]
    pub fn lines_per_second(&self) -> f64 {
        float(self.lines) / self.elapsed.as_secs_f64()
    }

    /// `label` ÷ mean of the two baselines.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let [before, after] = self.baseline.map(|baseline| baseline.posts_per_second);
        self.lines_per_second() * 2.0 / (before + after)
    }
}

impl fmt::Display for LabelFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |name: &str, rate: f64, waste: f64| {
            format!("  {name:<30}  {rate:>9.0} posts/s  (padding {:.1} %)", waste * 100.0)
        };
        let [before, after] = self.baseline.map(|Baseline { posts_per_second, padding_waste, .. }| {
            row("ONNX Runtime alone", posts_per_second, padding_waste)
        });
        let own = row("moodstream label, file to file", self.lines_per_second(), self.padding_waste);
        writeln!(f, "model {}, {}\n{before}\n{own}\n{after}", self.model, self.provider)?;
        writeln!(f, "  {:<30}  {:>9.3}", "label / runtime alone", self.ratio())?;
        write!(
            f,
            "  {} lines in {:.1} s, batches of {:.0}; sessions busy {:.0} % of the time",
            self.lines,
            self.elapsed.as_secs_f64(),
            self.batch_lines,
            self.sessions_busy * 100.0
        )
    }
}

/// Measures for about `seconds` each.
///
/// # Errors
/// When the model fails, or the temporary folder cannot hold the posts and their labels.
pub fn label(mut config: Config, posts: &Posts, seconds: Duration) -> anyhow::Result<LabelFigures> {
    config.inference.cache_entries = 0;
    let loaded = inference::load(&config.model, &config.inference)?;
    let before = alone(&loaded, posts, seconds)?;
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let (input, output) = (folder.path().join("posts.jsonl"), folder.path().join("labelled.jsonl"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of posts")]
    let count = (before.posts_per_second * seconds.as_secs_f64()) as usize;
    fill(&input, posts, count.max(1)).context("the temporary folder cannot hold the posts")?;

    tracing::info!(count, "label, file to file");
    let plan = Plan::look(&[input], Some(&output), None, false)?;
    let started = Instant::now();
    let sinks = plan.open(&Unfinished::default())?;
    let done = files::label(&config, &*loaded.classifier, plan.inputs.clone(), sinks, |_| ())?;
    let elapsed = started.elapsed();

    let after = alone(&loaded, posts, seconds)?;
    let sessions = float(loaded.sessions as u64);
    Ok(LabelFigures {
        model: loaded.classifier.model().id.clone(),
        provider: format!("{}, {} sessions", loaded.provider, loaded.sessions),
        lines: done.counts.lines,
        elapsed,
        batch_lines: float(done.counts.lines) / float(done.batches.max(1)),
        sessions_busy: done.cost.busy.as_secs_f64() / elapsed.as_secs_f64() / sessions,
        padding_waste: 1.0 - float(done.cost.tokens as u64) / float(done.cost.padded_tokens.max(1) as u64),
        baseline: [before, after],
    })
}

fn alone(loaded: &Loaded, posts: &Posts, seconds: Duration) -> anyhow::Result<Baseline> {
    tracing::info!(seconds = seconds.as_secs(), "ONNX Runtime alone");
    Ok(inference::baseline(loaded, &posts.texts(), seconds)?)
}

/// A file of so many lines, the posts again and again.
fn fill(path: &std::path::Path, posts: &Posts, count: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for record in posts.records().iter().cycle().take(count) {
        file.write_all(record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
