//! Where a lane goes on, decided from what the broker says and never from memory (I1, I2).
//!
//! Pure: [`plan`] takes the facts and says what to do, [`super::resume`] gathers them and does it.
//! A position is *lost* when a partition's committed offset is gone, lies outside the log, or belongs to
//! a topic that was made anew under the same name; a lane never guesses then, unless told how. What is *new*
//! is begun by one lane alone, for all partitions in one transaction: several lanes learn of it at different
//! times, and a beginning that is committed late would throw back a lane that reads already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::note::{Note, marks};
use crate::config::LostPosition;

/// A partition of an input topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Topic.
    pub topic: String,
    /// Number within the topic.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// Partitions as people read them.
pub(crate) struct Names<'a>(pub(crate) &'a [Partition]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, partition) in self.0.iter().enumerate() {
            write!(f, "{}{partition}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// An offset as committed by the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    /// Absent when somebody else set the offset (an operator's reset): then it is taken at its word.
    pub(super) note: Option<Note>,
}

/// The offsets that a partition's log holds: `low` to before `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// What the broker said.
#[derive(Debug)]
pub(super) struct Facts {
    /// All partitions of all input topics, with the group's committed offsets.
    pub(super) group: BTreeMap<Partition, Option<Committed>>,
    /// This lane's partitions, with what their logs hold.
    pub(super) owned: BTreeMap<Partition, Bounds>,
    /// Ids of the input topics now.
    pub(super) topic_ids: BTreeMap<String, String>,
    /// Ids of the input topics when this process first saw them.
    pub(super) first_ids: BTreeMap<String, String>,
    /// The output topic has never held a record.
    pub(super) output_empty: bool,
    /// What to do about a lost position.
    pub(super) on_lost: LostPosition,
}

/// Why a position is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The group has no offset for a partition that it must have read before.
    NoCommittedOffset,
    /// The committed offset lies outside the log.
    OutOfRange,
    /// The topic was deleted and made anew under the same name.
    TopicRecreated,
}

impl Cause {
    /// The word used in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCommittedOffset => "no_committed_offset",
            Self::OutOfRange => "out_of_range",
            Self::TopicRecreated => "topic_recreated",
        }
    }
}

/// A partition whose position is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The partition.
    pub partition: Partition,
    /// Why.
    pub cause: Cause,
    /// What was found.
    pub found: String,
}

/// What a lane does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Read from these offsets; those that are not committed yet are committed first.
    Start { positions: BTreeMap<Partition, i64>, to_commit: BTreeMap<Partition, i64>, lost: Vec<Lost> },
    /// The group is new and this lane owns its first partition: commit a beginning for all partitions, then ask again.
    Initialise { lost: Vec<Lost> },
    /// The group has never read these: commit their first offsets, then ask again.
    Begin(Vec<Partition>),
    /// Another lane commits the beginnings of what is new: ask again soon.
    Wait,
    /// Stop until an operator decides.
    Stop(Vec<Lost>),
}

/// Decides where the lane goes on.
pub(super) fn plan(facts: &Facts) -> Plan {
    if facts.group.values().all(Option::is_none) {
        return plan_new_group(facts);
    }
    let mut positions = BTreeMap::new();
    let mut to_commit = BTreeMap::new();
    let mut lost = Vec::new();
    let mut new = BTreeSet::new();
    for (partition, bounds) in &facts.owned {
        match position(facts, partition, *bounds) {
            Ok(Position::Committed(offset)) => {
                positions.insert(partition.clone(), offset);
            }
            Ok(Position::New) => {
                new.insert(partition.topic.as_str());
            }
            Err((cause, found)) => {
                lost.push(Lost { partition: partition.clone(), cause, found });
                let offset = match facts.on_lost {
                    LostPosition::Stop => continue,
                    LostPosition::Earliest => bounds.low,
                    LostPosition::Latest => bounds.high,
                };
                positions.insert(partition.clone(), offset);
                to_commit.insert(partition.clone(), offset);
            }
        }
    }
    if !lost.is_empty() && facts.on_lost == LostPosition::Stop {
        return Plan::Stop(lost);
    }
    if new.is_empty() { Plan::Start { positions, to_commit, lost } } else { plan_new_partitions(facts, &new) }
}

