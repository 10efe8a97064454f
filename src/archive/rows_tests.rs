use std::collections::BTreeMap;
use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::footer::{NoFooter, Segment};
use super::super::hour::Hour;
use super::super::samples::{Sample, TIME};
use super::*;

const KEEP: RowPolicy = RowPolicy { text: Exposure::Keep, key: None };

fn footer() -> Footer {
    let segment = Segment {
        archive_id: "archive-1".into(),
        topic: "posts.emotions".into(),
        topic_id: "x-Y_z".into(),
        partition: 3,
        start: 5,
        end: 12,
    };
    Footer { hour: Hour::of(TIME), segment: Some(segment) }
}

type Row = BTreeMap<String, Value>;

/// A file as another program sees it.
struct Table {
    metadata: ParquetMetaData,
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    fn column(&self, name: &str) -> Vec<Value> {
        self.rows.iter().map(|row| row[name].clone()).collect()
    }
}

fn table(file: &[u8]) -> Table {
    let mut on_disk = tempfile::tempfile().expect("a file");
    on_disk.write_all(file).expect("written");
    let builder = ParquetRecordBatchReaderBuilder::try_new(on_disk).expect("Parquet");
    let metadata = (**builder.metadata()).clone();
    let columns = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in builder.build().expect("a reader") {
        let batch = batch.expect("rows");
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = schema.fields().iter().zip(batch.columns());
            rows.push(cells.map(|(field, array)| (field.name().clone(), cell(array, row))).collect());
        }
    }
    Table { metadata, columns, rows }
}

fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if **zone == *"UTC" => {
            json!(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, item)).collect()
        }
        other => panic!("no column has the type {other}"),
    }
}

/// The row that a record must become, by the record's JSON alone; `labels` are those of the file.
fn expected(json: &[u8], output: Option<(i32, i64)>, labels: &[String]) -> Row {
    let record: Value = serde_json::from_slice(json).expect("JSON");
    let time = |value: &Value| match value.as_str() {
        Some(text) => json!(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()),
        None => value.clone(),
    };
    let plain = [
        "time_source",
        "platform",
        "lang",
        "author_id",
        "text",
        "text_hash",
        "status",
        "skip_reason",
        "labels",
        "token_count",
        "truncated",
    ];
    let mut row: Row = plain.iter().map(|name| ((*name).to_owned(), record[*name].clone())).collect();
    let created_at = match &record["created_at"] {
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    };
    let extra = &record["extra"];
    for (name, value) in [
        ("post_id", record["id"].clone()),
        ("event_time", time(&record["event_time"])),
        ("created_at", created_at),
        ("model_id", record["model"]["id"].clone()),
        ("model_hash", record["model"]["hash"].clone()),
        ("source_topic", record["source"]["topic"].clone()),
        ("source_partition", record["source"]["partition"].clone()),
        ("source_offset", record["source"]["offset"].clone()),
        ("source_timestamp", record["source"]["timestamp"].clone()),
        ("source_file", record["source"]["file"].clone()),
        ("source_line", record["source"]["line"].clone()),
        ("output_partition", json!(output.map(|(partition, _)| partition))),
        ("output_offset", json!(output.map(|(_, offset)| offset))),
        ("labelled_at", time(&record["labelled_at"])),
        ("extra", if *extra == json!({}) { Value::Null } else { json!(extra.to_string()) }),
    ] {
        row.insert(name.to_owned(), value);
    }
    for label in labels {
        let score = record["scores"].get(label).and_then(Value::as_f64);
        #[expect(clippy::cast_possible_truncation, reason = "it is an f32 in JSON")]
        row.insert(columns::name_of(label), json!(score.map(|score| score as f32)));
    }
    row
}

fn push(rows: &mut Rows, sample: &Sample, output: Option<(i32, i64)>) -> Result<(), Misfit> {
    let json = sample.json();
    rows.push(&ArchivedPost::parse(&json).expect("a record"), output)
}

