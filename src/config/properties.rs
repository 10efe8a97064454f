//! `kafka.properties`: any other librdkafka property, with the keys that an invariant owns refused; and
//! `archive.properties`, the options of the archive's store.
//!
//! Nested tables become dotted keys, scalars become text. Values may be secrets, so this type prints
//! and serialises none of those; `<key>_file` reads a secret from a file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{GroupProtocol, Problem};

/// Dotted key of the table of librdkafka's properties.
pub(super) const SECTION: &str = "kafka.properties";
/// Dotted key of the table of the store's options.
pub(super) const STORE_SECTION: &str = "archive.properties";

/// Whether a key, or the table itself, may hold secrets.
pub(super) fn may_be_secret(key: &str) -> bool {
    key.starts_with(SECTION) || key.starts_with(STORE_SECTION)
}

/// What stands for a secret in anything printed.
const REDACTED: &str = "***";

/// Properties of a library by dotted key. `Debug` and `Serialize` redact values that may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// The value of this property.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Every property, in the order of the keys. The values are not redacted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the value of this property may be a secret; errs on the side of yes.
    #[must_use]
    pub fn is_secret(key: &str) -> bool {
        is_secret(key)
    }

    /// The values that may be secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(key, _)| is_secret(key)).map(|(_, value)| value)
    }

    /// Replaces every `<secret>_file` by the content of the file it names.
    pub(super) fn read_secret_files(&mut self, section: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        // Stores have options that end so themselves: their own libraries read those files, again and again.
        let own = |key: &str| section == STORE_SECTION && key.ends_with("_token_file");
        let files = self.0.keys().filter(|key| key.ends_with("_file") && !own(key)).cloned().collect::<Vec<_>>();
        for key in files {
            let (Some(stem), Some(path)) = (key.strip_suffix("_file"), self.0.remove(&key)) else {
                continue;
            };
            let mut refuse = |remedy: String| problems.push(Problem::new(format!("{section}.{key}"), remedy));
            if !is_secret(stem) {
                refuse(format!("only secrets are read from a file; set {stem} itself"));
            } else if self.0.contains_key(stem) {
                refuse(format!("{stem} is set too; keep one of the two"));
            } else {
                match std::fs::read_to_string(&path) {
                    Ok(text) if text.trim().is_empty() => {
                        refuse(format!("the file {path} is empty"));
                    }
                    Ok(text) => {
                        let text = text.strip_suffix('\n').unwrap_or(&text);
                        let text = text.strip_suffix('\r').unwrap_or(text);
                        self.0.insert(stem.to_owned(), text.to_owned());
                    }
                    Err(error) => refuse(format!("cannot read the file {path}: {error}")),
                }
            }
        }
        problems
    }

    /// Properties that the worker sets itself, with the reason.
    pub(super) fn refused(&self, protocol: GroupProtocol) -> Vec<Problem> {
        self.iter()
            .filter_map(|(key, _)| {
                let owned = OWNED.iter().find(|(owned, _)| *owned == key).map(|(_, reason)| *reason);
                let reason = owned.or_else(|| conflict(key, protocol))?;
                Some(Problem::new(format!("{SECTION}.{key}"), format!("cannot be set: {reason}")))
            })
            .collect()
    }
}

