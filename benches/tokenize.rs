//! Text to token ids, with the starter model's tokenizer, on the demo's posts.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use moodstream::inference::{Bundle, Encoder};

fn tokenize(criterion: &mut Criterion) {
    let bundle = Bundle::open(Path::new("models/starter")).expect("the starter bundle");
    let manifest = &bundle.manifest;
    let encoder = Encoder::load(&bundle.tokenizer_file(), manifest.max_length, manifest.pad_id).expect("its tokenizer");
    let texts = texts();
    let mut group = criterion.benchmark_group("tokenize");
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("demo posts", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                black_box(encoder.encode(black_box(text)).expect("text"));
            }
        });
    });
    group.finish();
}

/// The demo's texts.
fn texts() -> Vec<String> {
    let posts = include_str!("../src/demo/posts.jsonl").lines();
    let text =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("text")?.as_str().map(str::to_owned);
    posts.filter_map(text).collect()
}

criterion_group!(benches, tokenize);
criterion_main!(benches);
