//! Reads what was published and committed, and says what is wrong with it.
//!
//! The judgement is a pure function of inputs, outcomes and committed offsets, so that its own tests can feed it
//! every kind of wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;

use super::admin::Partition;
use super::eventually;
use super::posts::Input;

/// Whether aborted records are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// As every consumer downstream should read.
    Committed,
    /// Aborted records too.
    Uncommitted,
}

/// A place in an input topic: topic, partition, offset.
pub type Place = (String, i32, i64);

/// A record of an output or dead-letter topic.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn new(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_vec(),
                    )
                })
                .collect()
        });
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The value as JSON.
    pub fn json(&self) -> Value {
        self.value
            .as_deref()
            .and_then(|value| serde_json::from_slice(value).ok())
            .unwrap_or(Value::Null)
    }
}

/// What became of an input, as the output or the dead-letter topic tells it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub kind: Kind,
    /// The input record that it says it comes from.
    pub source: Place,
    /// The record itself.
    pub record: Record,
}

/// The three ways an input can end (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Scores were published.
    Labelled,
    /// Published without scores, with a reason.
    Skipped,
    /// Among the dead letters.
    DeadLettered,
}

/// Where the worker publishes.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The output topic.
    pub output: String,
    /// The dead-letter topic.
    pub dead_letter: String,
}

/// Everything published, in the order of each partition, and what could not be understood.
#[derive(Debug, Default)]
pub struct Published {
    /// Outcomes.
    pub outcomes: Vec<Outcome>,
    /// Records without a readable source or status.
    pub unreadable: Vec<String>,
}

/// Reads both topics from their beginning to their end.
pub fn published(brokers: &str, targets: &Targets, isolation: Isolation) -> Published {
    let mut published = Published::default();
    for record in read(brokers, &targets.output, isolation) {
        match labelled(&record) {
            Some((kind, source)) => published.outcomes.push(Outcome {
                kind,
                source,
                record,
            }),
            None => published.unreadable.push(describe(&record)),
        }
    }
    for record in read(brokers, &targets.dead_letter, isolation) {
        match dead_letter_source(&record) {
            Some(source) => published.outcomes.push(Outcome {
                kind: Kind::DeadLettered,
                source,
                record,
            }),
            None => published.unreadable.push(describe(&record)),
        }
    }
    published
}

fn describe(record: &Record) -> String {
    format!("{}/{}/{}", record.topic, record.partition, record.offset)
}

fn labelled(record: &Record) -> Option<(Kind, Place)> {
    let json = record.json();
    let kind = match json["status"].as_str()? {
        "labelled" => Kind::Labelled,
        "skipped" => Kind::Skipped,
        _ => return None,
    };
    // A labelled post has scores, a skipped one has a reason.
    let told = match kind {
        Kind::Labelled => json["scores"]
            .as_object()
            .is_some_and(|scores| !scores.is_empty()),
        _ => json["skip_reason"].is_string() && json["scores"].is_null(),
    };
    let source = &json["source"];
    let partition = i32::try_from(source["partition"].as_i64()?).ok()?;
    told.then_some((
        kind,
        (
            source["topic"].as_str()?.to_owned(),
            partition,
            source["offset"].as_i64()?,
        ),
    ))
}

fn dead_letter_source(record: &Record) -> Option<Place> {
    Some((
        record.header("moodstream.topic")?.to_owned(),
        record.header("moodstream.partition")?.parse().ok()?,
        record.header("moodstream.offset")?.parse().ok()?,
    ))
}

