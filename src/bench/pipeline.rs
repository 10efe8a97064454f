//! The whole pipeline against ONNX Runtime alone, in one run: baseline, pipeline, baseline.
//!
//! The baseline runs the same texts, tokenized, sorted and cut beforehand, through the same sessions. With an
//! opponent the order is baseline, pipeline, opponent, pipeline, baseline: a machine that drifts favours nobody.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use super::cpu::{Cpu, CpuShares, SESSIONS};
use super::feeder::Feeder;
use super::gpu::{GpuUse, GpuWatch};
use super::machine::{Machine, ModelUsed};
use super::python::Python;
use super::rig::{Posts, Rig, Run};
use crate::config::{Config, Inference, Provider};
use crate::inference::{self, Baseline, Loaded};
use crate::telemetry::Stage;

/// Partitions of the benchmark's topics, at least.
const PARTITIONS: usize = 4;
/// The same on the embedded broker, which holds little of each.
const EMBEDDED_PARTITIONS: usize = 16;
/// Time for the batch size to find its level.
const WARM_UP: Duration = Duration::from_secs(10);

/// Posts in the topic, as a multiple of what the first baseline could do: whoever is measured must not run out.
const SPARE: f64 = 3.0;

/// Where the pipeline is measured.
#[derive(Debug, Clone, Copy)]
pub enum Broker<'a> {
    /// On the configured cluster, and perhaps against another worker there.
    Cluster(Option<&'a Python>),
    /// On a broker inside the process, which shares its cores and neither writes to a disk nor marks transactions.
    Embedded,
}

/// What was measured, and with what.
#[derive(Debug, Serialize)]
pub struct PipelineFigures {
    machine: Machine,
    model: ModelUsed,
    /// `cluster` or `embedded`.
    broker: &'static str,
    /// Seconds of each measurement.
    seconds: u64,
    /// Distinct texts.
    texts: usize,
    tokens_per_post: f64,
    /// The runtime alone, before and after, posts a second.
    baseline: [f64; 2],
    baseline_padding_waste: f64,
    baseline_cpu: Option<CpuShares>,
    baseline_gpu: Option<GpuUse>,
    /// The whole pipeline; twice when there is an opponent.
    pipeline: Vec<Round>,
    /// The Python worker, posts a second.
    python: Option<f64>,
    python_cpu: Option<CpuShares>,
    /// Pipeline ÷ runtime alone, means of both.
    ratio: f64,
    /// Pipeline ÷ Python worker.
    ratio_to_python: Option<f64>,
    /// Processor time of the sessions for a post: in the pipeline ÷ alone.
    session_time_ratio: Option<f64>,
}

/// One measurement of the pipeline.
#[derive(Debug, Serialize)]
struct Round {
    /// Measured so long, from one commit to another.
    seconds: f64,
    posts_per_second: f64,
    /// Share of the padded tokens that are padding.
    padding_waste: f64,
    /// Posts of a batch, on average.
    batch_posts: f64,
    /// Share of the sessions' time that they had work.
    sessions_busy: f64,
    cpu: Option<CpuShares>,
    gpu: Option<GpuUse>,
    /// Milliseconds that a batch spent in each stage, on average; those of several lanes overlap.
    stage_milliseconds: Vec<(&'static str, f64)>,
}

/// Measures for `seconds` each.
///
/// # Errors
/// When the model, the broker, the worker or the opponent fails.
pub async fn pipeline(
    mut config: Config,
    posts: &Posts,
    seconds: Duration,
    broker: Broker<'_>,
) -> anyhow::Result<PipelineFigures> {
    if config.inference.provider == Provider::Cuda && matches!(broker, Broker::Cluster(Some(_))) {
        bail!("the Python worker runs on the processor: leave out --against with inference.provider = \"cuda\"");
    }
    // The texts come round again.
    config.inference.cache_entries = 0;
    let loaded = inference::load(&config.model, &config.inference)?;
    let before = alone(&loaded, &config.inference, posts, seconds)?;
    let rate = before.baseline.posts_per_second;
    let wanted = rate * (seconds + WARM_UP).as_secs_f64() * SPARE;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of posts")]
    let count = wanted as usize + 4096 * config.worker.lanes.get();

    let measured = Measured { config: &config, posts, count, loaded: &loaded, seconds };
    let mut rounds = Vec::new();
    let mut opponent = None;
    match broker {
        Broker::Embedded => rounds.push(measured.embedded().await?),
        Broker::Cluster(against) => {
            rounds.push(measured.cluster().await?);
            if let Some(python) = against {
                tracing::info!(seconds = seconds.as_secs(), "the Python worker");
                let partitions = measured.partitions(PARTITIONS)?;
                let rig = Rig::new(config.clone(), partitions).await?;
                rig.fill(posts, count, partitions)?;
                opponent = Some(python.run(&rig, &loaded, WARM_UP, seconds).await?);
                rig.remove().await?;
                rounds.push(measured.cluster().await?);
            }
        }
    }
    let after = alone(&loaded, &config.inference, posts, seconds)?.baseline;

    let baseline = [rate, after.posts_per_second];
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    let mean = rounds.iter().map(|round| round.posts_per_second).sum::<f64>() / rounds.len() as f64;
    let session_time = |cpu: &Option<CpuShares>, rate: f64| Some(cpu.as_ref()?.of(SESSIONS) / rate);
    let session_time_ratio = session_time(&rounds[0].cpu, rounds[0].posts_per_second)
        .zip(session_time(&before.cpu, baseline[0]))
        .map(|(pipeline, alone)| pipeline / alone);
    Ok(PipelineFigures {
        machine: Machine::here(),
        model: ModelUsed::new(&loaded),
        broker: match broker {
            Broker::Cluster(_) => "cluster",
            Broker::Embedded => "embedded",
        },
        seconds: seconds.as_secs(),
        texts: posts.len(),
        tokens_per_post: before.baseline.tokens_per_post,
        baseline,
        baseline_padding_waste: before.baseline.padding_waste,
        baseline_cpu: before.cpu,
        baseline_gpu: before.gpu,
        ratio: mean * 2.0 / (baseline[0] + baseline[1]),
        ratio_to_python: opponent.as_ref().map(|opponent| mean / opponent.posts_per_second),
        session_time_ratio,
        pipeline: rounds,
        python: opponent.as_ref().map(|opponent| opponent.posts_per_second),
        python_cpu: opponent.and_then(|opponent| opponent.cpu),
    })
}

/// The runtime alone, and who worked meanwhile.
struct Alone {
    baseline: Baseline,
    cpu: Option<CpuShares>,
    gpu: Option<GpuUse>,
}

fn alone(loaded: &Loaded, inference: &Inference, posts: &Posts, seconds: Duration) -> anyhow::Result<Alone> {
    tracing::info!(seconds = seconds.as_secs(), "ONNX Runtime alone");
    let (first, watch) = (Cpu::now(), GpuWatch::start(inference));
    let baseline = inference::baseline(loaded, &posts.texts(), seconds)?;
    let gpu = watch.and_then(GpuWatch::stop);
    let cpu = first.zip(Cpu::now()).map(|(first, last)| last.since(&first));
    Ok(Alone { baseline, cpu, gpu })
}

/// What the real worker is measured with, on topics of its own.
struct Measured<'a> {
    config: &'a Config,
    posts: &'a Posts,
    count: usize,
    loaded: &'a Loaded,
    seconds: Duration,
}

