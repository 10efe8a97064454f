//! Alerts of the live topic on a real broker: whoever is killed or started twice, each event is once on its topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::broker::Broker;
use crate::support::eventually;
use crate::support::posts::{Draft, Post};
use crate::support::stage::{Layout, Stage};
use crate::support::topic::{self, Isolation};
use crate::support::worker::{Launch, Worker, message};

const DEADLINE: Duration = Duration::from_mins(3);
const HOUR_MS: i64 = 3_600_000;
/// Four rules, so that one look has four transactions.
const EMOTIONS: [&str; 4] = ["joy", "anger", "fear", "trust"];

/// An event: rule, beginning of the window, platform.
type Event = (String, String, String);

/// Topics, a folder for rules, and an alerter's target.
struct Scene {
    stage: Stage,
    folder: TempDir,
    alerts: String,
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The beginning of the hour that is so many hours ago.
fn hour_ago(hours: i64) -> i64 {
    let now = now_ms();
    now - now.rem_euclid(HOUR_MS) - hours * HOUR_MS
}

/// An hour as events have it.
fn written(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).expect("in range").to_string()
}

fn draft(id: String, text: String, platform: &str, time: i64) -> Draft {
    let post = json!({"id": id, "text": text, "lang": "en", "platform": platform, "created_at": time});
    Draft { post: Some(Post { id, text }), ..Draft::raw(post.to_string()) }
}

/// Posts of an hour.
fn posts(start: i64, count: i64) -> Vec<Draft> {
    let post = |number: i64| {
        let platform = ["bluesky", "mastodon"][usize::try_from(number % 2).expect("small")];
        let (id, text) = (format!("{start}-{number}"), format!("post {number} of {start}"));
        draft(id, text, platform, start + number * 1_000)
    };
    (0..count).map(post).collect()
}

