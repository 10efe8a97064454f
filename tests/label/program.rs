//! The program, run with a deadline, and what it wrote.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Everything that is waited for must happen within this time.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// Time between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Which classifier it has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Model<'a> {
    /// The starter model.
    Starter,
    /// The stand-in, with these faults.
    StandIn(&'a str),
}

/// A running program. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    fed: Option<JoinHandle<()>>,
}

/// How it ended, and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// `moodstream` in this folder, without this shell's settings.
pub(crate) fn moodstream(folder: &Path, model: Model<'_>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter");
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MOODSTREAM")) {
        command.env_remove(name);
    }
    command.env("MOODSTREAM__MODEL__PATH", starter);
    if let Model::StandIn(faults) = model {
        command.env("MOODSTREAM_TEST_CLASSIFIER", ["hash", faults].join(if faults.is_empty() { "" } else { "," }));
    }
    command
}

/// `moodstream label` with the stand-in, started.
pub(crate) fn start(folder: &Path, faults: &str, arguments: &[&str]) -> Running {
    Running::start(&mut moodstream(folder, Model::StandIn(faults), &[&["label"], arguments].concat()))
}

/// `moodstream label` with the stand-in, to its end.
pub(crate) fn label(folder: &Path, arguments: &[&str]) -> Ended {
    start(folder, "", arguments).wait()
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::of(command.spawn().expect("the program starts"))
    }

    /// One that was started by other means.
    pub(crate) fn of(mut child: Child) -> Self {
        fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
            thread::spawn(move || {
                let mut all = Vec::new();
                // A program that was killed has said what it has said.
                let _ = pipe.read_to_end(&mut all);
                all
            })
        }
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, stdout, stderr, fed: None }
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().try_into().expect("a process id")
    }

    /// Gives it standard input, and the end of it.
    pub(crate) fn feed(mut self, input: &[u8]) -> Self {
        let mut pipe = self.child.stdin.take().expect("standard input is a pipe");
        let input = input.to_vec();
        // A program that refuses its arguments reads nothing.
        self.fed = Some(thread::spawn(move || drop(pipe.write_all(&input))));
        self
    }

    /// Standard input, to be written by the test.
    pub(crate) fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("standard input is a pipe")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("an own child").is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        until("the program ends", || !self.is_running());
        let said = |pipe: &mut Option<JoinHandle<Vec<u8>>>| {
            pipe.take().map_or_else(Vec::new, |pipe| pipe.join().expect("collected"))
        };
        let status = self.child.wait().expect("an own child");
        let (stdout, stderr) = (said(&mut self.stdout), said(&mut self.stderr));
        if let Some(fed) = self.fed.take() {
            fed.join().expect("fed");
        }
        Ended { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no \"{part}\" in:\n{}", self.stderr);
        }
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        self
    }
}

/// Waits for a condition; the one place where tests wait.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up, "not within {DEADLINE:?}: {what}");
        thread::sleep(LOOK);
    }
}

/// What this gives, if it gives it in time: for reads, which have no deadline of their own.
pub(crate) fn within<T: Send + 'static>(what: &str, give: impl FnOnce() -> T + Send + 'static) -> T {
    let (give_back, given) = mpsc::channel();
    thread::spawn(move || give_back.send(give()));
    given.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// JSON lines.
pub(crate) fn json(lines: &[u8]) -> Vec<Value> {
    assert!(lines.is_empty() || lines.ends_with(b"\n"), "the last line is whole");
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

/// The JSON lines of a file.
pub(crate) fn read(folder: &Path, name: &str) -> Vec<Value> {
    json(&std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// File and line that each record came from.
pub(crate) fn sources(records: &[Value]) -> Vec<(String, u64)> {
    let source = |record: &Value| {
        let file = record["source"]["file"].as_str().expect("a file").to_owned();
        (file, record["source"]["line"].as_u64().expect("a line"))
    };
    records.iter().map(source).collect()
}

/// What is in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// So many English posts.
pub(crate) fn posts(count: usize) -> String {
    let post = |number| format!("{{\"id\":\"{number}\",\"text\":\"post {number}\",\"lang\":\"en\"}}\n");
    (1..=count).map(post).collect::<Vec<_>>().concat()
}
