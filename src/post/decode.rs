//! From bytes to a [`Post`] by the configured JSON pointers.

use serde_json::{Map, Value};

use super::pointer::Pointer;
use super::{BadInput, Decoded, Post, html};
use crate::config::{Input, OneOrMore, TextFormat};

/// The compiled mapping of `input.fields`, `input.select` and `input.extra`.
#[derive(Debug, Clone)]
pub struct Mapping {
    id: Vec<Pointer>,
    text: Pointer,
    created_at: Pointer,
    lang: Pointer,
    author: Pointer,
    platform: Pointer,
    select: Vec<(Pointer, String)>,
    extra: Vec<(String, Pointer)>,
    format: TextFormat,
}

impl Mapping {
    /// Takes the mapping out of a validated configuration.
    #[must_use]
    pub fn new(input: &Input) -> Self {
        let fields = &input.fields;
        let id = match &fields.id {
            OneOrMore::One(pointer) => std::slice::from_ref(pointer),
            OneOrMore::More(pointers) => pointers,
        };
        Self {
            id: id.iter().filter(|pointer| !pointer.is_empty()).map(|pointer| Pointer::new(pointer)).collect(),
            text: Pointer::new(&fields.text),
            created_at: Pointer::new(&fields.created_at),
            lang: Pointer::new(&fields.lang),
            author: Pointer::new(&fields.author),
            platform: Pointer::new(&fields.platform),
            select: input.select.iter().map(|(pointer, wanted)| (Pointer::new(pointer), wanted.clone())).collect(),
            extra: input.extra.iter().map(|(name, pointer)| (name.clone(), Pointer::new(pointer))).collect(),
            format: input.text_format,
        }
    }

    /// Reads one record's value; `None` is a tombstone.
    ///
    /// # Errors
    /// [`BadInput`] when the record is no post and cannot become one: its class is one of `tombstone`,
    /// `invalid_utf8`, `raw_control_character`, `lone_surrogate`, `too_deep`, `not_json`, `no_text`,
    /// `text_not_string`.
    pub fn decode(&self, value: Option<&[u8]>) -> Result<Decoded, BadInput> {
        let bytes = value.ok_or_else(|| BadInput {
            class: "tombstone",
            message: "the record has no value, where a JSON object was expected".to_owned(),
        })?;
        let text = std::str::from_utf8(bytes).map_err(|error| BadInput {
            class: "invalid_utf8",
            message: format!("the value is not UTF-8 from byte {}", error.valid_up_to()),
        })?;
        let mut json: Value = serde_json::from_str(text).map_err(|error| bad_json(&error))?;
        if !self.select.iter().all(|(pointer, wanted)| selected(pointer.find(&json), wanted)) {
            return Ok(Decoded::NotSelected);
        }
        let extra: Map<String, Value> = self
            .extra
            .iter()
            .filter_map(|(name, pointer)| Some((name.clone(), pointer.find(&json)?.clone())))
            .collect();
        let id = self.id(&json);
        let lang = self.lang.find(&json).and_then(language);
        let created_at = self.created_at.find(&json).filter(|v| v.is_string() || v.is_number()).cloned();
        let author = self.author.find(&json).and_then(scalar);
        let platform = self.platform.find(&json).and_then(scalar);
        let text = match self.text.take(&mut json) {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => {
                return Err(BadInput {
                    class: "no_text",
                    message: format!("there is no text at \"{}\"", self.text.text()),
                });
            }
            Some(other) => {
                return Err(BadInput {
                    class: "text_not_string",
                    message: format!(
                        "the value at \"{}\" is {}, where a string was expected",
                        self.text.text(),
                        kind(&other)
                    ),
                });
            }
        };
        let text = match self.format {
            TextFormat::Plain => text,
            TextFormat::Html => html::to_text(&text),
        };
        Ok(Decoded::Post(Post { id, text, created_at, lang, author, platform, extra }))
    }

    /// What can be said of a record without reading it as a post: its id and time of writing, where it is JSON
    /// and has them.
    #[must_use]
    pub fn peek(&self, value: &[u8]) -> (Option<String>, Option<Value>) {
        let Ok(json) = serde_json::from_slice::<Value>(value) else { return (None, None) };
        let created_at = self.created_at.find(&json).filter(|v| v.is_string() || v.is_number()).cloned();
        (self.id(&json), created_at)
    }

    fn id(&self, json: &Value) -> Option<String> {
        let parts: Option<Vec<String>> = self.id.iter().map(|pointer| pointer.find(json).and_then(scalar)).collect();
        parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
    }
}

