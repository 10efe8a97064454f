//! What a user may not do ends `run` and `check` with the permission's name, at the start and at work.

use std::time::Duration;

use super::acl::{Operation, Pattern, Resource};
use super::cluster::{Cluster, LIMITED, Way, with};
use super::{DEADLINE, END, everything};
use crate::support::posts;
use crate::support::stage::{Layout, Stage};
use crate::support::worker::Launch;

/// A scenario for the limited user, who may do everything there but what is `left_out`.
fn scenario(left_out: &str) -> (Stage, Launch) {
    let cluster = Cluster::shared();
    let mut stage = Stage::new(&cluster.open_address(), &format!("acl-{left_out}"), &Layout::partitions(1));
    stage.produce(posts::take(100));
    let (input, targets, group) = (stage.input.as_str(), &stage.targets, stage.group.as_str());
    let ids = format!("{group}/");
    for (name, operation, what) in [
        ("input", Operation::Read, (Resource::Topic, Pattern::Literal, input)),
        ("output", Operation::Write, (Resource::Topic, Pattern::Literal, targets.output.as_str())),
        ("dead-letter", Operation::Write, (Resource::Topic, Pattern::Literal, targets.dead_letter.as_str())),
        ("group", Operation::Read, (Resource::Group, Pattern::Literal, group)),
        ("ids", Operation::Write, (Resource::TransactionalId, Pattern::Prefixed, ids.as_str())),
    ] {
        if name != left_out {
            cluster.allow(LIMITED, operation, what);
        } else if name == "output" {
            // So that it is seen, but not written.
            cluster.allow(LIMITED, Operation::Describe, what);
        }
    }
    let mut settings = cluster.settings(Way::Plain);
    for (key, value) in &mut settings {
        if key.ends_with("sasl.username") {
            *value = format!("\"{LIMITED}\"");
        }
    }
    let launch = with(stage.worker("limited"), &settings);
    (stage, launch)
}

/// `run` and `check` end with 1 and name the permission and the command that gives it.
fn ends_without(left_out: &str, permission: &str) {
    let (_stage, launch) = scenario(left_out);
    let mut worker = launch.start();
    let status = worker.wait(END);
    let said = everything(&mut worker);
    assert_eq!(status.code(), Some(1), "{said}");
    let (code, checked) = launch.check();
    assert_eq!(code, Some(1), "{checked}");
    for said in [said, checked] {
        assert!(said.contains(permission), "{permission} is not named: {said}");
        assert!(said.contains(&format!("--allow-principal User:{LIMITED} --operation ")), "{said}");
        assert!(said.contains("--command-config"), "{said}");
    }
}

#[test]
fn an_output_that_may_not_be_written_ends_the_worker() {
    ends_without("output", "Write");
}

#[test]
fn dead_letters_that_may_not_be_written_end_the_worker() {
    ends_without("dead-letter", "Write");
}

#[test]
fn an_input_that_may_not_be_read_ends_the_worker() {
    ends_without("input", "Read");
}

#[test]
fn a_group_that_may_not_be_joined_ends_the_worker() {
    ends_without("group", "group");
}

#[test]
fn transactional_ids_that_may_not_be_used_end_the_worker() {
    ends_without("ids", "transactional-id");
}

#[test]
fn the_documented_permissions_are_enough() {
    let (stage, launch) = scenario("nothing");
    let worker = launch.start();
    stage.finish([worker], DEADLINE);
}

#[test]
fn a_permission_that_is_taken_away_ends_a_worker_at_work() {
    let (mut stage, launch) = scenario("nothing");
    let mut worker = launch.hash_classifier(Duration::from_millis(1)).start();
    stage.wait_for(100, DEADLINE);
    let cluster = Cluster::shared();
    cluster.deny(LIMITED, Operation::Write, (Resource::Topic, Pattern::Literal, &stage.targets.output));
    stage.produce(posts::take(100));
    let status = worker.wait(END);
    let said = everything(&mut worker);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("Write on topic {}", stage.targets.output)), "{said}");
}
