//! A bucket's store against a real S3 server, with a network in between that fails, and against scripted answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::contract_tests::{Asked, keeps_the_contract};
use super::http_faults::{Answer, FaultServer};
use super::*;

#[expect(dead_code, reason = "stopping and starting it is for the tests of the worker")]
#[path = "../../../tests/kafka/support/s3.rs"]
mod server;
use self::server::S3Server;

const DEADLINE: Duration = Duration::from_secs(20);
/// Where the real server is missing, its tests pass; the last line of `tools/test.sh` says so.
macro_rules! server_or_return {
    () => {
        match S3Server::start() {
            Some(server) => server,
            None => return,
        }
    };
}

fn given(properties: &[(&str, &str)]) -> Properties {
    properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn reached_at(address: SocketAddr) -> Properties {
    S3Server::properties(address).into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn store_at(address: SocketAddr, deadline: Duration) -> Store {
    Store::open("s3://archive/some/prefix", &reached_at(address), deadline).expect("opened")
}

fn content(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

mod server_itself {
    use super::*;

    keeps_the_contract! {
        S3Server::start().map(|server| Asked { store: store_at(server.address(), DEADLINE), _held: server })
    }
}

mod through_a_network_that_fails_at_first {
    use super::*;

    keeps_the_contract! {
        S3Server::start().map(|server| {
            let network = FaultServer::start(Some(server.address()));
            for method in ["GET", "HEAD", "POST"] {
                network.answer(method, "", Answer::Say(503, "<Error><Code>SlowDown</Code></Error>"), 2);
            }
            network.answer("PUT", "", Answer::LoseRequest, 1);
            Asked { store: store_at(network.address(), DEADLINE), _held: (server, network) }
        })
    }
}

/// A store of the real server, and the network before it.
fn behind_network(server: &S3Server, deadline: Duration) -> (Store, FaultServer) {
    let network = FaultServer::start(Some(server.address()));
    (store_at(network.address(), deadline), network)
}

#[tokio::test]
async fn objects_are_files_below_the_prefix() {
    let server = server_or_return!();
    let store = store_at(server.address(), DEADLINE);
    let path = "posts/date=2025-10-09/hour=08/posts.emotions-1f-0-1-2-3.parquet";
    assert_eq!(store.create(path, content("rows")).await, Ok(Created::New));
    let file = server.objects().join("some/prefix").join(path);
    assert_eq!(std::fs::read(file).expect("there"), b"rows");
}

#[tokio::test]
async fn the_clients_own_put_sent_twice_is_told_that_it_exists() {
    let server = server_or_return!();
    let (store, network) = behind_network(&server, DEADLINE);
    network.answer("PUT", "claim", Answer::LoseReply, 1);
    assert_eq!(store.create("claim", content("mine")).await, Ok(Created::Exists));
    assert_eq!(network.seen("PUT", "claim"), 2, "the client asks again by itself");
    assert_eq!(store.get("claim").await, Ok(Some(content("mine"))));
}

#[tokio::test]
async fn a_put_whose_replies_are_all_lost_is_unknown_though_it_was_done() {
    let server = server_or_return!();
    let (store, network) = behind_network(&server, Duration::from_secs(3));
    network.answer("PUT", "claim", Answer::LoseReply, 1);
    network.answer("PUT", "claim", Answer::LoseRequest, 1000);
    let outcome = store.create("claim", content("mine")).await;
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
    assert_eq!(store.get("claim").await, Ok(Some(content("mine"))));
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_is_unknown() {
    let server = server_or_return!();
    let deadline = Duration::from_secs(1);
    let (store, network) = behind_network(&server, deadline);
    network.answer("PUT", "claim", Answer::SwallowReply, 10);
    let begun = Instant::now();
    let outcome = store.create("claim", content("mine")).await;
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
    assert!(begun.elapsed() < deadline * 3, "{:?}", begun.elapsed());
    network.answer("GET", "", Answer::SwallowReply, 10);
    assert!(matches!(store.list("posts").await, Err(StoreError::Later(_))), "a read leaves nothing behind");
}

#[tokio::test]
async fn a_conflict_is_told_as_exists_and_nothing_is_there() {
    let server = server_or_return!();
    let (store, network) = behind_network(&server, DEADLINE);
    let conflict = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    network.answer("PUT", "claim", Answer::Say(409, conflict), 1);
    assert_eq!(store.create("claim", content("mine")).await, Ok(Created::Exists));
    assert_eq!(store.get("claim").await, Ok(None));
}

#[tokio::test]
async fn a_server_that_is_busy_for_a_while_is_asked_again() {
    let server = server_or_return!();
    let (store, network) = behind_network(&server, DEADLINE);
    network.answer("PUT", "claim", Answer::Say(503, ""), 3);
    assert_eq!(store.create("claim", content("mine")).await, Ok(Created::New));
    assert_eq!(network.seen("PUT", "claim"), 4);
}

#[tokio::test]
async fn wrong_credentials_and_a_missing_bucket_are_refused_by_the_setting() {
    let server = server_or_return!();
    let endpoint = format!("http://{}", server.address());
    let wrong = [
        ("aws_endpoint", endpoint.as_str()),
        ("aws_access_key_id", S3Server::ACCESS_KEY),
        ("aws_secret_access_key", "wrong-hunter2"),
    ];
    let store = Store::open("s3://archive", &given(&wrong), DEADLINE).expect("opened");
    let error = store.probe().await.expect_err("wrong secret");
    let text = format!("{error} {error:?} {store:?}");
    assert!(text.starts_with("archive.properties: "), "{text}");
    assert!(text.contains("SignatureDoesNotMatch") && text.contains("aws_secret_access_key"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let missing = Store::open("s3://missing", &reached_at(server.address()), DEADLINE).expect("opened");
    for error in [missing.probe().await.expect_err("no bucket"), missing.list("posts").await.expect_err("no bucket")] {
        let text = error.to_string();
        assert!(text.starts_with("archive.url: ") && text.contains("NoSuchBucket"), "{text}");
    }
    let read = missing.get("posts/x").await;
    assert!(matches!(read, Err(StoreError::Refused { .. })), "no bucket is no missing file: {read:?}");
}

/// A store whose server answers every put with this.
fn scripted(answer: Answer, deadline: Duration) -> (Store, FaultServer) {
    let server = FaultServer::start(None);
    server.answer("PUT", "", answer, 1000);
    (store_at(server.address(), deadline), server)
}

#[tokio::test]
async fn answers_are_sorted_by_what_the_caller_does() {
    let deadline = Duration::from_secs(2);
    let cases = [
        (403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "archive.properties: "),
        (401, "", "archive.properties: "),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "archive.url: "),
        (501, "<Error><Code>NotImplemented</Code></Error>", "archive.url: "),
        (400, "<Error><Code>InvalidArgument</Code></Error>", "archive.url: "),
        (400, "<Error><Code>ExpiredToken</Code></Error>", ""),
        (500, "", ""),
        (503, "<Error><Code>SlowDown</Code></Error>", ""),
        (429, "", ""),
    ];
    for (status, body, refusal) in cases {
        let (store, _server) = scripted(Answer::Say(status, body), deadline);
        let error = store.create("claim", content("mine")).await.expect_err("no success");
        let text = error.to_string();
        match error {
            StoreError::Refused { .. } => assert!(!refusal.is_empty() && text.starts_with(refusal), "{status}: {text}"),
            StoreError::Unknown(_) => assert!(refusal.is_empty(), "{status}: {text}"),
            StoreError::Later(_) => panic!("{status}: {text}"),
        }
        assert!(text.contains(&status.to_string()), "the server's answer is told: {text}");
    }
}

#[tokio::test]
async fn a_server_that_ignores_the_condition_is_refused_by_the_probe() {
    // It takes every put, and keeps what it likes.
    let server = FaultServer::start(None);
    server.answer("PUT", "", Answer::Say(200, ""), 1000);
    server.answer("GET", "", Answer::Say(200, "second"), 1000);
    let store = store_at(server.address(), DEADLINE);
    let error = store.probe().await.expect_err("it overwrites").to_string();
    assert!(error.starts_with("archive.url: ") && error.contains("If-None-Match"), "{error}");

    // It tells the second that the name is taken, and yet overwrites.
    let server = FaultServer::start(None);
    server.answer("PUT", "", Answer::Say(200, ""), 1);
    server.answer("PUT", "", Answer::Say(412, ""), 1000);
    server.answer("GET", "", Answer::Say(200, "second"), 1000);
    let store = store_at(server.address(), DEADLINE);
    let error = store.probe().await.expect_err("it overwrites").to_string();
    assert!(error.contains("overwrote it"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_unknown_for_a_put_and_later_for_a_read() {
    let nobody = FaultServer::start(None).address();
    let store = store_at(nobody, Duration::from_secs(2));
    let error = store.create("claim", content("mine")).await.expect_err("nobody");
    assert!(matches!(error, StoreError::Unknown(_)), "{error}");
    let error = store.list("posts").await.expect_err("nobody");
    assert!(matches!(&error, StoreError::Later(_)) && error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn without_credentials_the_refusal_says_where_to_put_them() {
    let nobody = FaultServer::start(None).address();
    let endpoint = format!("http://{nobody}");
    let none = given(&[("aws_endpoint", endpoint.as_str()), ("aws_metadata_endpoint", endpoint.as_str())]);
    let store = Store::open("s3://archive", &none, Duration::from_secs(2)).expect("opened");
    let error = store.probe().await.expect_err("no credentials").to_string();
    assert!(error.starts_with("archive.properties: ") && error.contains("aws_access_key_id"), "{error}");
}

#[tokio::test]
async fn a_put_that_is_too_large_for_one_request_is_refused() {
    let (store, server) = scripted(Answer::Say(200, ""), DEADLINE);
    let error = store.create("large", Bytes::from(vec![0; (256 << 20) + 1])).await.expect_err("too large");
    assert!(error.to_string().starts_with("archive.segment_bytes: "), "{error}");
    assert_eq!(server.seen("PUT", ""), 0);
}
