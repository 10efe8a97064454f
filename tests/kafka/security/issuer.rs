//! A token endpoint over TLS, as an identity provider has it: checks client and secret, hands out signed tokens.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use openssl::base64::encode_block;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use serde_json::json;

use super::authority::Authority;

/// The client that it knows.
pub(crate) const CLIENT: &str = "moodstream-worker";

/// A running endpoint; it ends with the test.
pub(crate) struct Issuer {
    address: SocketAddr,
    granted: Arc<AtomicUsize>,
}

impl Issuer {
    /// Starts it with a certificate of `authority` for localhost. It grants [`CLIENT`] with this secret tokens for
    /// `principal` that live so many seconds.
    pub(crate) fn start(authority: &Arc<Authority>, secret: &str, principal: &'static str, seconds: i64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
        let address = listener.local_addr().expect("a bound address");
        let (certificate, key) = authority.issue("localhost", None);
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("TLS");
        acceptor.set_private_key(&PKey::private_key_from_pem(key.as_bytes()).expect("a key")).expect("a key");
        acceptor
            .set_certificate(&X509::from_pem(certificate.as_bytes()).expect("a certificate"))
            .expect("a certificate");
        let acceptor = acceptor.build();
        let granted = Arc::new(AtomicUsize::new(0));
        let expected = format!("Basic {}", encode_block(format!("{CLIENT}:{secret}").as_bytes()));
        let (counter, authority) = (granted.clone(), authority.clone());
        let serve = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let Ok(stream) = acceptor.accept(stream) else { continue };
                answer(stream, &expected, &counter, || authority.token(principal, seconds), seconds);
            }
        };
        thread::Builder::new().name("issuer".to_owned()).spawn(serve).expect("a thread can be started");
        Self { address, granted }
    }

    /// The token endpoint.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/realms/test/token", self.address.port())
    }

    /// How many tokens it has handed out.
    pub(crate) fn granted(&self) -> usize {
        self.granted.load(Ordering::Relaxed)
    }
}

fn answer(
    stream: openssl::ssl::SslStream<TcpStream>,
    expected: &str,
    granted: &AtomicUsize,
    token: impl Fn() -> String,
    seconds: i64,
) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    if reader.read_line(&mut request).is_err() {
        return;
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => {
                if let Some((name, value)) = line.split_once(':') {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
            }
            Err(_) => return,
        }
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let form = String::from_utf8_lossy(&body).into_owned();
    let authorization = headers.get("authorization").cloned().unwrap_or_default();
    let (status, reply) =
        if !request.starts_with("POST /realms/test/token ") || !form.contains("grant_type=client_credentials") {
            ("400 Bad Request", json!({"error": "invalid_request"}))
        } else if authorization != expected {
            // As a careless server would, it repeats what it was sent.
            (
                "401 Unauthorized",
                json!({"error": "invalid_client", "error_description": format!("not known: {authorization}")}),
            )
        } else {
            granted.fetch_add(1, Ordering::Relaxed);
            ("200 OK", json!({"access_token": token(), "token_type": "Bearer", "expires_in": seconds}))
        };
    let reply = reply.to_string();
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reply}",
        reply.len()
    );
    let _ = reader.get_mut().shutdown();
}
