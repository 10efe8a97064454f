//! What a worker tells about itself: every metric in one file, logging, and the admin HTTP server.
//!
//! A leaf: it knows the configuration's types and nothing of Kafka or the model. Nothing here ever
//! holds a post's text or a secret (I10: a worker that cannot do its work says why).

pub mod admin;
mod declare;
pub mod logging;
pub mod metrics;

pub use admin::{AdminServer, Readiness};
pub use declare::{Description, Labelled};
pub use metrics::{Metrics, Outcome, Stage, TransactionResult};
