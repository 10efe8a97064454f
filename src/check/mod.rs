//! Whether a worker could do its work, told in the order in which it would find out (I10).
//!
//! Library, model, brokers, topics and permissions, transactions, group. Goes on after a failure
//! where the next look still makes sense. It reads no record, joins no group and commits nothing;
//! only asked to, it creates the topics that are missing.

mod report;
mod topics;

use std::collections::BTreeSet;
use std::io;

use self::topics::{Missing, Role, count};
use crate::config::{Config, Delivery, InputTopics};
use crate::inference::{self, Bundle};
use crate::kafka::{BrokerError, GroupFacts, Inspector, TopicFacts, grant};

pub(crate) use self::report::{Report, Verdict};

/// Looks at everything that this configuration names and reports it. `create`: missing topics are created.
///
/// # Errors
/// When the report cannot be written; what is wrong is in the report.
pub(crate) async fn check(config: &Config, create: bool, report: &mut Report<'_>) -> io::Result<()> {
    check_model(config, report)?;
    let inspector = match Inspector::new(config) {
        Ok(inspector) => inspector,
        Err(error) => {
            report.line(Verdict::Wrong, "brokers", &format!("not asked: {error}"))?;
            return leave_out(report, &["topics", "transactions", "group"], "no way in");
        }
    };
    let brokers = match inspector.brokers() {
        Ok(found) => {
            let brokers = count(found.addresses.len(), "broker");
            let list = found.addresses.join(", ");
            let cluster = if found.cluster_id.is_empty() { "without an id" } else { &found.cluster_id };
            report.line(Verdict::Right, "brokers", &format!("cluster {cluster}, {brokers}: {list}"))?;
            found.addresses.len()
        }
        Err(error) => {
            let tried = &config.kafka.brokers;
            let found = if inspector.is_kept_out() {
                format!("the brokers of kafka.brokers = \"{tried}\" do not let this user in: {error}")
            } else {
                format!(
                    "no broker of kafka.brokers = \"{tried}\" answers: {error}; check the address and that it is up"
                )
            };
            report.line(Verdict::Wrong, "brokers", &found)?;
            return leave_out(report, &["topics", "transactions", "group"], "no broker answers");
        }
    };
    check_topics(config, &inspector, brokers, create, report).await?;
    check_transactions(config, &inspector, report)?;
    check_group(config, &inspector, report)
}

fn leave_out(report: &mut Report<'_>, what: &[&str], why: &str) -> io::Result<()> {
    what.iter().try_for_each(|what| report.line(Verdict::LeftOut, what, &format!("not looked at: {why}")))
}

/// Library and model: what a worker does before it talks to a broker.
fn check_model(config: &Config, report: &mut Report<'_>) -> io::Result<()> {
    let library = inference::load_library(&config.inference.library, config.inference.provider);
    match &library {
        Ok(library) => {
            let found = format!("ONNX Runtime {}, {}", library.version, library.path.display());
            report.line(Verdict::Right, "library", &found)?;
        }
        Err(error) => report.line(Verdict::Wrong, "library", &error.to_string())?,
    }
    if library.is_err() {
        return match Bundle::open(&config.model.path) {
            Ok(bundle) => {
                let found = format!("{} has all its files; not run: no library", bundle.info.id);
                report.line(Verdict::LeftOut, "model", &found)
            }
            Err(error) => report.line(Verdict::Wrong, "model", &chain(&error)),
        };
    }
    // One session proves as much as many.
    let single = crate::config::Inference { sessions: 1, ..config.inference.clone() };
    let loaded = match inference::load(&config.model, &single) {
        Ok(loaded) => loaded,
        Err(error) => return report.line(Verdict::Wrong, "model", &chain(&error)),
    };
    let (model, shown) = (loaded.classifier.model(), &loaded.verification);
    let found = format!(
        "{}, hash {:.12}…, {} on {}; golden scores off by {:.6} at most; {}",
        model.id,
        model.hash,
        count(model.labels.len(), "label"),
        loaded.provider,
        shown.max_deviation,
        if shown.batch_independent { "scores independent of the batch" } else { "scores depend on the batch" },
    );
    report.line(Verdict::Right, "model", &found)?;
    if !shown.batch_independent {
        let found =
            format!("batch-mates move scores by up to {:.1e}: equal texts are not merged", shown.batch_deviation);
        report.line(Verdict::Remark, "model", &found)?;
    }
    Ok(())
}

