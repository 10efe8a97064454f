//! A bearer token, who it speaks for and how long. Its value is printed nowhere.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// A token that has not expired when it was read.
pub(super) struct Token {
    value: String,
    principal: String,
    acquired: Timestamp,
    expires: Timestamp,
}

/// The claims of a JWT that matter here (RFC 7519); `exp` may have a fraction.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

impl Token {
    /// Reads a token: a JWT says itself when it expires and whom it speaks for; any other is taken to live for
    /// `lifetime` and to speak for `principal`.
    ///
    /// # Errors
    /// What is wrong with it, without the token.
    pub(super) fn read(text: &str, now: Timestamp, lifetime: Duration, principal: &str) -> Result<Self, String> {
        let value = text.trim();
        if value.is_empty() {
            return Err("gives an empty token".to_owned());
        }
        // RFC 6750, section 2.1; anything else would also break the SASL message.
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if !value.chars().all(legal) {
            return Err("gives something else than a token: one word of letters, digits and -._~+/=".to_owned());
        }
        let claims = claims(value);
        let expires = match claims.as_ref().and_then(|claims| claims.exp) {
            Some(exp) => SignedDuration::try_from_secs_f64(exp)
                .ok()
                .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok()),
            None => now.checked_add(lifetime).ok(),
        };
        let expires = expires.ok_or("gives a token that expires at a time out of reach")?;
        if expires <= now {
            return Err(format!("gives a token that has expired at {expires}"));
        }
        let principal = claims.and_then(|claims| claims.sub).unwrap_or_else(|| principal.to_owned());
        Ok(Self { value: value.to_owned(), principal, acquired: now, expires })
    }

    #[cfg(test)]
    pub(super) fn opaque(value: &str, expires: Timestamp, principal: &str) -> Self {
        let acquired = expires.checked_sub(SignedDuration::from_secs(1000)).expect("a time");
        Self { value: value.to_owned(), principal: principal.to_owned(), acquired, expires }
    }

    pub(super) fn principal(&self) -> &str {
        &self.principal
    }

    pub(super) fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What is left of its life.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        self.expires.duration_since(now).try_into().unwrap_or_default()
    }

    /// When seven tenths of its life are over: before librdkafka asks for another, which it does at eight tenths.
    pub(super) fn until_renewal(&self, now: Timestamp) -> Duration {
        let life: Duration = self.expires.duration_since(self.acquired).try_into().unwrap_or_default();
        self.remaining(now).saturating_sub(life * 3 / 10)
    }

    /// As librdkafka takes it.
    pub(super) fn to_client(&self) -> OAuthToken {
        OAuthToken {
            token: self.value.clone(),
            principal_name: self.principal.clone(),
            lifetime_ms: self.expires.as_millisecond(),
        }
    }
}

/// The claims of a JWT; `None`: it is none, and nothing can be told from it.
fn claims(value: &str) -> Option<Claims> {
    let mut parts = value.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, expires, .. } = self;
        f.debug_struct("Token").field("principal", principal).field("expires", expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_mins(5);

    fn jwt(claims: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode("{\"alg\":\"none\"}"), encode(claims), encode("signature"))
    }

    fn read(text: &str) -> Result<Token, String> {
        Token::read(text, Timestamp::from_second(1_000_000).expect("a time"), LIFETIME, "fallback")
    }

    #[test]
    fn a_jwt_tells_when_it_expires_and_whom_it_speaks_for() {
        let token = read(&format!("{}\n", jwt(r#"{"sub":"alice","exp":1000600.5,"aud":["kafka"]}"#))).expect("valid");
        assert_eq!((token.principal(), token.expires().as_millisecond()), ("alice", 1_000_600_500));
        let token = read(&jwt(r#"{"iss":"x"}"#)).expect("valid");
        assert_eq!((token.principal(), token.expires().as_second()), ("fallback", 1_000_300));
    }

    #[test]
    fn an_opaque_token_lives_as_long_as_it_was_told() {
        for text in ["abc", "a.b.c", "a.b", "ab+/=="] {
            let token = read(text).expect(text);
            assert_eq!((token.principal(), token.expires().as_second()), ("fallback", 1_000_300), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_or_no_longer_one_is_refused_without_being_repeated() {
        for text in [
            "",
            " \n",
            "hunter2 hunter2",
            "{\"access_token\":\"hunter2\"}",
            &jwt(r#"{"sub":"hunter2","exp":1000000}"#),
            &jwt(r#"{"exp":1e300}"#),
        ] {
            let refused = read(text).expect_err(text);
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn a_token_is_not_debugged_and_is_renewed_in_time() {
        let token = read("hunter2").expect("valid");
        assert!(!format!("{token:?}").contains("hunter2"));
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).expect("a time");
        assert_eq!(token.until_renewal(at(0)), Duration::from_secs(210));
        assert_eq!((token.until_renewal(at(250)), token.remaining(at(250))), (Duration::ZERO, Duration::from_secs(50)));
        assert_eq!(token.remaining(at(301)), Duration::ZERO);
    }
}
