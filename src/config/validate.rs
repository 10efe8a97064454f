//! Checks of values that have the right type: what they may be, and what goes together.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::topics::pattern;
use super::{Condition, Config, Exposure, OneOrMore, Problem, Span, librdkafka, oauth};

/// Everything wrong with this configuration, each under the key to change.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut checks = Checks::default();
    checks.topics(config);
    checks.mapping(config);
    checks.names(config);
    checks.times(config);
    checks.breaker(config);
    checks.shadow(config);
    checks.privacy(config);
    checks.process(config);
    checks.archive(config);
    checks.0.extend(config.kafka.properties.refused(config.kafka.group_protocol));
    checks.0.extend(oauth::check(&config.kafka));
    let unknown = librdkafka::refused(&config.kafka.properties);
    // A reason of ours says more.
    let unknown = unknown.into_iter().filter(|problem| checks.0.iter().all(|known| known.key != problem.key));
    let unknown: Vec<Problem> = unknown.collect();
    checks.0.extend(unknown);
    checks.0
}

#[derive(Default)]
struct Checks(Vec<Problem>);

impl Checks {
    /// Reports `remedy` unless the condition holds.
    fn require(&mut self, holds: bool, key: &str, remedy: impl Into<String>) {
        if !holds {
            self.0.push(Problem::new(key, remedy));
        }
    }

