//! The answer: what the table shows, and what `--format json` prints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use super::names::{Names, Shown};
use super::query::{Group as By, Query};
use super::range::Range;
use super::scan::Scanned;
use super::standouts;
use super::statistics::{share, wilson};
use super::tally::{Cell, Key};

/// Version of the answer: fields are added in one version, never renamed or given another meaning.
const SCHEMA: u32 = 1;

/// Words that posts have in common, by the names of what they are told apart by.
pub(crate) type GroupKey = BTreeMap<&'static str, Option<String>>;

/// Everything that was asked, and found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "Trends")]
pub(crate) struct Answer {
    pub(crate) schema: u32,
    /// As it was named.
    pub(crate) archive: String,
    pub(crate) asked: Question,
    /// Those that have labelled the posts, the one with most posts first.
    pub(crate) models: Vec<ModelPosts>,
    /// Those that are shown, in order.
    pub(crate) emotions: Vec<String>,
    pub(crate) periods: Vec<PeriodPosts>,
    /// The one with most posts first; one with an empty key when nothing is told apart.
    pub(crate) groups: Vec<GroupSeries>,
    pub(crate) standouts: Vec<Standout>,
    pub(crate) read: Read,
}

/// The question, with what was left open filled in.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Question {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) by: &'static str,
    pub(crate) time_zone: String,
    pub(crate) emotions: Vec<String>,
    #[serde(rename = "where")]
    pub(crate) filters: BTreeMap<&'static str, Vec<Option<String>>>,
    pub(crate) group_by: Vec<&'static str>,
}

/// A model and how many of the posts it has labelled.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ModelPosts {
    pub(crate) id: String,
    pub(crate) hash: String,
    pub(crate) posts: u64,
}

/// A period and its posts.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PeriodPosts {
    /// Local time with its offset.
    pub(crate) start: String,
    pub(crate) end: String,
    /// The same in milliseconds since 1970, for what is not JSON.
    #[serde(skip)]
    pub(crate) millis: (i64, i64),
    /// Null where nobody knows: a tree of `compact` or `label` does not say.
    pub(crate) complete: Option<bool>,
    pub(crate) labelled: u64,
    pub(crate) skipped: u64,
}

/// One group's figures; lists have a value for each period.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct GroupSeries {
    pub(crate) key: GroupKey,
    pub(crate) labelled: Vec<u64>,
    pub(crate) skipped: Vec<u64>,
    pub(crate) series: Vec<Series>,
}

/// One emotion's figures; lists have a value for each period.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Series {
    pub(crate) emotion: String,
    /// Posts labelled by a model that knows the emotion: what shares and means are of. Left out where it is the
    /// group's `labelled`, as it always is with one model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Vec<u64>>,
    /// Posts that have the label.
    pub(crate) count: Vec<u64>,
    /// Null in an empty period.
    pub(crate) share: Vec<Option<f64>>,
    /// 95 % Wilson interval.
    pub(crate) low: Vec<Option<f64>>,
    pub(crate) high: Vec<Option<f64>>,
    /// Mean score.
    pub(crate) mean: Vec<Option<f64>>,
    /// Share less that of the period before.
    pub(crate) change: Vec<Option<f64>>,
    /// Over all periods, for the table.
    #[serde(skip)]
    pub(crate) whole: Whole,
}

/// One emotion's figures over all periods.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whole {
    pub(crate) share: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) mean: Option<f64>,
}

/// An hour that stands out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Standout {
    /// Its beginning, local time with its offset.
    pub(crate) hour: String,
    /// The same in milliseconds since 1970.
    #[serde(skip)]
    pub(crate) start: i64,
    pub(crate) emotion: String,
    pub(crate) key: GroupKey,
    pub(crate) share: f64,
    /// The median of the same hour of other days.
    pub(crate) usual: f64,
    pub(crate) z: f64,
    pub(crate) labelled: u64,
    /// Whether all of the hour is there; null where nobody knows.
    pub(crate) complete: Option<bool>,
    pub(crate) examples: Vec<Example>,
}

/// A post that has the emotion.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Example {
    pub(crate) post_id: String,
    pub(crate) text: String,
    pub(crate) score: f32,
    pub(crate) platform: Option<String>,
    pub(crate) event_time: String,
}

/// What was read for it.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Read {
    pub(crate) files: u64,
    pub(crate) row_groups: u64,
    pub(crate) rows: u64,
    pub(crate) from_rollup: bool,
    pub(crate) seconds: f64,
}

/// The cells of one group: by period, and by hour.
#[derive(Default)]
struct Gathered {
    periods: HashMap<usize, Cell>,
    hours: HashMap<i64, Cell>,
    labelled: u64,
}

