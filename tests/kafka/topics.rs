//! Several input topics, and topics that match a pattern, some of them later.

use std::time::Duration;

use crate::check::check;
use crate::support::broker::Broker;
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::{Launch, field, message};

const DEADLINE: Duration = Duration::from_mins(1);

/// A pattern that matches every topic of the scenario, those that the worker writes to among them.
fn pattern(stage: &Stage) -> String {
    let stem = stage.input.strip_suffix(".posts").expect("the rig names it so");
    format!(r"^{stem}\..*")
}

/// Topics that match appear while workers run and while they are away. A worker that read its own output would
/// publish outcomes of records that were never produced, and those without an end.
fn follow(name: &str, protocol: &str) {
    let mut stage = Stage::new(&Broker::shared().address(), name, &Layout::partitions(3));
    let pattern = pattern(&stage);
    let launch = |instance: &str| {
        let worker = stage.worker(instance).instance(instance).set("kafka.group_protocol", protocol);
        let worker = worker.set("kafka.topic_check_interval", "1s").set_raw("worker.lanes", "2");
        worker.set_raw("input.topics", &format!("['{pattern}']"))
    };
    let launches = [launch("one"), launch("two")];
    stage.produce(posts::take(600));
    let mut workers = launches.each_ref().map(Launch::start);
    for worker in &mut workers {
        worker.wait_ready();
    }
    stage.wait_until_done(DEADLINE);

    // Sorts before all others: nothing may depend on a topic's place in the list.
    let (first, last) = (format!("{}.appeared", stage.group), format!("{}.zoo", stage.group));
    let (first, last) = (first.replace(".group", ""), last.replace(".group", ""));
    stage.add_input(&first, 2, posts::take(400));
    stage.produce(posts::take(300));
    stage.wait_until_done(DEADLINE);
    for worker in &workers {
        let told = worker.lines(|line| message(line).starts_with("an input topic, as"));
        let topics: Vec<_> = told.iter().filter_map(|line| field(line, "topic")?.as_str()).collect();
        assert_eq!(topics, [stage.input.as_str(), first.as_str()], "each once, and no other");
    }

    for worker in workers {
        worker.stop();
    }
    stage.add_input(&last, 2, posts::take(400));
    stage.finish(launches.each_ref().map(Launch::start), DEADLINE);
}

#[test]
fn a_pattern_reads_what_matches_now_and_later_and_never_what_the_worker_writes() {
    follow("pattern", "eager");
}

#[test]
fn a_pattern_does_the_same_for_kip_848_members() {
    follow("pattern-consumer", "consumer");
}

#[test]
fn a_pattern_that_matches_nothing_waits_unready_and_check_calls_it_wrong() {
    let brokers = Broker::shared().address();
    let mut stage = Stage::new(&brokers, "nothing-yet", &Layout::partitions(2));
    let awaited = format!("{}.later", stage.input);
    let topics = format!(r"^{}\..*", stage.input);
    let (group, targets) = (stage.group.clone(), stage.targets.clone());
    let settings = [
        ("kafka.brokers", brokers.as_str()),
        ("kafka.group", &group),
        ("input.topics", &topics),
        ("output.topic", &targets.output),
        ("dead_letter.topic", &targets.dead_letter),
    ];
    let (code, said) = check(&settings, false);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("WRONG input         no topic matches {topics}")), "{said}");

    let launch = stage.worker("waiting").instance("waiting").set("kafka.topic_check_interval", "1s");
    let mut worker = launch.set_raw("input.topics", &format!("['{topics}']")).start();
    worker.wait_not_ready("no topic matches input.topics", DEADLINE);
    stage.add_input(&awaited, 2, posts::take(300));
    worker.wait_ready();
    let (code, said) = check(&settings, false);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("input         1 topic matches {topics}: {awaited}")), "{said}");
    stage.finish([worker], DEADLINE);
}

#[test]
fn several_topics_keep_their_order_in_an_output_with_fewer_partitions() {
    let layout = Layout { output_partitions: 2, ..Layout::partitions(5) };
    let mut stage = Stage::new(&Broker::shared().address(), "several", &layout);
    stage.produce(posts::take(1_500));
    let more = format!("{}.more", stage.input);
    stage.add_input(&more, 3, posts::take(1_500));
    let topics = format!(r#"["{}", "{more}"]"#, stage.input);
    let launches =
        ["one", "two"].map(|instance| stage.worker(instance).instance(instance).set_raw("input.topics", &topics));
    stage.finish(launches.each_ref().map(Launch::start), DEADLINE);
}
