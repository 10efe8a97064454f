//! A data file: what its footer says of it, and what of each row group has to be read.
//!
//! Statistics decide that without a page being touched: a row group outside the time or the words asked for is left
//! out, and a column whose least value is its greatest is known.

use std::collections::HashMap;
use std::ops::Range as Bounds;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Schema};
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use super::error::TrendsError;
use super::names::Names;
use super::query::{Dimension, Filter, Query};
use super::range::{Range, Span};
use super::source::{DataFile, Found, Source};
use crate::archive::footer::{Labelling, Stated};
use crate::archive::hour::Hour;

/// Bytes of a file's end that are read first: its footer, and of a small file much else.
const TAIL: u64 = 64 << 10;
/// Length of the metadata and the format's mark.
const FOOTER: usize = 8;
/// Files of the latest date that are asked which emotions there are.
const ASKED_FOR_LABELS: usize = 16;
/// The words of the column `status`.
const LABELLED: &[u8] = b"labelled";
const SKIPPED: &[u8] = b"skipped";

/// A file that is being read.
pub(super) struct Opened {
    pub(super) path: String,
    size: u64,
    /// The end of the file, and where it begins.
    tail: (u64, Bytes),
    pub(super) reader: ArrowReaderMetadata,
    /// Number of the model.
    pub(super) model: usize,
    /// Emotions that are wanted: their numbers and the columns of their scores.
    pub(super) emotions: Vec<(usize, String)>,
    /// Each label of the model, and its place among those wanted.
    pub(super) labels: HashMap<String, Option<usize>>,
    /// Row groups that have to be looked at.
    pub(super) groups: Vec<Group>,
}

/// What is known of a column of words before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// All rows have this one.
    Known(Option<Arc<str>>),
    /// It has to be read.
    Read(Dimension),
}

/// Which rows are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Labelled,
    Skipped,
    /// It has to be read.
    Mixed,
}

/// What has to be read of a row group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) index: usize,
    pub(super) rows: u64,
    /// Parts of the hour that rows may lie in.
    pub(super) pieces: Vec<Span>,
    /// Whether rows may lie in several, or in none.
    pub(super) reads_time: bool,
    pub(super) status: Status,
    pub(super) words: Vec<Word>,
    /// Conditions that only the rows can tell of.
    pub(super) filters: Vec<Filter>,
    /// Leaves of the schema.
    leaves: Vec<usize>,
}

/// Reads the end of a file: where it begins, and what the footer says.
async fn footer(source: &Source, file: &DataFile) -> Result<(u64, Bytes, ParquetMetaData), TrendsError> {
    let DataFile { path, size, .. } = file;
    let damaged = |reason: &str| TrendsError::Damaged {
        path: path.clone(),
        reason: format!("{reason}; moodstream archive verify tells more, and the file can be moved out of the archive"),
    };
    let no_parquet = |_: ParquetError| damaged("it is no whole Parquet file");
    let mut wanted = TAIL;
    loop {
        let start = size.saturating_sub(wanted);
        let end = start..*size;
        let read = if end.is_empty() {
            Some(Vec::new())
        } else {
            source.store.ranges(path, std::slice::from_ref(&end)).await?
        };
        let tail = read.ok_or_else(|| TrendsError::Gone(path.clone()))?.pop().unwrap_or_default();
        let Some((rest, end)) = tail.split_last_chunk::<FOOTER>() else {
            return Err(damaged("it is no whole Parquet file"));
        };
        let length = FooterTail::try_new(end).map_err(no_parquet)?.metadata_length();
        if let Some(from) = rest.len().checked_sub(length) {
            let metadata = ParquetMetaDataReader::decode_metadata(&rest[from..]).map_err(no_parquet)?;
            return Ok((start, tail, metadata));
        }
        if start == 0 {
            return Err(damaged("it is no whole Parquet file"));
        }
        wanted = (length + FOOTER) as u64;
    }
}

