//! A Kafka node for the tests, started by the same script that people use (`tools/kafka/kafka.sh`).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::free_port;
use super::process::Process;
use super::proxy::Proxy;

/// How long a node may take to answer.
const START: Duration = Duration::from_secs(90);

/// Sessions of members of the KIP-848 protocol, which the brokers decide: six seconds instead of 45.
const MEMBERS: [&str; 4] = [
    "group.consumer.min.session.timeout.ms=6000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=500",
    "group.consumer.heartbeat.interval.ms=500",
];

/// A running node; its data go with it.
pub(crate) struct Broker {
    folder: PathBuf,
    port: u16,
    advertised: SocketAddr,
    options: (Vec<String>, String),
    process: Process,
    _data: TempDir,
}

impl Broker {
    /// The node that all tests share which neither stop nor proxy theirs.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A node of its own.
    pub(crate) fn start() -> Self {
        let port = free_port();
        Self::start_at(port, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// A node of its own that clients reach through a proxy only.
    pub(crate) fn start_behind_proxy() -> (Self, Proxy) {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
        let proxy = Proxy::start(listener, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        (Self::start_at(port, proxy.address()), proxy)
    }

    /// A node of its own with more options of the script, made for its folder, and more of the Java machine.
    pub(crate) fn start_with(options: impl FnOnce(&Path) -> (Vec<String>, String)) -> Self {
        let port = free_port();
        Self::start_as(port, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), options)
    }

    fn start_at(port: u16, advertised: SocketAddr) -> Self {
        Self::start_as(port, advertised, |_| Default::default())
    }

    fn start_as(port: u16, advertised: SocketAddr, options: impl FnOnce(&Path) -> (Vec<String>, String)) -> Self {
        let data = tempfile::Builder::new().prefix("moodstream-kafka-").tempdir().expect("a temporary folder");
        let folder = data.path().to_path_buf();
        let options = options(&folder);
        let process = launch(&folder, port, advertised, &options);
        Self { folder, port, advertised, options, process, _data: data }
    }

    /// The folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address that clients are given.
    pub(crate) fn address(&self) -> String {
        self.advertised.to_string()
    }

    /// Stops it as an operator would, waits until it is gone, and starts it again with the same data and port.
    pub(crate) fn restart(&mut self) {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(Duration::from_mins(1));
        self.start_again();
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it with the same data and port.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.folder, self.port, self.advertised, &self.options);
    }
}

fn launch(folder: &Path, port: u16, advertised: SocketAddr, (options, java): &(Vec<String>, String)) -> Process {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = File::options().create(true).append(true).open(folder.join("script.log")).expect("an own folder");
    let mut command = Command::new(project.join("tools/kafka/kafka.sh"));
    command
        .args(["start", "--foreground", "--short-lived", "--port", &port.to_string()])
        .args(["--advertised", &advertised.to_string()])
        .args(MEMBERS.iter().flat_map(|property| ["--property", property]))
        .arg("--dir")
        .arg(folder)
        .args(options)
        // The Java machine reads it by itself.
        .env("JAVA_TOOL_OPTIONS", java)
        .stdout(Stdio::piped())
        .stderr(log);
    let mut process = Process::spawn("the Kafka node", &mut command, folder);
    // The script prints the address once the node answers.
    let ready = first_line(process.take_stdout());
    if ready.recv_timeout(START).is_err() {
        let told = std::fs::read_to_string(folder.join("script.log")).unwrap_or_default();
        panic!("the Kafka node is not up within {START:?}: {told}");
    }
    process
}

/// Sends the first line, or hangs up at the end of the output.
fn first_line(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let read = move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Only the first line has a reader; the rest is drained so that the script never blocks.
            let _ = send.send(line);
        }
    };
    thread::Builder::new().name("broker-output".to_owned()).spawn(read).expect("a thread can be started");
    receive
}
