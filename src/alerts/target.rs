//! Where events go: standard output, a webhook, or a topic.

use std::io::{self, Write};
use std::path::Path;

use super::webhook::Webhook;
use crate::config::{Config, ConfigErrors, Problem};
use crate::kafka::{Crumb, Feed};

/// The flag that names it.
const FLAG: &str = "--to";

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

/// Whoever delivers.
pub(crate) enum Courier<'a> {
    Stdout,
    Webhook(Box<Webhook>),
    Topic { config: &'a Config, topic: String, feed: Option<Box<Feed>> },
}

impl Target {
    /// `stdout`, `webhook:URL`, `webhook:@FILE` or `topic:NAME`.
    ///
    /// # Errors
    /// What would be right, without a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigErrors> {
        Self::of(text).map_err(|remedy| ConfigErrors(vec![Problem::about(FLAG, remedy)]))
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

    /// Makes ready to deliver.
    ///
    /// # Errors
    /// When the topic is missing, or no broker answers.
    pub(crate) fn courier<'a>(&self, config: &'a Config) -> anyhow::Result<Courier<'a>> {
        Ok(match self {
            Self::Stdout => Courier::Stdout,
            Self::Webhook(url) => Courier::Webhook(Box::new(Webhook::new(url))),
            Self::Topic(topic) => {
                let feed = Some(Box::new(Feed::open(config, FLAG, topic)?));
                Courier::Topic { config, topic: topic.clone(), feed }
            }
        })
    }
}

impl Courier<'_> {
    /// Delivers one event; once this says so, the other side has it.
    ///
    /// # Errors
    /// Why it may not have it.
    pub(crate) fn deliver(&mut self, id: &str, event: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(event)?;
                stdout.write_all(b"\n")?;
                stdout.flush()?;
            }
            Self::Webhook(webhook) => webhook.post(id, event).map_err(anyhow::Error::msg)?,
            Self::Topic { config, topic, feed } => {
                let mut own = match feed.take() {
                    Some(feed) => feed,
                    None => Box::new(Feed::open(config, FLAG, topic)?),
                };
                own.send(Crumb { key: Some(id.as_bytes()), value: event, timestamp: None })?;
                let fed = own.settle();
                if fed.refused > 0 {
                    // What it counted stays counted: the next event gets a new one.
                    anyhow::bail!("{topic} did not take it: {}", fed.first_reason.unwrap_or_default());
                }
                *feed = Some(own);
            }
        }
        Ok(())
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
