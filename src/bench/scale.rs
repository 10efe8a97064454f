//! How throughput grows with the number of workers: processes of one group on one topic of sixteen partitions, each
//! with an accelerator of its own that is simulated ([`Accelerator`]). The processors do all the rest: reading,
//! decoding, tokenizing, encoding, transactions, and the broker.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use super::accelerator::Accelerator;
use super::cpu::{Cpu, IDLE};
use super::machine::Machine;
use super::rig::{PATIENCE, Posts, Rig, Run};
use crate::config::Config;
use crate::inference::Bundle;

/// Partitions of the topic: two for each lane of eight workers.
const PARTITIONS: i32 = 16;
/// Lanes of a worker: while one waits for the accelerator, the other prepares its next batch.
const LANES: usize = 2;
/// From the last worker's joining to the first figure.
const WARM_UP: Duration = Duration::from_secs(6);
/// Posts in the topic, as a multiple of what the accelerators can do meanwhile.
const SPARE: f64 = 1.25;
/// How often a worker tells how many posts it has labelled.
const TELL: Duration = Duration::from_millis(100);
/// What a worker tells before it has its partitions.
const JOINING: i64 = -1;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ScaleFigures {
    machine: Machine,
    partitions: i32,
    lanes: usize,
    /// Microseconds that an accelerator works on a post.
    wait_per_post_us: f64,
    /// Measured so long each.
    seconds: u64,
    rounds: Vec<Round>,
}

/// One number of workers.
#[derive(Debug, Serialize)]
struct Round {
    workers: usize,
    posts_per_second: f64,
    /// Of what the first round's workers would do, were there as many.
    of_linear: f64,
    /// Of what the accelerators can do.
    of_accelerators: f64,
    /// Share of all cores that was in use, by everything on the machine, the broker included.
    processors_busy: Option<f64>,
}

/// Measures each number of workers in turn. `arguments` are those that make a process use this configuration.
///
/// # Errors
/// When the broker or a worker fails.
pub async fn scale(
    config: Config,
    posts: &Posts,
    arguments: &[String],
    workers: &[NonZeroUsize],
    per_post: Duration,
    measured: Duration,
) -> anyhow::Result<ScaleFigures> {
    let mut rounds: Vec<Round> = Vec::new();
    for workers in workers {
        let (rate, processors_busy) = round(&config, posts, arguments, workers.get(), per_post, measured).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of workers")]
        let count = workers.get() as f64;
        #[expect(clippy::cast_precision_loss, reason = "a count of workers")]
        let alone = rounds.first().map_or(rate / count, |first| first.posts_per_second / first.workers as f64);
        tracing::info!(workers, rate, "measured");
        rounds.push(Round {
            workers: workers.get(),
            posts_per_second: rate,
            of_linear: rate / (count * alone),
            of_accelerators: rate * per_post.as_secs_f64() / count,
            processors_busy,
        });
    }
    Ok(ScaleFigures {
        machine: Machine::here(),
        partitions: PARTITIONS,
        lanes: LANES,
        wait_per_post_us: per_post.as_secs_f64() * 1e6,
        seconds: measured.as_secs(),
        rounds,
    })
}

