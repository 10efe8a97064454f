//! The roll-up: tallies of whole hours by platform, language and model, kept beside the archive.
//!
//! One Parquet file a day, `_state/rollup/<date>/<generation>.parquet`, names the files that each hour was counted from.
//! A question takes an hour from it only while the archive holds exactly those files for that hour, and reads the
//! others, so an answer is the same as from the files alone: a tally is whole numbers. Everything in it can be made
//! again; one that cannot be read is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{Int64Type, TimestampMillisecondType, UInt32Type};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::error::TrendsError;
use super::names::Names;
use super::query::{Asked, Dimension, Query};
use super::range::{Range, Span};
use super::scan::{Counted, Scan};
use super::source::{DataFile, Found, Source};
use super::tally::{Cell, Key, Sums, Tally};
use crate::archive::footer::Labelling;
use crate::archive::hour::Hour;
use crate::archive::layout::ROLLUP;
use crate::archive::store::Created;

/// What it is, to who wants it where nothing is kept.
pub(crate) const KEPT: &str = "a roll-up";
/// Version of the files.
const FORMAT: u32 = 1;
/// The footer's key.
const ABOUT: &str = "moodstream.rollup";
/// Days that are read at the same time.
const READS: usize = 16;
/// What its cells are told apart by, beside the model.
const DIMENSIONS: [Dimension; 2] = [Dimension::Platform, Dimension::Lang];

/// What a file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    format: u32,
    /// The files that each hour was counted from.
    hours: BTreeMap<String, Vec<Covered>>,
    /// By their numbers in the rows.
    models: Vec<ModelAbout>,
}

/// A file that was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Covered {
    path: String,
    size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ModelAbout {
    hash: String,
    id: String,
    /// Each label and its column.
    labels: Vec<(String, String)>,
}

