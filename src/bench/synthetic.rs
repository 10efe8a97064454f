//! An archive of random posts, as large as wanted: the columns, encodings and footers of the real one, made without a
//! record being parsed. Scores are random, labels are those whose score reaches the threshold.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use crate::archive::claim::{RULES_VERSION, RowRules};
use crate::archive::columns;
use crate::archive::encode;
use crate::archive::footer::{About, Footer};
use crate::archive::hour::Hour;
use crate::archive::identity::Identity;
use crate::archive::layout::{IDENTITY, POSTS, model_mark};
use crate::config::Exposure;
use crate::inference::REFERENCE_LABELS;

/// Rows of a row group, as the archive has them.
const GROUP_ROWS: usize = 65_536;
/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600_000;
const THRESHOLD: f32 = 0.5;
const MODEL_ID: &str = "random";
/// One post in so many is skipped.
const SKIPPED: u64 = 32;
const PLATFORMS: [Option<&str>; 4] = [Some("bluesky"), Some("mastodon"), Some("x"), None];
const LANGUAGES: [Option<&str>; 4] = [Some("en"), Some("en"), Some("de"), None];

/// Writes so many posts of so many days below a folder, one file an hour, with all cores.
pub(crate) fn write(folder: &Path, rows: u64, days: u32) -> anyhow::Result<()> {
    let hours = i64::from(days) * 24;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicI64::new(0);
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= hours {
                return Ok(());
            }
            let share = |number: i64| i128::from(rows) * i128::from(number) / i128::from(hours);
            let count = usize::try_from(share(number + 1) - share(number))?;
            if count > 0 {
                file(folder, Hour::of(BEGINNING + number * 3_600_000), count)?;
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread has panicked"))?)
    })
}

/// Gives it an identity, as an archive has one; only that may keep a roll-up.
pub(crate) fn identify(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(IDENTITY);
    if path.exists() {
        return Ok(());
    }
    let identity = Identity {
        format: 1,
        id: "synthetic".to_owned(),
        cluster_id: "none".to_owned(),
        topic: "posts.emotions".to_owned(),
        rules: RowRules { version: RULES_VERSION, text: Exposure::Omit, key_id: String::new() },
        begun: BEGINNING,
    };
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    fs::write(&path, serde_json::to_vec_pretty(&identity)?).with_context(|| format!("cannot write {}", path.display()))
}

fn file(folder: &Path, hour: Hour, rows: usize) -> anyhow::Result<()> {
    let labels = REFERENCE_LABELS.map(str::to_owned);
    let hash = "5e".repeat(32);
    let schema = Arc::new(columns::schema(REFERENCE_LABELS));
    let options = ArrowWriterOptions::new()
        .with_properties(encode::properties(&schema)?)
        .with_skip_arrow_metadata(true)
        .with_schema_root("post".to_owned());
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?;
    let mut random = Random(hour.start().unsigned_abs());
    let mut times: Vec<i64> =
        (0..rows).map(|_| hour.start() + i64::try_from(random.below(3_600_000)).unwrap_or(0)).collect();
    times.sort_unstable();
    for (number, times) in times.chunks(GROUP_ROWS).enumerate() {
        writer.write(&group(&schema, times, number * GROUP_ROWS, &hash, &mut random)?)?;
        writer.flush()?;
    }
    let about = About {
        rows,
        text: "omit",
        model_id: MODEL_ID,
        model_hash: &hash,
        labels: Some((&labels, labels.iter().map(|label| columns::name_of(label)).collect())),
        thresholds: &[THRESHOLD; REFERENCE_LABELS.len()],
    };
    for pair in (Footer { hour, segment: None }).metadata(&about) {
        writer.append_key_value_metadata(pair);
    }
    let folder = folder.join(POSTS).join(hour.folder());
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("synthetic-{}.parquet", model_mark(&hash)));
    fs::write(&path, writer.into_inner()?).with_context(|| format!("cannot write {}", path.display()))
}

