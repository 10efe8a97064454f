//! An OIDC token endpoint, asked by client credentials (RFC 6749, section 4.4).
//!
//! The client proves itself by HTTP Basic, which every such server understands. Certificates are verified,
//! redirects are not followed: the secret goes to the configured address only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::TokenError;
use crate::config::OAuth;

const ENDPOINT: &str = "kafka.oauth.token_endpoint";
const CLIENT: &str = "kafka.oauth.client_id";
const SECRET: &str = "kafka.oauth.client_secret_file";
const CA: &str = "kafka.oauth.ca_file";

/// More than any reply has.
const MOST: u64 = 64 * 1024;

/// The endpoint and how to ask it.
pub(super) struct Endpoint {
    agent: ureq::Agent,
    url: String,
    client_id: String,
    secret_file: PathBuf,
    scope: String,
}

/// What the endpoint granted.
pub(super) struct Granted {
    pub(super) token: String,
    /// As the reply says, beside what the token itself says.
    pub(super) lifetime: Option<Duration>,
}

/// The reply: RFC 6749, sections 5.1 and 5.2.
#[derive(Deserialize)]
struct Reply {
    access_token: Option<String>,
    /// Seconds; some servers write it as text.
    expires_in: Option<Value>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Endpoint {
    /// # Errors
    /// When the authorities cannot be read.
    pub(super) fn new(oauth: &OAuth) -> Result<Self, TokenError> {
        let tls = TlsConfig::builder()
            .root_certs(roots(&oauth.ca_file)?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let mut agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(oauth.timeout.0))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("moodstream");
        if oauth.token_endpoint.starts_with("http://") {
            // Unencrypted, and only ever to this machine: no proxy in between.
            agent = agent.proxy(None);
        }
        Ok(Self {
            agent: agent.build().new_agent(),
            url: oauth.token_endpoint.clone(),
            client_id: oauth.client_id.clone(),
            secret_file: oauth.client_secret_file.clone(),
            scope: oauth.scope.clone(),
        })
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Asks for a token. The secret is read each time, since it may have been replaced.
    ///
    /// # Errors
    /// Why there is none; neither the secret nor a token is in it.
    pub(super) fn ask(&self) -> Result<Granted, TokenError> {
        let secret = std::fs::read_to_string(&self.secret_file)
            .map_err(|error| TokenError::new(SECRET, format!("cannot read {}: {error}", self.secret_file.display())))?;
        let secret = secret.strip_suffix('\n').unwrap_or(&secret);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        let credentials = format!("{}:{}", form_encoded(&self.client_id), form_encoded(secret));
        let credentials = BASE64_STANDARD.encode(credentials);
        let mut form = vec![("grant_type", "client_credentials")];
        if !self.scope.is_empty() {
            form.push(("scope", &self.scope));
        }
        let request = self
            .agent
            .post(&self.url)
            .header("authorization", format!("Basic {credentials}"))
            .header("accept", "application/json");
        let mut response = request.send_form(form).map_err(|error| self.unanswered(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST).read_to_string();
        let body = body.map_err(|error| self.unanswered(&error))?;
        self.read(status, &body, &[&credentials, secret])
    }

    fn read(&self, status: u16, body: &str, secrets: &[&str]) -> Result<Granted, TokenError> {
        let refuse = |key, reason: String| Err(TokenError::new(key, reason));
        let url = &self.url;
        let Ok(reply) = serde_json::from_str::<Reply>(body) else {
            return refuse(
                ENDPOINT,
                format!("{url} answers with status {status} and no JSON object of OAuth 2: is it the token endpoint?"),
            );
        };
        match (status, reply.access_token) {
            (200, Some(token)) => {
                let seconds = reply.expires_in.and_then(|value| match value {
                    Value::String(text) => text.parse().ok(),
                    other => other.as_u64(),
                });
                Ok(Granted { token, lifetime: seconds.map(Duration::from_secs) })
            }
            (200, None) => refuse(ENDPOINT, format!("{url} answers without an access_token")),
            (status, _) => {
                let error = reply.error.unwrap_or_else(|| "no reason given".to_owned());
                let more = reply.error_description.map(|more| format!(", {more}")).unwrap_or_default();
                // A server that repeats what it was sent must not make us repeat it.
                let said = secrets.iter().fold(format!("{error}{more}"), |said, secret| said.replace(secret, "…"));
                match (status, error.as_str()) {
                    (401, _) | (_, "invalid_client" | "unauthorized_client") => refuse(
                        CLIENT,
                        format!(
                            "{url} refuses the client \"{}\" ({status} {said}); check client_id and client_secret_file",
                            self.client_id
                        ),
                    ),
                    (_, "invalid_scope") => {
                        refuse("kafka.oauth.scope", format!("{url} refuses \"{}\" ({status} {said})", self.scope))
                    }
                    _ => refuse(ENDPOINT, format!("{url} gives no token ({status} {said})")),
                }
            }
        }
    }

    fn unanswered(&self, error: &ureq::Error) -> TokenError {
        let words = error.to_string();
        let url = &self.url;
        if words.contains("UnknownIssuer") {
            let reason = format!(
                "the certificate of {url} is signed by an authority that is not trusted ({words}); name a PEM file with it"
            );
            return TokenError::new(CA, reason);
        }
        TokenError::new(ENDPOINT, format!("{url} does not answer: {words}"))
    }
}

/// The authorities of this file, or of the system.
fn roots(ca_file: &Path) -> Result<RootCerts, TokenError> {
    let refuse = |reason: String| TokenError::new(CA, format!("{}: {reason}", ca_file.display()));
    let mut found = Vec::new();
    if ca_file.as_os_str().is_empty() {
        // Some that cannot be read do not matter; with none, verification fails and says so.
        for certificate in rustls_native_certs::load_native_certs().certs {
            found.push(Certificate::from_der(&certificate).to_owned());
        }
    } else {
        let pem = std::fs::read(ca_file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|error| refuse(format!("is no PEM file: {error}")))?
            {
                found.push(certificate);
            }
        }
        if found.is_empty() {
            return Err(refuse("holds no certificate; it must be a PEM file".to_owned()));
        }
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// As in a form: what RFC 6749, section 2.3.1, wants of client id and secret before they are joined by a colon.
fn form_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn endpoint() -> Endpoint {
        let oauth = OAuth {
            token_endpoint: "https://id.example/token".to_owned(),
            client_id: "worker".to_owned(),
            timeout: Span(Duration::from_secs(1)),
            ..OAuth::default()
        };
        Endpoint::new(&oauth).expect("no file is named")
    }

    #[test]
    fn a_grant_is_read_whatever_type_its_lifetime_has() {
        let granted = |body: &str| endpoint().read(200, body, &["s"]).map(|granted| (granted.token, granted.lifetime));
        let five = Some(Duration::from_mins(5));
        assert_eq!(granted(r#"{"access_token":"t","expires_in":300,"token_type":"Bearer"}"#), Ok(("t".into(), five)));
        assert_eq!(granted(r#"{"access_token":"t","expires_in":"300"}"#), Ok(("t".into(), five)));
        assert_eq!(granted(r#"{"access_token":"t"}"#), Ok(("t".into(), None)));
    }

    #[test]
    fn a_refusal_names_the_key_at_fault_and_no_secret() {
        let refused = |status, body: &str| {
            let error = endpoint().read(status, body, &["aHVudGVyMg", "hunter2"]).err().expect("refused");
            assert!(["hunter2", "aHVudGVyMg"].iter().all(|secret| !error.to_string().contains(secret)), "{error}");
            error.key
        };
        assert_eq!(
            refused(401, r#"{"error":"invalid_client","error_description":"bad secret hunter2, Basic aHVudGVyMg"}"#),
            CLIENT
        );
        assert_eq!(refused(400, r#"{"error":"unauthorized_client"}"#), CLIENT);
        assert_eq!(refused(400, r#"{"error":"invalid_scope"}"#), "kafka.oauth.scope");
        assert_eq!(refused(503, r#"{"error":"hunter2"}"#), ENDPOINT);
        assert_eq!(refused(200, r#"{"token_type":"Bearer"}"#), ENDPOINT);
        assert_eq!(refused(404, "<html>hunter2"), ENDPOINT);
        assert_eq!(refused(302, ""), ENDPOINT);
    }

    #[test]
    fn client_and_secret_are_encoded_before_they_are_joined() {
        assert_eq!(form_encoded("a-b._~Z9"), "a-b._~Z9");
        assert_eq!(form_encoded("p:ss w+rd/ü"), "p%3Ass%20w%2Brd%2F%C3%BC");
    }

    #[test]
    fn a_file_of_authorities_that_holds_none_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "no pem").expect("written");
        assert_eq!(roots(file.path()).err().map(|error| error.key), Some(CA));
        assert!(roots(Path::new("")).is_ok());
    }
}
