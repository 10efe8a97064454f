//! The rows of a row group become counts and sums, column by column.
//!
//! Each row gets a code: a number for the part of the hour, the platform and so on that it shares with others; 0 is for
//! rows that are not asked for. Words are read as the dictionaries they are stored as, so no string is looked at twice.
//! Mostly all rows have one code, and then a column is a plain sum.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float32Type, Int32Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::TrendsError;
use super::file::{Group, Opened, Parts, Status, Word};
use super::tally::{Cell, EXCESS, Key, Sums, is_score, raw};

/// Rows that are decoded at once: their columns fit a core's cache.
const BATCH: usize = 16_384;
/// The code of rows that are not asked for.
const NONE: u32 = 0;
/// Above so many words of a column, pairs are looked up by hash instead of by position.
const MOST_WORDS: usize = 1024;
/// A label that is not wanted.
const UNWANTED: u32 = u32::MAX;
/// One that the model does not have.
const UNKNOWN: u32 = u32::MAX - 1;

type Words = DictionaryArray<Int32Type>;

/// Counts the rows of a row group.
///
/// # Errors
/// When it is damaged, or not as the archive writes it.
pub(super) fn count(file: &Opened, group: &Group, parts: Option<Parts>) -> Result<Vec<(Key, Cell)>, TrendsError> {
    let mut counting = Counting::new(file, group);
    match parts {
        None => counting.count_unread(group.rows),
        Some(parts) => {
            let damaged = TrendsError::damaged(&file.path);
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(parts, file.reader.clone())
                .with_row_groups(vec![group.index])
                .with_projection(file.projection(group))
                .with_batch_size(BATCH);
            for batch in builder.build().map_err(&damaged)? {
                counting.count(&batch.map_err(|error| damaged(error.into()))?)?;
            }
        }
    }
    Ok(counting.finish())
}

/// Codes of pairs: of what is told apart so far, and of one more word.
struct Pairs {
    /// The pair that each code stands for; the first is nobody's.
    met: Vec<(u32, u32)>,
    by_position: Vec<Vec<u32>>,
    by_hash: HashMap<(u32, u32), u32>,
}

impl Pairs {
    fn new() -> Self {
        Self { met: vec![(NONE, 0)], by_position: Vec::new(), by_hash: HashMap::new() }
    }

    fn code(&mut self, before: u32, word: u32) -> u32 {
        if before == NONE {
            return NONE;
        }
        let (row, column) = (before as usize, word as usize);
        if column >= MOST_WORDS {
            let next = u32::try_from(self.met.len()).unwrap_or(u32::MAX);
            let code = *self.by_hash.entry((before, word)).or_insert(next);
            if code == next {
                self.met.push((before, word));
            }
            return code;
        }
        if self.by_position.len() <= row {
            self.by_position.resize_with(row + 1, Vec::new);
        }
        let known = &mut self.by_position[row];
        if known.len() <= column {
            known.resize(column + 1, NONE);
        }
        if known[column] == NONE {
            known[column] = u32::try_from(self.met.len()).unwrap_or(u32::MAX);
            self.met.push((before, word));
        }
        known[column]
    }
}

/// The words of a column, numbered as they are met; 0 is none.
struct Numbers {
    words: Vec<Option<Arc<str>>>,
    known: HashMap<Arc<str>, u32>,
}

impl Numbers {
    fn new() -> Self {
        Self { words: vec![None], known: HashMap::new() }
    }

    fn of(&mut self, word: &str) -> u32 {
        if let Some(known) = self.known.get(word) {
            return *known;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let word: Arc<str> = word.into();
        self.words.push(Some(word.clone()));
        self.known.insert(word, number);
        number
    }
}

/// One emotion's figures, by code.
#[derive(Default)]
struct Figures {
    sums: Vec<i64>,
    squares: Vec<i64>,
    counts: Vec<u64>,
}

struct Counting<'a> {
    file: &'a Opened,
    group: &'a Group,
    /// Of each column of words that is read.
    stages: Vec<(Pairs, Numbers)>,
    /// By code.
    labelled: Vec<u64>,
    skipped: Vec<u64>,
    figures: Vec<Figures>,
}