/// What the footer of a file says of its rows.
fn stated(file: &DataFile, metadata: &ParquetMetaData) -> Result<(Stated, Labelling), TrendsError> {
    let damaged = |reason: String| TrendsError::Damaged { path: file.path.clone(), reason };
    let foreign = |error: crate::archive::footer::NoFooter| damaged(error.to_string());
    let stated = Stated::of(metadata).map_err(foreign)?;
    if stated.footer.hour != file.hour {
        return Err(damaged(format!(
            "its footer says {}, but it lies in the folder of {}",
            stated.footer.hour, file.hour
        )));
    }
    Ok((stated, Labelling::of(metadata).map_err(foreign)?))
}

/// What the latest files say of labels: for a time in which there are none.
pub(super) async fn last_labels(
    source: &Source,
    query: &Query,
    found: &Found,
) -> Result<Option<(String, Labelling)>, TrendsError> {
    if !found.files.is_empty() && !query.mixes_models_unasked() {
        return Ok(None);
    }
    for file in source.latest().await?.iter().rev().take(ASKED_FOR_LABELS) {
        let (_, _, metadata) = footer(source, file).await?;
        let (stated, labelling) = stated(file, &metadata)?;
        if !labelling.labels.is_empty() && query.chooses(&stated.model_hash, &labelling.model_id) {
            return Ok(Some((stated.model_hash, labelling)));
        }
    }
    Ok(None)
}

impl Opened {
    /// Reads a file's footer and decides what to read of it; none when the query is about other models.
    ///
    /// # Errors
    /// When it is damaged, or the store fails.
    pub(super) async fn open(
        source: &Source,
        query: &Query,
        range: &Range,
        file: &DataFile,
        names: &Mutex<Names>,
        scores: bool,
    ) -> Result<Option<Self>, TrendsError> {
        let (start, tail, metadata) = footer(source, file).await?;
        let (stated, labelling) = stated(file, &metadata)?;
        let chosen = query.chooses(&stated.model_hash, &labelling.model_id);
        let (model, numbers) =
            names.lock().unwrap_or_else(PoisonError::into_inner).meet(&stated.model_hash, &labelling, chosen);
        if !chosen {
            return Ok(None);
        }
        let mut emotions = Vec::new();
        let mut labels = HashMap::new();
        for ((label, column), number) in labelling.labels.into_iter().zip(numbers) {
            let wanted = scores && query.wants(&column);
            labels.insert(label, wanted.then_some(emotions.len()));
            if wanted {
                emotions.push((number, column));
            }
        }
        let damaged = TrendsError::damaged(&file.path);
        let schema = dictionaries(&metadata).map_err(&damaged)?;
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = Arc::new(metadata);
        let reader = ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(damaged)?;
        let planner = Planner { file, query, range, metadata: &metadata, emotions: &emotions };
        let mut groups = Vec::new();
        for (index, group) in metadata.row_groups().iter().enumerate() {
            groups.extend(planner.plan(index, group)?);
        }
        let (path, size) = (file.path.clone(), file.size);
        Ok(Some(Self { path, size, tail: (start, tail), reader, model, emotions, labels, groups }))
    }

    /// The columns of a row group that have to be read, as they are in the file.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn fetch(&self, source: &Source, group: &Group) -> Result<Parts, TrendsError> {
        let metadata = self.reader.metadata().row_group(group.index);
        let mut wanted: Vec<Bounds<u64>> = Vec::new();
        let mut leaves = group.leaves.clone();
        leaves.sort_unstable();
        for leaf in leaves {
            let (start, length) = metadata.column(leaf).byte_range();
            let end = start.checked_add(length).filter(|end| *end <= self.size);
            let Some(end) = end else {
                let reason = "a column lies beyond its end".to_owned();
                return Err(TrendsError::Damaged { path: self.path.clone(), reason });
            };
            match wanted.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => wanted.push(start..end),
            }
        }
        let (tail_start, tail) = &self.tail;
        let mut parts = vec![(*tail_start, tail.clone())];
        wanted.retain(|range| range.start < *tail_start);
        if !wanted.is_empty() {
            let read = source.store.ranges(&self.path, &wanted).await?;
            let read = read.ok_or_else(|| TrendsError::Gone(self.path.clone()))?;
            parts.extend(wanted.iter().map(|range| range.start).zip(read));
        }
        Ok(Parts { size: self.size, parts })
    }

    /// The columns of a row group that are read, of all there are.
    pub(super) fn projection(&self, group: &Group) -> ProjectionMask {
        ProjectionMask::leaves(self.reader.parquet_schema(), group.leaves.iter().copied())
    }
}

