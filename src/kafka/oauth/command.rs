//! Runs the command that prints a token, with a deadline and bounded output.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// More than any token has.
const MOST: u64 = 64 * 1024;
/// How often the command is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Runs it without a shell and returns what it printed.
///
/// # Errors
/// Why there is no output: not started, too late, failed. Standard error is repeated, standard output never.
pub(super) fn run(command: &[String], deadline: Duration) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("names no program")?;
    let give_up = Instant::now() + deadline;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let (output, complaint) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let late = || format!("{program} has not ended within kafka.oauth.timeout = {deadline:?}");
    let Some(status) = wait(&mut child, give_up) else {
        // What it has started itself may live on; it is given up with it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(late());
    };
    let left = || give_up.saturating_duration_since(Instant::now()).max(STEP);
    if !status.success() {
        let complaint = complaint.recv_timeout(left()).unwrap_or_default();
        let last =
            complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing on standard error");
        return Err(format!("{program} failed ({status}): {}", last.trim()));
    }
    output.recv_timeout(left()).map_err(|_| late())
}

fn wait(child: &mut Child, give_up: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < give_up => thread::sleep(STEP),
            _ => return None,
        }
    }
}

/// Reads to the end on a thread of its own, so that a full pipe stops nobody.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let read = move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(MOST).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        // The reader has gone when the deadline is over.
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    };
    // Without the thread nothing is ever sent, and the wait for it ends at the deadline.
    let _ = thread::Builder::new().name("token-command".to_owned()).spawn(read);
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Result<String, String> {
        run(&["sh".to_owned(), "-c".to_owned(), script.to_owned()], deadline)
    }

    #[test]
    fn what_it_prints_is_the_token_and_what_it_complains_of_the_reason() {
        let deadline = Duration::from_secs(10);
        assert_eq!(shell("echo token; echo warning >&2", deadline), Ok("token\n".to_owned()));
        let failed = shell("echo hunter2; echo first >&2; echo 'not logged in' >&2; exit 3", deadline);
        assert_eq!(failed, Err("sh failed (exit status: 3): not logged in".to_owned()));
        let missing = run(&["/does/not/exist".to_owned()], deadline).expect_err("no such program");
        assert!(missing.starts_with("cannot start /does/not/exist: "), "{missing}");
    }

    #[test]
    fn it_is_ended_at_the_deadline() {
        let began = Instant::now();
        let late = shell("exec sleep 60", Duration::from_millis(100)).expect_err("late");
        assert!(late.contains("kafka.oauth.timeout") && began.elapsed() < Duration::from_secs(20), "{late}");
    }

    #[test]
    fn more_output_than_a_token_has_neither_blocks_it_nor_fills_memory() {
        let flood = shell("head -c 1000000 /dev/zero | tr '\\0' a", Duration::from_secs(20)).expect("output");
        assert_eq!(flood.len() as u64, MOST);
    }
}
