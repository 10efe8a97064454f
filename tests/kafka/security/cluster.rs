//! One broker with every way in: SASL over TLS with four mechanisms, with one only, and TLS with client certificates.
//! Its PLAINTEXT listener is the test's own; who comes there may do everything.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::acl::{self, Operation, Pattern, Permission, Resource};
use super::authority::{AUDIENCE, Authority, ISSUER};
use super::issuer::{CLIENT, Issuer};
use crate::support::broker::Broker;
use crate::support::free_port;
use crate::support::worker::Launch;

/// Every secret of these tests, so that one can look for them. Words that occur nowhere else.
pub(crate) const PASSWORD: &str = "qUietOtter-4711";
pub(crate) const CLIENT_SECRET: &str = "loUdBadger-0815";
pub(crate) const KEY_PASSWORD: &str = "shyWalrus-2342";

/// Users that may do everything with topics, groups and transactional ids.
const USERS: [&str; 5] = ["plain-user", "scram-user", "token-user", "CN=cert-user", "impatient-user"];
/// A user that may do only what a test allows it.
pub(crate) const LIMITED: &str = "limited-user";

/// The broker and what belongs to it.
pub(crate) struct Cluster {
    broker: Broker,
    pub(crate) authority: Arc<Authority>,
    issuer: Issuer,
    secure: u16,
    scram_only: u16,
    mutual: u16,
}

/// A way in, right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Scram256,
    Scram512,
    TokenFile,
    TokenCommand,
    TokenEndpoint,
    Certificate,
}

impl Cluster {
    /// The one that all of these tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let authority = Arc::new(Authority::new("moodstream test authority"));
        let [secure, scram_only, mutual] = [free_port(), free_port(), free_port()];
        let broker = Broker::start_with(|folder| options(folder, &authority, [secure, scram_only, mutual]));
        let write = |name: &str, text: &str| fs::write(broker.folder().join(name), text).expect("an own folder");
        let (certificate, key) = authority.issue("cert-user", Some(KEY_PASSWORD));
        write("client.pem", &certificate);
        write("client.key", &key);
        write("client.secret", &format!("{CLIENT_SECRET}\n"));
        write("password", &format!("{PASSWORD}\n"));
        let issuer = Issuer::start(&authority, CLIENT_SECRET, "token-user", 600);
        let cluster = Self { broker, authority, issuer, secure, scram_only, mutual };
        for user in USERS {
            for (resource, name) in [
                (Resource::Topic, "*"),
                (Resource::Group, "*"),
                (Resource::TransactionalId, "*"),
                (Resource::Cluster, "kafka-cluster"),
            ] {
                cluster.allow(user, Operation::All, (resource, Pattern::Literal, name));
            }
        }
        cluster
    }

    /// The address at which everything is allowed.
    pub(crate) fn open_address(&self) -> String {
        self.broker.address()
    }

    /// The address of the listener with all mechanisms.
    pub(crate) fn secure_address(&self) -> String {
        format!("localhost:{}", self.secure)
    }

    /// The address of the listener with SCRAM-SHA-256 only.
    pub(crate) fn scram_address(&self) -> String {
        format!("localhost:{}", self.scram_only)
    }

    /// The address of the listener that wants a client's certificate.
    pub(crate) fn mutual_address(&self) -> String {
        format!("localhost:{}", self.mutual)
    }

    /// A file beside the broker's.
    pub(crate) fn file(&self, name: &str) -> String {
        path(&self.broker.folder().join(name))
    }

    /// Writes a file beside the broker's.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.broker.folder().join(name), text).expect("an own folder");
        self.file(name)
    }

    pub(crate) fn allow(&self, user: &str, operation: Operation, what: (Resource, Pattern, &str)) {
        acl::create(&self.open_address(), user, Permission::Allow, operation, what);
    }

    pub(crate) fn deny(&self, user: &str, operation: Operation, what: (Resource, Pattern, &str)) {
        acl::create(&self.open_address(), user, Permission::Deny, operation, what);
    }

    /// The settings of this way in, as keys of the configuration and TOML values.
    pub(crate) fn settings(&self, way: Way) -> Vec<(String, String)> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut settings: Vec<(String, String)> = Vec::new();
        let mut set = |key: &str, value: String| settings.push((format!("kafka.{key}"), value));
        set("properties.broker.address.family", quoted("v4"));
        set("properties.ssl.ca.location", quoted(&self.file("ca.pem")));
        if way == Way::Certificate {
            set("brokers", quoted(&self.mutual_address()));
            set("properties.security.protocol", quoted("ssl"));
            set("properties.ssl.certificate.location", quoted(&self.file("client.pem")));
            set("properties.ssl.key.location", quoted(&self.file("client.key")));
            set("properties.ssl.key.password", quoted(KEY_PASSWORD));
            return settings;
        }
        set("brokers", quoted(&self.secure_address()));
        set("properties.security.protocol", quoted("sasl_ssl"));
        let mechanism = match way {
            Way::Plain => "PLAIN",
            Way::Scram256 => "SCRAM-SHA-256",
            Way::Scram512 => "SCRAM-SHA-512",
            _ => "OAUTHBEARER",
        };
        set("properties.sasl.mechanisms", quoted(mechanism));
        match way {
            Way::Plain | Way::Scram256 | Way::Scram512 => {
                set("properties.sasl.username", quoted(if way == Way::Plain { "plain-user" } else { "scram-user" }));
                set("properties.sasl.password_file", quoted(&self.file("password")));
            }
            Way::TokenFile => {
                set("oauth.token_file", quoted(&self.write("token", &self.authority.token("token-user", 600))));
            }
            Way::TokenCommand => {
                let file = self.write("token.command", &self.authority.token("token-user", 600));
                set("oauth.token_command", format!("[\"cat\", {}]", quoted(&file)));
            }
            _ => {
                set("oauth.token_endpoint", quoted(&self.issuer.url()));
                set("oauth.client_id", quoted(CLIENT));
                set("oauth.client_secret_file", quoted(&self.file("client.secret")));
                set("oauth.ca_file", quoted(&self.file("ca.pem")));
            }
        }
        settings
    }
}