fn rows_of(samples: &[Sample]) -> Rows {
    let mut rows = Rows::new(KEEP);
    for (offset, sample) in (0..).zip(samples) {
        push(&mut rows, sample, Some((3, offset))).expect("fits");
    }
    rows
}

/// Records of every kind, in an order that is not that of their times.
fn mixed(labels: usize) -> Vec<Sample> {
    let mut samples: Vec<Sample> = (0..40).map(|offset| Sample::labelled(offset, labels)).collect();
    for (offset, sample) in (0..).zip(&mut samples) {
        sample.event_time_ms = TIME + (offset * 17) % 23;
        match offset % 5 {
            0 => *sample = Sample { event_time_ms: sample.event_time_ms, ..Sample::skipped(offset, labels) },
            1 => {
                sample.created_at = Some(json!(1_755_000_000.125));
                sample.text = Some("Größe 😀 \"\u{0}\n".repeat(3));
            }
            2 => {
                sample.extra.insert("é".into(), json!({"n": [1, 2.5, null]}));
                sample.platform = None;
                sample.lang = Some("ja".into());
            }
            3 => (sample.text, sample.author_id, sample.created_at) = (None, None, None),
            _ => sample.offset = None,
        }
    }
    samples
}

#[test]
fn every_record_is_the_row_that_its_json_says_sorted_by_time() {
    for labels in [1, 11, 28] {
        let samples = mixed(labels);
        let file = rows_of(&samples).finish(&footer()).expect("a file");
        let mut rows: Vec<Row> = (0..)
            .zip(&samples)
            .map(|(offset, sample)| expected(&sample.json(), Some((3, offset)), &samples[0].labels))
            .collect();
        rows.sort_by_key(|row| (row["event_time"].as_i64(), row["output_offset"].as_i64()));
        assert_eq!(table(&file).rows, rows, "{labels} labels");
    }
}

#[test]
fn the_columns_are_those_that_are_described() {
    let file = rows_of(&[Sample::labelled(0, 2)]).finish(&footer()).expect("a file");
    let table = table(&file);
    let description = columns::description();
    let described: Vec<&str> = description["columns"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|column| match column["name"].as_str() {
            Some("<label>") => vec!["label_0", "label_1"],
            name => vec![name.expect("a name")],
        })
        .collect();
    assert_eq!(table.columns, described);
    let keys = description["metadata"].as_array().expect("a list").iter().map(|pair| pair["key"].clone());
    let pairs = table.metadata.file_metadata().key_value_metadata().expect("pairs");
    let mut found: Vec<Value> = pairs.iter().map(|pair| json!(pair.key)).collect();
    let mut keys: Vec<Value> = keys.collect();
    found.sort_by_key(Value::to_string);
    keys.sort_by_key(Value::to_string);
    assert_eq!(found, keys);
}

#[test]
fn a_bucket_of_skipped_posts_has_no_emotions() {
    let samples = [Sample::skipped(0, 3), Sample::skipped(1, 3)];
    let table = table(&rows_of(&samples).finish(&footer()).expect("a file"));
    assert_eq!(table.columns.len(), columns::fixed().count());
    assert_eq!(table.column("skip_reason"), [json!("language"), json!("language")]);
    assert_eq!((&table.rows[0]["labels"], &table.rows[0]["token_count"]), (&Value::Null, &Value::Null));
}

#[test]
fn where_the_model_is_known_skipped_posts_have_its_emotions() {
    let skipped = Sample::skipped(0, 3);
    let model = ModelInfo {
        id: "model-1".into(),
        hash: skipped.model_hash.clone(),
        labels: skipped.labels.clone(),
        thresholds: skipped.thresholds.clone(),
        languages: Vec::new(),
    };
    let mut rows = Rows::of_model(KEEP, &model);
    push(&mut rows, &skipped, None).expect("fits");
    let table = table(&rows.finish(&footer()).expect("a file"));
    assert_eq!(table.column("label_2"), [Value::Null]);
}

