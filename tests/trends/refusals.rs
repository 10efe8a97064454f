//! What is refused: one clear message, and exit code 2.

use std::fs;
use std::path::Path;

use crate::archive::{Dice, HOUR, Model, millis, mixed, posts, write};
use crate::program::{ask, moodstream};

/// Three hours of one model; their files.
fn archive(root: &Path) -> Vec<std::path::PathBuf> {
    let (mut dice, model) = (Dice::new(13), Model::first());
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    write(root, "1", &model, &posts(&mut dice, &model, start..start + 3, 400))
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let ran = moodstream(folder, &[&["trends"], arguments].concat());
    ran.expect(2, parts);
    assert!(ran.stdout.is_empty(), "{}", ran.text());
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.stderr);
}

#[test]
fn wrong_use_is_told_with_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    archive(folder.path());
    for (arguments, parts) in [
        (
            &[".", "--emotion", "jox"][..],
            &["--emotion: there is no emotion \"jox\", did you mean \"joy\"?", "Self doubt, anger, joy, trust"][..],
        ),
        (&[".", "--where", "platfrom=x"], &["--where: there is no column \"platfrom\"", "did you mean \"platform\"?"]),
        (&[".", "--where", "platform"], &["--where: \"platform\" is no condition", "lang=en"]),
        (&[".", "--group-by", "author"], &["--group-by: there is no column \"author\"", "or model"]),
        (&[".", "--time-zone", "Berlin"], &["--time-zone: \"Berlin\" is no time zone", "Europe/Berlin"]),
        (&[".", "--from", "soon"], &["--from: \"soon\" is no time", "2026-11-01"]),
        (
            &[".", "--from", "2025-10-22", "--to", "2025-10-21"],
            &["--to: 2025-10-21T00:00:00+00:00 is not after --from"],
        ),
        (&[".", "--model", "beef"], &["--model: no post there is of \"beef\"", "0a1b2c3d", "(first)"]),
        (&[".", "--by", "hour", "--from", "1970-01-01"], &["more than 100000 periods", "--by"]),
        (&[".", "--by", "month"], &["'month'", "hour, day, week"]),
    ] {
        let ran = moodstream(folder.path(), &[&["trends"], arguments].concat());
        ran.expect(2, parts);
    }
}

#[test]
fn a_place_without_an_archive_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    refused(folder.path(), &["nowhere"], &["PATH: nowhere: there is no such folder"]);
    refused(folder.path(), &[], &["archive.url: archive: there is no such folder", "moodstream trends PATH"]);
    fs::create_dir(folder.path().join("empty")).expect("made");
    refused(folder.path(), &["empty"], &["PATH: empty holds no posts yet", "posts/date=YYYY-MM-DD"]);
    fs::create_dir_all(folder.path().join("begun/posts")).expect("made");
    refused(folder.path(), &["begun/posts"], &["begun/posts holds no posts yet"]);
    fs::write(folder.path().join("file"), "no folder").expect("written");
    refused(folder.path(), &["file"], &["PATH: file: is no folder"]);
    refused(folder.path(), &["ftp://host/moods"], &["PATH: must be a folder, file:///folder, s3://bucket/prefix"]);
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 3, "nothing was made: {names:?}");
    assert_eq!(fs::read_dir(folder.path().join("empty")).expect("a folder").count(), 0);
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = archive(folder.path());
    let whole = fs::read(&files[1]).expect("read");
    let name = files[1].strip_prefix(folder.path()).expect("below").to_str().expect("UTF-8").to_owned();
    let change = |bytes: &[u8], parts: &[&str]| {
        fs::write(&files[1], bytes).expect("written");
        refused(folder.path(), &["."], &[&[name.as_str()], parts].concat());
    };
    change(&whole[..whole.len() - 100], &["it is no whole Parquet file", "archive verify"]);
    change(b"", &["it is no whole Parquet file"]);
    change(b"no Parquet at all, but longer than a footer", &["it is no whole Parquet file"]);
    let mut bytes = whole.clone();
    // Pages of the scores: behind the columns of the post's own fields, in front of the footer.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 400].fill(0xa5);
    change(&bytes, &["cannot be read: its pages are damaged", "archive verify"]);
    let other_hour = fs::read(&files[2]).expect("read");
    change(&other_hour, &["its footer says 2025-10-21T02, but it lies in the folder of 2025-10-21T01"]);
    fs::write(&files[1], &whole).expect("written");
    fs::write(folder.path().join("posts/date=2025-10-21/loose.parquet"), &whole).expect("written");
    refused(folder.path(), &["."], &["posts/date=2025-10-21/loose.parquet lies in no hour's folder"]);
}

#[test]
fn several_models_are_never_mixed_silently() {
    let folder = tempfile::tempdir().expect("a folder");
    mixed(folder.path());
    let (first, second) = (Model::first(), Model::second());
    let by_model = ask(folder.path(), &[".", "--group-by", "model"]);
    let posts = |model: usize| by_model["models"][model]["posts"].to_string();
    refused(
        folder.path(),
        &["."],
        &[
            "several models have labelled these posts",
            &format!("{}  first  {} posts", first.hash, posts(0)),
            &format!("{}  second  {} posts", second.hash, posts(1)),
            "--model HASH",
            "--group-by model",
        ],
    );
    // Where only one of them has posts there is nothing to choose.
    let one = ask(folder.path(), &[".", "--from", "2025-10-22T08:00:00Z", "--to", "2025-10-22T09:00:00Z"]);
    assert_eq!(one["models"].as_array().map(Vec::len), Some(1));
    let only = ask(folder.path(), &[".", "--model", "second"]);
    assert_eq!((only["models"].as_array().map(Vec::len), &only["emotions"][0]), (Some(1), &"Joy".into()));
    refused(folder.path(), &[".", "--model", "first", "--emotion", "love"], &["there is no emotion \"love\""]);
}

#[test]
fn a_time_without_posts_is_answered_with_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    archive(folder.path());
    let answer = ask(folder.path(), &[".", "--from", "2025-11-01", "--to", "2025-11-03"]);
    assert_eq!(answer["periods"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["emotions"].as_array().map(Vec::len), Some(4), "as the archive has them");
    assert_eq!(answer["groups"][0]["series"][0]["share"], serde_json::json!([null, null]));
}
