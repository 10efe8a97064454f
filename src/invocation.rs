//! How this process was started, as a command line that a person can run again with something changed.

use std::borrow::Cow;
use std::env;

/// What stands for a value that may be a secret.
const HIDDEN: &str = "'***'";

/// The command of this process with `flag` set to `value`. Values of `kafka.properties` given by `--set` may be
/// secrets and are hidden.
pub(crate) fn again_with(flag: &str, value: &str) -> String {
    command(env::args_os().map(|word| word.to_string_lossy().into_owned()), flag, value)
}

fn command(arguments: impl Iterator<Item = String>, flag: &str, value: &str) -> String {
    let mut arguments = arguments.peekable();
    let mut words = Vec::new();
    words.extend(arguments.next().map(|program| quoted(&program).into_owned()));
    while let Some(argument) = arguments.next() {
        if argument == flag {
            // Its value goes too.
            arguments.next();
        } else if argument.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')) {
            // Written in one word.
        } else if argument == "--set" {
            words.push(argument);
            words.extend(arguments.next().map(|assignment| assigned(&assignment)));
        } else if let Some(assignment) = argument.strip_prefix("--set=") {
            words.push(format!("--set={}", assigned(assignment)));
        } else {
            words.push(quoted(&argument).into_owned());
        }
    }
    words.extend([flag.to_owned(), quoted(value).into_owned()]);
    words.join(" ")
}

/// `key=value` of `--set`, without what may be a secret.
fn assigned(assignment: &str) -> String {
    match assignment.split_once('=') {
        Some((key, _)) if key.trim().starts_with("kafka.properties") => format!("{key}={HIDDEN}"),
        _ => quoted(assignment).into_owned(),
    }
}

/// A word as a POSIX shell reads it.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(line: &[&str]) -> String {
        command(line.iter().map(ToString::to_string), "--on-lost-position", "earliest")
    }

    #[test]
    fn the_command_is_the_same_with_the_flag_set_anew() {
        assert_eq!(
            again(&["moodstream", "run", "--config", "moods.toml"]),
            "moodstream run --config moods.toml --on-lost-position earliest"
        );
        for before in [&["--on-lost-position", "stop"][..], &["--on-lost-position=stop"]] {
            let line = [&["moodstream", "run"], before, &["--lanes", "2"]].concat();
            assert_eq!(again(&line), "moodstream run --lanes 2 --on-lost-position earliest");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell_and_what_may_be_a_secret_is_hidden() {
        assert_eq!(
            again(&["moodstream", "run", "--topic", "a b'c", "--set", "input.topics=^posts.*"]),
            r"moodstream run --topic 'a b'\''c' --set 'input.topics=^posts.*' --on-lost-position earliest"
        );
        for line in [
            &["moodstream", "--set", "kafka.properties.sasl.password=hunter2"][..],
            &["moodstream", "--set=kafka.properties.sasl.password=hunter2"],
        ] {
            let said = again(line);
            assert!(!said.contains("hunter2") && said.contains("kafka.properties.sasl.password='***'"), "{said}");
        }
    }
}
