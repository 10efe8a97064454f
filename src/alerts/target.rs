//! Where events go: standard output, a webhook, or a topic.

use std::io::{self, Write};
use std::path::Path;

use super::webhook::Webhook;
use crate::config::{Config, ConfigErrors, InputTopics, Problem};

/// The flag that names it.
pub(crate) const FLAG: &str = "--to";

/// Where events go, as it was asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A line each.
    Stdout,
    /// A URL, which may hold a secret.
    Webhook(String),
    /// A topic, keyed by the event's id.
    Topic(String),
}

/// Whoever delivers what the archive remembers; a topic remembers by itself.
pub(crate) enum Courier {
    Stdout,
    Webhook(Box<Webhook>),
}

impl Target {
    /// `stdout`, `webhook:URL`, `webhook:@FILE` or `topic:NAME`.
    ///
    /// # Errors
    /// What would be right, without a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigErrors> {
        Self::of(text).map_err(|remedy| ConfigErrors(vec![Problem::about(FLAG, remedy)]))
    }

    /// Refuses a topic that the worker reads or writes itself.
    ///
    /// # Errors
    /// Which it is.
    pub(crate) fn verify(&self, config: &Config) -> Result<(), ConfigErrors> {
        let Self::Topic(topic) = self else { return Ok(()) };
        let key = if *topic == config.output.topic {
            "output.topic"
        } else if *topic == config.dead_letter.topic {
            "dead_letter.topic"
        } else if InputTopics::new(config).among(std::iter::once(topic.as_str())).contains(topic) {
            "input.topics"
        } else {
            return Ok(());
        };
        let remedy = format!("{topic} is one that {key} names, and an alert is no post; give a topic of its own");
        Err(ConfigErrors(vec![Problem::about(FLAG, remedy)]))
    }

    fn of(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "stdout" => Ok(Self::Stdout),
            Some(("topic", name)) if !name.is_empty() => Ok(Self::Topic(name.to_owned())),
            Some(("webhook", url)) => {
                let Some(file) = url.strip_prefix('@') else {
                    let remedy = "a webhook is a URL, as in webhook:https://host/path";
                    return Self::webhook(url).ok_or_else(|| remedy.to_owned());
                };
                let read = std::fs::read_to_string(Path::new(file));
                let url = read.map_err(|error| format!("{file} cannot be read: {error}"))?;
                Self::webhook(url.trim()).ok_or_else(|| format!("{file} must hold a URL, https://… or http://…"))
            }
            _ => Err("give stdout, webhook:URL, webhook:@FILE (a file that holds the URL) or topic:NAME".to_owned()),
        }
    }

    fn webhook(url: &str) -> Option<Self> {
        let parsed: ureq::http::Uri = url.parse().ok()?;
        let known = matches!(parsed.scheme_str(), Some("http" | "https"));
        (known && parsed.host().is_some_and(|host| !host.is_empty())).then(|| Self::Webhook(url.to_owned()))
    }

    /// Who delivers there; none for a topic.
    pub(crate) fn courier(&self) -> Option<Courier> {
        match self {
            Self::Stdout => Some(Courier::Stdout),
            Self::Webhook(url) => Some(Courier::Webhook(Box::new(Webhook::new(url)))),
            Self::Topic(_) => None,
        }
    }
}

impl Courier {
    /// Delivers one event; once this says so, the other side has it.
    ///
    /// # Errors
    /// Why it may not have it.
    pub(crate) fn deliver(&self, id: &str, event: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(event)?;
                stdout.write_all(b"\n")?;
                stdout.flush()?;
                Ok(())
            }
            Self::Webhook(webhook) => webhook.post(id, event).map_err(anyhow::Error::msg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_their_names() {
        assert!(Target::parse("stdout") == Ok(Target::Stdout));
        assert!(Target::parse("topic:moods.alerts") == Ok(Target::Topic("moods.alerts".to_owned())));
        let url = "https://host:8443/hook?a=b";
        assert!(Target::parse(&format!("webhook:{url}")) == Ok(Target::Webhook(url.to_owned())));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("{url}\n")).expect("written");
        assert!(Target::parse(&format!("webhook:@{}", file.path().display())) == Ok(Target::Webhook(url.to_owned())));
        for wrong in ["", "topic:", "webhook:", "webhook:ftp://s3cret", "webhook:@no-such-file", "https://s3cret/x"] {
            let told = Target::parse(wrong).err().expect(wrong).to_string();
            assert!(told.contains(": --to: ") && !told.contains("s3cret"), "{told}");
        }
    }
}
