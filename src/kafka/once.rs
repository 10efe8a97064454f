//! A topic that gets each key once, whoever dies or is started twice.
//!
//! The topic is its own memory. Who opens it takes over the transactional id of all that write to it so: that aborts
//! what a predecessor left open and shuts it out. Then it reads which keys were committed. Records go in transactions,
//! and after any failure nothing is believed: the producer is thrown away, and the next use opens all of it anew and
//! reads again. So for a `read_committed` reader a key is there once, as long as the topic holds it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::producer::Producer;

use super::access::Access;
use super::client::{self, LaneNames};
use super::cluster::{self, ClusterError};
use super::failure::BrokerError;
use super::publisher::{Broken, Outgoing, Publisher};
use super::tail::Tail;
use crate::config::{Config, Delivery, Partitioner};
use crate::fault;

/// Kafka's own default of `max.message.bytes`: what goes here is small.
const MOST_BYTES: usize = 1_048_588;

/// The topic, and who writes to it.
pub(crate) struct OnceTopic {
    config: Config,
    key: &'static str,
    topic: String,
    open: Option<Open>,
}

struct Open {
    publisher: Publisher,
    keys: BTreeSet<String>,
}

/// Why records may not be there. Looking again tells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPut {
    /// Another one has opened the topic since.
    #[error(
        "another process writes to the topic {topic} now and has shut this one out (transactional.id {id}): {error}; run \
         one at a time for each topic"
    )]
    TakenOver {
        /// The topic.
        topic: String,
        /// What both go by.
        id: String,
        /// The broker's words.
        error: BrokerError,
    },
    /// Anything else.
    #[error("{topic} has not taken it: {error}")]
    Failed {
        /// The topic.
        topic: String,
        /// Why.
        error: BrokerError,
    },
}

impl OnceTopic {
    /// Shuts out whoever wrote to the topic before, and reads which keys it holds. The setting or flag `key` names it.
    ///
    /// # Errors
    /// When no broker answers, the topic is missing, or this user may not use it so.
    pub(crate) fn open(config: &Config, key: &'static str, topic: &str) -> Result<Self, ClusterError> {
        let mut config = config.clone();
        config.kafka.delivery = Delivery::ExactlyOnce;
        config.output.partitioner = Partitioner::Key;
        let mut once = Self { config, key, topic: topic.to_owned(), open: None };
        once.reopen()?;
        Ok(once)
    }

    /// The keys that the topic holds.
    ///
    /// # Errors
    /// When they have to be read again and cannot.
    pub(crate) fn keys(&mut self) -> Result<&BTreeSet<String>, ClusterError> {
        Ok(&self.reopen()?.keys)
    }

    /// Puts records with their keys, all or none; once this says so, they are committed.
    ///
    /// # Errors
    /// When they may not be. What became of them, [`keys`](Self::keys) tells.
    pub(crate) fn put(&mut self, records: &[(String, Vec<u8>)]) -> Result<(), NotPut> {
        let topic = self.topic.clone();
        let failed = |error: BrokerError| NotPut::Failed { topic: topic.clone(), error };
        let Some(mut open) = self.open.take() else {
            return Err(failed(BrokerError::local("its keys were not read yet")));
        };
        match commit(&mut open.publisher, &self.topic, records) {
            Ok(()) => {
                open.keys.extend(records.iter().map(|(key, _)| key.clone()));
                self.open = Some(open);
                Ok(())
            }
            Err(error) if error.is_fenced() => {
                Err(NotPut::TakenOver { topic, id: self.names().transactional_id, error })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// No lane is called so: its name has three parts.
    fn names(&self) -> LaneNames {
        LaneNames { transactional_id: format!("{}/alerts/to/{}", self.config.kafka.group, self.topic) }
    }

    fn reopen(&mut self) -> Result<&mut Open, ClusterError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        Ok(self.open.insert(open))
    }

    fn connect(&self) -> Result<Open, ClusterError> {
        let (config, topic) = (&self.config, self.topic.as_str());
        let (kafka, deadline) = (&config.kafka, config.kafka.request_deadline.0);
        let access = Access::new(config)?;
        cluster::reach(&access, config, topic)?;
        let told = |error: BrokerError| {
            if error.is_unauthorized() {
                ClusterError::Denied(format!("{}: {topic}: {error} (docs/alerts.md says what is needed)", self.key))
            } else {
                ClusterError::Unreachable { brokers: kafka.brokers.clone(), reason: error.to_string() }
            }
        };
        let client = access.enquirer().map_err(told)?;
        cluster::partitions(client.client(), config, self.key, topic, deadline)?;
        let settings = client::producer(config, &self.names(), MOST_BYTES, MOST_BYTES);
        let timeout = kafka.session_timeout.0;
        let publisher =
            Publisher::connect(&access, &settings, Delivery::ExactlyOnce, deadline, timeout).map_err(told)?;
        // Only now: what the one before had under way is decided, and it can commit no more.
        let mut keys = BTreeSet::new();
        if !fault::is_off("alert_keys") {
            let mut tail = Tail::open(config, &access, topic, None).map_err(told)?;
            let note = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            while !tail.read_on(Duration::MAX, |record| keys.extend(record.key.map(note))).map_err(told)? {}
        }
        Ok(Open { publisher, keys })
    }
}

fn commit(publisher: &mut Publisher, topic: &str, records: &[(String, Vec<u8>)]) -> Result<(), BrokerError> {
    let error = |broken: Broken| match broken {
        Broken::Aborted { error, .. } | Broken::Dead(error) | Broken::Unknown(error) => error,
    };
    publisher.begin().map_err(error)?;
    for (key, value) in records {
        let timestamp = Timestamp::now().as_millisecond();
        let (key, payload) = (Some(key.as_bytes()), Some(value.as_slice()));
        publisher.send(Outgoing { topic, partition: None, key, payload, headers: None, timestamp }).map_err(error)?;
    }
    publisher.settle().map_err(error)?;
    publisher.commit_alone().map_err(error)
}