impl Group {
    /// Whether anything has to be read at all.
    pub(super) fn needs_pages(&self) -> bool {
        !self.leaves.is_empty()
    }
}

/// The schema by which words, and those in lists, are read as dictionaries: no string is made for any row.
fn dictionaries(metadata: &ParquetMetaData) -> Result<Schema, ParquetError> {
    let words = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    let names = ["status", "platform", "lang", "source_topic", "source_file", "time_source"];
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 if names.contains(&field.name().as_str()) => {
            Arc::new(field.as_ref().clone().with_data_type(words()))
        }
        DataType::List(element) if field.name() == "labels" && *element.data_type() == DataType::Utf8 => {
            let element = Arc::new(element.as_ref().clone().with_data_type(words()));
            Arc::new(field.as_ref().clone().with_data_type(DataType::List(element)))
        }
        _ => field.clone(),
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// Decides what to read of the row groups of one file.
struct Planner<'a> {
    file: &'a DataFile,
    query: &'a Query,
    range: &'a Range,
    metadata: &'a ParquetMetaData,
    emotions: &'a [(usize, String)],
}

impl Planner<'_> {
    /// None when statistics say that no row is asked for.
    fn plan(&self, index: usize, group: &RowGroupMetaData) -> Result<Option<Group>, TrendsError> {
        let mut leaves = Vec::new();
        let (times, time_leaf) = (self.times(group)?, self.leaf("event_time")?);
        let overlapping = |piece: &Span| piece.start <= times.1 && piece.end > times.0;
        let pieces: Vec<Span> = self.range.pieces(self.file.hour).into_iter().filter(overlapping).collect();
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(None) };
        let reads_time = pieces.len() > 1 || times.0 < first.start || times.1 >= last.end;
        if reads_time {
            leaves.push(time_leaf);
        }
        let mut filters = Vec::new();
        for filter in &self.query.filters {
            match self.known_word(group, filter.dimension)? {
                Known::Word(word) if filter.words.contains(&word.as_deref().map(str::to_owned)) => {}
                Known::Word(_) => return Ok(None),
                Known::Between { least, greatest, nulls } => {
                    let possible = |word: &Option<String>| match word {
                        Some(word) => *least <= *word.as_bytes() && *word.as_bytes() <= *greatest,
                        None => nulls,
                    };
                    if !filter.words.iter().any(possible) {
                        return Ok(None);
                    }
                    filters.push(filter.clone());
                }
                Known::Nothing => filters.push(filter.clone()),
            }
        }
        let mut words = Vec::new();
        for dimension in self.query.dimensions() {
            words.push(match self.known_word(group, dimension)? {
                Known::Word(word) => Word::Known(word),
                _ => Word::Read(dimension),
            });
        }
        let read = words.iter().filter_map(|word| match word {
            Word::Read(dimension) => Some(*dimension),
            Word::Known(_) => None,
        });
        for dimension in read.chain(filters.iter().map(|filter| filter.dimension)) {
            leaves.push(self.leaf(dimension.name())?);
        }
        let status_leaf = self.leaf("status")?;
        let status = match known(group, status_leaf) {
            Known::Word(Some(word)) if word.as_bytes() == LABELLED => Status::Labelled,
            Known::Word(Some(word)) if word.as_bytes() == SKIPPED => Status::Skipped,
            _ => {
                leaves.push(status_leaf);
                Status::Mixed
            }
        };
        if status != Status::Skipped && !self.emotions.is_empty() {
            for (_, column) in self.emotions {
                leaves.push(self.leaf(column)?);
            }
            leaves.push(self.leaf("labels")?);
        }
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        leaves.sort_unstable();
        leaves.dedup();
        Ok(Some(Group { index, rows, pieces, reads_time, status, words, filters, leaves }))
    }

    /// The first and the last time of a row group; of the hour, where statistics do not say.
    fn times(&self, group: &RowGroupMetaData) -> Result<(i64, i64), TrendsError> {
        let Hours { start, end } = Hours::of(self.file.hour);
        let leaf = self.leaf("event_time")?;
        let Some(Statistics::Int64(times)) = group.column(leaf).statistics() else { return Ok((start, end - 1)) };
        let (Some(first), Some(last)) = (times.min_opt(), times.max_opt()) else { return Ok((start, end - 1)) };
        if *first < start || *last >= end {
            return Err(TrendsError::Damaged {
                path: self.file.path.clone(),
                reason: format!("it holds event times outside its hour, {}", self.file.hour),
            });
        }
        Ok((*first, *last))
    }

    fn known_word(&self, group: &RowGroupMetaData, dimension: Dimension) -> Result<Known, TrendsError> {
        Ok(known(group, self.leaf(dimension.name())?))
    }

    /// The only leaf of a column.
    fn leaf(&self, column: &str) -> Result<usize, TrendsError> {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        let found = columns.iter().position(|leaf| leaf.path().parts().first().is_some_and(|root| root == column));
        found.ok_or_else(|| TrendsError::Damaged {
            path: self.file.path.clone(),
            reason: format!("there is no column {column}, which moodstream schema archive describes"),
        })
    }
}

