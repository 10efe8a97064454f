//! Reads the JSON of output records in one pass: strings are borrowed, and numbers and objects can be taken as they
//! are written, which a tree of values cannot give back.
//!
//! It accepts what `serde_json` accepts, down to a depth of its own; a test holds the two against each other.

use std::borrow::Cow;
use std::str::FromStr;

/// Deepest nesting of a value: above what a post may have, and what an output record adds to it.
const MAX_DEPTH: usize = 256;

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Where and why reading stopped. Never holds any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whether it is JSON, if not what was expected.
    pub(super) json: bool,
    /// What would be right.
    pub(super) expected: &'static str,
    /// Bytes before it.
    pub(super) at: usize,
}

pub(super) type Read<T> = Result<T, Fault>;

/// A position in a text.
pub(super) struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Read<Self> {
        let not_utf8 = |error: std::str::Utf8Error| Fault { json: false, expected: "UTF-8", at: error.valid_up_to() };
        Ok(Self { text: std::str::from_utf8(bytes).map_err(not_utf8)?, at: 0 })
    }

    /// A fault of what is read, at this place.
    pub(super) fn wrong<T>(&self, expected: &'static str) -> Read<T> {
        Err(Fault { json: true, expected, at: self.at })
    }

    fn broken<T>(&self, expected: &'static str) -> Read<T> {
        Err(Fault { json: false, expected, at: self.at })
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let skipped = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += skipped;
        rest.get(skipped).copied()
    }

    /// Takes this byte if it is the next one.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Nothing may follow.
    pub(super) fn end(mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.broken("the end"),
        }
    }

    /// An object, key by key; `entry` has to read the value.
    pub(super) fn object(&mut self, mut entry: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        self.entries(|json, key| entry(json, &key))
    }

    /// An object, key by key, for whoever keeps the keys; `entry` has to read the value.
    pub(super) fn entries(&mut self, mut entry: impl FnMut(&mut Self, Cow<'a, str>) -> Read<()>) -> Read<()> {
        if !self.take(b'{') {
            return self.other("an object");
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.broken("a key");
            }
            let key = self.string()?;
            if !self.take(b':') {
                return self.broken(":");
            }
            entry(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.broken(", or }"),
            }
        }
    }

    /// An array, item by item; `item` has to read it.
    pub(super) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        if !self.take(b'[') {
            return self.other("an array");
        }
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.broken(", or ]"),
            }
        }
    }

    /// A value, or nothing where there is null.
    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.peek() == Some(b'n') { self.word("null").map(|()| None) } else { read(self).map(Some) }
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => self.other("true or false"),
        }
    }

    /// A number that this type holds.
    pub(super) fn number<T: FromStr>(&mut self, expected: &'static str) -> Read<T> {
        let number = self.digits(expected)?;
        number.parse().or_else(|_| self.wrong(expected))
    }

    /// A number as it is written.
    pub(super) fn digits(&mut self, expected: &'static str) -> Read<&'a str> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.other(expected);
        }
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + usize::from(bytes[start] == b'-');
        let run = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = run(at);
        let mut right = whole > 0 && (whole == 1 || bytes[at] != b'0');
        at += whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = run(at + 1);
            right &= fraction > 0;
            at += 1 + fraction;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = run(at + 1 + sign);
            right &= exponent > 0;
            at += 1 + sign + exponent;
        }
        if !right {
            return self.broken("a number");
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    pub(super) fn is_string(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// A string: borrowed, unless it holds escapes.
    pub(super) fn string(&mut self) -> Read<Cow<'a, str>> {
        if !self.take(b'"') {
            return self.other("a string");
        }
        let start = self.at;
        self.at += plain(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut decoded = self.text[start..self.at].to_owned();
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(decoded));
                }
                Some(b'\\') => {
                    self.at += 1;
                    decoded.push(self.escaped()?);
                }
                Some(_) => return self.broken("no raw control character"),
                None => return self.broken("the end of a string"),
            }
            let from = self.at;
            self.at += plain(&self.text.as_bytes()[from..]);
            decoded.push_str(&self.text[from..self.at]);
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Read<char> {
        let plain = match self.text.as_bytes().get(self.at) {
            Some(escape @ (b'"' | b'\\' | b'/')) => char::from(*escape),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point();
            }
            _ => return self.broken("an escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    fn code_point(&mut self) -> Read<char> {
        let first = self.four_digits()?;
        if let Some(plain) = char::from_u32(first) {
            return Ok(plain);
        }
        if first < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(pair).map_or_else(|| self.broken("a character"), Ok);
            }
        }
        self.broken("a pair of surrogates")
    }

    fn four_digits(&mut self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?));
        match value {
            Some(value) if !digits.is_empty() => {
                self.at += 4;
                Ok(value)
            }
            _ => self.broken("four hexadecimal digits"),
        }
    }

    /// Any value, as it is written.
    pub(super) fn raw(&mut self) -> Read<&'a str> {
        self.peek();
        let start = self.at;
        self.skip(0)?;
        Ok(&self.text[start..self.at])
    }

    /// An object as it is written; nothing when it is empty.
    pub(super) fn raw_object(&mut self) -> Read<Option<&'a str>> {
        self.peek();
        let (start, mut empty) = (self.at, true);
        self.entries(|json, _| {
            empty = false;
            json.skip(1)
        })?;
        Ok((!empty).then_some(&self.text[start..self.at]))
    }

    fn skip(&mut self, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return self.broken("less nesting");
        }
        match self.peek() {
            Some(b'{') => self.object(|json, _| json.skip(depth + 1)),
            Some(b'[') => self.array(|json| json.skip(depth + 1)),
            Some(b'"') => self.string().map(drop),
            Some(b'n') => self.word("null"),
            Some(b't' | b'f') => self.boolean().map(drop),
            _ => self.digits("a value").map(drop),
        }
    }

    fn word(&mut self, word: &'static str) -> Read<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            self.broken(word)
        }
    }

    /// Something else stands here; whether it is JSON at all is told by its first byte.
    fn other<T>(&mut self, expected: &'static str) -> Read<T> {
        match self.peek() {
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.wrong(expected),
            _ => self.broken(expected),
        }
    }
}