impl Answer {
    /// Computes it from tallies alone.
    pub(super) fn of(query: &Query, range: &Range, scanned: &Scanned, shown: &[Shown], archive: &str) -> Self {
        let Scanned { tally, names, read } = scanned;
        let mut groups: BTreeMap<Vec<Option<String>>, Gathered> = BTreeMap::new();
        for (key, cell) in &tally.cells {
            let group = groups.entry(words_of(query, key, names)).or_default();
            group.periods.entry(range.period(key.start)).or_default().add(cell);
            group.hours.entry(range.hour(key.start)).or_default().add(cell);
            group.labelled += cell.labelled;
        }
        if groups.is_empty() && query.group_by.is_empty() {
            groups.insert(Vec::new(), Gathered::default());
        }
        let mut groups: Vec<(Vec<Option<String>>, Gathered)> = groups.into_iter().collect();
        groups.sort_by(|one, other| other.1.labelled.cmp(&one.1.labelled).then_with(|| one.0.cmp(&other.0)));
        let key_of = |words: &[Option<String>]| -> GroupKey {
            query.group_by.iter().map(|by| by.name()).zip(words.iter().cloned()).collect()
        };
        let count = range.periods.len();
        let series: Vec<GroupSeries> =
            groups.iter().map(|(words, gathered)| group_series(key_of(words), gathered, shown, count)).collect();
        let periods = range.periods.iter().enumerate().map(|(number, period)| PeriodPosts {
            start: query.calendar.written(period.span.start),
            end: query.calendar.written(period.span.end),
            millis: (period.span.start, period.span.end),
            complete: period.complete,
            labelled: series.iter().map(|group| group.labelled[number]).sum(),
            skipped: series.iter().map(|group| group.skipped[number]).sum(),
        });
        let standouts =
            groups.iter().flat_map(|(words, gathered)| standouts::find(query, &key_of(words), &gathered.hours, shown));
        let standouts = standouts::foremost(standouts, query.standouts);
        let posts = names.models_by_posts().into_iter().filter(|model| model.chosen && model.posts > 0);
        let utc = |millis: i64| {
            jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |instant| instant.to_string())
        };
        Self {
            schema: SCHEMA,
            archive: archive.to_owned(),
            asked: Question {
                from: utc(range.span.start),
                to: utc(range.span.end),
                by: query.by.name(),
                time_zone: query.calendar.name().to_owned(),
                emotions: query.emotions().map(str::to_owned).collect(),
                filters: query
                    .filters
                    .iter()
                    .map(|filter| (filter.dimension.name(), filter.words.iter().cloned().collect()))
                    .collect(),
                group_by: query.group_by.iter().map(|by| by.name()).collect(),
            },
            models: posts
                .map(|model| ModelPosts { id: model.id.clone(), hash: model.hash.clone(), posts: model.posts })
                .collect(),
            emotions: shown.iter().map(|shown| shown.label.clone()).collect(),
            periods: periods.collect(),
            groups: series,
            standouts,
            read: Read { files: read.files, row_groups: read.row_groups, rows: read.rows, ..Read::default() },
        }
    }

    /// Whether nobody knows which periods are complete.
    pub(crate) fn completeness_is_unknown(&self) -> bool {
        self.periods.iter().any(|period| period.complete.is_none())
    }
}

/// The words of a key, in the order in which figures are told apart.
fn words_of(query: &Query, key: &Key, names: &Names) -> Vec<Option<String>> {
    let mut words = key.words.iter();
    let word = |by: &By| match by {
        By::Model => names.model(key.model).map(super::names::Model::name),
        By::Column(_) => words.next().and_then(|word| word.as_ref().map(|word: &Arc<str>| word.to_string())),
    };
    query.group_by.iter().map(word).collect()
}

fn group_series(key: GroupKey, gathered: &Gathered, shown: &[Shown], periods: usize) -> GroupSeries {
    let empty = Cell::default();
    let cells: Vec<&Cell> = (0..periods).map(|period| gathered.periods.get(&period).unwrap_or(&empty)).collect();
    let labelled: Vec<u64> = cells.iter().map(|cell| cell.labelled).collect();
    let series = shown.iter().map(|shown| {
        let sums: Vec<_> = cells.iter().map(|cell| cell.emotion(shown.number)).collect();
        let shares: Vec<Option<f64>> = sums.iter().map(|sums| share(sums.count, sums.labelled)).collect();
        let bounds: Vec<_> = sums.iter().map(|sums| wilson(sums.count, sums.labelled)).collect();
        let change = (0..periods).map(|period| Some(shares[period]? - shares[period.checked_sub(1)?]?));
        let of: Vec<u64> = sums.iter().map(|sums| sums.labelled).collect();
        let mut whole = super::tally::Sums::default();
        for sums in &sums {
            whole.add(sums);
        }
        Series {
            emotion: shown.label.clone(),
            count: sums.iter().map(|sums| sums.count).collect(),
            low: bounds.iter().map(|bounds| bounds.map(|(low, _)| low)).collect(),
            high: bounds.iter().map(|bounds| bounds.map(|(_, high)| high)).collect(),
            mean: sums.iter().map(super::tally::Sums::mean).collect(),
            change: change.collect(),
            share: shares,
            of: (of != labelled).then_some(of),
            whole: Whole {
                share: share(whole.count, whole.labelled),
                interval: wilson(whole.count, whole.labelled),
                mean: whole.mean(),
            },
        }
    });
    let series = series.collect();
    GroupSeries { key, skipped: cells.iter().map(|cell| cell.skipped).collect(), labelled, series }
}

/// The JSON schema of an answer, as the committed file holds it.
pub(crate) fn schema_text() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    format!("{:#}\n", settings.into_generator().into_root_schema_for::<Answer>().to_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::assert_committed;

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/trends.schema.json", &schema_text());
    }
}
