//! A worker process: `moodstream run` with its settings, its log, its admin server.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, within};

/// How long a worker may take until all of its lanes have joined.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// How long a worker may take to end after SIGTERM.
pub(crate) const STOP: Duration = Duration::from_secs(20);

/// Log lines kept for a failing test.
const KEPT_LINES: usize = 20_000;

/// How a worker is to be started. Starting it again with the same one is a restart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    name: String,
    settings: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

impl Launch {
    /// A worker with a name for messages and nothing set.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Sets a key of the configuration to a text.
    pub(crate) fn set(self, key: &str, value: &str) -> Self {
        self.set_raw(key, &Value::from(value).to_string())
    }

    /// Sets a key of the configuration to a TOML value.
    pub(crate) fn set_raw(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A stable name: static membership.
    pub(crate) fn instance(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.name);
        self.set("worker.instance", instance)
    }

    /// A stand-in for the model that needs so long for each post.
    pub(crate) fn hash_classifier(mut self, per_post: Duration) -> Self {
        let stand_in = format!("hash,delay_us={}", per_post.as_micros());
        self.environment.insert("MOODSTREAM_TEST_CLASSIFIER".to_owned(), stand_in);
        self
    }

    /// The model of the project, instead of a stand-in.
    pub(crate) fn real_model(mut self) -> Self {
        self.environment.remove("MOODSTREAM_TEST_CLASSIFIER");
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter");
        self.set("model.path", model.to_str().expect("the project's path is text"))
    }

    /// The model of the project on a device whose memory holds so many padded tokens.
    pub(crate) fn small_device(mut self, padded_tokens: usize) -> Self {
        self.environment.insert("MOODSTREAM_TEST_DEVICE_TOKENS".to_owned(), padded_tokens.to_string());
        self.real_model()
    }

