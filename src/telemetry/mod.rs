//! What a worker tells about itself: every metric in one file, logging, the admin HTTP server and
//! its status page.
//!
//! A leaf: it knows the configuration's types and nothing of Kafka or the model. Nothing here ever
//! holds a post's text or a secret (I10: a worker that cannot do its work says why).

pub mod admin;
mod archive;
mod declare;
mod history;
mod lanes;
pub mod logging;
pub mod metrics;
mod notices;
mod page;
mod readiness;
pub mod shadow;
pub mod status;

pub use admin::AdminServer;
pub use declare::{Description, Labelled};
pub use lanes::{LaneState, Lanes};
pub use metrics::{Metrics, Outcome, Session, Stage, TransactionResult};
pub use notices::{Notice, Notices};
pub use readiness::Readiness;
pub use status::Status;
