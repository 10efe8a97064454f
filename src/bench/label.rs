//! `moodstream label` against ONNX Runtime alone, in one run: baseline, label, baseline.
//!
//! From a file to a file, as a user would: reading, decoding, tokenizing, encoding and writing are all in the figure,
//! start-up of the model is not. The texts are distinct within a batch and the cache is off.

use std::fmt;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::cpu::{Cpu, CpuShares};
use super::machine::{Machine, ModelUsed};
use super::rig::Posts;
use crate::config::{Config, OtherLanguages};
use crate::files::{self, Plan, Unfinished};
use crate::inference::{self, Baseline, Loaded};

/// Both absolutes and what lies between them.
#[derive(Debug, Serialize)]
pub struct LabelFigures {
    machine: Machine,
    model: ModelUsed,
    /// Distinct texts.
    texts: usize,
    tokens_per_post: f64,
    /// Lines labelled.
    lines: u64,
    /// Seconds that took, from opening the input to the output's having its name.
    seconds: f64,
    /// The runtime alone, before and after, posts a second.
    baseline: [f64; 2],
    baseline_padding_waste: f64,
    /// `label`, from a file to a file.
    lines_per_second: f64,
    /// `label` ÷ mean of the two baselines.
    ratio: f64,
    /// Lines of a batch, on average.
    batch_lines: f64,
    /// Share of the sessions' time that they had work.
    sessions_busy: f64,
    /// Share of the padded tokens that are padding.
    padding_waste: f64,
    cpu: Option<CpuShares>,
}

impl fmt::Display for LabelFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine, self.model)?;
        writeln!(f, "{} distinct texts of {:.1} tokens, cache off\n", self.texts, self.tokens_per_post)?;
        let mut row = |what: &str, rate: f64, waste: f64| {
            writeln!(f, "  {what:<32}{rate:>8.1} posts/s  padding {:.1} %", waste * 100.0)
        };
        row("ONNX Runtime alone", self.baseline[0], self.baseline_padding_waste)?;
        row("moodstream label, file to file", self.lines_per_second, self.padding_waste)?;
        row("ONNX Runtime alone, again", self.baseline[1], self.baseline_padding_waste)?;
        writeln!(f, "\n  {:<32}{:>8.3}", "label / ONNX Runtime alone", self.ratio)?;
        let (lines, seconds, busy) = (self.lines, self.seconds, self.sessions_busy * 100.0);
        write!(
            f,
            "  {lines} lines in {seconds:.1} s, batches of {:.0}; sessions had work {busy:.0} % of the time",
            self.batch_lines
        )?;
        self.cpu.as_ref().map_or(Ok(()), |cpu| write!(f, "\n\n  where the time goes, of all cores:{cpu}"))
    }
}

/// Measures for about `seconds` each.
///
/// # Errors
/// When the model fails, or the temporary folder cannot hold the posts and their labels.
pub fn label(mut config: Config, posts: &Posts, seconds: Duration) -> anyhow::Result<LabelFigures> {
    config.inference.cache_entries = 0;
    // What the model alone is measured on is labelled, whatever its language.
    config.input.other_languages = OtherLanguages::Label;
    let loaded = inference::load(&config.model, &config.inference)?;
    let before = alone(&loaded, posts, seconds)?;
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let (input, output) = (folder.path().join("posts.jsonl"), folder.path().join("labelled.jsonl"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of posts")]
    let count = (before.posts_per_second * seconds.as_secs_f64()) as usize;
    fill(&input, posts, count.max(1)).context("the temporary folder cannot hold the posts")?;

    tracing::info!(count, "label, file to file");
    let plan = Plan::look(&[input], Some(&output), None, false)?;
    let (cpu, started) = (Cpu::now(), Instant::now());
    let sinks = plan.open(&config, loaded.classifier.model(), &Unfinished::default())?;
    let done = files::label(&config, &*loaded.classifier, plan.inputs.clone(), sinks, |_| ())?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = cpu.zip(Cpu::now()).map(|(first, last)| last.since(&first));

    let after = alone(&loaded, posts, seconds)?;
    let sessions = float(loaded.sessions as u64);
    let baseline = [before.posts_per_second, after.posts_per_second];
    let lines_per_second = float(done.counts.lines) / elapsed;
    Ok(LabelFigures {
        machine: Machine::here(),
        model: ModelUsed::new(&loaded),
        texts: posts.len(),
        tokens_per_post: before.tokens_per_post,
        lines: done.counts.lines,
        seconds: elapsed,
        baseline,
        baseline_padding_waste: before.padding_waste,
        lines_per_second,
        ratio: lines_per_second * 2.0 / (baseline[0] + baseline[1]),
        batch_lines: float(done.counts.lines) / float(done.batches.max(1)),
        sessions_busy: done.cost.busy.as_secs_f64() / elapsed / sessions,
        padding_waste: 1.0 - float(done.cost.tokens as u64) / float(done.cost.padded_tokens.max(1) as u64),
        cpu,
    })
}

fn alone(loaded: &Loaded, posts: &Posts, seconds: Duration) -> anyhow::Result<Baseline> {
    tracing::info!(seconds = seconds.as_secs(), "ONNX Runtime alone");
    Ok(inference::baseline(loaded, &posts.texts(), seconds)?)
}

/// A file of so many lines, the posts again and again.
fn fill(path: &std::path::Path, posts: &Posts, count: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for record in posts.records().cycle().take(count) {
        file.write_all(record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
