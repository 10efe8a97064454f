//! A fleet at work: workers that join and leave, are stopped at any moment, and are restarted one after the other.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::alone;
use super::support::broker::Broker;
use super::support::eventually;
use super::support::posts::{self, Input};
use super::support::stage::{Layout, Stage};
use super::support::worker::{Launch, Worker};
use super::watcher::Watcher;

const DEADLINE: Duration = Duration::from_mins(3);

/// Produces at a steady rate until told to stop.
fn feed(brokers: &str, topic: &str, partitions: i32, per_second: usize, stop: &AtomicBool) -> Vec<Input> {
    const STEP: Duration = Duration::from_millis(500);
    let partitions: Vec<i32> = (0..partitions).collect();
    let (mut inputs, mut next) = (Vec::new(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        inputs.extend(posts::produce(brokers, topic, &partitions, posts::take(per_second / 2)));
        next += STEP;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    inputs
}

#[test]
fn workers_that_join_and_leave_every_ten_seconds_lose_and_double_nothing() {
    const PARTITIONS: i32 = 16;
    const CHANGES: usize = 12;
    const EVERY: Duration = Duration::from_secs(10);
    let _alone = alone();
    let broker = Broker::shared();
    let mut stage = Stage::new(&broker.address(), "soak-fleet", &Layout::partitions(PARTITIONS));
    let launch = |name: &str| stage.worker(name).set_raw("worker.lanes", "2").hash_classifier(Duration::from_millis(2));
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (workers, inputs) = thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&broker.address(), &stage.input, PARTITIONS, 1_000, &stop));
        let mut workers: Vec<Worker> = ["a", "b", "c", "d"].map(|name| launch(name).start()).into();
        for change in 0..CHANGES {
            let next = Instant::now() + EVERY;
            // Between two and six of them, the one that leaves being the one that has been there for the longest.
            if change % 4 < 2 {
                workers.push(launch(&format!("more-{change}")).start());
            } else {
                workers.remove(0).stop();
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
        (workers, feeder.join().expect("the feeder does its work"))
    });
    stage.adopt(inputs);
    let verdict = stage.finish(workers, DEADLINE);
    println!("{CHANGES} joins and leaves, one every {EVERY:?}, in {:.0?}: {verdict}", start.elapsed());
}

#[test]
fn a_hundred_sigterms_at_random_moments_lose_and_double_nothing() {
    const ROUNDS: usize = 100;
    /// From the start of a worker: it is told to stop while it starts, joins, or labels.
    const LATEST_MS: u64 = 2_500;
    let _alone = alone();
    let mut stage = Stage::new(&Broker::shared().address(), "soak-sigterm", &Layout::partitions(4));
    stage.produce(posts::take(100_000));
    let launch = stage.worker("stopped").instance("stopped").set_raw("worker.lanes", "2");
    let launch = launch.hash_classifier(Duration::from_millis(1));
    let (mut slowest, mut labelled_in) = (Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        let before = stage.done();
        let worker = launch.start();
        // The moment is the fault.
        thread::sleep(Duration::from_millis(RandomState::new().hash_one(0) % LATEST_MS));
        let asked = Instant::now();
        worker.stop();
        slowest = slowest.max(asked.elapsed());
        labelled_in += usize::from(stage.done() > before);
    }
    let done = stage.done().unwrap_or_default();
    println!(
        "{ROUNDS} SIGTERMs, {labelled_in} of them in the midst of labelling: exit 0 each, the slowest after {slowest:.1?}; {done} posts done"
    );
    assert!(labelled_in > ROUNDS / 4, "too few of them hit a worker that labels: {labelled_in}");
    let verdict = stage.finish([launch.hash_classifier(Duration::ZERO).start()], DEADLINE);
    println!("  then to the end: {verdict}");
}

#[test]
fn a_rolling_restart_of_four_workers_under_load_loses_and_doubles_nothing() {
    const PARTITIONS: i32 = 8;
    const RATE: usize = 200;
    const NAMES: [&str; 4] = ["worker-0", "worker-1", "worker-2", "worker-3"];
    let _alone = alone();
    let broker = Broker::shared();
    let mut stage = Stage::new(&broker.address(), "soak-rolling", &Layout::partitions(PARTITIONS));
    let launches = NAMES.map(|name| stage.worker(name).instance(name).real_model());
    let mut workers: Vec<Worker> = launches.iter().map(Launch::start).collect();
    for worker in &mut workers {
        worker.wait_ready();
    }
    let watcher = Watcher::start(&broker.address(), &stage.targets.output);
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (workers, inputs, moved) = thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&broker.address(), &stage.input, PARTITIONS, RATE, &stop));
        eventually(DEADLINE, "posts are labelled", || (stage.done()? > 2 * RATE).then_some(()));
        let mut moved = 0.0;
        for launch in &launches {
            let rebalances = |workers: &mut [Worker]| {
                workers.iter_mut().filter_map(|worker| worker.metric("moodstream_rebalances_total", "")).sum::<f64>()
            };
            let mut restarted = workers.remove(0);
            let before = rebalances(&mut workers);
            restarted.stop();
            restarted = launch.start();
            restarted.wait_ready();
            moved += rebalances(&mut workers) - before;
            workers.push(restarted);
        }
        let done = stage.done().unwrap_or_default();
        eventually(DEADLINE, "posts are labelled", || (stage.done()? > done + 2 * RATE).then_some(()));
        stop.store(true, Ordering::Relaxed);
        (workers, feeder.join().expect("the feeder does its work"), moved)
    });
    stage.adopt(inputs);
    let elapsed = start.elapsed();
    let verdict = stage.finish(workers, DEADLINE);
    let latency = watcher.stop();
    let at = |share: usize| latency[(latency.len() * share / 100).min(latency.len() - 1)];
    println!(
        "a rolling restart of 4 workers at {RATE} posts/s, {elapsed:.0?}: {verdict}\n  produced to committed: p50 {:.0?}, \
         p99 {:.1?}, at most {:.1?}; assignments of the other workers changed {moved} times",
        at(50),
        at(99),
        at(100)
    );
    assert!(moved < 0.5, "a worker that comes back under its name within the session takes nothing from the others");
}
