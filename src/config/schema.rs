//! The JSON schema of the configuration file, generated from the types, with every default.
//!
//! It is the one source of the known keys: the loader walks it, `moodstream schema config` prints
//! it, and `schemas/config.schema.json` is a copy for editors that a test keeps equal.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{Config, layers};

/// The schema of the configuration file.
#[must_use]
pub fn config() -> Value {
    let mut schema = types();
    if let Some(table) = schema.as_object_mut() {
        table.insert("title".into(), "moodstream configuration".into());
    }
    allow_partial(&mut schema);
    let defaults = layers::defaults();
    insert_defaults(&mut schema, &defaults);
    schema
}

/// The schema as the committed file holds it.
#[must_use]
pub fn config_text() -> String {
    format!("{:#}\n", config())
}

/// The schema of the types themselves, references written out.
pub(super) fn types() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

/// Every key has a default, so a file needs none.
fn allow_partial(schema: &mut Value) {
    match schema {
        Value::Object(table) => {
            if table.contains_key("properties") {
                table.remove("required");
            }
            table.values_mut().for_each(allow_partial);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_partial),
        _ => {}
    }
}

fn insert_defaults(schema: &mut Value, defaults: &Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        if let Some(table) = schema.as_object_mut() {
            table.insert("default".into(), defaults.clone());
        }
        return;
    };
    let empty = Map::new();
    let defaults = defaults.as_object().unwrap_or(&empty);
    for (key, schema) in properties {
        if let Some(default) = defaults.get(key) {
            insert_defaults(schema, default);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/config.schema.json", &config_text());
    }

    #[test]
    fn every_key_has_a_description_and_a_default_and_none_is_required() {
        fn walk(key: &str, schema: &Value) {
            assert!(schema.get("description").is_some(), "{key} has no description");
            assert!(schema.get("required").is_none(), "{key} requires keys");
            match schema.get("properties").and_then(Value::as_object) {
                Some(properties) => properties.iter().for_each(|(name, schema)| walk(&format!("{key}.{name}"), schema)),
                None => assert!(schema.get("default").is_some(), "{key} has no default"),
            }
        }
        walk("", &config());
    }
}