/// What statistics say of a column of words, by its leaf.
fn known(group: &RowGroupMetaData, leaf: usize) -> Known {
    let Some(Statistics::ByteArray(words)) = group.column(leaf).statistics() else { return Known::Nothing };
    let Some(nulls) = words.null_count_opt() else { return Known::Nothing };
    if i64::try_from(nulls) == Ok(group.num_rows()) {
        return Known::Word(None);
    }
    let (Some(least), Some(greatest)) = (words.min_opt(), words.max_opt()) else { return Known::Nothing };
    let whole = words.min_is_exact() && words.max_is_exact();
    match std::str::from_utf8(least.data()) {
        Ok(word) if whole && nulls == 0 && least == greatest => Known::Word(Some(word.into())),
        _ => {
            let bytes = |word: &parquet::data_type::ByteArray| word.data().to_vec();
            Known::Between { least: bytes(least), greatest: bytes(greatest), nulls: nulls > 0 }
        }
    }
}

/// What statistics say of a column of words.
enum Known {
    /// All rows have this one.
    Word(Option<Arc<str>>),
    Between {
        least: Vec<u8>,
        greatest: Vec<u8>,
        nulls: bool,
    },
    Nothing,
}

struct Hours {
    start: i64,
    end: i64,
}

impl Hours {
    fn of(hour: Hour) -> Self {
        Self { start: hour.start(), end: hour.end() }
    }
}

/// The parts of a file that are there.
#[derive(Clone)]
pub(super) struct Parts {
    size: u64,
    /// Where each begins.
    parts: Vec<(u64, Bytes)>,
}

impl Parts {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let holds = |(begin, part): &&(u64, Bytes)| *begin <= start && start < *begin + part.len() as u64;
        let lacking = || ParquetError::General(format!("byte {start} of the file is not where its footer says"));
        let (begin, part) = self.parts.iter().rfind(holds).ok_or_else(lacking)?;
        let skipped = usize::try_from(start - begin).map_err(|_| lacking())?;
        Ok(part.slice(skipped..))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Parts {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let part = self.from(start)?;
        if part.len() < length {
            return Err(ParquetError::General(format!("{length} bytes at {start} of the file are not there")));
        }
        Ok(part.slice(..length))
    }
}