/// The same worker, with these settings changed or added.
pub(crate) fn with(launch: Launch, settings: &[(String, String)]) -> Launch {
    settings.iter().fold(launch, |launch, (key, value)| launch.set_raw(key, value))
}

fn options(folder: &Path, authority: &Authority, [secure, scram_only, mutual]: [u16; 3]) -> (Vec<String>, String) {
    let file = |name: &str| folder.join(name);
    let (certificate, key) = authority.issue("localhost", None);
    let write = |name: &str, text: &str| fs::write(file(name), text).expect("an own folder");
    write("ca.pem", &authority.pem());
    write("broker.pem", &format!("{key}{certificate}"));
    authority.write_jwks(&file("jwks.json"));
    let jwks = format!("file://{}", path(&file("jwks.json")));
    let mut options = Vec::new();
    let mut add = |option: &str, value: String| options.extend([option.to_owned(), value]);
    add("--heap", "256m".to_owned());
    add("--listener", format!("SECURE:SASL_SSL:localhost:{secure}"));
    add("--listener", format!("SCRAMONLY:SASL_SSL:localhost:{scram_only}"));
    add("--listener", format!("MUTUAL:SSL:localhost:{mutual}"));
    for user in ["scram-user", LIMITED] {
        add("--scram-user", format!("{user}:{PASSWORD}"));
    }
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let oauth = "org.apache.kafka.common.security.oauthbearer";
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_plain-user=\"{PASSWORD}\" user_{LIMITED}=\"{PASSWORD}\";"
    );
    for (key, value) in [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &path(&file("broker.pem"))),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &path(&file("ca.pem"))),
        ("listener.name.mutual.ssl.client.auth", "required"),
        ("listener.name.scramonly.sasl.enabled.mechanisms", "SCRAM-SHA-256"),
        ("listener.name.scramonly.scram-sha-256.sasl.jaas.config", scram),
        ("listener.name.secure.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
        ("listener.name.secure.plain.sasl.jaas.config", &plain),
        ("listener.name.secure.scram-sha-256.sasl.jaas.config", scram),
        ("listener.name.secure.scram-sha-512.sasl.jaas.config", scram),
        ("listener.name.secure.oauthbearer.sasl.jaas.config", &format!("{oauth}.OAuthBearerLoginModule required;")),
        (
            "listener.name.secure.oauthbearer.sasl.server.callback.handler.class",
            &format!("{oauth}.OAuthBearerValidatorCallbackHandler"),
        ),
        // A connection ends with its token, and clients must show the next one.
        ("listener.name.secure.oauthbearer.connections.max.reauth.ms", "3600000"),
        ("sasl.oauthbearer.jwks.endpoint.url", &jwks),
        ("sasl.oauthbearer.expected.audience", AUDIENCE),
        ("sasl.oauthbearer.expected.issuer", ISSUER),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
    ] {
        add("--property", format!("{key}={value}"));
    }
    let allowed = format!(
        "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks} -Dorg.apache.kafka.sasl.oauthbearer.allowed.files={}",
        path(&file("jwks.json"))
    );
    (options, allowed)
}

fn path(path: &Path) -> String {
    path.to_str().expect("a temporary folder's path is text").to_owned()
}
