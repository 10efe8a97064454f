//! No secret is ever printed: whatever is logged, at the lowest level and with everything that librdkafka can tell.

use std::path::Path;
use std::time::Duration;

use moodstream::config::Config;

use super::cluster::{CLIENT_SECRET, Cluster, KEY_PASSWORD, PASSWORD, Way, with};
use super::{DEADLINE, END, everything, written};
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::Launch;

/// A secret that opens nothing, and may be printed as little: it is a typing error away from one that does.
const WRONG: &str = "wrong-guess-99";

/// What may not be printed: whole words, and of a file every line that is long enough to be telling.
fn secrets(cluster: &Cluster) -> Vec<String> {
    let basic = |secret: &str| openssl::base64::encode_block(format!("{}:{secret}", super::issuer::CLIENT).as_bytes());
    let words = [PASSWORD, CLIENT_SECRET, KEY_PASSWORD, WRONG, &basic(CLIENT_SECRET), &basic(WRONG)];
    let mut secrets: Vec<String> = words.map(str::to_owned).to_vec();
    for file in ["client.key", "token", "token.command", "secret.token"] {
        let text = std::fs::read_to_string(Path::new(&cluster.file(file))).unwrap_or_default();
        // The last part of a token is its signature; without it the rest opens no door.
        secrets.extend(text.lines().map(|line| line.rsplit('.').next().unwrap_or_default().to_owned()));
    }
    secrets.retain(|secret| secret.len() > 10 && !secret.starts_with("-----"));
    secrets
}

fn assert_silent(text: &str, cluster: &Cluster, what: &str) {
    for secret in secrets(cluster) {
        if let Some(at) = text.find(&secret) {
            let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
            panic!("{what} prints a secret: {}", &text[line..(at + secret.len())]);
        }
    }
}

fn loud(launch: Launch) -> Launch {
    launch.set("log.level", "trace").set("kafka.properties.debug", "all")
}

const WAYS: [Way; 5] = [Way::Plain, Way::Scram256, Way::TokenFile, Way::TokenEndpoint, Way::Certificate];

#[test]
fn no_secret_is_printed_by_a_worker_that_gets_in() {
    let cluster = Cluster::shared();
    for way in WAYS {
        let mut stage = Stage::new(&cluster.open_address(), "silent", &Layout::partitions(1));
        stage.produce(posts::take(20));
        let launch = loud(with(stage.worker("silent"), &cluster.settings(way)));
        let worker = launch.start();
        stage.wait_until_done(DEADLINE);
        let said = written(&worker);
        assert!(said.contains("TRACE") && said.contains("librdkafka"), "it is not loud: {said}");
        assert_silent(&said, cluster, &format!("a worker by {way:?}"));
        worker.stop();
        let (code, said) = launch.check();
        assert_eq!(code, Some(0), "{said}");
        assert_silent(&said, cluster, &format!("check by {way:?}"));
    }
}

#[test]
fn no_secret_is_printed_by_a_worker_that_is_kept_out() {
    let cluster = Cluster::shared();
    let wrong = cluster.write("wrong.guess", WRONG);
    let foreign = super::authority::Authority::new("stranger").token("token-user", 600);
    let foreign = cluster.write("secret.token", &foreign);
    let key = ("kafka.properties.ssl.key.password", WRONG);
    for (way, (setting, value)) in [
        (Way::Plain, ("kafka.properties.sasl.password_file", wrong.as_str())),
        (Way::Scram256, ("kafka.properties.sasl.password_file", &wrong)),
        (Way::TokenFile, ("kafka.oauth.token_file", &foreign)),
        (Way::TokenEndpoint, ("kafka.oauth.client_secret_file", &wrong)),
        (Way::Certificate, key),
        (Way::Plain, ("kafka.properties.sasl.passwrod", WRONG)),
        (Way::Plain, ("kafka.properties.security.protocol", WRONG)),
    ] {
        let launch = loud(Launch::new("kept-out").set("admin.listen", "").hash_classifier(Duration::ZERO));
        let launch = with(launch, &cluster.settings(way)).set(setting, value);
        let mut worker = launch.start();
        assert!(!worker.wait(END).success());
        assert_silent(&everything(&mut worker), cluster, &format!("a worker with a wrong {setting}"));
        assert_silent(&launch.check().1, cluster, &format!("check with a wrong {setting}"));
    }
}

#[test]
fn no_secret_is_in_the_debug_output_of_a_configuration() {
    let cluster = Cluster::shared();
    for way in WAYS {
        let unquoted = |value: &str| serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
        let flags: Vec<_> = cluster.settings(way).into_iter().map(|(key, value)| (key, unquoted(&value))).collect();
        let config = Config::load(None, std::iter::empty(), &flags).expect("valid");
        let printed = format!("{config:?}\n{config:#?}\n{}", serde_json::to_string(&config).expect("JSON"));
        assert!(printed.contains("security.protocol"), "{printed}");
        assert_silent(&printed, cluster, &format!("the configuration of {way:?}"));
    }
}
