//! The figures of one emotion in windows of whole hours, for who watches them: [`crate::alerts`].
//!
//! Windows lie one after the other from midnight UTC on. Models are always told apart, so none are ever mixed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::answer::GroupKey;
use super::calendar::By;
use super::error::TrendsError;
use super::file;
use super::names::Names;
use super::query::{Asked, Query};
use super::range::{Range, Span};
use super::scan::{Counted, Scan};
use super::source::{Found, Source};
use super::statistics::{share, wilson};
use super::tally::{Sums, Tally};
use super::{Rolled, rollup};

const HOUR_MS: i64 = 3_600_000;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) emotion: String,
    /// `column=word,word`, as in [`Asked`].
    pub(crate) filters: Vec<String>,
    pub(crate) group_by: Vec<String>,
    /// The length of a window; a day is a whole number of them.
    pub(crate) window_hours: i64,
    /// First instant, the beginning of a window, in milliseconds since 1970.
    pub(crate) from: i64,
    /// The instant after the last.
    pub(crate) to: i64,
    pub(crate) threads: Option<usize>,
}

/// What is there of it.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// By group and model.
    pub(crate) series: Vec<WindowSeries>,
    watch: Watch,
    found: Found,
}

/// One group's figures of one model.
#[derive(Debug, Clone)]
pub(crate) struct WindowSeries {
    pub(crate) key: GroupKey,
    pub(crate) model_id: String,
    pub(crate) model_hash: String,
    /// By the beginnings of windows; those without a labelled post are not there.
    pub(crate) windows: BTreeMap<i64, Figures>,
}

/// The posts of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) labelled: u64,
    /// Those that carry the label.
    pub(crate) count: u64,
    pub(crate) mean: f64,
}

impl Figures {
    pub(crate) fn share(&self) -> f64 {
        share(self.count, self.labelled).unwrap_or_default()
    }

    /// 95 % Wilson interval of the share.
    pub(crate) fn interval(&self) -> (f64, f64) {
        wilson(self.count, self.labelled).unwrap_or_default()
    }
}

impl Watched {
    /// Whether every row between two instants is there; none where nobody knows.
    pub(crate) fn is_complete(&self, start: i64, end: i64, now: Timestamp) -> Option<bool> {
        self.found.is_complete(Span { start, end }, now.as_millisecond())
    }
}

/// Looks at the archive, and reads it unless nothing has come since it was looked at `before`.
///
/// # Errors
/// What is wrong with the question, or which file or store is. No model that knows the emotion is wrong, unless the
/// archive has no labelled post at all.
pub(crate) fn watch(
    source: &Source,
    watch: Watch,
    before: Option<Watched>,
    now: Timestamp,
    runtime: &Handle,
) -> Result<Watched, TrendsError> {
    let query = query(&watch, now)?;
    let found = runtime.block_on(source.find(&query))?;
    if let Some(before) = before
        && before.watch == watch
        && before.found.files == found.files
    {
        return Ok(Watched { found, ..before });
    }
    let range = Range::of(&query, &found)?;
    let rolled = if source.has_state() {
        runtime.block_on(rollup::take(source, &query, &range, &found))?
    } else {
        Rolled::default()
    };
    let rest = found.without(&rolled.hours);
    let scan = Scan { source, query: &query, range: &range, found: &rest, runtime, threads: source.threads(&query) };
    let mut scanned = scan.run(Counted::Everything, rolled.names, &|_| ())?;
    scanned.complete(rolled.tally);
    if scanned.names.emotions().is_empty() {
        scanned.names.learn(runtime.block_on(file::last_labels(source, &query, &found))?);
    }
    let series = series(&query, &scanned.tally, &scanned.names, watch.window_hours * HOUR_MS)?;
    Ok(Watched { series, watch, found })
}

/// The question of who watches.
pub(super) fn query(watch: &Watch, now: Timestamp) -> Result<Query, TrendsError> {
    let asked = Asked {
        by: Some(By::Week),
        emotions: vec![watch.emotion.clone()],
        filters: watch.filters.clone(),
        group_by: watch.group_by.iter().cloned().chain(["model".to_owned()]).collect(),
        threads: watch.threads,
        ..Asked::default()
    };
    let mut query = Query::new(&asked, now)?;
    (query.from, query.to) = (Some(watch.from), Some(watch.to));
    Ok(query)
}

/// The words of a group, and the number of its model.
type Group = (Vec<Option<String>>, usize);

