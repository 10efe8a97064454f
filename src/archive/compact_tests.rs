//! Compactions on two stores in memory: every row once, whatever came late, died or was removed.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::claim::{RULES_VERSION, RowRules};
use super::compact::{CompactError, Compactor};
use super::footer::{Footer, Segment};
use super::hour::Hour;
use super::hours;
use super::identity::Identity;
use super::layout::{IDENTITY, Place};
use super::post::ArchivedPost;
use super::rows::{RowPolicy, Rows};
use super::samples::{Sample, TIME};
use super::store::{Created, Store};
use crate::config::Exposure;

fn store() -> Store {
    Store::memory(Duration::from_secs(10))
}

/// An archive that holds nothing but its identity and the declaration of one hour.
async fn archive(id: &str) -> Store {
    let store = store();
    let rules = RowRules { version: RULES_VERSION, text: Exposure::Keep, key_id: String::new() };
    let identity =
        Identity { format: 1, id: id.into(), cluster_id: "c".into(), topic: "posts.emotions".into(), rules, begun: 0 };
    let json = serde_json::to_vec(&identity).expect("JSON");
    assert_eq!(store.create(IDENTITY, json.into()).await, Ok(Created::New));
    assert_eq!(store.create(&hours::path(Hour::of(TIME)), "{}".into()).await, Ok(Created::New));
    store
}

/// Adds the file of these samples.
async fn add(store: &Store, start: i64, samples: &[Sample]) -> String {
    let mut rows = Rows::new(RowPolicy { text: Exposure::Keep, key: None });
    for sample in samples {
        let json = sample.json();
        rows.push(&ArchivedPost::parse(&json).expect("a record"), Some((0, sample.offset.expect("an offset"))))
            .expect("a row");
    }
    let place = Place { topic: "posts.emotions".into(), topic_id: "t".into(), partition: 0 };
    let end = start + 1000;
    let segment =
        Segment { archive_id: "a".into(), topic: place.topic.clone(), topic_id: "t".into(), partition: 0, start, end };
    let file = rows.finish(&Footer { hour: Hour::of(TIME), segment: Some(segment) }).expect("a file");
    let path = place.data(Hour::of(TIME), start, end, &samples[0].model_hash);
    assert_eq!(store.create(&path, file.into()).await, Ok(Created::New));
    path
}

async fn batches(store: &Store) -> BTreeMap<String, Vec<RecordBatch>> {
    let mut all = BTreeMap::new();
    for found in store.list("posts").await.expect("listed") {
        let bytes = store.get(&found.path).await.expect("read").expect("there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("a reader");
        all.insert(found.path, reader.map(|batch| batch.expect("rows")).collect());
    }
    all
}

/// Offsets of all rows, sorted.
async fn offsets(store: &Store) -> Vec<i64> {
    let mut offsets = Vec::new();
    for batch in batches(store).await.values().flatten() {
        let column = batch.column_by_name("output_offset").expect("the column");
        offsets.extend(column.as_primitive::<Int64Type>().values());
    }
    offsets.sort_unstable();
    offsets
}

fn samples(offsets: std::ops::Range<i64>) -> Vec<Sample> {
    offsets.map(|offset| Sample::labelled(offset, 11)).collect()
}

#[tokio::test]
async fn files_of_an_hour_become_one_for_each_model_with_the_same_rows_in_order() {
    let (from, to) = (archive("a").await, store());
    // The later one first, and one of skipped posts alone.
    add(&from, 0, &samples(500..800)).await;
    add(&from, 1000, &samples(0..300)).await;
    add(&from, 2000, &[Sample::skipped(300, 11), Sample::skipped(301, 11)]).await;
    let mut other = samples(900..910);
    for sample in &mut other {
        sample.model_hash = "00ff00ff".repeat(8);
    }
    add(&from, 3000, &other).await;
    let compactor = Compactor::open(from.clone(), to.clone()).await.expect("opened");
    let done = compactor.run(|_, _| ()).await.expect("compacted");
    assert_eq!((done.inputs, done.outputs, done.rows), (4, 2, 612));
    assert_eq!(offsets(&to).await, offsets(&from).await);
    let files = batches(&to).await;
    let largest = files.values().max_by_key(|batches| batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    let largest = &largest.expect("a file")[0];
    let times = largest.column_by_name("event_time").expect("the column");
    assert!(times.as_primitive::<TimestampMillisecondType>().values().is_sorted());
    assert!(largest.column_by_name("label_3").is_some(), "skipped posts take the columns of the others");
    let (path, _) = files.first_key_value().expect("a file");
    let bytes = to.get(path).await.expect("read").expect("there");
    let stated = Footer::read(&bytes).expect("a footer of ours");
    assert_eq!((stated.footer.hour, stated.rows), (Hour::of(TIME), 10));
}

#[tokio::test]
async fn what_came_late_is_another_generation_and_nothing_is_taken_in_twice() {
    let (from, to) = (archive("a").await, store());
    add(&from, 0, &samples(0..10)).await;
    let compactor = Compactor::open(from.clone(), to.clone()).await.expect("opened");
    compactor.run(|_, _| ()).await.expect("compacted");
    assert_eq!(compactor.run(|_, _| ()).await.expect("again").outputs, 0);
    add(&from, 1000, &samples(10..15)).await;
    let done = compactor.run(|_, _| ()).await.expect("the late file");
    assert_eq!((done.inputs, done.rows), (1, 5));
    assert_eq!(offsets(&to).await, (0..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_generation_whose_maker_died_is_finished_by_the_next() {
    let (from, to) = (archive("a").await, store());
    add(&from, 0, &samples(0..10)).await;
    let compactor = Compactor::open(from.clone(), to.clone()).await.expect("opened");
    compactor.run(|_, _| ()).await.expect("compacted");
    for found in to.list("posts").await.expect("listed") {
        to.delete(&found.path).await.expect("removed, as if it had never been made");
    }
    compactor.run(|_, _| ()).await.expect("finished");
    assert_eq!(offsets(&to).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn originals_go_only_where_finished_generations_name_all_of_an_hour() {
    let (from, to) = (archive("a").await, store());
    add(&from, 0, &samples(0..10)).await;
    let compactor = Compactor::open(from.clone(), to.clone()).await.expect("opened");
    let mut done = compactor.run(|_, _| ()).await.expect("compacted");
    add(&from, 1000, &samples(10..15)).await;
    compactor.remove_originals(i64::MAX, 0, &mut done).await.expect("looked");
    assert_eq!((done.removed, offsets(&from).await.len()), (0, 15), "the late file is not named yet");
    compactor.run(|_, _| ()).await.expect("compacted");
    compactor.remove_originals(i64::MAX, i64::MAX, &mut done).await.expect("looked");
    assert_eq!(done.removed, 0, "all of them are young");
    compactor.remove_originals(i64::MAX, 0, &mut done).await.expect("looked");
    assert_eq!((done.removed, offsets(&from).await.len(), offsets(&to).await.len()), (1, 0, 15));
}

#[tokio::test]
async fn a_place_that_is_not_for_these_compactions_is_refused() {
    let (one, other, to) = (archive("a").await, archive("b").await, store());
    Compactor::open(one.clone(), to.clone()).await.expect("opened");
    for (from, to) in [(other, to.clone()), (one.clone(), one.clone()), (store(), store())] {
        let refused = Compactor::open(from, to).await.err().expect("refused");
        assert!(matches!(refused, CompactError::Refused(_)), "{refused}");
    }
}
