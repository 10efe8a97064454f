//! What a figure was taken with: without it, it says little.

use std::fmt;

use serde::Serialize;

use crate::inference::Loaded;

/// The machine and the versions.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor, as it calls itself.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Version of moodstream.
    pub moodstream: &'static str,
    /// Version of librdkafka.
    pub librdkafka: String,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn here() -> Self {
        Self {
            cpu: cpu().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            moodstream: env!("CARGO_PKG_VERSION"),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, moodstream, librdkafka } = self;
        write!(f, "{cpu}, {cores} cores; moodstream {moodstream}, librdkafka {librdkafka}")
    }
}

#[cfg(target_os = "linux")]
fn cpu() -> Option<String> {
    use procfs::{CpuInfo, Current};
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

#[cfg(not(target_os = "linux"))]
fn cpu() -> Option<String> {
    None
}

/// The model and how it is run.
#[derive(Debug, Clone, Serialize)]
pub struct ModelUsed {
    /// The manifest's id.
    pub id: String,
    /// Content hash.
    pub hash: String,
    /// `fp32`, `int8`, …
    pub precision: &'static str,
    /// Execution provider.
    pub provider: &'static str,
    /// Sessions, one thread each.
    pub sessions: usize,
    /// Padded tokens of a micro-batch.
    pub token_budget: usize,
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
}

impl ModelUsed {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let info = loaded.classifier.model();
        Self {
            id: info.id.clone(),
            hash: info.hash.clone(),
            precision: loaded.precision.name(),
            provider: loaded.provider,
            sessions: loaded.sessions,
            token_budget: loaded.token_budget,
            onnxruntime: loaded.library.version.clone(),
        }
    }
}

impl fmt::Display for ModelUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, precision, provider, sessions, token_budget, onnxruntime, .. } = self;
        write!(
            f,
            "model {id}, {precision}, {provider}, {sessions} sessions, micro-batches of {token_budget} tokens; \
             ONNX Runtime {onnxruntime}"
        )
    }
}
