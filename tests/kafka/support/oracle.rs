//! Reads what was published and committed, and says what is wrong with it.
//!
//! The judgement is a pure function of inputs, outcomes and committed offsets, so that its own tests can feed it
//! every kind of wrong.

use std::collections::BTreeMap;
use std::fmt;

use super::admin::Partition;
use super::posts::Input;
use super::topic::{Isolation, Record, read};

/// A place in an input topic: topic, partition, offset.
pub(crate) type Place = (String, i32, i64);

/// What became of an input, as the output or the dead-letter topic tells it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) kind: Kind,
    /// The input record that it says it comes from.
    pub(crate) source: Place,
    /// The record itself.
    pub(crate) record: Record,
}

/// The three ways an input can end (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Scores were published.
    Labelled,
    /// Published without scores, with a reason.
    Skipped,
    /// Among the dead letters.
    DeadLettered,
}

/// Where the worker publishes.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    /// The output topic.
    pub(crate) output: String,
    /// The dead-letter topic.
    pub(crate) dead_letter: String,
}

/// Everything published, in the order of each partition, and what could not be understood.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Outcomes.
    pub(crate) outcomes: Vec<Outcome>,
    /// Records without a readable source or status.
    pub(crate) unreadable: Vec<String>,
}

/// Reads both topics from their beginning to their end.
pub(crate) fn published(brokers: &str, targets: &Targets, isolation: Isolation) -> Published {
    let mut published = Published::default();
    for record in read(brokers, &targets.output, isolation) {
        match labelled(&record) {
            Some((kind, source)) => published.outcomes.push(Outcome { kind, source, record }),
            None => published.unreadable.push(describe(&record)),
        }
    }
    for record in read(brokers, &targets.dead_letter, isolation) {
        match dead_letter_source(&record) {
            Some(source) => published.outcomes.push(Outcome { kind: Kind::DeadLettered, source, record }),
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
        Kind::Labelled => json["scores"].as_object().is_some_and(|scores| !scores.is_empty()),
        _ => json["skip_reason"].is_string() && json["scores"].is_null(),
    };
    let source = &json["source"];
    let partition = i32::try_from(source["partition"].as_i64()?).ok()?;
    told.then_some((kind, (source["topic"].as_str()?.to_owned(), partition, source["offset"].as_i64()?)))
}

fn dead_letter_source(record: &Record) -> Option<Place> {
    Some((
        record.header("moodstream.topic")?.to_owned(),
        record.header("moodstream.partition")?.parse().ok()?,
        record.header("moodstream.offset")?.parse().ok()?,
    ))
}

/// What is wrong with what was published; nothing, if all lists are empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How many inputs there were.
    pub(crate) inputs: usize,
    /// Outcomes by kind.
    pub(crate) outcomes: BTreeMap<Kind, usize>,
    /// Inputs without an outcome.
    pub(crate) missing: Vec<Place>,
    /// Inputs with several outcomes, and how many.
    pub(crate) duplicated: Vec<(Place, usize)>,
    /// Outcomes published behind one of a later input of the same partition, or in another partition than its
    /// neighbours: (where it stands, its source).
    pub(crate) disordered: Vec<(Place, Place)>,
    /// Outcomes whose id, text, key, timestamp, headers or bytes differ from the input's, and how.
    pub(crate) altered: Vec<(Place, String)>,
    /// Outcomes of records that were never produced.
    pub(crate) invented: Vec<Place>,
    /// Published records that name no source or no status.
    pub(crate) unreadable: Vec<String>,
    /// Partitions whose committed offset is not their end: partition, committed, end.
    pub(crate) uncommitted: Vec<(Partition, Option<i64>, i64)>,
}

impl Verdict {
    /// Exactly once, in order, intact, and committed.
    pub(crate) fn is_clean(&self) -> bool {
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
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.outcomes.get(&kind).copied().unwrap_or_default()
    }

    /// Fails the test unless the verdict is clean.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
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
        list(f, "duplicated", &self.duplicated, |(source, times)| format!("{} ({times} times)", place(source)))?;
        list(f, "out of order", &self.disordered, |(at, source)| format!("{} at {}", place(source), place(at)))?;
        list(f, "altered", &self.altered, |(source, how)| format!("{}: {how}", place(source)))?;
        list(f, "never produced", &self.invented, place)?;
        list(f, "unreadable", &self.unreadable, Clone::clone)?;
        list(f, "not committed", &self.uncommitted, |((topic, partition), committed, end)| {
            let committed = committed.map_or("nothing".to_owned(), |offset| offset.to_string());
            format!("{topic}/{partition}: {committed} of {end}")
        })
    }
}

/// One kind of fault: how many, and the first few.
fn list<T>(f: &mut fmt::Formatter<'_>, name: &str, faults: &[T], show: impl Fn(&T) -> String) -> fmt::Result {
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
pub(crate) fn judge(
    inputs: &[Input],
    published: &Published,
    committed: &BTreeMap<Partition, i64>,
    ends: &BTreeMap<Partition, i64>,
) -> Verdict {
    let mut verdict = Verdict { inputs: inputs.len(), unreadable: published.unreadable.clone(), ..Verdict::default() };
    let by_place: BTreeMap<Place, &Input> =
        inputs.iter().map(|input| ((input.topic.clone(), input.partition, input.offset), input)).collect();
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
        let Record { topic, partition, offset, .. } = &outcome.record;
        let (source_topic, source_partition, source_offset) = &outcome.source;
        let now = (*partition, *source_offset);
        let before = last.insert((topic.clone(), (source_topic.clone(), *source_partition)), now);
        // Equal offsets are duplicates, which are counted apart.
        if before.is_some_and(|(other, earlier)| other != *partition || earlier > *source_offset) {
            verdict.disordered.push(((topic.clone(), *partition, *offset), outcome.source.clone()));
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
            verdict.uncommitted.push((partition.clone(), committed, *end));
        }
    }
    verdict
}

/// How an outcome differs from its input in what must stay the same.
fn difference(input: &Input, outcome: &Outcome) -> Option<String> {
    let record = &outcome.record;
    if record.timestamp != input.timestamp {
        return Some(format!("the timestamp is {}, the input's was {}", record.timestamp, input.timestamp));
    }
    if record.key != input.draft.key {
        return Some("the key differs".to_owned());
    }
    if let Some((name, _)) = input.draft.headers.iter().find(|header| !record.headers.contains(header)) {
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
        return Some(format!("the id is {}, produced was {:?}", json["id"], post.id));
    }
    (json["text"] != post.text.as_str()).then(|| "the text differs".to_owned())
}

fn dead_letter_difference(input: &Input, record: &Record) -> Option<String> {
    use sha2::Digest;
    let given = input.draft.value.as_deref();
    // A tombstone has no bytes, and so no sum.
    let sum = given.map(|bytes| hex::encode(sha2::Sha256::digest(bytes))).unwrap_or_default();
    if record.header("moodstream.sha256").is_some_and(|told| told != sum) {
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
