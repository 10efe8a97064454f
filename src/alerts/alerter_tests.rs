//! Several alerters on one archive, crashes between claim and mark, and what happens without the claims.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::alerter::{AlertError, Alerter, Round};
use super::memory::Memory;
use super::rules::parse;
use super::sight::{Archived, Sight};
use crate::config::Properties;
use crate::trends::Source;

const DEADLINE: Duration = Duration::from_secs(20);
/// Ten minutes after the last hour.
const NOW: &str = "2025-10-07T19:10:00Z";

const RULE: &str = "[[rule]]\nname = \"angry\"\nemotion = \"anger\"\nshare_above = 0.5\nwindow = \"1h\"\n";

/// Writes an hour of posts, of which so many of a hundred are angry, and declares it complete.
fn hour(root: &Path, name: &str, hour: &str, angry: usize) {
    let records: Vec<Vec<u8>> = (0..100)
        .map(|number| {
            let is_angry = number < angry;
            let time = format!("{hour}:{:02}:00.000Z", number % 60);
            let record = json!({
                "v": 1, "status": "labelled", "skip_reason": null, "id": format!("{hour}-{number}"), "text": null,
                "text_hash": null, "created_at": time, "event_time": time, "time_source": "created_at",
                "platform": if number % 2 == 0 { "bluesky" } else { "mastodon" }, "lang": "en", "author_id": null,
                "extra": {}, "scores": {"anger": if is_angry { 0.9 } else { 0.1 }, "joy": 0.2},
                "labels": if is_angry { json!(["anger"]) } else { json!([]) }, "token_count": 7, "truncated": false,
                "model": {"id": "first", "hash": "0a1b2c3d".repeat(8), "thresholds": [0.5, 0.5]},
                "source": {"topic": "posts", "partition": 0, "offset": number, "timestamp": 0}, "labelled_at": time,
            });
            record.to_string().into_bytes()
        })
        .collect();
    let bytes = crate::bench::parquet(records.iter().map(Vec::as_slice)).expect("a file");
    let (date, of_day) = hour.split_once('T').expect("an hour");
    let put = |path: String, bytes: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    };
    put(format!("posts/date={date}/hour={of_day}/posts.emotions-00000000-0-{name}-{name}1-0a1b2c3d.parquet"), &bytes);
    put(format!("_state/hours/{hour}.json"), b"{}");
    let identity = json!({"format": 1, "id": "a", "cluster_id": "c", "topic": "posts.emotions", "begun": 0,
        "rules": {"version": 1, "text": "keep", "key_id": ""}});
    put("_state/archive.json".to_owned(), identity.to_string().as_bytes());
}

/// Two calm hours and an angry one.
fn archive() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, angry) in [("2025-10-07T16", 20), ("2025-10-07T17", 80), ("2025-10-07T18", 30)] {
        hour(folder.path(), "1", at, angry);
    }
    folder
}

struct Rig {
    runtime: Runtime,
    alerter: Alerter,
    heard: Vec<(String, Value)>,
    deaf: bool,
}

impl Rig {
    fn new(root: &Path, rules: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("made");
        let none = Properties::default();
        let url = root.to_str().expect("UTF-8");
        let source = runtime.block_on(Source::open("PATH", url, &none, DEADLINE)).expect("opened");
        let source = source.into_written("alerts", &none, DEADLINE).expect("opened");
        let rules = parse(rules, "rules.toml").expect("right");
        let memory = Memory::claims(source.store().clone());
        let sight = Sight::Archive(Archived::new(source, Some(1)));
        let alerter = Alerter::new(sight, memory, rules, Duration::from_hours(48));
        Self { runtime, alerter, heard: Vec::new(), deaf: false }
    }

    fn try_round(&mut self, minutes_later: i64) -> Result<Round, AlertError> {
        let now: Timestamp = NOW.parse().expect("an instant");
        let now = now + jiff::SignedDuration::from_mins(minutes_later);
        let (heard, deaf) = (&mut self.heard, self.deaf);
        let mut deliver = |id: &str, event: &[u8]| {
            anyhow::ensure!(!deaf, "nobody listens");
            heard.push((id.to_owned(), serde_json::from_slice(event)?));
            Ok(())
        };
        self.alerter.round(now, self.runtime.handle(), &mut deliver)
    }

    fn round(&mut self) -> Round {
        self.try_round(0).expect("whole")
    }

    /// A round as it is so many minutes after now, by the clock that the files of the claims were written by.
    fn round_after_claims(&mut self, minutes: i64) -> Round {
        let since = Timestamp::now().duration_since(NOW.parse().expect("an instant"));
        self.try_round(since.as_mins() + minutes).expect("whole")
    }
}

