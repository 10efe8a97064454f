//! The layers of the configuration and how they become one, with every problem reported.
//!
//! Each layer is reduced to its settings (a path, a value, where it was written); keys that do not
//! exist are problems there and then. The later setting of a path wins; the preset that the others
//! name goes below them. What is left is given its type key by key, so that one wrong value hides no
//! other.

use std::collections::BTreeMap;
use std::path::Path;

use config::{FileFormat, Format, ValueKind};
use serde::Deserialize;
use serde_json::Value;

use super::known::{Found, KNOWN, Known};
use super::{Config, ConfigErrors, Preset, Problem, properties, validate};

pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "MOODSTREAM__";

/// A value that was set, and where (nowhere: a default).
#[derive(Clone)]
struct Setting {
    value: Value,
    origin: Option<String>,
}

type Settings = BTreeMap<Vec<String>, Setting>;

/// The variables of this process's environment that are settings, whatever their encoding.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// The embedded defaults as a tree.
pub(super) fn defaults() -> Value {
    // A file that did not parse would fail every test; an empty tree then reports every key.
    parse(DEFAULTS).unwrap_or_default()
}

/// See [`Config::load`].
pub(super) fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Config, ConfigErrors> {
    let defaults = defaults();
    let mut layers = Layers::default();
    if let Some(path) = file {
        layers.file(path);
    }
    for (name, text) in environment {
        if let Some(key) = name.strip_prefix(PREFIX) {
            let key = key.to_lowercase().replace("__", ".");
            layers.text(&key, &text, &format!("environment variable {name}"), variable);
        }
    }
    for (key, text) in flags {
        layers.text(key, text, "command line", str::to_owned);
    }

    let Layers { settings, mut problems } = layers.upon_preset(&defaults);
    let config = typed(defaults, &settings, &mut problems).map(|mut config| {
        let mut more = config.kafka.properties.read_secret_files(properties::SECTION);
        more.extend(config.archive.properties.read_secret_files(properties::STORE_SECTION));
        more.extend(validate::check(&config));
        more.retain(|problem| problems.iter().all(|reported| reported.key != problem.key));
        problems.extend(more.into_iter().map(|problem| traced(problem, &settings)));
        config
    });
    problems.sort_by(|one, other| one.key.cmp(&other.key));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigErrors(problems)),
    }
}

/// The settings of the layers so far, and what was wrong with them.
#[derive(Default)]
struct Layers {
    settings: Settings,
    problems: Vec<Problem>,
}

impl Layers {
    /// These layers above the preset that they name, and that above the defaults.
    fn upon_preset(self, defaults: &Value) -> Self {
        let mut below = Self::default();
        below.tree(&KNOWN, defaults, &[], None);
        // One that does not exist is reported with the other values of the wrong kind.
        let named = self.settings.get(&["input".to_owned(), "preset".to_owned()][..]);
        if let Some(preset) = named.and_then(|named| Preset::deserialize(&named.value).ok()) {
            below.tree(&KNOWN, &parse(preset.toml()).unwrap_or_default(), &[], Some("the preset"));
        }
        below.settings.extend(self.settings);
        below.problems.extend(self.problems);
        below
    }

    fn file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let tree = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read this configuration file: {error}"))
            .and_then(|text| parse(&text));
        match tree {
            Ok(tree) => self.tree(&KNOWN, &tree, &[], Some(&origin)),
            Err(remedy) => self.problems.push(Problem::new("", remedy).at(Some(&origin))),
        }
    }

    /// Takes in a tree; `place` is where `path` leads.
    fn tree(&mut self, place: &Known, tree: &Value, path: &[String], origin: Option<&str>) {
        let Value::Object(table) = tree else {
            if let Known::Key(_) = place {
                self.set(path.to_vec(), tree.clone(), origin);
            } else {
                let key = path.join(".");
                let remedy = format!("is a table; write [{key}] and its keys below");
                self.problems.push(Problem::new(key, remedy).at(origin));
            }
            return;
        };
        match place {
            Known::Section(keys) => {
                for (key, value) in table {
                    let path = [path, std::slice::from_ref(key)].concat();
                    match keys.get(key) {
                        Some(place) => self.tree(place, value, &path, origin),
                        None => self.problems.push(unknown(&path.join("."), origin, str::to_owned)),
                    }
                }
            }
            Known::Free(_) if properties::may_be_secret(&path.join(".")) => {
                properties::flatten("", tree, &mut |key, value| {
                    if !key.is_empty() {
                        self.set([path, &[key]].concat(), value.clone(), origin);
                    }
                });
            }
            Known::Free(_) => {
                for (key, value) in table {
                    self.set([path, std::slice::from_ref(key)].concat(), value.clone(), origin);
                }
            }
            Known::Key(_) => self.set(path.to_vec(), tree.clone(), origin),
        }
    }

    /// Takes in one dotted key with a value that is text; `spelled` writes a key as this layer does.
    fn text(&mut self, key: &str, text: &str, origin: &str, spelled: fn(&str) -> String) {
        match KNOWN.find(key) {
            Found::Value(path, kind) => self.set(path, kind.of_text(text), Some(origin)),
            Found::Table => {
                let problem = Problem::new(key, "is a table; set its keys one by one");
                self.problems.push(problem.at(Some(origin)));
            }
            Found::Nothing => self.problems.push(unknown(key, Some(origin), spelled)),
        }
    }

    fn set(&mut self, path: Vec<String>, value: Value, origin: Option<&str>) {
        let origin = origin.map(str::to_owned);
        self.settings.insert(path, Setting { value, origin });
    }
}

