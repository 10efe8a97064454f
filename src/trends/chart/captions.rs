//! The words around the chart.

use std::fmt::Write;

use super::facts::grouped;
use super::geometry::percent;
use super::layout::{Layout, PANELS};

impl Layout<'_> {
    /// What was asked.
    pub(super) fn subtitle(&self) -> String {
        let asked = &self.facts.asked;
        let mut text = format!("Share of posts with each label, by {}, {} time", asked.by, asked.time_zone);
        for (name, words) in &asked.filters {
            let words: Vec<&str> = words.iter().map(|word| word.as_deref().unwrap_or("missing")).collect();
            text = format!("{text}; {name} is {}", words.join(" or "));
        }
        format!("{text}. {} labelled posts.", grouped(self.facts.labelled()))
    }

    /// How to read it, and where it comes from.
    pub(super) fn notes(&self) -> (String, String) {
        let facts = self.facts;
        let mut legend = String::from("Bands: 95 % interval.");
        if facts.periods.len() == 1 {
            legend = String::from("Bars: 95 % interval.");
        } else if facts.periods.iter().any(|period| !period.is_complete()) {
            let _ = write!(legend, " Hatched, dotted: incomplete {}.", facts.asked.by);
        }
        if facts.periods.len() > 1 && facts.periods.iter().any(|period| period.labelled == 0) {
            legend += " Gaps: no labelled posts.";
        }
        if self.chosen < facts.emotions.len() && facts.periods.len() > 1 {
            legend += " Grey: the other emotions.";
        }
        if facts.groups.len() > PANELS {
            let _ = write!(legend, " The {PANELS} largest of {} groups.", facts.groups.len());
        }
        let models: Vec<&str> = facts.models.iter().map(|model| model.id.as_str()).collect();
        let source = format!(
            "Approximate signals about wording, not facts about people. Model: {}. Archive: {}",
            models.join(", "),
            facts.archive
        );
        (legend, source)
    }

    /// First and last share of each emotion in colour.
    pub(super) fn description(&self) -> String {
        let mut text = String::new();
        for group in self.facts.groups.iter().take(PANELS) {
            let name = group.name();
            for rank in 0..self.chosen {
                let emotion = self.emotion(rank);
                let shares = group.series(emotion).map(|series| series.share.iter().flatten().copied());
                let Some((first, last)) = shares.and_then(|mut shares| {
                    let first = shares.next()?;
                    Some((first, shares.last().unwrap_or(first)))
                }) else {
                    continue;
                };
                let of = if name.is_empty() { String::new() } else { format!(" ({name})") };
                let _ = write!(text, "{emotion}{of}: {} to {}. ", percent(first, 1), percent(last, 1));
            }
        }
        text.trim_end().to_owned()
    }
}
