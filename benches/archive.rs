//! Output records to Parquet: reading them alone, and all of it up to the finished file.
//!
//! Texts, ids and times differ from row to row as they do in a topic; scores are noise, as those of a model are to a
//! compressor.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moodstream::bench::{parquet, parse};
use moodstream::labelled::{FORMAT_VERSION, LabelledPost, ModelRef, Scores, Source, Status};
use moodstream::post::{EventTime, TimeSource};
use serde_json::{Map, Value};

/// Rows of one file.
const ROWS: i64 = 65_536;
/// 2026-03-01T12:00:00Z.
const HOUR: i64 = 1_772_366_400_000;

const WORDS: [&str; 24] = [
    "three",
    "trains",
    "cancelled",
    "in",
    "a",
    "row",
    "and",
    "the",
    "platform",
    "is",
    "closed",
    "so",
    "this",
    "my",
    "evening",
    "now",
    "🙃",
    "again",
    "never",
    "why",
    "does",
    "it",
    "always",
    "\"rain\"",
];

/// The same numbers in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

#[expect(clippy::cast_precision_loss, reason = "a score needs 24 bits")]
fn records(labels: usize) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..labels).map(|label| format!("emotion{label}")).collect();
    let (thresholds, hash, extra) = (vec![0.5; labels], "0123456789abcdef".repeat(4), Map::new());
    let mut noise = Noise(7);
    let mut record = |offset: i64| {
        let count = 8 + noise.next() % 24;
        let words: Vec<&str> = (0..count).map(|_| WORDS[noise.next() as usize % WORDS.len()]).collect();
        let text = words.join(" ");
        // Some are low, few are high.
        let scores: Vec<f32> = (0..labels).map(|_| (noise.next() % (1 << 24)) as f32 / (1 << 24) as f32).collect();
        let scores: Vec<f32> = scores.iter().map(|score| score * score * score).collect();
        let event_time = EventTime(HOUR + offset * 50 + noise.next() as i64 % 2000);
        let created_at = Value::from(event_time.to_string());
        let id = format!("3k{:011x}", noise.next() * 4096 + 17);
        let values = || Scores { labels: &names, scores: &scores };
        let record = LabelledPost {
            v: FORMAT_VERSION,
            status: Status::Labelled,
            skip_reason: None,
            id: &id,
            text: Some(&text),
            text_hash: None,
            created_at: Some(&created_at),
            event_time,
            time_source: TimeSource::CreatedAt,
            platform: Some("example"),
            lang: Some("en"),
            author_id: Some(format!("did:example:{:x}", noise.next() % 20_000)),
            extra: &extra,
            labels: Some(values().given(&thresholds)),
            scores: Some(values()),
            token_count: Some(count as usize + 4),
            truncated: false,
            model: ModelRef { id: "starter-v1", hash: &hash, thresholds: &thresholds },
            source: Source::Record { topic: "posts", partition: 3, offset, timestamp: event_time.0 + 700 },
            labelled_at: EventTime(HOUR + offset / 256 * 12_800),
        };
        serde_json::to_vec(&record).expect("JSON")
    };
    (0..ROWS).map(&mut record).collect()
}

fn archive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs())).sample_size(10);
    for labels in [11, 28] {
        let records = records(labels);
        let all = || records.iter().map(Vec::as_slice);
        group.bench_function(BenchmarkId::new("parse", labels), |bencher| {
            bencher.iter(|| black_box(parse(black_box(all())).expect("records")));
        });
        let (json, file) = (records.iter().map(Vec::len).sum::<usize>(), parquet(all()).expect("a file").len());
        println!("{labels} labels: {} bytes of JSON and {} of Parquet a row", json as i64 / ROWS, file as i64 / ROWS);
        group.bench_function(BenchmarkId::new("file", labels), |bencher| {
            bencher.iter(|| black_box(parquet(black_box(all())).expect("a file").len()));
        });
    }
    group.finish();
}

criterion_group!(benches, archive);
criterion_main!(benches);
