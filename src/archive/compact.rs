//! `moodstream compact`: the files of each complete hour as few large ones, in a tree of its own.
//!
//! A compaction is claimed like a segment: (hour, generation) is put only where none was, with the files it takes in and
//! those it becomes. A later generation takes in only what no earlier one names, such as late files, so no row of the
//! tree is there twice; whoever finds a generation without its files makes them. Originals go only when that is asked
//! for, and only if finished generations name all of their hour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader, new_null_array};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::Schema;
use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::encode;
use super::footer::{Footer, NoFooter, Stated};
use super::hour::Hour;
use super::hours;
use super::identity::{Identity, IdentityError};
use super::layout::{HOURS, IDENTITY, POSTS, model_mark};
use super::retention;
use super::store::{Created, Meta, Store, StoreError};

/// Rows of a row group.
const GROUP_ROWS: usize = 65_536;
/// Bytes of the files that become one: below what one put may hold.
const PART_BYTES: u64 = 128 << 20;
/// Bytes of a file's end that hold its footer, usually.
const TAIL: u64 = 64 << 10;
/// Which archive a tree of compactions is of.
pub(crate) const SOURCE: &str = "_state/compaction.json";

/// Why hours cannot be compacted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    /// One of the stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Wrong use.
    #[error("{0}")]
    Refused(String),
    /// A file that must be read is gone or damaged.
    #[error("{path} cannot be compacted: {reason}; moodstream archive verify tells more")]
    Unreadable {
        /// Below the source's URL.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Rows cannot be encoded.
    #[error("rows of {0} cannot be encoded; this is a defect of moodstream, please report it")]
    NotEncoded(String),
}

/// `_state/compactions/<hour>/<generation>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Compaction {
    hour: String,
    generation: u32,
    /// Files below the source's URL.
    inputs: Vec<String>,
    outputs: Vec<Output>,
    /// Milliseconds since 1970.
    at: i64,
}

/// A file that a compaction becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    /// Below the URL of the compactions.
    path: String,
    inputs: Vec<String>,
    rows: u64,
    model: String,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) hours: u64,
    pub(crate) inputs: u64,
    pub(crate) outputs: u64,
    pub(crate) rows: u64,
    /// Hours whose originals were removed.
    pub(crate) removed: u64,
}

/// Compacts complete hours from one store into another.
pub(crate) struct Compactor {
    from: Store,
    to: Store,
}

impl Compactor {
    /// Looks whether `to` holds compactions of this archive, or nothing.
    pub(crate) async fn open(from: Store, to: Store) -> Result<Self, CompactError> {
        let Some(source) = Identity::read(&from).await? else {
            return Err(CompactError::Refused(format!("archive.url holds no archive: there is no {IDENTITY}")));
        };
        if to.head(IDENTITY).await?.is_some() {
            return Err(CompactError::Refused(
                "--to holds an archive itself; readers of it would see rows twice, so give a URL of its own".to_owned(),
            ));
        }
        to.probe().await?;
        to.create(SOURCE, source.id.clone().into()).await?;
        let there = to.get(SOURCE).await?.unwrap_or_default();
        if there != source.id.as_bytes() {
            return Err(CompactError::Refused(format!(
                "--to holds compactions of another archive ({}, not {}); give a URL of its own",
                String::from_utf8_lossy(&there),
                source.id
            )));
        }
        Ok(Self { from, to })
    }

    /// Compacts every complete hour that has files no generation names. `progress` is told of each hour.
    pub(crate) async fn run(&self, mut progress: impl FnMut(Hour, &Done)) -> Result<Done, CompactError> {
        let mut done = Done::default();
        for hour in self.complete_hours().await? {
            while let Some(compaction) = self.next(hour).await? {
                self.make(&compaction).await?;
                done.hours += 1;
                done.inputs += compaction.inputs.len() as u64;
                done.outputs += compaction.outputs.len() as u64;
                done.rows += compaction.outputs.iter().map(|output| output.rows).sum::<u64>();
            }
            progress(hour, &done);
        }
        Ok(done)
    }

