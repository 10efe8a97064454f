//! Rows become Parquet: a row group column by column, so that no more than one column is there twice, and row groups
//! become a file.
//!
//! Only encodings that every current reader knows are used: Spark's fast reader, for one, has no byte stream split.

use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::columns::{self, AFTER, BEFORE, Field, Kind};
use super::open::OpenRows;

/// Higher levels take more time than they save space.
const ZSTD_LEVEL: i32 = 3;
/// What an encoded column holds beside its pages: statistics, positions, allocations.
const CHUNK_OVERHEAD: usize = 1024;

/// Rows that are encoded and wait for their file.
pub(super) struct RowGroup {
    rows: usize,
    /// One for each column of the schema; without those of the labels when these were not known yet.
    chunks: Vec<ArrowColumnChunk>,
    with_scores: bool,
    size: usize,
}

impl RowGroup {
    /// Encodes rows, sorted by event time and offset.
    pub(super) fn encode(mut open: OpenRows, labels: &[String], model_hash: &str) -> Result<Self> {
        let rows = open.len();
        let order = open.order().map(UInt32Array::from);
        let sorted = |array: ArrayRef| match &order {
            Some(order) => take(&array, order, None),
            None => Ok(array),
        };
        let schema = columns::schema(labels.iter().map(String::as_str));
        let mut columns = Columns::begin(&schema)?;
        for column in &BEFORE {
            columns.encode(&sorted(open.take(column.field, model_hash)?)?)?;
        }
        for scores in open.take_scores() {
            columns.encode(&sorted(scores.into_array(DataType::Float32)?)?)?;
        }
        for column in &AFTER {
            columns.encode(&sorted(open.take(column.field, model_hash)?)?)?;
        }
        let chunks = columns.chunks;
        let size = chunks.iter().map(size).sum();
        Ok(Self { rows, chunks, with_scores: !labels.is_empty(), size })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that it holds.
    pub(super) fn memory(&self) -> usize {
        self.size
    }

    /// Its columns, those of the labels among them in any case.
    fn completed(mut self, schema: &Schema, labels: usize) -> Result<Vec<ArrowColumnChunk>> {
        if !self.with_scores && labels > 0 {
            let mut columns = Columns::begin(schema)?;
            columns.skip(BEFORE.len());
            for _ in 0..labels {
                columns.encode(&new_null_array(&DataType::Float32, self.rows))?;
            }
            self.chunks.splice(BEFORE.len()..BEFORE.len(), columns.chunks);
        }
        Ok(self.chunks)
    }
}

/// The whole file of these row groups.
pub(super) fn file(groups: Vec<RowGroup>, labels: &[String], metadata: Vec<KeyValue>) -> Result<Vec<u8>> {
    let schema = columns::schema(labels.iter().map(String::as_str));
    let size = groups.iter().map(RowGroup::memory).sum();
    let mut writer = writer(Vec::with_capacity(size), &schema)?;
    for group in groups {
        let mut into = writer.next_row_group()?;
        for chunk in group.completed(&schema, labels.len())? {
            chunk.append_to_row_group(&mut into)?;
        }
        into.close()?;
    }
    for pair in metadata {
        writer.append_key_value_metadata(pair);
    }
    writer.into_inner()
}

/// The columns of one row group.
struct Columns {
    schema: Schema,
    writers: std::vec::IntoIter<ArrowColumnWriter>,
    position: usize,
    chunks: Vec<ArrowColumnChunk>,
}

impl Columns {
    fn begin(schema: &Schema) -> Result<Self> {
        // The file is made at the end; until then there are its columns alone.
        let nowhere = writer(io::sink(), schema)?;
        let factory = ArrowRowGroupWriterFactory::new(&nowhere, Arc::new(schema.clone()));
        let writers = factory.create_column_writers(0)?.into_iter();
        Ok(Self { schema: schema.clone(), writers, position: 0, chunks: Vec::new() })
    }

    /// Leaves columns out.
    fn skip(&mut self, columns: usize) {
        self.position += columns;
        self.writers.by_ref().take(columns).for_each(drop);
    }

    /// Encodes the next column.
    fn encode(&mut self, array: &ArrayRef) -> Result<()> {
        let field = self.schema.field(self.position);
        self.position += 1;
        let lacking = || ParquetError::General(format!("there is no writer for the column {}", field.name()));
        let mut writer = self.writers.next().ok_or_else(lacking)?;
        for leaf in compute_leaves(field, array)? {
            writer.write(&leaf)?;
        }
        self.chunks.push(writer.close()?);
        Ok(())
    }
}

fn size(chunk: &ArrowColumnChunk) -> usize {
    usize::try_from(chunk.close().bytes_written).unwrap_or(usize::MAX).saturating_add(CHUNK_OVERHEAD)
}

fn writer<W: io::Write + Send>(into: W, schema: &Schema) -> Result<SerializedFileWriter<W>> {
    let converted = ArrowSchemaConverter::new().schema_root("post").convert(schema)?;
    SerializedFileWriter::new(into, converted.root_schema_ptr(), Arc::new(properties(schema)?))
}

/// How each column is encoded.
pub(crate) fn properties(schema: &Schema) -> Result<WriterProperties> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?);
    let mut properties = WriterProperties::builder()
        .set_compression(zstd)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(vec![sorted_by(schema, Field::EventTime), sorted_by(schema, Field::OutputOffset)]));
    for column in columns::fixed() {
        let path = match column.kind {
            Kind::Words => ColumnPath::new([column.name, "list", "element"].map(str::to_owned).to_vec()),
            _ => ColumnPath::from(column.name),
        };
        properties = match column.kind {
            Kind::Word | Kind::Words | Kind::SharedTime | Kind::Int32 => {
                properties.set_column_dictionary_enabled(path.clone(), true)
            }
            Kind::Time | Kind::Int64 => properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED),
            Kind::Text | Kind::Boolean | Kind::Float32 => properties,
        };
        properties = match column.field {
            Field::EventTime | Field::Lang | Field::Platform => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Page)
            }
            // Nobody looks for posts between two texts, and a footer should not hold any.
            Field::Text | Field::TextHash | Field::Extra | Field::CreatedAt => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            _ => properties,
        };
    }
    Ok(properties.build())
}

fn sorted_by(schema: &Schema, field: Field) -> SortingColumn {
    let name = columns::fixed().find(|column| column.field == field).map_or("", |column| column.name);
    // Every column, the list too, is one leaf.
    let position = schema.index_of(name).unwrap_or_default();
    SortingColumn { column_idx: i32::try_from(position).unwrap_or_default(), descending: false, nulls_first: false }
}
