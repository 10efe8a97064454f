//! A device with too little memory for the configured micro-batches: nothing is lost, and it is told.

use std::time::Duration;

use serde_json::Value;

use crate::support::broker::Broker;
use crate::support::posts::Draft;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::message;

const DEADLINE: Duration = Duration::from_mins(2);

#[test]
fn micro_batches_that_do_not_fit_the_device_are_halved_counted_and_told_and_every_post_is_labelled() {
    let mut stage = Stage::new(&Broker::shared().address(), "small-device", &Layout::partitions(2));
    let words = "what a long and wonderful day it was by the sea with all of my old friends ".repeat(8);
    stage.produce((0..400).map(|number| Draft::post(&number.to_string(), &format!("{number} {words}"))).collect());
    // The golden texts of the start fit, 32 of up to 128 tokens, and not the first batch, 64 posts of 128.
    let launch = stage.worker("one").small_device(4_200).set_raw("inference.sessions", "1");
    let launch = launch.set_raw("inference.token_budget", "16384").set_raw("inference.cache_entries", "0");
    let mut worker = launch.start();
    stage.wait_until_done(DEADLINE);
    worker.wait_for_count(400);
    assert_eq!(worker.metric("moodstream_outcomes_total", "labelled"), Some(400.0));
    assert!(worker.metric("moodstream_out_of_memory_total", "").expect("a counter") >= 1.0);
    let budget = worker.metric("moodstream_token_budget", "").expect("a gauge");
    assert!((1_000.0..=4_200.0).contains(&budget), "{budget}");
    let told = worker.lines(|line| message(line).contains("did not fit the device's memory"));
    assert!(!told.is_empty() && told.iter().all(|line| line["level"] == "WARN"), "{told:?}");
    // What the log warns of is on the status page.
    let (_, body) = worker.page("/status.json").expect("the admin server answers");
    let report: Value = serde_json::from_str(&body).expect("JSON");
    let noticed = report["notices"].as_array().expect("notices").iter();
    let noticed: Vec<&Value> = noticed.filter(|notice| notice["message"] == message(&told[0])).collect();
    assert_eq!((noticed.len(), &noticed[0]["level"]), (1, &"warn".into()), "{body}");
    assert_eq!(noticed[0]["count"], told.len());
    stage.finish([worker], DEADLINE);
}
