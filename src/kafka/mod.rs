//! Everything that talks to Kafka: clients, transactions, positions, dead letters.
//!
//! ```text
//! consumer (epochs, lag) ─► lane ─► publisher (transaction) ─► outputs + offsets
//!        ▲                                  │
//!        └── resume: committed offsets ◄────┘  after a start, a rebalance, an abort, an unknown result
//! ```
//!
//! Keeps I2 (outputs and offsets are committed together), I3 (nothing in flight at a rebalance).

mod access;
mod client;
mod cluster;
mod complaint;
mod consumer;
mod dead_letter;
mod failure;
mod feed;
mod inputs;
mod inspect;
mod lag;
mod membership;
mod native;
mod note;
mod oauth;
mod once;
mod output_reader;
mod permissions;
mod positions;
mod publisher;
mod resume;
mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use access::{Access, Link};
pub(crate) use client::base as client;
pub use client::verify;
pub(crate) use cluster::instance;
pub use cluster::{Cluster, ClusterError};
pub(crate) use consumer::LaneConsumer;
pub(crate) use dead_letter::{FRAMING, Original, header_bytes, letter};
pub use failure::BrokerError;
pub(crate) use feed::{Crumb, Feed};
pub(crate) use inspect::{GroupFacts, Inspector, TopicFacts};
#[cfg(test)]
pub(crate) use inspect::{Member, Permissions};
pub(crate) use native::set_embedded_join_delay;
pub(crate) use note::Note;
pub use oauth::TokenError;
pub(crate) use once::{NotPut, OnceTopic};
pub(crate) use output_reader::{Hint, OutputReader, OutputTopic, Polled};
pub(crate) use permissions::grant;
pub(crate) use positions::Names;
pub use positions::{Cause, Lost, Partition};
pub(crate) use publisher::{Broken, Outgoing, Publisher};
pub(crate) use resume::Resumed;
pub(crate) use tail::Tail;

/// One lane's consumer and producer, and what it knows of the cluster.
pub(crate) struct Clients {
    pub(crate) consumer: LaneConsumer,
    pub(crate) publisher: Publisher,
    pub(crate) cluster: Arc<Cluster>,
}

impl Clients {
    /// Reads the topics that match by now, and tells their ids.
    ///
    /// # Errors
    /// When a topic is gone or the broker does not answer.
    pub(crate) fn check_topics(&mut self) -> Result<BTreeMap<String, String>, BrokerError> {
        self.cluster.follow_topics(&mut self.consumer)?;
        self.cluster.topic_ids(&self.consumer)
    }

    /// Throws the producer away and makes a new one of the same name, which settles what the old one left open.
    pub(crate) fn renew_publisher(&mut self, lane: usize) -> Result<(), BrokerError> {
        self.publisher = self.cluster.publisher(lane)?;
        Ok(())
    }

    /// Closes both.
    pub(crate) fn close(self, leave: bool, deadline: Duration) {
        drop(self.publisher);
        self.consumer.close(leave, deadline);
    }
}