/// Keys that an invariant owns, librdkafka's aliases included.
const OWNED: &[(&str, &str)] = &[
    ("acks", ACKS),
    ("request.required.acks", ACKS),
    ("auto.commit.enable", OFFSETS),
    ("auto.offset.reset", "input.start and input.on_lost_position decide where to read"),
    ("batch.size", "it is capped by the output topic's max.message.bytes, or batches could never be sent"),
    ("bootstrap.servers", "use kafka.brokers"),
    ("metadata.broker.list", "use kafka.brokers"),
    ("compression.codec", "use output.compression"),
    ("compression.type", "use output.compression"),
    ("delivery.report.only.error", "every delivery is counted before a commit (I1)"),
    ("enable.auto.commit", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("enable.idempotence", "transactions need it (I2)"),
    ("enable.partition.eof", "lanes do not read such events"),
    ("group.id", "use kafka.group"),
    ("group.instance.id", "use worker.instance"),
    ("group.protocol", PROTOCOL),
    ("group.protocol.type", PROTOCOL),
    ("isolation.level", "only committed records may be read, or a takeover repeats posts (I2)"),
    ("max.in.flight", IN_FLIGHT),
    ("max.in.flight.requests.per.connection", IN_FLIGHT),
    ("message.max.bytes", "it is read from the target topics' max.message.bytes"),
    ("partition.assignment.strategy", PROTOCOL),
    ("partitioner", "use output.partitioner"),
    ("session.timeout.ms", "use kafka.session_timeout"),
    ("statistics.interval.ms", "lag comes from positions; librdkafka's figures go stale with transactions"),
    ("transaction.timeout.ms", "it follows kafka.session_timeout, or a dead worker blocks the others"),
    ("transactional.id", "it is made of kafka.group, worker.instance and the lane, and fences zombies (I2)"),
];
const ACKS: &str = "every replica in sync must acknowledge (I2)";
const IN_FLIGHT: &str = "it bounds what idempotence can keep in order (I4)";
const OFFSETS: &str = "offsets are committed with the outputs they cover (I2)";
const PROTOCOL: &str = "use kafka.group_protocol";

/// Why a key does not go together with the group's protocol, if it does not.
fn conflict(key: &str, protocol: GroupProtocol) -> Option<&'static str> {
    match (key, protocol) {
        ("heartbeat.interval.ms", GroupProtocol::Consumer) => {
            Some("with kafka.group_protocol = \"consumer\" the brokers decide, by group.consumer.heartbeat.interval.ms")
        }
        ("group.remote.assignor", GroupProtocol::Eager | GroupProtocol::Cooperative) => {
            Some("brokers share partitions out with kafka.group_protocol = \"consumer\" only")
        }
        _ => None,
    }
}

/// Whether the value of this property may be a secret; errs on the side of yes.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // sasl.oauthbearer.config can hold a client secret among its settings, proxy_url a password.
    ["password", "secret", "pem", "token", "key", "oauthbearer.config", "proxy_url"]
        .iter()
        .any(|word| key.contains(word))
}

/// Makes dotted keys of nested tables, calling `leaf` with each key and value.
pub(super) fn flatten<'a>(prefix: &str, value: &'a Value, leaf: &mut impl FnMut(String, &'a Value)) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, leaf);
            }
        }
        value => leaf(prefix.to_owned(), value),
    }
}

impl FromIterator<(String, String)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(properties: I) -> Self {
        Self(properties.into_iter().collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.redacted()).finish()
    }
}

impl Properties {
    fn redacted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(key, value)| (key, if is_secret(key) { REDACTED } else { value }))
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.redacted())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Value::Object(serde_json::Map::deserialize(deserializer)?);
        let mut properties = BTreeMap::new();
        let mut wrong = None;
        flatten("", &table, &mut |key, value| {
            match value {
                Value::String(text) => properties.insert(key, text.clone()),
                Value::Number(number) => properties.insert(key, number.to_string()),
                Value::Bool(flag) => properties.insert(key, flag.to_string()),
                _ => wrong.replace(key),
            };
        });
        match wrong {
            // The value may be a secret: name the key only.
            Some(key) => Err(de::Error::custom(format!("{key} must be text, a number, true or false"))),
            None => Ok(Self(properties)),
        }
    }
}