    fn topics(&mut self, config: &Config) {
        let inputs = &config.input.topics;
        let (output, dead) = (&config.output.topic, &config.dead_letter.topic);
        self.require(!inputs.is_empty(), "input.topics", "must name at least one topic");
        let distinct = inputs.iter().collect::<BTreeSet<_>>().len();
        self.require(distinct == inputs.len(), "input.topics", "names a topic twice");
        for (key, entries) in [("input.topics", inputs), ("input.exclude_topics", &config.input.exclude_topics)] {
            for entry in entries {
                match pattern(entry) {
                    None => self.topic(key, entry),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let remedy =
                            format!("\"{entry}\" is no regular expression ({error}); write one such as ^posts\\..*");
                        self.require(false, key, remedy);
                    }
                }
            }
        }
        for excluded in &config.input.exclude_topics {
            self.require(
                !inputs.contains(excluded),
                "input.exclude_topics",
                format!("\"{excluded}\" is one of input.topics; leave it out of one of the two"),
            );
        }
        self.topic("output.topic", output);
        self.topic("dead_letter.topic", dead);
        // A worker that read what it writes would label its own output for ever.
        for (key, topic) in [("output.topic", output), ("dead_letter.topic", dead)] {
            self.require(
                !inputs.contains(topic),
                key,
                "is also one of input.topics: the worker would read its own output",
            );
        }
        self.require(output != dead, "dead_letter.topic", "must differ from output.topic");
    }

    /// Kafka's own rule for names (`Topic.validate`).
    fn topic(&mut self, key: &str, topic: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let valid = (1..=249).contains(&topic.len()) && topic.chars().all(legal) && topic != "." && topic != "..";
        self.require(
            valid,
            key,
            format!("\"{topic}\" is no topic name: 1 to 249 letters, digits, dots, underscores and hyphens"),
        );
    }

    fn mapping(&mut self, config: &Config) {
        let input = &config.input;
        let fields = &input.fields;
        let texts = fields.text.as_slice();
        let named = !texts.is_empty() && texts != [""];
        self.require(named, "input.fields.text", "must say where the text is, such as \"/text\"");
        for (key, field) in [
            ("input.fields.id", &fields.id),
            ("input.fields.text", &fields.text),
            ("input.fields.created_at", &fields.created_at),
            ("input.fields.lang", &fields.lang),
            ("input.fields.author", &fields.author),
            ("input.fields.platform", &fields.platform),
        ] {
            for pointer in field.as_slice() {
                self.pointer(key, pointer, matches!(field, OneOrMore::One(_)));
            }
        }
        self.pointer("input.post", &input.post, true);
        for (pointer, condition) in &input.select {
            let key = format!("input.select.{pointer}");
            self.pointer(&key, pointer, false);
            let impossible = matches!(condition, Condition::Is(values) if values.as_slice().is_empty());
            self.require(!impossible, &key, "takes no value at all; write { not = [] } to take any");
        }
        for (name, pointer) in &input.extra {
            self.pointer(&format!("input.extra.{name}"), pointer, false);
        }
        self.require(input.max_text_bytes.0 > 0, "input.max_text_bytes", "must be above 0");
        self.require(input.max_line_bytes.0 > 0, "input.max_line_bytes", "must be above 0");
    }

    /// RFC 6901: `/` before each step; `~` only as `~0` and `~1`.
    fn pointer(&mut self, key: &str, pointer: &str, may_be_empty: bool) {
        let starts = pointer.starts_with('/') || (may_be_empty && pointer.is_empty());
        let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        self.require(
            starts && escapes,
            key,
            format!("\"{pointer}\" is no JSON pointer: it starts with / and writes ~ as ~0, / in a name as ~1"),
        );
    }

    fn names(&mut self, config: &Config) {
        let (kafka, worker) = (&config.kafka, &config.worker);
        self.require(
            !kafka.brokers.trim().is_empty(),
            "kafka.brokers",
            "must name a broker, such as \"localhost:9092\"",
        );
        self.require(!kafka.group.trim().is_empty(), "kafka.group", "must not be empty");
        // A transactional id is group/instance/lane: a slash inside would make two workers one.
        for (key, name) in [("kafka.group", &kafka.group), ("worker.instance", &worker.instance)] {
            self.require(
                !name.contains('/'),
                key,
                "must not contain /, which separates the parts of transactional ids",
            );
        }
    }

    fn times(&mut self, config: &Config) {
        const SHORTEST: Duration = Duration::from_secs(6);
        const LONGEST: Duration = Duration::from_mins(30);
        let (kafka, batch) = (&config.kafka, &config.batch);
        self.require(
            (SHORTEST..=LONGEST).contains(&kafka.session_timeout.0),
            "kafka.session_timeout",
            "must be between 6s and 30m, which are the brokers' own limits unless they were changed",
        );
        for (key, span) in [
            ("kafka.request_deadline", kafka.request_deadline),
            ("kafka.topic_check_interval", kafka.topic_check_interval),
            ("breaker.probe_interval", config.breaker.probe_interval),
            ("batch.target", batch.target),
        ] {
            self.require(span > Span(Duration::ZERO), key, "must be longer than nothing");
        }
        self.require(
            batch.linger < batch.target,
            "batch.linger",
            format!("must be shorter than batch.target, which is {}", batch.target),
        );
        self.require(batch.max_bytes.0 > 0, "batch.max_bytes", "must be above 0");
    }

    fn breaker(&mut self, config: &Config) {
        let breaker = &config.breaker;
        self.require(
            breaker.threshold > 0.0 && breaker.threshold <= 1.0,
            "breaker.threshold",
            "must be above 0 and at most 1",
        );
        self.require(
            breaker.min_seen <= breaker.window,
            "breaker.min_seen",
            format!("must be at most breaker.window, which is {}, or the breaker never trips", breaker.window),
        );
    }

    fn shadow(&mut self, config: &Config) {
        let share = config.shadow.share;
        self.require(
            share > 0.0 && share <= 1.0,
            "shadow.share",
            "must be above 0 and at most 1; without shadow.path there is no shadow",
        );
    }

    fn archive(&mut self, config: &Config) {
        const SHORTEST: Duration = Duration::from_secs(1);
        let archive = &config.archive;
        self.require(
            !archive.url.trim().is_empty(),
            "archive.url",
            "must be a folder or a URL such as s3://bucket/posts",
        );
        self.require(
            !archive.group.contains('/'),
            "archive.group",
            "must not contain /, which separates the parts of names",
        );
        self.require(
            archive.group != config.kafka.group || archive.group.is_empty(),
            "archive.group",
            "must differ from kafka.group, or lanes and archivers would take each other's partitions",
        );
        for (key, span) in [("archive.idle", archive.idle), ("archive.put_deadline", archive.put_deadline)] {
            self.require(span.0 >= SHORTEST, key, "must be 1s or more");
        }
        self.require(
            archive.put_deadline.0 <= Duration::from_mins(4),
            "archive.put_deadline",
            "must be 4m or less: the consumer must poll within five minutes",
        );
        let (segment, memory) = (archive.segment_bytes, archive.memory);
        self.require(memory.0 >= 1 << 20, "archive.memory", "must be 1MiB or more");
        self.require(
            segment.0 > 0 && segment <= memory,
            "archive.segment_bytes",
            format!("must be above 0 and at most archive.memory, which is {memory}"),
        );
        let kept = archive.retention.0;
        self.require(
            kept.is_zero() || kept >= Duration::from_hours(1),
            "archive.retention",
            "must be 1h or more, or 0s to keep everything",
        );
    }

    fn privacy(&mut self, config: &Config) {
        let (privacy, archive) = (&config.privacy, &config.archive);
        let archived = config.worker.role.archives() && archive.text == Exposure::Hash;
        let hashes = privacy.text == Exposure::Hash || privacy.author == Exposure::Hash || archived;
        if hashes && let Err(remedy) = usable_key(&privacy.key_file) {
            self.require(false, "privacy.key_file", remedy);
        }
    }

    fn process(&mut self, config: &Config) {
        self.require(!config.model.path.as_os_str().is_empty(), "model.path", "must name the model's directory");
        let listen = &config.admin.listen;
        let address =
            listen.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        self.require(
            listen.is_empty() || address,
            "admin.listen",
            "must be an address and port such as \"127.0.0.1:9464\", or empty for no server",
        );
        if let Err(error) = EnvFilter::try_new(&config.log.level) {
            let remedy = format!("is no log filter ({error}); write info, or info,moodstream::lane=debug");
            self.require(false, "log.level", remedy);
        }
    }
}