/// All records of a topic, as far as it reaches now. Waits for open transactions to be decided.
pub fn read(brokers: &str, topic: &str, isolation: Isolation) -> Vec<Record> {
    const DEADLINE: Duration = Duration::from_secs(40);
    const CALL: Duration = Duration::from_secs(5);
    let reader = |level: &str| -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "oracle-never-joins")
            .set("isolation.level", level)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "20000000")
            .set("fetch.queue.backoff.ms", "10")
            .create()
            .expect("a reader's configuration is valid")
    };
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let (raw, consumer) = (reader("read_uncommitted"), reader(level));
    let metadata = consumer
        .fetch_metadata(Some(topic), CALL)
        .expect("the broker answers");
    let partitions: Vec<i32> = metadata.topics()[0]
        .partitions()
        .iter()
        .map(|partition| partition.id())
        .collect();

    // A read_committed client is told the last stable offset: it is the end once no transaction is open.
    for &partition in &partitions {
        eventually(
            DEADLINE,
            &format!("no transaction is open in {topic}/{partition}"),
            || {
                let (_, end) = raw.fetch_watermarks(topic, partition, CALL).ok()?;
                let (_, stable) = consumer.fetch_watermarks(topic, partition, CALL).ok()?;
                (stable == end).then_some(())
            },
        );
    }

    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a partition that exists");
    }
    consumer
        .assign(&assignment)
        .expect("an assignment of existing partitions");
    let mut records = Vec::new();
    let mut open: BTreeSet<i32> = partitions.into_iter().collect();
    while !open.is_empty() {
        match consumer.poll(DEADLINE) {
            Some(Ok(message)) => records.push(Record::new(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            None => panic!(
                "{topic} says nothing for {DEADLINE:?}; partitions not at their end: {open:?}"
            ),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// What is wrong with what was published; nothing, if all lists are empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many inputs there were.
    pub inputs: usize,
    /// Outcomes by kind.
    pub outcomes: BTreeMap<Kind, usize>,
    /// Inputs without an outcome.
    pub missing: Vec<Place>,
    /// Inputs with several outcomes, and how many.
    pub duplicated: Vec<(Place, usize)>,
    /// Outcomes published behind one of a later input of the same partition, or in another partition than its
    /// neighbours: (where it stands, its source).
    pub disordered: Vec<(Place, Place)>,
    /// Outcomes whose id, text, key, headers or bytes differ from the input's, and how.
    pub altered: Vec<(Place, String)>,
    /// Outcomes of records that were never produced.
    pub invented: Vec<Place>,
    /// Published records that name no source or no status.
    pub unreadable: Vec<String>,
    /// Partitions whose committed offset is not their end: partition, committed, end.
    pub uncommitted: Vec<(Partition, Option<i64>, i64)>,
}

impl Verdict {
    /// Exactly once, in order, intact, and committed.
    pub fn is_clean(&self) -> bool {
        let Self {
            inputs: _,
            outcomes: _,
            missing,
            duplicated,
            disordered,
            altered,
            invented,
            unreadable,
            uncommitted,
        } = self;
        missing.is_empty()
            && duplicated.is_empty()
            && disordered.is_empty()
            && altered.is_empty()
            && invented.is_empty()
            && unreadable.is_empty()
            && uncommitted.is_empty()
    }

    /// How many outcomes of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.outcomes.get(&kind).copied().unwrap_or_default()
    }

    /// Fails the test unless the verdict is clean.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inputs: {} labelled, {} skipped, {} dead-lettered; ",
            self.inputs,
            self.count(Kind::Labelled),
            self.count(Kind::Skipped),
            self.count(Kind::DeadLettered)
        )?;
        if self.is_clean() {
            return f.write_str("each exactly once, in order, intact, committed");
        }
        let place = |(topic, partition, offset): &Place| format!("{topic}/{partition}/{offset}");
        list(f, "missing", &self.missing, place)?;
        list(f, "duplicated", &self.duplicated, |(source, times)| {
            format!("{} ({times} times)", place(source))
        })?;
        list(f, "out of order", &self.disordered, |(at, source)| {
            format!("{} at {}", place(source), place(at))
        })?;
        list(f, "altered", &self.altered, |(source, how)| {
            format!("{}: {how}", place(source))
        })?;
        list(f, "never produced", &self.invented, place)?;
        list(f, "unreadable", &self.unreadable, Clone::clone)?;
        list(
            f,
            "not committed",
            &self.uncommitted,
            |((topic, partition), committed, end)| {
                let committed = committed.map_or("nothing".to_owned(), |offset| offset.to_string());
                format!("{topic}/{partition}: {committed} of {end}")
            },
        )
    }
}

