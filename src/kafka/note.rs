//! What rides in the metadata of every committed offset, so that the next assignment can tell what is new from what
//! is lost (I10).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Characters of a topic's mark: short, because every offset carries the marks of all topics, and brokers take 4,096
/// bytes of metadata. Two topics with one mark do no harm: a new one counts as lost then, and the lane asks.
const MARK: usize = 6;

/// Input topics of one group at most, so that their marks fit.
pub(crate) const MOST_TOPICS: usize = 600;

/// The note of one topic's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The topic's id; empty where the broker has none.
    pub(crate) topic_id: String,
    /// How many partitions of the topic the group had begun: one beyond them is new.
    pub(crate) partitions: i32,
    /// The batch that it was committed with, by which its lane knows it again; 0 where there was none.
    #[serde(default)]
    pub(crate) batch: u64,
    /// Marks of the topics that the group had begun, one after the other: another topic is new.
    #[serde(default)]
    pub(super) topics: String,
}

impl Note {
    /// Whether the group had begun this topic.
    pub(super) fn tells_of(&self, topic: &str) -> bool {
        let mark = mark(topic);
        self.topics.as_bytes().chunks(MARK).any(|one| one == mark.as_bytes())
    }
}

/// The marks of topics, as a note holds them.
pub(super) fn marks<'a>(topics: impl Iterator<Item = &'a str>) -> String {
    topics.map(mark).collect()
}

fn mark(topic: &str) -> String {
    hex::encode(Sha256::digest(topic))[..MARK].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_tells_of_its_topics_only() {
        let note = Note { topic_id: "A".into(), partitions: 1, batch: 0, topics: marks(["a", "b"].into_iter()) };
        assert_eq!(["a", "b", "c"].map(|topic| note.tells_of(topic)), [true, true, false]);
    }

    #[test]
    fn the_note_of_as_many_topics_as_may_be_fits_into_what_brokers_take() {
        let topics: Vec<String> = (0..MOST_TOPICS).map(|number| format!("posts.{number}")).collect();
        let note = Note {
            topic_id: "A".repeat(22),
            partitions: i32::MAX,
            batch: u64::MAX,
            topics: marks(topics.iter().map(String::as_str)),
        };
        assert!(serde_json::to_string(&note).expect("json").len() <= 4096);
    }

    #[test]
    fn notes_without_the_later_fields_are_read() {
        let old = serde_json::from_str::<Note>(r#"{"topic_id": "A", "partitions": 2}"#).expect("a note");
        assert_eq!((old.batch, old.topics.as_str()), (0, ""));
    }
}
