//! The oracle finds each kind of wrong that it is shown: it is fed outcomes that no worker should produce.

use std::collections::BTreeMap;

use crate::support::admin::Partition;
use crate::support::oracle::{Kind, Outcome, Place, Published, judge};
use crate::support::posts::{Draft, Input};
use crate::support::topic::Record;

/// A hundred inputs over two partitions, and what a flawless worker makes of them.
fn flawless() -> (Vec<Input>, Published) {
    let inputs: Vec<Input> = (0..100)
        .map(|number| {
            let draft = match number % 10 {
                7 => Draft::raw("not a post"),
                _ => Draft::post(&format!("id-{number}"), &format!("text {number}")),
            };
            Input {
                topic: "posts".to_owned(),
                partition: number % 2,
                offset: i64::from(number / 2),
                timestamp: 1_700_000_000_000 + i64::from(number),
                draft,
            }
        })
        .collect();
    let outcomes = inputs.iter().map(outcome).collect();
    (inputs, Published { outcomes, unreadable: Vec::new() })
}

fn outcome(input: &Input) -> Outcome {
    let source = (input.topic.clone(), input.partition, input.offset);
    let (kind, topic, value) = match &input.draft.post {
        Some(post) => {
            let json = serde_json::json!({"id": post.id, "text": post.text});
            (Kind::Labelled, "labelled", Some(json.to_string().into_bytes()))
        }
        None => (Kind::DeadLettered, "dead", input.draft.value.clone()),
    };
    let record = Record {
        topic: topic.to_owned(),
        partition: input.partition,
        offset: input.offset,
        timestamp: input.timestamp,
        value,
        ..Record::default()
    };
    Outcome { kind, source, record }
}

fn offsets(of: i64) -> BTreeMap<Partition, i64> {
    (0..2).map(|partition| (("posts".to_owned(), partition), of)).collect()
}

fn place(partition: i32, offset: i64) -> Place {
    ("posts".to_owned(), partition, offset)
}

#[test]
fn flawless_outcomes_are_clean() {
    let (inputs, published) = flawless();
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    verdict.assert_clean();
    assert_eq!((verdict.count(Kind::Labelled), verdict.count(Kind::DeadLettered)), (90, 10));
    assert!(verdict.to_string().ends_with("exactly once, in order, intact, committed"), "{verdict}");
}

#[test]
fn an_input_without_an_outcome_is_missing() {
    let (inputs, mut published) = flawless();
    published.outcomes.remove(40);
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.missing, [place(0, 20)]);
    assert!(!verdict.is_clean());
    assert!(verdict.to_string().contains("1 missing:\n    posts/0/20"), "{verdict}");
}

#[test]
fn an_input_with_two_outcomes_is_duplicated_even_across_topics() {
    let (inputs, mut published) = flawless();
    let mut again = published.outcomes[12].clone();
    again.kind = Kind::DeadLettered;
    again.record.topic = "dead".to_owned();
    again.record.value.clone_from(&inputs[12].draft.value);
    published.outcomes.push(again);
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.duplicated, [(place(0, 6), 2)]);
    assert!(!verdict.is_clean());
}

#[test]
fn a_replayed_batch_is_duplicated_and_out_of_order() {
    let (inputs, mut published) = flawless();
    let replay: Vec<Outcome> = published.outcomes[90..].to_vec();
    published.outcomes.extend(replay);
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.duplicated.len(), 10);
    assert!(!verdict.disordered.is_empty());
}

#[test]
fn two_outcomes_swapped_are_out_of_order() {
    let (inputs, mut published) = flawless();
    published.outcomes.swap(30, 32);
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.disordered.len(), 1);
    assert_eq!(verdict.missing, []);
}

#[test]
fn one_input_partition_in_two_output_partitions_is_out_of_order() {
    let (inputs, mut published) = flawless();
    published.outcomes[99].record.partition = 0;
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.disordered.len(), 1);
}

#[test]
fn another_text_or_other_bytes_are_altered() {
    let (inputs, mut published) = flawless();
    published.outcomes[10].record.value = Some(br#"{"id": "id-10", "text": "text 12"}"#.to_vec());
    published.outcomes[11].record.key = Some(b"new".to_vec());
    published.outcomes[12].record.timestamp += 1;
    published.outcomes[17].record.value = Some(b"not a pos".to_vec());
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    let altered: Vec<&Place> = verdict.altered.iter().map(|(place, _)| place).collect();
    assert_eq!(altered, [&place(0, 5), &place(1, 5), &place(0, 6), &place(1, 8)]);
}

#[test]
fn a_cut_dead_letter_must_say_so() {
    let (inputs, mut published) = flawless();
    published.outcomes[17].record.value = Some(b"not".to_vec());
    published.outcomes[17].record.headers = vec![("moodstream.truncated".to_owned(), b"true".to_vec())];
    judge(&inputs, &published, &offsets(50), &offsets(50)).assert_clean();
    published.outcomes[17].record.value = Some(b"nor".to_vec());
    assert_eq!(judge(&inputs, &published, &offsets(50), &offsets(50)).altered.len(), 1);
}

#[test]
fn an_outcome_of_nothing_is_invented() {
    let (inputs, mut published) = flawless();
    published.outcomes[3].source.2 = 77;
    let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
    assert_eq!(verdict.invented, [place(1, 77)]);
    assert_eq!(verdict.missing, [place(1, 1)]);
}

#[test]
fn a_position_before_or_behind_the_end_is_not_committed() {
    let (inputs, published) = flawless();
    for wrong in [49, 51] {
        let verdict = judge(&inputs, &published, &offsets(wrong), &offsets(50));
        assert_eq!(verdict.uncommitted.len(), 2);
        assert!(!verdict.is_clean());
    }
    let verdict = judge(&inputs, &published, &BTreeMap::new(), &offsets(50));
    assert!(verdict.to_string().contains("posts/1: nothing of 50"), "{verdict}");
}

#[test]
fn an_unreadable_output_is_not_clean() {
    let (inputs, mut published) = flawless();
    published.unreadable.push("labelled/0/7".to_owned());
    assert!(!judge(&inputs, &published, &offsets(50), &offsets(50)).is_clean());
}
