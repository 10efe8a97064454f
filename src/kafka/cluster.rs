//! What all lanes know of the cluster: the input topics' identity and the target topics' shape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::Consumer;
use rdkafka::producer::Producer;
use sha2::{Digest, Sha256};

use super::Clients;
use super::access::{self, Access, Link};
use super::client::{self, LaneNames};
use super::consumer::LaneConsumer;
use super::failure::BrokerError;
use super::inputs::Inputs;
use super::lag::Lag;
use super::native;
use super::oauth::TokenError;
use super::permissions::{self, Missing};
use super::positions::{Lost, Partition};
use super::publisher::Publisher;
use crate::config::{Config, GroupProtocol, LostPosition, Partitioner, Start};
use crate::invocation::again_with;
use crate::telemetry::Metrics;

/// Kafka's own default of `max.message.bytes`, where the broker does not tell.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// A topic that lanes write to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// The largest record that the topic takes, in bytes, batch framing included.
    pub(crate) max_message_bytes: usize,
}

/// Why the cluster cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No broker answered, or none lets this client in.
    #[error("no broker of kafka.brokers = \"{brokers}\" answers: {reason}; check the address and that it is up")]
    Unreachable {
        /// `kafka.brokers`.
        brokers: String,
        /// The client's words.
        reason: String,
    },
    /// A topic is missing.
    #[error(
        "{key} names the topic \"{topic}\", which the broker does not have; create it, for instance with: \
         kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 12, or moodstream check --create"
    )]
    NoTopic {
        /// Configuration key.
        key: &'static str,
        /// Topic.
        topic: String,
        /// `kafka.brokers`.
        brokers: String,
    },
    /// The brokers do not let this client in.
    #[error("the brokers of kafka.brokers = \"{brokers}\" do not let this worker in: {reason}")]
    Refused {
        /// `kafka.brokers`.
        brokers: String,
        /// The client's words, and the setting to look at.
        reason: String,
    },
    /// This user may not do what the worker does.
    #[error("this user lacks a permission: {0}")]
    Denied(String),
    /// There is no token for OAUTHBEARER.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The input topics are too many.
    #[error("{0}")]
    Inputs(String),
    /// The client library refuses the settings.
    #[error("the Kafka client refuses its settings: {0}; see kafka.properties")]
    Settings(String),
}

/// What all lanes know of the cluster.
pub struct Cluster {
    config: Config,
    access: Access,
    instance: String,
    stable: bool,
    inputs: Inputs,
    pub(super) start: Start,
    pub(super) on_lost: LostPosition,
    pub(crate) output: Target,
    pub(crate) dead_letter: Target,
    first_ids: Mutex<BTreeMap<String, String>>,
    embedded: bool,
    metrics: Arc<Metrics>,
}

impl Cluster {
    /// Asks the broker for the topics' shape.
    ///
    /// # Errors
    /// When no broker answers or lets this worker in, a topic is missing, or a permission.
    pub async fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, ClusterError> {
        let access = Access::new(config)?;
        let timeout = config.kafka.request_deadline.0;
        reach(&access, config, &config.output.topic)?;
        let admin = access.admin().map_err(|error| ClusterError::Settings(error.to_string()))?;
        let embedded = is_embedded(admin.inner(), timeout);
        let inputs = Inputs::new(config);
        let found = inputs.now(admin.inner(), timeout).map_err(|error| no_inputs(config, error))?;
        if !embedded {
            let missing = permissions::missing(admin.inner(), config, found.keys());
            if !missing.is_empty() {
                return Err(ClusterError::Denied(list(&missing)));
            }
        }
        if let Some((topic, _)) = found.iter().find(|(_, partitions)| **partitions == 0) {
            let brokers = config.kafka.brokers.clone();
            return Err(ClusterError::NoTopic { key: "input.topics", topic: topic.clone(), brokers });
        }
        inputs.tell(&BTreeSet::new(), &found);
        if found.is_empty() {
            tracing::warn!(
                topics = config.input.topics.join(", "),
                "no topic matches input.topics yet; waiting for one"
            );
        }
        let output = target(&admin, config, "output.topic", &config.output.topic, timeout).await?;
        let dead_letter = target(&admin, config, "dead_letter.topic", &config.dead_letter.topic, timeout).await?;
        let stable = !config.worker.instance.is_empty();
        let instance = instance(config);
        if !stable {
            tracing::info!(
                instance,
                "worker.instance is not set: a killed worker's partitions wait for the session timeout"
            );
        }
        Ok(Self {
            instance,
            stable,
            inputs,
            start: config.input.start,
            on_lost: config.input.on_lost_position,
            output,
            dead_letter,
            first_ids: Mutex::default(),
            embedded,
            metrics: metrics.clone(),
            config: config.clone(),
            access,
        })
    }