#[test]
fn skipped_posts_before_the_first_labelled_one_decide_nothing() {
    // The row group of the skipped ones is encoded before anyone knows the labels.
    for sealed in [false, true] {
        let mut rows = Rows::new(KEEP);
        push(&mut rows, &Sample::skipped(0, 2), Some((0, 0))).expect("fits");
        if sealed {
            rows.seal().expect("encoded");
        }
        push(&mut rows, &Sample::labelled(1, 2), Some((0, 1))).expect("fits");
        push(&mut rows, &Sample::skipped(2, 2), Some((0, 2))).expect("fits");
        let table = table(&rows.finish(&footer()).expect("a file"));
        assert_eq!(table.metadata.num_row_groups(), if sealed { 2 } else { 1 });
        assert_eq!(table.column("label_0"), [Value::Null, json!(0.31_f32), Value::Null], "sealed: {sealed}");
    }
}

#[test]
fn what_contradicts_the_bucket_is_refused_and_changes_nothing() {
    let mut rows = rows_of(&[Sample::labelled(0, 2)]);
    let mut other_labels = Sample::labelled(1, 2);
    other_labels.labels.swap(0, 1);
    let one_more = Sample { thresholds: vec![0.5; 2], ..Sample::labelled(1, 3) };
    let mut thresholds = Sample::skipped(1, 2);
    thresholds.thresholds[1] = 0.25;
    let model = Sample { model_hash: "78df8f1e".repeat(7) + "00000000", ..Sample::labelled(1, 2) };
    for (sample, class) in [
        (other_labels, "other_labels"),
        (one_more, "other_labels"),
        (thresholds, "other_thresholds"),
        (model, "other_model"),
    ] {
        assert_eq!(push(&mut rows, &sample, None).expect_err(class).class(), class);
    }
    push(&mut rows, &Sample { model_id: "renamed".into(), ..Sample::labelled(1, 2) }, Some((0, 1))).expect("fits");
    assert_eq!(rows.len(), 2);
    let table = table(&rows.finish(&footer()).expect("a file"));
    assert_eq!(table.column("post_id"), [json!("id-0"), json!("id-1")]);
    assert_eq!(table.column("model_id"), [json!("model-1"), json!("renamed")]);
}

#[test]
fn labels_that_cannot_be_columns_are_refused_and_later_ones_may_still_decide() {
    let mut rows = Rows::new(KEEP);
    let mut clash = Sample::labelled(0, 2);
    clash.labels[1] = "Event Time".into();
    assert_eq!(push(&mut rows, &clash, None).expect_err("no columns").class(), "no_columns");
    let short = Sample { thresholds: vec![0.5], ..Sample::labelled(0, 2) };
    assert_eq!(push(&mut rows, &short, None).expect_err("thresholds").class(), "other_thresholds");
    push(&mut rows, &Sample::labelled(0, 2), None).expect("fits");
    assert_eq!(rows.len(), 1);
}

#[test]
fn the_text_is_kept_hashed_or_left_out_on_top_of_what_the_record_holds() {
    // RFC 4231, test case 2.
    let text = Some("what do ya want for nothing?".to_owned());
    let hash = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let kept = Sample { text: text.clone(), ..Sample::labelled(0, 1) };
    let hashed = Sample { text: None, text_hash: Some("ab".repeat(32)), ..Sample::labelled(1, 1) };
    let omitted = Sample { text: None, ..Sample::labelled(2, 1) };
    let key: Option<Arc<[u8]>> = Some(b"Jefe"[..].into());
    let theirs = json!("ab".repeat(32));
    for (policy, texts, hashes) in [
        (KEEP, [json!(text), Value::Null, Value::Null], [Value::Null, theirs.clone(), Value::Null]),
        (
            RowPolicy { text: Exposure::Hash, key },
            [Value::Null, Value::Null, Value::Null],
            [json!(hash), theirs, Value::Null],
        ),
        (
            RowPolicy { text: Exposure::Omit, key: None },
            [Value::Null, Value::Null, Value::Null],
            [Value::Null, Value::Null, Value::Null],
        ),
    ] {
        let mut rows = Rows::new(policy);
        for (offset, sample) in (0..).zip([&kept, &hashed, &omitted]) {
            push(&mut rows, sample, Some((0, offset))).expect("fits");
        }
        let file = rows.finish(&footer()).expect("a file");
        let table = table(&file);
        assert_eq!((table.column("text"), table.column("text_hash")), (texts.to_vec(), hashes.to_vec()));
    }
}