/// What a question takes from the roll-up.
#[derive(Debug, Default)]
pub(super) struct Rolled {
    pub(super) names: Names,
    pub(super) tally: Tally,
    /// Hours that need not be read.
    pub(super) hours: BTreeSet<Hour>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RolledUp {
    /// Days that were written anew.
    pub(crate) days: u64,
    /// Days that were as they should be.
    pub(crate) unchanged: u64,
    /// Hours that were read for it.
    pub(crate) hours: u64,
    pub(crate) rows: u64,
}

/// Takes from the roll-up what it answers of a question.
pub(super) async fn take(source: &Source, query: &Query, range: &Range, found: &Found) -> Result<Rolled, TrendsError> {
    let mut rolled = Rolled::default();
    let known = |dimension: &Dimension| DIMENSIONS.contains(dimension);
    let asked = query.dimensions().into_iter().chain(query.filters.iter().map(|filter| filter.dimension));
    if !asked.into_iter().all(|dimension| known(&dimension)) {
        return Ok(rolled);
    }
    let now = covered(&found.files);
    let newest = newest(source).await?;
    let wanted = newest.into_iter().filter(|(date, _)| now.keys().any(|hour| hour.starts_with(date.as_str())));
    let reads = stream::iter(wanted)
        .map(|(_, (_, path))| async move { Ok::<_, TrendsError>((source.store.get(&path).await?, path)) });
    let files: Vec<(Option<Bytes>, String)> = reads.buffered(READS).try_collect().await?;
    for (bytes, path) in files {
        let Some(day) = bytes.and_then(|bytes| Day::read(&bytes, &path)) else { continue };
        let holds = |hour: &Hour| {
            let name = hour.to_string();
            let whole = [Span { start: hour.start(), end: hour.end() }];
            day.about.hours.get(&name).is_some_and(|files| now.get(&name) == Some(files))
                && range.pieces(*hour) == whole
        };
        let hours: BTreeSet<Hour> = day.about.hours.keys().filter_map(|hour| hour.parse().ok()).filter(holds).collect();
        if day.add(query, &hours, &mut rolled.names, &mut rolled.tally).is_some() {
            rolled.hours.extend(hours);
        } else {
            // Half of it may have been added.
            tracing::warn!(path, "the roll-up is not as it should be and is passed over");
            return Ok(Rolled::default());
        }
    }
    Ok(rolled)
}

/// Brings the roll-up of an archive up to date. `progress` is told of each day.
///
/// # Errors
/// When the archive cannot be read, or the roll-up cannot be written.
pub(crate) fn roll_up(
    source: &Source,
    runtime: &Handle,
    threads: Option<usize>,
    mut progress: impl FnMut(&str, &RolledUp),
) -> Result<RolledUp, TrendsError> {
    source.keeps(KEPT)?;
    let asked =
        Asked { group_by: ["platform", "lang", "model"].map(str::to_owned).to_vec(), threads, ..Asked::default() };
    let query = Query::new(&asked, jiff::Timestamp::now())?;
    let found = runtime.block_on(source.find(&query))?;
    let newest = runtime.block_on(newest(source))?;
    let now = covered(&found.files);
    let mut by_date: BTreeMap<&str, BTreeMap<&String, &Vec<Covered>>> = BTreeMap::new();
    for (hour, files) in &now {
        by_date.entry(&hour[..10]).or_default().insert(hour, files);
    }
    let mut done = RolledUp::default();
    for (date, hours) in by_date {
        let last = newest.get(date);
        let old = match last {
            Some((_, path)) => runtime.block_on(source.store.get(path))?.and_then(|bytes| Day::read(&bytes, path)),
            None => None,
        };
        let kept = |hour: &&String| old.as_ref().is_some_and(|old| old.about.hours.get(*hour) == Some(hours[hour]));
        let (same, stale): (Vec<&String>, Vec<&String>) = hours.keys().copied().partition(kept);
        if stale.is_empty() && old.as_ref().is_some_and(|old| old.about.hours.len() == same.len()) {
            done.unchanged += 1;
            continue;
        }
        let parsed =
            |hours: &[&String]| -> BTreeSet<Hour> { hours.iter().filter_map(|hour| hour.parse().ok()).collect() };
        let (mut names, mut tally) = (Names::default(), Tally::default());
        if let Some(old) = &old
            && old.add(&query, &parsed(&same), &mut names, &mut tally).is_none()
        {
            let path = last.map_or_else(String::new, |(_, path)| path.clone());
            return Err(TrendsError::Damaged { path, reason: "remove it, and it is made again".to_owned() });
        }
        let part = found.only(&parsed(&stale));
        if !part.files.is_empty() {
            let range = Range::of(&query, &part)?;
            let scan =
                Scan { source, query: &query, range: &range, found: &part, runtime, threads: source.threads(&query) };
            let scanned = scan.run(Counted::Everything, names, &|_| ())?;
            tally.merge(scanned.tally);
            names = scanned.names;
            done.rows += scanned.read.rows;
        }
        let about = About {
            format: FORMAT,
            hours: hours.iter().map(|(hour, files)| ((*hour).clone(), (*files).clone())).collect(),
            models: names.all().map(|(hash, id, labels)| ModelAbout { hash, id, labels }).collect(),
        };
        let bytes = write(&about, &names, &tally)?;
        let generation = last.map_or(0, |(generation, _)| *generation) + 1;
        let path = format!("{ROLLUP}/{date}/{generation:06}.parquet");
        let created = runtime.block_on(source.store.create(&path, bytes.into()))?;
        // Another one was first with the same.
        if created == Created::New {
            for older in runtime.block_on(source.store.list(&format!("{ROLLUP}/{date}")))? {
                if older.path < path {
                    runtime.block_on(source.store.delete(&older.path))?;
                }
            }
        }
        done.days += 1;
        done.hours += stale.len() as u64;
        progress(date, &done);
    }
    Ok(done)
}

/// The files of each hour, by its name.
fn covered(files: &[DataFile]) -> BTreeMap<String, Vec<Covered>> {
    let mut covered: BTreeMap<String, Vec<Covered>> = BTreeMap::new();
    for file in files {
        covered.entry(file.hour.to_string()).or_default().push(Covered { path: file.path.clone(), size: file.size });
    }
    covered
}

/// The newest file of each date, with its generation.
async fn newest(source: &Source) -> Result<BTreeMap<String, (u32, String)>, TrendsError> {
    let mut newest = BTreeMap::new();
    for found in source.store.list(ROLLUP).await? {
        let below = found.path.strip_prefix(ROLLUP).unwrap_or_default().trim_start_matches('/');
        let parsed = below.split_once('/').and_then(|(date, name)| {
            let generation: u32 = name.strip_suffix(".parquet")?.parse().ok()?;
            Some((date.to_owned(), generation))
        });
        // In the order of paths: a later one is newer.
        if let Some((date, generation)) = parsed {
            newest.insert(date, (generation, found.path));
        }
    }
    Ok(newest)
}

/// A day of the roll-up.
struct Day {
    about: About,
    batches: Vec<RecordBatch>,
}

impl Day {
    /// None when it cannot be read.
    fn read(bytes: &Bytes, path: &str) -> Option<Self> {
        let day = || {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).ok()?;
            let pairs = reader.metadata().file_metadata().key_value_metadata()?;
            let about = pairs.iter().find(|pair| pair.key == ABOUT)?.value.as_ref()?;
            let about: About = serde_json::from_str(about).ok().filter(|about: &About| about.format == FORMAT)?;
            let batches: Result<Vec<RecordBatch>, _> = reader.build().ok()?.collect();
            Some(Self { about, batches: batches.ok()? })
        };
        let day = day();
        if day.is_none() {
            tracing::warn!(path, "a file of the roll-up cannot be read and is passed over");
        }
        day
    }