/// Partitions of these topics are new: the owner of a topic's first one commits the beginnings of them all.
fn plan_new_partitions(facts: &Facts, topics: &BTreeSet<&str>) -> Plan {
    let mut mine = Vec::new();
    for topic in topics {
        let of_topic = facts.group.keys().filter(|partition| partition.topic == *topic);
        let new: Vec<&Partition> = of_topic.filter(|partition| is_new(facts, partition)).collect();
        if new.first().is_some_and(|first| facts.owned.contains_key(*first)) {
            mine.extend(new.into_iter().cloned());
        }
    }
    if mine.is_empty() { Plan::Wait } else { Plan::Begin(mine) }
}

/// No partition of the group has an offset: a new group, unless its output says otherwise.
fn plan_new_group(facts: &Facts) -> Plan {
    let recreated = |partition: &Partition| is_recreated(facts, &partition.topic);
    let suspicious = !facts.output_empty || facts.owned.keys().any(recreated);
    let lost: Vec<Lost> = if suspicious {
        let lost = |partition: &Partition| Lost {
            partition: partition.clone(),
            cause: if recreated(partition) { Cause::TopicRecreated } else { Cause::NoCommittedOffset },
            found:
                "the group has no committed offset at all, yet it has worked before: its output topic is not empty, \
                    or its input topic has another id than at start"
                    .to_owned(),
        };
        facts.owned.keys().map(lost).collect()
    } else {
        Vec::new()
    };
    if suspicious && facts.on_lost == LostPosition::Stop {
        return Plan::Stop(lost);
    }
    let owns_first = facts.group.keys().next().is_some_and(|first| facts.owned.contains_key(first));
    if owns_first { Plan::Initialise { lost } } else { Plan::Wait }
}

enum Position {
    Committed(i64),
    New,
}

fn position(facts: &Facts, partition: &Partition, bounds: Bounds) -> Result<Position, (Cause, String)> {
    let now = facts.topic_ids.get(&partition.topic).map_or("", String::as_str);
    let Some(committed) = facts.group.get(partition).and_then(Option::as_ref) else {
        if is_recreated(facts, &partition.topic) {
            return Err((Cause::TopicRecreated, format!("its id is {now} now")));
        }
        return if is_new(facts, partition) {
            Ok(Position::New)
        } else {
            Err((Cause::NoCommittedOffset, "other partitions of the group have one".to_owned()))
        };
    };
    if let Some(note) = &committed.note
        && !note.topic_id.is_empty()
        && !now.is_empty()
        && note.topic_id != now
    {
        return Err((
            Cause::TopicRecreated,
            format!("offset {} was committed for id {}, its id is {now} now", committed.offset, note.topic_id),
        ));
    }
    if !(bounds.low..=bounds.high).contains(&committed.offset) {
        let found =
            format!("offset {} is committed, the log holds {} to {}", committed.offset, bounds.low, bounds.high);
        return Err((Cause::OutOfRange, found));
    }
    Ok(Position::Committed(committed.offset))
}

/// Whether the group has never read this partition: it lies beyond those of its topic that were begun, or the notes
/// of other topics tell that the topic is new.
fn is_new(facts: &Facts, partition: &Partition) -> bool {
    let topic = partition.topic.as_str();
    if facts.group.get(partition).is_some_and(Option::is_some) {
        return false;
    }
    if facts.offsets_of(topic).next().is_some() {
        return facts.begun(topic).is_some_and(|begun| partition.number >= begun);
    }
    let mut notes = facts.notes().filter(|note| !note.topics.is_empty()).peekable();
    notes.peek().is_some() && notes.all(|note| !note.tells_of(topic))
}

impl Facts {
    fn notes(&self) -> impl Iterator<Item = &Note> {
        self.group.values().filter_map(|committed| committed.as_ref()?.note.as_ref())
    }

    /// The partitions of a topic that have an offset.
    fn offsets_of(&self, topic: &str) -> impl Iterator<Item = (&Partition, &Committed)> {
        let of_topic = self.group.iter().filter(move |(partition, _)| partition.topic == topic);
        of_topic.filter_map(|(partition, committed)| Some((partition, committed.as_ref()?)))
    }

    /// How many partitions of a topic were begun, as its notes tell; `None`: it has no note.
    fn begun(&self, topic: &str) -> Option<i32> {
        self.offsets_of(topic).filter_map(|(_, committed)| Some(committed.note.as_ref()?.partitions)).max()
    }