impl JsonSchema for Properties {
    fn schema_name() -> Cow<'static, str> {
        "Properties".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "object"]},
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn properties(value: Value) -> Properties {
        serde_json::from_value(value).expect("properties")
    }

    #[test]
    fn nested_tables_become_dotted_keys_and_scalars_text() {
        let nested = properties(json!({"sasl": {"username": "me"}, "socket.keepalive.enable": true, "retries": 3}));
        let flat = [("retries", "3"), ("sasl.username", "me"), ("socket.keepalive.enable", "true")];
        assert_eq!(nested.iter().collect::<Vec<_>>(), flat);
    }

    #[test]
    fn secrets_are_neither_debugged_nor_serialised() {
        let secret = "hunter2";
        let hidden = properties(json!({
            "sasl.password": secret, "ssl.key.pem": secret, "sasl.oauthbearer.client.secret": secret,
            "ssl.certificate.pem": secret, "sasl.oauthbearer.config": secret, "x.TOKEN": secret,
            "sasl.username": "me",
        }));
        let printed = format!("{hidden:?} {hidden:#?} {}", serde_json::to_string(&hidden).expect("json"));
        assert!(!printed.contains(secret), "{printed}");
        assert!(printed.contains("\"sasl.username\": \"me\""), "{printed}");
    }

    #[test]
    fn a_list_is_refused_without_its_value() {
        let error =
            serde_json::from_value::<Properties>(json!({"sasl": {"password": ["hunter2"]}})).expect_err("a list");
        assert_eq!(error.to_string(), "sasl.password must be text, a number, true or false");
    }

    #[test]
    fn keys_that_an_invariant_owns_are_refused_with_the_reason() {
        for key in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "isolation.level",
            "auto.offset.reset",
            "transactional.id",
            "group.id",
            "group.instance.id",
            "enable.idempotence",
            "bootstrap.servers",
            "session.timeout.ms",
            "transaction.timeout.ms",
            "message.max.bytes",
            "batch.size",
            "acks",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "statistics.interval.ms",
            "enable.partition.eof",
            "group.protocol",
            "group.protocol.type",
            "partition.assignment.strategy",
        ] {
            let problems = properties(json!({key: "x"})).refused(GroupProtocol::Eager);
            assert_eq!(problems.len(), 1, "{key}");
            assert_eq!(problems[0].key, format!("kafka.properties.{key}"));
            assert!(problems[0].remedy.starts_with("cannot be set: "), "{key}");
        }
        let others = properties(json!({"sasl.mechanism": "PLAIN", "linger.ms": 5}));
        assert!(others.refused(GroupProtocol::Eager).is_empty());
    }

    #[test]
    fn keys_of_another_group_protocol_are_refused() {
        use GroupProtocol::{Consumer, Cooperative, Eager};
        let taken = |key: &str| {
            [Eager, Cooperative, Consumer].map(|protocol| properties(json!({key: "1"})).refused(protocol).is_empty())
        };
        assert_eq!(taken("heartbeat.interval.ms"), [true, true, false]);
        assert_eq!(taken("group.remote.assignor"), [false, false, true]);
        assert_eq!(taken("max.poll.interval.ms"), [true; 3]);
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_line_break() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(b" hunter2 \r\n").expect("write");
        let mut read = properties(json!({"ssl": {"key.password_file": file.path()}}));
        assert_eq!(read.read_secret_files(SECTION), []);
        assert_eq!(read.iter().collect::<Vec<_>>(), [("ssl.key.password", " hunter2 ")]);
    }

    #[test]
    fn a_token_file_of_a_store_is_left_to_its_library() {
        let given =
            json!({"aws_web_identity_token_file": "/does/not/exist", "aws_secret_access_key_file": "/nor/this"});
        let mut read = properties(given);
        let problems = read.read_secret_files(STORE_SECTION);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, "archive.properties.aws_secret_access_key_file");
        assert_eq!(read.get("aws_web_identity_token_file"), Some("/does/not/exist"));
    }

    #[test]
    fn a_secret_file_that_cannot_serve_is_a_problem() {
        let empty = tempfile::NamedTempFile::new().expect("file");
        let mut wrong = properties(json!({
            "sasl.password_file": empty.path(), "ssl.key.pem_file": "/does/not/exist",
            "sasl.username_file": "x", "ssl.key.password": "a", "ssl.key.password_file": "b",
        }));
        let problems = wrong.read_secret_files(SECTION);
        let keys = problems.iter().map(|p| p.key.trim_start_matches("kafka.properties.")).collect::<Vec<_>>();
        assert_eq!(keys, ["sasl.password_file", "sasl.username_file", "ssl.key.password_file", "ssl.key.pem_file"]);
        assert!(problems[0].remedy.ends_with("is empty"));
    }
}