/// Whether this file can serve as the key of the keyed hash.
fn usable_key(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() {
        return Err(
            "must name a file with the key, because privacy.text, privacy.author or archive.text is \"hash\"".into()
        );
    }
    let key = std::fs::read(path).map_err(|error| format!("cannot read the key: {error}"))?;
    if key.trim_ascii().is_empty() {
        return Err("the file is empty; write the key into it, for example by openssl rand -hex 32".into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).map_err(|error| format!("cannot read the key: {error}"))?;
        if metadata.permissions().mode() & 0o007 != 0 {
            return Err("every user of this machine can read or change the key; chmod 600 it".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::ConfigErrors;
    use super::*;

    /// The keys refused when these are set.
    fn refused(flags: &[(&str, &str)]) -> Vec<String> {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        match Config::load(None, std::iter::empty(), &flags) {
            Ok(_) => Vec::new(),
            Err(ConfigErrors(problems)) => problems.into_iter().map(|problem| problem.key).collect(),
        }
    }

    #[test]
    fn one_wrong_value_is_one_problem_under_its_key() {
        let cases = [
            ("input.topics", ""),
            ("input.topics", "a,a"),
            ("input.topics", "po sts"),
            ("input.topics", "^posts.("),
            ("input.exclude_topics", "posts"),
            ("input.exclude_topics", "po sts"),
            ("input.exclude_topics", "^["),
            ("output.topic", ""),
            ("output.topic", "posts"),
            ("dead_letter.topic", "posts"),
            ("dead_letter.topic", "posts.emotions"),
            ("input.fields.text", ""),
            ("input.fields.text", "text"),
            ("input.fields.lang", "lang"),
            ("input.fields.id", "id"),
            ("input.fields.id", "/did,id"),
            ("input.fields.author", "/a~2"),
            ("input.select.kind", "commit"),
            ("input.extra.likes", "likes"),
            ("input.max_text_bytes", "0"),
            ("input.max_line_bytes", "0"),
            ("kafka.brokers", " "),
            ("kafka.group", ""),
            ("kafka.group", "a/b"),
            ("kafka.session_timeout", "5s"),
            ("kafka.session_timeout", "1h"),
            ("kafka.request_deadline", "0s"),
            ("kafka.topic_check_interval", "0s"),
            ("kafka.properties.acks", "1"),
            ("kafka.properties.sasl.passwrod", "hunter2"),
            ("kafka.properties.socket.timeout.ms", "soon"),
            ("kafka.oauth.timeout", "0s"),
            ("worker.instance", "a/b"),
            ("batch.max_bytes", "0"),
            ("batch.linger", "1s"),
            ("breaker.threshold", "0"),
            ("breaker.threshold", "1.1"),
            ("breaker.threshold", "nan"),
            ("breaker.min_seen", "1001"),
            ("breaker.probe_interval", "0s"),
            ("archive.url", " "),
            ("archive.group", "a/b"),
            ("archive.group", "moodstream"),
            ("archive.idle", "10ms"),
            ("archive.put_deadline", "5m"),
            ("archive.segment_bytes", "0"),
            ("archive.segment_bytes", "300MiB"),
            ("archive.retention", "1m"),
            ("archive.properties.aws_regoin_file", "x"),
            ("model.path", ""),
            ("admin.listen", "9464"),
            ("admin.listen", "localhost:99999"),
            ("log.level", "moodstream=loud"),
        ];
        for (key, value) in cases {
            assert_eq!(refused(&[(key, value)]), [key], "{key} = {value}");
        }
    }

    #[test]
    fn values_at_the_edge_are_taken() {
        let cases = [
            ("input.topics", r"^posts\..*,extra"),
            ("input.exclude_topics", "^posts-old"),
            ("input.fields.id", ""),
            ("input.fields.id", "/did,/commit/rkey"),
            ("input.fields.lang", ""),
            ("input.fields.text", "/a~1b/~0c"),
            ("input.select./kind", "commit"),
            ("kafka.session_timeout", "6s"),
            ("breaker.threshold", "1"),
            ("worker.instance", "pod-0"),
            ("admin.listen", ""),
            ("admin.listen", "[::1]:0"),
            ("log.level", "info,moodstream::lane=debug"),
        ];
        for (key, value) in cases {
            assert_eq!(refused(&[(key, value)]), [""; 0], "{key} = {value}");
        }
    }

    #[test]
    fn hashing_needs_a_key_that_others_cannot_read() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        let path = file.path().to_str().expect("utf-8").to_owned();
        let hash = ("privacy.author", "hash");
        let problem = ["privacy.key_file"];
        assert_eq!(refused(&[hash]), problem);
        assert_eq!(refused(&[hash, ("privacy.key_file", "/does/not/exist")]), problem);
        assert_eq!(refused(&[hash, ("privacy.key_file", &path)]), problem, "empty");
        file.write_all(b"secret\n").expect("write");
        assert_eq!(refused(&[hash, ("privacy.key_file", &path)]), [""; 0]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("chmod");
            assert_eq!(refused(&[hash, ("privacy.key_file", &path)]), problem, "world-readable");
        }
        assert_eq!(refused(&[("privacy.key_file", "/does/not/exist")]), [""; 0], "nothing is hashed");
    }
}