/// Posts a second of so many workers, and the share of the processors that was in use.
async fn round(
    config: &Config,
    posts: &Posts,
    arguments: &[String],
    workers: usize,
    per_post: Duration,
    measured: Duration,
) -> anyhow::Result<(f64, Option<f64>)> {
    let rig = Rig::new(config.clone(), PARTITIONS).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of workers")]
    let capacity = workers as f64 * (measured + WARM_UP + PATIENCE / 4).as_secs_f64() / per_post.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of posts")]
    let count = (capacity * SPARE) as usize;
    tracing::info!(workers, count, "filling the topic");
    rig.fill(posts, count, PARTITIONS)?;

    let start = |number| Process::start(&rig.config, arguments, number, per_post);
    let processes = (0..workers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let labelled = || processes.iter().map(Process::labelled).sum::<anyhow::Result<i64>>();
    let give_up = Instant::now() + PATIENCE;
    while processes.iter().any(|process| process.told.load(Ordering::Relaxed) == JOINING) {
        if Instant::now() > give_up {
            bail!("not all of {workers} workers have joined after {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(TELL).await;
    }
    tokio::time::sleep(WARM_UP).await;
    let (first, begin, cpu) = (labelled()?, Instant::now(), Cpu::now());
    tokio::time::sleep(measured).await;
    let (last, elapsed) = (labelled()?, begin.elapsed());
    let cpu = Cpu::now().zip(cpu).map(|(last, first)| 1.0 - last.since(&first).of(IDLE));
    if usize::try_from(last)? >= count {
        bail!("the workers ran out of posts: {count} were too few");
    }
    for process in processes {
        process.stop()?;
    }
    rig.remove().await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of posts")]
    let posts = (last - first) as f64;
    Ok((posts / elapsed.as_secs_f64(), cpu))
}

/// A worker in a process of its own.
struct Process {
    child: Child,
    /// It works until this is closed.
    input: ChildStdin,
    /// What it has told: posts labelled, or [`JOINING`].
    told: Arc<AtomicI64>,
}

impl Process {
    fn start(config: &Config, arguments: &[String], number: usize, per_post: Duration) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is unknown")?;
        let settings = [
            ("kafka.group", config.kafka.group.clone()),
            ("input.topics", config.input.topics.join(",")),
            ("output.topic", config.output.topic.clone()),
            ("dead_letter.topic", config.dead_letter.topic.clone()),
            ("worker.instance", format!("worker-{number}")),
            ("worker.lanes", LANES.to_string()),
            ("input.start", "earliest".to_owned()),
            ("input.other_languages", "label".to_owned()),
        ];
        let mut command = Command::new(program);
        command.args(["bench", "scale-worker", "--wait-per-post"]).arg(format!("{}ns", per_post.as_nanos()));
        command.args(arguments);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("no worker can be started")?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("a worker has no pipes")?;
        let told = Arc::new(AtomicI64::new(JOINING));
        let into = told.clone();
        thread::Builder::new().name("worker-count".to_owned()).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(labelled) = line.parse() {
                    into.store(labelled, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { child, input, told })
    }

    fn labelled(&self) -> anyhow::Result<i64> {
        match self.told.load(Ordering::Relaxed) {
            JOINING => bail!("a worker has ended"),
            labelled => Ok(labelled),
        }
    }

    fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let status = self.child.wait().context("a worker's end is unknown")?;
        if !status.success() {
            bail!("a worker ended with {status}");
        }
        Ok(())
    }
}

/// The process of one worker: labels, and tells how many posts it has labelled, until its standard input ends.
///
/// # Errors
/// When the broker or the worker fails.
pub async fn scale_worker(config: Config, per_post: Duration) -> anyhow::Result<()> {
    let classifier = Accelerator::new(&Bundle::open(&config.model.path)?, per_post)?;
    let run = Run::start(&config, &classifier, 1).await?;
    let mut ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    run.joined().await?;
    loop {
        #[expect(clippy::print_stdout, reason = "the process that started this one reads it")]
        {
            println!("{}", run.labelled());
        }
        tokio::select! {
            _ = &mut ended => break,
            () = tokio::time::sleep(TELL) => {}
        }
    }
    run.worker.stop().await.context("the worker did not stop")
}

impl fmt::Display for ScaleFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, partitions, lanes, wait_per_post_us, seconds, rounds } = self;
        writeln!(f, "{machine}")?;
        writeln!(
            f,
            "{partitions} partitions, {lanes} lanes a worker, an accelerator each that takes {wait_per_post_us:.0} µs for a \
             post (simulated), {seconds} s each\n"
        )?;
        write!(f, "  workers   posts/s   of linear   of accelerators   processors in use")?;
        for Round { workers, posts_per_second, of_linear, of_accelerators, processors_busy } in rounds {
            let busy = processors_busy.map_or_else(|| "–".to_owned(), |busy| format!("{:.0} %", busy * 100.0));
            write!(f, "\n  {workers:>7}{posts_per_second:>10.0}{of_linear:>12.3}{of_accelerators:>18.3}{busy:>20}")?;
        }
        Ok(())
    }
}
