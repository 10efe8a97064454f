//! The archive on a real broker: every record of the output topic is in exactly one row (I6), whatever crashed,
//! stalled or failed. The rows are read by pyarrow, not by our code (FAULTS 36 to 40).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::broker::Broker;
use crate::support::posts::Draft;
use crate::support::s3::S3Server;
use crate::support::stage::{Layout, Stage};
use crate::support::topic::{self, Isolation};
use crate::support::worker::{Launch, Worker};
use crate::support::{eventually, within};

const DEADLINE: Duration = Duration::from_mins(3);
const HOUR_MS: i64 = 3_600_000;
/// 2025-03-01T00:00:00Z, long past: its hours are over.
const FIRST_MS: i64 = 1_740_787_200_000;

/// The steps of a publication, in order.
const STEPS: [&str; 5] = [
    "archive_before_claim",
    "archive_after_claim",
    "archive_between_files",
    "archive_before_offsets",
    "archive_after_offsets",
];

/// Posts of `hours` hours, each moved by up to two hours.
fn posts_of(hours: i64, count: usize) -> Vec<Draft> {
    let span = hours * HOUR_MS;
    (0..count)
        .map(|index| {
            let index_ms = i64::try_from(index).expect("a small number");
            let count_ms = i64::try_from(count).expect("a small number");
            // A fixed shuffle: the same posts in each run.
            let moved = (index_ms.wrapping_mul(7_919_777) % (4 * HOUR_MS)) - 2 * HOUR_MS;
            let time = (FIRST_MS + index_ms * span / count_ms + moved).clamp(FIRST_MS, FIRST_MS + span - 1);
            let (lang, text) = if index % 17 == 0 { ("de", "Guten Morgen") } else { ("en", "good morning") };
            let post = json!({"id": format!("p-{index}"), "text": format!("{text} {index}"), "created_at": time,
                "lang": lang, "platform": "test"});
            Draft::raw(post.to_string())
        })
        .collect()
}

/// A scenario's archive: a folder, and the output topic that it is of.
struct Archive {
    folder: TempDir,
    stage: Stage,
}

impl Archive {
    /// Labels `drafts`, so that the output topic is full.
    fn of(name: &str, partitions: i32, drafts: Vec<Draft>) -> Self {
        let folder = tempfile::Builder::new().prefix("moodstream-archive-").tempdir().expect("a temporary folder");
        let mut archive =
            Self { folder, stage: Stage::new(&Broker::shared().address(), name, &Layout::partitions(partitions)) };
        archive.label(drafts);
        archive
    }

    fn label(&mut self, drafts: Vec<Draft>) {
        self.stage.produce(drafts);
        let worker =
            self.stage.worker("labeller").set_raw("batch.max_posts", "1000").set("worker.role", "label").start();
        self.stage.wait_until_done(DEADLINE);
        worker.stop();
    }

    fn url(&self) -> &Path {
        self.folder.path()
    }

    /// An archiver that closes small segments and waits for nothing.
    fn archiver(&self, name: &str) -> Launch {
        self.stage
            .worker(name)
            .instance(name)
            .set("worker.role", "archive")
            .set("archive.url", self.url().to_str().expect("text"))
            .set("archive.segment_bytes", "1MiB")
            .set("archive.memory", "64MiB")
            .set("archive.idle", "1s")
            .set("archive.grace", "1s")
            .set("archive.put_deadline", "5s")
            .set("kafka.session_timeout", "6s")
    }

    /// The end of each partition's last claim.
    fn claimed(&self) -> BTreeMap<i32, i64> {
        claimed(self.url())
    }