/// What was counted, in windows of so many milliseconds.
pub(super) fn series(
    query: &Query,
    tally: &Tally,
    names: &Names,
    window: i64,
) -> Result<Vec<WindowSeries>, TrendsError> {
    if names.emotions().is_empty() {
        return Ok(Vec::new());
    }
    let Some(emotion) = query.shown_emotions(names)?.first().map(|shown| shown.number) else { return Ok(Vec::new()) };
    let mut groups: BTreeMap<Group, BTreeMap<i64, Sums>> = BTreeMap::new();
    for (key, cell) in &tally.cells {
        let sums = cell.emotion(emotion);
        if sums.labelled > 0 {
            let words = key.words.iter().map(|word| word.as_deref().map(str::to_owned)).collect();
            let windows = groups.entry((words, key.model)).or_default();
            windows.entry(key.start - key.start.rem_euclid(window)).or_default().add(&sums);
        }
    }
    let dimensions = query.dimensions();
    let of = |((words, model), windows): (Group, BTreeMap<i64, Sums>)| {
        let model = names.model(model)?;
        let figures = |sums: &Sums| Some(Figures { labelled: sums.labelled, count: sums.count, mean: sums.mean()? });
        Some(WindowSeries {
            key: dimensions.iter().map(|dimension| dimension.name()).zip(words).collect(),
            model_id: model.id.clone(),
            model_hash: model.hash.clone(),
            windows: windows.iter().filter_map(|(start, sums)| Some((*start, figures(sums)?))).collect(),
        })
    };
    Ok(groups.into_iter().filter_map(of).collect())
}

/// What is wrong with a condition `column=word` or with a column to tell figures apart by, without the flag.
///
/// # Errors
/// That, and what would be right.
pub(crate) fn check_columns(filters: &[String], group_by: &[String]) -> Result<(), String> {
    let asked = Asked { filters: filters.to_vec(), group_by: group_by.to_vec(), ..Asked::default() };
    match Query::new(&asked, Timestamp::UNIX_EPOCH) {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = error.to_string();
            let told = error.split_once(": ").map_or(error.as_str(), |(_, told)| told);
            Err(told.replace("--model", "the key model"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Properties;
    use crate::trends::{ask, roll_up};

    const DEADLINE: Duration = Duration::from_secs(20);

    fn watched(source: &Source, window_hours: i64, now: Timestamp, runtime: &Handle) -> Vec<WindowSeries> {
        let day = now.as_millisecond() - now.as_millisecond().rem_euclid(24 * HOUR_MS);
        let watched = Watch {
            emotion: "joy".to_owned(),
            filters: vec!["lang=en".to_owned()],
            group_by: vec!["platform".to_owned()],
            window_hours,
            from: day - 3660 * 24 * HOUR_MS,
            to: day + 24 * HOUR_MS,
            threads: Some(1),
        };
        watch(source, watched, None, now, runtime).expect("watched").series
    }

    #[test]
    fn windows_add_up_the_hours_of_trends_from_files_and_from_the_roll_up() {
        let folder = tempfile::tempdir().expect("a folder");
        crate::bench::write_synthetic(folder.path(), 60_000, 2).expect("written");
        crate::bench::identify(folder.path()).expect("written");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("made");
        let (none, url) = (Properties::default(), folder.path().to_str().expect("UTF-8"));
        let source = runtime.block_on(Source::open("PATH", url, &none, DEADLINE)).expect("opened");
        let now = Timestamp::now();
        let asked = Asked {
            by: Some(By::Hour),
            emotions: vec!["joy".to_owned()],
            filters: vec!["lang=en".to_owned()],
            group_by: vec!["platform".to_owned(), "model".to_owned()],
            ..Asked::default()
        };
        let query = Query::new(&asked, now).expect("right");
        let answer = ask(&source, &query, runtime.handle(), &|_| ()).expect("answered");
        let compare = |source: &Source| {
            for window_hours in [1, 6, 24] {
                let series = watched(source, window_hours, now, runtime.handle());
                assert_eq!(series.len(), answer.groups.len());
                for group in &answer.groups {
                    let same = |own: &&WindowSeries| own.key["platform"] == group.key["platform"];
                    let own = series.iter().find(same).expect("the group");
                    let mut windows: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
                    for (place, period) in answer.periods.iter().enumerate() {
                        let start = period.millis.0 - period.millis.0.rem_euclid(window_hours * HOUR_MS);
                        let sums = windows.entry(start).or_default();
                        sums.0 += group.labelled[place];
                        sums.1 += group.series[0].count[place];
                    }
                    let found = own.windows.iter().map(|(start, own)| (*start, (own.labelled, own.count)));
                    assert_eq!(found.collect::<BTreeMap<_, _>>(), windows, "{window_hours}");
                    let means: Vec<f64> = group.series[0].mean.iter().flatten().copied().collect();
                    let own: Vec<f64> = own.windows.values().map(|own| own.mean).collect();
                    assert!(window_hours > 1 || own == means);
                }
            }
        };
        compare(&source);
        let written = source.into_written("a roll-up", &none, DEADLINE).expect("opened");
        roll_up(&written, runtime.handle(), Some(1), |_, _| ()).expect("rolled up");
        compare(&written);
    }
}
