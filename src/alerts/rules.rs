//! The rules file: parsed into rules, or refused with everything that is wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::rule::{Conditions, Rule, RulesError, Wait, condition};
use crate::config::{Problem, parse_toml};
use crate::trends;

/// Keys of a rule.
const KEYS: [&str; 13] = [
    "name",
    "emotion",
    "share_above",
    "share_below",
    "mean_above",
    "z_above",
    "window",
    "least_posts",
    "where",
    "group_by",
    "model",
    "wait",
    "baseline",
];
/// The lengths of windows: a day is a whole number of them.
const WINDOWS: [u64; 8] = [1, 2, 3, 4, 6, 8, 12, 24];
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Labelled posts without which a window says little: as many as an hour needs to stand out in `trends`.
const LEAST_POSTS: u64 = trends::LEAST_POSTS;
/// Days that z is computed from.
const BASELINE_DAYS: u64 = 28;
/// A name is a folder of the archive's state, and a part of an id.
const LONGEST_NAME: usize = 64;

/// Reads a file of rules.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(path: &Path) -> Result<Vec<Rule>, RulesError> {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &origin),
        Err(error) => Err(RulesError(vec![whole(&origin, format!("cannot be read: {error}"))])),
    }
}

/// Parses rules; `origin` says where they were written.
pub(super) fn parse(text: &str, origin: &str) -> Result<Vec<Rule>, RulesError> {
    const EXPECTED: &str = "holds no rule; begin each with a line [[rule]]";
    let mut file = match parse_toml(text) {
        Ok(Value::Object(file)) => file,
        Ok(_) => Map::new(),
        Err(error) => return Err(RulesError(vec![whole(origin, error)])),
    };
    let mut problems = Vec::new();
    let tables = file.remove("rule").unwrap_or_default();
    for (key, value) in file {
        let near = trends::nearest(&key, ["rule"].into_iter());
        problems.push(problem(
            origin,
            key,
            Some(&value),
            format!("there is no such key{near}; rules begin with [[rule]]"),
        ));
    }
    let tables = match tables {
        Value::Array(tables) => tables,
        Value::Null => Vec::new(),
        other => {
            problems.push(problem(
                origin,
                "rule".to_owned(),
                Some(&other),
                "must be tables; write [[rule]]".to_owned(),
            ));
            return Err(RulesError(problems));
        }
    };
    if tables.is_empty() && problems.is_empty() {
        problems.push(whole(origin, EXPECTED.to_owned()));
    }
    let mut rules = Vec::new();
    for (place, table) in tables.into_iter().enumerate() {
        let at = format!("rule[{}]", place + 1);
        let Value::Object(values) = table else {
            problems.push(problem(origin, at, Some(&table), "must be a table; write [[rule]]".to_owned()));
            continue;
        };
        let mut table = Table { at, origin, values, problems: &mut problems };
        rules.extend(table.rule(place + 1));
    }
    let mut names = BTreeSet::new();
    for rule in &rules {
        if !names.insert(rule.name.as_str()) {
            let remedy = "another rule has this name; an event is known by its rule's".to_owned();
            problems.push(problem(
                origin,
                format!("rule[{}].name", rule.number),
                Some(&rule.name.clone().into()),
                remedy,
            ));
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(RulesError(problems)) }
}

/// One rule's table, and where its problems go.
struct Table<'a> {
    at: String,
    origin: &'a str,
    values: Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl Table<'_> {
    /// The rule; none if something of it is wrong that the rest cannot do without.
    fn rule(&mut self, number: usize) -> Option<Rule> {
        let before = self.problems.len();
        let unknown: Vec<String> = self.values.keys().filter(|key| !KEYS.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            let near = trends::nearest(&key, KEYS.into_iter());
            self.refuse(&key, format!("there is no such key{near}; a rule has {}", KEYS.join(", ")));
        }
        let name = self.required("name", "lower-case letters, digits, - and _, 64 at most", |value| {
            value.as_str().filter(|name| is_name(name)).map(str::to_owned)
        });
        let emotion = self.required("emotion", "the name of an emotion, such as \"anger\"", word);
        let conditions = self.conditions();
        let window = self.required("window", "1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h", |value| {
            let hours = duration(value)?.as_secs();
            (hours % HOUR == 0 && WINDOWS.contains(&(hours / HOUR))).then_some(hours / HOUR)
        });
        let least_posts = self
            .optional("least_posts", "a whole number, at least 1", |value| value.as_u64().filter(|least| *least > 0));
        let model = self.optional("model", "the beginning of a model's hash, or its id", word);
        let wait = self.optional("wait", "\"complete\" or \"none\"", |value| match value.as_str()? {
            "complete" => Some(Wait::Complete),
            "none" => Some(Wait::None),
            _ => None,
        });
        let baseline = self.optional("baseline", "a whole number of days from 5d to 366d", |value| {
            let seconds = duration(value)?.as_secs();
            (seconds % DAY == 0 && (trends::OTHER_DAYS as u64..=366).contains(&(seconds / DAY)))
                .then_some(seconds / DAY)
        });
        if self.values.contains_key("baseline") && conditions.z_above.is_none() && !self.values.contains_key("z_above")
        {
            self.refuse("baseline", "is for z_above, which is not set".to_owned());
        }
        let filters = self.filters();
        let group_by = self.group_by();
        if self.problems.len() > before {
            return None;
        }
        let days = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Some(Rule {
            number,
            name: name?,
            emotion: emotion?,
            conditions,
            window_hours: days(window?),
            least_posts: least_posts.unwrap_or(LEAST_POSTS),
            filters,
            group_by,
            model,
            wait: wait.unwrap_or(Wait::Complete),
            baseline_days: days(baseline.unwrap_or(BASELINE_DAYS)),
        })
    }

    fn conditions(&mut self) -> Conditions {
        const SHARE: &str = "a number from 0 to 1";
        let share = |value: &Value| value.as_f64().filter(|share| (0.0..=1.0).contains(share));
        let conditions = Conditions {
            share_above: self.optional("share_above", SHARE, share),
            share_below: self.optional("share_below", SHARE, share),
            mean_above: self.optional("mean_above", SHARE, share),
            z_above: self
                .optional("z_above", "a number above 0, such as 3.5", |value| value.as_f64().filter(|z| *z > 0.0)),
        };
        let keys = ["share_above", "share_below", "mean_above", "z_above"];
        if !keys.iter().any(|key| self.values.contains_key(*key)) {
            let remedy = format!("has no condition; give one of {}, or several that all have to hold", keys.join(", "));
            self.problems.push(problem(self.origin, self.at.clone(), None, remedy));
        }
        if let (Some(above), Some(below)) = (conditions.share_above, conditions.share_below)
            && above >= below
        {
            self.refuse("share_below", "must be greater than share_above, or no share meets both".to_owned());
        }
        conditions
    }

    /// `where = { platform = "bluesky", lang = ["en", ""] }`.
    fn filters(&mut self) -> BTreeMap<String, Vec<Option<String>>> {
        const EXPECTED: &str = "must be columns with their words, such as { lang = [\"en\", \"fr\"] }";
        let columns = match self.values.get("where") {
            None => return BTreeMap::new(),
            Some(Value::Object(columns)) => columns.clone(),
            Some(_) => {
                self.refuse("where", EXPECTED.to_owned());
                return BTreeMap::new();
            }
        };
        let mut filters = BTreeMap::new();
        for (column, value) in columns {
            let key = format!("{}.where.{column}", self.at);
            // A comma parts words in a condition of `trends`.
            let words = words(&value).filter(|words| !words.iter().flatten().any(|word| word.contains(',')));
            let Some(words) = words.filter(|words| !words.is_empty()) else {
                let remedy = "must be a word or a list of words without commas; \"\" is for posts without one";
                self.problems.push(problem(self.origin, key, Some(&value), remedy.to_owned()));
                continue;
            };
            match trends::check_columns(&[condition(&column, &words)], &[]) {
                Ok(()) => drop(filters.insert(column, words)),
                Err(remedy) => self.problems.push(problem(self.origin, key, Some(&value), remedy)),
            }
        }
        filters
    }

    fn group_by(&mut self) -> Vec<String> {
        let columns = self.optional("group_by", "a column or a list of columns, such as [\"platform\"]", |value| {
            words(value)?.into_iter().collect::<Option<Vec<String>>>()
        });
        let mut group_by: Vec<String> = Vec::new();
        for column in columns.unwrap_or_default() {
            if column == "model" {
                self.refuse("group_by", "models are always told apart; leave model out".to_owned());
            } else if let Err(remedy) = trends::check_columns(&[], std::slice::from_ref(&column)) {
                self.refuse("group_by", remedy);
            } else if !group_by.contains(&column) {
                group_by.push(column);
            }
        }
        group_by
    }

    fn required<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        if !self.values.contains_key(key) {
            self.refuse(key, format!("must be set: {expected}"));
            return None;
        }
        self.optional(key, expected, read)
    }

    fn optional<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let found = read(self.values.get(key)?);
        if found.is_none() {
            self.refuse(key, format!("must be {expected}"));
        }
        found
    }

    fn refuse(&mut self, key: &str, remedy: String) {
        let at = format!("{}.{key}", self.at);
        self.problems.push(problem(self.origin, at, self.values.get(key), remedy));
    }
}

