//! `kafka.oauth`: where the token of the SASL mechanism OAUTHBEARER comes from, and what of
//! `kafka.properties` it goes together with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kafka, Problem, Span};

/// The mechanism that takes a token.
const MECHANISM: &str = "OAUTHBEARER";
/// What the client library can do.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", MECHANISM];

/// Where the token of SASL OAUTHBEARER comes from: a file, a command or an OIDC token endpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// File that holds the token; read again before the token expires.
    pub token_file: PathBuf,
    /// Program and arguments of a command that prints the token.
    pub token_command: Vec<String>,
    /// URL of an OIDC token endpoint, asked for a token by client credentials.
    pub token_endpoint: String,
    /// The client's id at the token endpoint.
    pub client_id: String,
    /// File that holds the client's secret at the token endpoint; its trailing line break is ignored.
    pub client_secret_file: PathBuf,
    /// Scopes to ask the token endpoint for, separated by spaces.
    pub scope: String,
    /// PEM file of the authorities that the token endpoint's certificate may be signed by; empty: the system's.
    pub ca_file: PathBuf,
    /// How long a token is used that does not say when it expires.
    pub token_lifetime: Span,
    /// How long file, command or endpoint may take.
    pub timeout: Span,
}

impl OAuth {
    /// The keys of the sources that are set.
    fn sources(&self) -> Vec<&'static str> {
        [
            ("token_file", !self.token_file.as_os_str().is_empty()),
            ("token_command", !self.token_command.is_empty()),
            ("token_endpoint", !self.token_endpoint.is_empty()),
        ]
        .into_iter()
        .filter_map(|(key, set)| set.then_some(key))
        .collect()
    }

    /// Whether a token is to be had.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.sources().is_empty()
    }
}

/// The SASL mechanism that the properties name, if any; librdkafka knows two names of the key.
fn mechanism(kafka: &Kafka) -> Option<(&'static str, &str)> {
    ["sasl.mechanisms", "sasl.mechanism"].into_iter().find_map(|key| Some((key, kafka.properties.get(key)?)))
}

/// What is wrong with how this worker proves who it is.
pub(super) fn check(kafka: &Kafka) -> Vec<Problem> {
    let mut problems = mechanism_problems(kafka);
    let mut refuse = |key: &str, remedy: String| problems.push(Problem::new(format!("kafka.oauth.{key}"), remedy));
    let oauth = &kafka.oauth;
    let sources = oauth.sources();
    if sources.len() > 1 {
        refuse(sources[0], format!("{} are all set; keep one source of the token", sources.join(" and ")));
    }
    let mechanism = mechanism(kafka);
    match (mechanism, sources.first()) {
        (Some((_, MECHANISM)), None) => refuse(
            "token_file",
            "sasl.mechanisms = OAUTHBEARER needs a token: set token_file, token_command or token_endpoint".into(),
        ),
        (Some((_, MECHANISM)), Some(_)) | (_, None) => {}
        (other, Some(source)) => {
            let found = if other.is_some() { "names another mechanism" } else { "names no mechanism" };
            refuse(
                source,
                format!("is for OAUTHBEARER, but kafka.properties {found}; set sasl.mechanisms = OAUTHBEARER"),
            );
        }
    }
    let endpoint = sources.contains(&"token_endpoint");
    for (key, set) in [
        ("client_id", !oauth.client_id.is_empty()),
        ("client_secret_file", !oauth.client_secret_file.as_os_str().is_empty()),
        ("scope", !oauth.scope.is_empty()),
        ("ca_file", !oauth.ca_file.as_os_str().is_empty()),
    ] {
        let needed = matches!(key, "client_id" | "client_secret_file");
        if set && !endpoint {
            refuse(key, "is for token_endpoint, which is not set".into());
        } else if !set && endpoint && needed {
            refuse(key, "must be set, because token_endpoint is".into());
        }
    }
    if endpoint && let Err(remedy) = acceptable(&oauth.token_endpoint) {
        refuse("token_endpoint", remedy);
    }
    for (key, path) in [
        ("token_file", &oauth.token_file),
        ("client_secret_file", &oauth.client_secret_file),
        ("ca_file", &oauth.ca_file),
    ] {
        if !path.as_os_str().is_empty()
            && let Err(remedy) = readable(path)
        {
            refuse(key, remedy);
        }
    }
    if oauth.token_command.first().is_some_and(String::is_empty) {
        refuse("token_command", "must begin with a program, such as [\"aws-msk-token\", \"--raw\"]".into());
    }
    for (key, span) in [("token_lifetime", oauth.token_lifetime), ("timeout", oauth.timeout)] {
        if span.0 < Duration::from_secs(1) {
            refuse(key, "must be at least 1s".into());
        }
    }
    problems
}

/// A mechanism that does nothing, or that the client library has not got.
fn mechanism_problems(kafka: &Kafka) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, remedy: String| problems.push(Problem::new(format!("kafka.properties.{key}"), remedy));
    let protocol = kafka.properties.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
    let list = MECHANISMS.join(", ");
    match mechanism(kafka) {
        Some((key, name)) if !MECHANISMS.contains(&name) => refuse(key, format!("must be one of {list}")),
        // The value is not repeated: a mistake may have put anything there.
        Some((key, _)) if !protocol.starts_with("sasl_") => {
            refuse(key, "has no effect unless security.protocol is sasl_ssl (or sasl_plaintext)".into());
        }
        None if protocol.starts_with("sasl_") => {
            refuse("sasl.mechanisms", format!("must be set, because security.protocol wants SASL: one of {list}"));
        }
        _ => {}
    }
    for (key, _) in kafka.properties.iter() {
        if key.starts_with("sasl.oauthbearer.") || key == "enable.sasl.oauthbearer.unsecure.jwt" {
            refuse(key, "cannot be set: tokens come from [kafka.oauth]".into());
        }
    }
    problems
}

