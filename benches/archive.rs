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
const ROWS: u32 = 65_536;
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
    /// Some number below this one.
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 32) % u64::from(limit)).expect("below a u32")
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(24) as usize]
    }

    /// A score: most are low, few are high.
    fn score(&mut self) -> f32 {
        let share = f32::from(u16::try_from(self.below(1 << 16)).expect("16 bits")) / 65_536.0;
        share * share * share
    }
}

fn records(labels: usize) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..labels).map(|label| format!("emotion{label}")).collect();
    let (thresholds, hash, extra) = (vec![0.5; labels], "0123456789abcdef".repeat(4), Map::new());
    let mut noise = Noise(7);
    let record = |row: u32| {
        let words = 8 + noise.below(24);
        let text = (0..words).map(|_| noise.word()).collect::<Vec<_>>().join(" ");
        let scores: Vec<f32> = (0..labels).map(|_| noise.score()).collect();
        let offset = i64::from(row);
        let event_time = EventTime(HOUR + offset * 50 + i64::from(noise.below(2000)));
        let created_at = Value::from(event_time.to_string());
        let id = format!("3k{:08x}{:03x}", noise.below(u32::MAX), noise.below(4096));
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
            author_id: Some(format!("did:example:{:x}", noise.below(20_000))),
            extra: &extra,
            labels: Some(values().given(&thresholds)),
            scores: Some(values()),
            token_count: Some(words as usize + 4),
            truncated: false,
            model: ModelRef { id: "starter-v2", hash: &hash, thresholds: &thresholds },
            source: Source::Record { topic: "posts", partition: 3, offset, timestamp: event_time.0 + 700 },
            labelled_at: EventTime(HOUR + offset / 256 * 12_800),
        };
        serde_json::to_vec(&record).expect("JSON")
    };
    (0..ROWS).map(record).collect()
}

#[expect(clippy::print_stdout, reason = "a size belongs beside the times")]
fn archive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    group.throughput(Throughput::Elements(u64::from(ROWS))).sample_size(10);
    for labels in [11, 28] {
        let records = records(labels);
        let all = || records.iter().map(Vec::as_slice);
        group.bench_function(BenchmarkId::new("parse", labels), |bencher| {
            bencher.iter(|| black_box(parse(black_box(all())).expect("records")));
        });
        let json: usize = records.iter().map(Vec::len).sum();
        let (file, rows) = (parquet(all()).expect("a file").len(), records.len());
        println!("{labels} labels: {} bytes of JSON and {} of Parquet a row", json / rows, file / rows);
        group.bench_function(BenchmarkId::new("file", labels), |bencher| {
            bencher.iter(|| black_box(parquet(black_box(all())).expect("a file").len()));
        });
    }
    group.finish();
}

criterion_group!(benches, archive);
criterion_main!(benches);
