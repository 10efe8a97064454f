//! JSON pointers (RFC 6901), unescaped once instead of at every record.

use serde_json::Value;

/// A compiled pointer; the empty one points at nothing.
#[derive(Debug, Clone)]
pub(super) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Compiles a validated pointer: empty, or beginning with `/`.
    pub(super) fn new(text: &str) -> Self {
        let tokens = text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
        Self { text: text.to_owned(), tokens: tokens.collect() }
    }

    /// The pointer as configured.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it points at nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The value it points at.
    pub(super) fn find<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        if self.tokens.is_empty() {
            return None;
        }
        self.tokens.iter().try_fold(json, |json, token| match json {
            Value::Object(members) => members.get(token),
            Value::Array(items) => items.get(index(token)?),
            _ => None,
        })
    }

    /// Takes out the value it points at, leaving null.
    pub(super) fn take(&self, json: &mut Value) -> Option<Value> {
        if self.tokens.is_empty() {
            return None;
        }
        let found = self.tokens.iter().try_fold(json, |json, token| match json {
            Value::Object(members) => members.get_mut(token),
            Value::Array(items) => items.get_mut(index(token)?),
            _ => None,
        });
        found.map(Value::take)
    }
}

/// An array index has no sign and no leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_empty_pointer_points_at_nothing() {
        assert_eq!(Pointer::new("").find(&json!({"a": 1})), None);
        assert_eq!(Pointer::new("").take(&mut json!(1)), None);
    }

    #[test]
    fn takes_what_it_finds() {
        let mut json = json!({"a": [{"b/c": "t"}]});
        assert_eq!(Pointer::new("/a/0/b~1c").take(&mut json), Some(json!("t")));
        assert_eq!(json, json!({"a": [{"b/c": null}]}));
    }

    proptest! {
        #[test]
        fn finds_what_serde_json_finds(text in "(/(a|b~0|~1c|0|1|01|-|)){1,4}") {
            let json = json!({"/c": 8, "a": [1, {"b~": {"/c": 2}}], "": {"a": 3}, "b~": ["x", {"a": [4, 5]}], "01": 6, "0": 7});
            prop_assert_eq!(Pointer::new(&text).find(&json), json.pointer(&text));
        }
    }
}