#[test]
fn two_alerters_on_one_archive_tell_an_event_once() {
    let archive = archive();
    let (mut one, mut other) = (Rig::new(archive.path(), RULE), Rig::new(archive.path(), RULE));
    assert_eq!(one.round(), Round { hold: 1, delivered: 1, again: 0, undelivered: 0, behind: false });
    assert_eq!(other.round(), Round { hold: 1, delivered: 0, again: 0, undelivered: 0, behind: false });
    assert_eq!(one.round().delivered, 0, "nor does it twice");
    let (id, event) = &one.heard[0];
    assert!(id.starts_with("angry/2025-10-07T17-"), "{id}");
    assert_eq!(event["id"], id.as_str());
    assert_eq!(event["window"]["start"], "2025-10-07T17:00:00Z");
    assert_eq!((&event["window"]["end"], &event["window"]["complete"]), (&json!("2025-10-07T18:00:00Z"), &json!(true)));
    assert_eq!((&event["figures"]["share"], &event["figures"]["count"]), (&json!(0.8), &json!(80)));
    assert_eq!((&event["key"], &event["model"]["id"]), (&json!({}), &json!("first")));
    assert_eq!(event["conditions"], json!({"share_above": 0.5}));
}

#[test]
fn alerters_at_the_same_moment_tell_an_event_once() {
    let archive = archive();
    let heard: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut rig = Rig::new(archive.path(), RULE);
                    rig.round();
                    rig.heard
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("ended")).collect()
    });
    assert_eq!(heard.len(), 1, "{heard:?}");
}

#[test]
fn without_the_claim_an_event_is_told_twice() {
    let archive = archive();
    let (mut one, mut other) = (Rig::new(archive.path(), RULE), Rig::new(archive.path(), RULE));
    one.round();
    std::fs::remove_dir_all(archive.path().join("_state/alerts")).expect("removed");
    other.round();
    assert_eq!(one.heard.len() + other.heard.len(), 2);
    assert_eq!(one.heard[0].0, other.heard[0].0, "with the same id");
}

#[test]
fn what_was_claimed_and_not_delivered_is_told_by_another_after_a_while_in_the_same_bytes() {
    let archive = archive();
    let long = Duration::from_hours(24 * 3660);
    let (mut one, mut other) = (Rig::new(archive.path(), RULE), Rig::new(archive.path(), RULE));
    (one.alerter, other.alerter) = (one.alerter.looking_back(long), other.alerter.looking_back(long));
    one.deaf = true;
    assert_eq!(one.round_after_claims(0), Round { hold: 1, delivered: 0, again: 0, undelivered: 1, behind: false });
    assert_eq!(other.round_after_claims(5).delivered, 0, "it may be on its way");
    assert_eq!(other.round_after_claims(12), Round { hold: 1, delivered: 1, again: 1, undelivered: 0, behind: false });
    let claims = std::fs::read_dir(archive.path().join("_state/alerts/angry")).expect("a folder");
    let names: Vec<String> =
        claims.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8")).collect();
    assert!(names.iter().any(|name| name.ends_with(".attempt-000002.json")), "{names:?}");
    let claim = names.iter().find(|name| name.matches('.').count() == 1).expect("a claim");
    let claim = std::fs::read(archive.path().join("_state/alerts/angry").join(claim)).expect("read");
    assert_eq!(serde_json::from_slice::<Value>(&claim).expect("JSON"), other.heard[0].1);
    one.deaf = false;
    assert_eq!(one.round_after_claims(60).delivered, 0, "it was delivered");
}

#[test]
fn groups_are_events_of_their_own_and_an_hour_is_looked_at_when_it_is_complete() {
    let archive = archive();
    let mut rig = Rig::new(archive.path(), &format!("{RULE}group_by = [\"platform\"]\nleast_posts = 10\n"));
    std::fs::remove_file(archive.path().join("_state/hours/2025-10-07T17.json")).expect("removed");
    std::fs::remove_file(archive.path().join("_state/hours/2025-10-07T18.json")).expect("removed");
    assert_eq!(rig.round().hold, 0, "the hour is not complete");
    std::fs::write(archive.path().join("_state/hours/2025-10-07T17.json"), "{}").expect("written");
    assert_eq!(rig.round().delivered, 2);
    let platforms: Vec<_> = rig.heard.iter().map(|(_, event)| event["key"]["platform"].clone()).collect();
    assert_eq!(platforms, ["bluesky", "mastodon"]);
    assert_ne!(rig.heard[0].0, rig.heard[1].0);
}

#[test]
fn late_posts_are_seen_and_can_still_make_an_event() {
    let archive = archive();
    let mut rig = Rig::new(archive.path(), RULE);
    assert_eq!(rig.round().delivered, 1);
    hour(archive.path(), "2", "2025-10-07T18", 95);
    assert_eq!(rig.round(), Round { hold: 2, delivered: 1, again: 0, undelivered: 0, behind: false });
    assert_eq!(rig.heard[1].1["figures"]["labelled"], 200);
}

#[test]
fn all_rules_that_do_not_fit_the_archive_are_told_and_the_others_are_looked_at() {
    let archive = archive();
    let rules = [
        RULE.to_owned(),
        RULE.replace("angry", "b").replace("\"anger\"", "\"angre\""),
        RULE.replace("angry", "c").replace("\"anger\"", "\"rage\""),
    ];
    let mut rig = Rig::new(archive.path(), &rules.concat());
    let error = rig.try_round(0).expect_err("two rules are wrong");
    assert!(error.is_wrong_use());
    let told = error.to_string();
    for part in [
        "wrong in 2 places",
        "rule[2].emotion = \"angre\": there is no emotion \"angre\", did you mean \"anger\"?",
        "rule[3].emotion = \"rage\": there is no emotion \"rage\"; there are anger, joy",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert_eq!(rig.heard.len(), 1);
}
