//! A child process that never outlives the test: killed on drop, and by a watchdog when the test process itself dies.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::within;

/// A running program and its watchdog.
pub(crate) struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts the program in a process group of its own, so that Ctrl-C reaches the test alone. The watchdog also
    /// removes `folder`, the program's own: destructors of a killed test, and of statics, do not run.
    pub(crate) fn spawn(name: &str, command: &mut Command, folder: &Path) -> Self {
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let watchdog = watchdog(child.id(), folder);
        Self { name: name.to_owned(), child, watchdog, exit: None }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it writes to standard error, if that was piped and not yet taken.
    pub(crate) fn take_stderr(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("standard error is piped and taken once")
    }

    /// What it writes to standard output, if that was piped and not yet taken.
    pub(crate) fn take_stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("standard output is piped and taken once")
    }

    /// Sends a signal to a program that has not ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            kill(Pid::from_raw(self.child.id().cast_signed()), signal)
                .unwrap_or_else(|error| panic!("cannot send {signal} to {}: {error}", self.name));
        }
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().expect("an own child can be waited for");
        }
        self.exit
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, deadline: Duration) -> ExitStatus {
        within(deadline, || self.exit_status())
            .unwrap_or_else(|| panic!("{} has not ended within {deadline:?}", self.name))
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait(Duration::from_secs(10));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: the process id is free for others once the child has been waited for.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        if self.exit.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A shell that ends the program and removes its folder when this process is gone: its standard input closes then,
/// whatever ended the test.
fn watchdog(id: u32, folder: &Path) -> Child {
    const SCRIPT: &str = "trap '' INT TERM HUP; read -r _; \
        kill -9 $1 2>/dev/null; while kill -0 $1 2>/dev/null; do sleep 0.1; done; rm -rf \"$2\"";
    Command::new("sh")
        .args(["-c", SCRIPT, "watchdog", &id.to_string()])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start a watchdog: {error}"))
}
