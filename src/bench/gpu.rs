//! What the GPU did while something was measured, as `nvidia-smi` tells it; `None` where there is no such program.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Serialize;

use crate::config::{Inference, Provider};

/// What is asked for, in this order.
const QUERY: &str = "--query-gpu=utilization.gpu,memory.used,power.draw,clocks.sm";
/// Milliseconds between two looks.
const EVERY: &str = "--loop-ms=200";
/// Looks that are left out at first: the driver's utilisation is a mean over what was up to a second ago.
const STALE: usize = 6;

/// Means over a measurement, but for the memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GpuUse {
    /// Share of the time in which some kernel ran, 0 to 1; it says nothing of how much of the GPU that kernel used.
    pub utilisation: f64,
    /// Most memory in use, MiB, by whomever.
    pub memory_mib: f64,
    /// Watts.
    pub power: f64,
    /// Clock of the multiprocessors, MHz.
    pub clock: f64,
    /// Looks taken.
    samples: usize,
}

/// Looks at the GPU until it is told to stop.
pub(super) struct GpuWatch {
    looking: Looking,
    reader: thread::JoinHandle<()>,
    seen: Arc<Mutex<Vec<Sample>>>,
}

/// The program, which loops for ever; ends with this value.
struct Looking(Child);

impl Drop for Looking {
    fn drop(&mut self) {
        // Should it have ended by itself, there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Sample = [f64; 4];

impl GpuWatch {
    /// Starts to look, when inference runs on a GPU.
    pub(super) fn start(inference: &Inference) -> Option<Self> {
        if inference.provider != Provider::Cuda {
            return None;
        }
        let mut command = Command::new("nvidia-smi");
        command.args([QUERY, EVERY, "--format=csv,noheader,nounits", "--id"]).arg(inference.device.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut looking = Looking(command.spawn().ok()?);
        let output = looking.0.stdout.take()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let taken = seen.clone();
        let reader = thread::Builder::new().name("gpu-watch".to_owned()).spawn(move || read(output, &taken)).ok()?;
        Some(Self { looking, reader, seen })
    }

    /// What was seen.
    pub(super) fn stop(self) -> Option<GpuUse> {
        drop(self.looking);
        // What it read before it panicked, if ever, counts all the same.
        let _ = self.reader.join();
        summary(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(output: ChildStdout, seen: &Mutex<Vec<Sample>>) {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    for sample in lines.filter_map(|line| sample(&line)).skip(STALE) {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// The numbers of a line; what a GPU does not tell is `[N/A]`, which counts as 0.
fn sample(line: &str) -> Option<Sample> {
    let mut fields = line.split(',').map(|field| field.trim().parse().unwrap_or(0.0));
    let sample = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    fields.next().is_none().then_some(sample)
}

fn summary(seen: &[Sample]) -> Option<GpuUse> {
    #[expect(clippy::cast_precision_loss, reason = "a count of looks")]
    let mean = |field: usize| seen.iter().map(|sample| sample[field]).sum::<f64>() / seen.len() as f64;
    (!seen.is_empty()).then(|| GpuUse {
        utilisation: mean(0) / 100.0,
        memory_mib: seen.iter().map(|sample| sample[1]).fold(0.0, f64::max),
        power: mean(2),
        clock: mean(3),
        samples: seen.len(),
    })
}

impl fmt::Display for GpuUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_mib, power, clock, .. } = self;
        let utilisation = self.utilisation * 100.0;
        write!(f, "GPU busy {utilisation:.0} % of the time, {power:.0} W, {clock:.0} MHz, {memory_mib:.0} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_the_most_memory_are_told_of_what_was_seen() {
        let lines = ["90, 2000, 500.50, 1980", "70, 3000, 300.50, 1500", "No devices were found", "50, 1000"];
        let seen: Vec<_> = lines.iter().filter_map(|line| sample(line)).collect();
        let told = summary(&seen).expect("two looks");
        let expected = GpuUse { utilisation: 0.8, memory_mib: 3000.0, power: 400.5, clock: 1740.0, samples: 2 };
        assert_eq!(told, expected);
        assert_eq!(summary(&[]), None);
        assert_eq!(sample("[N/A], 12, 1, 2"), Some([0.0, 12.0, 1.0, 2.0]));
    }

    #[test]
    fn inference_on_the_processor_starts_no_watch() {
        let config = crate::config::Config::load(None, std::iter::empty(), &[]).expect("the defaults");
        assert!(GpuWatch::start(&config.inference).is_none());
    }
}