    /// Adds the rows of these hours that are asked for. None when they are not what they should be.
    fn add(&self, query: &Query, hours: &BTreeSet<Hour>, names: &mut Names, tally: &mut Tally) -> Option<()> {
        let models: Vec<Option<(usize, BTreeMap<String, usize>)>> = self
            .about
            .models
            .iter()
            .map(|model| {
                let labelling = Labelling { model_id: model.id.clone(), labels: model.labels.clone() };
                let chosen = query.chooses(&model.hash, &model.id);
                let (number, numbers) = names.meet(&model.hash, &labelling, chosen);
                let columns = model.labels.iter().map(|(_, column)| column.clone()).zip(numbers);
                chosen.then(|| (number, columns.filter(|(column, _)| query.wants(column)).collect()))
            })
            .collect();
        for batch in &self.batches {
            let strings = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
            let numbers = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
            let starts = batch.column_by_name("hour")?.as_primitive_opt::<TimestampMillisecondType>()?;
            let model_numbers = batch.column_by_name("model")?.as_primitive_opt::<UInt32Type>()?;
            let (platforms, langs, emotions) = (strings("platform")?, strings("lang")?, strings("emotion")?);
            let [labelled, skipped, count, sum, squares] =
                [numbers("labelled")?, numbers("skipped")?, numbers("count")?, numbers("sum")?, numbers("squares")?];
            for row in 0..batch.num_rows() {
                let Some((model, columns)) = models.get(usize::try_from(model_numbers.value(row)).ok()?)? else {
                    continue;
                };
                if !hours.contains(&Hour::of(starts.value(row))) {
                    continue;
                }
                let word = |dimension: Dimension| {
                    let words = if dimension == Dimension::Platform { platforms } else { langs };
                    words.is_valid(row).then(|| words.value(row))
                };
                let fits =
                    |filter: &super::query::Filter| filter.words.contains(&word(filter.dimension).map(str::to_owned));
                if !query.filters.iter().all(fits) {
                    continue;
                }
                let words = query.dimensions().into_iter().map(|dimension| word(dimension).map(Arc::from)).collect();
                let key = Key { start: starts.value(row), model: *model, words };
                let value = |of: &Int64Array| u64::try_from(of.value(row)).ok();
                let cell = if emotions.is_null(row) {
                    Cell { labelled: value(labelled)?, skipped: value(skipped)?, emotions: Vec::new() }
                } else {
                    let Some(number) = columns.get(emotions.value(row)) else { continue };
                    let mut emotions = vec![Sums::default(); number + 1];
                    emotions[*number] = Sums {
                        labelled: value(labelled)?,
                        count: value(count)?,
                        sum: sum.value(row).into(),
                        squares: squares.value(row).into(),
                    };
                    Cell { labelled: 0, skipped: 0, emotions }
                };
                tally.add(key, &cell);
            }
        }
        Some(())
    }
}

/// A row of a day's file.
struct Row<'a> {
    key: &'a Key,
    /// Column of the scores; none: of the cell as a whole.
    emotion: Option<&'a str>,
    labelled: u64,
    skipped: u64,
    sums: Sums,
}

/// A day's file: a row for each cell, with no emotion, and one for each of its emotions.
fn write(about: &About, names: &Names, tally: &Tally) -> Result<Vec<u8>, TrendsError> {
    let unwritten = |error: String| TrendsError::Unwritten(format!("the roll-up cannot be encoded: {error}"));
    let mut cells: Vec<(&Key, &Cell)> = tally.cells.iter().collect();
    cells.sort_unstable_by_key(|(key, _)| *key);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (key, cell) in cells {
        let (labelled, skipped) = (cell.labelled, cell.skipped);
        rows.push(Row { key, emotion: None, labelled, skipped, sums: Sums::default() });
        for (number, sums) in cell.emotions.iter().enumerate().filter(|(_, sums)| sums.labelled > 0) {
            let (emotion, labelled) = (names.column(number), sums.labelled);
            rows.push(Row { key, emotion, labelled, skipped: 0, sums: *sums });
        }
    }
    let whole = |of: &dyn Fn(&Row<'_>) -> i128| -> Result<ArrayRef, TrendsError> {
        let values: Result<Vec<i64>, _> = rows.iter().map(|row| i64::try_from(of(row))).collect();
        let too_large = |_| unwritten("an hour has more posts than its sums can hold".to_owned());
        Ok(Arc::new(Int64Array::from(values.map_err(too_large)?)))
    };
    let words = |place: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.key.words[place].as_deref()).collect::<StringArray>())
    };
    let starts = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.key.start)).with_timezone("UTC");
    let models = UInt32Array::from_iter_values(rows.iter().map(|row| u32::try_from(row.key.model).unwrap_or(u32::MAX)));
    let emotions: StringArray = rows.iter().map(|row| row.emotion).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("hour", Arc::new(starts), false),
        ("model", Arc::new(models), false),
        ("platform", words(0), true),
        ("lang", words(1), true),
        ("emotion", Arc::new(emotions), true),
        ("labelled", whole(&|row| row.labelled.into())?, false),
        ("skipped", whole(&|row| row.skipped.into())?, false),
        ("count", whole(&|row| row.sums.count.into())?, false),
        ("sum", whole(&|row| row.sums.sum)?, false),
        ("squares", whole(&|row| row.sums.squares)?, false),
    ];
    let json = serde_json::to_string(about).map_err(|error| unwritten(error.to_string()))?;
    let encode = || {
        let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.append_key_value_metadata(KeyValue::new(ABOUT.to_owned(), json));
        writer.into_inner()
    };
    encode().map_err(|error: parquet::errors::ParquetError| unwritten(error.to_string()))
}
