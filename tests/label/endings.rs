//! However a run ends, a file under its final name is whole.

use std::io::{BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{Model, Running, label, moodstream, names, posts, read, start, until, within};

/// A run that is somewhere in the middle of its work: something is written, and more is to come.
fn in_the_middle(folder: &Path) -> Running {
    std::fs::write(folder.join("in"), posts(20_000)).expect("written");
    let arguments = ["in", "--out", "out.jsonl", "--rejects", "rejects.jsonl", "--set", "batch.max_posts=256"];
    let mut running = start(folder, "delay_us=300", &arguments);
    let partial = |name: &str| name.starts_with("out.jsonl.") && name.ends_with(".partial");
    until("something is written", || {
        assert!(running.is_running(), "it has ended already");
        let written = names(folder).into_iter().find(|name| partial(name));
        written.and_then(|name| std::fs::metadata(folder.join(name)).ok()).is_some_and(|file| file.len() > 0)
    });
    running
}

#[test]
fn a_killed_run_leaves_nothing_under_the_final_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = in_the_middle(folder.path());
    kill(Pid::from_raw(running.id()), Signal::SIGKILL).expect("killed");
    running.wait();
    let left = names(folder.path());
    assert!(!left.contains(&"out.jsonl".to_owned()) && !left.contains(&"rejects.jsonl".to_owned()), "{left:?}");
    // And what it leaves behind does not stand in the way of the next.
    label(folder.path(), &["in", "--out", "out.jsonl"]).expect(0, &["20,000 labelled"]);
    assert_eq!(read(folder.path(), "out.jsonl").len(), 20_000);
}

#[test]
fn an_interrupted_run_dies_of_its_signal_and_leaves_nothing_at_all() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = tempfile::tempdir().expect("a folder");
        let running = in_the_middle(folder.path());
        kill(Pid::from_raw(running.id()), signal).expect("sent");
        let ran = running.wait();
        assert_eq!(ran.status.signal(), Some(signal as i32), "as a shell expects it: {}", ran.stderr);
        assert!(ran.stderr.contains("interrupted: no file was written"), "{}", ran.stderr);
        assert_eq!(names(folder.path()), ["in"]);
    }
}

#[test]
fn an_interrupted_run_that_waits_for_its_input_ends_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = moodstream(folder.path(), Model::StandIn(""), &["label", "-", "--out", "out"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let stdin = running.stdin();
    until("it has started", || !names(folder.path()).is_empty());
    kill(Pid::from_raw(running.id()), Signal::SIGINT).expect("sent");
    assert_eq!(running.wait().status.signal(), Some(Signal::SIGINT as i32));
    assert!(names(folder.path()).is_empty());
    drop(stdin);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), format!("bad\n{}", posts(100_000))).expect("written");
    let program = moodstream(folder.path(), Model::StandIn(""), &[]);
    let mut child = std::process::Command::new(program.get_program())
        .args(["label", "in", "--rejects", "rejects", "--set", "log.level=error"])
        .current_dir(folder.path())
        .env("MOODSTREAM_TEST_CLASSIFIER", "hash")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let stdout = child.stdout.take().expect("a pipe");
    let mut first = [0; 100];
    let first = within("something is written", move || BufReader::new(stdout).read(&mut first).expect("read"));
    assert_eq!(first, 100);
    let ran = Running::of(child).wait();
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    ran.expect(0, &[]);
    assert_eq!(names(folder.path()), ["in"], "rejects of an unknown part are no rejects of the input");
}

#[test]
fn a_model_that_is_down_fails_the_run_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), posts(1000)).expect("written");
    let ran = start(folder.path(), "down", &["in", "--out", "out", "--rejects", "rejects"]).wait();
    ran.expect(1, &["error: the model cannot classify: a test told it to be"]);
    assert_eq!(names(folder.path()), ["in"]);
}

#[test]
fn a_failure_while_the_input_is_a_pipe_that_stays_open_ends_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = moodstream(folder.path(), Model::StandIn("down"), &["label", "-"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = running.stdin();
    stdin.write_all(b"{\"text\":\"a\"}\n").expect("read");
    running.wait().expect(1, &["the model cannot classify"]);
    drop(stdin);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), posts(100)).expect("written");
    let ran = label(folder.path(), &["in", "--out", "/dev/full"]);
    ran.expect(1, &["error: /dev/full cannot be written: No space left on device"]);
    assert_eq!(names(folder.path()), ["in"]);
}
