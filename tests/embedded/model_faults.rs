//! A model that fails on one post, or altogether.

use moodstream::inference::faulty::Faults;
use moodstream::telemetry::Outcome;

use crate::rig::Setup;

#[test]
fn only_the_post_that_the_model_fails_on_is_a_dead_letter() {
    let rig = Setup::default().start();
    rig.send_texts(0, &["one", "two", "please FAIL-THIS one", "four", "five"]);
    rig.wait_for_outcomes(5);
    let texts: Vec<String> =
        rig.outputs().iter().map(|output| output.json()["text"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(texts, ["one", "two", "four", "five"]);
    let letter = &rig.dead_letters()[0];
    assert_eq!(
        (letter.headers["moodstream.class"].as_str(), letter.headers["moodstream.stage"].as_str()),
        ("model_failed", "classify")
    );
    assert_eq!(letter.headers["moodstream.offset"], "2");
    assert_eq!(rig.count(Outcome::DeadLettered, "model_failed"), 1);
}

#[test]
fn a_lane_whose_model_is_down_keeps_every_record_and_goes_on_when_it_is_back() {
    let down = tempfile::NamedTempFile::new().expect("a file");
    let faults = Faults { down_file: Some(down.path().to_path_buf()), ..Faults::default() };
    let rig = Setup { faults, ..Setup::default() }.start();
    rig.send_many(1, 40, "kept");
    rig.wait("readiness says why", |rig| rig.complaints().contains("the model cannot classify"));
    assert_eq!(rig.metrics.lanes_paused.of(["model"]).get(), 1);
    assert_eq!((rig.outcomes(), rig.dead_letters().len()), (0, 0));
    drop(down);
    rig.wait_until_all_are_labelled();
    assert_eq!(rig.metrics.lanes_paused.of(["model"]).get(), 0);
    assert!(rig.dead_letters().is_empty());
}
