//! What went wrong in the store, by what the caller does about it, and in words that hold no secret.
//!
//! A library's own text is never passed on whole: it repeats option values and URLs. What is kept of it is the
//! server's status with its code and message, or the innermost cause, with every known secret struck out.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::client::{HttpError, HttpErrorKind};

use crate::config::Properties;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing was done, and the same may go well later.
    #[error("{0}")]
    Later(Trouble),
    /// Whether it was done, or will yet be, is not known: look before going on.
    #[error("{0}; whether it was done is not known")]
    Unknown(Trouble),
    /// It cannot go well until a person changes something.
    #[error("{key}: {reason}")]
    Refused {
        /// The setting at fault.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl StoreError {
    /// Something that only a person can mend.
    pub(super) fn refused(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { key: key.into(), reason: reason.into() }
    }

    /// A write that was never tried.
    pub(super) fn later(doing: Doing<'_>, cause: impl Into<String>) -> Self {
        Self::Later(Trouble::new(doing, cause))
    }

    /// No answer, or none that can be relied on.
    pub(super) fn no_answer(doing: Doing<'_>, cause: impl Into<String>) -> Self {
        let trouble = Trouble::new(doing, cause);
        if doing.changes() { Self::Unknown(trouble) } else { Self::Later(trouble) }
    }
}

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    doing: String,
    cause: String,
}

impl Trouble {
    fn new(doing: Doing<'_>, cause: impl Into<String>) -> Self {
        Self { doing: doing.to_string(), cause: cause.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the archive's store could not {}: {}", self.doing, self.cause)
    }
}

/// An operation and the path it is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doing<'a> {
    Create(&'a str),
    Replace(&'a str),
    Read(&'a str),
    List(&'a str),
    Delete(&'a str),
}

impl Doing<'_> {
    /// The path alone.
    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create(path) | Self::Replace(path) | Self::Read(path) | Self::List(path) | Self::Delete(path) => path,
        }
    }

    /// Whether it leaves something behind when its answer is lost.
    fn changes(self) -> bool {
        matches!(self, Self::Create(_) | Self::Replace(_) | Self::Delete(_))
    }
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(path) => write!(f, "create {path}"),
            Self::Replace(path) => write!(f, "replace {path}"),
            Self::Read(path) => write!(f, "read {path}"),
            Self::List(path) => write!(f, "list {path}/"),
            Self::Delete(path) => write!(f, "delete {path}"),
        }
    }
}

/// Settings that refusals name, as the kind of store calls them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Where credentials come from.
    pub(super) credentials: &'static str,
    /// The permissions that the archive needs.
    pub(super) permissions: &'static str,
}

/// Tells the errors of one store.
pub(super) struct Teller {
    settings: Settings,
    secrets: Secrets,
    /// Whether the store has ever answered: until then, missing credentials are a mistake, later an outage.
    answered: AtomicBool,
}

impl Teller {
    pub(super) fn new(settings: Settings, secrets: Secrets) -> Self {
        Self { settings, secrets, answered: AtomicBool::new(false) }
    }

    /// Notes that the store has answered.
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// What an error of the library means for the caller.
    pub(super) fn tell(&self, doing: Doing<'_>, error: &object_store::Error) -> StoreError {
        let cause = Cause::of(error);
        let words = self.secrets.strike_out(&cause.words());
        if cause.asks_for_credentials {
            let reason = format!(
                "holds no credentials, nor does the environment, and this machine's own do not answer ({words}); {}",
                self.settings.credentials
            );
            return if self.answered.load(Ordering::Relaxed) {
                StoreError::later(doing, format!("archive.properties {reason}"))
            } else {
                StoreError::refused("archive.properties", reason)
            };
        }
        match (cause.status, cause.code.as_deref(), error) {
            (_, Some("NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName"), _) => StoreError::refused(
                "archive.url",
                format!("there is no such bucket ({words}); make it, or correct the URL"),
            ),
            (Some(401 | 403), ..)
            | (_, _, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
                let Settings { credentials, permissions } = self.settings;
                StoreError::refused(
                    "archive.properties",
                    format!("the store refuses to {doing} ({words}); {credentials}; they need {permissions}"),
                )
            }
            (Some(404), ..) if doing.changes() => {
                StoreError::refused("archive.url", format!("the store does not know this place ({words})"))
            }
            (Some(501), ..) => StoreError::refused(
                "archive.url",
                format!("the store does not know how to {doing} ({words}); the archive needs conditional puts"),
            ),
            // A clock that is wrong, or a token that ran out: credentials are fetched anew. A file that is not there
            // is no error, and never gets here.
            (Some(400), Some("ExpiredToken" | "RequestTimeout" | "RequestTimeTooSkewed"), _)
            | (Some(404 | 408 | 409 | 425 | 429), ..) => StoreError::no_answer(doing, words),
            (Some(300..=499), ..) => {
                StoreError::refused("archive.url", format!("the store refuses to {doing} ({words})"))
            }
            (_, _, object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. }) => {
                StoreError::refused("archive.url", format!("this kind of store cannot {doing} ({words})"))
            }
            (_, _, object_store::Error::InvalidPath { .. }) => {
                StoreError::refused("archive.url", format!("cannot {doing}: no name for a store ({words})"))
            }
            _ => match cause.io {
                Some(kind) if !doing.changes() => of_disk(doing, kind, words, false),
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    of_disk(doing, io::ErrorKind::PermissionDenied, words, false)
                }
                _ => StoreError::no_answer(doing, words),
            },
        }
    }

    /// The text of an error that happened before there was a store.
    pub(super) fn strike_out(&self, text: &str) -> String {
        self.secrets.strike_out(text)
    }
}

