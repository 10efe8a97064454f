//! Ways into a secured cluster, right and wrong: SASL PLAIN, SCRAM and OAUTHBEARER over TLS, client certificates,
//! permissions. Right ones deliver as anywhere else; wrong ones end the program with the setting to look at.

mod acl;
mod authority;
mod cluster;
mod issuer;
mod permissions;
mod secrets;
mod tokens;

use std::time::Duration;

use self::authority::Authority;
use self::cluster::{Cluster, Way, with};
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::{Launch, Worker};

const DEADLINE: Duration = Duration::from_secs(90);
/// Within this a program with wrong credentials has ended.
const END: Duration = Duration::from_secs(45);

/// A worker labels some posts, in and out by this way.
fn delivers(way: Way) {
    let cluster = Cluster::shared();
    let mut stage = Stage::new(&cluster.open_address(), "secured", &Layout::partitions(2));
    stage.produce(posts::take(300));
    let launch = with(stage.worker("secured"), &cluster.settings(way));
    let worker = launch.start();
    stage.finish([worker], DEADLINE);
    let (code, said) = launch.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("begun and aborted"), "{said}");
}

macro_rules! ways_in {
    ($($name:ident: $way:ident;)*) => {
        $(#[test]
        fn $name() {
            delivers(Way::$way);
        })*
    };
}

ways_in! {
    sasl_plain_delivers_exactly_once: Plain;
    scram_sha_256_delivers_exactly_once: Scram256;
    scram_sha_512_delivers_exactly_once: Scram512;
    a_token_of_a_file_delivers_exactly_once: TokenFile;
    a_token_of_a_command_delivers_exactly_once: TokenCommand;
    a_token_of_an_oidc_endpoint_delivers_exactly_once: TokenEndpoint;
    a_client_certificate_delivers_exactly_once: Certificate;
}

/// What the worker and `check` say about this way in with these settings changed. Both must end with this code.
fn refusal(way: Way, changed: &[(&str, &str)], code: i32) -> [String; 2] {
    let cluster = Cluster::shared();
    let launch = Launch::new("refused").set("admin.listen", "").hash_classifier(Duration::ZERO);
    let launch = with(launch, &cluster.settings(way));
    let launch = changed.iter().fold(launch, |launch, (key, value)| launch.set(key, value));
    let mut worker = launch.start();
    let status = worker.wait(END);
    let said = everything(&mut worker);
    assert_eq!(status.code(), Some(code), "{said}");
    let (found, checked) = launch.check();
    assert_eq!(found, Some(code), "{checked}");
    [said, checked]
}

/// What a worker that has ended has written.
fn everything(worker: &mut Worker) -> String {
    worker.wait_for_line(DEADLINE, "its last words", |line| {
        line.as_str().is_some_and(|line| line.starts_with("error: "))
    });
    written(worker)
}

