//! Which permissions the worker needs, which of them this user lacks, and the commands that give them.

use std::fmt;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::BrokerError;
use super::native::{self, Permissions};
use crate::config::Config;

/// A broker that does not answer such a question soon does not know how to: the answer is a help, no condition.
const PATIENCE: Duration = Duration::from_secs(5);

/// A permission that this user lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// As `kafka-acls.sh` calls it: `Read`, `Write`.
    operation: &'static str,
    /// As its option is called: `topic`, `group`, `transactional-id`.
    kind: &'static str,
    name: String,
    /// The setting that names it.
    key: &'static str,
    command: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, kind, name, key, command } = self;
        write!(f, "{operation} on {kind} {name} ({key}), to be given with: {command}")
    }
}

impl Missing {
    fn new(config: &Config, operation: &'static str, kind: &'static str, name: &str, key: &'static str) -> Self {
        Self { operation, kind, name: name.to_owned(), key, command: grant(config, operation, kind, name) }
    }

    /// The permission to use the transactional ids of the group.
    pub(super) fn transactional_ids(config: &Config) -> Self {
        let prefix = format!("{}/", config.kafka.group);
        let command = grant(config, "Write", "transactional-id", &format!("{prefix} --resource-pattern-type prefixed"));
        Self { command, ..Self::new(config, "Write", "transactional-id", &format!("{prefix}*"), "kafka.group") }
    }
}

/// What the broker says that this user may not do with topics and group, as far as it tells. Asks nothing of the
/// embedded broker, which knows no users.
pub(super) fn missing<'t, C: ClientContext>(
    client: &Client<C>,
    config: &Config,
    inputs: impl Iterator<Item = &'t String>,
) -> Vec<Missing> {
    let timeout = config.kafka.request_deadline.0.min(PATIENCE);
    let inputs = inputs.map(|topic| ("Read", "topic", topic.as_str(), "input.topics"));
    let needed = inputs.chain([
        ("Write", "topic", config.output.topic.as_str(), "output.topic"),
        ("Write", "topic", config.dead_letter.topic.as_str(), "dead_letter.topic"),
        ("Read", "group", config.kafka.group.as_str(), "kafka.group"),
    ]);
    needed
        .filter(|(operation, kind, name, _)| {
            let told = match *kind {
                "group" => native::group(client, name, timeout).map(|group| group.permissions),
                _ => native::topic_permissions(client, name, timeout),
            };
            lacks(operation, &told)
        })
        .map(|(operation, kind, name, key)| Missing::new(config, operation, kind, name, key))
        .collect()
}

/// Whoever may read or write may also describe: where even that is refused, the rest is too.
fn lacks(operation: &str, told: &Result<Permissions, BrokerError>) -> bool {
    match told {
        Ok(permissions) if operation == "Read" => permissions.to_read() == Some(false),
        Ok(permissions) => permissions.to_write() == Some(false),
        Err(error) => error.is_unauthorized(),
    }
}

/// The command that gives a permission.
pub(crate) fn grant(config: &Config, operation: &str, kind: &str, name: &str) -> String {
    let properties = &config.kafka.properties;
    let user = properties.get("sasl.username").unwrap_or("USER");
    let secured =
        if properties.get("security.protocol").is_some() { " --command-config client.properties" } else { "" };
    format!(
        "kafka-acls.sh --bootstrap-server {}{secured} --add --allow-principal User:{user} --operation {operation} --{kind} {name}",
        config.kafka.brokers
    )
}
