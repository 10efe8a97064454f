//! Texts to token ids, one encoder per thread.
//!
//! Never pads: micro-batches do. Loading refuses tokenizers whose ids could differ from one
//! process to the next, because scores depend on the text and the model alone (I5).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokenizers::{
    NormalizedString, Normalizer, PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

use super::error::ModelError;

/// Turns texts into token ids. Clones share nothing, so each thread has its own.
#[derive(Clone)]
pub struct Encoder {
    tokenizer: Tokenizer,
}

/// One text as the model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special ones included.
    pub ids: Arc<[u32]>,
    /// The text had more tokens than the model takes.
    pub truncated: bool,
}

/// Why a text could not be encoded; never contains any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer refused it.
    #[error("the tokenizer cannot encode the text")]
    Refused,
    /// The tokenizer panicked on it.
    #[error("the tokenizer panicked on the text")]
    Panicked,
}

impl Encoder {
    /// Loads `tokenizer.json` for texts of at most `max_length` tokens.
    ///
    /// # Errors
    /// When the file cannot be read, or would not encode the way the model needs: no special
    /// tokens, no room for any, an unknown padding token, ambiguous added tokens.
    pub fn load(file: &Path, max_length: usize, pad_id: u32) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::Tokenizer { file: file.to_path_buf(), reason };
        let bytes =
            std::fs::read(file).map_err(|source| ModelError::Unreadable { file: file.to_path_buf(), source })?;
        let mut tokenizer = catch_unwind(|| Tokenizer::from_bytes(&bytes))
            .map_err(|_| wrong("not a tokenizer: loading it panicked".to_owned()))?
            .map_err(|error| wrong(format!("not a tokenizer: {error}")))?;

        let special = tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(false));
        if special == 0 {
            return Err(wrong("adds no special tokens, such as [CLS] and [SEP], to a text".to_owned()));
        }
        if max_length <= special {
            return Err(wrong(format!(
                "adds {special} special tokens: expected max_length above {special}, found {max_length}"
            )));
        }
        if tokenizer.id_to_token(pad_id).is_none() {
            return Err(wrong(format!("expected a token of pad_id {pad_id}, found none")));
        }
        if let Some((first, second)) = ambiguous(&tokenizer) {
            return Err(wrong(format!(
                "added tokens \"{}\" and \"{}\" are equal once normalised: one of their ids would be taken at random at every load",
                first.escape_unicode(),
                second.escape_unicode()
            )));
        }
        tokenizer.with_padding(None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { tokenizer })
    }

    /// Encodes one text; a text of any length gives at most `max_length` ids.
    ///
    /// # Errors
    /// When this text cannot be encoded; the encoder goes on working.
    pub fn encode(&self, text: &str) -> Result<Encoded, EncodeError> {
        // A panic in a library on one strange text must cost that text only (I7).
        let encoded = catch_unwind(AssertUnwindSafe(|| self.tokenizer.encode_fast(text, true)));
        let encoding = encoded.map_err(|_| EncodeError::Panicked)?.map_err(|_| EncodeError::Refused)?;
        Ok(Encoded { ids: encoding.get_ids().into(), truncated: !encoding.get_overflowing().is_empty() })
    }
}

/// Two added tokens that match the same normalised text, if there are any.
///
/// tokenizers 0.22 keeps added tokens in a hash map, so which of the two ids such a text gets
/// changes from load to load.
fn ambiguous(tokenizer: &Tokenizer) -> Option<(String, String)> {
    let mut added: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    added.sort_by_key(|(id, _)| *id);
    let mut seen: HashMap<String, String> = HashMap::new();
    for (_, token) in added {
        if !token.normalized {
            continue;
        }
        let mut text = NormalizedString::from(token.content.as_str());
        if let Some(normalizer) = tokenizer.get_normalizer() {
            // One that cannot be normalised never matches.
            if normalizer.normalize(&mut text).is_err() {
                continue;
            }
        }
        if let Some(first) = seen.insert(text.get().to_owned(), token.content.clone()) {
            return Some((first, token.content));
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A small `WordPiece` tokenizer, to be broken by tests.
    pub(in crate::inference) fn words() -> Value {
        let added = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [added(0, "[PAD]"), added(1, "[UNK]"), added(2, "[CLS]"), added(3, "[SEP]")],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "good": 4, "day": 5, "##s": 6}}
        })
    }

    fn load(tokenizer: &Value, max_length: usize) -> Result<Encoder, ModelError> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, tokenizer.to_string()).expect("file");
        Encoder::load(&file, max_length, 0)
    }

    fn refused(tokenizer: &Value, max_length: usize, part: &str) {
        let error = load(tokenizer, max_length).err().expect("refused").to_string();
        assert!(error.contains("tokenizer.json") && error.contains(part), "{error}");
    }

    #[test]
    fn a_text_gets_its_special_tokens_and_no_padding() {
        let encoder = load(&words(), 8).expect("loads");
        let text = encoder.encode("Good days").expect("encodes");
        assert_eq!((&*text.ids, text.truncated), (&[2, 4, 5, 6, 3][..], false));
        assert_eq!(*encoder.encode("").expect("encodes").ids, [2, 3]);
    }

    #[test]
    fn a_long_text_is_cut_to_max_length_and_says_so() {
        let encoder = load(&words(), 5).expect("loads");
        let exact = encoder.encode("good day good").expect("encodes");
        assert_eq!((exact.ids.len(), exact.truncated), (5, false));
        let cut = encoder.encode("good day good day").expect("encodes");
        assert_eq!((&*cut.ids, cut.truncated), (&[2, 4, 5, 4, 3][..], true));
    }

    #[test]
    fn padding_and_truncation_of_the_file_are_ignored() {
        let mut tokenizer = words();
        tokenizer["padding"] = json!({"strategy": {"Fixed": 8}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
        tokenizer["truncation"] = json!({"direction": "Left", "max_length": 3,
            "strategy": "LongestFirst", "stride": 0});
        let encoder = load(&tokenizer, 8).expect("loads");
        assert_eq!(*encoder.encode("good day").expect("encodes").ids, [2, 4, 5, 3]);
    }

    #[test]
    fn a_tokenizer_without_special_tokens_is_refused() {
        let mut tokenizer = words();
        tokenizer["post_processor"] = Value::Null;
        refused(&tokenizer, 8, "special tokens");
    }

    #[test]
    fn a_max_length_without_room_for_a_token_is_refused() {
        refused(&words(), 2, "expected max_length above 2, found 2");
    }

    #[test]
    fn a_padding_token_that_is_not_in_the_vocabulary_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, words().to_string()).expect("file");
        let error = Encoder::load(&file, 8, 99).err().expect("refused").to_string();
        assert!(error.contains("pad_id 99"), "{error}");
    }

    #[test]
    fn added_tokens_that_are_equal_once_normalised_are_refused() {
        let mut tokenizer = words();
        for (id, content) in [(7, "\u{2764}"), (8, "\u{2764}\u{200b}")] {
            tokenizer["added_tokens"].as_array_mut().expect("array").push(json!({"id": id,
                "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": true, "special": false}));
        }
        refused(&tokenizer, 8, "\\u{2764}\\u{200b}");
        tokenizer["added_tokens"][5]["content"] = "\u{1f525}".into();
        load(&tokenizer, 8).expect("they differ now");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        refused(&json!({"version": "1.0"}), 8, "not a tokenizer");
        refused(&json!("text"), 8, "not a tokenizer");
    }
}