#[expect(clippy::cmp_owned, reason = "a JSON number or bool never equals a str: what it is written as is compared")]
fn selected(found: Option<&Value>, wanted: &str) -> bool {
    match found {
        Some(Value::String(text)) => text == wanted,
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string() == wanted,
        _ => false,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The primary subtag in lower case (RFC 5646) of a tag or of the first of several; `und` is unknown.
fn language(value: &Value) -> Option<String> {
    let tag = match value {
        Value::String(tag) => tag,
        Value::Array(tags) => tags.first()?.as_str()?,
        _ => return None,
    };
    let primary = tag.split(['-', '_']).next()?.trim().to_ascii_lowercase();
    (!primary.is_empty() && primary != "und").then_some(primary)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// `serde_json` tells its syntax errors apart by their text alone; none of them quotes the input.
fn bad_json(error: &serde_json::Error) -> BadInput {
    let message = error.to_string();
    let class = if message.starts_with("recursion limit exceeded") {
        "too_deep"
    } else if message.starts_with("control character") {
        "raw_control_character"
    } else if message.contains("surrogate") || message.starts_with("unexpected end of hex escape") {
        "lone_surrogate"
    } else {
        "not_json"
    };
    BadInput { class, message: format!("the value is not a JSON document: {message}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn mapping() -> Mapping {
        Mapping {
            id: vec![Pointer::new("/id")],
            text: Pointer::new("/text"),
            created_at: Pointer::new("/created_at"),
            lang: Pointer::new("/lang"),
            author: Pointer::new("/author"),
            platform: Pointer::new("/platform"),
            select: Vec::new(),
            extra: Vec::new(),
            format: TextFormat::Plain,
        }
    }

    fn post(json: &str) -> Post {
        match mapping().decode(Some(json.as_bytes())) {
            Ok(Decoded::Post(post)) => post,
            other => panic!("{json}: {other:?}"),
        }
    }

    fn class(bytes: &[u8]) -> &'static str {
        mapping().decode(Some(bytes)).expect_err("a bad record").class
    }

    #[test]
    fn maps_every_field() {
        let post = post(
            r#"{"id":7,"text":"hi\u0000 there","created_at":1700000000,"lang":"en-GB","author":"a","platform":"x"}"#,
        );
        assert_eq!(post.id.as_deref(), Some("7"));
        assert_eq!(post.text, "hi\0 there", "an escaped NUL is valid JSON");
        assert_eq!(post.lang.as_deref(), Some("en"));
        assert_eq!(post.created_at, Some(Value::from(1_700_000_000)));
    }

    #[test]
    fn peeking_needs_no_text_and_no_json() {
        let (id, created_at) = mapping().peek(br#"{"id":7,"created_at":"2025-01-01T00:00:00Z"}"#);
        assert_eq!((id.as_deref(), created_at), (Some("7"), Some("2025-01-01T00:00:00Z".into())));
        assert_eq!(mapping().peek(b"{\"id\":"), (None, None));
    }

    #[test]
    fn language_takes_arrays_and_leaves_the_unknown_unknown() {
        assert_eq!(post(r#"{"text":"a","lang":["PT-BR","en"]}"#).lang.as_deref(), Some("pt"));
        for json in [
            r#"{"text":"a"}"#,
            r#"{"text":"a","lang":""}"#,
            r#"{"text":"a","lang":"und"}"#,
            r#"{"text":"a","lang":[]}"#,
        ] {
            assert_eq!(post(json).lang, None, "{json}");
        }
    }

    #[test]
    fn several_id_pointers_are_joined_and_a_missing_part_means_no_id() {
        let mapping = Mapping { id: vec![Pointer::new("/did"), Pointer::new("/commit/rkey")], ..mapping() };
        let id = |json: &str| match mapping.decode(Some(json.as_bytes())) {
            Ok(Decoded::Post(post)) => post.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"did":"d","commit":{"rkey":"k"},"text":""}"#).as_deref(), Some("d/k"));
        assert_eq!(id(r#"{"did":"d","text":""}"#), None);
    }

    #[test]
    fn select_keeps_only_what_equals_and_extra_is_carried() {
        let input = Mapping {
            select: vec![(Pointer::new("/kind"), "commit".into()), (Pointer::new("/live"), "true".into())],
            extra: vec![("likes".into(), Pointer::new("/n"))],
            ..mapping()
        };
        assert_eq!(input.decode(Some(br#"{"kind":"identity","live":true}"#)), Ok(Decoded::NotSelected));
        let Ok(Decoded::Post(post)) = input.decode(Some(br#"{"kind":"commit","live":true,"n":3,"text":"t"}"#)) else {
            panic!("not selected")
        };
        assert_eq!(post.extra["likes"], 3);
    }

    #[test]
    fn bad_records_are_told_apart() {
        assert_eq!(mapping().decode(None).expect_err("tombstone").class, "tombstone");
        assert_eq!(class(b"{\"text\":\"\xff\"}"), "invalid_utf8");
        assert_eq!(class(b"{\"text\":\"a\0b\"}"), "raw_control_character");
        assert_eq!(class(br#"{"text":"\ud83d"}"#), "lone_surrogate");
        assert_eq!(class(br#"{"text":"\ud83dx"}"#), "lone_surrogate");
        assert_eq!(class(br#"{"text":"\ude00"}"#), "lone_surrogate");
        assert_eq!(class(b"{\"text\":"), "not_json");
        assert_eq!(class(b""), "not_json");
        assert_eq!(class(b"{}"), "no_text");
        assert_eq!(class(br#"{"text":null}"#), "no_text");
        assert_eq!(class(br#"{"text":5}"#), "text_not_string");
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        assert_eq!(class(format!("{{\"text\":\"t\",\"x\":{deep}}}").as_bytes()), "too_deep");
    }

    #[test]
    fn a_mapping_is_taken_from_the_configuration_without_empty_pointers() {
        let mut input = Config::load(None, std::iter::empty(), &[]).expect("the defaults are valid").input;
        input.fields.id = OneOrMore::One(String::new());
        input.fields.lang = String::new();
        let mapping = Mapping::new(&input);
        let json = br#"{"id":"i","text":"t","lang":"en","platform":"x"}"#;
        let Ok(Decoded::Post(post)) = mapping.decode(Some(json)) else { panic!() };
        assert_eq!((post.id, post.lang, post.platform.as_deref()), (None, None, Some("x")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic_and_messages_hold_no_text(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = mapping().decode(Some(&bytes));
        }

        #[test]
        fn any_string_survives_decoding(text in any::<String>()) {
            let json = serde_json::json!({"text": text}).to_string();
            let Ok(Decoded::Post(post)) = mapping().decode(Some(json.as_bytes())) else { panic!() };
            prop_assert_eq!(post.text, text);
        }
    }
}