    /// Aborts at the `pass`-th pass of a crash point.
    pub(crate) fn crash_at(mut self, point: &str, pass: usize) -> Self {
        self.environment.insert("MOODSTREAM_CRASH_AT".to_owned(), format!("{point}:{pass}"));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Its configuration in a folder of its own, and the command that uses it.
    fn command(&self, name: &str) -> (TempDir, Command) {
        self.command_of(&[name])
    }

    fn command_of(&self, words: &[&str]) -> (TempDir, Command) {
        let folder = tempfile::Builder::new().prefix("moodstream-worker-").tempdir().expect("a temporary folder");
        let config = folder.path().join("worker.toml");
        let lines: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&config, lines.concat()).expect("an own folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
        command.args(words).arg("--config").arg(&config);
        (folder, command)
    }

    /// Runs `moodstream check` with the same settings: its exit code, and what it printed on both outputs.
    pub(crate) fn check(&self) -> (Option<i32>, String) {
        let (_folder, mut command) = self.command("check");
        // The model is looked up from here.
        command.envs(&self.environment).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.output().expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs another command with the same settings to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let (_folder, mut command) = self.command_of(words);
        command.envs(&self.environment).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.output().expect("the program starts")
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Worker {
        let (folder, command) = self.command("run");
        self.spawn(command, folder)
    }

    /// Starts another command with the same settings.
    pub(crate) fn start_as(&self, words: &[&str]) -> Worker {
        let (folder, command) = self.command_of(words);
        self.spawn(command, folder)
    }

    /// Runs a command line that a worker has told, with the environment of this launch.
    pub(crate) fn start_as_told(&self, line: &str) -> Worker {
        let folder = tempfile::Builder::new().prefix("moodstream-worker-").tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {line}"));
        self.spawn(command, folder)
    }

    fn spawn(&self, mut command: Command, folder: TempDir) -> Worker {
        command.envs(&self.environment).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::spawn(&self.name, &mut command, folder.path());
        let log = Log::follow(process.take_stderr(), &folder.path().join("worker.log"));
        Worker { name: self.name.clone(), process, log, _folder: folder }
    }
}

/// A running worker; killed when dropped.
pub(crate) struct Worker {
    name: String,
    process: Process,
    log: Log,
    _folder: TempDir,
}

impl Worker {
    /// Waits until `/readyz` says that all lanes have joined.
    pub(crate) fn wait_ready(&mut self) {
        self.wait_ready_within(READY);
    }

    /// Waits until `/readyz` says that all lanes have joined.
    pub(crate) fn wait_ready_within(&mut self, deadline: Duration) {
        let address = self.admin();
        eventually(deadline, &format!("{} is ready", self.name), || {
            if let Some(status) = self.process.exit_status() {
                panic!("{} ended before it was ready: {status}", self.name);
            }
            get(address, "/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// The address of its admin server, as its log tells it.
    fn admin(&mut self) -> SocketAddr {
        let line = self
            .wait_for_line(READY, "admin server listening", |line| message(line).contains("admin server listening"));
        let address = field(&line, "address").and_then(Value::as_str).expect("the line names the address");
        address.parse().expect("an address and a port")
    }

    /// Status and body of a page of its admin server.
    pub(crate) fn page(&mut self, path: &str) -> Option<(u16, String)> {
        let address = self.admin();
        get(address, path)
    }

    /// Waits until `/readyz` answers 503 and gives this reason.
    pub(crate) fn wait_not_ready(&mut self, reason: &str, deadline: Duration) {
        let address = self.admin();
        eventually(deadline, &format!("/readyz of {} answers 503: {reason}", self.name), || {
            let (status, body) = get(address, "/readyz")?;
            (status == 503 && body.contains(reason)).then_some(())
        });
    }

    /// Sum of the samples of a metric whose labels hold `labels` (such as `cause="out_of_range"`).
    pub(crate) fn metric(&mut self, name: &str, labels: &str) -> Option<f64> {
        let (_, body) = self.page("/metrics")?;
        let samples = body.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        samples.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until it alone has counted so many outcomes.
    pub(crate) fn wait_for_count(&mut self, outcomes: u32) {
        wait_for_counts(&mut [self], outcomes);
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for_line(&mut self, deadline: Duration, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.log.wait(deadline, wanted).unwrap_or_else(|| {
            let ended = self.process.exit_status();
            panic!("{} has not logged within {deadline:?}: {what} (ended: {ended:?})", self.name)
        })
    }

    /// The lines of its log that are wanted.
    pub(crate) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log.lines().into_iter().filter(|line| wanted(line)).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM; it must end with status 0 within the deadline.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(STOP);
        assert_eq!(status.code(), Some(0), "{} ended with {status} after SIGTERM", self.name);
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, deadline: Duration) -> ExitStatus {
        self.process.wait(deadline)
    }

    /// Whether it stands still, as after SIGSTOP (Linux).
    pub(crate) fn is_stopped(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && line.contains("T (stopped)"))
    }

    /// Memory in use, in bytes, where the system tells (Linux).
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }

    /// Processor time that it has used, of all its threads; Linux only.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // utime and stime are the 14th and 15th field; the second one, the name, may hold spaces.
        let mut ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let [user, system] = [ticks.next()?, ticks.next()?].map(|ticks| ticks.parse::<u64>().ok());
        // Linux tells in hundredths of a second, whatever the kernel's own tick is.
        Some(Duration::from_millis(10 * (user? + system?)))
    }
}

impl Drop for Worker {
    #[expect(clippy::print_stderr, reason = "the log of a failed test is shown with it")]
    fn drop(&mut self) {
        if thread::panicking() {
            let lines = self.log.lines();
            eprintln!("--- the last lines of {}:", self.name);
            for line in lines.iter().rev().take(40).rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Waits until workers have counted so many outcomes between them: each input once, after its commit (I1).
pub(crate) fn wait_for_counts(workers: &mut [&mut Worker], outcomes: u32) {
    let mut counted: Vec<Option<f64>> = Vec::new();
    let reached = within(READY, || {
        counted = workers.iter_mut().map(|worker| worker.metric("moodstream_outcomes_total", "")).collect();
        let sum: Option<f64> = counted.iter().copied().sum();
        (sum == Some(f64::from(outcomes))).then_some(())
    });
    let names: Vec<&str> = workers.iter().map(|worker| worker.name.as_str()).collect();
    assert!(reached.is_some(), "{names:?} have counted {counted:?} outcomes, not {outcomes} between them");
}

/// The message of a log line.
pub(crate) fn message(line: &Value) -> &str {
    field(line, "message").and_then(Value::as_str).unwrap_or_default()
}

/// A field of a log line, wherever the format puts fields.
pub(crate) fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get("fields").and_then(|fields| fields.get(name)).or_else(|| line.get(name))
}

/// A log line at level ERROR.
pub(crate) fn is_error(line: &Value) -> bool {
    line["level"] == "ERROR"
}

/// The worker's log: the last lines in memory, all of them in a file.
struct Log {
    shared: Arc<(Mutex<VecDeque<Value>>, Condvar)>,
}

impl Log {
    fn follow(output: impl Read + Send + 'static, file: &PathBuf) -> Self {
        let shared = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let mut file = File::create(file).expect("an own folder can be written");
        let into = Arc::clone(&shared);
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The file is for a person who looks at a running test; the test itself reads the lines in memory.
                let _ = writeln!(file, "{line}");
                // Not JSON: a panic's message, or the C library's.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let mut lines = into.0.lock().expect("no panic while it was held");
                if lines.len() == KEPT_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
                into.1.notify_all();
            }
        };
        thread::Builder::new().name("worker-log".to_owned()).spawn(read).expect("a thread can be started");
        Self { shared }
    }

    fn lines(&self) -> Vec<Value> {
        self.shared.0.lock().expect("no panic while it was held").iter().cloned().collect()
    }

    fn wait(&self, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + deadline;
        let mut lines = self.shared.0.lock().expect("no panic while it was held");
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.shared.1.wait_timeout(lines, left).expect("no panic while it was held").0;
        }
    }
}

/// Status and body of an HTTP page; none when the server does not answer.
fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    const CALL: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, CALL).ok()?;
    stream.set_read_timeout(Some(CALL)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
