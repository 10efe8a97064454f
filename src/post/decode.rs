//! From bytes to a [`Post`] by the configured JSON pointers.

use serde_json::{Map, Value};

use super::pointer::Pointer;
use super::select::Selection;
use super::{BadInput, Decoded, Post, read_text};
use crate::config::{Input, OneOrMore, TextFormat};

/// The compiled mapping: `input.post`, `input.fields`, `input.select`, `input.extra` and what goes with them.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The post inside the record; empty: the record itself.
    post: Pointer,
    /// Joined.
    id: Vec<Pointer>,
    text: FirstOf,
    created_at: FirstOf,
    lang: FirstOf,
    author: FirstOf,
    platform: FirstOf,
    /// Of posts that name none.
    fixed_platform: Option<String>,
    select: Selection,
    extra: Vec<(String, Pointer)>,
    format: TextFormat,
}

/// Several places where a value may be; the first that has one counts.
#[derive(Debug, Clone)]
struct FirstOf(Vec<Pointer>);

impl FirstOf {
    fn new(pointers: &OneOrMore) -> Self {
        Self(compiled(pointers))
    }

    fn find<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        self.0.iter().find_map(|pointer| pointer.find(json).filter(|value| !value.is_null()))
    }

    /// Takes the value out, with the pointer that led to it.
    fn take<'a>(&'a self, json: &mut Value) -> Option<(&'a Pointer, Value)> {
        self.0.iter().find_map(|pointer| Some((pointer, pointer.take(json).filter(|value| !value.is_null())?)))
    }
}

fn compiled(pointers: &OneOrMore) -> Vec<Pointer> {
    pointers.as_slice().iter().map(|pointer| Pointer::new(pointer)).filter(|pointer| !pointer.is_empty()).collect()
}

