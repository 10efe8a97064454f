//! Judges a topic by what it is for, and words the command that creates it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::report::Verdict;
use crate::config::{Config, Partitioner};
use crate::kafka::{TopicFacts, grant};

/// Partitions of an input topic that has to be created, where nothing tells how many.
const PARTITIONS: usize = 12;
/// Replicas of a created topic, where there are as many brokers.
const REPLICAS: usize = 3;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Input,
    Output,
    DeadLetter,
}

impl Role {
    /// Its name in the report.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::DeadLetter => "dead letters",
        }
    }

    /// What the worker does with it, as permissions call it.
    pub(super) fn operation(self) -> &'static str {
        match self {
            Self::Input => "Read",
            Self::Output | Self::DeadLetter => "Write",
        }
    }

    /// The setting that names the topic.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Input => "input.topics",
            Self::Output => "output.topic",
            Self::DeadLetter => "dead_letter.topic",
        }
    }
}

/// The topics that matter: these inputs, and those that the worker writes to.
pub(super) fn all<'a>(inputs: &'a BTreeSet<String>, config: &'a Config) -> Vec<(Role, &'a str)> {
    let inputs = inputs.iter().map(|topic| (Role::Input, topic.as_str()));
    inputs
        .chain([(Role::Output, config.output.topic.as_str()), (Role::DeadLetter, config.dead_letter.topic.as_str())])
        .collect()
}

/// A topic that is missing, with the shape that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing<'a> {
    pub(super) role: Role,
    pub(super) topic: &'a str,
    pub(super) partitions: usize,
    pub(super) replication: usize,
    pub(super) brokers: &'a str,
    /// The brokers want more than an address: encryption or a user.
    pub(super) secured: bool,
}

impl<'a> Missing<'a> {
    /// As many partitions as the input, as many replicas as brokers allow.
    pub(super) fn new(role: Role, topic: &'a str, inputs: &[TopicFacts], brokers: usize, config: &'a Config) -> Self {
        let most = inputs.iter().map(|input| input.partitions).max();
        let mut properties = config.kafka.properties.iter();
        Self {
            role,
            topic,
            partitions: most.unwrap_or(PARTITIONS),
            replication: brokers.clamp(1, REPLICAS),
            brokers: &config.kafka.brokers,
            secured: properties.any(|(key, _)| key == "security.protocol"),
        }
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partitions, replication, brokers, .. } = self;
        write!(f, "kafka-topics.sh --bootstrap-server {brokers}")?;
        if self.secured {
            write!(f, " --command-config client.properties")?;
        }
        write!(
            f,
            " --create --topic {topic} --partitions {partitions} --replication-factor {replication} \
             --config cleanup.policy=delete"
        )
    }
}

/// What there is to say about a topic, The first entry describes it.
pub(super) fn judge(
    role: Role,
    topic: &str,
    facts: &TopicFacts,
    inputs: &[TopicFacts],
    config: &Config,
) -> Vec<(Verdict, String)> {
    let setting = |key: &str| facts.settings.get(key).map(String::as_str);
    let number = |key: &str| setting(key).and_then(|value| value.parse::<usize>().ok());
    let mut said =
        format!("{topic}: {}, replication factor {}", count(facts.partitions, "partition"), facts.replication);
    for key in ["min.insync.replicas", "max.message.bytes", "cleanup.policy"] {
        if let Some(value) = setting(key) {
            said = format!("{said}, {key} {value}");
        }
    }
    let mut findings = vec![(Verdict::Right, said)];
    let mut add = |verdict, text: String| findings.push((verdict, format!("{topic}: {text}")));
    if facts.settings.is_empty() {
        add(
            Verdict::Remark,
            "its settings cannot be read (permission DescribeConfigs); max.message.bytes is taken to be 1048588".into(),
        );
    }
    if setting("cleanup.policy").is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact")) {
        let alter = format!(
            "kafka-configs.sh --bootstrap-server {} --alter --topic {topic} --add-config cleanup.policy=delete",
            config.kafka.brokers
        );
        match role {
            Role::Input => add(Verdict::Remark, "is compacted: of posts with one key only the last may be read".into()),
            _ => {
                add(
                    Verdict::Wrong,
                    format!("is compacted: of records with one key all but the last are lost; {alter}"),
                );
            }
        }
    }
    if role != Role::Input {
        if number("min.insync.replicas").is_some_and(|least| least > facts.replication) {
            let text = "min.insync.replicas is above the replication factor: nothing can be written; lower it";
            add(Verdict::Wrong, text.into());
        }
        let largest = inputs.iter().filter_map(|i| i.settings.get("max.message.bytes")?.parse::<usize>().ok()).max();
        if let (Some(limit), Some(largest)) = (number("max.message.bytes"), largest)
            && limit < largest
        {
            let consequence = match role {
                Role::Output => "a post whose output is larger becomes a dead letter (output_too_large)",
                _ => "a larger dead letter is cut, with a mark",
            };
            let text = format!("max.message.bytes {limit} is below the input's {largest}: {consequence}");
            add(Verdict::Remark, text);
        }
    }
    match role {
        Role::Output if config.output.partitioner == Partitioner::Input => {
            let most = inputs.iter().map(|input| input.partitions).max().unwrap_or(0);
            if facts.partitions < most {
                add(Verdict::Remark, format!("{most} input partitions share {}", count(facts.partitions, "partition")));
            }
        }
        Role::Input if facts.partitions < config.worker.lanes.get() => {
            let lanes = config.worker.lanes;
            add(Verdict::Remark, format!("has fewer partitions than worker.lanes = {lanes}: the other lanes stand by"));
        }
        _ => {}
    }
    let allowed = match role {
        Role::Input => facts.permissions.to_read(),
        _ => facts.permissions.to_write(),
    };
    if allowed == Some(false) {
        let word = role.operation();
        add(Verdict::Wrong, format!("this user lacks the permission {word}; {}", grant(config, word, "topic", topic)));
    }
    findings
}