    /// The instance name that this worker goes by.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The names of one lane.
    pub(crate) fn names(&self, lane: usize) -> LaneNames {
        LaneNames::new(&self.config.kafka.group, &self.instance, lane)
    }

    /// One lane's consumer and producer. The producer comes first: it ends the transaction that a killed predecessor left open.
    pub(crate) fn connect(self: &Arc<Self>, lane: usize) -> Result<Clients, BrokerError> {
        let publisher = self.publisher(lane)?;
        let (names, timeout) = (self.names(lane), self.config.kafka.request_deadline.0);
        let inputs = self.inputs.now(publisher.client(), timeout)?;
        self.inputs.tell(&BTreeSet::new(), &inputs);
        // KIP-848 keeps the name of a killed static member until its session ends, 45 seconds by default, and turns
        // its successor away; a nameless one may join at once.
        let fixed = self.stable && self.config.kafka.group_protocol != GroupProtocol::Consumer;
        let instance_id = fixed.then(|| names.group_instance_id(&inputs));
        let config = client::consumer(&self.config, &names, instance_id.as_deref());
        let topics = inputs.into_keys().collect();
        let lag = Lag::new(self.metrics.clone());
        let rebalances = &self.metrics.rebalances;
        let consumer = LaneConsumer::subscribe(&self.access, &config, topics, timeout, lag, rebalances)?;
        Ok(Clients { consumer, publisher, cluster: self.clone() })
    }

    /// Lets the lane read the topics that match by now.
    pub(super) fn follow_topics(&self, consumer: &mut LaneConsumer) -> Result<(), BrokerError> {
        if !self.inputs.can_change() {
            return Ok(());
        }
        let now = self.inputs.now(consumer.base().client(), self.config.kafka.request_deadline.0)?;
        if now.keys().ne(consumer.topics()) {
            self.inputs.tell(consumer.topics(), &now);
            consumer.change_topics(now.into_keys().collect())?;
        }
        Ok(())
    }

    /// One lane's producer.
    pub(crate) fn publisher(&self, lane: usize) -> Result<Publisher, BrokerError> {
        let (output, dead_letter) = (self.output.max_message_bytes, self.dead_letter.max_message_bytes);
        let config =
            client::producer(&self.config, &self.names(lane), output.max(dead_letter), output.min(dead_letter));
        let kafka = &self.config.kafka;
        Publisher::connect(&self.access, &config, kafka.delivery, kafka.request_deadline.0, kafka.session_timeout.0)
    }

    /// The target partition of a record, by the partitioner that the configuration names: `None` is "by key".
    pub(crate) fn partition_for(&self, target: &Target, source: &Partition) -> Option<i32> {
        if self.config.output.partitioner == Partitioner::Key {
            return None;
        }
        // Several topics would all fill the low partitions: each begins somewhere else.
        let shift = if self.config.input.has_several_topics() {
            let digest = Sha256::digest(&source.topic);
            i64::from(u16::from_be_bytes([digest[0], digest[1]]))
        } else {
            0
        };
        i32::try_from((i64::from(source.number) + shift) % i64::from(target.partitions)).ok()
    }