    /// `moodstream archive verify`: its exit code and what it printed.
    fn verify(&self, flags: &[&str]) -> (Option<i32>, String) {
        let output = self.archiver("verify").run(&[&["archive", "verify"], flags].concat());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// The end of each partition of the output topic.
    fn ends(&self) -> BTreeMap<i32, i64> {
        let topic = &self.stage.targets.output;
        let topics = [(topic.as_str(), self.stage.admin.partitions(topic))];
        let group = self.stage.admin.group(&self.stage.group);
        let ends = eventually(DEADLINE, "the broker tells the ends of the output", || group.ends(&topics));
        ends.into_iter().map(|((_, partition), end)| (partition, end)).collect()
    }

    /// Waits until every record of the output topic is claimed and its files are there.
    fn wait_until_archived(&self, archivers: &mut [Worker]) {
        let ends = self.ends();
        let reached = within(DEADLINE, || {
            let claimed = self.claimed();
            ends.iter().all(|(partition, end)| *end == 0 || claimed.get(partition) == Some(end)).then_some(())
        });
        assert!(reached.is_some(), "claimed {:?} of {ends:?}", self.claimed());
        eventually(DEADLINE, "the last claims' files are written", || {
            let held: Option<f64> =
                archivers.iter_mut().map(|archiver| archiver.metric("moodstream_archive_open_files", "")).sum();
            (held? < 0.5).then_some(())
        });
    }

    /// What pyarrow reads.
    fn rows(&self) -> Vec<Value> {
        rows_of(&self.url().join("posts"))
    }

    /// The records of the output topic, as they should be archived.
    fn expected(&self) -> BTreeMap<(i64, i64), Value> {
        let records = topic::read(&Broker::shared().address(), &self.stage.targets.output, Isolation::Committed);
        records.iter().map(|record| ((i64::from(record.partition), record.offset), record.json())).collect()
    }

    /// What is wrong with the archive; empty: every record is in exactly one row, in the file of its hour.
    fn faults(&self) -> Vec<String> {
        self.faults_of(self.rows())
    }

    fn faults_of(&self, rows: Vec<Value>) -> Vec<String> {
        let expected = self.expected();
        let mut faults = Vec::new();
        let mut seen = BTreeMap::new();
        for row in rows {
            let place = (row["output_partition"].as_i64().unwrap_or(-1), row["output_offset"].as_i64().unwrap_or(-1));
            *seen.entry(place).or_insert(0) += 1;
            let Some(record) = expected.get(&place) else {
                faults.push(format!("{place:?} is no record of the topic"));
                continue;
            };
            for (column, value) in
                [("post_id", &record["id"]), ("text", &record["text"]), ("status", &record["status"])]
            {
                if row[column] != *value {
                    faults.push(format!("{place:?}: {column} is {}, not {value}", row[column]));
                }
            }
            let folder = row["folder"].as_str().unwrap_or_default();
            let time = record["event_time"].as_str().unwrap_or_default();
            if folder != format!("date={}/hour={}", &time[..10], &time[11..13]) {
                faults.push(format!("{place:?} of {time} lies in {folder}"));
            }
        }
        faults.extend(
            seen.iter()
                .filter(|(_, times)| **times > 1)
                .map(|(place, times)| format!("{place:?} is there {times} times")),
        );
        faults.extend(
            expected.keys().filter(|place| !seen.contains_key(place)).map(|place| format!("{place:?} is missing")),
        );
        faults
    }

    #[track_caller]
    fn assert_whole(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{} faults, such as {:?}", faults.len(), &faults[..faults.len().min(5)]);
    }
}

/// The rows below a folder, as pyarrow reads each file.
fn rows_of(posts: &Path) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join(".deps/readers/bin/python"))
        .arg(root.join("tools/readers/rows.py"))
        .arg(posts)
        .output()
        .expect("tools/test.sh has prepared .deps/readers");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a row as JSON")).collect()
}

/// The end of each partition's last claim, of an archive in this folder.
fn claimed(archive: &Path) -> BTreeMap<i32, i64> {
    let mut claimed = BTreeMap::new();
    for topic in folders(&archive.join("_state/claims")) {
        for partition in folders(&topic) {
            let number = name(&partition).parse().expect("a partition");
            let Some(last) = files(&partition).into_iter().max() else { continue };
            let Ok(json) = fs::read(&last) else { continue };
            // A server may still be writing it.
            let Ok(claim) = serde_json::from_slice::<Value>(&json) else { continue };
            claimed.insert(number, claim["end"].as_i64().expect("an end"));
        }
    }
    claimed
}

/// Every file below a folder, in the order of their paths.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = files(folder);
    all.extend(folders(folder).iter().flat_map(|folder| all_files(folder)));
    all.sort();
    all
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_file()).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("an own folder can be read").path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name that is text")
}

