//! Cutting a batch into micro-batches with the least padded work.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moodstream::inference::Cutter;

fn micro_batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("micro-batch");
    for posts in [64_usize, 512, 4096] {
        let lengths = lengths(posts);
        group.throughput(Throughput::Elements(posts as u64));
        group.bench_with_input(BenchmarkId::from_parameter(posts), &lengths, |bencher, lengths| {
            bencher.iter(|| Cutter { budget: 512, overhead: 16 }.cut(black_box(lengths)));
        });
    }
    group.finish();
}

/// Lengths as posts have them: 5 to 53 tokens, 27 on average, one in sixteen longer.
fn lengths(count: usize) -> Vec<usize> {
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from((state >> 33) % bound).expect("small")
    };
    (0..count).map(|_| 5 + below(25) + below(25) + if below(16) == 0 { below(74) } else { 0 }).collect()
}

criterion_group!(benches, micro_batch);
criterion_main!(benches);
