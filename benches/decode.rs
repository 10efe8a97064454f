//! What one record costs to decode: posts by the defaults, and the posts and the other events of each preset.
//!
//! `parse` is `serde_json` alone on the same bytes, the floor: an event that is no post should cost no more.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moodstream::config::Config;
use moodstream::post::{Decoded, Mapping};
use serde_json::{Value, json};

fn mapping(preset: &str) -> Mapping {
    let flags = [("input.preset".to_owned(), preset.to_owned())];
    Mapping::new(&Config::load(None, std::iter::empty(), &flags).expect("a configuration").input)
}

/// Events of a preset's fixture, those that are posts first.
fn events(preset: &str) -> [(&'static str, Vec<Vec<u8>>); 2] {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/presets/{preset}.jsonl"));
    let text = std::fs::read_to_string(file).expect("a fixture");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let those = |wanted: fn(&Value) -> bool| {
        lines.iter().filter(|line| wanted(&line["ends"])).map(|line| line["event"].to_string().into_bytes()).collect()
    };
    [("posts", those(Value::is_object)), ("others", those(|ends| ends == "not_selected"))]
}

/// The texts of a preset's posts in records of the default shape.
fn plain(preset: &str) -> Vec<Vec<u8>> {
    let (mapping, [(_, posts), _]) = (mapping(preset), events(preset));
    let flat = |record: &Vec<u8>| match mapping.decode(Some(record)) {
        Ok(Decoded::Post(post)) => json!({"id": post.id, "text": post.text, "created_at": post.created_at,
            "lang": post.lang, "author": post.author, "platform": post.platform})
        .to_string()
        .into_bytes(),
        other => panic!("the fixture says that this is a post: {other:?}"),
    };
    posts.iter().map(flat).collect()
}

fn decode(criterion: &mut Criterion) {
    let mut run = |preset: &str, kind: &str, records: &[Vec<u8>]| {
        let mapping = mapping(preset);
        let mut group = criterion.benchmark_group(format!("decode/{preset}"));
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_with_input(BenchmarkId::new(kind, "parse"), records, |bencher, records| {
            bencher.iter(|| {
                for record in records {
                    black_box(serde_json::from_slice::<Value>(black_box(record)).is_ok());
                }
            });
        });
        group.bench_with_input(BenchmarkId::new(kind, "decode"), records, |bencher, records| {
            bencher.iter(|| {
                for record in records {
                    black_box(mapping.decode(Some(black_box(record))).is_ok());
                }
            });
        });
        group.finish();
    };
    run("none", "posts", &plain("bluesky-jetstream"));
    for preset in ["bluesky-jetstream", "mastodon", "x-v2"] {
        for (kind, records) in events(preset) {
            run(preset, kind, &records);
        }
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