/// One archiver is killed at each step in turn; then it stands still right before a claim, until its session is over
/// and another one has archived everything, and goes on.
fn torment(archive: &Archive, launch: impl Fn(Launch) -> Launch) {
    for step in STEPS {
        let mut crashing = launch(archive.archiver("one").crash_at(step, 2)).start();
        let status = crashing.wait(DEADLINE);
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "ended by {step}: {status}");
    }
    let zombie = stand_still(archive, "one", &launch);
    let other = launch(archive.archiver("other")).start();
    let mut archivers = [other, zombie];
    archive.wait_until_archived(&mut archivers[..1]);
    archivers[1].signal(Signal::SIGCONT);
    archivers[1].wait_ready();
    archive.wait_until_archived(&mut archivers);
    archivers.into_iter().for_each(Worker::stop);
}

/// An archiver that has stopped by itself right before its second claim.
fn stand_still(archive: &Archive, name: &str, launch: impl Fn(Launch) -> Launch) -> Worker {
    let worker = launch(archive.archiver(name).environment("MOODSTREAM_STOP_AT", "archive_before_claim:2")).start();
    eventually(DEADLINE, "the archiver stands still", || worker.is_stopped().then_some(()));
    worker
}

#[test]
fn kills_at_every_step_a_standstill_and_a_failing_store_lose_and_double_no_row() {
    let archive = Archive::of("archive-torment", 4, posts_of(72, 60_000));
    torment(&archive, |launch| {
        launch.environment(
            "MOODSTREAM_STORE_FAULTS",
            "lost_request=0.01,lost_reply=0.02,late=0.02,conflict=0.01,own_retry=0.01,unavailable=0.02,spare_probe",
        )
    });
    archive.assert_whole();
}

#[test]
fn with_a_store_that_overwrites_a_standstill_before_a_claim_doubles_rows() {
    let archive = Archive::of("archive-overwrites", 4, posts_of(72, 12_000));
    let off = |launch: Launch| launch.environment("MOODSTREAM_STORE_FAULTS", "overwrite,spare_probe");
    // Groups of their own, and no session that ends meanwhile: a member that is put out between its claim and the
    // claim's files would double nothing.
    let mut zombie = stand_still(&archive, "one", |launch| off(launch.set("kafka.session_timeout", "5m")));
    // Much smaller segments: the zombie's claim, and so its files, are not those that took their place.
    let other = archive.archiver("other").set("archive.segment_bytes", "100KiB").set("archive.group", "overwriting");
    let mut other = [off(other).start()];
    archive.wait_until_archived(&mut other);
    zombie.signal(Signal::SIGCONT);
    zombie.wait_ready();
    let faults = eventually(DEADLINE, "the oracle sees rows twice", || {
        Some(archive.faults()).filter(|faults| !faults.is_empty())
    });
    assert!(faults.iter().any(|fault| fault.contains("2 times")), "{:?}", &faults[..1]);
}

#[test]
fn without_claims_a_crash_before_the_offsets_doubles_rows() {
    let archive = Archive::of("archive-no-claims", 2, posts_of(12, 6_000));
    let off = |launch: Launch| launch.environment("MOODSTREAM_SWITCHED_OFF", "archive_claims");
    let mut crashing = off(archive.archiver("one").crash_at("archive_before_offsets", 2)).start();
    assert_eq!(crashing.wait(DEADLINE).signal(), Some(Signal::SIGABRT as i32));
    let again = off(archive.archiver("one").set("archive.segment_bytes", "100KiB")).start();
    let group = archive.stage.admin.group(&format!("{}-archive", archive.stage.group));
    let topics = [(archive.stage.targets.output.as_str(), 2)];
    eventually(DEADLINE, "everything is archived", || {
        let committed = group.committed(&topics)?;
        let ends = group.ends(&topics)?;
        ends.iter().all(|(partition, end)| committed.get(partition) == Some(end)).then_some(())
    });
    again.stop();
    let faults = archive.faults();
    assert!(faults.iter().any(|fault| fault.contains("2 times")), "the oracle sees no row twice: {faults:?}");
}

