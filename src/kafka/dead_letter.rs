//! A dead letter: the original record, bytes intact, and headers that say what happened to it (I7).

use rdkafka::message::{Header, OwnedHeaders};
use sha2::{Digest, Sha256};

use crate::fate::Death;

/// Room for what a broker adds around one record in a batch.
pub(crate) const FRAMING: usize = 256;

/// The record as it came.
pub(crate) struct Original<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
}

/// What goes to the dead-letter topic.
pub(crate) struct Letter<'a> {
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: OwnedHeaders,
}

/// Writes the letter; the payload is cut, with a mark, if a record of `limit` bytes could not hold it.
pub(crate) fn letter<'a>(original: Original<'a>, death: &Death, worker: &str, model: &str, limit: usize) -> Letter<'a> {
    let bytes = original.payload.map_or(0, <[u8]>::len);
    let digest = original.payload.map(|payload| hex::encode(Sha256::digest(payload))).unwrap_or_default();
    let own = [
        ("moodstream.stage", death.stage.as_str().to_owned()),
        ("moodstream.class", death.class.to_owned()),
        ("moodstream.message", death.message.clone()),
        ("moodstream.topic", original.topic.to_owned()),
        ("moodstream.partition", original.partition.to_string()),
        ("moodstream.offset", original.offset.to_string()),
        ("moodstream.timestamp", original.timestamp.to_string()),
        ("moodstream.worker", worker.to_owned()),
        ("moodstream.model", model.to_owned()),
        ("moodstream.bytes", bytes.to_string()),
        ("moodstream.sha256", digest),
    ];
    let kept = original.headers.unwrap_or_else(|| OwnedHeaders::new_with_capacity(own.len() + 1));
    let mut size = FRAMING + original.key.map_or(0, <[u8]>::len) + header_bytes(&kept);
    let mut headers = kept;
    for (name, value) in &own {
        size += name.len() + value.len() + 10;
        headers = headers.insert(Header { key: name, value: Some(value.as_bytes()) });
    }
    let room = limit.saturating_sub(size);
    let truncated = bytes > room;
    headers = headers.insert(Header { key: "moodstream.truncated", value: Some(truncated.to_string().as_bytes()) });
    let payload = original.payload.map(|payload| &payload[..bytes.min(room)]);
    Letter { payload, headers }
}

/// What these headers take in a record, at most.
pub(crate) fn header_bytes(headers: &OwnedHeaders) -> usize {
    use rdkafka::message::Headers;
    headers.iter().map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len) + 10).sum()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::*;
    use crate::fate::Stage;

    fn original(payload: Option<&[u8]>) -> Original<'_> {
        Original { topic: "posts", partition: 3, offset: 42, timestamp: 7, key: Some(b"k"), payload, headers: None }
    }

    fn death() -> Death {
        Death { stage: Stage::Decode, class: "not_json", message: "no".into() }
    }

    fn header(letter: &Letter<'_>, name: &str) -> String {
        let header = letter.headers.iter().find(|header| header.key == name).expect(name);
        String::from_utf8(header.value.expect("a value").to_vec()).expect("text")
    }

    #[test]
    fn keeps_the_bytes_and_says_where_they_came_from() {
        let letter = letter(original(Some(b"\xff\0")), &death(), "w", "m", 10_000);
        assert_eq!(letter.payload, Some(&b"\xff\0"[..]));
        assert_eq!(header(&letter, "moodstream.offset"), "42");
        assert_eq!(header(&letter, "moodstream.truncated"), "false");
        assert_eq!(header(&letter, "moodstream.bytes"), "2");
    }

    #[test]
    fn cuts_what_the_topic_cannot_hold_and_marks_it() {
        let long = vec![b'x'; 5_000];
        let letter = letter(original(Some(&long)), &death(), "w", "m", 2_000);
        let kept = letter.payload.map_or(0, <[u8]>::len);
        assert!((1..2_000).contains(&kept), "{kept}");
        assert_eq!(header(&letter, "moodstream.truncated"), "true");
        assert_eq!(header(&letter, "moodstream.bytes"), "5000");
        assert_eq!(header(&letter, "moodstream.sha256"), hex::encode(Sha256::digest(&long)));
    }

    #[test]
    fn a_tombstone_stays_one() {
        assert_eq!(letter(original(None), &death(), "w", "m", 2_000).payload, None);
    }
}
