//! What is refused before any work is done, with exit code 2 and nothing touched.

use std::process::Stdio;

use crate::program::{Model, Running, label, moodstream, names, posts, read};

#[test]
fn an_output_that_holds_something_is_refused_unless_it_may_be_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), posts(3)).expect("written");
    for taken in ["out", "out.rejects.jsonl", "named"] {
        let _ = std::fs::remove_file(folder.path().join("out"));
        std::fs::write(folder.path().join(taken), "precious").expect("written");
        let arguments: &[&str] = match taken {
            "named" => &["in", "--out", "out", "--rejects", "named"],
            _ => &["in", "--out", "out"],
        };
        label(folder.path(), arguments).expect(2, &[taken, "holds 8 bytes already", "--overwrite"]);
        assert_eq!(std::fs::read(folder.path().join(taken)).expect("there"), b"precious", "untouched");
        label(folder.path(), &[arguments, &["--overwrite"]].concat()).expect(0, &["3 labelled"]);
        assert_eq!(read(folder.path(), "out").len(), 3);
        let stale = std::fs::read(folder.path().join(taken)).unwrap_or_default();
        assert!(!stale.starts_with(b"precious"), "{taken}: nothing of an earlier run is left");
        let _ = std::fs::remove_file(folder.path().join(taken));
    }
    std::fs::write(folder.path().join("empty"), "").expect("written");
    label(folder.path(), &["in", "--out", "empty"]).expect(0, &["3 labelled"]);
    assert_eq!(read(folder.path(), "empty").len(), 3, "an empty file is nobody's loss");
}

#[test]
fn an_output_is_never_an_input_whatever_it_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = posts(3);
    std::fs::write(folder.path().join("in"), &text).expect("written");
    std::os::unix::fs::symlink("in", folder.path().join("soft")).expect("a link");
    std::fs::hard_link(folder.path().join("in"), folder.path().join("hard")).expect("a link");
    for out in ["in", "./in", "soft", "hard"] {
        for flag in ["--out", "--rejects"] {
            label(folder.path(), &["in", flag, out, "--overwrite"]).expect(2, &[out, "is also an input"]);
        }
    }
    // As `label in >> in`, and as `label - < in > in` would have it.
    let open = || std::fs::File::options().read(true).append(true).open(folder.path().join("in")).expect("opened");
    let mut appending = moodstream(folder.path(), Model::StandIn(""), &["label", "in"]);
    let mut piping = moodstream(folder.path(), Model::StandIn(""), &["label", "-"]);
    appending.stdout(open());
    piping.stdin(open()).stdout(open());
    for command in [&mut appending, &mut piping] {
        Running::start(command).wait().expect(2, &["standard output is also an input"]);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("in")).expect("there"), text);
}

#[test]
fn wrong_files_are_named_before_any_work() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), posts(3)).expect("written");
    std::fs::create_dir(folder.path().join("folder")).expect("made");
    let before = names(folder.path());
    let cases: [(&[&str], &[&str]); 9] = [
        (&["in", "missing"], &["cannot read missing", "No such file"]),
        (&["in", "folder"], &["folder is a folder"]),
        (&["-", "-"], &["once only"]),
        (&["in", "--rejects", "folder"], &["cannot write folder"]),
        (&["in", "--out", "nowhere/out"], &["cannot write nowhere/out"]),
        (&["in", "--out", "same", "--rejects", "./same"], &["--out and --rejects are both"]),
        (&["in", "--rejects", "-"], &["--out and --rejects are both standard output"]),
        (&["in", "--out", "out", "--set", "input.max_line_bytes=0"], &["input.max_line_bytes"]),
        (&["--out", "out"], &["FILE"]),
    ];
    for (arguments, parts) in cases {
        label(folder.path(), arguments).expect(2, parts);
        assert_eq!(names(folder.path()), before, "{arguments:?}");
    }
}

#[test]
fn rejects_may_have_standard_output_when_labels_have_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = moodstream(folder.path(), Model::StandIn(""), &["label", "-", "--out", "out", "--rejects", "-"]);
    let running = Running::start(command.stdin(Stdio::piped())).feed(b"bad\n{\"text\":\"good\"}\n");
    let ran = running.wait();
    ran.expect(0, &["1 labelled", "1 rejected"]);
    assert_eq!(crate::program::json(&ran.stdout)[0]["value"], "bad");
    assert_eq!(read(folder.path(), "out").len(), 1);
}
