//! Any text through the starter model's tokenizer: tokens, never too many, never a panic.

use std::path::Path;

use moodstream::inference::{EncodeError, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fuzz;
use crate::mutate::strings;

const MAX_LENGTH: usize = 128;

/// Words, emoji of the vocabulary and beyond it, odd strings, all mixed.
fn texts() -> impl Strategy<Value = String> {
    const WORDS: [&str; 20] = [
        "kingfisher ",
        "I can't believe it! ",
        "😂😂",
        "❤️",
        "❤",
        "👍🏽",
        "#birds ",
        "@ana ",
        "https://t.co/x ",
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "[UNK]",
        "[MASK] ",
        "##s",
        "ÀÉÎ ",
        "日本語",
        "العربية ",
        "a\u{300}\u{301}\u{302}",
        "\u{fe0f}",
    ];
    let piece = prop_oneof![3 => select(&WORDS[..]).prop_map(str::to_owned), 1 => strings(), 1 => any::<String>()];
    let texts = vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    // Few are as long as the worker lets a text be (input.max_text_bytes): they take long and show little more.
    let limit = prop_oneof![31 => Just(1024_usize), 1 => Just(16 * 1024)];
    (texts, limit).prop_map(|(text, limit)| text[..text.floor_char_boundary(limit)].to_owned())
}

#[test]
fn any_text_becomes_tokens_and_never_too_many() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter/tokenizer.json");
    let tokenizer = Encoder::load(&file, MAX_LENGTH, 0).expect("the starter tokenizer");
    let [cls, sep] = *tokenizer.encode("").expect("tokens").ids else { panic!("[CLS] and [SEP]") };
    fuzz("tokenizer", &texts(), |text| {
        let tokens = match tokenizer.encode(&text) {
            Ok(tokens) => tokens,
            Err(EncodeError::Panicked) => return Err(TestCaseError::fail("the tokenizer panicked")),
            Err(EncodeError::Refused) => return Err(TestCaseError::fail("the tokenizer refused a text")),
        };
        prop_assert!((2..=MAX_LENGTH).contains(&tokens.ids.len()), "{} tokens", tokens.ids.len());
        prop_assert!(!tokens.truncated || tokens.ids.len() == MAX_LENGTH);
        prop_assert_eq!((tokens.ids.first(), tokens.ids.last()), (Some(&cls), Some(&sep)));
        Ok(())
    });
}
