//! Output and dead-letter topics that differ from the input (FAULTS 15, 29).

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::oracle::Kind;
use crate::support::posts::{self, Draft};
use crate::support::stage::{Layout, Stage};
use crate::support::topic::Isolation;

const DEADLINE: Duration = Duration::from_secs(90);

#[test]
fn an_output_too_large_for_its_topic_is_dead_lettered_and_the_rest_labelled() {
    // The dead letters' limit is the larger one: the client must not send batches of that size to the output.
    const OUTPUT: (&str, &str) = ("max.message.bytes", "4000");
    const DEAD_LETTER: (&str, &str) = ("max.message.bytes", "20000");
    let layout = Layout { output: vec![OUTPUT], dead_letter: vec![DEAD_LETTER], ..Layout::partitions(2) };
    let mut stage = Stage::new(&Broker::shared().address(), "small-output", &layout);
    let mut drafts = posts::take(1_000);
    // No output holds them; the last one has to be cut even for the dead letters.
    for (index, bytes) in [(100, 3_000), (500, 6_000), (501, 6_000), (900, 60_000)] {
        drafts[index] = Draft::post(&format!("large-{index}"), &"lovely day ".repeat(bytes / 11));
    }
    stage.produce(drafts);
    let verdict = stage.finish([stage.worker("one").instance("one").start()], DEADLINE);
    assert_eq!((verdict.count(Kind::Labelled), verdict.count(Kind::DeadLettered)), (996, 4), "{verdict}");

    for outcome in stage.published(Isolation::Committed).outcomes {
        if outcome.kind == Kind::DeadLettered {
            let letter = &outcome.record;
            assert_eq!(letter.header("moodstream.class"), Some("output_too_large"));
            let whole = letter.header("moodstream.bytes").expect("its size is told").parse::<usize>().expect("decimal");
            let cut = letter.value.as_deref().unwrap_or_default().len() < whole;
            assert_eq!(letter.header("moodstream.truncated") == Some("true"), cut, "cut and marked: {whole} bytes");
            assert_eq!(cut, whole > 20_000, "cut only where it has to be: {whole} bytes");
        }
    }
}

#[test]
fn an_output_topic_with_fewer_partitions_keeps_the_order_of_each_input_partition() {
    let layout = Layout { output_partitions: 2, dead_letter_partitions: 1, ..Layout::partitions(5) };
    let mut stage = Stage::new(&Broker::shared().address(), "fewer", &layout);
    let mut drafts = posts::take(3_000);
    for index in (0..drafts.len()).step_by(100) {
        drafts[index] = Draft::raw(format!("not a post, {index}"));
    }
    stage.produce(drafts);
    let workers = ["one", "two"].map(|instance| stage.worker(instance).instance(instance).start());
    let verdict = stage.finish(workers, DEADLINE);
    assert_eq!((verdict.count(Kind::Labelled), verdict.count(Kind::DeadLettered)), (2_970, 30), "{verdict}");
}
