//! Measurements that anyone can repeat: the real worker on a real broker, in topics and groups of its own.
//!
//! Speed is stated as a ratio taken in one run, since machines differ and drift.

mod label;
mod lane;
mod pipeline;
mod rig;

pub use label::{LabelFigures, label};
pub use lane::{LaneFigures, lane};
pub use pipeline::{PipelineFigures, pipeline};
pub use rig::Posts;