    /// Removes the originals of hours that ended before `before`, in milliseconds since 1970, where finished generations
    /// name every file. Files younger than `young` milliseconds stay, with their hours.
    pub(crate) async fn remove_originals(&self, before: i64, young: i64, done: &mut Done) -> Result<(), CompactError> {
        let now = Timestamp::now().as_millisecond();
        let is_young = |file: &Meta| now - file.modified_ms < young;
        let wanted = retention::still_wanted(&self.from, is_young).await?;
        for hour in self.complete_hours().await?.into_iter().filter(|hour| hour.end() < before) {
            let files = self.from.list(&folder(hour)).await?;
            let mut named = BTreeSet::new();
            for compaction in self.generations(hour).await? {
                self.make(&compaction).await?;
                named.extend(compaction.inputs);
            }
            let may_go = |file: &Meta| named.contains(&file.path) && !is_young(file) && !wanted.contains(&file.path);
            if !files.is_empty() && files.iter().all(may_go) {
                retention::expire(&self.from, hour, &files).await?;
                done.removed += 1;
            }
        }
        Ok(())
    }

    async fn complete_hours(&self) -> Result<Vec<Hour>, StoreError> {
        Ok(self.from.list(HOURS).await?.iter().filter_map(|found| hours::hour_of(&found.path)).collect())
    }

    async fn generations(&self, hour: Hour) -> Result<Vec<Compaction>, CompactError> {
        let mut generations = Vec::new();
        for found in self.to.list(&format!("_state/compactions/{hour}")).await? {
            let json = self.to.get(&found.path).await?.unwrap_or_default();
            let read = serde_json::from_slice(&json);
            generations
                .push(read.map_err(|error| CompactError::Refused(format!("{} cannot be read: {error}", found.path)))?);
        }
        Ok(generations)
    }