fn group(
    schema: &Arc<Schema>,
    times: &[i64],
    first: usize,
    hash: &str,
    random: &mut Random,
) -> anyhow::Result<RecordBatch> {
    let rows = times.len();
    let labelled: Vec<bool> = times.iter().map(|_| random.below(SKIPPED) != 0).collect();
    let scores: Vec<Vec<f32>> =
        REFERENCE_LABELS.iter().map(|_| times.iter().map(|_| random.score()).collect()).collect();
    let word = |word: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(times.iter().map(|_| word))) };
    let instants =
        |times: Vec<i64>| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")) };
    let mut given = ListBuilder::new(StringBuilder::new()).with_field(element(schema)?);
    for (row, labelled) in labelled.iter().enumerate() {
        for (label, scores) in REFERENCE_LABELS.iter().zip(&scores).filter(|_| *labelled) {
            if scores[row] >= THRESHOLD {
                given.values().append_value(label);
            }
        }
        given.append(*labelled);
    }
    let mut given = Some(given);
    let mut column = |name: &str| -> anyhow::Result<ArrayRef> {
        if let Some(place) = REFERENCE_LABELS.iter().position(|label| *label == name) {
            let scores = scores[place].iter().zip(&labelled);
            return Ok(Arc::new(scores.map(|(score, labelled)| labelled.then_some(*score)).collect::<Float32Array>()));
        }
        Ok(match name {
            "post_id" => {
                let ids = times.iter().enumerate().map(|(row, time)| format!("{time}-{}", first + row));
                Arc::new(StringArray::from_iter_values(ids))
            }
            "event_time" | "source_timestamp" => instants(times.to_vec()),
            "labelled_at" => instants(vec![times.last().copied().unwrap_or_default(); rows]),
            "time_source" => word("created_at"),
            "platform" => Arc::new(times.iter().map(|_| random.of(&PLATFORMS)).collect::<StringArray>()),
            "lang" => Arc::new(times.iter().map(|_| random.of(&LANGUAGES)).collect::<StringArray>()),
            "status" => {
                let words = labelled.iter().map(|labelled| if *labelled { "labelled" } else { "skipped" });
                Arc::new(StringArray::from_iter_values(words))
            }
            "skip_reason" => {
                Arc::new(labelled.iter().map(|labelled| (!labelled).then_some("language")).collect::<StringArray>())
            }
            "labels" => Arc::new(given.take().context("there is one column of labels")?.finish()),
            "token_count" => Arc::new(labelled.iter().map(|labelled| labelled.then_some(17)).collect::<Int32Array>()),
            "truncated" => Arc::new(BooleanArray::from(vec![false; rows])),
            "model_id" => word(MODEL_ID),
            "model_hash" => word(hash),
            "source_topic" => word("posts"),
            "source_partition" | "output_partition" => Arc::new(Int32Array::from(vec![0; rows])),
            "source_offset" | "output_offset" => {
                let offsets = (0..rows).map(|row| i64::try_from(first + row).unwrap_or(0));
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            other => new_null_array(schema.field_with_name(other)?.data_type(), rows),
        })
    };
    let columns = schema.fields().iter().map(|field| column(field.name()));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<anyhow::Result<Vec<_>>>()?)?)
}

/// What lists of labels hold.
fn element(schema: &Schema) -> anyhow::Result<Arc<arrow::datatypes::Field>> {
    match schema.field_with_name("labels")?.data_type() {
        arrow::datatypes::DataType::List(element) => Ok(element.clone()),
        other => Err(anyhow!("labels are no list but {other}")),
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, many: u64) -> u64 {
        self.next() % many
    }

    fn of<T: Copy>(&mut self, words: &[T]) -> T {
        words[usize::try_from(self.below(words.len() as u64)).unwrap_or_default()]
    }

    /// From 0 to 1, mostly small: a post has two or three of eleven emotions.
    #[expect(clippy::cast_precision_loss, reason = "24 bits")]
    fn score(&mut self) -> f32 {
        let uniform = (self.next() >> 40) as f32 / (1_u32 << 24) as f32;
        uniform * uniform * uniform
    }
}
