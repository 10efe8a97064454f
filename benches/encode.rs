//! A labelled post to the JSON of the output topic.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use moodstream::inference::REFERENCE_LABELS;
use moodstream::labelled::{FORMAT_VERSION, LabelledPost, ModelRef, Scores, Source, Status};
use moodstream::post::EventTime;
use serde_json::Map;

fn encode(criterion: &mut Criterion) {
    let labels = REFERENCE_LABELS.map(str::to_owned);
    let scores: Vec<f32> = (0..11_u8).map(|label| f32::from(label) / 11.0 + 0.012_345).collect();
    let (thresholds, hash, extra) = ([0.5_f32; 11], "0123456789abcdef".repeat(4), Map::new());
    let created_at = "2026-03-01T12:34:56Z".into();
    let (event_time, time_source) = EventTime::decide(Some(&created_at), 1_772_368_500_000);
    let values = || Scores { labels: &labels, scores: &scores };
    let record = || LabelledPost {
        v: FORMAT_VERSION,
        status: Status::Labelled,
        skip_reason: None,
        id: "3kqz7xw2yzc2a",
        text: Some("Three trains cancelled in a row and the platform is \"closed\". So this is my evening now 🙃"),
        text_hash: None,
        created_at: Some(&created_at),
        event_time,
        time_source,
        platform: Some("example"),
        lang: Some("en"),
        author_id: Some("did:example:4f2a9c".to_owned()),
        extra: &extra,
        labels: Some(values().given(&thresholds)),
        scores: Some(values()),
        token_count: Some(27),
        truncated: false,
        model: ModelRef { id: "starter-v2", hash: &hash, thresholds: &thresholds },
        source: Source::Record { topic: "posts", partition: 3, offset: 123_456_789, timestamp: 1_772_368_500_000 },
        labelled_at: EventTime(1_772_368_501_234),
    };
    let mut json = Vec::with_capacity(4096);
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("labelled post", |bencher| {
        bencher.iter(|| {
            json.clear();
            serde_json::to_writer(&mut json, black_box(&record())).expect("JSON");
            black_box(json.len())
        });
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
