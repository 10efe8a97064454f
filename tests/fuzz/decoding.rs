//! Records of every preset, mutated, through that preset's mapping, and plain bytes through all of them.

use std::path::Path;

use moodstream::config::{Config, Input};
use moodstream::post::{BadInput, Decoded, Mapping};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fuzz;
use crate::mutate::mutants;

/// What a record that is no post can be called.
const CLASSES: [&str; 8] = [
    "tombstone",
    "invalid_utf8",
    "raw_control_character",
    "lone_surrogate",
    "too_deep",
    "not_json",
    "no_text",
    "text_not_string",
];

/// A word in every text of the examples, which no message may repeat.
const WORD: &str = "kingfisher";

pub(crate) const PRESETS: [&str; 4] = ["none", "bluesky-jetstream", "mastodon", "x-v2"];

/// The settings of a preset.
pub(crate) fn input(preset: &str) -> Input {
    let flags = [("input.preset".to_owned(), preset.to_owned())];
    Config::load(None, std::iter::empty(), &flags).expect("a configuration").input
}

/// Good and bad records of a preset.
pub(crate) fn examples(preset: &str) -> Vec<Value> {
    if preset == "none" {
        return vec![
            json!({"id": "p-1", "text": "a kingfisher, <b>at last</b> &amp; in the sun", "lang": "en", "author": "u-1",
                "created_at": "2026-03-02T17:45:10Z", "platform": "example"}),
            json!({"id": 7, "text": "kingfisher 😀", "lang": ["pt-BR", "en"], "created_at": 1_700_000_000}),
            json!({"text": {"kingfisher": 1}}),
            json!({"id": null}),
        ];
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/presets/{preset}.jsonl"));
    let text = std::fs::read_to_string(file).expect("a fixture");
    text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"].take()).collect()
}

/// Asserts what holds of every record, whatever it is; gives back why it is none.
pub(crate) fn check(mapping: &Mapping, bytes: &[u8]) -> Result<Option<BadInput>, TestCaseError> {
    let decoded = mapping.decode(Some(bytes));
    prop_assert_eq!(&mapping.decode(Some(bytes)), &decoded, "the same bytes have the same fate");
    match &decoded {
        Ok(Decoded::Post(post)) => {
            prop_assert!(post.lang.as_deref() != Some("") && post.id.as_deref() != Some(""));
            for limit in [0, 1, 2, 3, 5, 280, 16 * 1024, usize::MAX] {
                let head = post.head(limit);
                prop_assert!(head.len() <= limit && post.text.starts_with(head));
                prop_assert!(head.len() == post.text.len() || head.len() + 4 > limit, "no more is cut than must be");
            }
            let (id, _) = mapping.peek(bytes);
            prop_assert_eq!(&id, &post.id, "a look at a post sees the post's id");
        }
        Ok(Decoded::NotSelected) => {}
        Err(bad) => {
            prop_assert!(CLASSES.contains(&bad.class), "{} is no known class", bad.class);
        }
    }
    Ok(decoded.err())
}

#[test]
fn mutated_records_of_every_preset_have_a_known_fate_and_no_message_quotes_them() {
    let presets = PRESETS.map(|preset| (Mapping::new(&input(preset)), examples(preset)));
    let preset = 0..presets.len();
    fuzz("decoding, mutated records", &(preset, mutants()), |(preset, mutant)| {
        let (mapping, examples) = &presets[preset];
        if let Some(bad) = check(mapping, &mutant.bytes(examples))? {
            prop_assert!(bad.message.len() < 500, "{} bytes of message", bad.message.len());
            prop_assert!(!bad.message.contains(WORD), "quotes the text: {}", bad.message);
        }
        Ok(())
    });
}

#[test]
fn any_bytes_have_a_known_fate_by_every_preset() {
    let mappings = PRESETS.map(|preset| Mapping::new(&input(preset)));
    let pieces: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\\",
        b"null",
        b"1e9",
        b"\"text\":",
        b"\"data\":",
        b"\"payload\":",
    ];
    let piece = prop_oneof![
        proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..4)
    ];
    let bytes = proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    fuzz("decoding, any bytes", &bytes, |bytes| {
        for mapping in &mappings {
            let _ = check(mapping, &bytes)?;
        }
        Ok(())
    });
}
