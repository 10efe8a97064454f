//! That no secret leaves by an error, a debug text or the log, whatever the server answers.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tracing_subscriber::fmt::MakeWriter;

use super::http_faults::{Answer, FaultServer};
use super::*;

/// Every secret here; it needs no escape in a URL.
const SECRET: &str = "hunter2-hunter2";

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while it was held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// An account that is no secret, and its secrets, for each kind of bucket.
fn stores(address: &str) -> [(&'static str, Vec<(&'static str, String)>); 3] {
    let endpoint = format!("http://{address}");
    [
        (
            "s3://bucket/prefix",
            vec![
                ("aws_endpoint", endpoint.clone()),
                ("aws_access_key_id", "someone".to_owned()),
                ("aws_secret_access_key", SECRET.to_owned()),
                ("aws_session_token", SECRET.to_owned()),
            ],
        ),
        ("gs://bucket/prefix", vec![("google_base_url", endpoint.clone()), ("google_bearer_token", SECRET.to_owned())]),
        (
            "az://container/prefix",
            vec![
                ("azure_endpoint", endpoint),
                ("azure_storage_account_name", "someone".to_owned()),
                ("azure_storage_sas_token", format!("sv=2024-01-01&sig={SECRET}")),
            ],
        ),
    ]
}

/// Everything that a store tells of itself while it fails.
async fn told(store: &Store) -> String {
    let mut told = format!("{store:?}\n");
    let mut add = |error: Option<StoreError>| {
        let error = error.expect("the server does not do what it is asked");
        writeln!(told, "{error}\n{error:?}").expect("text grows");
    };
    add(store.create("claim", Bytes::from_static(b"mine")).await.err());
    add(store.replace("claim", Bytes::from_static(b"mine"), &Version(Some("\"1\"".to_owned()))).await.err());
    add(store.get("claim").await.err());
    add(store.head("claim").await.err());
    add(store.list("claims").await.err());
    add(store.delete("claim").await.err());
    told
}

#[tokio::test]
async fn no_secret_is_told_or_logged_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    // With one subscriber alone, a line that another test's thread reaches first is taken for one that nobody wants.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let repeats = "<Error><Code>AuthenticationFailed</Code><Message>not with hunter2-hunter2</Message></Error>";
    for answer in [Answer::Say(403, repeats), Answer::Say(500, repeats), Answer::LoseRequest] {
        let server = FaultServer::start(None);
        for method in ["PUT", "GET", "HEAD", "POST", "DELETE"] {
            server.answer(method, "", answer, usize::MAX);
        }
        for (url, properties) in stores(&server.address().to_string()) {
            let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let store = Store::open(url, &properties, Duration::from_millis(200)).expect("opened");
            let told = told(&store).await;
            assert!(!told.contains(SECRET), "{told}");
        }
        assert!(server.seen("PUT", "claim") > 0);
    }
    let logged = String::from_utf8(log.0.lock().expect("no panic while it was held").clone()).expect("utf-8");
    assert!(logged.contains("backing off"), "the library's own words are in the log");
    for line in logged.lines() {
        assert!(!line.contains(SECRET), "{line}");
    }
}
