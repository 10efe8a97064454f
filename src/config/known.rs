//! The keys that exist and the values they take, read off the schema of the types.
//!
//! Finds keys, names the nearest one for a mistyped key, turns text from the environment or the
//! command line into the type that a key wants, and says what would have been right.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::schema;

/// A place in the configuration.
#[derive(Debug)]
pub(super) enum Known {
    /// A table with fixed keys.
    Section(BTreeMap<String, Known>),
    /// A table with free keys, such as `input.extra`; further dots belong to the key.
    Free(Kind),
    /// A key with a value.
    Key(Kind),
}

/// What values a key takes.
#[derive(Debug)]
pub(super) struct Kind(Value);

/// The whole configuration.
pub(super) static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::read(&schema::types()));

/// Where a dotted key leads.
pub(super) enum Found<'a> {
    /// To a value: its path and what it takes.
    Value(Vec<String>, &'a Kind),
    /// To a table, which has no value of its own.
    Table,
    /// Nowhere.
    Nothing,
}

impl Known {
    fn read(schema: &Value) -> Self {
        if let Some(keys) = schema.get("properties").and_then(Value::as_object) {
            Self::Section(keys.iter().map(|(key, schema)| (key.clone(), Self::read(schema))).collect())
        } else if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            Self::Free(Kind(values.clone()))
        } else {
            Self::Key(Kind(schema.clone()))
        }
    }

    /// Follows a dotted key.
    pub(super) fn find(&self, key: &str) -> Found<'_> {
        let mut place = self;
        let mut path = Vec::new();
        let mut rest = Some(key);
        while let Some(tail) = rest {
            match place {
                Self::Section(keys) => {
                    let (head, tail) = tail.split_once('.').map_or((tail, None), |(head, tail)| (head, Some(tail)));
                    let Some(next) = keys.get(head) else {
                        return Found::Nothing;
                    };
                    path.push(head.to_owned());
                    (place, rest) = (next, tail);
                }
                Self::Free(kind) => {
                    path.push(tail.to_owned());
                    return Found::Value(path, kind);
                }
                Self::Key(_) => return Found::Nothing,
            }
        }
        match place {
            Self::Key(kind) => Found::Value(path, kind),
            Self::Section(_) | Self::Free(_) => Found::Table,
        }
    }

    /// Every dotted key: of values, of tables with free keys, and of sections.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        self.collect("", &mut keys);
        keys
    }

    fn collect(&self, prefix: &str, keys: &mut Vec<String>) {
        if let Self::Section(children) = self {
            for (key, child) in children {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                child.collect(&key, keys);
                keys.push(key);
            }
        }
    }

    /// The key most like this one, if any is.
    pub(super) fn nearest(&self, key: &str) -> Option<String> {
        let parts = |key: &str| {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            (section.to_owned(), name.to_owned())
        };
        let (section, name) = parts(key);
        let likeness = |candidate: &str| {
            let (its_section, its_name) = parts(candidate);
            let whole = strsim::normalized_damerau_levenshtein(key, candidate);
            // The right name in the wrong section comes next, at home before elsewhere.
            let home = if section == its_section { 0.05 } else { 0.0 };
            let alone = strsim::normalized_damerau_levenshtein(&name, &its_name) * 0.9;
            whole.max(alone) + home
        };
        self.keys()
            .into_iter()
            .map(|candidate| (likeness(&candidate), candidate))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, candidate)| candidate)
    }
}

impl Kind {
    /// Gives text the type that the key wants; text that does not fit stays text.
    pub(super) fn of_text(&self, text: &str) -> Value {
        let number = |parsed: Option<serde_json::Number>| parsed.map_or_else(|| text.into(), Value::Number);
        if self.takes("array") && (text.contains(',') || !self.takes("string")) {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            return items.collect::<Vec<_>>().into();
        }
        if self.takes("string") {
            return text.into();
        }
        if self.takes("boolean") {
            return text.parse::<bool>().map_or_else(|_| text.into(), Value::Bool);
        }
        if self.takes("integer") {
            return number(text.parse::<i64>().ok().map(Into::into));
        }
        if self.takes("number") {
            return number(text.parse().ok().and_then(serde_json::Number::from_f64));
        }
        text.into()
    }

