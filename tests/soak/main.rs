//! The long proofs (`make soak`): they print their figures and fail when a bound is broken.

#[path = "../kafka/support/mod.rs"]
#[expect(dead_code, reason = "the scenarios of tests/kafka use the rest of the rig")]
mod support;

mod fleet;
mod watcher;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::broker::Broker;
use support::chaos::kill_in_turn;
use support::eventually;
use support::posts;
use support::proxy::api;
use support::stage::{Layout, Stage};
use support::topic::Isolation;

/// One proof at a time: the figures are of a machine that does nothing else.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_killed_worker_labels_again_within_five_seconds() {
    const ROUNDS: usize = 10;
    const BOUND: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_mins(2);
    let _alone = alone();
    let mut stage = Stage::new(&Broker::shared().address(), "soak-restart", &Layout::partitions(4));
    stage.produce(posts::take(20_000));
    let launch = stage.worker("one").instance("one").real_model();
    let mut worker = launch.start();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        worker.wait_ready();
        let before = stage.done().unwrap_or_default();
        stage.wait_for(before + 1, DEADLINE);
        let start = Instant::now();
        worker.kill();
        let at_kill = eventually(DEADLINE, "the committed offsets are told", || stage.done());
        worker = launch.start();
        eventually(DEADLINE, "the restarted worker commits", || stage.done().filter(|done| *done > at_kill));
        times.push(start.elapsed());
    }
    times.sort();
    let (median, most) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    println!("SIGKILL to the first newly committed label, real model: median {median:.1?}, maximum {most:.1?}");
    stage.finish([worker], DEADLINE);
    assert!(most <= BOUND, "{most:?} is more than {BOUND:?}");
}

#[test]
fn thirty_kills_over_200_000_posts_lose_and_double_nothing() {
    const POSTS: usize = 200_000;
    const KILLS: usize = 30;
    let _alone = alone();
    let mut stage = Stage::new(&Broker::shared().address(), "soak-kills", &Layout::partitions(8));
    stage.produce(posts::take(POSTS));
    let launches = ["one", "two"].map(|instance| {
        let worker = stage.worker(instance).instance(instance).set_raw("batch.max_posts", "1000");
        worker.set_raw("worker.lanes", "2").hash_classifier(Duration::from_micros(500))
    });
    let start = Instant::now();
    let workers = kill_in_turn(&stage, &launches, KILLS);
    let verdict = stage.finish(workers, Duration::from_mins(10));
    let raw = stage.verdict_at(Isolation::Uncommitted);
    println!("{KILLS} kills in {:.0?}: {verdict}", start.elapsed());
    println!("  a reader who ignores transactions sees {} posts twice", raw.duplicated.len());
}

#[test]
fn faults_at_every_step_of_a_transaction_lose_and_double_nothing() {
    const POSTS: usize = 100_000;
    const ROUNDS: usize = 8;
    const DEADLINE: Duration = Duration::from_mins(2);
    let _alone = alone();
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut stage = Stage::new(&broker.address(), "soak-faults", &Layout::partitions(4));
    stage.produce(posts::take(POSTS));
    let launch = stage.worker("hurt").instance("hurt").set("kafka.request_deadline", "4s");
    let worker = launch.set_raw("worker.lanes", "2").hash_classifier(Duration::from_micros(200)).start();
    let keys = [api::PRODUCE, api::ADD_PARTITIONS, api::ADD_OFFSETS, api::TXN_OFFSET_COMMIT, api::END_TXN];
    let start = Instant::now();
    let mut done = 0;
    for _ in 0..ROUNDS {
        for key in keys {
            done += POSTS / (ROUNDS * keys.len() + 2);
            stage.wait_for(done, DEADLINE);
            let hits = proxy.hits(key);
            proxy.lose_next_reply(key);
            proxy.wait_for_hits(key, hits + 1, DEADLINE);
            // The second time the client is left in the dark until its deadline.
            proxy.lose_next_reply_and_all_repeats(key);
            proxy.wait_for_hits(key, hits + 3, DEADLINE);
            proxy.clear();
        }
    }
    let verdict = stage.finish([worker], DEADLINE);
    let faults: usize = keys.iter().map(|key| proxy.hits(*key)).sum();
    let raw = stage.verdict_at(Isolation::Uncommitted);
    println!("{faults} faults in {:.0?}: {verdict}", start.elapsed());
    println!("  a reader who ignores transactions sees {} posts twice", raw.duplicated.len());
}

/// No broker is needed. `MOODSTREAM_SOAK_ROWS` makes it smaller, the bounds with it not.
#[test]
fn trends_of_a_hundred_million_posts_take_seconds_and_little_memory() {
    const ROWS: &str = "100000000";
    let _alone = alone();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let rows = std::env::var("MOODSTREAM_SOAK_ROWS").unwrap_or_else(|_| ROWS.to_owned());
    let (archive, figures) = (folder.path().join("archive"), folder.path().join("figures.json"));
    let output = Command::new(env!("CARGO_BIN_EXE_moodstream"))
        .args(["bench", "trends", "--days", "90", "--against", "duckdb", "--rows", &rows])
        .arg("--dir")
        .arg(&archive)
        .arg("--json")
        .arg(&figures)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&fs::read(figures).expect("written")).expect("JSON");
    assert_eq!(figures["rows"].to_string(), rows);
    let figure = |of: &str, what: &str| figures[of][what].as_f64().expect("a figure");
    for (of, bound) in [("moodstream", 20.0), ("from_rollup", 2.0)] {
        assert!(figure(of, "seconds") <= bound, "{of}: {} s is more than {bound} s", figure(of, "seconds"));
        assert!(figure(of, "memory") <= 1000.0, "{of}: {} MB is more than a gigabyte", figure(of, "memory"));
    }
    assert!(figure("rolling_up", "memory") <= 1000.0, "{} MB is more than a gigabyte", figure("rolling_up", "memory"));
    let quickest = figure("duckdb_by_scores", "seconds").min(figure("duckdb_by_labels", "seconds"));
    let ratio = quickest / figure("moodstream", "seconds");
    assert!(ratio >= 0.7, "{ratio:.2} of the speed of DuckDB");
}