/// The codes of the rows of a batch.
enum Codes {
    All(u32),
    Each(Vec<u32>),
}

impl<'a> Counting<'a> {
    fn new(file: &'a Opened, group: &'a Group) -> Self {
        let read = group.words.iter().filter(|word| matches!(word, Word::Read(_)));
        let stages = read.map(|_| (Pairs::new(), Numbers::new())).collect();
        let figures = file.emotions.iter().map(|_| Figures::default()).collect();
        let mut counting = Self { file, group, stages, labelled: Vec::new(), skipped: Vec::new(), figures };
        counting.make_room();
        counting
    }

    /// How many codes there are so far.
    fn codes(&self) -> usize {
        self.stages.last().map_or(self.group.pieces.len() + 1, |(pairs, _)| pairs.met.len())
    }

    fn make_room(&mut self) {
        let codes = self.codes();
        self.labelled.resize(codes, 0);
        self.skipped.resize(codes, 0);
        for figures in &mut self.figures {
            figures.sums.resize(codes, 0);
            figures.squares.resize(codes, 0);
            figures.counts.resize(codes, 0);
        }
    }

    /// Everything that is asked is known from statistics.
    fn count_unread(&mut self, rows: u64) {
        // With no column to read there is one part of the hour, and one status.
        let into = if self.group.status == Status::Skipped { &mut self.skipped } else { &mut self.labelled };
        into[1] += rows;
    }

    fn count(&mut self, batch: &RecordBatch) -> Result<(), TrendsError> {
        let rows = batch.num_rows();
        let codes = self.code(batch)?;
        self.make_room();
        let (codes, given) = match self.group.status {
            Status::Labelled => (codes, None),
            Status::Skipped => {
                add(&mut self.skipped, &codes, rows);
                return Ok(());
            }
            Status::Mixed => {
                let given = self.given(batch)?;
                let mut codes = match codes {
                    Codes::All(code) => vec![code; rows],
                    Codes::Each(codes) => codes,
                };
                for (row, code) in codes.iter_mut().enumerate() {
                    if !given.value(row) {
                        self.skipped[*code as usize] += 1;
                        *code = NONE;
                    }
                }
                (Codes::Each(codes), Some(given))
            }
        };
        add(&mut self.labelled, &codes, rows);
        if self.figures.is_empty() {
            return Ok(());
        }
        for place in 0..self.figures.len() {
            self.sum(batch, place, &codes, given.as_ref())?;
        }
        self.count_labels(batch, &codes)
    }

    /// The code of each row.
    fn code(&mut self, batch: &RecordBatch) -> Result<Codes, TrendsError> {
        let rows = batch.num_rows();
        let mut codes = Codes::All(1);
        if self.group.reads_time {
            let times = self.column(batch, "event_time")?.as_primitive_opt::<TimestampMillisecondType>();
            let times = times.ok_or_else(|| self.odd("event_time", "of another type"))?;
            let code = |time: &i64| {
                let piece =
                    self.group.pieces.iter().zip(1..).find(|(piece, _)| piece.start <= *time && *time < piece.end);
                piece.map_or(NONE, |(_, code)| code)
            };
            codes = Codes::Each(times.values().iter().map(code).collect());
        }
        for filter in &self.group.filters {
            let words = self.words(batch, filter.dimension.name())?;
            let values = self.strings(words, filter.dimension.name())?;
            let wanted: Vec<bool> =
                (0..values.len()).map(|at| filter.words.contains(&Some(values.value(at).to_owned()))).collect();
            let without = filter.words.contains(&None);
            let each = each(codes, rows);
            let keep = |(code, key): (u32, Option<i32>)| {
                let wanted = key.map_or(without, |key| wanted.get(index(key)).copied().unwrap_or(false));
                if wanted { code } else { NONE }
            };
            codes = Codes::Each(each.into_iter().zip(words.keys().iter()).map(keep).collect());
        }
        let read = self.group.words.iter().filter_map(|word| match word {
            Word::Read(dimension) => Some(dimension.name()),
            Word::Known(_) => None,
        });
        for (stage, name) in read.enumerate() {
            let words = self.words(batch, name)?;
            let values = self.strings(words, name)?;
            let (pairs, numbers) = &mut self.stages[stage];
            let known: Vec<u32> = (0..values.len()).map(|at| numbers.of(values.value(at))).collect();
            let number = |key: Option<i32>| key.map_or(0, |key| known.get(index(key)).copied().unwrap_or(0));
            let each = each(codes, rows);
            let more = each.into_iter().zip(words.keys().iter()).map(|(code, key)| pairs.code(code, number(key)));
            codes = Codes::Each(more.collect());
        }
        Ok(codes)
    }