async fn check_topics(
    config: &Config,
    inspector: &Inspector,
    brokers: usize,
    create: bool,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let read = match_topics(config, inspector, report)?;
    let mut inputs: Vec<TopicFacts> = Vec::new();
    let mut still_missing = false;
    for (role, topic) in topics::all(&read, config) {
        let mut facts = inspector.topic(topic).await;
        if matches!(facts, Ok(None)) {
            let missing = Missing::new(role, topic, &inputs, brokers, config);
            if !create {
                still_missing = true;
                report.line(Verdict::Wrong, role.as_str(), &format!("there is no topic {topic} ({})", role.key()))?;
                report.remedy(&missing.to_string())?;
                continue;
            }
            facts = create_topic(inspector, &missing).await;
            if facts.is_ok() {
                report.line(Verdict::Right, role.as_str(), &format!("{topic}: created"))?;
            }
        }
        match facts {
            Ok(Some(facts)) => {
                if role == Role::Input {
                    inputs.push(facts.clone());
                }
                for (verdict, found) in topics::judge(role, topic, &facts, &inputs, config) {
                    report.line(verdict, role.as_str(), &found)?;
                }
            }
            Ok(None) => {
                report.line(Verdict::Wrong, role.as_str(), &format!("{topic} was created and cannot be seen"))?;
            }
            Err(error) => {
                report.line(Verdict::Wrong, role.as_str(), &format!("{topic}: {error}"))?;
                if error.is_unauthorized() {
                    report.remedy(&grant(config, role.operation(), "topic", topic))?;
                }
            }
        }
    }
    if still_missing {
        report.remedy("or let moodstream check --create create what is missing")?;
    }
    Ok(())
}

/// The topics to read, and what patterns match.
fn match_topics(config: &Config, inspector: &Inspector, report: &mut Report<'_>) -> io::Result<BTreeSet<String>> {
    let topics = InputTopics::new(config);
    if !topics.has_pattern() {
        return Ok(topics.among(std::iter::empty()));
    }
    let existing = match inspector.topic_names() {
        Ok(existing) => existing,
        Err(error) => {
            report.line(Verdict::Wrong, "input", &format!("the topics cannot be listed: {error}"))?;
            Vec::new()
        }
    };
    let read = topics.among(existing.iter().map(String::as_str));
    let patterns = config.input.topics.join(", ");
    if read.is_empty() {
        let found = format!("no topic matches {patterns} (input.topics); a worker would wait for one, unready");
        report.line(Verdict::Wrong, "input", &found)?;
    } else {
        let list = read.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = format!(
            "{} {patterns}: {list}",
            if read.len() == 1 { "1 topic matches".to_owned() } else { format!("{} topics match", read.len()) }
        );
        report.line(Verdict::Right, "input", &found)?;
    }
    Ok(read)
}

async fn create_topic(inspector: &Inspector, missing: &Missing<'_>) -> Result<Option<TopicFacts>, BrokerError> {
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    inspector.create(missing.topic, number(missing.partitions), number(missing.replication)).await?;
    inspector.await_topic(missing.topic).await
}

/// Tries one, under an id that no worker has.
fn check_transactions(config: &Config, inspector: &Inspector, report: &mut Report<'_>) -> io::Result<()> {
    if config.kafka.delivery == Delivery::AtLeastOnce {
        return report.line(Verdict::LeftOut, "transactions", "not needed: kafka.delivery = \"at_least_once\"");
    }
    match inspector.try_transaction() {
        Ok(id) => report.line(Verdict::Right, "transactions", &format!("begun and aborted as {id}")),
        Err(error) => {
            report.line(Verdict::Wrong, "transactions", &format!("cannot be had: {error}"))?;
            if error.is_unauthorized() {
                let ids = format!("{}/ --resource-pattern-type prefixed", config.kafka.group);
                report.remedy(&grant(config, "Write", "transactional-id", &ids))?;
            }
            Ok(())
        }
    }
}