    /// The notes to commit with offsets, those of `beginnings` among them. They tell of what is begun, not of all
    /// that there is: what a note counts and has no offset is lost.
    pub(super) fn notes_with<'a>(&self, beginnings: impl Iterator<Item = &'a Partition>) -> BTreeMap<String, Note> {
        let beginnings: BTreeSet<&Partition> = beginnings.collect();
        let mut begun: BTreeMap<&str, i32> = BTreeMap::new();
        for (partition, committed) in &self.group {
            let topic = partition.topic.as_str();
            let told = || self.notes().any(|note| note.tells_of(topic));
            if committed.is_some() || beginnings.contains(partition) {
                let count = begun.entry(topic).or_insert(0);
                *count = (*count).max(partition.number + 1);
            } else if !begun.contains_key(topic) && told() {
                begun.insert(topic, 0);
            }
        }
        let topics = marks(begun.keys().copied());
        let note = |(topic, count): (&str, i32)| {
            let note = Note {
                topic_id: self.topic_ids.get(topic).cloned().unwrap_or_default(),
                partitions: count.max(self.begun(topic).unwrap_or(0)),
                batch: 0,
                topics: topics.clone(),
            };
            (topic.to_owned(), note)
        };
        begun.into_iter().map(note).collect()
    }
}