#[test]
fn a_full_row_group_is_encoded_and_another_begun() {
    let mut rows = Rows::new(KEEP);
    let json = Sample::labelled(1, 2).json();
    let mut post = ArchivedPost::parse(&json).expect("a record");
    let full = i64::try_from(GROUP_ROWS).expect("few");
    let total = full + 10;
    for offset in 0..total {
        // Against the order of time, so that each row group has to be sorted.
        post.event_time_ms = TIME + total - offset;
        rows.push(&post, Some((0, offset))).expect("fits");
    }
    assert_eq!(rows.len(), GROUP_ROWS + 10);
    let table = table(&rows.finish(&footer()).expect("a file"));
    let groups: Vec<i64> = table.metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(groups, [full, 10]);
    let offsets: Vec<i64> = table.rows.iter().map(|row| row["output_offset"].as_i64().expect("an offset")).collect();
    let (first, second) = offsets.split_at(GROUP_ROWS);
    assert!(first.is_sorted_by(|a, b| a > b) && second.is_sorted_by(|a, b| a > b));
    assert_eq!((first[0], second[0]), (full - 1, total - 1));
}

#[test]
fn long_texts_make_smaller_row_groups() {
    let mut rows = Rows::new(KEEP);
    let json = Sample { text: Some("x".repeat(1 << 20)), ..Sample::labelled(1, 1) }.json();
    let post = ArchivedPost::parse(&json).expect("a record");
    for offset in 0..70 {
        rows.push(&post, Some((0, offset))).expect("fits");
    }
    let table = table(&rows.finish(&footer()).expect("a file"));
    let groups: Vec<i64> = table.metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(groups, [64, 6]);
}

#[test]
fn the_footer_is_read_back_from_the_end_of_the_file_alone() {
    let samples = mixed(2);
    let file = rows_of(&samples).finish(&footer()).expect("a file");
    let stated = Footer::read(&file).expect("a footer");
    assert_eq!((&stated.footer, stated.rows), (&footer(), 40));
    assert_eq!(stated.model_hash, samples[0].model_hash);
    let Err(NoFooter::Short { needed }) = Footer::read(&file[file.len() - 8..]) else { panic!("8 bytes are enough") };
    assert_eq!(Footer::read(&file[file.len() - needed..]).expect("a footer"), stated);
    assert!(matches!(Footer::read(&file[file.len() - needed + 1..]), Err(NoFooter::Short { .. })));
    let without = Footer { segment: None, ..footer() };
    let file = rows_of(&samples).finish(&without).expect("a file");
    assert_eq!(Footer::read(&file).expect("a footer").footer, without);
}

#[test]
fn torn_and_foreign_files_are_told_from_ours() {
    let file = rows_of(&mixed(2)).finish(&footer()).expect("a file");
    for length in [0, 7] {
        assert!(matches!(Footer::read(&file[..length]), Err(NoFooter::Short { needed: 8 })), "{length}");
    }
    for length in [8, 100, file.len() / 2, file.len() - 1] {
        assert!(matches!(Footer::read(&file[..length]), Err(NoFooter::Torn(_))), "{length}");
    }
    let mut zeros = file.clone();
    let end = zeros.len();
    zeros[end - 500..end - 8].fill(0);
    assert!(Footer::read(&zeros).is_err());
    let replaced = |key: &str, by: &str| {
        let at = file.windows(key.len()).rposition(|window| window == key.as_bytes()).expect(key);
        let mut file = file.clone();
        file[at..at + key.len()].copy_from_slice(by.as_bytes());
        Footer::read(&file).expect_err("foreign").to_string()
    };
    assert!(replaced("moodstream.end", "moodstream.and").contains("no moodstream.end"));
    assert!(replaced("moodstream.format", "another.on.format").contains("no moodstream.format"));
}