    /// Which rows are labelled.
    fn given(&self, batch: &RecordBatch) -> Result<BooleanBuffer, TrendsError> {
        let words = self.words(batch, "status")?;
        let values = self.strings(words, "status")?;
        let mut meanings = Vec::with_capacity(values.len());
        for at in 0..values.len() {
            meanings.push(match values.value(at) {
                "labelled" => true,
                "skipped" => false,
                other => return Err(self.odd("status", &format!("\"{other}\", neither labelled nor skipped"))),
            });
        }
        if words.null_count() > 0 {
            return Err(self.odd("status", "null"));
        }
        let keys = words.keys().values();
        Ok(BooleanBuffer::collect_bool(keys.len(), |row| meanings.get(index(keys[row])).copied().unwrap_or(false)))
    }

    /// Adds up the scores of one emotion.
    fn sum(
        &mut self,
        batch: &RecordBatch,
        place: usize,
        codes: &Codes,
        given: Option<&BooleanBuffer>,
    ) -> Result<(), TrendsError> {
        let name = &self.file.emotions[place].1;
        let scores: &PrimitiveArray<Float32Type> =
            self.column(batch, name)?.as_primitive_opt().ok_or_else(|| self.odd(name, "of another type"))?;
        let as_given = match (scores.nulls(), given) {
            (None, None) => true,
            (Some(valid), Some(given)) => valid.inner() == given,
            (Some(valid), None) => valid.null_count() == 0,
            (None, Some(given)) => given.count_set_bits() == given.len(),
        };
        if !as_given {
            return Err(self.odd(name, "null in a labelled post, or not null in a skipped one"));
        }
        let values: &[f32] = scores.values();
        let figures = &mut self.figures[place];
        let mut sound = true;
        match codes {
            Codes::All(code) => {
                let (mut sum, mut squares) = (0_i64, 0_i64);
                for score in values {
                    let (one, square) = raw(*score);
                    sum = sum.wrapping_add(one);
                    squares = squares.wrapping_add(square);
                    sound &= is_score(*score);
                }
                let code = *code as usize;
                figures.sums[code] = figures.sums[code].wrapping_add(sum);
                figures.squares[code] = figures.squares[code].wrapping_add(squares);
            }
            Codes::Each(codes) => {
                for (score, code) in values.iter().zip(codes) {
                    let ((one, square), code) = (raw(*score), *code as usize);
                    figures.sums[code] = figures.sums[code].wrapping_add(one);
                    figures.squares[code] = figures.squares[code].wrapping_add(square);
                    sound &= is_score(*score);
                }
            }
        }
        if sound { Ok(()) } else { Err(self.odd(name, "no probability")) }
    }