fn is_recreated(facts: &Facts, topic: &str) -> bool {
    match (facts.first_ids.get(topic), facts.topic_ids.get(topic)) {
        (Some(first), Some(now)) => !first.is_empty() && !now.is_empty() && first != now,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "posts".into(), number }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the facts hold it")]
    fn committed(offset: i64, topic_id: &str, partitions: i32) -> Option<Committed> {
        let note = Note { topic_id: topic_id.into(), partitions, batch: 0, topics: marks(["posts"].into_iter()) };
        Some(Committed { offset, note: Some(note) })
    }

    /// A lane that owns partitions 0 and 1 of two, whose logs hold 10 to 100.
    fn facts(group: [Option<Committed>; 2]) -> Facts {
        let ids = BTreeMap::from([("posts".to_owned(), "A".to_owned())]);
        Facts {
            group: (0..).map(partition).zip(group).collect(),
            owned: (0..2).map(|p| (partition(p), Bounds { low: 10, high: 100 })).collect(),
            topic_ids: ids.clone(),
            first_ids: ids,
            output_empty: true,
            on_lost: LostPosition::Stop,
        }
    }

    fn start(positions: [i64; 2], commit: &[(i32, i64)]) -> Plan {
        Plan::Start {
            positions: (0..).map(partition).zip(positions).collect(),
            to_commit: commit.iter().map(|(p, offset)| (partition(*p), *offset)).collect(),
            lost: Vec::new(),
        }
    }

    fn causes(plan: &Plan) -> Vec<(i32, Cause)> {
        match plan {
            Plan::Stop(lost) => lost.iter().map(|lost| (lost.partition.number, lost.cause)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn committed_offsets_are_taken_as_they_are() {
        assert_eq!(plan(&facts([committed(10, "A", 2), committed(100, "A", 2)])), start([10, 100], &[]));
    }

    #[test]
    fn an_operators_reset_carries_no_note_and_is_taken_at_its_word() {
        let reset = Some(Committed { offset: 50, note: None });
        assert_eq!(plan(&facts([reset, committed(20, "A", 2)])), start([50, 20], &[]));
    }

    #[test]
    fn the_owner_of_the_first_partition_begins_a_new_group_and_others_wait() {
        let mut new = facts([None, None]);
        assert_eq!(plan(&new), Plan::Initialise { lost: Vec::new() });
        new.owned.remove(&partition(0));
        assert_eq!(plan(&new), Plan::Wait);
    }

    #[test]
    fn a_group_without_offsets_but_with_output_stops() {
        let deleted = Facts { output_empty: false, ..facts([None, None]) };
        assert_eq!(causes(&plan(&deleted)), [(0, Cause::NoCommittedOffset), (1, Cause::NoCommittedOffset)]);
        let told = Facts { on_lost: LostPosition::Earliest, ..deleted };
        assert!(matches!(plan(&told), Plan::Initialise { lost } if lost.len() == 2));
    }

    #[test]
    fn one_deleted_offset_stops_but_an_added_partition_begins_at_its_beginning() {
        assert_eq!(causes(&plan(&facts([committed(20, "A", 2), None]))), [(1, Cause::NoCommittedOffset)]);
        assert_eq!(plan(&facts([committed(20, "A", 1), None])), Plan::Begin(vec![partition(1)]));
    }

    /// The same with three partitions, of which the group has begun one, owned as told.
    fn grown(owned: &[i32]) -> Facts {
        let mut facts = facts([committed(20, "A", 1), None]);
        facts.group.insert(partition(2), None);
        facts.owned = owned.iter().map(|number| (partition(*number), Bounds { low: 10, high: 100 })).collect();
        facts
    }

    #[test]
    fn all_added_partitions_are_begun_by_the_owner_of_the_first_of_them_and_others_wait() {
        assert_eq!(plan(&grown(&[1])), Plan::Begin(vec![partition(1), partition(2)]));
        assert_eq!(plan(&grown(&[2])), Plan::Wait);
        let elsewhere = grown(&[0]);
        assert!(matches!(plan(&elsewhere), Plan::Start { .. }), "a lane without an added one goes on");
        let note = &elsewhere.notes_with(std::iter::empty())["posts"];
        assert_eq!(note.partitions, 1, "and does not tell of what is not begun, or its owner would call it lost");
        let added = [partition(1), partition(2)];
        assert_eq!(elsewhere.notes_with(added.iter())["posts"].partitions, 3);
    }

    #[test]
    fn a_note_never_counts_fewer_partitions_than_the_one_before() {
        let deleted = facts([committed(20, "A", 2), None]);
        assert_eq!(deleted.notes_with(std::iter::empty())["posts"].partitions, 2, "or the deleted one would be new");
    }

    /// Partition 0 of a further topic, owned or not.
    fn with_topic(mut facts: Facts, topic: &str, owned: bool) -> Facts {
        let partition = Partition { topic: topic.into(), number: 0 };
        if owned {
            facts.owned.insert(partition.clone(), Bounds { low: 0, high: 7 });
        }
        facts.group.insert(partition, None);
        facts
    }

    #[test]
    fn a_topic_that_no_note_tells_of_is_new_and_one_that_is_told_of_is_lost() {
        let known = || facts([committed(20, "A", 2), committed(20, "A", 2)]);
        let appeared = with_topic(known(), "posts.more", true);
        let beginning = [Partition { topic: "posts.more".into(), number: 0 }];
        assert_eq!(plan(&appeared), Plan::Begin(beginning.to_vec()));
        let notes = appeared.notes_with(beginning.iter());
        assert!(notes["posts"].tells_of("posts.more") && notes["posts.more"].tells_of("posts"));

        let mut deleted = with_topic(known(), "posts.more", true);
        let told = deleted.group.get_mut(&partition(0)).and_then(Option::as_mut).and_then(|c| c.note.as_mut());
        told.expect("it has a note").topics = marks(["posts", "posts.more"].into_iter());
        assert_eq!(causes(&plan(&deleted)), [(0, Cause::NoCommittedOffset)]);
        assert!(deleted.notes_with(std::iter::empty())["posts"].tells_of("posts.more"), "and stays so");

        let reset = Some(Committed { offset: 50, note: None });
        let unknown = with_topic(facts([reset.clone(), reset]), "posts.more", true);
        assert_eq!(causes(&plan(&unknown)), [(0, Cause::NoCommittedOffset)], "nothing tells: ask");
    }

    #[test]
    fn outside_the_log_is_a_hole() {
        assert_eq!(
            causes(&plan(&facts([committed(9, "A", 2), committed(101, "A", 2)]))),
            [(0, Cause::OutOfRange), (1, Cause::OutOfRange)]
        );
        let told = Facts { on_lost: LostPosition::Latest, ..facts([committed(9, "A", 2), committed(50, "A", 2)]) };
        let Plan::Start { positions, to_commit, lost } = plan(&told) else { panic!() };
        assert_eq!((positions[&partition(0)], positions[&partition(1)]), (100, 50));
        assert_eq!((to_commit.len(), lost.len()), (1, 1));
    }

    #[test]
    fn a_topic_made_anew_is_another_topic() {
        assert_eq!(
            causes(&plan(&facts([committed(20, "OLD", 2), committed(20, "A", 2)]))),
            [(0, Cause::TopicRecreated)]
        );
        let mut anew = facts([None, None]);
        anew.first_ids.insert("posts".into(), "OLD".into());
        assert_eq!(causes(&plan(&anew)), [(0, Cause::TopicRecreated), (1, Cause::TopicRecreated)]);
    }

    #[test]
    fn brokers_without_topic_ids_are_not_suspected() {
        let mut embedded = facts([committed(20, "", 2), committed(20, "B", 2)]);
        embedded.topic_ids.insert("posts".into(), String::new());
        assert_eq!(plan(&embedded), start([20, 20], &[]));
    }
}
