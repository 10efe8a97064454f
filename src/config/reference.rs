//! Writes `docs/configuration.md`: every key, from the comments of `config/default.toml` and the types.
//!
//! What a key does stands in the defaults alone, what it takes in the types alone; the page adds nothing,
//! so a new key is on it without anybody writing there.

use std::fmt::Write;

use serde_json::Value;

use super::known::{Found, KNOWN};
use super::{layers, schema};

const HEAD: &str = "# Configuration\n\n\
    Every key, in the order of [config/default.toml](../config/default.toml). This page is generated from that \
    file's comments and from the types in `src/config` by `make schemas`; \
    [schemas/config.schema.json](../schemas/config.schema.json) serves editors.\n\n";

/// A part of the defaults file.
enum Part {
    /// What the file says of itself.
    Introduction(String),
    /// `# ---- Title ----`.
    Title(String),
    /// `[section]` and the comment above it.
    Section(String, String),
    /// `section.key` and the comment above it.
    Key(String, String),
}

/// The page.
fn document() -> String {
    let mut page = String::from(HEAD);
    let mut title = None;
    for part in parts(layers::DEFAULTS) {
        // Writing to a String cannot fail.
        let _ = match part {
            Part::Introduction(text) => write!(page, "{text}\n\n"),
            Part::Title(text) => {
                title = Some(text);
                Ok(())
            }
            Part::Section(name, text) => section(&mut page, &name, &text, title.take().as_deref()),
            Part::Key(key, text) => entry(&mut page, &key, &text),
        };
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn section(page: &mut String, name: &str, text: &str, title: Option<&str>) -> std::fmt::Result {
    let level = if title.is_some() { "##" } else { "###" };
    write!(page, "{level} `[{name}]`\n\n")?;
    for text in [title.map(|title| format!("{title}.")).as_deref(), Some(text)].into_iter().flatten() {
        if !text.is_empty() {
            write!(page, "{text}\n\n")?;
        }
    }
    // A table with free keys has no entries of its own.
    if schema_of(name).get("properties").is_none()
        && let Found::Value(_, values) = KNOWN.find(&format!("{name}.key"))
    {
        writeln!(page, "- keys: any; each is {}", escaped(&values.expected()))?;
        writeln!(page, "- default: {}", default(name))?;
        let variable = layers::variable(name);
        writeln!(page, "- environment: `{variable}__<KEY>`, which sets the key in lower case, `__` being a dot\n")?;
    }
    Ok(())
}

fn entry(page: &mut String, key: &str, text: &str) -> std::fmt::Result {
    write!(page, "#### `{key}`\n\n{text}\n\n- default: {}\n", default(key))?;
    let choices = choices(&schema_of(key));
    if choices.is_empty() {
        let expected = match KNOWN.find(key) {
            Found::Value(_, kind) => kind.expected(),
            Found::Table | Found::Nothing => String::new(),
        };
        writeln!(page, "- takes: {}", escaped(&expected))?;
    } else {
        writeln!(page, "- takes:")?;
        for (choice, meaning) in choices {
            writeln!(page, "  - `\"{choice}\"`: {meaning}")?;
        }
    }
    writeln!(page, "- environment: `{}`\n", layers::variable(key))
}

fn parts(file: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut section = String::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut introduced = false;
    for line in file.lines() {
        if let Some(title) = line.strip_prefix("# ---- ").and_then(|line| line.strip_suffix(" ----")) {
            introduced = true;
            parts.push(Part::Title(title.to_owned()));
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
        } else {
            let text = prose(&std::mem::take(&mut comment));
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut section);
                parts.push(Part::Section(section.clone(), text));
            } else if let Some((key, _)) = line.split_once(" = ") {
                parts.push(Part::Key(format!("{section}.{key}"), text));
            } else if !introduced && !text.is_empty() {
                parts.push(Part::Introduction(text));
            }
        }
    }
    parts
}

/// Lines of a comment as paragraphs.
fn prose(lines: &[&str]) -> String {
    let paragraphs = lines.split(|line| line.is_empty()).map(|lines| escaped(&lines.join(" ")));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Plain text as Markdown shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The default, as TOML.
fn default(key: &str) -> String {
    let defaults = layers::defaults();
    match defaults.pointer(&format!("/{}", key.replace('.', "/"))) {
        Some(Value::Object(table)) if table.is_empty() => "empty".to_owned(),
        Some(value) => format!("`{value}`"),
        None => "none".to_owned(),
    }
}

/// What the types say of a key or a section.
fn schema_of(key: &str) -> Value {
    let pointer = format!("/properties/{}", key.replace('.', "/properties/"));
    schema::types().pointer(&pointer).cloned().unwrap_or_default()
}

/// The values of an enumeration with what each means.
fn choices(schema: &Value) -> Vec<(String, String)> {
    let text = |choice: &Value, name: &str| choice.get(name).and_then(Value::as_str).map(str::to_owned);
    let described = schema.get("oneOf").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    described.iter().filter_map(|choice| Some((text(choice, "const")?, text(choice, "description")?))).collect()
}

#[test]
fn committed_documentation_is_the_generated_one() {
    crate::committed::assert_committed("docs/configuration.md", &document());
}

#[test]
fn every_key_of_the_types_is_on_the_page_with_what_it_does_takes_and_is_by_default() {
    let page = document();
    for key in KNOWN.keys() {
        let (heading, needed): (String, &[&str]) = match KNOWN.find(&key) {
            Found::Value(..) => {
                (format!("\n#### `{key}`\n\n"), &["- default: ", "- takes:", "- environment: `MOODSTREAM__"])
            }
            Found::Table if schema_of(&key).get("properties").is_some() => (format!("# `[{key}]`\n\n"), &[]),
            _ => {
                (format!("# `[{key}]`\n\n"), &["- keys: any; each is ", "- default: ", "- environment: `MOODSTREAM__"])
            }
        };
        let entry = page.split(&heading).nth(1).unwrap_or_else(|| panic!("{key} is not on the page"));
        let entry = entry.split("\n#").next().unwrap_or_default();
        assert!(entry.starts_with(|first: char| !"-\n".contains(first)), "{key} is not explained: {entry}");
        for part in needed {
            assert!(entry.contains(part), "{key} lacks {part:?}: {entry}");
        }
        assert!(!entry.contains("default: none\n"), "{key} has no default");
        assert!(!entry.contains("takes: \n"), "{key} does not say what it takes");
    }
}
