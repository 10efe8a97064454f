//! `input.topics` and `input.exclude_topics`: names, and patterns, which begin with `^`.
//!
//! moodstream matches patterns by itself. Left to the client library or, with KIP-848, to the brokers, a pattern
//! could catch the topics that the worker writes to, and it would label its own output for ever.

use std::collections::BTreeSet;

use regex::Regex;

use super::Config;

/// A pattern matches whole names, as Java consumers and brokers do. `None`: a plain name.
pub(super) fn pattern(entry: &str) -> Option<Result<Regex, String>> {
    entry.starts_with('^').then(|| {
        Regex::new(&format!(r"\A(?:{entry})\z")).map_err(|error| {
            // The lines before the last one point into the pattern.
            let told = error.to_string();
            told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    })
}

/// Which topics are read.
#[derive(Debug, Clone)]
pub(crate) struct InputTopics {
    named: Vec<String>,
    patterns: Vec<Regex>,
    never: Vec<String>,
    never_matching: Vec<Regex>,
}

impl InputTopics {
    /// Of a configuration that was found valid: entries that are not are left out.
    pub(crate) fn new(config: &Config) -> Self {
        let (named, patterns) = split(&config.input.topics);
        let (mut never, never_matching) = split(&config.input.exclude_topics);
        never.extend([config.output.topic.clone(), config.dead_letter.topic.clone()]);
        Self { named, patterns, never, never_matching }
    }

    /// Those that are named; each has to exist.
    pub(crate) fn named(&self) -> &[String] {
        &self.named
    }

    /// Whether topics can come and go, because there is a pattern.
    pub(crate) fn has_pattern(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The topics to read when these exist: those that are named, and those that match. Neither the output nor the
    /// dead letters nor an excluded topic nor one of Kafka's own (`__…`) ever matches.
    pub(crate) fn among<'a>(&self, existing: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let matching = existing.filter(|topic| {
            self.patterns.iter().any(|pattern| pattern.is_match(topic))
                && !topic.starts_with("__")
                && !self.never.iter().any(|never| never == topic)
                && !self.never_matching.iter().any(|pattern| pattern.is_match(topic))
        });
        matching.map(str::to_owned).chain(self.named.iter().cloned()).collect()
    }
}

fn split(entries: &[String]) -> (Vec<String>, Vec<Regex>) {
    let (mut names, mut patterns) = (Vec::new(), Vec::new());
    for entry in entries {
        match pattern(entry) {
            None => names.push(entry.clone()),
            Some(pattern) => patterns.extend(pattern.ok()),
        }
    }
    (names, patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXISTING: [&str; 8] = [
        "posts.a",
        "posts.b",
        "posts.emotions",
        "posts.dead-letter",
        "posts.old",
        "my.posts.a",
        "__consumer_offsets",
        "other",
    ];

    fn read(topics: &[&str], exclude: &[&str]) -> Vec<String> {
        let mut config = Config::load(None, std::iter::empty(), &[]).expect("the defaults are valid");
        config.input.topics = topics.iter().map(ToString::to_string).collect();
        config.input.exclude_topics = exclude.iter().map(ToString::to_string).collect();
        InputTopics::new(&config).among(EXISTING.into_iter()).into_iter().collect()
    }

    #[test]
    fn a_pattern_matches_whole_names_and_never_what_the_worker_writes() {
        assert_eq!(read(&[r"^posts\..*"], &[]), ["posts.a", "posts.b", "posts.old"]);
        assert_eq!(read(&["^posts"], &[]), [""; 0], "not a beginning");
        assert_eq!(read(&["^.*"], &[]), ["my.posts.a", "other", "posts.a", "posts.b", "posts.old"]);
        assert_eq!(read(&["^posts.a|^other"], &[]), ["other", "posts.a"], "every branch is whole");
    }

    #[test]
    fn excluded_topics_never_match() {
        assert_eq!(read(&[r"^posts\..*"], &["posts.old", "^.*b"]), ["posts.a"]);
    }

    #[test]
    fn names_are_read_whether_they_exist_or_not_and_once() {
        assert_eq!(read(&["gone", "other", "^other"], &[]), ["gone", "other"]);
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said_in_a_line() {
        let error = pattern("^posts.(").expect("a pattern").expect_err("an open group");
        assert_eq!(error, "unclosed group");
    }
}