/// What a worker has written so far.
fn written(worker: &Worker) -> String {
    worker.lines(|_| true).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn names(said: &[String; 2], words: &[&str]) {
    for said in said {
        for word in words {
            assert!(said.contains(word), "\"{word}\" is not named: {said}");
        }
    }
}

#[test]
fn a_wrong_password_names_user_and_password() {
    let cluster = Cluster::shared();
    let wrong = cluster.write("wrong.password", "not the password");
    for way in [Way::Plain, Way::Scram256] {
        let said = refusal(way, &[("kafka.properties.sasl.password_file", &wrong)], 1);
        names(&said, &["do not let this", "sasl.username", "sasl.password", "sasl.password_file"]);
        // Told once; librdkafka alone repeats itself.
        assert_eq!(said[0].matches("sasl.password_file").count(), 1, "{}", said[0]);
    }
    names(&refusal(Way::Scram512, &[("kafka.properties.sasl.username", "nobody")], 1), &["sasl.username"]);
}

#[test]
fn a_token_that_the_broker_does_not_trust_names_its_section() {
    let cluster = Cluster::shared();
    let stranger = Authority::new("stranger").token("token-user", 600);
    let file = cluster.write("strange.token", &stranger);
    names(&refusal(Way::TokenFile, &[("kafka.oauth.token_file", &file)], 1), &["kafka.oauth", "issuer"]);
    let expired = cluster.write("expired.token", &cluster.authority.token("token-user", -5));
    names(&refusal(Way::TokenFile, &[("kafka.oauth.token_file", &expired)], 1), &["kafka.oauth.token_file", "expired"]);
}

#[test]
fn a_source_that_gives_no_token_is_named() {
    let cluster = Cluster::shared();
    let wrong = cluster.write("wrong.secret", "not the secret");
    let said = refusal(Way::TokenEndpoint, &[("kafka.oauth.client_secret_file", &wrong)], 1);
    names(&said, &["client_secret_file", "invalid_client"]);
    let strange = cluster.write("strange.pem", &Authority::new("stranger").pem());
    names(&refusal(Way::TokenEndpoint, &[("kafka.oauth.ca_file", &strange)], 1), &["kafka.oauth.ca_file"]);
    let nobody = ("kafka.oauth.token_endpoint", "https://localhost:1/token");
    names(&refusal(Way::TokenEndpoint, &[nobody], 1), &["kafka.oauth.token_endpoint"]);
}

#[test]
fn a_mechanism_that_the_listener_lacks_is_named() {
    let cluster = Cluster::shared();
    let said = refusal(Way::Plain, &[("kafka.brokers", &cluster.scram_address())], 1);
    names(&said, &["sasl.mechanisms", "SCRAM-SHA-256"]);
}

#[test]
fn an_authority_that_did_not_sign_the_broker_is_named() {
    let cluster = Cluster::shared();
    let strange = cluster.write("other.pem", &Authority::new("stranger").pem());
    names(
        &refusal(Way::Plain, &[("kafka.properties.ssl.ca.location", &strange)], 1),
        &["is not trusted: ssl.ca.location in kafka.properties"],
    );
}

#[test]
fn a_broker_whose_certificate_names_another_host_is_told() {
    let elsewhere = Cluster::shared().secure_address().replace("localhost", "127.0.0.1");
    let said = refusal(Way::Plain, &[("kafka.brokers", &elsewhere)], 1);
    names(&said, &["ssl.endpoint.identification.algorithm", "kafka.brokers"]);
}

#[test]
fn a_missing_or_strange_client_certificate_is_named() {
    let cluster = Cluster::shared();
    // The same authority for the broker, and no certificate of one's own.
    let bare = refusal(
        Way::Plain,
        &[("kafka.brokers", &cluster.mutual_address()), ("kafka.properties.security.protocol", "sasl_ssl")],
        1,
    );
    names(&bare, &["check ssl.certificate.location and ssl.key.location in kafka.properties"]);
    let (certificate, key) = Authority::new("stranger").issue("cert-user", Some(cluster::KEY_PASSWORD));
    let (certificate, key) = (cluster.write("strange.crt", &certificate), cluster.write("strange.key", &key));
    let strange = [
        ("kafka.properties.ssl.certificate.location", certificate.as_str()),
        ("kafka.properties.ssl.key.location", &key),
    ];
    names(
        &refusal(Way::Certificate, &strange, 1),
        &["check ssl.certificate.location and ssl.key.location in kafka.properties"],
    );
}

#[test]
fn encryption_on_one_side_only_names_the_protocol() {
    let cluster = Cluster::shared();
    let tls = refusal(Way::Plain, &[("kafka.brokers", &cluster.open_address()), ("kafka.request_deadline", "5s")], 1);
    names(&tls, &["security.protocol"]);
    let plain = [("kafka.properties.security.protocol", "sasl_plaintext"), ("kafka.request_deadline", "5s")];
    names(&refusal(Way::Plain, &plain, 1), &["security.protocol"]);
    // TLS on both sides, and a listener that wants a user.
    let nobody = [("kafka.brokers", cluster.secure_address()), ("kafka.request_deadline", "5s".to_owned())];
    let nobody = nobody.each_ref().map(|(key, value)| (*key, value.as_str()));
    names(&refusal(Way::Certificate, &nobody, 1), &["security.protocol"]);
}

#[test]
fn settings_of_which_no_client_can_be_made_are_a_wrong_configuration() {
    let key = [("kafka.properties.ssl.key.password", "not the password")];
    names(&refusal(Way::Certificate, &key, 2), &["kafka.properties", "ssl.key.location"]);
    let missing = [("kafka.properties.ssl.ca.location", "/does/not/exist.pem")];
    names(&refusal(Way::Plain, &missing, 2), &["kafka.properties", "ssl.ca.location"]);
    names(&refusal(Way::Plain, &[("kafka.properties.sasl.usrname", "me")], 2), &["kafka.properties.sasl.usrname"]);
}