fn check_group(config: &Config, inspector: &Inspector, report: &mut Report<'_>) -> io::Result<()> {
    match inspector.group() {
        Ok(facts) => judge_group(config, &facts)
            .into_iter()
            .try_for_each(|(verdict, found)| report.line(verdict, "group", &found)),
        Err(error) => {
            let group = &config.kafka.group;
            report.line(Verdict::Wrong, "group", &format!("{group}: {error}"))?;
            if error.is_unauthorized() {
                report.remedy(&grant(config, "Read", "group", group))?;
            }
            Ok(())
        }
    }
}

/// What there is to say about the group. The first entry describes it.
fn judge_group(config: &Config, facts: &GroupFacts) -> Vec<(Verdict, String)> {
    let group = &config.kafka.group;
    let described = match facts.state.as_str() {
        "" | "Dead" => format!("{group}: new, begins at input.start = {}", config.input.start),
        "Empty" => format!("{group}: nobody is in it; it goes on from its committed offsets"),
        state => {
            // The client library has no word for what only KIP-848 groups are in while partitions move.
            let state = if state == "Unknown" { "rebalancing" } else { state };
            let members = facts.members.iter().map(|member| format!("{} on {}", member.client_id, member.host));
            let list = members.collect::<Vec<_>>().join(", ");
            format!("{group}: {}, {}: {list}", state.to_lowercase(), count(facts.members.len(), "member"))
        }
    };
    let mut findings = vec![(Verdict::Right, described)];
    let prefix = format!("{group}/{}/", config.worker.instance);
    let twin = facts.members.iter().find(|member| member.client_id.starts_with(&prefix));
    if let (false, Some(twin)) = (config.worker.instance.is_empty(), twin) {
        let found = format!(
            "worker.instance = \"{}\" is at work on {}: fine if that is this worker, but two at once fence each other",
            config.worker.instance, twin.host
        );
        findings.push((Verdict::Remark, found));
    }
    if facts.permissions.to_read() == Some(false) {
        let found = format!("this user lacks the permission Read on it; {}", grant(config, "Read", "group", group));
        findings.push((Verdict::Wrong, found));
    }
    findings
}

/// An error with its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Member, Permissions};

    fn judged(instance: &str, state: &str, client_ids: &[&str]) -> Vec<(Verdict, String)> {
        let flags = [("worker.instance", instance), ("kafka.group", "g")];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = Config::load(None, std::iter::empty(), &flags).expect("valid");
        let member = |id: &&str| Member { client_id: (*id).to_owned(), host: "10.0.0.7".to_owned() };
        let members = client_ids.iter().map(member).collect();
        judge_group(&config, &GroupFacts { state: state.to_owned(), members, permissions: Permissions::default() })
    }

    #[test]
    fn a_group_is_described_by_its_state() {
        assert_eq!(judged("", "", &[])[0].1, "g: new, begins at input.start = earliest");
        assert_eq!(judged("", "Dead", &[]), judged("", "", &[]));
        assert!(judged("", "Empty", &[])[0].1.contains("nobody"));
        assert_eq!(judged("", "Unknown", &["g/a/0"])[0].1, "g: rebalancing, 1 member: g/a/0 on 10.0.0.7");
        assert_eq!(judged("", "Stable", &["g/a/0"])[0].1, "g: stable, 1 member: g/a/0 on 10.0.0.7");
    }

    #[test]
    fn a_running_worker_of_the_same_name_is_pointed_out_and_no_other() {
        let remarked = |instance| judged(instance, "Stable", &["g/a/0", "g/a/1", "g/bb/0"]).len() == 2;
        assert!(remarked("a") && remarked("bb"));
        assert!(!remarked("b") && !remarked(""));
    }
}