    /// Counts the posts that have each label.
    fn count_labels(&mut self, batch: &RecordBatch, codes: &Codes) -> Result<(), TrendsError> {
        let odd = || self.odd("labels", "of another type");
        let lists: &ListArray = self.column(batch, "labels")?.as_list_opt().ok_or_else(odd)?;
        let labels: &Words = lists.values().as_dictionary_opt().ok_or_else(odd)?;
        let values = self.strings(labels, "labels")?;
        let places: Vec<u32> = (0..values.len())
            .map(|at| match self.file.labels.get(values.value(at)) {
                Some(Some(place)) => u32::try_from(*place).unwrap_or(UNWANTED),
                Some(None) => UNWANTED,
                None => UNKNOWN,
            })
            .collect();
        let (offsets, keys) = (lists.value_offsets(), labels.keys().values());
        // The last row that had the label: one that is given twice counts once.
        let mut last = vec![usize::MAX; self.figures.len()];
        for (row, bounds) in offsets.windows(2).enumerate() {
            let code = match codes {
                Codes::All(code) => *code,
                Codes::Each(codes) => codes[row],
            };
            for key in &keys[index(bounds[0])..index(bounds[1])] {
                let place = places.get(index(*key)).copied().unwrap_or(UNKNOWN);
                if place < UNKNOWN {
                    let place = place as usize;
                    if last[place] != row {
                        last[place] = row;
                        self.figures[place].counts[code as usize] += 1;
                    }
                } else if place == UNKNOWN {
                    let label = values.value(index(*key).min(values.len().saturating_sub(1))).to_owned();
                    return Err(self.odd("labels", &format!("\"{label}\", which is none of moodstream.labels")));
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Vec<(Key, Cell)> {
        let mut cells = Vec::new();
        for code in 1..self.codes() {
            let (labelled, skipped) = (self.labelled[code], self.skipped[code]);
            if labelled == 0 && skipped == 0 {
                continue;
            }
            let most = self.file.emotions.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
            let mut emotions = vec![Sums::default(); most];
            for ((number, _), figures) in self.file.emotions.iter().zip(&self.figures) {
                let excess = EXCESS.wrapping_mul(labelled.cast_signed());
                let exact = |sum: i64| i128::from(sum.wrapping_sub(excess));
                let (sum, squares) = (exact(figures.sums[code]), exact(figures.squares[code]));
                emotions[*number] = Sums { labelled, count: figures.counts[code], sum, squares };
            }
            cells.push((self.key(code), Cell { labelled, skipped, emotions }));
        }
        cells
    }

    /// What a code stands for.
    fn key(&self, code: usize) -> Key {
        let mut words = Vec::with_capacity(self.group.words.len());
        let (mut code, mut stage) = (u32::try_from(code).unwrap_or(NONE), self.stages.len());
        for word in self.group.words.iter().rev() {
            words.push(match word {
                Word::Known(word) => word.clone(),
                Word::Read(_) => {
                    stage -= 1;
                    let (pairs, numbers) = &self.stages[stage];
                    let (before, number) = pairs.met[code as usize];
                    code = before;
                    numbers.words[number as usize].clone()
                }
            });
        }
        words.reverse();
        let piece = (code as usize).saturating_sub(1);
        Key { start: self.group.pieces[piece].start, model: self.file.model, words: words.into() }
    }

    fn column<'b>(&self, batch: &'b RecordBatch, name: &str) -> Result<&'b dyn Array, TrendsError> {
        batch.column_by_name(name).map(|column| &**column).ok_or_else(|| self.odd(name, "missing"))
    }

    fn words<'b>(&self, batch: &'b RecordBatch, name: &str) -> Result<&'b Words, TrendsError> {
        self.column(batch, name)?.as_dictionary_opt().ok_or_else(|| self.odd(name, "of another type"))
    }

    fn strings<'b>(&self, words: &'b Words, name: &str) -> Result<&'b StringArray, TrendsError> {
        words.values().as_string_opt().ok_or_else(|| self.odd(name, "of another type"))
    }

    fn odd(&self, column: &str, what: &str) -> TrendsError {
        let reason = format!("its column {column} is {what}");
        TrendsError::Damaged { path: self.file.path.clone(), reason }
    }
}

/// Adds 1 for each row to its code.
fn add(into: &mut [u64], codes: &Codes, rows: usize) {
    match codes {
        Codes::All(code) => into[*code as usize] += rows as u64,
        Codes::Each(codes) => {
            for code in codes {
                into[*code as usize] += 1;
            }
        }
    }
}

fn each(codes: Codes, rows: usize) -> Vec<u32> {
    match codes {
        Codes::All(code) => vec![code; rows],
        Codes::Each(codes) => codes,
    }
}

/// Arrow's positions are never negative.
fn index(position: i32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