#[test]
fn an_idle_topic_gets_its_file_and_its_complete_hour_without_another_record() {
    let archive = Archive::of("archive-idle", 2, posts_of(1, 1));
    let mut archiver = archive.archiver("only").start();
    archiver.wait_ready();
    let complete = archive.url().join("_state/hours/2025-03-01T00.json");
    eventually(DEADLINE, "the hour is complete", || complete.exists().then_some(()));
    let hour: Value = serde_json::from_slice(&fs::read(complete).expect("the declaration")).expect("JSON");
    assert_eq!(hour["rows"], 1, "{hour}");
    assert_eq!(archive.rows().len(), 1);
    archive.assert_whole();
    archiver.stop();
}

#[test]
fn an_archive_that_is_built_again_from_the_topic_has_the_same_rows() {
    let archive = Archive::of("archive-again", 3, posts_of(6, 3_000));
    let mut first = [archive.archiver("first").start()];
    archive.wait_until_archived(&mut first);
    first.into_iter().for_each(Worker::stop);
    let mut rows = archive.rows();

    let again = Archive { folder: tempfile::tempdir().expect("a temporary folder"), stage: archive.stage };
    let group = format!("{}-again", again.stage.group);
    let mut second =
        [again.archiver("second").set("archive.group", &group).set("archive.segment_bytes", "3MiB").start()];
    again.wait_until_archived(&mut second);
    second.into_iter().for_each(Worker::stop);
    again.assert_whole();
    let mut same = again.rows();
    let key = |row: &Value| (row["output_partition"].as_i64(), row["output_offset"].as_i64());
    rows.sort_by_key(key);
    same.sort_by_key(key);
    assert!(rows == same, "the rows differ");
}

#[test]
fn a_second_archive_of_the_same_group_is_refused_while_labelling_goes_on() {
    let mut archive = Archive::of("archive-second", 2, posts_of(1, 200));
    let mut first = [archive.archiver("first").start()];
    archive.wait_until_archived(&mut first);
    first.into_iter().for_each(Worker::stop);

    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let launch = archive.archiver("second").set("archive.url", elsewhere.path().to_str().expect("text"));
    let mut second = launch.set("worker.role", "all").start();
    second.wait_for_line(DEADLINE, "the other archive is refused", |line| {
        let line = line.to_string();
        line.contains("has archived") && line.contains("elsewhere") && line.contains("archive.url")
    });
    second.wait_ready();
    archive.stage.produce(posts_of(1, 100));
    archive.stage.wait_until_done(DEADLINE);
    assert_eq!(second.metric("moodstream_archive_failing", ""), Some(1.0));
    assert!(entries(&elsewhere.path().join("posts")).is_empty(), "nothing was written there");
    second.stop();
}

#[test]
fn records_that_expired_before_they_were_archived_are_a_hole_that_is_told() {
    let archive = Archive::of("archive-hole", 1, posts_of(2, 400));
    archive.stage.admin.delete_records(&archive.stage.targets.output, 0, 150);
    let mut archiver = [archive.archiver("only").start()];
    archive.wait_until_archived(&mut archiver);
    let [mut archiver] = archiver;
    assert_eq!(archiver.metric("moodstream_archive_holes_total", "cause=\"before_archive\""), Some(1.0));
    archiver.stop();
    // The topic holds what is left.
    archive.assert_whole();
    let (code, text) = archive.verify(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("(1 holes)") && text.contains("sound"), "{text}");
}

