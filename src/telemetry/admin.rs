//! The admin HTTP server: `/livez`, `/readyz`, `/metrics`; and what readiness is made of.
//!
//! Keeps I10: whoever cannot do its work sets a condition with a reason, and the worker is not ready
//! until every condition is cleared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Metrics;

/// How long requests in hand may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Why the worker is not ready: named conditions, shared by all who can keep it from working.
#[derive(Debug, Clone)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, String>>>,
    gauge: Gauge,
}

impl Readiness {
    /// The condition that a new one begins with, cleared when everything has been started.
    pub const STARTING: &'static str = "start";

    /// Not ready yet, because of [`Self::STARTING`]; the gauge follows (1 ready, 0 not).
    #[must_use]
    pub fn new(gauge: Gauge) -> Self {
        let readiness = Self { conditions: Arc::default(), gauge };
        readiness.set(Self::STARTING, "the worker is starting");
        readiness
    }

    /// Says that something keeps the worker from working, such as `lane-2`: `joining the group`.
    /// The same condition set again gets the new reason. Returns whether that is news.
    pub fn set(&self, condition: &str, reason: impl Into<String>) -> bool {
        let reason = reason.into();
        self.change(|conditions| conditions.insert(condition.to_owned(), reason.clone())).as_ref() != Some(&reason)
    }

    /// Says that this no longer does.
    pub fn clear(&self, condition: &str) {
        self.change(|conditions| conditions.remove(condition));
    }

    /// Every condition that holds, with its reason; none: ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, String)> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().map(|(condition, reason)| (condition.clone(), reason.clone())).collect()
    }

    /// Whether nothing keeps the worker from working.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Returns the reason before, if any.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> Option<String>) -> Option<String> {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = change(&mut conditions);
        // Under the lock, so that the gauge cannot keep an older state.
        self.gauge.set(conditions.is_empty().into());
        before
    }
}

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
    pub async fn start(listen: &str, metrics: Arc<Metrics>, readiness: Readiness) -> Result<Self, BindError> {
        let failed = |source| BindError { listen: listen.to_owned(), source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz).with_state(readiness))
            .route("/metrics", get(page).with_state(metrics));
        let (stop, stopped) = oneshot::channel::<()>();
        // A sender that was dropped stops it too.
        let serve = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) });
        let task = tokio::spawn(async { serve.await });
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

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let reasons = readiness.reasons();
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

async fn page(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    struct Running {
        runtime: tokio::runtime::Runtime,
        server: AdminServer,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    }

    fn start() -> Running {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        let server =
            runtime.block_on(AdminServer::start("127.0.0.1:0", metrics.clone(), readiness.clone())).expect("bound");
        Running { runtime, server, readiness, metrics }
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
        assert_eq!(get(server.address(), "/").0, 404);
    }

    #[test]
    fn an_address_in_use_is_reported_under_its_key() {
        let Running { runtime, server, readiness, metrics } = start();
        let listen = server.address().to_string();
        let error = runtime.block_on(AdminServer::start(&listen, metrics, readiness)).expect_err("in use");
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