/// A secret is sent to this URL: over TLS, or to this machine.
fn acceptable(url: &str) -> Result<(), String> {
    let wrong =
        || Err("must be an https:// URL (http:// only of this machine: localhost, 127.0.0.1, [::1])".to_owned());
    let Some((scheme, rest)) = url.split_once("://") else { return wrong() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not hold a user or a password; use client_id and client_secret_file".to_owned());
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" if !host.is_empty() => Ok(()),
        "http" if loopback => Ok(()),
        _ => wrong(),
    }
}

fn readable(path: &Path) -> Result<(), String> {
    let content = std::fs::read(path).map_err(|error| format!("cannot read the file: {error}"))?;
    if content.trim_ascii().is_empty() { Err("the file is empty".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{Config, ConfigErrors};
    use super::*;

    const OAUTH: [(&str, &str); 2] =
        [("kafka.properties.security.protocol", "sasl_ssl"), ("kafka.properties.sasl.mechanisms", "OAUTHBEARER")];

    /// The keys refused when these are set, without "kafka.".
    fn refused(flags: &[(&str, &str)]) -> Vec<String> {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        match Config::load(None, std::iter::empty(), &flags) {
            Ok(_) => Vec::new(),
            Err(ConfigErrors(problems)) => {
                problems.into_iter().map(|problem| problem.key.replacen("kafka.", "", 1)).collect()
            }
        }
    }

    fn with(more: &[(&str, &str)]) -> Vec<String> {
        refused(&[&OAUTH[..], more].concat())
    }

    #[test]
    fn a_token_has_exactly_one_source() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        let path = file.path().to_str().expect("utf-8").to_owned();
        let token_file = ("kafka.oauth.token_file", path.as_str());
        let command = ("kafka.oauth.token_command", "token,--raw");
        assert_eq!(with(&[]), ["oauth.token_file"], "none");
        assert_eq!(with(&[token_file]), ["oauth.token_file"], "an empty file");
        file.write_all(b"token\n").expect("write");
        assert_eq!(with(&[token_file]), [""; 0]);
        assert_eq!(with(&[command]), [""; 0]);
        assert_eq!(with(&[token_file, command]), ["oauth.token_file"], "two");
        assert_eq!(with(&[("kafka.oauth.token_file", "/does/not/exist")]), ["oauth.token_file"]);
    }

    #[test]
    fn a_source_without_the_mechanism_and_a_mechanism_without_effect_are_refused() {
        let command = ("kafka.oauth.token_command", "token");
        assert_eq!(refused(&[command]), ["oauth.token_command"]);
        let plain = [("kafka.properties.security.protocol", "SASL_SSL"), ("kafka.properties.sasl.mechanism", "PLAIN")];
        assert_eq!(refused(&plain), [""; 0]);
        assert_eq!(refused(&[plain[0], plain[1], command]), ["oauth.token_command"]);
        assert_eq!(refused(&plain[1..]), ["properties.sasl.mechanism"], "security.protocol is plaintext");
        assert_eq!(refused(&plain[..1]), ["properties.sasl.mechanisms"], "GSSAPI is not built in");
        assert_eq!(
            refused(&[plain[0], ("kafka.properties.sasl.mechanisms", "GSSAPI")]),
            ["properties.sasl.mechanisms"]
        );
        let own = ("kafka.properties.sasl.oauthbearer.method", "oidc");
        assert_eq!(refused(&[own]), ["properties.sasl.oauthbearer.method"]);
    }

    #[test]
    fn an_endpoint_needs_a_client_and_everything_wrong_is_told_at_once() {
        let mut secret = tempfile::NamedTempFile::new().expect("file");
        secret.write_all(b"hunter2\n").expect("write");
        let secret = ("kafka.oauth.client_secret_file", secret.path().to_str().expect("utf-8"));
        let client = ("kafka.oauth.client_id", "worker");
        let endpoint = |url| ("kafka.oauth.token_endpoint", url);
        assert_eq!(with(&[endpoint("https://id.example/token"), client, secret]), [""; 0]);
        assert_eq!(
            with(&[endpoint("http://id.example/token")]),
            ["oauth.client_id", "oauth.client_secret_file", "oauth.token_endpoint"]
        );
        assert_eq!(
            with(&[("kafka.oauth.token_command", "t"), client, ("kafka.oauth.timeout", "0s")]),
            ["oauth.client_id", "oauth.timeout"]
        );
    }

    #[test]
    fn a_secret_goes_over_tls_or_stays_on_this_machine() {
        for url in [
            "https://id.example/t",
            "https://10.0.0.1",
            "http://localhost:8080/t",
            "http://127.0.0.1/",
            "http://[::1]:1/t",
        ] {
            assert_eq!(acceptable(url), Ok(()), "{url}");
        }
        for url in [
            "http://id.example/t",
            "http://127.0.0.1.example/",
            "ftp://localhost",
            "https://",
            "id.example",
            "https://a:b@c/",
            "http://localhost@evil.example/",
        ] {
            assert!(acceptable(url).is_err(), "{url}");
        }
    }
}