impl Measured<'_> {
    fn partitions(&self, least: usize) -> anyhow::Result<i32> {
        Ok(i32::try_from(shared_evenly(self.config.worker.lanes, least))?)
    }

    async fn cluster(&self) -> anyhow::Result<Round> {
        let partitions = self.partitions(PARTITIONS)?;
        let rig = Rig::new(self.config.clone(), partitions).await?;
        rig.fill(self.posts, self.count, partitions)?;
        let run = rig.work(&*self.loaded.classifier, self.loaded.sessions).await?;
        let round = self.round(run).await?;
        rig.remove().await?;
        Ok(round)
    }

    async fn embedded(&self) -> anyhow::Result<Round> {
        let partitions = self.partitions(EMBEDDED_PARTITIONS)?;
        let rig = Rig::embedded(self.config.clone(), partitions)?;
        let run = rig.work(&*self.loaded.classifier, self.loaded.sessions).await?;
        run.joined().await?;
        tracing::info!("every lane has its partitions");
        let feeder = Feeder::start(&rig, self.posts, &run, partitions)?;
        let round = self.round(run).await;
        feeder.stop()?;
        round
    }

    /// Measures a worker that has posts to label, and stops it.
    async fn round(&self, run: Run) -> anyhow::Result<Round> {
        let count = self.count as u64;
        tracing::info!(seconds = self.seconds.as_secs(), "the whole pipeline");
        run.wait(1, None).await?;
        // A quarter of the posts is warm-up enough, should the machine be much faster than a moment ago.
        run.wait(count / 4, Some(Instant::now() + WARM_UP)).await?;
        // Batches are committed as a whole: measured from one commit to another.
        run.wait(run.labelled() + 1, None).await?;
        let watch = GpuWatch::start(&self.config.inference);
        let (first, cpu, started) = (Snapshot::of(&run), Cpu::now(), Instant::now());
        run.wait(count, Some(started + self.seconds)).await?;
        run.wait(count.min(run.labelled() + 1), None).await?;
        let last = Snapshot::of(&run);
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = cpu.zip(Cpu::now()).map(|(first, last)| last.since(&first));
        let gpu = watch.and_then(GpuWatch::stop);
        run.worker.stop().await.context("the worker did not stop")?;
        let spent = last.since(&first);
        let stages = spent.stages.iter();
        Ok(Round {
            seconds: elapsed,
            posts_per_second: spent.posts / elapsed,
            padding_waste: 1.0 - spent.tokens / spent.padded_tokens,
            batch_posts: spent.posts / spent.transactions,
            sessions_busy: spent.busy / elapsed / f64::from(u32::try_from(self.loaded.sessions).unwrap_or(1)),
            cpu,
            gpu,
            stage_milliseconds: stages.map(|(name, time)| (*name, time / spent.transactions * 1e3)).collect(),
        })
    }
}