impl Mapping {
    /// Takes the mapping out of a validated configuration.
    #[must_use]
    pub fn new(input: &Input) -> Self {
        let fields = &input.fields;
        Self {
            post: Pointer::new(&input.post),
            id: compiled(&fields.id),
            text: FirstOf::new(&fields.text),
            created_at: FirstOf::new(&fields.created_at),
            lang: FirstOf::new(&fields.lang),
            author: FirstOf::new(&fields.author),
            platform: FirstOf::new(&fields.platform),
            fixed_platform: Some(input.platform.clone()).filter(|platform| !platform.is_empty()),
            select: Selection::new(&input.select),
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
        let record = serde_json::from_str(text).map_err(|error| self.bad_json(&error, false))?;
        let Some(mut json) = self.selected(record)? else {
            return Ok(Decoded::NotSelected);
        };
        let extra: Map<String, Value> = self
            .extra
            .iter()
            .filter_map(|(name, pointer)| Some((name.clone(), pointer.find(&json)?.clone())))
            .collect();
        let id = self.id(&json);
        let lang = self.lang.find(&json).and_then(language);
        let created_at = self.created_at.find(&json).filter(|v| v.is_string() || v.is_number()).cloned();
        let author = self.author.find(&json).and_then(scalar);
        let platform = self.platform.find(&json).and_then(scalar).or_else(|| self.fixed_platform.clone());
        let text = match self.text.take(&mut json) {
            Some((_, Value::String(text))) => text,
            Some((pointer, other)) => {
                let message =
                    format!("the value at \"{}\" is {}, where a string was expected", pointer.text(), kind(&other));
                return Err(BadInput { class: "text_not_string", message });
            }
            None => {
                let places: Vec<_> = self.text.0.iter().map(|pointer| format!("\"{}\"", pointer.text())).collect();
                return Err(BadInput {
                    class: "no_text",
                    message: format!("there is no text at {}", places.join(" or ")),
                });
            }
        };
        let text = read_text(self.format, text);
        Ok(Decoded::Post(Post { id, text, created_at, lang, author, platform, extra }))
    }

    /// What can be said of a record without reading it as a post: its id and time of writing, where it is JSON
    /// and has them.
    #[must_use]
    pub fn peek(&self, value: &[u8]) -> (Option<String>, Option<Value>) {
        let Ok(mut json) = serde_json::from_slice::<Value>(value) else { return (None, None) };
        if let Some(inner) = self.post.take(&mut json) {
            match inner {
                Value::Null => {}
                Value::String(text) => match serde_json::from_str(&text) {
                    Ok(post) => json = post,
                    Err(_) => return (None, None),
                },
                post => json = post,
            }
        }
        let created_at = self.created_at.find(&json).filter(|v| v.is_string() || v.is_number()).cloned();
        (self.id(&json), created_at)
    }

    /// The post of a record that is wanted.
    fn selected(&self, mut record: Value) -> Result<Option<Value>, BadInput> {
        match self.post.find(&record) {
            None | Some(Value::Null) => Ok(self.select.wants(&record, &Value::Null).then_some(record)),
            Some(Value::String(text)) => {
                if self.select.refuses(&record) {
                    return Ok(None);
                }
                let post = serde_json::from_str(text).map_err(|error| self.bad_json(&error, true))?;
                Ok(self.select.wants(&record, &post).then_some(post))
            }
            Some(post) => {
                let wanted = self.select.wants(&record, post);
                Ok(if wanted { self.post.take(&mut record) } else { None })
            }
        }
    }

    fn id(&self, json: &Value) -> Option<String> {
        let parts: Option<Vec<String>> = self.id.iter().map(|pointer| pointer.find(json).and_then(scalar)).collect();
        parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
    }

    /// `serde_json` tells its syntax errors apart by their text alone; none of them quotes the input.
    fn bad_json(&self, error: &serde_json::Error, inner: bool) -> BadInput {
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
        let what = if inner { format!("the text at \"{}\"", self.post.text()) } else { "the value".to_owned() };
        BadInput { class, message: format!("{what} is not a JSON document: {message}") }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn mapping() -> Mapping {
        configured(&[])
    }

    /// The mapping of the defaults with these changes.
    fn configured(settings: &[(&str, &str)]) -> Mapping {
        let flags: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Mapping::new(&Config::load(None, std::iter::empty(), &flags).expect("a configuration").input)
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
        let mapping = configured(&[("input.fields.id", "/did,/commit/rkey")]);
        let id = |json: &str| match mapping.decode(Some(json.as_bytes())) {
            Ok(Decoded::Post(post)) => post.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"did":"d","commit":{"rkey":"k"},"text":""}"#).as_deref(), Some("d/k"));
        assert_eq!(id(r#"{"did":"d","text":""}"#), None);
    }

    #[test]
    fn select_keeps_only_what_equals_and_extra_is_carried() {
        let input = configured(&[
            ("input.select./kind", "commit"),
            ("input.select./live", "true"),
            ("input.extra.likes", "/n"),
        ]);
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
    fn an_empty_pointer_means_that_the_field_is_absent() {
        let mapping = configured(&[("input.fields.id", ""), ("input.fields.lang", "")]);
        let json = br#"{"id":"i","text":"t","lang":"en","platform":"x"}"#;
        let Ok(Decoded::Post(post)) = mapping.decode(Some(json)) else { panic!() };
        assert_eq!((post.id, post.lang, post.platform.as_deref()), (None, None, Some("x")));
    }

    #[test]
    fn the_first_place_with_a_value_counts() {
        let mapping =
            configured(&[("input.fields.text", "/long/text,/text"), ("input.fields.lang", "/lang,/language")]);
        let decode = |json: &str| mapping.decode(Some(json.as_bytes()));
        let text = |json: &str| match decode(json) {
            Ok(Decoded::Post(post)) => (post.text, post.lang),
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(text(r#"{"long":{"text":"whole"},"text":"who","lang":"en"}"#), ("whole".into(), Some("en".into())));
        assert_eq!(text(r#"{"long":{"text":null},"text":"t","lang":null,"language":"de"}"#).1, Some("de".into()));
        assert_eq!(text(r#"{"text":""}"#).0, "");
        let bad = |json: &str| decode(json).expect_err("bad").message;
        assert_eq!(bad("{}"), r#"there is no text at "/long/text" or "/text""#);
        assert_eq!(
            bad(r#"{"long":{"text":7},"text":"t"}"#),
            r#"the value at "/long/text" is a number, where a string was expected"#
        );
    }

    #[test]
    fn posts_that_name_no_platform_get_the_fixed_one() {
        let mapping = configured(&[("input.platform", "here")]);
        let platform = |json: &str| match mapping.decode(Some(json.as_bytes())) {
            Ok(Decoded::Post(post)) => post.platform,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(platform(r#"{"text":"t"}"#).as_deref(), Some("here"));
        assert_eq!(platform(r#"{"text":"t","platform":"there"}"#).as_deref(), Some("there"));
    }

    #[test]
    fn the_post_is_found_inside_the_record_as_an_object_as_written_json_or_not_at_all() {
        let mapping = configured(&[("input.post", "/payload"), ("input.extra.n", "/n")]);
        let records = [
            r#"{"id":"outer","n":1,"payload":{"id":7,"text":"t","n":2,"created_at":5}}"#,
            r#"{"id":"outer","n":1,"payload":"{\"id\":7,\"text\":\"t\",\"n\":2,\"created_at\":5}"}"#,
            r#"{"id":7,"text":"t","n":2,"created_at":5}"#,
            r#"{"id":7,"text":"t","n":2,"created_at":5,"payload":null}"#,
        ];
        for record in records {
            let Ok(Decoded::Post(post)) = mapping.decode(Some(record.as_bytes())) else { panic!("{record}") };
            assert_eq!((post.id.as_deref(), post.text.as_str()), (Some("7"), "t"), "{record}");
            assert_eq!(post.extra["n"], 2, "{record}");
            assert_eq!(mapping.peek(record.as_bytes()), (Some("7".into()), Some(5.into())), "{record}");
        }
        let bad = |record: &str| mapping.decode(Some(record.as_bytes())).expect_err("bad");
        for (record, class) in [
            (r#"{"payload":"110"}"#, "no_text"),
            (r#"{"payload":110}"#, "no_text"),
            (r#"{"payload":"half {"}"#, "not_json"),
            (r#"{"payload":""}"#, "not_json"),
            (r#"{"payload":"{\"text\":\"\\ud83d\"}"}"#, "lone_surrogate"),
            (r#"{"payload":"{\"text\":\"\u0000\"}"}"#, "raw_control_character"),
        ] {
            assert_eq!(bad(record).class, class, "{record}");
        }
        let message = bad(r#"{"payload":"half {"}"#).message;
        assert!(message.starts_with(r#"the text at "/payload" is not a JSON document: "#), "{message}");
        assert!(!message.contains("half"), "{message}");
        assert_eq!(mapping.peek(br#"{"id":1,"payload":"half {"}"#), (None, None));
    }

    #[test]
    fn what_is_written_into_a_record_that_is_not_wanted_is_not_even_parsed() {
        let mapping = configured(&[("input.post", "/payload"), ("input.select./event", "update")]);
        let not_json =
            |event: &str| mapping.decode(Some(format!(r#"{{"event":"{event}","payload":"{{"}}"#).as_bytes()));
        assert_eq!(not_json("delete"), Ok(Decoded::NotSelected));
        assert_eq!(not_json("update").expect_err("not JSON").class, "not_json");
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