#[test]
fn verify_names_what_is_missing_torn_doubled_or_foreign_and_mends_it() {
    let archive = Archive::of("archive-verify", 2, posts_of(3, 600));
    let mut archiver = [archive.archiver("only").start()];
    archive.wait_until_archived(&mut archiver);
    archiver.into_iter().for_each(Worker::stop);
    let data = all_files(&archive.url().join("posts"));
    assert!(data.len() >= 4, "{data:?}");
    fs::remove_file(&data[0]).expect("removed");
    let torn = fs::read(&data[1]).expect("read");
    fs::write(&data[1], &torn[..torn.len() / 2]).expect("torn");
    let doubled = data[2].to_str().expect("text").replace("-00000000000000000000-", "-00000000000000000001-");
    fs::copy(&data[2], &doubled).expect("copied");
    fs::write(data[3].with_file_name("stray.parquet"), "not ours").expect("written");

    let (code, text) = archive.verify(&[]);
    assert_eq!(code, Some(1), "{text}");
    for (kind, path) in [
        ("missing", name(&data[0])),
        ("torn", name(&data[1])),
        ("doubled", name(Path::new(&doubled))),
        ("foreign", "stray.parquet"),
    ] {
        assert!(text.lines().any(|line| line.starts_with(kind) && line.contains(path)), "{kind} {path}: {text}");
    }
    let (code, text) = archive.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("4 findings, all mended"), "{text}");
    let (code, text) = archive.verify(&[]);
    assert!(code == Some(0) && text.contains("sound"), "{text}");
    archive.assert_whole();
}

#[test]
fn a_store_that_is_down_holds_nothing_up_and_gets_everything_once_it_is_back() {
    let Some(mut server) = S3Server::start() else { return };
    let mut archive = Archive::of("archive-s3", 4, posts_of(8, 4_000));
    let launch =
        S3Server::properties(server.address()).into_iter().fold(archive.archiver("only"), |launch, (key, value)| {
            launch.set(&format!("archive.properties.{key}"), &value)
        });
    let launch = launch.set("archive.url", &format!("s3://{}/moods", S3Server::BUCKET)).set("archive.memory", "8MiB");
    let mut worker = launch.set("worker.role", "all").start();
    worker.wait_ready();
    let objects = server.objects().join("moods");
    eventually(DEADLINE, "the first files", || (!all_files(&objects.join("posts")).is_empty()).then_some(()));
    server.halt();
    archive.stage.produce(posts_of(8, 20_000));
    archive.stage.wait_until_done(DEADLINE);
    eventually(DEADLINE, "the failing archive is told", || {
        (worker.metric("moodstream_archive_failing", "")? > 0.5).then_some(())
    });
    worker.wait_ready();
    let held = worker.metric("moodstream_archive_memory_bytes", "").expect("told");
    assert!(held < 12e6, "{held} bytes are held with archive.memory = 8MiB");
    server.resume();
    let mut archivers = [worker];
    let ends = archive.ends();
    eventually(DEADLINE, "everything is claimed", || {
        let claimed = claimed(&objects);
        ends.iter().all(|(partition, end)| claimed.get(partition) == Some(end)).then_some(())
    });
    eventually(DEADLINE, "the last files", || {
        (archivers[0].metric("moodstream_archive_open_files", "")? < 0.5).then_some(())
    });
    archivers.into_iter().for_each(Worker::stop);
    let faults = archive.faults_of(rows_of(&objects.join("posts")));
    assert!(faults.is_empty(), "{} faults, such as {:?}", faults.len(), &faults[..faults.len().min(5)]);
}

#[test]
fn seventy_two_open_hours_stay_within_the_memory_that_is_configured() {
    const BUDGET: u64 = 256 << 20;
    let archive = Archive::of("archive-memory", 4, posts_of(72, 60_000));
    // Nothing closes for another reason than idleness: all hours of all partitions are open until all is read.
    let launch = archive.archiver("only").set("archive.memory", "256MiB").set("archive.segment_bytes", "256MiB");
    let mut archiver = launch.start();
    let (mut peak, mut open) = (0, 0.0);
    let ends = archive.ends();
    eventually(DEADLINE, "everything is claimed", || {
        peak = archiver.resident_bytes()?.max(peak);
        open = archiver.metric("moodstream_archive_open_files", "").unwrap_or(0.0).max(open);
        let claimed = archive.claimed();
        ends.iter().all(|(partition, end)| claimed.get(partition) == Some(end)).then_some(())
    });
    let mut archivers = [archiver];
    archive.wait_until_archived(&mut archivers);
    archivers.into_iter().for_each(Worker::stop);
    archive.assert_whole();
    assert!(open > 250.0, "{open} files were open at once, of 288");
    assert!(peak < BUDGET, "the process held {} MiB", peak >> 20);
    // One file for each hour and partition: no segment had to close early.
    assert_eq!(all_files(&archive.url().join("posts")).len(), 288);
}
