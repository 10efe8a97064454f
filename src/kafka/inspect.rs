//! What the cluster says about itself, for `moodstream check`.
//!
//! Asks and never joins the group, reads a record or commits an offset. A transaction is tried under
//! an id of its own: initialising one that is in use would fence the running worker for good.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::access::{Access, Link, explain, metadata};
use super::cluster::random_name;
use super::failure::BrokerError;
use super::native;
pub(crate) use super::native::Permissions;
use crate::config::Config;

/// No question waits longer than this, whatever `kafka.request_deadline` is: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a created topic is looked for.
const STEP: Duration = Duration::from_millis(50);

/// The cluster as a whole.
#[derive(Debug)]
pub(crate) struct Brokers {
    /// Empty where the cluster has none.
    pub(crate) cluster_id: String,
    /// host:port of each.
    pub(crate) addresses: Vec<String>,
}

/// A topic and its settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicFacts {
    pub(crate) partitions: usize,
    pub(crate) replication: usize,
    /// Empty where the broker does not tell, as without the permission to describe configurations.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) permissions: Permissions,
}

/// A consumer group.
#[derive(Debug, Default)]
pub(crate) struct GroupFacts {
    /// As the coordinator calls it: `Stable`, `Empty`, `Dead` and so on; empty where there is no such group.
    pub(crate) state: String,
    pub(crate) members: Vec<Member>,
    pub(crate) permissions: Permissions,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) client_id: String,
    pub(crate) host: String,
}

/// Asks the cluster.
pub(crate) struct Inspector {
    access: Access,
    admin: AdminClient<Link>,
    client: BaseProducer<Link>,
    config: Config,
    timeout: Duration,
}

impl Inspector {
    /// Makes the client; nothing is asked yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub(crate) fn new(config: &Config) -> Result<Self, BrokerError> {
        let access = Access::new(config).map_err(|error| BrokerError::local(&error.to_string()))?;
        let admin = access.admin()?;
        let client = access.enquirer()?;
        let timeout = config.kafka.request_deadline.0.min(PATIENCE);
        Ok(Self { access, admin, client, config: config.clone(), timeout })
    }

    /// Whether the brokers have refused this client for a reason that waiting does not cure.
    pub(crate) fn is_kept_out(&self) -> bool {
        self.client.context().heard().is_some_and(|heard| heard.lasting)
    }

    /// The cluster's id and brokers.
    pub(crate) fn brokers(&self) -> Result<Brokers, BrokerError> {
        let metadata = metadata(&self.client, None, self.timeout)?;
        let addresses = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        let cluster_id = self.client.client().fetch_cluster_id(self.timeout).unwrap_or_default();
        Ok(Brokers { cluster_id, addresses: addresses.collect() })
    }

    /// The names of all topics that this user may see.
    pub(crate) fn topic_names(&self) -> Result<Vec<String>, BrokerError> {
        let metadata = self.client.client().fetch_metadata(None, self.timeout)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// A topic; `None`: there is no such topic.
    pub(crate) async fn topic(&self, topic: &str) -> Result<Option<TopicFacts>, BrokerError> {
        let metadata = self.client.client().fetch_metadata(Some(topic), self.timeout)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
            Some(code) => return Err(BrokerError::of_code(code)),
            None => {}
        }
        Ok(Some(TopicFacts {
            partitions: found.partitions().len(),
            replication: found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0),
            settings: self.settings(topic).await.unwrap_or_default(),
            permissions: native::topic_permissions(self.client.client(), topic, self.timeout).unwrap_or_default(),
        }))
    }

    async fn settings(&self, topic: &str) -> Option<BTreeMap<String, String>> {
        let options = AdminOptions::new().request_timeout(Some(self.timeout));
        let described = self.admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
        let resource = described.ok()?.into_iter().next()?.ok()?;
        Some(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Creates a topic that keeps every record until its retention.
    pub(crate) async fn create(&self, topic: &str, partitions: i32, replication: i32) -> Result<(), BrokerError> {
        let new =
            NewTopic::new(topic, partitions, TopicReplication::Fixed(replication)).set("cleanup.policy", "delete");
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout));
        let created = self.admin.create_topics([&new], &options).await?;
        for result in created {
            result.map_err(|(_, code)| BrokerError::of_code(code))?;
        }
        Ok(())
    }

    /// A topic that was just created: waits until every broker's metadata has it.
    pub(crate) async fn await_topic(&self, topic: &str) -> Result<Option<TopicFacts>, BrokerError> {
        let give_up = Instant::now() + self.timeout;
        loop {
            let found = self.topic(topic).await;
            if matches!(&found, Ok(Some(facts)) if facts.partitions > 0) || Instant::now() >= give_up {
                return found;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// The group's state and members.
    pub(crate) fn group(&self) -> Result<GroupFacts, BrokerError> {
        native::group(self.client.client(), &self.config.kafka.group, self.timeout)
    }

    /// Begins and aborts an empty transaction under `<group>/check/<random>`, and returns that id.
    pub(crate) fn try_transaction(&self) -> Result<String, BrokerError> {
        let id = format!("{}/check/{}", self.config.kafka.group, random_name());
        let mut settings = self.access.settings();
        settings
            .set("transactional.id", &id)
            .set("transaction.timeout.ms", self.config.kafka.session_timeout.0.as_millis().to_string());
        let producer = self.access.producer(&settings, self.access.quiet_link())?;
        let explain = |error| explain(&producer, error);
        producer.init_transactions(self.timeout).map_err(explain)?;
        producer.begin_transaction().map_err(explain)?;
        producer.abort_transaction(self.timeout).map_err(explain)?;
        Ok(id)
    }
}
