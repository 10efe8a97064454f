//! The careful Python worker of tools/python-worker on the same topic, for comparison.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::sync::mpsc;

use super::cpu::{Cpu, CpuShares};
use super::rig::{PATIENCE, Rig};
use crate::inference::Loaded;

/// Its program, built in, so that a figure belongs to the version that printed it.
const PROGRAM: &str = include_str!("../../tools/python-worker/worker.py");
/// Posts of one of its batches.
const BATCH: usize = 1024;

/// An interpreter that has the packages of tools/python-worker/requirements.txt.
#[derive(Debug, Clone)]
pub struct Python(PathBuf);

/// What it did.
pub(super) struct PythonFigures {
    pub(super) posts_per_second: f64,
    pub(super) cpu: Option<CpuShares>,
}

impl Python {
    /// Looks whether the interpreter has what the worker needs.
    ///
    /// # Errors
    /// When it cannot be started or lacks a package.
    pub fn find(interpreter: &Path) -> anyhow::Result<Self> {
        let advice = || {
            format!(
                "{} cannot run the Python worker; `make python-worker` makes its environment",
                interpreter.display()
            )
        };
        let program = "import confluent_kafka, numpy, onnxruntime, orjson, tokenizers";
        let tried = Command::new(interpreter).args(["-c", program]).output().with_context(advice)?;
        if !tried.status.success() {
            let said = String::from_utf8_lossy(&tried.stderr);
            return Err(anyhow::anyhow!("{}", said.lines().last().unwrap_or("it fails"))).with_context(advice);
        }
        Ok(Self(interpreter.to_path_buf()))
    }

    /// Lets it label the rig's topic for `seconds`, after `warm_up`.
    pub(super) async fn run(
        &self,
        rig: &Rig,
        loaded: &Loaded,
        warm_up: Duration,
        seconds: Duration,
    ) -> anyhow::Result<PythonFigures> {
        let config = json!({
            "brokers": rig.config.kafka.brokers, "group": rig.config.kafka.group,
            "input": rig.config.input.topics[0], "output": rig.config.output.topic,
            "model": rig.config.model.path, "sessions": loaded.sessions,
            "token_budget": loaded.token_budget, "batch": BATCH,
        });
        let mut command = Command::new(&self.0);
        command.args(["-c", PROGRAM, &config.to_string()]).env("TOKENIZERS_PARALLELISM", "false");
        let mut child = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut commits = child.commits()?;
        let begun = Instant::now();
        while next(&mut commits).await?.at.duration_since(begun) < warm_up {}
        let first = next(&mut commits).await?;
        let cpu = Cpu::now();
        let mut last = first;
        while last.at - first.at < seconds {
            last = next(&mut commits).await?;
        }
        let cpu = cpu.zip(Cpu::now()).map(|(first, last)| last.since(&first));
        #[expect(clippy::cast_precision_loss, reason = "a count of posts")]
        let posts_per_second = (last.posts - first.posts) as f64 / (last.at - first.at).as_secs_f64();
        Ok(PythonFigures { posts_per_second, cpu })
    }
}

/// So many posts were committed at that time.
#[derive(Clone, Copy)]
struct Commit {
    posts: u64,
    at: Instant,
}

/// Ended when it goes out of scope.
struct Running(Child);

impl Running {
    /// What it says after each commit.
    fn commits(&mut self) -> anyhow::Result<mpsc::UnboundedReceiver<Commit>> {
        let output = self.0.stdout.take().context("the Python worker has no standard output")?;
        // A line a second or so.
        let (sender, commits) = mpsc::unbounded_channel();
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(posts) = line.parse() else { continue };
                if sender.send(Commit { posts, at: Instant::now() }).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("python-output".to_owned()).spawn(read)?;
        Ok(commits)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn next(commits: &mut mpsc::UnboundedReceiver<Commit>) -> anyhow::Result<Commit> {
    match tokio::time::timeout(PATIENCE, commits.recv()).await {
        Ok(Some(commit)) => Ok(commit),
        Ok(None) => bail!("the Python worker has ended; what it said stands above"),
        Err(_) => bail!("the Python worker has committed nothing for {} s", PATIENCE.as_secs()),
    }
}