    /// The next generation of an hour, claimed by whoever was first; none when every file is named. The last one is
    /// finished before.
    async fn next(&self, hour: Hour) -> Result<Option<Compaction>, CompactError> {
        let generations = self.generations(hour).await?;
        if let Some(last) = generations.last() {
            self.make(last).await?;
        }
        let named: BTreeSet<&String> = generations.iter().flat_map(|compaction| &compaction.inputs).collect();
        let mut files = Vec::new();
        for file in self.from.list(&folder(hour)).await? {
            if !named.contains(&file.path) {
                let stated = self.stated(&file).await?;
                files.push((file, stated));
            }
        }
        if files.is_empty() {
            return Ok(None);
        }
        let generation = u32::try_from(generations.len()).unwrap_or(u32::MAX) + 1;
        let compaction = Compaction {
            hour: hour.to_string(),
            generation,
            inputs: files.iter().map(|(file, _)| file.path.clone()).collect(),
            outputs: plan(hour, generation, &files),
            at: Timestamp::now().as_millisecond(),
        };
        let json = serde_json::to_vec_pretty(&compaction).map_err(|error| CompactError::Refused(error.to_string()))?;
        let path = format!("_state/compactions/{hour}/{generation:06}.json");
        match self.to.create(&path, json.into()).await {
            Ok(Created::New) => Ok(Some(compaction)),
            // Another one was first, or nobody knows: what is there counts.
            Ok(Created::Exists) | Err(StoreError::Unknown(_)) => Box::pin(self.next(hour)).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the files of a compaction that are not there.
    async fn make(&self, compaction: &Compaction) -> Result<(), CompactError> {
        for output in &compaction.outputs {
            if self.to.head(&output.path).await?.is_some() {
                continue;
            }
            let bytes = self.merge(output).await?;
            self.to.create(&output.path, bytes.into()).await?;
        }
        Ok(())
    }

    async fn merge(&self, output: &Output) -> Result<Vec<u8>, CompactError> {
        let mut files = Vec::with_capacity(output.inputs.len());
        for path in &output.inputs {
            let gone = || CompactError::Unreadable { path: path.clone(), reason: "it is gone".to_owned() };
            files.push((path.as_str(), self.from.get(path).await?.ok_or_else(gone)?));
        }
        let of = output.path.clone();
        // Decoding and encoding take a core for a while.
        let merged = tokio::task::spawn_blocking({
            let files: Vec<(String, Bytes)> = files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect();
            move || merge(&files)
        });
        merged.await.map_err(|_| CompactError::NotEncoded(of))?
    }

    async fn stated(&self, file: &Meta) -> Result<Stated, CompactError> {
        let unreadable = |reason: String| CompactError::Unreadable { path: file.path.clone(), reason };
        let mut wanted = TAIL;
        loop {
            let found = self.from.tail(&file.path, wanted).await?;
            let (meta, tail) = found.ok_or_else(|| unreadable("it is gone".to_owned()))?;
            match Footer::read(&tail) {
                Ok(stated) => return Ok(stated),
                Err(NoFooter::Short { needed }) if (tail.len() as u64) < meta.size => {
                    wanted = (needed as u64).max(wanted * 2);
                }
                Err(error) => return Err(unreadable(error.to_string())),
            }
        }
    }
}

fn folder(hour: Hour) -> String {
    format!("{POSTS}/{}", hour.folder())
}

/// Which files become which: those of one model, as many as one put may hold.
fn plan(hour: Hour, generation: u32, files: &[(Meta, Stated)]) -> Vec<Output> {
    let mut by_model: BTreeMap<&str, Vec<&(Meta, Stated)>> = BTreeMap::new();
    for file in files {
        by_model.entry(&file.1.model_hash).or_default().push(file);
    }
    let mut outputs = Vec::new();
    for (model, files) in by_model {
        let (mut part, mut size) = (0, 0);
        for (file, stated) in files {
            if part == 0 || size + file.size > PART_BYTES {
                (part, size) = (part + 1, 0);
                let path = format!("{}/compact-{generation:06}-{part:03}-{}.parquet", folder(hour), model_mark(model));
                outputs.push(Output { path, inputs: Vec::new(), rows: 0, model: model.to_owned() });
            }
            size += file.size;
            if let Some(output) = outputs.last_mut() {
                output.inputs.push(file.path.clone());
                output.rows += stated.rows;
            }
        }
    }
    outputs
}

/// One file of the rows of several, each row group sorted by event time.
fn merge(files: &[(String, Bytes)]) -> Result<Vec<u8>, CompactError> {
    let unreadable = |path: &str| {
        let path = path.to_owned();
        move |error: parquet::errors::ParquetError| CompactError::Unreadable { path, reason: error.to_string() }
    };
    let broken = || CompactError::NotEncoded(files.first().map_or_else(String::new, |(path, _)| path.clone()));
    let mut readers = Vec::with_capacity(files.len());
    let mut about = Vec::new();
    for (path, bytes) in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(unreadable(path))?;
        let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        // Files of skipped posts alone have no columns of labels.
        if pairs.len() > about.len() {
            about = pairs;
        }
        readers.push((path, reader.with_batch_size(GROUP_ROWS).build().map_err(unreadable(path))?));
    }
    let widest = readers.iter().map(|(_, reader)| reader.schema()).max_by_key(|schema| schema.fields().len());
    let Some(schema) = widest else { return Err(broken()) };
    let properties = encode::properties(&schema).map_err(|_| broken())?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_schema_root("post".to_owned());
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).map_err(|_| broken())?;
    let (mut waiting, mut rows, mut all): (Vec<RecordBatch>, usize, u64) = (Vec::new(), 0, 0);
    let mut write = |waiting: &mut Vec<RecordBatch>| -> Result<(), CompactError> {
        let sorted = sorted(&schema, waiting).map_err(|_| broken())?;
        waiting.clear();
        writer.write(&sorted).and_then(|()| writer.flush()).map_err(|_| broken())
    };
    for (path, reader) in readers {
        for batch in reader {
            let damaged = |error: arrow::error::ArrowError| CompactError::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            };
            let batch = batch.map_err(damaged)?;
            if rows + batch.num_rows() > GROUP_ROWS && rows > 0 {
                write(&mut waiting)?;
                rows = 0;
            }
            rows += batch.num_rows();
            all += batch.num_rows() as u64;
            waiting.push(widened(&batch, &schema).map_err(damaged)?);
        }
    }
    if rows > 0 {
        write(&mut waiting)?;
    }
    for KeyValue { key, value } in about {
        // Of one segment, and of one file.
        let own = ["archive_id", "topic", "topic_id", "partition", "start", "end", "rows"];
        if !own.iter().any(|name| key == format!("moodstream.{name}")) {
            writer.append_key_value_metadata(KeyValue::new(key, value));
        }
    }
    writer.append_key_value_metadata(KeyValue::new("moodstream.rows".to_owned(), all.to_string()));
    writer.into_inner().map_err(|_| broken())
}

/// The same rows with every column of `schema`.
fn widened(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let column = |name: &str| batch.column_by_name(name).cloned();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name()).unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows())));
    RecordBatch::try_new(schema.clone(), columns.collect::<Vec<ArrayRef>>())
}

fn sorted(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let all = concat_batches(schema, batches)?;
    let by =
        ["event_time", "output_partition", "output_offset"].iter().filter_map(|name| all.column_by_name(name).cloned());
    let by: Vec<SortColumn> = by.map(|values| SortColumn { values, options: None }).collect();
    let order = lexsort_to_indices(&by, None)?;
    take_record_batch(&all, &order)
}
