//! Which records are posts at all: `input.select`, compiled.
//!
//! Most events of a mixed topic are no posts, so a condition looks at the record alone where it can: what
//! is written into a string is not parsed for an event that nobody wants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::pointer::Pointer;
use crate::config::{Condition, Not};

/// All conditions that a post meets.
#[derive(Debug, Clone)]
pub(super) struct Selection(Vec<Clause>);

#[derive(Debug, Clone)]
struct Clause {
    pointer: Pointer,
    values: Vec<String>,
    /// Whether the value must be one of `values` or none of them.
    among: bool,
}

impl Selection {
    /// Compiles validated conditions.
    pub(super) fn new(conditions: &BTreeMap<String, Condition>) -> Self {
        let clause = |(pointer, condition): (&String, &Condition)| {
            let (values, among) = match condition {
                Condition::Is(values) => (values, true),
                Condition::IsNot(Not { not }) => (not, false),
            };
            Clause { pointer: Pointer::new(pointer), values: values.as_slice().to_vec(), among }
        };
        Self(conditions.iter().map(clause).collect())
    }

    /// Whether the record alone shows that it holds no post: a value that is there does not meet its condition.
    pub(super) fn refuses(&self, record: &Value) -> bool {
        self.0.iter().any(|clause| clause.pointer.find(record).is_some_and(|value| !clause.meets(Some(value))))
    }

    /// Whether every condition is met. What is not in the record is looked up in the post inside it.
    pub(super) fn wants(&self, record: &Value, post: &Value) -> bool {
        self.0.iter().all(|clause| clause.meets(clause.pointer.find(record).or_else(|| clause.pointer.find(post))))
    }
}

impl Clause {
    fn meets(&self, found: Option<&Value>) -> bool {
        let text: Option<Cow<'_, str>> = match found {
            None | Some(Value::Null) => Some("null".into()),
            Some(Value::String(text)) => Some(text.into()),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string().into()),
            // No text equals a table or a list.
            Some(Value::Array(_) | Value::Object(_)) => None,
        };
        text.is_some_and(|text| self.values.iter().any(|value| *value == text)) == self.among
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::OneOrMore;

    fn selection(conditions: &[(&str, Condition)]) -> Selection {
        Selection::new(
            &conditions.iter().map(|(pointer, condition)| ((*pointer).to_owned(), condition.clone())).collect(),
        )
    }

    fn is(values: &[&str]) -> Condition {
        Condition::Is(OneOrMore::More(values.iter().map(|value| (*value).to_owned()).collect()))
    }

    fn is_not(values: &[&str]) -> Condition {
        Condition::IsNot(Not { not: OneOrMore::More(values.iter().map(|value| (*value).to_owned()).collect()) })
    }

    #[test]
    fn a_value_is_compared_as_it_is_written_and_a_missing_one_is_null() {
        let (absent, null, text, number, flag, list) =
            (json!({}), json!({"a": null}), json!({"a": "x"}), json!({"a": 1.5}), json!({"a": true}), json!({"a": []}));
        let meets = |condition: Condition| {
            let selection = selection(&[("/a", condition)]);
            [&absent, &null, &text, &number, &flag, &list].map(|json| selection.wants(json, json))
        };
        assert_eq!(meets(is(&["x"])), [false, false, true, false, false, false]);
        assert_eq!(meets(is(&["1.5", "true"])), [false, false, false, true, true, false]);
        assert_eq!(meets(is(&["null"])), [true, true, false, false, false, false]);
        assert_eq!(meets(is_not(&["null"])), [false, false, true, true, true, true]);
        assert_eq!(meets(is_not(&["x", "true"])), [true, true, false, true, false, true]);
        assert_eq!(meets(is_not(&[])), [true; 6]);
    }

    #[test]
    fn the_record_decides_before_the_post_inside_it() {
        let selection = selection(&[("/event", is(&["update"])), ("/reblog", is(&["null"]))]);
        let (update, delete) = (json!({"event": "update"}), json!({"event": "delete"}));
        assert!(selection.refuses(&delete));
        assert!(!selection.refuses(&update), "the post is not known yet");
        assert!(selection.wants(&update, &json!({"event": "delete", "reblog": null})));
        assert!(!selection.wants(&update, &json!({"reblog": {}})));
        assert!(!selection.refuses(&json!({})), "the event may be in the post");
        assert!(selection.wants(&json!({}), &update));
    }
}