/// "1 partition", "2 partitions".
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[(&str, &str)]) -> Config {
        let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::load(None, std::iter::empty(), &flags).expect("valid")
    }

    fn facts(partitions: usize, settings: &[(&str, &str)]) -> TopicFacts {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TopicFacts { partitions, replication: 1, settings, ..TopicFacts::default() }
    }

    fn verdicts(role: Role, facts: &TopicFacts) -> Vec<Verdict> {
        let input = self::facts(4, &[("max.message.bytes", "1000"), ("cleanup.policy", "delete")]);
        let findings = judge(role, "t", facts, &[input], &config(&[("worker.lanes", "4")]));
        findings.into_iter().map(|(verdict, _)| verdict).collect()
    }

    #[test]
    fn a_topic_that_fits_is_right() {
        let good =
            facts(4, &[("cleanup.policy", "delete"), ("max.message.bytes", "1000"), ("min.insync.replicas", "1")]);
        for role in [Role::Input, Role::Output, Role::DeadLetter] {
            assert_eq!(verdicts(role, &good), [Verdict::Right], "{role:?}");
        }
    }

    #[test]
    fn compaction_loses_outputs_and_is_remarked_on_inputs() {
        for policy in ["compact", "delete,compact", "delete, compact"] {
            let compacted = facts(4, &[("cleanup.policy", policy)]);
            assert_eq!(verdicts(Role::Output, &compacted), [Verdict::Right, Verdict::Wrong]);
            assert_eq!(verdicts(Role::DeadLetter, &compacted), [Verdict::Right, Verdict::Wrong]);
            assert_eq!(verdicts(Role::Input, &compacted), [Verdict::Right, Verdict::Remark]);
        }
    }

    #[test]
    fn more_replicas_in_sync_than_there_are_stop_every_write() {
        let stuck = facts(4, &[("min.insync.replicas", "2")]);
        assert_eq!(verdicts(Role::Output, &stuck), [Verdict::Right, Verdict::Wrong]);
        assert_eq!(verdicts(Role::Input, &stuck), [Verdict::Right], "of no account for reading");
    }

    #[test]
    fn smaller_records_fewer_partitions_and_hidden_settings_are_remarked() {
        let small = facts(4, &[("max.message.bytes", "999")]);
        assert_eq!(verdicts(Role::Output, &small), [Verdict::Right, Verdict::Remark]);
        assert_eq!(verdicts(Role::DeadLetter, &small), [Verdict::Right, Verdict::Remark]);
        let few = facts(3, &[("cleanup.policy", "delete")]);
        assert_eq!(verdicts(Role::Output, &few), [Verdict::Right, Verdict::Remark]);
        assert_eq!(verdicts(Role::DeadLetter, &few), [Verdict::Right]);
        assert_eq!(verdicts(Role::Input, &few), [Verdict::Right, Verdict::Remark], "four lanes");
        assert_eq!(verdicts(Role::Output, &facts(4, &[])), [Verdict::Right, Verdict::Remark]);
    }

    #[test]
    fn a_missing_topic_takes_the_inputs_partitions_and_the_brokers_replicas() {
        let config = config(&[("kafka.brokers", "b:1"), ("kafka.properties.security.protocol", "ssl")]);
        let missing = Missing::new(Role::Output, "out", &[facts(7, &[])], 5, &config);
        assert_eq!(
            missing.to_string(),
            "kafka-topics.sh --bootstrap-server b:1 --command-config client.properties --create --topic out \
             --partitions 7 --replication-factor 3 --config cleanup.policy=delete"
        );
        let alone = Missing::new(Role::Input, "in", &[], 1, &config);
        assert_eq!((alone.partitions, alone.replication), (12, 1));
    }
}
