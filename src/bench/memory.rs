//! Peak resident memory of a worker on a large backlog: it must follow from the configuration, not from the backlog (I8).

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::machine::{Machine, ModelUsed};
use super::rig::{Posts, Rig};
use crate::config::Config;
use crate::inference::{self, Bundle, NullClassifier};

const PARTITIONS: i32 = 4;

/// Resident memory in MB (10⁶ bytes), the benchmark's own posts included.
#[derive(Debug, Serialize)]
pub struct MemoryFigures {
    machine: Machine,
    model: ModelUsed,
    backlog: usize,
    /// With the topic filled, before any worker.
    before: f64,
    /// Highest with the null classifier, which tokenizes, over the whole backlog.
    null: f64,
    /// Highest with the model, for some time.
    real: f64,
    seconds: u64,
}

impl fmt::Display for MemoryFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, model, backlog, before, null, real, seconds } = self;
        writeln!(f, "{machine}\n{model}")?;
        writeln!(f, "peak resident memory, a backlog of {backlog} posts; {before:.0} MB of it before a worker starts")?;
        writeln!(f, "  {:<32}{null:>6.0} MB", "null classifier, whole backlog")?;
        write!(f, "  {:<32}{real:>6.0} MB", format!("the model, {seconds} s"))
    }
}

/// Runs the null classifier over `backlog` posts, then the model for `seconds` over as many; everything as configured,
/// the cache included.
///
/// # Errors
/// When the model, the broker or the worker fails, or the system does not tell its memory.
pub async fn memory(config: Config, posts: &Posts, backlog: usize, seconds: Duration) -> anyhow::Result<MemoryFigures> {
    let bundle = Bundle::open(&config.model.path)?;
    let rig = Rig::new(config.clone(), PARTITIONS).await?;
    tracing::info!(backlog, "filling the topic");
    rig.fill(posts, backlog, PARTITIONS)?;
    let before = resident()?;
    forget_peak()?;
    let null = NullClassifier::with_tokenizer(&bundle)?;
    let run = rig.work(&null, 1).await?;
    run.wait(backlog as u64, None).await?;
    let null = peak()?;
    run.worker.stop().await.context("the worker did not stop")?;
    rig.remove().await?;

    let loaded = inference::load(&config.model, &config.inference)?;
    let rig = Rig::new(config.clone(), PARTITIONS).await?;
    rig.fill(posts, backlog, PARTITIONS)?;
    forget_peak()?;
    let run = rig.work(&*loaded.classifier, loaded.sessions).await?;
    run.wait(1, None).await?;
    let started = Instant::now();
    run.wait(backlog as u64, Some(started + seconds)).await?;
    let (real, seconds) = (peak()?, started.elapsed());
    run.worker.stop().await.context("the worker did not stop")?;
    rig.remove().await?;
    Ok(MemoryFigures {
        machine: Machine::here(),
        model: ModelUsed::new(&loaded),
        backlog,
        before,
        null,
        real,
        seconds: seconds.as_secs(),
    })
}

#[cfg(target_os = "linux")]
fn status(field: impl Fn(&procfs::process::Status) -> Option<u64>) -> anyhow::Result<f64> {
    let status = procfs::process::Process::myself()?.status()?;
    let kib = field(&status).context("/proc/self/status does not tell the resident memory")?;
    #[expect(clippy::cast_precision_loss, reason = "a count of KiB")]
    Ok(kib as f64 * 1024.0 / 1e6)
}

#[cfg(target_os = "linux")]
fn resident() -> anyhow::Result<f64> {
    status(|status| status.vmrss)
}

/// The most since [`forget_peak`].
#[cfg(target_os = "linux")]
pub(super) fn peak() -> anyhow::Result<f64> {
    status(|status| status.vmhwm)
}

/// Starts the peak anew, see proc(5) on `clear_refs`.
#[cfg(target_os = "linux")]
pub(super) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("cannot start the peak of the resident memory anew")
}

#[cfg(not(target_os = "linux"))]
fn resident() -> anyhow::Result<f64> {
    anyhow::bail!("resident memory is read from /proc, which this system does not have")
}

#[cfg(not(target_os = "linux"))]
pub(super) fn peak() -> anyhow::Result<f64> {
    resident()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget_peak() -> anyhow::Result<()> {
    resident().map(drop)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_of_the_time_since_it_was_forgotten() {
        let much = std::hint::black_box(vec![1_u8; 200 << 20]);
        let high = peak().expect("told");
        assert!(high > 200.0);
        drop(much);
        // The allocator gives memory back a little later, while it is used.
        let started = Instant::now();
        while peak().expect("told") > high - 100.0 {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?} MB", peak());
            drop(std::hint::black_box(vec![1_u8; 1 << 20]));
            forget_peak().expect("allowed");
        }
    }
}
