//! Fuzzing of what comes from outside: records, mappings, manifests, texts.
//!
//! Inputs are good and bad examples, mutated where it hurts: a value replaced, copied elsewhere or written
//! into a string, a key renamed, a byte flipped. `make test` runs a small share with a fixed seed, `make
//! fuzz` a million inputs per target. A failure is shrunk and printed with the seed that leads to it.
//!
//! - `MOODSTREAM_FUZZ_INPUTS`: inputs per target
//! - `MOODSTREAM_FUZZ_SEED`: any number

mod decoding;
mod manifest;
mod mapping;
mod mutate;
mod tokenizer;

use std::cell::Cell;
use std::env;
use std::time::Instant;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Inputs per target unless the environment says otherwise.
const INPUTS: u32 = 2_000;

/// Runs one target; a panic anywhere is a failure.
#[expect(clippy::print_stdout, reason = "progress of a million inputs, and the seed")]
fn fuzz<S: Strategy>(target: &str, inputs: &S, check: impl Fn(S::Value) -> TestCaseResult) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let cases = number("MOODSTREAM_FUZZ_INPUTS").map_or(INPUTS, |inputs| u32::try_from(inputs).expect("inputs"));
    let seed = number("MOODSTREAM_FUZZ_SEED").unwrap_or(1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (started, done) = (Instant::now(), Cell::new(0));
    let result = runner.run(inputs, |input| {
        check(input)?;
        done.set(done.get() + 1);
        if done.get() % 100_000 == 0 {
            println!("{target}: {} inputs in {:.0?}", done.get(), started.elapsed());
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{target}, seed {seed}, after {} good inputs: {failure}", done.get());
    }
    println!("{target}: {cases} inputs with seed {seed} in {:.1?}, no failure", started.elapsed());
}
