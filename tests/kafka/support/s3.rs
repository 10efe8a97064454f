//! A real S3 server for the tests: versitygw, which keeps a bucket's objects as plain files of a folder.
//!
//! `tools/fetch-s3-server.sh` builds it. The library's tests use this file too, so it leans on nothing beside it.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// A running server with one bucket; its data go with it.
pub(crate) struct S3Server {
    address: SocketAddr,
    folder: TempDir,
    /// A shell that ends the server when its standard input closes: when this is dropped, or the test dies.
    keeper: Child,
}

impl S3Server {
    /// The one bucket.
    pub(crate) const BUCKET: &str = "archive";
    /// Whose it is.
    pub(crate) const ACCESS_KEY: &str = "moodstream-tests";
    /// The secret of that user.
    pub(crate) const SECRET_KEY: &str = "hunter2-hunter2";

    /// Starts one; none where it was not built.
    ///
    /// # Panics
    /// When it was not built and `MOODSTREAM_REQUIRE_S3=1` insists, or when it does not start.
    pub(crate) fn start() -> Option<Self> {
        if !program().exists() {
            let insists = std::env::var("MOODSTREAM_REQUIRE_S3").is_ok_and(|value| value == "1");
            assert!(!insists, "no S3 server, and MOODSTREAM_REQUIRE_S3 is set: run tools/fetch-s3-server.sh");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("moodstream-s3-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join(Self::BUCKET)).expect("an own folder can be written");
        let address = free_address();
        let keeper = serve(address, folder.path());
        Some(Self { address, folder, keeper })
    }

    /// Stops answering, as a server does that is gone: connections are refused.
    pub(crate) fn halt(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }

    /// Answers again, at the same address and with the same objects.
    pub(crate) fn resume(&mut self) {
        self.keeper = serve(self.address, self.folder.path());
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bucket's objects, as files.
    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.path().join(Self::BUCKET)
    }

    /// `archive.properties` for this server, reached at `address`: its own, or a proxy's.
    pub(crate) fn properties(address: SocketAddr) -> [(&'static str, String); 4] {
        [
            ("aws_endpoint", format!("http://{address}")),
            ("aws_access_key_id", Self::ACCESS_KEY.to_owned()),
            ("aws_secret_access_key", Self::SECRET_KEY.to_owned()),
            ("aws_region", "us-east-1".to_owned()),
        ]
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/versitygw/versitygw")
}

/// Starts the server and waits until it listens.
fn serve(address: SocketAddr, folder: &Path) -> Child {
    let keeper = Command::new("sh")
        .args(["-c", r#""$@" & server=$!; cat; kill "$server"; wait"#, "s3-keeper"])
        .arg(program())
        .args(["--quiet", "--access", S3Server::ACCESS_KEY, "--secret", S3Server::SECRET_KEY])
        .args(["--port", &address.to_string(), "posix"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be started");
    let end = Instant::now() + START;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "the S3 server does not listen at {address}");
        thread::sleep(Duration::from_millis(20));
    }
    keeper
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Its folder goes next.
        let _ = self.keeper.wait();
    }
}

/// A port that was free a moment ago, below those that outgoing connections take theirs from.
fn free_address() -> SocketAddr {
    loop {
        let port = 12_000 + u16::try_from(RandomState::new().hash_one(0) % 8_000).expect("less than 8000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
