//! The three places that a token comes from.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::endpoint::Endpoint;
use super::token::Token;
use super::{TokenError, command};
use crate::config::OAuth;

/// Whom an opaque token of a file or a command speaks for, as far as the client must name somebody; the broker
/// asks the token itself.
const NOBODY: &str = "moodstream";

/// Where tokens come from.
pub(super) struct Source {
    kind: Kind,
    /// Of tokens that do not say it.
    lifetime: Duration,
}

enum Kind {
    File(PathBuf),
    Command(Vec<String>, Duration),
    Endpoint(Box<Endpoint>),
}

impl Source {
    /// The source that is set; the configuration has made sure that there is one.
    ///
    /// # Errors
    /// When the authorities of the token endpoint cannot be read.
    pub(super) fn new(oauth: &OAuth) -> Result<Self, TokenError> {
        let kind = if !oauth.token_endpoint.is_empty() {
            Kind::Endpoint(Box::new(Endpoint::new(oauth)?))
        } else if !oauth.token_command.is_empty() {
            Kind::Command(oauth.token_command.clone(), oauth.timeout.0)
        } else {
            Kind::File(oauth.token_file.clone())
        };
        Ok(Self { kind, lifetime: oauth.token_lifetime.0 })
    }

    /// The key that names it.
    pub(super) fn key(&self) -> &'static str {
        match self.kind {
            Kind::File(_) => "kafka.oauth.token_file",
            Kind::Command(..) => "kafka.oauth.token_command",
            Kind::Endpoint(_) => "kafka.oauth.token_endpoint",
        }
    }

    /// Gets a token.
    ///
    /// # Errors
    /// Why there is none, within `kafka.oauth.timeout`.
    pub(super) fn fetch(&self) -> Result<Token, TokenError> {
        let refuse = |reason| TokenError::new(self.key(), reason);
        let (text, lifetime, principal) = match &self.kind {
            Kind::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
                (text, self.lifetime, NOBODY)
            }
            Kind::Command(command, timeout) => {
                (command::run(command, *timeout).map_err(refuse)?, self.lifetime, NOBODY)
            }
            Kind::Endpoint(endpoint) => {
                let granted = endpoint.ask()?;
                (granted.token, granted.lifetime.unwrap_or(self.lifetime), endpoint.client_id())
            }
        };
        Token::read(&text, Timestamp::now(), lifetime, principal).map_err(refuse)
    }
}