/// At least so many partitions, of which every lane gets as many: one with more would keep the others waiting.
fn shared_evenly(lanes: NonZeroUsize, least: usize) -> usize {
    lanes.get() * least.div_ceil(lanes.get())
}

/// The worker's counters at one moment.
struct Snapshot {
    posts: f64,
    tokens: f64,
    padded_tokens: f64,
    transactions: f64,
    busy: f64,
    /// Seconds in each stage.
    stages: Vec<(&'static str, f64)>,
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
            stages: stage_seconds(&metrics.encode()),
        }
    }

    fn since(self, first: &Self) -> Self {
        let stages = self.stages.iter().zip(&first.stages);
        Self {
            posts: self.posts - first.posts,
            tokens: self.tokens - first.tokens,
            padded_tokens: self.padded_tokens - first.padded_tokens,
            transactions: self.transactions - first.transactions,
            busy: self.busy - first.busy,
            stages: stages.map(|((name, last), (_, first))| (*name, last - first)).collect(),
        }
    }
}

/// The sums of the histogram of stages, as exported; its handles do not give them.
fn stage_seconds(exported: &str) -> Vec<(&'static str, f64)> {
    let sum = |stage: &Stage| {
        let prefix = format!("moodstream_stage_seconds_sum{{stage=\"{}\"}} ", stage.name());
        exported.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or(0.0)
    };
    Stage::ALL.iter().map(|stage| (stage.name(), sum(stage))).collect()
}

impl fmt::Display for PipelineFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "{}", self.model)?;
        let Self { texts, tokens_per_post, seconds, .. } = self;
        writeln!(f, "{texts} distinct texts of {tokens_per_post:.1} tokens, {seconds} s each, cache off\n")?;
        let mut row = |what: &str, rate: f64, note: &str| writeln!(f, "  {what:<32}{rate:>8.1} posts/s{note}");
        let padding = |waste: f64| format!("  padding {:.1} %", waste * 100.0);
        let pipeline = match self.broker {
            "embedded" => "whole pipeline, embedded broker",
            _ => "whole pipeline, exactly once",
        };
        row("ONNX Runtime alone", self.baseline[0], &padding(self.baseline_padding_waste))?;
        for (number, round) in self.pipeline.iter().enumerate() {
            if let (1, Some(python)) = (number, self.python) {
                row("careful Python worker", python, "")?;
            }
            let note = format!("{}, batches of {:.0}", padding(round.padding_waste), round.batch_posts);
            row(pipeline, round.posts_per_second, &note)?;
        }
        row("ONNX Runtime alone, again", self.baseline[1], "")?;
        writeln!(f, "\n  pipeline / ONNX Runtime alone   {:>8.3}", self.ratio)?;
        if let Some(ratio) = self.ratio_to_python {
            writeln!(f, "  pipeline / Python worker        {ratio:>8.3}")?;
        }
        write!(f, "\n  where the time goes, of all cores:")?;
        for (what, cpu) in [("ONNX Runtime alone", &self.baseline_cpu), ("pipeline", &self.pipeline[0].cpu)] {
            if let Some(cpu) = cpu {
                write!(f, "\n  {what}{cpu}")?;
            }
        }
        if let Some(cpu) = &self.python_cpu {
            write!(f, "\n  Python worker{cpu}")?;
        }
        if let Some(ratio) = self.session_time_ratio {
            write!(f, "\n  the sessions' time for a post, in the pipeline / alone: {ratio:.3}")?;
        }
        for (what, gpu) in [("ONNX Runtime alone", &self.baseline_gpu), ("pipeline", &self.pipeline[0].gpu)] {
            if let Some(gpu) = gpu {
                write!(f, "\n  {what}: {gpu}")?;
            }
        }
        let busy = self.pipeline[0].sessions_busy * 100.0;
        write!(f, "\n  sessions had work {busy:.0} % of the time; a batch's way through its lane, in ms:\n   ")?;
        for (stage, time) in &self.pipeline[0].stage_milliseconds {
            write!(f, " {stage} {time:.1}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn no_lane_gets_more_partitions_than_another() {
        let partitions = |lanes, least| shared_evenly(NonZeroUsize::new(lanes).expect("some"), least);
        assert_eq!([partitions(2, 4), partitions(3, 4), partitions(8, 4), partitions(12, 16)], [4, 6, 8, 24]);
    }

    #[test]
    fn the_time_of_each_stage_is_found_in_what_is_exported() {
        let metrics = Metrics::new();
        metrics.stage(Stage::Tokenize, Duration::from_millis(1500));
        metrics.stage(Stage::Tokenize, Duration::from_millis(500));
        let found = stage_seconds(&metrics.encode());
        assert_eq!(found.iter().find(|(stage, _)| *stage == "tokenize"), Some(&("tokenize", 2.0)));
        assert_eq!(found.len(), Stage::ALL.len());
    }
}
