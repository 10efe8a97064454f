//! What a chart needs to know of an answer, read from its JSON: the same text that the report page draws.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::time::Moment;

#[derive(Deserialize)]
pub(super) struct Facts {
    pub(super) archive: String,
    pub(super) asked: Asked,
    pub(super) models: Vec<Model>,
    pub(super) emotions: Vec<String>,
    pub(super) periods: Vec<Period>,
    pub(super) groups: Vec<Group>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) by: String,
    pub(super) time_zone: String,
    pub(super) emotions: Vec<String>,
    #[serde(rename = "where")]
    pub(super) filters: BTreeMap<String, Vec<Option<String>>>,
}

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
}

#[derive(Deserialize)]
pub(super) struct Period {
    pub(super) start: Moment,
    pub(super) end: Moment,
    /// Null where nobody knows.
    complete: Option<bool>,
    pub(super) labelled: u64,
}

#[derive(Deserialize)]
pub(super) struct Group {
    pub(super) key: BTreeMap<String, Option<String>>,
    pub(super) labelled: Vec<u64>,
    pub(super) series: Vec<Series>,
}

/// One emotion's figures, each for every period.
#[derive(Deserialize)]
pub(super) struct Series {
    pub(super) emotion: String,
    pub(super) count: Vec<u64>,
    pub(super) share: Vec<Option<f64>>,
    pub(super) low: Vec<Option<f64>>,
    pub(super) high: Vec<Option<f64>>,
}

/// As many lines as can be told apart where nobody has chosen them; the others stay grey.
const CHOSEN: usize = 5;

impl Facts {
    pub(super) fn read(answer_json: &str) -> Result<Self, serde_json::Error> {
        let mut facts: Self = serde_json::from_str(answer_json)?;
        // A panel without a line tells nothing, as long as there are others.
        let inhabited = |group: &Group| group.labelled.iter().any(|posts| *posts > 0);
        if facts.groups.iter().filter(|group| inhabited(group)).count() > 1 {
            facts.groups.retain(inhabited);
        }
        Ok(facts)
    }

    pub(super) fn labelled(&self) -> u64 {
        self.periods.iter().map(|period| period.labelled).sum()
    }

    /// The emotions, the one that has moved furthest beyond what chance explains first: its highest lower bound less
    /// its lowest upper bound, in any group. Colours go by this rank, as in the report (`report/facts.js`).
    pub(super) fn ranked(&self) -> Vec<usize> {
        let all = ratio(self.labelled().max(1));
        let movement = |emotion: usize| {
            let name = &self.emotions[emotion];
            let of = |group: &Group| {
                let Some(series) = group.series(name) else { return 0.0 };
                let (mut top, mut bottom) = (0.0_f64, 1.0_f64);
                let whole = self.periods.iter().enumerate().filter(|(_, period)| period.is_complete());
                for (low, high) in whole.filter_map(|(at, _)| Some((series.low[at]?, series.high[at]?))) {
                    top = top.max(low);
                    bottom = bottom.min(high);
                }
                let moved = if self.periods.len() > 1 { (top - bottom).max(0.0) } else { 0.0 };
                moved + 1e-3 * ratio(series.count.iter().sum()) / all
            };
            self.groups.iter().map(of).fold(0.0, f64::max)
        };
        let mut ranked: Vec<(f64, usize)> = (0..self.emotions.len()).map(|at| (movement(at), at)).collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        ranked.into_iter().map(|(_, emotion)| emotion).collect()
    }

    /// How many of the ranked emotions are drawn in colour.
    pub(super) fn chosen(&self) -> usize {
        let all = self.emotions.len();
        let asked_for = !self.asked.emotions.is_empty() && all <= 8;
        if self.periods.len() == 1 || all <= CHOSEN + 1 || asked_for { all } else { CHOSEN }
    }
}

impl Period {
    pub(super) fn is_complete(&self) -> bool {
        self.complete != Some(false)
    }
}

impl Group {
    pub(super) fn series(&self, emotion: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.emotion == emotion)
    }

    pub(super) fn name(&self) -> String {
        let words = self.key.iter().map(|(name, word)| match word {
            Some(word) if !word.is_empty() => word.clone(),
            _ => format!("no {name}"),
        });
        words.collect::<Vec<_>>().join(" · ")
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of posts stay far below 2^53")]
pub(super) fn ratio(posts: u64) -> f64 {
    posts as f64
}

/// "1,234,567".
pub(super) fn grouped(posts: u64) -> String {
    let digits = posts.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