fn problem(origin: &str, key: String, value: Option<&Value>, remedy: String) -> Problem {
    Problem { key, value: value.map(Value::to_string), origin: Some(origin.to_owned()), remedy }
}

fn whole(origin: &str, remedy: String) -> Problem {
    problem(origin, String::new(), None, remedy)
}

fn is_name(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(letters)
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty())
}

fn duration(value: &Value) -> Option<Duration> {
    humantime::parse_duration(value.as_str()?).ok()
}

/// A word, or several; an empty one is none.
fn words(value: &Value) -> Option<Vec<Option<String>>> {
    let word = |value: &Value| value.as_str().map(|word| Some(word.trim().to_owned()).filter(|word| !word.is_empty()));
    match value {
        Value::Array(values) => values.iter().map(word).collect(),
        value => Some(vec![word(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        [[rule]]
        name = "angry-hours"
        emotion = "anger"
        share_above = 0.3
        z_above = 4
        window = "1h"
        least_posts = 100
        where = { platform = "bluesky", lang = ["en", ""] }
        group_by = ["lang"]
        model = "78df8f1e"
        wait = "none"
        baseline = "14d"

        [[rule]]
        name = "no_joy"
        emotion = "joy"
        share_below = 0.1
        window = "24h"
    "#;

    fn problems(text: &str) -> Vec<String> {
        parse(text, "rules.toml").expect_err("wrong").0.iter().map(ToString::to_string).collect()
    }

    /// The problems of a rule that is right but for these lines.
    fn with(lines: &str) -> Vec<String> {
        problems(&format!("[[rule]]\nname = \"a\"\nemotion = \"joy\"\n{lines}"))
    }

    #[test]
    fn every_key_is_read_and_what_is_left_out_has_its_default() {
        let rules = parse(WHOLE, "rules.toml").expect("right");
        let [first, second] = &rules[..] else { panic!("two rules: {rules:?}") };
        assert_eq!((first.name.as_str(), first.window_hours, first.least_posts), ("angry-hours", 1, 100));
        assert_eq!((first.conditions.share_above, first.conditions.z_above), (Some(0.3), Some(4.0)));
        assert_eq!(first.conditions_on_columns(), ["lang=en,", "platform=bluesky"]);
        assert_eq!((first.wait, first.baseline_days, first.model.as_deref()), (Wait::None, 14, Some("78df8f1e")));
        assert_eq!((second.least_posts, second.wait, second.baseline_days), (30, Wait::Complete, 28));
        assert_eq!((second.window_hours, second.group_by.len(), second.number), (24, 0, 2));
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_key_value_and_what_would_be_right() {
        let found = problems(
            r#"
            [[rule]]
            name = "Angry hours"
            emotoin = "anger"
            share_above = 30
            window = "90m"
            where = { plattform = "bluesky" }
            group_by = ["model"]
            wait = "day"
            [[rule]]
            name = "b"
            emotion = "joy"
            window = "1h"
            "#,
        );
        for part in [
            "rule[1].emotoin = \"anger\" (rules.toml): there is no such key, did you mean \"emotion\"?",
            "rule[1].name = \"Angry hours\" (rules.toml): must be lower-case letters",
            "rule[1].emotion (rules.toml): must be set",
            "rule[1].share_above = 30 (rules.toml): must be a number from 0 to 1",
            "rule[1].window = \"90m\" (rules.toml): must be 1h, 2h",
            "rule[1].wait = \"day\" (rules.toml): must be \"complete\" or \"none\"",
            "rule[1].where.plattform = \"bluesky\" (rules.toml): there is no column \"plattform\" to choose by, did you mean",
            "rule[1].group_by = [\"model\"] (rules.toml): models are always told apart",
            "rule[2] (rules.toml): has no condition; give one of share_above",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(part)), "no {part} in {found:#?}");
        }
        assert_eq!(found.len(), 9, "{found:#?}");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (lines, expected) in [
            (
                "window = \"1h\"\nshare_above = 0.5\nshare_below = 0.4",
                "rule[1].share_below = 0.4 (rules.toml): must be greater",
            ),
            (
                "window = \"1h\"\nshare_above = 0.5\nbaseline = \"7d\"",
                "rule[1].baseline = \"7d\" (rules.toml): is for z_above",
            ),
            (
                "window = \"1h\"\nz_above = 3\nbaseline = \"3d\"",
                "rule[1].baseline = \"3d\" (rules.toml): must be a whole",
            ),
            (
                "window = \"1h\"\nz_above = 3\nwhere = { lang = \"en,fr\" }",
                "rule[1].where.lang = \"en,fr\" (rules.toml)",
            ),
            ("window = 1\nz_above = 3", "rule[1].window = 1 (rules.toml)"),
            ("window = \"1h\"\nz_above = nan", "rule[1].z_above = null (rules.toml)"),
        ] {
            let found = with(lines);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:#?}");
        }
        let twice = "[[rule]]\nname = \"a\"\nemotion = \"joy\"\nwindow = \"1h\"\nz_above = 3\n".repeat(2);
        assert!(problems(&twice)[0].starts_with("rule[2].name = \"a\""));
    }

    #[test]
    fn a_file_without_rules_is_no_file_of_rules() {
        assert!(problems("")[0].contains("rules.toml: holds no rule"), "{:?}", problems(""));
        assert!(problems("rule = 3")[0].contains("write [[rule]]"));
        assert!(problems("[[rules]]\nname = \"a\"")[0].contains("did you mean \"rule\"?"));
        assert!(problems("[[rule]")[0].contains("is not valid TOML"));
        let missing = read(Path::new("no-such-rules.toml")).expect_err("missing").to_string();
        assert!(missing.starts_with("the rules are wrong: no-such-rules.toml: cannot be read"), "{missing}");
    }
}
