//! Hours that stand out: whose share of an emotion is far from that of the same hour on other days.

use std::collections::{BTreeMap, HashMap};

use super::answer::{GroupKey, Standout};
use super::calendar::By;
use super::names::Shown;
use super::query::Query;
use super::statistics::{outlier, share};
use super::tally::Cell;

/// An hour stands out from here on (Iglewicz and Hoaglin 1993).
const FAR: f64 = 3.5;
/// Other days that must have had the same hour.
pub(crate) const OTHER_DAYS: usize = 5;
/// Labelled posts that an hour must have to count, on any day.
pub(crate) const POSTS: u64 = 30;

/// The hours of one group that stand out.
pub(super) fn find(query: &Query, key: &GroupKey, hours: &HashMap<i64, Cell>, shown: &[Shown]) -> Vec<Standout> {
    let mut by_hour_of_day: BTreeMap<i8, Vec<(i64, jiff::civil::Date, &Cell)>> = BTreeMap::new();
    for (start, cell) in hours {
        let local = query.calendar.local(query.calendar.floor(*start, By::Hour));
        by_hour_of_day.entry(local.hour()).or_default().push((*start, local.date(), cell));
    }
    let mut found = Vec::new();
    for hours in by_hour_of_day.values().filter(|hours| hours.len() > OTHER_DAYS) {
        for shown in shown {
            let sums = hours.iter().map(|(start, date, cell)| (*start, *date, cell.emotion(shown.number)));
            let sums: Vec<_> = sums.filter(|(_, _, sums)| sums.labelled >= POSTS).collect();
            for (start, date, own) in &sums {
                // Where clocks go back an hour comes twice; neither is another day of the other.
                let others = sums.iter().filter(|(_, other, _)| other != date);
                let mut others: Vec<f64> = others.filter_map(|(_, _, sums)| share(sums.count, sums.labelled)).collect();
                if others.len() < OTHER_DAYS {
                    continue;
                }
                let Some(outlier) = outlier(own.count, own.labelled, &mut others) else { continue };
                if outlier.z.abs() >= FAR {
                    found.push(Standout {
                        hour: query.calendar.written(*start),
                        start: *start,
                        emotion: shown.label.clone(),
                        key: key.clone(),
                        share: share(own.count, own.labelled).unwrap_or_default(),
                        usual: outlier.usual,
                        z: outlier.z,
                        labelled: own.labelled,
                        complete: None,
                        examples: Vec::new(),
                    });
                }
            }
        }
    }
    found
}

/// Those that stand out most, the furthest first.
pub(super) fn foremost(found: impl Iterator<Item = Standout>, most: usize) -> Vec<Standout> {
    let mut found: Vec<Standout> = found.collect();
    let order = |one: &Standout, other: &Standout| {
        let by_place = || (one.start, &one.emotion, &one.key).cmp(&(other.start, &other.emotion, &other.key));
        other.z.abs().total_cmp(&one.z.abs()).then_with(by_place)
    };
    found.sort_by(order);
    found.truncate(most);
    found
}