/// What an error of a local disk means; `linked`: the name may already be there.
pub(super) fn of_disk(doing: Doing<'_>, kind: io::ErrorKind, words: String, linked: bool) -> StoreError {
    use io::ErrorKind::{
        CrossesDevices, IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem, Unsupported,
    };
    match kind {
        PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory => StoreError::refused(
            "archive.url",
            format!("cannot {doing} ({words}); this user must be able to write to the folder and all below it"),
        ),
        CrossesDevices | Unsupported => StoreError::refused(
            "archive.url",
            format!("cannot {doing} ({words}); posts/ and _state/ must be on one file system that has hard links"),
        ),
        _ if linked => StoreError::Unknown(Trouble::new(doing, words)),
        _ => StoreError::later(doing, words),
    }
}

/// What is known of an error, gathered from its chain of causes.
#[derive(Debug, Default)]
struct Cause {
    /// Status of the server's answer, where it gave one.
    status: Option<u16>,
    /// The code in its body.
    code: Option<String>,
    /// What the answer says.
    answer: Option<String>,
    /// How the connection failed.
    connection: Option<HttpErrorKind>,
    /// How the disk failed.
    io: Option<io::ErrorKind>,
    /// The innermost cause.
    innermost: String,
    /// It was the search for credentials that failed.
    asks_for_credentials: bool,
}

/// How the library tells an answer that is no success; a test watches that it still does.
const ANSWER: &str = "Server returned non-2xx status code: ";
/// Paths of the services that hand out a machine's credentials.
const CREDENTIAL_SERVICES: [&str; 3] = ["/latest/", "/computeMetadata/", "/metadata/identity/"];

impl Cause {
    fn of(error: &object_store::Error) -> Self {
        let mut cause = Self::default();
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if let Some(answer) = text.strip_prefix(ANSWER) {
                cause.read(answer);
            }
            if let Some(http) = error.downcast_ref::<HttpError>() {
                cause.connection = Some(http.kind());
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                cause.io = Some(io.kind());
            }
            cause.asks_for_credentials |= text.starts_with("Error performing")
                && CREDENTIAL_SERVICES.iter().any(|service| text.contains(service));
            cause.innermost = text;
            next = error.source();
        }
        cause
    }

    /// `403 Forbidden: <?xml …`
    fn read(&mut self, answer: &str) {
        let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
        self.status = status.split(' ').next().and_then(|number| number.parse().ok());
        self.code = element(body, "Code");
        let said = match (&self.code, element(body, "Message")) {
            (Some(code), Some(message)) => format!("{status}, {code}: {message}"),
            (Some(code), None) => format!("{status}, {code}"),
            _ => status.to_owned(),
        };
        self.answer = Some(said);
    }

    fn words(&self) -> String {
        match (&self.answer, self.connection) {
            (Some(answer), _) => answer.clone(),
            (None, Some(HttpErrorKind::Timeout)) => "it did not answer in time".to_owned(),
            (None, Some(HttpErrorKind::Connect)) => format!("it cannot be reached, {}", self.innermost),
            (None, Some(_)) => format!("the connection was lost, {}", self.innermost),
            (None, None) => self.innermost.clone(),
        }
    }
}

/// The text of an XML element that holds nothing but text.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(200).collect())
}

/// Values that may not be printed.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those of the settings, and those that the library finds in the environment.
    pub(super) fn new(properties: &Properties) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let taken = ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
            (taken && Properties::is_secret(&name)).then(|| value.into_string().ok()).flatten()
        });
        let mut secrets: Vec<String> = properties.secrets().map(str::to_owned).chain(environment).collect();
        // Of a shared access signature of Azure, the one part that is secret.
        let signatures =
            secrets.iter().flat_map(|secret| secret.split('&')).filter_map(|part| part.strip_prefix("sig="));
        let signatures: Vec<String> = signatures.map(str::to_owned).collect();
        secrets.extend(signatures);
        // The longer first: one may hold another.
        secrets.retain(|secret| secret.len() >= 4);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    pub(super) fn strike_out(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_the_message_of_an_answer_are_read_and_the_rest_is_left() {
        let mut cause = Cause::default();
        cause.read("403 Forbidden: <?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message><HostId>x</HostId></Error>");
        assert_eq!((cause.status, cause.code.as_deref()), (Some(403), Some("AccessDenied")));
        assert_eq!(cause.words(), "403 Forbidden, AccessDenied: no");
        let mut cause = Cause::default();
        cause.read("502 Bad Gateway: <html>oops");
        assert_eq!((cause.status, cause.words().as_str()), (Some(502), "502 Bad Gateway"));
    }

    #[test]
    fn secrets_of_the_settings_are_struck_out_of_any_text() {
        let properties =
            [("aws_secret_access_key", "hunter2"), ("azure_storage_sas_token", "hunter2&sig=x"), ("aws_region", "eu")];
        let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let told = Secrets::new(&properties).strike_out("sent hunter2&sig=x and hunter2 to eu");
        assert_eq!(told, "sent … and … to eu");
    }
}