/// Gives every setting its type. Those that have the wrong one are reported and left at the default,
/// so that the rest can be checked; nothing comes back only if the defaults themselves are wrong.
fn typed(defaults: Value, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut all = defaults.clone();
    for (path, setting) in settings {
        put(&mut all, path, setting.value.clone());
    }
    if let Ok(config) = Config::deserialize(&all) {
        return Some(config);
    }
    let mut good = defaults;
    for (path, setting) in settings {
        let mut tree = good.clone();
        put(&mut tree, path, setting.value.clone());
        if Config::deserialize(&tree).is_ok() {
            good = tree;
        } else {
            let key = path.join(".");
            let expected = match KNOWN.find(&key) {
                Found::Value(_, kind) => kind.expected(),
                Found::Table | Found::Nothing => "something else".into(),
            };
            problems.push(traced(Problem::new(key, format!("must be {expected}")), settings));
        }
    }
    Config::deserialize(&good).ok()
}

/// Adds the value and its origin to a problem, unless it has them or the value could be a secret.
fn traced(mut problem: Problem, settings: &Settings) -> Problem {
    let setting = settings.iter().find(|(path, _)| path.join(".") == problem.key);
    if let Some((_, setting)) = setting {
        if !properties::may_be_secret(&problem.key) {
            problem.value = Some(shown(&setting.value));
        }
        problem.origin.clone_from(&setting.origin);
    }
    problem
}

/// A value as a person would write it, kept to a readable length.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        Value::Object(_) => return "a table".into(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn unknown(key: &str, origin: Option<&str>, spelled: fn(&str) -> String) -> Problem {
    let remedy = match KNOWN.nearest(key) {
        Some(nearest) => format!("there is no such key; did you mean {}?", spelled(&nearest)),
        None => "there is no such key; config/default.toml lists them all".into(),
    };
    Problem::new(key, remedy).at(origin)
}

/// The environment variable that sets this key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn put(tree: &mut Value, path: &[String], value: Value) {
    match path {
        [] => *tree = value,
        [key, rest @ ..] => {
            if !tree.is_object() {
                *tree = Value::Object(serde_json::Map::new());
            }
            if let Value::Object(table) = tree {
                put(table.entry(key.as_str()).or_insert(Value::Null), rest, value);
            }
        }
    }
}

/// Reads TOML. The error tells the place and the reason without the line, which could hold a secret.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let table = FileFormat::Toml.parse(None, text).map_err(|error| {
        let report = error.to_string();
        let lines = report.lines().filter(|line| !line.contains('|'));
        format!("is not valid TOML: {}", lines.collect::<Vec<_>>().join(": "))
    })?;
    Ok(json(ValueKind::Table(table)))
}

/// Numbers that JSON cannot hold (`inf`, `nan`) become null, which no key takes.
fn json(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::U64(value) => value.into(),
        ValueKind::I128(value) => i64::try_from(value).map_or(Value::Null, Into::into),
        ValueKind::U128(value) => u64::try_from(value).map_or(Value::Null, Into::into),
        ValueKind::Float(value) => serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
        ValueKind::String(value) => value.into(),
        ValueKind::Array(values) => values.into_iter().map(|value| json(value.kind)).collect(),
        ValueKind::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value.kind))).collect())
        }
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
