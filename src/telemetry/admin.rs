//! The admin HTTP server: the status page, `/status.json`, `/livez`, `/readyz`, `/metrics`.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Status, page};

/// How long requests in hand may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(1);
/// How often the status takes a reading of the metrics.
const READING: Duration = Duration::from_secs(1);

/// The address of `admin.listen` cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on admin.listen = \"{listen}\"; choose another address, or port 0 for a free one")]
pub struct BindError {
    listen: String,
    source: io::Error,
}

/// A running admin server.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl AdminServer {
    /// Binds `admin.listen` and serves on the current tokio runtime until [`Self::stop`].
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(listen: &str, status: Status) -> Result<Self, BindError> {
        let failed = |source| BindError { listen: listen.to_owned(), source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/status.json", get(status_json))
            .route("/", get(page::answer))
            .with_state(status.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        // A sender that was dropped stops it too.
        let serve = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) });
        let task = tokio::spawn(async move {
            let serve = async { serve.await };
            tokio::select! {
                served = serve => served,
                () = record(&status) => Ok(()),
            }
        });
        Ok(Self { address, stop, task })
    }

    /// The address that was bound, with the port that port 0 became.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is in hand, for a second at most, and stops.
    pub async fn stop(self) {
        let Self { stop, mut task, .. } = self;
        // Fails only if the server has ended already.
        let _ = stop.send(());
        if tokio::time::timeout(GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Takes readings for ever.
async fn record(status: &Status) {
    let mut ticks = tokio::time::interval(READING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        status.record();
    }
}

async fn readyz(State(status): State<Status>) -> impl IntoResponse {
    let reasons = status.readiness().reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let mut page = String::new();
    for (condition, reason) in reasons {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{condition}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, page)
}

async fn metrics(State(status): State<Status>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], status.metrics().encode())
}

async fn status_json(State(status): State<Status>) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    match serde_json::to_string(&status.report()) {
        Ok(report) => (StatusCode::OK, headers, report),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, headers, serde_json::json!({"error": error.to_string()}).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::status::tests::about;
    use crate::telemetry::{Metrics, Notices, Outcome, Readiness};

    struct Running {
        runtime: tokio::runtime::Runtime,
        server: AdminServer,
        readiness: Readiness,
        metrics: Arc<Metrics>,
        status: Status,
    }

    fn start() -> Running {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        let status = Status::new(about(), metrics.clone(), readiness.clone(), Notices::default());
        let server = runtime.block_on(AdminServer::start("127.0.0.1:0", status.clone())).expect("bound");
        Running { runtime, server, readiness, metrics, status }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        stream
    }

    /// The status and body of a page.
    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = connect(address);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
        (status, body.to_owned())
    }

    #[test]
    fn readyz_names_every_reason_until_all_are_cleared() {
        let Running { server, readiness, metrics, .. } = &start();
        readiness.set("lane-2", "joining the group");
        let (status, body) = get(server.address(), "/readyz");
        assert_eq!((status, body.as_str()), (503, "lane-2: joining the group\nstart: the worker is starting\n"));
        readiness.clear(Readiness::STARTING);
        readiness.set("lane-2", "paused by the breaker");
        let (status, body) = get(server.address(), "/readyz");
        assert_eq!((status, body.as_str()), (503, "lane-2: paused by the breaker\n"));
        assert_eq!(metrics.ready.get(), 0);
        readiness.clear("lane-2");
        assert_eq!(get(server.address(), "/readyz"), (200, "ready\n".into()));
        assert!(readiness.is_ready());
        assert_eq!(metrics.ready.get(), 1);
    }

    #[test]
    fn livez_says_ok_though_not_ready_and_metrics_are_served() {
        let Running { server, metrics, .. } = &start();
        assert_eq!(get(server.address(), "/livez"), (200, "ok\n".into()));
        metrics.rebalances.inc();
        let (status, body) = get(server.address(), "/metrics");
        assert_eq!(status, 200);
        assert!(body.contains("moodstream_rebalances_total 1\n") && body.ends_with("# EOF\n"), "{body}");
        assert_eq!(get(server.address(), "/nothing").0, 404);
    }

    #[test]
    fn the_status_page_and_its_numbers_are_served_while_the_worker_starts() {
        let Running { server, metrics, .. } = &start();
        let (status, page) = get(server.address(), "/");
        assert_eq!(status, 200);
        assert!(page.starts_with("<!doctype html>") && page.contains("status.json"), "{page}");
        metrics.outcome(Outcome::Labelled, "", 7);
        let (status, body) = get(server.address(), "/status.json");
        assert_eq!(status, 200);
        let report: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((&report["totals"]["labelled"], &report["ready"]), (&7.into(), &false.into()));
    }

    #[test]
    fn the_last_minutes_fill_without_anyone_looking() {
        let Running { server, metrics, .. } = &start();
        metrics.outcome(Outcome::Labelled, "", 7);
        let give_up = std::time::Instant::now() + Duration::from_secs(30);
        let labelled = loop {
            assert!(std::time::Instant::now() < give_up, "no bucket was filled");
            let (_, body) = get(server.address(), "/status.json");
            let report: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            if report["minutes"]["labelled"].as_array().is_some_and(|buckets| !buckets.is_empty()) {
                break report["minutes"]["labelled"].clone();
            }
            std::thread::park_timeout(Duration::from_millis(50));
        };
        assert_eq!(labelled, serde_json::json!([7]));
    }

    #[test]
    fn an_address_in_use_is_reported_under_its_key() {
        let Running { runtime, server, status, .. } = start();
        let listen = server.address().to_string();
        let error = runtime.block_on(AdminServer::start(&listen, status)).expect_err("in use");
        assert!(error.to_string().contains(&format!("admin.listen = \"{listen}\"")), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn stopping_does_not_wait_for_a_client_that_says_nothing() {
        let Running { runtime, server, .. } = start();
        let address = server.address();
        let mut silent = connect(address);
        silent.write_all(b"GET /livez HTTP/1.1\r\n").expect("sent");
        let started = std::time::Instant::now();
        runtime.block_on(server.stop());
        assert!(started.elapsed() < GRACE * 5, "{:?}", started.elapsed());
        assert!(TcpStream::connect(address).is_err(), "still listening");
    }
}