    /// What would be right, to follow "must be".
    pub(super) fn expected(&self) -> String {
        let choices = self.choices();
        if !choices.is_empty() {
            return choices.join(" or ");
        }
        let field = |name: &str| self.0.get(name);
        if let (Some(title), Some(examples)) =
            (field("title").and_then(Value::as_str), field("examples").and_then(Value::as_array))
        {
            let examples = examples.iter().map(Value::to_string).collect::<Vec<_>>();
            return format!("{title} such as {}", examples.join(" or "));
        }
        let words = [
            ("string", "text"),
            ("integer", "a whole number"),
            ("number", "a number"),
            ("boolean", "true or false"),
            ("array", "a list of texts"),
        ];
        let taken = words.iter().filter(|(kind, _)| self.takes(kind)).map(|(_, words)| *words);
        let mut expected = taken.collect::<Vec<_>>().join(" or ");
        if let Some(minimum) = field("minimum") {
            expected = format!("{expected}, at least {minimum}");
        }
        expected
    }

    /// The values of an enumeration.
    fn choices(&self) -> Vec<&str> {
        let list = |name: &str| self.0.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let plain = list("enum").iter().filter_map(Value::as_str);
        let described = list("oneOf").iter().flat_map(|choice| {
            let constant = choice.get("const").and_then(Value::as_str);
            let listed = choice.get("enum").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            constant.into_iter().chain(listed.iter().filter_map(Value::as_str))
        });
        plain.chain(described).collect()
    }

    fn takes(&self, kind: &str) -> bool {
        fn takes(schema: &Value, kind: &str) -> bool {
            let of = |name: &str| schema.get(name).and_then(Value::as_array);
            match schema.get("type") {
                Some(Value::String(own)) => own == kind,
                Some(Value::Array(own)) => own.iter().any(|own| own == kind),
                _ => ["anyOf", "oneOf"].into_iter().filter_map(of).flatten().any(|schema| takes(schema, kind)),
            }
        }
        takes(&self.0, kind)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(key: &str) -> &'static Kind {
        match KNOWN.find(key) {
            Found::Value(_, kind) => kind,
            _ => panic!("{key} has no value"),
        }
    }

    #[test]
    fn the_nearest_key_is_named() {
        let cases = [
            ("kafka.broker", "kafka.brokers"),
            ("kafka.brokres", "kafka.brokers"),
            ("kafka.topics", "input.topics"),
            ("brokers", "kafka.brokers"),
            ("worker.lane", "worker.lanes"),
            ("input.field.text", "input.fields.text"),
            ("output.topics", "output.topic"),
            ("kafak", "kafka"),
            ("deadletter", "dead_letter"),
            ("kafka.session_timeout_ms", "kafka.session_timeout"),
        ];
        for (wrong, right) in cases {
            assert_eq!(KNOWN.nearest(wrong).as_deref(), Some(right), "{wrong}");
        }
        assert_eq!(KNOWN.nearest("zzzzzzzz"), None);
    }

    #[test]
    fn dots_behind_a_free_table_belong_to_the_key() {
        let Found::Value(path, _) = KNOWN.find("kafka.properties.sasl.password") else { panic!("not found") };
        assert_eq!(path, ["kafka", "properties", "sasl.password"]);
        assert!(matches!(KNOWN.find("kafka"), Found::Table));
        assert!(matches!(KNOWN.find("kafka.properties"), Found::Table));
        assert!(matches!(KNOWN.find("kafka.brokers.x"), Found::Nothing));
        assert!(matches!(KNOWN.find(""), Found::Nothing));
    }

    #[test]
    fn text_takes_the_type_of_its_key() {
        assert_eq!(kind("input.topics").of_text("a, b,"), json!(["a", "b"]));
        assert_eq!(kind("input.fields.id").of_text("/a"), json!("/a"));
        assert_eq!(kind("input.fields.id").of_text("/a,/b"), json!(["/a", "/b"]));
        assert_eq!(kind("worker.lanes").of_text("3"), json!(3));
        assert_eq!(kind("worker.lanes").of_text("many"), json!("many"));
        assert_eq!(kind("worker.leave_group").of_text("true"), json!(true));
        assert_eq!(kind("breaker.threshold").of_text("0.25"), json!(0.25));
        assert_eq!(kind("batch.max_bytes").of_text("8MiB"), json!("8MiB"));
        assert_eq!(kind("worker.instance").of_text("7"), json!("7"));
    }

    #[test]
    fn what_would_be_right_is_said_in_words() {
        assert_eq!(kind("kafka.delivery").expected(), "exactly_once or at_least_once");
        assert_eq!(kind("worker.lanes").expected(), "a whole number, at least 1");
        assert_eq!(kind("worker.leave_group").expected(), "true or false");
        assert_eq!(kind("batch.linger").expected(), "a length of time such as \"30s\" or \"5ms\"");
        assert_eq!(kind("batch.max_bytes").expected(), "a number of bytes such as \"16KiB\" or 16384");
        assert_eq!(kind("input.fields.id").expected(), "text or a list of texts");
        assert_eq!(kind("input.topics").expected(), "a list of texts");
        assert_eq!(kind("breaker.threshold").expected(), "a number");
    }
}
