//! Posts events to a URL.
//!
//! A URL may hold a secret in its path, as those of chats do: nothing but its host is ever said. Redirects are not
//! followed. What the other side may mend by itself is tried again after a pause; one delivery ends within a minute.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before the next one.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// A URL that events are posted to.
pub(crate) struct Webhook {
    agent: ureq::Agent,
    url: String,
    /// Its host.
    shown: String,
    pauses: [Duration; 3],
}

impl Webhook {
    pub(super) fn new(url: &str) -> Self {
        let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        let certificates = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> =
            certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let mut agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("moodstream");
        if is_this_machine(&host) {
            agent = agent.proxy(None);
        }
        Self { agent: agent.build().new_agent(), url: url.to_owned(), shown: host, pauses: PAUSES }
    }

    /// Without pauses to speak of.
    #[cfg(test)]
    pub(super) fn impatient(url: &str) -> Self {
        Self { pauses: [Duration::from_millis(1); 3], ..Self::new(url) }
    }

    /// Posts one event; the id is its idempotency key.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) fn post(&self, id: &str, event: &[u8]) -> Result<(), String> {
        let mut pauses = self.pauses.iter();
        loop {
            let (reason, again) = match self.request(id, event) {
                Ok(status) if (200..300).contains(&status) => return Ok(()),
                Ok(status) => {
                    (format!("{} answers with status {status}", self.shown), matches!(status, 408 | 425 | 429 | 500..))
                }
                Err(reason) => (format!("{} does not answer: {reason}", self.shown), true),
            };
            match pauses.next().filter(|_| again) {
                Some(pause) => thread::sleep(*pause),
                None => return Err(reason),
            }
        }
    }

    fn request(&self, id: &str, event: &[u8]) -> Result<u16, String> {
        let request =
            self.agent.post(&self.url).header("content-type", "application/json").header("idempotency-key", id);
        // Its words may repeat the URL.
        let failed = |error: ureq::Error| error.to_string().replace(&self.url, "the URL");
        request.send(event).map(|response| response.status().as_u16()).map_err(failed)
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A request as the server saw it.
    #[derive(Debug)]
    struct Seen {
        head: Vec<String>,
        body: String,
    }

    /// Answers so many requests with these statuses and tells of them; `None` hangs up.
    fn serve(statuses: &'static [Option<u16>]) -> (String, thread::JoinHandle<Vec<Seen>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hooks/s3cret", listener.local_addr().expect("bound"));
        let serve = move || {
            let each = statuses.iter().map(|status| {
                let (stream, _) = listener.accept().expect("a client");
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a line");
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push(line.trim().to_ascii_lowercase());
                }
                let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
                reader.read_exact(&mut body).expect("a body");
                if let Some(status) = status {
                    let mut stream = stream;
                    let location = "location: http://127.0.0.1:1/";
                    let answer =
                        format!("HTTP/1.1 {status} X\r\n{location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).expect("sent");
                }
                Seen { head, body: String::from_utf8(body).expect("UTF-8") }
            });
            each.collect()
        };
        (url, thread::spawn(serve))
    }

    #[test]
    fn an_event_is_posted_with_its_id_as_idempotency_key() {
        let (url, server) = serve(&[Some(204)]);
        Webhook::impatient(&url).post("a/2025-10-07T17-0f", b"{\"id\":1}").expect("taken");
        let seen = server.join().expect("ended").remove(0);
        assert_eq!(seen.head[0], "post /hooks/s3cret http/1.1");
        for line in ["idempotency-key: a/2025-10-07t17-0f", "content-type: application/json"] {
            assert!(seen.head.iter().any(|found| found == line), "no {line} in {:?}", seen.head);
        }
        assert_eq!(seen.body, "{\"id\":1}");
    }

    #[test]
    fn what_the_server_may_mend_is_tried_again_and_what_it_refuses_is_not() {
        let (url, server) = serve(&[Some(503), None, Some(429), Some(200)]);
        Webhook::impatient(&url).post("a", b"{}").expect("taken at last");
        assert_eq!(server.join().expect("ended").len(), 4);
        let (url, server) = serve(&[Some(500); 4]);
        let refused = Webhook::impatient(&url).post("a", b"{}").expect_err("never taken");
        assert_eq!((refused.as_str(), server.join().expect("ended").len()), ("127.0.0.1 answers with status 500", 4));
        let (url, server) = serve(&[Some(410)]);
        let refused = Webhook::impatient(&url).post("a", b"{}").expect_err("refused");
        assert_eq!((refused.as_str(), server.join().expect("ended").len()), ("127.0.0.1 answers with status 410", 1));
    }

    #[test]
    fn a_redirect_is_not_followed_and_no_error_tells_the_path() {
        let (url, server) = serve(&[Some(302)]);
        let refused = Webhook::impatient(&url).post("a", b"{}").expect_err("refused");
        assert_eq!(refused, "127.0.0.1 answers with status 302");
        drop(server.join());
        let refused = Webhook::impatient(&url).post("a", b"{}").expect_err("nobody listens");
        assert!(refused.starts_with("127.0.0.1 does not answer: ") && !refused.contains("s3cret"), "{refused}");
    }
}
