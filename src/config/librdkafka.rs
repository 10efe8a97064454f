//! What librdkafka itself says about `kafka.properties`: which keys it knows and which values they take.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::Problem;
use super::properties::{Properties, SECTION};

/// Properties that librdkafka does not know, or whose value it refuses. Asked one at a time, because it
/// stops at the first that is wrong.
pub(super) fn refused(properties: &Properties) -> Vec<Problem> {
    let refusal = |key: &str, value: &str| {
        let mut alone = ClientConfig::new();
        alone.set(key, value);
        match alone.create_native_config() {
            Ok(_) => None,
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                Some("librdkafka has no such property; its CONFIGURATION.md lists them all".to_owned())
            }
            Err(KafkaError::ClientConfig(_, description, key, value)) => Some(words(&description, &key, &value)),
            Err(_) => Some("librdkafka cannot take the key or the value: one holds a NUL character".to_owned()),
        }
    };
    let problem = |(key, value)| Some(Problem::new(format!("{SECTION}.{key}"), refusal(key, value)?));
    properties.iter().filter_map(problem).collect()
}

/// librdkafka's words on a property. They repeat the value, which may be a secret and is left out.
pub(crate) fn words(description: &str, key: &str, value: &str) -> String {
    let mut words = description.replace(&format!("\"{value}\""), "\"…\"");
    if value.len() > 3 {
        words = words.replace(value, "…");
    }
    if words.contains(key) { words } else { format!("{key}: {words}") }
}
