//! The input topics as they are now: those that are named, and those that match a pattern and may come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::failure::BrokerError;
use super::note::MOST_TOPICS;
use crate::config::{Config, InputTopics};

/// What to read, and what of it has been told in the log.
#[derive(Debug)]
pub(super) struct Inputs {
    topics: InputTopics,
    told: Mutex<BTreeSet<String>>,
}

impl Inputs {
    pub(super) fn new(config: &Config) -> Self {
        Self { topics: InputTopics::new(config), told: Mutex::default() }
    }

    /// Whether topics can come and go.
    pub(super) fn can_change(&self) -> bool {
        self.topics.has_pattern()
    }

    /// The topics to read now and how many partitions each has; 0 for a named one that does not exist.
    pub(super) fn now<C: ClientContext>(
        &self,
        client: &Client<C>,
        timeout: Duration,
    ) -> Result<BTreeMap<String, usize>, BrokerError> {
        let mut existing = BTreeMap::new();
        let questions: Vec<Option<&str>> = if self.topics.has_pattern() {
            vec![None]
        } else {
            self.topics.named().iter().map(|topic| Some(topic.as_str())).collect()
        };
        for question in questions {
            let metadata = client.fetch_metadata(question, timeout)?;
            let found = metadata.topics().iter().filter(|topic| !topic.partitions().is_empty());
            existing.extend(found.map(|topic| (topic.name().to_owned(), topic.partitions().len())));
        }
        let topics = self.topics.among(existing.keys().map(String::as_str));
        if topics.len() > MOST_TOPICS {
            return Err(BrokerError::local(&format!(
                "{} topics match input.topics and one group can read {MOST_TOPICS}; narrow the pattern, or name some in \
                 input.exclude_topics",
                topics.len()
            )));
        }
        let count = |topic: String| {
            let partitions = existing.get(&topic).copied().unwrap_or(0);
            (topic, partitions)
        };
        Ok(topics.into_iter().map(count).collect())
    }

    /// Tells in the log what a lane reads from now on and no more, each once, whichever lane comes first.
    pub(super) fn tell(&self, before: &BTreeSet<String>, now: &BTreeMap<String, usize>) {
        if !self.can_change() {
            return;
        }
        let Ok(mut told) = self.told.lock() else { return };
        for (topic, partitions) in now {
            if told.insert(topic.clone()) {
                tracing::info!(topic, partitions, "an input topic, as input.topics says");
            }
        }
        for topic in before.iter().filter(|topic| !now.contains_key(*topic)) {
            if told.remove(topic) {
                tracing::warn!(topic, "an input topic is gone");
            }
        }
    }
}
