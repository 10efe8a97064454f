//! What flows in: a record's JSON becomes a [`Post`], or says why it cannot.
//!
//! Decoding is pure: the same bytes and the same mapping always give the same result, so a replayed
//! record meets the same fate (I1), and a bad one harms itself only (I7).

mod decode;
mod event_time;
mod html;
mod pointer;
mod select;

use serde_json::{Map, Value};

pub use decode::Mapping;
pub use event_time::{EventTime, TimeSource};

use crate::config::TextFormat;

/// A post as decoded from one input record.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// The mapped id; absent when the record has none.
    pub id: Option<String>,
    /// The text as people read it (HTML already taken out).
    pub text: String,
    /// The time of writing as given: a string or a number.
    pub created_at: Option<Value>,
    /// Primary language subtag in lower case; absent when unknown.
    pub lang: Option<String>,
    /// The author's id.
    pub author: Option<String>,
    /// The platform.
    pub platform: Option<String>,
    /// The values carried along, by name.
    pub extra: Map<String, Value>,
}

impl Post {
    /// The first `limit` bytes of the text at most, ending at a character boundary.
    #[must_use]
    pub fn head(&self, limit: usize) -> &str {
        &self.text[..self.text.floor_char_boundary(limit)]
    }
}

/// The text as people read it.
pub(crate) fn read_text(format: TextFormat, text: String) -> String {
    match format {
        TextFormat::Plain => text,
        TextFormat::Html => html::to_text(&text),
        TextFormat::Escaped => html::unescape(text),
    }
}

/// What a record turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A post.
    Post(Post),
    /// A record that `input.select` does not want: counted, not published.
    NotSelected,
}

/// Why a record cannot be read. Never holds any of the post's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadInput {
    /// A fixed word for the kind of fault, as in the `moodstream.class` header.
    pub class: &'static str,
    /// What was found and what would be right.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character_boundary() {
        for (text, limit, head) in [("abc", 10, "abc"), ("abc", 3, "abc"), ("ab😀", 5, "ab"), ("😀", 3, "")] {
            let post = Post {
                id: None,
                text: text.to_owned(),
                created_at: None,
                lang: None,
                author: None,
                platform: None,
                extra: Map::new(),
            };
            assert_eq!(post.head(limit), head, "{text} {limit}");
        }
    }
}
