//! A rule: an emotion, the posts that it is looked for in, and the bounds of its figures.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::config::Problem;
use crate::trends::WindowSeries;

const HOUR_MS: i64 = 3_600_000;

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// Its place in the file, counted from 1.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) emotion: String,
    pub(super) conditions: Conditions,
    pub(super) window_hours: i64,
    pub(super) least_posts: u64,
    /// Words by column; none for posts without one.
    pub(super) filters: BTreeMap<String, Vec<Option<String>>>,
    pub(super) group_by: Vec<String>,
    /// The beginning of a hash, or an id.
    pub(super) model: Option<String>,
    pub(super) wait: Wait,
    pub(super) baseline_days: i64,
}

/// What a window's figures are held against. All that are given have to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct Conditions {
    /// The share of posts with the emotion is greater.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) share_above: Option<f64>,
    /// It is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) share_below: Option<f64>,
    /// The mean score is greater.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_above: Option<f64>,
    /// The robust z-score of the share is greater.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) z_above: Option<f64>,
}

/// When a window is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Once its hours are declared complete.
    Complete,
    /// From its beginning on, with what is there.
    None,
}

/// Everything that is wrong with rules, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RulesError(pub(super) Vec<Problem>);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.0.as_slice() {
            return write!(f, "the rules are wrong: {problem}");
        }
        write!(f, "the rules are wrong in {} places:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for RulesError {}

impl Rule {
    /// The problem of one of its keys that only the archive shows.
    pub(super) fn problem(&self, key: &str, value: &str, remedy: String) -> Problem {
        Problem {
            key: format!("rule[{}].{key}", self.number),
            value: Some(Value::from(value).to_string()),
            origin: None,
            remedy,
        }
    }

    /// The beginning of the first window that is looked at, of those that ended after `since`.
    pub(super) fn first_window(&self, since: i64) -> i64 {
        let length = self.window_hours * HOUR_MS;
        since - since.rem_euclid(length) - length
    }

    /// Whether it compares with days before.
    pub(crate) fn needs_days(&self) -> bool {
        self.conditions.z_above.is_some()
    }

    /// Whether it is about this series' model.
    pub(super) fn chooses(&self, series: &WindowSeries) -> bool {
        let chosen = |wanted: &str| series.model_hash.starts_with(wanted) || series.model_id == wanted;
        self.model.as_deref().is_none_or(chosen)
    }

    /// Says so when no post there was labelled by its model.
    pub(super) fn look_for_model(&self, series: &[WindowSeries]) {
        if let Some(model) = &self.model
            && !series.iter().any(|series| self.chooses(series))
        {
            tracing::warn!(rule = self.name, model, "no post there was labelled by the rule's model");
        }
    }

    /// Conditions as `trends` takes them.
    pub(super) fn conditions_on_columns(&self) -> Vec<String> {
        self.filters.iter().map(|(column, words)| condition(column, words)).collect()
    }
}

/// A condition on a column, as `trends` takes it.
pub(super) fn condition(column: &str, words: &[Option<String>]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.as_deref().unwrap_or_default()).collect();
    format!("{column}={}", words.join(","))
}
