//! Example posts of hours that stand out: those with the highest scores among those that have the label, if their text
//! was kept.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float32Type, TimestampMillisecondType};
use jiff::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::answer::{Answer, Example, GroupKey, Standout};
use super::calendar::By;
use super::error::TrendsError;
use super::names::Names;
use super::query::Group;
use super::range::Span;
use super::scan::Scan;
use super::source::DataFile;
use crate::archive::footer::{Labelling, Stated};

/// Posts of each hour that stands out.
const EACH: usize = 3;

/// Adds examples to the hours in which an emotion was more frequent than usual: for one that was rarer there are none.
pub(super) fn add(scan: &Scan<'_>, names: &Names, answer: &mut Answer) -> Result<(), TrendsError> {
    for standout in &mut answer.standouts {
        let calendar = &scan.query.calendar;
        let end = calendar.next(standout.start, By::Hour).min(scan.range.span.end);
        standout.complete = scan.found.is_complete(Span { start: standout.start, end }, scan.query.now);
        if standout.z < 0.0 {
            continue;
        }
        let wanted = Wanted { standout: standout.clone(), end };
        let overlapping = |file: &&DataFile| file.hour.start() < end && file.hour.end() > standout.start;
        let mut best: Vec<Example> = Vec::new();
        for file in scan.found.files.iter().filter(overlapping) {
            best.extend(wanted.of_file(scan, names, file)?);
            best.sort_by(by_score);
            best.truncate(EACH);
        }
        standout.examples = best;
    }
    Ok(())
}

/// The highest score first; of equal ones always the same first.
fn by_score(one: &Example, other: &Example) -> Ordering {
    other.score.total_cmp(&one.score).then_with(|| one.post_id.cmp(&other.post_id))
}

fn is_of_model(key: &GroupKey, names: &Names, hash: &str) -> bool {
    let Some(Some(model)) = key.get(Group::Model.name()) else { return true };
    names.models_by_posts().into_iter().any(|known| known.hash == hash && known.name() == *model)
}

/// A column of words, and the words of it that are wanted; none stands for no word.
type Condition<'a> = (&'a StringArray, Vec<Option<&'a str>>);

struct Wanted {
    standout: Standout,
    end: i64,
}

impl Wanted {
    fn of_file(&self, scan: &Scan<'_>, names: &Names, file: &DataFile) -> Result<Vec<Example>, TrendsError> {
        let damaged = TrendsError::damaged(&file.path);
        let bytes = scan.runtime.block_on(scan.source.store.get(&file.path))?;
        let bytes = bytes.ok_or_else(|| TrendsError::Gone(file.path.clone()))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(&damaged)?;
        let foreign = |error: crate::archive::footer::NoFooter| TrendsError::Damaged {
            path: file.path.clone(),
            reason: error.to_string(),
        };
        let stated = Stated::of(reader.metadata()).map_err(foreign)?;
        let labelling = Labelling::of(reader.metadata()).map_err(foreign)?;
        let own = scan.query.chooses(&stated.model_hash, &labelling.model_id)
            && is_of_model(&self.standout.key, names, &stated.model_hash);
        let emotion = crate::archive::columns::name_of(&self.standout.emotion);
        let Some((label, column)) = labelling.labels.into_iter().find(|(_, column)| *column == emotion).filter(|_| own)
        else {
            return Ok(Vec::new());
        };
        let mut columns: Vec<&str> = vec!["post_id", "text", "event_time", "labels", "platform"];
        columns.extend(scan.query.filters.iter().map(|filter| filter.dimension.name()));
        columns.extend(scan.query.dimensions().into_iter().map(super::query::Dimension::name));
        let schema = reader.parquet_schema();
        let wanted = |leaf: &usize| {
            let path = schema.column(*leaf);
            path.path().parts().first().is_some_and(|root| *root == column || columns.contains(&root.as_str()))
        };
        let projection = ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(wanted));
        let mut best = Vec::new();
        for batch in reader.with_projection(projection).build().map_err(&damaged)? {
            let batch = batch.map_err(|error| damaged(error.into()))?;
            let found = self.of_batch(scan, &batch, &label, &column);
            best.extend(found.ok_or_else(|| {
                damaged(parquet::errors::ParquetError::General(
                    "its columns are not those that moodstream schema archive describes".to_owned(),
                ))
            })?);
            best.sort_by(by_score);
            best.truncate(EACH);
        }
        Ok(best)
    }

    /// None when the columns are not what they should be.
    fn of_batch(&self, scan: &Scan<'_>, batch: &RecordBatch, label: &str, column: &str) -> Option<Vec<Example>> {
        let strings = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let (ids, texts, platforms) = (strings("post_id")?, strings("text")?, strings("platform")?);
        let times = batch.column_by_name("event_time")?.as_primitive_opt::<TimestampMillisecondType>()?;
        let scores = batch.column_by_name(column)?.as_primitive_opt::<Float32Type>()?;
        let labels = batch.column_by_name("labels")?.as_list_opt::<i32>()?;
        let mut conditions: Vec<Condition<'_>> = Vec::new();
        for filter in &scan.query.filters {
            let wanted = filter.words.iter().map(Option::as_deref).collect();
            conditions.push((strings(filter.dimension.name())?, wanted));
        }
        for dimension in scan.query.dimensions() {
            let wanted = self.standout.key.get(dimension.name())?.as_deref();
            conditions.push((strings(dimension.name())?, vec![wanted]));
        }
        let word = |of: &StringArray, row: usize| of.is_valid(row).then(|| of.value(row).to_owned());
        let mut found = Vec::new();
        for row in 0..batch.num_rows() {
            let time = times.value(row);
            if time < self.standout.start || time >= self.end || scores.is_null(row) || texts.is_null(row) {
                continue;
            }
            let fits = |(of, wanted): &Condition<'_>| wanted.contains(&of.is_valid(row).then(|| of.value(row)));
            if !conditions.iter().all(fits) || labels.is_null(row) {
                continue;
            }
            let given = labels.value(row);
            if !given.as_string_opt::<i32>()?.iter().any(|given| given == Some(label)) {
                continue;
            }
            found.push(Example {
                post_id: ids.value(row).to_owned(),
                text: texts.value(row).to_owned(),
                score: scores.value(row),
                platform: word(platforms, row),
                event_time: Timestamp::from_millisecond(time).ok()?.to_string(),
            });
        }
        Some(found)
    }
}
