//! The token of SASL OAUTHBEARER: one for the whole process, renewed before it expires.
//!
//! ```text
//! file | command | OIDC endpoint ─► thread oauth-token ─► Tokens ─► every client, when it is made
//!                                                            └────► librdkafka's callback, inside poll
//! ```
//!
//! librdkafka asks for a token inside `poll` only, and several calls that connect do not poll: so every client is
//! given the token when it is made (`access.rs`). A callback never waits for the network: it is on a lane's thread.

mod command;
mod endpoint;
mod source;
mod token;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::client::OAuthToken;

use self::source::Source;
use self::token::Token;
use crate::config::OAuth;

/// Between two tries to renew a token: a tenth of what is left of its life, within these.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why there is no token. Names the key and never the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct TokenError {
    /// The key at fault, such as `kafka.oauth.token_file`.
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl TokenError {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

/// The token of this process.
pub(crate) struct Tokens {
    shared: Arc<Shared>,
    /// The thread ends when this does.
    _stop: mpsc::Sender<()>,
}

struct Shared {
    source: Source,
    current: Mutex<Current>,
}

struct Current {
    token: Token,
    /// Why the last try to renew it failed.
    failure: Option<TokenError>,
}

impl Tokens {
    /// Gets the first token and starts the thread that renews it.
    ///
    /// # Errors
    /// When there is no token within `kafka.oauth.timeout`.
    pub(crate) fn open(oauth: &OAuth) -> Result<Self, TokenError> {
        let source = Source::new(oauth)?;
        let token = source.fetch()?;
        tracing::info!(principal = token.principal(), expires = %token.expires(), "token for OAUTHBEARER");
        let shared = Arc::new(Shared { source, current: Mutex::new(Current { token, failure: None }) });
        let (stop, stopped) = mpsc::channel();
        let renewing = shared.clone();
        thread::Builder::new()
            .name("oauth-token".to_owned())
            .spawn(move || renewing.renew(&stopped))
            .map_err(|error| TokenError::new("kafka.oauth", format!("no thread can be started: {error}")))?;
        Ok(Self { shared, _stop: stop })
    }

    /// The token as clients take it.
    ///
    /// # Errors
    /// When it has expired and could not be renewed.
    pub(crate) fn current(&self) -> Result<OAuthToken, TokenError> {
        self.shared.with(|current| {
            if current.token.remaining(Timestamp::now()).is_zero() {
                let expired = || TokenError::new(self.shared.source.key(), "the token has expired");
                return Err(current.failure.clone().unwrap_or_else(expired));
            }
            Ok(current.token.to_client())
        })
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut Current) -> T) -> T {
        look(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews the token whenever it is due, until the sender of `stopped` is gone.
    fn renew(&self, stopped: &mpsc::Receiver<()>) {
        let mut wait = self.with(|current| current.token.until_renewal(Timestamp::now()));
        while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
            let fetched = self.source.fetch();
            wait = self.with(|current| current.take(fetched, Timestamp::now()));
        }
    }
}

impl Current {
    /// Takes in what was fetched; how long to wait until the next try.
    fn take(&mut self, fetched: Result<Token, TokenError>, now: Timestamp) -> Duration {
        match fetched {
            Ok(token) if token.expires() > self.token.expires() => {
                tracing::debug!(expires = %token.expires(), "token for OAUTHBEARER renewed");
                *self = Self { token, failure: None };
                return self.token.until_renewal(now);
            }
            // A file that has not been written anew yet, an endpoint that hands out the same one.
            Ok(_) => self.failure = None,
            Err(error) => {
                let left = self.token.remaining(now);
                if left.is_zero() {
                    tracing::error!(%error, "the token for OAUTHBEARER has expired; the brokers refuse this worker");
                } else {
                    tracing::warn!(%error, left = ?Duration::from_secs(left.as_secs()), "the token for OAUTHBEARER cannot be renewed yet");
                }
                self.failure = Some(error);
            }
        }
        (self.token.remaining(now) / 10).clamp(AGAIN.0, AGAIN.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn token(value: &str, expires: i64) -> Token {
        Token::opaque(value, at(expires), "me")
    }

    #[test]
    fn a_newer_token_replaces_the_old_one_and_a_failure_does_not() {
        let mut current = Current { token: token("old", 1000), failure: None };
        assert_eq!(current.take(Ok(token("same", 1000)), at(900)), Duration::from_secs(10), "not newer: soon again");
        assert_eq!(current.token.to_client().token, "old");
        let failed = || Err(TokenError::new("kafka.oauth.token_file", "gone"));
        assert_eq!(current.take(failed(), at(900)), Duration::from_secs(10));
        assert_eq!(current.take(failed(), at(2000)), AGAIN.0, "expired: again at once");
        assert_eq!(current.token.to_client().token, "old");
        assert!(current.failure.is_some());
        assert_eq!(
            current.take(Ok(token("new", 2000)), at(1000)),
            Duration::from_secs(700),
            "seven tenths of its life"
        );
        assert_eq!(current.token.to_client().token, "new");
        assert_eq!(current.failure, None);
    }

    #[test]
    fn a_token_that_is_written_anew_is_taken_before_the_old_one_expires() {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "first").expect("written");
        let oauth = OAuth {
            token_file: file.path().to_owned(),
            token_lifetime: crate::config::Span(Duration::from_secs(3)),
            timeout: crate::config::Span(Duration::from_secs(1)),
            ..OAuth::default()
        };
        let tokens = Tokens::open(&oauth).expect("a token");
        assert_eq!(tokens.current().map(|token| token.token), Ok("first".to_owned()));
        std::fs::write(file.path(), "second").expect("written");
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while tokens.current().is_ok_and(|token| token.token == "first") {
            assert!(std::time::Instant::now() < end, "never renewed");
            thread::yield_now();
        }
        assert_eq!(tokens.current().map(|token| token.token), Ok("second".to_owned()));
    }
}
