//! The same in a bucket of a real S3 server: an archive, its compacted tree, their roll-ups, and what was told of them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::archive::{HOUR, declare, millis, mixed};
use crate::program::{Ran, moodstream};
use crate::s3::S3Server;

const QUESTION: [&str; 5] = ["--group-by", "model,platform", "--by", "hour", "--full-scan"];

/// Copies a folder's files, as `moodstream` would have put them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).expect("copied");
        }
    }
}

#[test]
fn an_archive_in_a_bucket_is_asked_compacted_rolled_up_and_watched_like_one_on_disk() {
    let Some(server) = S3Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let local = folder.path().join("archive");
    mixed(&local);
    let start = millis("2025-10-21T21:00:00Z") / HOUR;
    declare(&local, start..start + 24 * 9);
    copy(&local, &server.objects().join("moods"));
    let properties = S3Server::properties(server.address()).map(|(key, value)| format!("{key} = \"{value}\"\n"));
    let settings = format!("[archive.properties]\n{}", properties.concat());
    fs::write(folder.path().join("moods.toml"), settings).expect("written");
    let run = |arguments: &[&str]| -> Ran {
        let ran = moodstream(folder.path(), &[arguments, &["--config", "moods.toml"]].concat());
        ran.expect(0, &[]);
        ran
    };
    let ask = |place: &str, question: &[&str]| -> Value {
        let ran = run(&[&["trends", place, "--format", "json"], question].concat());
        serde_json::from_slice(&ran.stdout).expect("JSON")
    };
    let bucket = |name: &str| format!("s3://{}/{name}", S3Server::BUCKET);
    let (moods, large) = (bucket("moods"), bucket("large"));
    let expected = ask("archive", &QUESTION);
    assert!(expected["groups"].as_array().is_some_and(|groups| groups.len() > 4));
    let of_bucket = ask(&moods, &QUESTION);
    assert_eq!((&of_bucket["groups"], &of_bucket["periods"]), (&expected["groups"], &expected["periods"]));
    run(&["rollup", &moods]);
    run(&["compact", "--archive", &moods, "--to", &large]);
    for place in [&moods, &large] {
        let rolled = ask(place, &QUESTION[..4]);
        assert_eq!((&rolled["groups"], &rolled["read"]["rows"]), (&expected["groups"], &0.into()), "{place}");
        assert_eq!(ask(place, &QUESTION)["groups"], expected["groups"], "{place}");
    }
    let rules =
        "[[rule]]\nname = \"joyful\"\nemotion = \"joy\"\nshare_above = 0.8\nwindow = \"1h\"\nleast_posts = 10\n";
    fs::write(folder.path().join("rules.toml"), rules).expect("written");
    let told =
        |place: &str| run(&["alert", "--rules", "rules.toml", "--look-back", "10years", place]).text().lines().count();
    let first = told(&moods);
    assert!(first > 0);
    assert_eq!((told(&moods), told("archive")), (0, first), "each archive remembers what was told of it");
    let claims = fs::read_dir(server.objects().join("moods/_state/alerts/joyful")).expect("a folder").count();
    assert_eq!(claims, 2 * first, "a claim and a mark each");
}