impl Scene {
    fn new(name: &str) -> Self {
        let stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(3));
        let folder = tempfile::Builder::new().prefix("moodstream-alerts-").tempdir().expect("a temporary folder");
        let alerts = stage.targets.output.replace(".emotions", ".alerts");
        stage.admin.create_topic(&alerts, 2, &[]);
        Self { stage, folder, alerts }
    }

    /// Writes a rule for each emotion with these lines.
    fn rules(&self, lines: &str) {
        let rule = |emotion: &str| {
            format!(
                "[[rule]]\nname = \"{emotion}\"\nemotion = \"{emotion}\"\nwindow = \"1h\"\nleast_posts = 1\n{lines}\n"
            )
        };
        fs::write(self.folder.path().join("rules.toml"), EMOTIONS.map(rule).concat()).expect("written");
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    /// The words of a look at the live topic.
    fn words(&self, more: &[&str]) -> Vec<String> {
        let (rules, to) = (self.path("rules.toml"), format!("topic:{}", self.alerts));
        let words = ["alert", "--rules", &rules, "--live", "--to", &to];
        words.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    }

    /// One look; its exit code and what it logged.
    fn look(&self, launch: &Launch) -> (Option<i32>, String) {
        self.look_after("1s", launch)
    }

    /// The same with a grace.
    fn look_after(&self, grace: &str, launch: &Launch) -> (Option<i32>, String) {
        let words = self.words(&["--grace", grace]);
        let output = launch.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn watch(&self, name: &str) -> Worker {
        let words = self.words(&["--grace", "1s", "--every", "100ms"]);
        self.alerter(name).start_as(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn alerter(&self, name: &str) -> Launch {
        self.stage.worker(name)
    }

    /// What was told, in the order of the partitions.
    fn told(&self, isolation: Isolation) -> Vec<Event> {
        let records = topic::read(&Broker::shared().address(), &self.alerts, isolation);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let event = |record: &topic::Record| {
            let event = record.json();
            assert_eq!(event["id"].as_str().map(str::as_bytes), record.key.as_deref(), "{event}");
            assert_eq!(event["topic"], self.stage.targets.output.as_str());
            (text(&event["rule"]), text(&event["window"]["start"]), text(&event["key"]["platform"]))
        };
        records.iter().map(event).collect()
    }

    /// What should be, counted from the output topic: windows and platforms in which the rule of an emotion holds.
    fn expected(&self, share_above: f64) -> BTreeSet<Event> {
        let mut counts: BTreeMap<Event, (u32, u32)> = BTreeMap::new();
        for record in topic::read(&Broker::shared().address(), &self.stage.targets.output, Isolation::Committed) {
            let post = record.json();
            let start = format!("{}:00:00Z", &post["event_time"].as_str().expect("a time")[..13]);
            for emotion in EMOTIONS {
                let platform = post["platform"].as_str().expect("a platform").to_owned();
                let count = counts.entry((emotion.to_owned(), start.clone(), platform)).or_default();
                count.0 += 1;
                count.1 += u32::from(post["labels"].as_array().expect("labels").contains(&emotion.into()));
            }
        }
        let holds = |(_, (of, count)): &(Event, (u32, u32))| f64::from(*count) / f64::from(*of) > share_above;
        counts.into_iter().filter(holds).map(|(event, _)| event).collect()
    }

    /// What is wrong with what was told.
    fn faults(&self, share_above: f64) -> Vec<String> {
        let (expected, mut times) = (self.expected(share_above), BTreeMap::new());
        assert!(expected.len() >= EMOTIONS.len(), "{expected:?}");
        for event in self.told(Isolation::Committed) {
            *times.entry(event).or_insert(0) += 1;
        }
        let missing =
            expected.iter().filter(|event| !times.contains_key(*event)).map(|event| format!("{event:?} missing"));
        let wrong = times.iter().filter(|(event, times)| **times > 1 || !expected.contains(*event));
        missing.chain(wrong.map(|(event, times)| format!("{event:?} told {times} times"))).collect()
    }
}

#[test]
fn whatever_step_an_alerter_dies_at_each_event_is_once_on_the_topic() {
    let mut scene = Scene::new("alerts-steps");
    scene.rules("share_above = 0.5\ngroup_by = [\"platform\"]");
    for hours in 1..6 {
        scene.stage.produce(posts(hour_ago(hours), 60));
    }
    // An hour that is not over; the time of a post may be a day ahead.
    let later = hour_ago(-3);
    scene.stage.produce(posts(later, 60));
    scene.stage.finish([scene.stage.worker("labeller").start()], DEADLINE);
    let steps = ["begun:1", "acknowledged:1", "committed:1", "produced:1", "committed:2", "acknowledged:1"];
    for step in steps {
        let (point, pass) = step.split_once(':').expect("a point and a pass");
        let launch = scene.alerter("alerter").crash_at(point, pass.parse().expect("a number"));
        let (code, log) = scene.look(&launch);
        assert_eq!(code, None, "{step} was not passed: {log}");
    }
    for _ in 0..2 {
        let (code, log) = scene.look(&scene.alerter("alerter"));
        assert_eq!(code, Some(0), "{log}");
    }
    let all = scene.expected(0.5);
    let of_later = |event: &&Event| event.1 == written(later);
    let expected: BTreeSet<Event> = all.iter().filter(|event| !of_later(event)).cloned().collect();
    assert!(expected.len() < all.len(), "the hour that is not over has one");
    let told = scene.told(Isolation::Committed);
    assert!(expected.len() > 4, "{expected:?}");
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(told.len(), expected.len(), "{told:?}");
    let raw = scene.told(Isolation::Uncommitted).len();
    assert!(raw > told.len(), "no transaction was under way in any crash");
    // Without what the topic remembers, a start tells all of it again.
    let (code, log) = scene.look(&scene.alerter("alerter").environment("MOODSTREAM_SWITCHED_OFF", "alert_keys"));
    assert_eq!((code, scene.told(Isolation::Committed).len()), (Some(0), 2 * expected.len()), "{log}");
}

#[test]
fn an_alerter_killed_again_and_again_while_posts_come_tells_each_event_once() {
    let mut scene = Scene::new("alerts-kills");
    scene.rules("share_above = 0.0\ngroup_by = [\"platform\"]\nwait = \"none\"");
    let labeller = scene.stage.worker("labeller").start();
    for hours in (1..9).rev() {
        let mut alerter = scene.watch("alerter");
        let before = scene.told(Isolation::Committed).len();
        scene.stage.produce(posts(hour_ago(hours), 40));
        eventually(DEADLINE, "an event is told", || {
            assert!(alerter.exit_status().is_none(), "the alerter has ended");
            (scene.told(Isolation::Committed).len() > before).then_some(())
        });
        alerter.kill();
    }
    let mut alerter = scene.watch("alerter");
    scene.stage.produce(posts(hour_ago(9), 40));
    scene.stage.wait_until_done(DEADLINE);
    let all = scene.expected(0.0);
    eventually(DEADLINE, "every event is told", || {
        assert!(alerter.exit_status().is_none(), "the alerter has ended");
        (scene.told(Isolation::Committed).len() >= all.len()).then_some(())
    });
    alerter.wait_for_line(DEADLINE, "it watches", |line| message(line) == "watching");
    alerter.stop();
    scene.stage.finish([labeller], DEADLINE);
    assert_eq!(scene.faults(0.0), [""; 0]);
}

#[test]
fn one_that_was_shut_out_ends_and_says_so_and_tells_nothing_twice() {
    let mut scene = Scene::new("alerts-two");
    scene.rules("share_above = 0.0\ngroup_by = [\"platform\"]\nwait = \"none\"");
    scene.stage.produce(posts(hour_ago(2), 40));
    let labeller = scene.stage.worker("labeller").start();
    scene.stage.wait_until_done(DEADLINE);
    let mut first = scene.watch("first");
    eventually(DEADLINE, "the first tells", || (!scene.told(Isolation::Committed).is_empty()).then_some(()));
    // It stands still while another one takes over, and wakes up with news of its own.
    first.signal(Signal::SIGSTOP);
    let (code, log) = scene.look(&scene.alerter("second"));
    assert_eq!(code, Some(0), "{log}");
    scene.stage.produce(posts(hour_ago(1), 40));
    scene.stage.wait_until_done(DEADLINE);
    first.signal(Signal::SIGCONT);
    assert_eq!(first.wait(DEADLINE).code(), Some(1));
    let (code, log) = scene.look(&scene.alerter("second"));
    assert_eq!(code, Some(0), "{log}");
    scene.stage.finish([labeller], DEADLINE);
    assert_eq!(scene.faults(0.0), [""; 0]);
}

#[test]
fn a_window_waits_for_posts_that_arrived_in_time_and_are_not_labelled() {
    let mut scene = Scene::new("alerts-wait");
    scene.rules("share_above = 0.0\ngroup_by = [\"platform\"]");
    let (start, end) = (hour_ago(1), hour_ago(0));
    scene.stage.produce(posts(start, 20));
    scene.stage.finish([scene.stage.worker("labeller").start()], DEADLINE);
    // Nobody labels these: what is there of the hour is not all of it.
    scene.stage.produce(posts(start + 60_000, 400));
    let grace = now_ms() - end + 1_000;
    eventually(DEADLINE, "the grace is over", || (now_ms() > end + grace).then_some(()));
    let grace = format!("{grace}ms");
    let (code, log) = scene.look_after(&grace, &scene.alerter("alerter"));
    assert_eq!((code, scene.told(Isolation::Committed).len()), (Some(0), 0), "{log}");
    scene.stage.finish([scene.stage.worker("labeller").start()], DEADLINE);
    let (code, log) = scene.look_after(&grace, &scene.alerter("alerter"));
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(scene.faults(0.0), [""; 0]);
}

/// Texts that the stand-in gives joy, and texts that it does not, as many of each as are wanted.
fn joyful_and_joyless(scene: &mut Scene, count: usize) -> (Vec<String>, Vec<String>) {
    // Long ago: no window of theirs is looked at.
    scene.stage.produce(posts(1_740_787_200_000, 400));
    scene.stage.finish([scene.stage.worker("labeller").start()], DEADLINE);
    let (mut joyful, mut joyless) = (Vec::new(), Vec::new());
    for record in topic::read(&Broker::shared().address(), &scene.stage.targets.output, Isolation::Committed) {
        let post = record.json();
        let of =
            if post["labels"].as_array().expect("labels").contains(&"joy".into()) { &mut joyful } else { &mut joyless };
        of.push(post["text"].as_str().expect("a text").to_owned());
    }
    assert!(joyful.len() >= count && joyless.len() >= count);
    (joyful, joyless)
}

#[test]
fn z_scores_compare_the_live_topic_with_the_archives_days_and_lines_are_told_once() {
    let mut scene = Scene::new("alerts-days");
    let (joyful, joyless) = joyful_and_joyless(&mut scene, 60);
    let hour = hour_ago(2);
    let day = |start: i64, joys: usize| -> Vec<Draft> {
        let texts = joyful.iter().take(joys).chain(joyless.iter().take(60 - joys));
        let each = texts
            .zip(0_i64..)
            .map(|(text, number)| draft(format!("{start}-{number}"), text.clone(), "test", start + number * 1_000));
        each.collect()
    };
    for (days, joys) in [(1, 12), (2, 14), (3, 10), (4, 12), (5, 14), (6, 10), (0, 45)] {
        scene.stage.produce(day(hour - days * 24 * HOUR_MS, joys));
    }
    let archive = scene.path("archive");
    let settings = [("archive.idle", "1s"), ("archive.grace", "1s"), ("archive.put_deadline", "5s")];
    let worker =
        settings.into_iter().fold(scene.stage.worker("labeller"), |launch, (key, value)| launch.set(key, value));
    let worker = worker.set("archive.url", &archive).set("worker.role", "all");
    let running = worker.start();
    eventually(DEADLINE, "all days are archived", || {
        let output = worker.run(&["trends", "--format", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        let labelled = answer["groups"][0]["labelled"].as_array()?.iter().filter_map(Value::as_u64).sum::<u64>();
        (labelled == 400 + 7 * 60).then_some(())
    });
    scene.stage.finish([running], DEADLINE);
    let rules = "[[rule]]\nname = \"joyful\"\nemotion = \"joy\"\nwindow = \"1h\"\nz_above = 3.5\n";
    fs::write(scene.folder.path().join("rules.toml"), rules).expect("written");
    let look = |more: &[&str]| {
        let rules = scene.path("rules.toml");
        let words = [&["alert", "--rules", &rules, "--live", "--grace", "1s", "--look-back", "4h"], more].concat();
        let output = worker.run(&words);
        let events = String::from_utf8_lossy(&output.stdout).into_owned();
        let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (output.status.code(), events, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, events, log) = look(&[]);
    assert_eq!((code, events.len()), (Some(0), 1), "{log}");
    let figures = &events[0]["figures"];
    assert_eq!((&figures["labelled"], &figures["count"], &figures["usual"]), (&60.into(), &45.into(), &json!(0.2)));
    assert_eq!(look(&[]).1.len(), 0, "it was told");
    let claims = scene.folder.path().join("archive/_state/alerts/joyful");
    assert_eq!(fs::read_dir(claims).expect("a folder").count(), 2, "a claim and a mark in the archive");
    let (code, _, log) = look(&[&scene.path("nowhere")]);
    assert_eq!(code, Some(2));
    assert!(log.contains("what was told is remembered in the archive"), "{log}");
}
