//! Holds the figures of windows against a rule; pure.

use jiff::Timestamp;

use super::rule::{Conditions, Rule, Wait};
use crate::trends::{self, Figures, LEAST_POSTS, OTHER_DAYS, Outlier, WindowSeries};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A window in which a rule holds.
#[derive(Debug, Clone)]
pub(super) struct Occurrence<'a> {
    pub(super) series: &'a WindowSeries,
    /// Its beginning, in milliseconds since 1970.
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) figures: Figures,
    /// Where the baseline has days enough.
    pub(super) outlier: Option<Outlier>,
    /// None where nobody knows.
    pub(super) complete: Option<bool>,
}

/// The windows in which a rule holds, of those that ended after `since` and have begun, in the order of time.
///
/// `is_complete` tells of the time between two instants whether all of it is there.
pub(super) fn occurrences<'a>(
    rule: &Rule,
    series: &'a [WindowSeries],
    since: i64,
    now: Timestamp,
    is_complete: impl Fn(i64, i64) -> Option<bool>,
) -> Vec<Occurrence<'a>> {
    let length = rule.window_hours * HOUR_MS;
    let mut found = Vec::new();
    for series in series.iter().filter(|series| rule.chooses(series)) {
        for (start, figures) in series.windows.range(since.saturating_sub(length) + 1..=now.as_millisecond()) {
            let (start, end) = (*start, *start + length);
            let complete = is_complete(start, end);
            if figures.labelled < rule.least_posts || (rule.wait == Wait::Complete && complete != Some(true)) {
                continue;
            }
            let outlier = rule.conditions.z_above.and_then(|_| outlier(rule, series, start, figures));
            if holds(&rule.conditions, figures, outlier) {
                found.push(Occurrence { series, start, end, figures: *figures, outlier, complete });
            }
        }
    }
    found.sort_by_key(|occurrence| occurrence.start);
    found
}

/// How far a window is from the same window of the days before it.
fn outlier(rule: &Rule, series: &WindowSeries, start: i64, own: &Figures) -> Option<Outlier> {
    let days = (1..=rule.baseline_days).filter_map(|day| series.windows.get(&(start - day * DAY_MS)));
    let mut others: Vec<f64> = days.filter(|other| other.labelled >= LEAST_POSTS).map(Figures::share).collect();
    if others.len() < OTHER_DAYS {
        return None;
    }
    trends::outlier(own.count, own.labelled, &mut others)
}

/// Whether all conditions hold that are given. Without a z-score none is above anything.
fn holds(conditions: &Conditions, figures: &Figures, outlier: Option<Outlier>) -> bool {
    let Conditions { share_above, share_below, mean_above, z_above } = conditions;
    share_above.is_none_or(|bound| figures.share() > bound)
        && share_below.is_none_or(|bound| figures.share() < bound)
        && mean_above.is_none_or(|bound| figures.mean > bound)
        && z_above.is_none_or(|bound| outlier.is_some_and(|outlier| outlier.z > bound))
}

#[cfg(test)]
mod tests {
    use super::super::rules::parse;
    use super::*;

    /// The eighth day, noon.
    const NOW: i64 = 7 * DAY_MS + 12 * HOUR_MS;

    fn rule(lines: &str) -> Rule {
        let text = format!("[[rule]]\nname = \"a\"\nemotion = \"anger\"\n{lines}");
        parse(&text, "rules").expect("right").remove(0)
    }

    /// Figures of windows: hour, labelled, count, mean.
    fn series(windows: &[(i64, u64, u64, f64)]) -> Vec<WindowSeries> {
        let of = |(hour, labelled, count, mean): &(i64, u64, u64, f64)| {
            (hour * HOUR_MS, Figures { labelled: *labelled, count: *count, mean: *mean })
        };
        vec![WindowSeries {
            key: std::collections::BTreeMap::new(),
            model_id: "first".to_owned(),
            model_hash: "0a1b2c3d".to_owned(),
            windows: windows.iter().map(of).collect(),
        }]
    }

    /// The hours of the windows in which it holds; those that begin on the hour 171 or later are not complete.
    fn found(lines: &str, windows: &[(i64, u64, u64, f64)]) -> Vec<i64> {
        let now = Timestamp::from_millisecond(NOW).expect("in range");
        let series = series(windows);
        let found = occurrences(&rule(lines), &series, 6 * DAY_MS, now, |start, _| Some(start < 171 * HOUR_MS));
        found.iter().map(|occurrence| occurrence.start / HOUR_MS).collect()
    }

    #[test]
    fn a_share_or_a_mean_beyond_its_bound_is_an_event_and_one_at_it_is_none() {
        let windows = [(168, 100, 31, 0.2), (169, 100, 30, 0.4), (170, 100, 2, 0.41)];
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3", &windows), [168]);
        assert_eq!(found("window = \"1h\"\nshare_below = 0.3", &windows), [170]);
        assert_eq!(found("window = \"1h\"\nmean_above = 0.4", &windows), [170]);
        assert_eq!(found("window = \"1h\"\nmean_above = 0.3\nshare_above = 0.1", &windows), [169], "both have to hold");
    }

    #[test]
    fn too_few_posts_and_hours_that_are_not_complete_are_passed_over() {
        let windows = [(168, 29, 29, 0.5), (169, 30, 30, 0.5), (172, 100, 100, 0.5)];
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3", &windows), [169]);
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nleast_posts = 29", &windows), [168, 169]);
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nwait = \"none\"", &windows), [169, 172]);
    }

    #[test]
    fn windows_that_ended_too_long_ago_or_have_not_begun_are_passed_over() {
        let windows = [(143, 100, 99, 0.5), (144, 100, 99, 0.5), (180, 100, 99, 0.5), (181, 100, 99, 0.5)];
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nwait = \"none\"", &windows), [144, 180]);
    }

    #[test]
    fn another_model_s_figures_are_not_looked_at() {
        let windows = [(168, 100, 99, 0.5)];
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nmodel = \"0a1b\"", &windows), [168]);
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nmodel = \"first\"", &windows), [168]);
        assert_eq!(found("window = \"1h\"\nshare_above = 0.3\nmodel = \"ffee\"", &windows), [0; 0]);
    }

    #[test]
    fn the_z_score_is_that_of_the_same_window_on_days_before() {
        let day = |day: i64, count: u64| (day * 24, 100, count, 0.5);
        let usual: Vec<_> =
            [18, 20, 22, 18, 20, 22].iter().zip(1..).map(|(count, number)| day(number, *count)).collect();
        let with = |more: &[(i64, u64, u64, f64)]| [&usual[..], more].concat();
        // The median absolute deviation is 0.02, which is less than what 100 posts vary by chance: 0.0407.
        assert_eq!(found("window = \"1h\"\nz_above = 9.5", &with(&[day(7, 60)])), [168]);
        assert_eq!(found("window = \"1h\"\nz_above = 10", &with(&[day(7, 60)])), [0; 0]);
        assert_eq!(found("window = \"1h\"\nz_above = 3.5", &with(&[(169, 100, 60, 0.5)])), [0; 0], "no other days");
        let four = [&usual[2..], &[day(7, 60)]].concat();
        assert_eq!(found("window = \"1h\"\nz_above = 3.5", &four), [0; 0], "four other days are too few");
        assert_eq!(found("window = \"1h\"\nz_above = 3.5\nbaseline = \"5d\"", &with(&[day(7, 60)])), [168]);
    }
}