/// Bytes before the first quotation mark, backslash or control character, eight at a time.
fn plain(bytes: &[u8]) -> usize {
    // The lowest bit that such a difference sets is right; higher ones may be borrowed from it.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let mut words = bytes.chunks_exact(8);
    let mut before = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        let found =
            below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = found & (ONES << 7);
        if found != 0 {
            return before + (found.trailing_zeros() / 8) as usize;
        }
        before += 8;
    }
    before + words.remainder().iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    use super::*;

    /// The whole text as a tree, read by our means alone.
    fn tree(json: &mut Json<'_>) -> Read<Value> {
        match json.peek() {
            Some(b'{') => {
                let mut map = Map::new();
                json.object(|json, key| {
                    map.insert(key.to_owned(), tree(json)?);
                    Ok(())
                })?;
                Ok(Value::Object(map))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                json.array(|json| {
                    items.push(tree(json)?);
                    Ok(())
                })?;
                Ok(Value::Array(items))
            }
            Some(b'"') => json.string().map(|text| text.into_owned().into()),
            Some(b't' | b'f') => json.boolean().map(Value::Bool),
            Some(b'n') => json.optional(tree).map(Option::unwrap_or_default),
            _ => {
                let digits = json.digits("a value")?;
                digits.parse::<Number>().map(Value::Number).or_else(|_| json.wrong("a number in range"))
            }
        }
    }

    fn ours(bytes: &[u8]) -> Option<Value> {
        let mut json = Json::new(bytes).ok()?;
        let value = tree(&mut json).ok()?;
        json.end().ok()?;
        Some(value)
    }

    /// Where both accept it, both have the same tree, and skipping it takes the same bytes.
    #[track_caller]
    fn agree(bytes: &[u8]) {
        let theirs = serde_json::from_slice::<Value>(bytes).ok();
        assert_eq!(ours(bytes), theirs, "{:?}", String::from_utf8_lossy(bytes));
        if theirs.is_some() {
            let mut json = Json::new(bytes).expect("UTF-8");
            assert_eq!(json.raw().map(str::trim_end), Ok(String::from_utf8_lossy(bytes).trim()));
            assert_eq!(json.end(), Ok(()));
        }
    }

    #[test]
    fn what_serde_json_takes_is_taken_and_what_it_refuses_is_refused() {
        for text in [
            r#"{"a":[1,-2.5e+3,0.25E-7,0],"b":null,"c":true,"":false}"#,
            r#" [ "tab\there", "\u00e9\ud83d\ude00\/\b\f\n\r\"\\" , {} , [ ] ] "#,
            r#""12345678\u0000""#,
            "\"\u{7f}\u{80}é😀 eight bytes and more\"",
            "",
            " ",
            "{",
            "{}x",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "1e999",
            "nul",
            "True",
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            "\"a\nb\"",
            "\"1234567\u{1f}9\"",
            "\"open",
            "\"open\\",
            "\"open\\u00",
        ] {
            agree(text.as_bytes());
        }
        agree(b"\"\xff\"");
    }

    #[test]
    fn deep_nesting_ends_at_a_limit_of_its_own() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::new(nested(200).as_bytes()).expect("UTF-8").raw().is_ok());
        let fault = Json::new(nested(100_000).as_bytes()).expect("UTF-8").raw().expect_err("too deep");
        assert_eq!(fault, Fault { json: false, expected: "less nesting", at: MAX_DEPTH + 1 });
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let mut json = Json::new(b" 12345678901234567890.10e0 ").expect("UTF-8");
        assert_eq!(json.digits("a number"), Ok("12345678901234567890.10e0"));
        assert!(Json::new(b"3000000000").expect("UTF-8").number::<i32>("a count").is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            any::<f64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(Value::String),
            "[a-z\"\\\\\u{0}-\u{1f}é😀]{0,20}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_readers_agree_on_values_and_on_damaged_ones(
            value in value(),
            pretty in any::<bool>(),
            escaped in any::<bool>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            // As writers do that keep to ASCII: outside of strings there is nothing else.
            let escape = |c: char| match c {
                c if c.is_ascii() => c.to_string(),
                c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>().concat(),
            };
            let text = if escaped { text.chars().map(escape).collect::<Vec<_>>().concat() } else { text };
            let mut bytes = text.into_bytes();
            agree(&bytes);
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            agree(&bytes);
        }
    }
}
