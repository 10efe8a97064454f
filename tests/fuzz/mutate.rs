//! Mutations of JSON documents that keep most of their structure, so that they get far before they fail.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// A change of a document, at some node of it.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Another value.
    Replace(Index, Value),
    /// A copy of another node.
    Copy(Index, Index),
    /// The node's own JSON, as a string.
    Write(Index),
    /// The node inside so many lists.
    Wrap(Index, u8),
    /// Another name for one of its members.
    Rename(Index, Index, String),
    /// One of its members or items less.
    Remove(Index, Index),
    /// Characters inside, where it is a string.
    Insert(Index, Index, String),
}

/// A change of the bytes.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Cut(Index),
}

/// A document made of one of the examples.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    pub(crate) example: Index,
    edits: Vec<Edit>,
    damage: Vec<Damage>,
}

impl Mutant {
    pub(crate) fn json(&self, examples: &[Value]) -> Value {
        let mut json = self.example.get(examples).clone();
        for edit in &self.edits {
            edit.apply(&mut json);
        }
        json
    }

    pub(crate) fn bytes(&self, examples: &[Value]) -> Vec<u8> {
        let mut bytes = self.json(examples).to_string().into_bytes();
        for damage in &self.damage {
            damage.apply(&mut bytes);
        }
        bytes
    }
}

/// Mutants of as many examples as there are; one in three has damaged bytes, too.
pub(crate) fn mutants() -> impl Strategy<Value = Mutant> {
    let damage = prop_oneof![2 => Just(Vec::new()), 1 => vec(damage(), 1..4)];
    (any::<Index>(), vec(edit(), 0..6), damage).prop_map(|(example, edits, damage)| Mutant { example, edits, damage })
}

/// Strings that have broken parsers, and any others.
pub(crate) fn strings() -> impl Strategy<Value = String> {
    const ODD: [&str; 44] = [
        "",
        " ",
        "\0",
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "update",
        "create",
        "commit",
        "/",
        "/id",
        "~",
        "~2",
        "/~1~0",
        "{",
        "{}",
        "[]",
        "\"",
        "{\"text\":\"kingfisher\"}",
        "{\"content\":\"kingfisher\"}",
        "<p>",
        "</p>",
        "<br",
        "<!--",
        "<![CDATA[",
        "<script>",
        "</",
        "<pre>\n  ",
        "&",
        "&amp;",
        "&amp",
        "&#0;",
        "&#x110000;",
        "&#xd800;",
        "&lt;",
        "\u{feff}",
        "\u{202e}",
        "\u{200d}",
        "e\u{301}\u{301}",
        "👩‍👩‍👧‍👦",
        "\u{10ffff}",
        "ß\u{1e9e}ﷺ",
    ];
    let long = (select(&ODD[..]), 1_usize..3_000).prop_map(|(odd, times)| odd.repeat(times));
    let words = vec(select(&ODD[..]), 0..6).prop_map(|odd| odd.concat());
    prop_oneof![4 => select(&ODD[..]).prop_map(str::to_owned), 4 => words, 3 => any::<String>(), 1 => long]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => strings().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => (0_i64..200).prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => vec(strings().prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let node = any::<Index>;
    prop_oneof![
        4 => (node(), value()).prop_map(|(at, value)| Edit::Replace(at, value)),
        2 => (node(), node()).prop_map(|(at, from)| Edit::Copy(at, from)),
        1 => node().prop_map(Edit::Write),
        1 => (node(), any::<u8>()).prop_map(|(at, lists)| Edit::Wrap(at, lists)),
        2 => (node(), node(), strings()).prop_map(|(at, member, name)| Edit::Rename(at, member, name)),
        2 => (node(), node()).prop_map(|(at, member)| Edit::Remove(at, member)),
        3 => (node(), node(), strings()).prop_map(|(at, place, text)| Edit::Insert(at, place, text)),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    const PIECES: [&[u8]; 12] =
        [b"\\ud83d", b"\\u0000", b"\\", b"\"", b"\xff", b"\xf0\x9f", b"\0", b"\n", b"{", b"[", b",", b"1e"];
    let pieces =
        prop_oneof![select(&PIECES[..]).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..8), Just(vec![b'['; 200]),];
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), pieces).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (at(), any::<u8>()).prop_map(|(at, count)| Damage::Remove(at, count)),
        at().prop_map(Damage::Cut),
    ]
}

impl Edit {
    fn apply(&self, json: &mut Value) {
        match self {
            Self::Replace(at, value) => *node(json, *at) = value.clone(),
            Self::Copy(at, from) => *node(json, *at) = node(json, *from).clone(),
            Self::Write(at) => {
                let node = node(json, *at);
                *node = node.to_string().into();
            }
            Self::Wrap(at, lists) => {
                let node = node(json, *at);
                *node = (0..*lists).fold(node.take(), |inner, _| Value::Array(vec![inner]));
            }
            Self::Rename(at, member, name) => {
                if let Value::Object(members) = node(json, *at)
                    && let Some(value) = without(members, *member)
                {
                    members.insert(name.clone(), value);
                }
            }
            Self::Remove(at, member) => match node(json, *at) {
                Value::Object(members) => drop(without(members, *member)),
                Value::Array(items) if !items.is_empty() => drop(items.remove(member.index(items.len()))),
                _ => {}
            },
            Self::Insert(at, place, inserted) => {
                if let Value::String(text) = node(json, *at) {
                    text.insert_str(text.floor_char_boundary(place.index(text.len() + 1)), inserted);
                }
            }
        }
    }
}

/// One of all nodes of the document, the document itself among them.
fn node(json: &mut Value, at: Index) -> &mut Value {
    fn count(json: &Value) -> usize {
        1 + match json {
            Value::Object(members) => members.values().map(count).sum(),
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0,
        }
    }
    fn nth(json: &mut Value, mut left: usize) -> &mut Value {
        if left == 0 || !(json.is_object() || json.is_array()) {
            return json;
        }
        left -= 1;
        let children: Box<dyn Iterator<Item = &mut Value>> = match json {
            Value::Object(members) => Box::new(members.values_mut()),
            Value::Array(items) => Box::new(items.iter_mut()),
            _ => unreachable!("a leaf was returned above"),
        };
        for child in children {
            let inside = count(child);
            if left < inside {
                return nth(child, left);
            }
            left -= inside;
        }
        unreachable!("the number of a node is below their count")
    }
    let chosen = at.index(count(json));
    nth(json, chosen)
}

fn without(members: &mut Map<String, Value>, member: Index) -> Option<Value> {
    let name = (!members.is_empty()).then(|| members.keys().nth(member.index(members.len())).cloned())??;
    members.remove(&name)
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Set(..) => {}
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len() + 1);
                bytes.drain(at..bytes.len().min(at + usize::from(*count)));
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        }
    }
}