#[test]
fn a_file_declares_its_order_and_has_statistics_where_they_help() {
    let table = table(&rows_of(&mixed(3)).finish(&footer()).expect("a file"));
    let group = table.metadata.row_group(0);
    let sorted = group.sorting_columns().expect("an order");
    let path = |position: i32| group.column(usize::try_from(position).expect("a column")).column_path().string();
    assert_eq!(sorted.iter().map(|by| path(by.column_idx)).collect::<Vec<_>>(), ["event_time", "output_offset"]);
    for column in group.columns() {
        let name = column.column_path().string();
        let private = ["text", "text_hash", "extra", "created_at"].contains(&name.as_str());
        assert_eq!(column.statistics().is_none(), private, "{name}");
        assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
        let paged = ["event_time", "lang", "platform"].contains(&name.as_str());
        assert_eq!(column.column_index_offset().is_some(), paged, "{name}");
    }
}

#[test]
fn memory_is_what_the_rows_hold() {
    let mut rows = Rows::new(KEEP);
    assert!(rows.memory() < 8 << 10, "{}", rows.memory());
    let mut sample = Sample::labelled(0, 11);
    sample.text = Some("x".repeat(300));
    let json = sample.json();
    let mut post = ArchivedPost::parse(&json).expect("a record");
    let noise = (0..20_000_u64).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut least = 0;
    for (offset, noise) in (0..).zip(noise) {
        let parts: Vec<String> =
            (0..20).map(|part: u32| format!("{:015x}", noise.rotate_left(part * 3) >> 4)).collect();
        let text = parts.concat();
        least += text.len() + post.id.len() + 24 + 12 + 11 * 4 + 6 * 8 + 3 * 4 + 8 * 4 + 6 * 4;
        post.text = Some(text.into());
        post.source.offset = Some(offset);
        rows.push(&post, Some((0, offset))).expect("fits");
    }
    let open = rows.memory();
    assert!((least..2 * least).contains(&open), "{open} for {least}");
    rows.seal().expect("encoded");
    let sealed = rows.memory();
    assert!(sealed < open / 2, "{sealed} of {open}");
    let file = rows.finish(&footer()).expect("a file").len();
    assert!((sealed / 2..sealed * 2).contains(&file), "{file} for {sealed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a reader sees does not depend on when row groups were closed, but for the order among them.
    #[test]
    fn sealing_changes_no_row(
        kinds in prop::collection::vec((0..4_u8, 0..50_i64, any::<Option<String>>()), 1..30),
        sealed in prop::collection::vec(any::<bool>(), 30),
    ) {
        let samples: Vec<Sample> = (0..).zip(&kinds).map(|(offset, (kind, late, text))| Sample {
            text: text.clone(),
            event_time_ms: TIME + late,
            ..if *kind == 0 { Sample::skipped(offset, 3) } else { Sample::labelled(offset, 3) }
        }).collect();
        let whole = table(&rows_of(&samples).finish(&footer()).expect("a file"));
        let mut rows = Rows::new(KEEP);
        for ((offset, sample), seal) in (0..).zip(&samples).zip(sealed) {
            push(&mut rows, sample, Some((3, offset))).expect("fits");
            if seal {
                rows.seal().expect("encoded");
            }
        }
        let parts = table(&rows.finish(&footer()).expect("a file"));
        let by_offset = |mut table: Table| {
            table.rows.sort_by_key(|row| row["output_offset"].as_i64());
            (table.columns, table.rows)
        };
        prop_assert_eq!(by_offset(parts), by_offset(whole));
    }
}
