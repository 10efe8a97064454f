//! Measurements that anyone can repeat: the real worker on a real broker, in topics and groups of its own.
//!
//! Speed is stated as a ratio taken in one run, since machines differ and drift.

mod accelerator;
mod archive;
mod cpu;
mod feeder;
mod gpu;
mod label;
mod lane;
mod latency;
mod machine;
mod memory;
mod parquet;
mod pipeline;
mod python;
mod rig;
mod scale;
mod synthetic;
mod trends;

pub use archive::{ArchiveFigures, archive};
pub use cpu::CpuShares;
pub(crate) use cpu::processor_seconds;
pub use gpu::GpuUse;
pub use label::{LabelFigures, label};
pub use lane::{LaneFigures, lane};
pub use latency::{LatencyFigures, latency};
pub use machine::{Machine, ModelUsed};
pub use memory::{MemoryFigures, memory};
pub use parquet::{parquet, parse};
pub use pipeline::{Broker, PipelineFigures, pipeline};
pub use python::Python;
pub use rig::Posts;
pub use scale::{ScaleFigures, scale, scale_worker};
#[cfg(test)]
pub(crate) use synthetic::{identify, write as write_synthetic};
pub use trends::{TrendsFigures, trends};