/// One kind of fault: how many, and the first few.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    faults: &[T],
    show: impl Fn(&T) -> String,
) -> fmt::Result {
    const SHOWN: usize = 8;
    if faults.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {} {name}:", faults.len())?;
    for fault in faults.iter().take(SHOWN) {
        write!(f, "\n    {}", show(fault))?;
    }
    if faults.len() > SHOWN {
        write!(f, "\n    …")?;
    }
    Ok(())
}

/// Compares what was published with what was produced.
///
/// `committed` and `ends` hold the group's offset and the end of every input partition.
pub fn judge(
    inputs: &[Input],
    published: &Published,
    committed: &BTreeMap<Partition, i64>,
    ends: &BTreeMap<Partition, i64>,
) -> Verdict {
    let mut verdict = Verdict {
        inputs: inputs.len(),
        unreadable: published.unreadable.clone(),
        ..Verdict::default()
    };
    let by_place: BTreeMap<Place, &Input> = inputs
        .iter()
        .map(|input| ((input.topic.clone(), input.partition, input.offset), input))
        .collect();
    let mut times: BTreeMap<&Place, usize> = BTreeMap::new();
    // The topics that outcomes go to are read one after the other, each partition in the order of its offsets.
    let mut last: BTreeMap<(String, Partition), (i32, i64)> = BTreeMap::new();

    for outcome in &published.outcomes {
        *verdict.outcomes.entry(outcome.kind).or_default() += 1;
        let Some(input) = by_place.get(&outcome.source) else {
            verdict.invented.push(outcome.source.clone());
            continue;
        };
        *times.entry(&outcome.source).or_default() += 1;
        if let Some(how) = difference(input, outcome) {
            verdict.altered.push((outcome.source.clone(), how));
        }
        let Record {
            topic,
            partition,
            offset,
            ..
        } = &outcome.record;
        let (source_topic, source_partition, source_offset) = &outcome.source;
        let now = (*partition, *source_offset);
        let before = last.insert(
            (topic.clone(), (source_topic.clone(), *source_partition)),
            now,
        );
        // Equal offsets are duplicates, which are counted apart.
        if before.is_some_and(|(other, earlier)| other != *partition || earlier > *source_offset) {
            verdict
                .disordered
                .push(((topic.clone(), *partition, *offset), outcome.source.clone()));
        }
    }
    for place in by_place.keys() {
        match times.get(place).copied().unwrap_or_default() {
            0 => verdict.missing.push(place.clone()),
            1 => {}
            several => verdict.duplicated.push((place.clone(), several)),
        }
    }
    for (partition, end) in ends {
        let committed = committed.get(partition).copied();
        // A partition that never held a record may be without a committed offset.
        if committed != Some(*end) && !(*end == 0 && committed.is_none()) {
            verdict
                .uncommitted
                .push((partition.clone(), committed, *end));
        }
    }
    verdict
}

/// How an outcome differs from its input in what must stay the same.
fn difference(input: &Input, outcome: &Outcome) -> Option<String> {
    let record = &outcome.record;
    if record.key != input.draft.key {
        return Some("the key differs".to_owned());
    }
    if let Some((name, _)) = input
        .draft
        .headers
        .iter()
        .find(|header| !record.headers.contains(header))
    {
        return Some(format!("the header {name} is gone or differs"));
    }
    if outcome.kind == Kind::DeadLettered {
        return dead_letter_difference(input, record);
    }
    let Some(post) = &input.draft.post else {
        return Some("labelled or skipped, but not a post".to_owned());
    };
    let json = record.json();
    if json["id"] != post.id.as_str() {
        return Some(format!(
            "the id is {}, produced was {:?}",
            json["id"], post.id
        ));
    }
    (json["text"] != post.text.as_str()).then(|| "the text differs".to_owned())
}