    pub(super) fn topic_ids(&self, consumer: &LaneConsumer) -> Result<BTreeMap<String, String>, BrokerError> {
        let topics: Vec<String> = consumer.topics().iter().cloned().collect();
        if self.embedded || topics.is_empty() {
            return Ok(topics.into_iter().map(|topic| (topic, String::new())).collect());
        }
        let timeout = self.config.kafka.request_deadline.0;
        let ids = native::topic_ids(consumer.base().client(), &topics, timeout)?;
        Ok(topics.into_iter().zip(ids).collect())
    }

    /// The ids that this process first saw of each topic.
    pub(super) fn first_ids(&self, now: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        match self.first_ids.lock() {
            Ok(mut first) => {
                for (topic, id) in now {
                    let known = first.entry(topic.clone()).or_insert_with(|| id.clone());
                    if self.on_lost != LostPosition::Stop {
                        known.clone_from(id);
                    }
                }
                first.clone()
            }
            Err(_) => now.clone(),
        }
    }

    pub(super) fn output_is_empty(&self, consumer: &LaneConsumer) -> Result<bool, BrokerError> {
        for number in 0..self.output.partitions {
            let partition = Partition { topic: self.output.topic.clone(), number };
            if consumer.bounds(&partition)?.high > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Who else uses this lane's names, as the group's coordinator sees it; empty when it cannot be told.
    pub(crate) fn rival(&self, lane: usize) -> String {
        let names = self.names(lane);
        let Ok(client) = self.access.enquirer() else { return String::new() };
        let described = native::group(client.client(), &self.config.kafka.group, Duration::from_secs(5));
        let Ok(described) = described else { return String::new() };
        let mut members = described.members.into_iter();
        let host = members.find(|member| member.client_id == names.transactional_id).map(|member| member.host);
        format!(
            "; either this worker stood still for longer than kafka.session_timeout, or another one has \
             worker.instance = \"{}\" too (transactional.id {}{}): each worker needs a name of its own",
            self.instance,
            names.transactional_id,
            host.map(|host| format!(", now used from {host}")).unwrap_or_default()
        )
    }

    /// What this user must be given, after the broker has refused something for lack of a permission.
    pub(crate) fn denied(&self, error: &BrokerError) -> String {
        use rdkafka::error::RDKafkaErrorCode::TransactionalIdAuthorizationFailed;
        if error.code == Some(TransactionalIdAuthorizationFailed) {
            return list(&[Missing::transactional_ids(&self.config)]);
        }
        let missing = match self.access.admin() {
            Ok(admin) if !self.embedded => {
                let inputs = self.inputs.now(admin.inner(), self.config.kafka.request_deadline.0).unwrap_or_default();
                permissions::missing(admin.inner(), &self.config, inputs.keys())
            }
            _ => Vec::new(),
        };
        if missing.is_empty() {
            return "the broker does not tell which; moodstream check looks at each".to_owned();
        }
        list(&missing)
    }

    /// Says loudly that a position is lost: an operator must act, or has told us how to go on.
    pub(crate) fn report_lost(&self, lost: &Lost) {
        self.metrics.lost_positions.of([lost.cause.as_str()]).inc();
        let (topic, partition) = (&lost.partition.topic, lost.partition.number);
        let cause = lost.cause.as_str();
        if self.on_lost == LostPosition::Stop {
            let command = again_with("--on-lost-position", "earliest");
            tracing::error!(
                cause,
                topic,
                partition,
                setting = "input.on_lost_position",
                command,
                "position lost: {}; nothing is read from here until you decide. Stop this worker and run it once with \
                 earliest (repeats or catches up on what the log holds) or latest (skips it): {}; or stop all workers \
                 and set the offset: kafka-consumer-groups.sh --bootstrap-server {} --group {} --topic {topic}:{partition} \
                 --reset-offsets --to-offset OFFSET --execute",
                lost.found,
                command,
                self.config.kafka.brokers,
                self.config.kafka.group,
            );
        } else {
            tracing::error!(
                cause, topic, partition, on_lost_position = ?self.on_lost,
                "position lost: {}; going on as input.on_lost_position says", lost.found
            );
        }
    }
}

/// Waits until a broker answers.
pub(super) fn reach(access: &Access, config: &Config, topic: &str) -> Result<(), ClusterError> {
    let settings = |error: BrokerError| ClusterError::Settings(error.to_string());
    let client = access.enquirer().map_err(settings)?;
    let answered = access::metadata(&client, Some(topic), config.kafka.request_deadline.0);
    answered.map(drop).map_err(|error| {
        let (brokers, reason) = (config.kafka.brokers.clone(), error.to_string());
        if client.context().heard().is_some_and(|heard| heard.lasting) {
            ClusterError::Refused { brokers, reason }
        } else {
            ClusterError::Unreachable { brokers, reason }
        }
    })
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn no_inputs(config: &Config, error: BrokerError) -> ClusterError {
    match error.code {
        Some(_) => ClusterError::Unreachable { brokers: config.kafka.brokers.clone(), reason: error.message },
        None => ClusterError::Inputs(error.message),
    }
}

/// How many partitions `topic`, which the setting `key` names, has.
pub(super) fn partitions(
    client: &Client<impl ClientContext>,
    config: &Config,
    key: &'static str,
    topic: &str,
    timeout: Duration,
) -> Result<i32, ClusterError> {
    let brokers = config.kafka.brokers.clone();
    let metadata = client
        .fetch_metadata(Some(topic), timeout)
        .map_err(|error| ClusterError::Unreachable { brokers: brokers.clone(), reason: error.to_string() })?;
    let found =
        metadata.topics().iter().find(|found| found.name() == topic).map_or(0, |found| found.partitions().len());
    match i32::try_from(found) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(ClusterError::NoTopic { key, topic: topic.to_owned(), brokers }),
    }
}

async fn target(
    admin: &AdminClient<Link>,
    config: &Config,
    key: &'static str,
    topic: &str,
    timeout: Duration,
) -> Result<Target, ClusterError> {
    let partitions = partitions(admin.inner(), config, key, topic, timeout)?;
    if is_embedded(admin.inner(), timeout) {
        return Ok(Target { topic: topic.to_owned(), partitions, max_message_bytes: MAX_MESSAGE_BYTES });
    }
    let max_message_bytes = max_message_bytes(admin, topic, timeout).await.unwrap_or_else(|reason| {
        tracing::warn!(topic, reason, "the topic's max.message.bytes cannot be read; {MAX_MESSAGE_BYTES} is assumed");
        MAX_MESSAGE_BYTES
    });
    Ok(Target { topic: topic.to_owned(), partitions, max_message_bytes })
}

/// Whether this is the broker of the demo and the tests. It names a controller that does not exist, so whatever is
/// asked of the controller (a topic's settings, its id) waits for ever.
pub(super) fn is_embedded(client: &Client<impl ClientContext>, timeout: Duration) -> bool {
    client.fetch_cluster_id(timeout).is_some_and(|id| id.starts_with("mockCluster"))
}

async fn max_message_bytes(admin: &AdminClient<Link>, topic: &str, timeout: Duration) -> Result<usize, String> {
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    let resources = described.map_err(|error| error.to_string())?;
    let resource =
        resources.into_iter().next().ok_or("the broker described nothing")?.map_err(|code| code.to_string())?;
    let value = resource.get("max.message.bytes").and_then(|entry| entry.value.clone());
    value.and_then(|value| value.parse().ok()).ok_or_else(|| "the broker does not tell it".to_owned())
}

/// The name that a process goes by: the configured one, or another one at every start.
pub(crate) fn instance(config: &Config) -> String {
    if config.worker.instance.is_empty() { random_instance() } else { config.worker.instance.clone() }
}

/// `<host>-<8 random hex digits>`.
fn random_instance() -> String {
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host: String = host.unwrap_or_default().trim().replace('/', "-");
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}-{}", random_name())
}

/// 8 random hex digits.
pub(super) fn random_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    format!("{:08x}", random >> 32)
}
