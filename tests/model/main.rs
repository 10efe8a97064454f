//! Models as the worker runs them: the starter bundle, and tiny bundles that are wrong in one way.
//!
//! They need ONNX Runtime (`make onnxruntime`) and fail without it.

mod evaluation;
mod faults;
mod independence;
mod refusals;
mod tiny;

use std::path::{Path, PathBuf};

use moodstream::config::{Bytes, Inference, Model, Provider};
use moodstream::inference::{Loaded, ModelError, Verdict, load};

/// The processor, and a budget that cuts even small batches.
fn settings(sessions: usize, cache_entries: usize) -> Inference {
    Inference {
        library: PathBuf::new(),
        provider: Provider::Cpu,
        device: 0,
        gpu_memory: Bytes(0),
        sessions,
        token_budget: 512,
        cache_entries,
    }
}

/// Loads a bundle on the processor.
fn load_bundle(path: &Path, sessions: usize, cache_entries: usize) -> Result<Loaded, ModelError> {
    let path = path.to_path_buf();
    load(&Model { path }, &settings(sessions, cache_entries))
}

/// The scores of texts, all of which the model must be able to score.
fn scores(loaded: &Loaded, texts: &[&str]) -> Vec<Vec<f32>> {
    let mut lane = loaded.classifier.lane().expect("a lane");
    let classified = lane.classify(texts).expect("the model is up");
    let scores = |verdict| match verdict {
        Verdict::Scored(scored) => scored.scores.to_vec(),
        Verdict::Failed { reason } => panic!("{reason}"),
    };
    classified.verdicts.into_iter().map(scores).collect()
}

fn largest_difference(one: &[Vec<f32>], other: &[Vec<f32>]) -> f32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().flatten().zip(other.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