fn dead_letter_difference(input: &Input, record: &Record) -> Option<String> {
    use sha2::Digest;
    let given = input.draft.value.as_deref();
    let sum = hex::encode(sha2::Sha256::digest(given.unwrap_or_default()));
    if record
        .header("moodstream.sha256")
        .is_some_and(|told| told != sum)
    {
        return Some("moodstream.sha256 is not that of the input".to_owned());
    }
    if record.header("moodstream.truncated") == Some("true") {
        let cut = record.value.as_deref().unwrap_or_default();
        let whole = given.unwrap_or_default();
        return (cut.len() >= whole.len() || !whole.starts_with(cut))
            .then(|| "marked truncated, but not a beginning of the input".to_owned());
    }
    (record.value.as_deref() != given).then(|| "the dead letter's bytes differ".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::posts::Draft;

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
                    draft,
                }
            })
            .collect();
        let outcomes = inputs.iter().map(outcome).collect();
        (
            inputs,
            Published {
                outcomes,
                unreadable: Vec::new(),
            },
        )
    }

    fn outcome(input: &Input) -> Outcome {
        let source = (input.topic.clone(), input.partition, input.offset);
        let (kind, topic, value) = match &input.draft.post {
            Some(post) => {
                let json = serde_json::json!({"id": post.id, "text": post.text});
                (
                    Kind::Labelled,
                    "labelled",
                    Some(json.to_string().into_bytes()),
                )
            }
            None => (Kind::DeadLettered, "dead", input.draft.value.clone()),
        };
        let record = Record {
            topic: topic.to_owned(),
            partition: input.partition,
            offset: input.offset,
            value,
            ..Record::default()
        };
        Outcome {
            kind,
            source,
            record,
        }
    }

    fn offsets(of: i64) -> BTreeMap<Partition, i64> {
        (0..2)
            .map(|partition| (("posts".to_owned(), partition), of))
            .collect()
    }

    fn place(partition: i32, offset: i64) -> Place {
        ("posts".to_owned(), partition, offset)
    }

    #[test]
    fn flawless_outcomes_are_clean() {
        let (inputs, published) = flawless();
        let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
        verdict.assert_clean();
        assert_eq!(
            (
                verdict.count(Kind::Labelled),
                verdict.count(Kind::DeadLettered)
            ),
            (90, 10)
        );
        assert!(
            verdict
                .to_string()
                .ends_with("exactly once, in order, intact, committed"),
            "{verdict}"
        );
    }

    #[test]
    fn an_input_without_an_outcome_is_missing() {
        let (inputs, mut published) = flawless();
        published.outcomes.remove(40);
        let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
        assert_eq!(verdict.missing, [place(0, 20)]);
        assert!(!verdict.is_clean());
        assert!(
            verdict.to_string().contains("1 missing:\n    posts/0/20"),
            "{verdict}"
        );
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
        published.outcomes[10].record.value =
            Some(br#"{"id": "id-10", "text": "text 12"}"#.to_vec());
        published.outcomes[11].record.key = Some(b"new".to_vec());
        published.outcomes[17].record.value = Some(b"not a pos".to_vec());
        let verdict = judge(&inputs, &published, &offsets(50), &offsets(50));
        let altered: Vec<&Place> = verdict.altered.iter().map(|(place, _)| place).collect();
        assert_eq!(altered, [&place(0, 5), &place(1, 5), &place(1, 8)]);
    }

    #[test]
    fn a_cut_dead_letter_must_say_so() {
        let (inputs, mut published) = flawless();
        published.outcomes[17].record.value = Some(b"not".to_vec());
        published.outcomes[17].record.headers =
            vec![("moodstream.truncated".to_owned(), b"true".to_vec())];
        judge(&inputs, &published, &offsets(50), &offsets(50)).assert_clean();
        published.outcomes[17].record.value = Some(b"nor".to_vec());
        assert_eq!(
            judge(&inputs, &published, &offsets(50), &offsets(50))
                .altered
                .len(),
            1
        );
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
        assert!(
            verdict.to_string().contains("posts/1: nothing of 50"),
            "{verdict}"
        );
    }

    #[test]
    fn an_unreadable_output_is_not_clean() {
        let (inputs, mut published) = flawless();
        published.unreadable.push("labelled/0/7".to_owned());
        assert!(!judge(&inputs, &published, &offsets(50), &offsets(50)).is_clean());
    }
}
