//! Compressed inputs and outputs, in files and through pipes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::program::{Model, Running, json, label, moodstream, names, posts, read, sources, within};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

fn zst(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("memory")
}

fn piped(folder: &Path, arguments: &[&str], input: &[u8]) -> crate::program::Ended {
    let mut command = moodstream(folder, Model::StandIn(""), &[&["label"], arguments].concat());
    Running::start(command.stdin(Stdio::piped())).feed(input).wait()
}

#[test]
fn archives_are_told_by_their_contents_in_files_and_pipes() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = posts(300);
    let (first, second) = text.split_at(text.len() / 2);
    // Cut in the middle of a line: members are no lines.
    let several = [gzip(first), gzip(second)].concat();
    let frames = [zst(first), zst(second)].concat();
    for (name, bytes) in [("plain.gz", text.clone().into_bytes()), ("a.txt", several), ("b", frames)] {
        std::fs::write(folder.path().join(name), &bytes).expect("written");
        for ran in [label(folder.path(), &[name]), piped(folder.path(), &["-"], &bytes)] {
            ran.expect(0, &["300 lines = 300 labelled"]);
            let outputs = json(&ran.stdout);
            assert!(sources(&outputs).into_iter().map(|(_, line)| line).eq(1..=300), "{name}");
        }
    }
}

#[test]
fn a_truncated_archive_fails_with_its_name_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = posts(3000);
    for (name, whole) in [("a.gz", gzip(&text)), ("b.zst", zst(&text))] {
        let half = &whole[..whole.len() - 9];
        std::fs::write(folder.path().join(name), half).expect("written");
        std::fs::write(folder.path().join("whole"), posts(5)).expect("written");
        let before = names(folder.path());
        let ran = label(folder.path(), &["whole", name, "--out", "out", "--rejects", "rejects"]);
        ran.expect(1, &["error: ", name, "cannot be read beyond line "]);
        assert_eq!(names(folder.path()), before);
        let ran = piped(folder.path(), &["-"], half);
        ran.expect(1, &["error: - cannot be read beyond line "]);
        assert!(!json(&ran.stdout).is_empty(), "what was whole before the end is labelled");
    }
}

#[test]
fn outputs_are_compressed_as_their_names_say() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), format!("{}bad\n", posts(50))).expect("written");
    label(folder.path(), &["in", "--out", "out.jsonl.gz", "--rejects", "rejects.jsonl.zst"])
        .expect(0, &["50 labelled"]);
    let read_file = |name: &str| std::fs::read(folder.path().join(name)).expect("there");
    let mut outputs = Vec::new();
    let packed = read_file("out.jsonl.gz");
    std::io::Read::read_to_end(&mut MultiGzDecoder::new(&packed[..]), &mut outputs).expect("gzip");
    assert_eq!(json(&outputs).len(), 50);
    let rejects = zstd::decode_all(&read_file("rejects.jsonl.zst")[..]).expect("zstd");
    assert_eq!(json(&rejects).len(), 1);
    // And back in: what was written can be read.
    label(folder.path(), &["out.jsonl.gz", "--out", "again"]).expect(0, &["50 lines = 50 labelled"]);
    assert_eq!(read(folder.path(), "again").len(), 50);
}

#[test]
fn lines_that_come_slowly_are_labelled_as_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("pipe");
    nix::unistd::mkfifo(&out, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let mut command = moodstream(folder.path(), Model::StandIn(""), &["label", "-", "--out", "pipe"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = running.stdin();
    let opened = within("the program opens the pipe", move || File::open(out).expect("opened"));
    let mut lines = BufReader::new(opened).lines();
    for number in 1..=3 {
        writeln!(stdin, "{{\"id\":\"{number}\",\"text\":\"slow\"}}").expect("read");
        let (line, rest) = within("a line comes before the next is given", move || (lines.next(), lines));
        let line = line.expect("a line").expect("UTF-8");
        assert!(line.contains(&format!("\"line\":{number}}}")), "{line}");
        lines = rest;
    }
    drop(stdin);
    running.wait().expect(0, &["3 lines = 3 labelled"]);
}
