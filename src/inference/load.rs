//! From configuration to a classifier that has proved itself.
//!
//! In order: the bundle's files, the tokenizer, the library, a session, the golden texts, the
//! other sessions. Any of them wrong stops the start (I10), before the group is joined.

use std::sync::Arc;
use std::thread;

use super::Classifier;
use super::bundle::Bundle;
use super::classifier::OnnxClassifier;
use super::encode::Encoder;
use super::error::ModelError;
use super::golden::{Canary, Verification, verify};
use super::library::{self, LibraryInfo};
use super::manifest::Precision;
use super::micro_batch::Cutter;
use super::pool::Pool;
use super::session::SessionFactory;
use crate::config::{Inference, Model, Provider};

/// Fixed cost of a micro-batch on a processor core, in tokens. Measured with the starter model: a
/// run takes 0.75 ms and 0.052 ms for each token.
const CPU_OVERHEAD: usize = 16;

/// Fixed cost of a micro-batch on a GPU, in tokens: some hundred kernel launches take about as
/// long as a thousand tokens.
const GPU_OVERHEAD: usize = 1_024;

/// Padded tokens of a micro-batch on a processor core: with the starter model more of them gain
/// nothing, and pad more.
const CPU_BUDGET: usize = 512;

/// The same on a GPU, which needs some thousands at once to be busy: on an H200 roberta-base in fp16 gains 3 % from
/// four times as many, a small model 12 %, for four times the memory.
const GPU_BUDGET: usize = 16_384;

/// Sessions on a GPU: while one of them waits for the GPU or for what it computed, the other's kernels run. On an H200
/// a second one gains 12 % with roberta-base in fp16 and 31 % with a small model.
const GPU_SESSIONS: usize = 2;

/// A classifier and what is known of it.
pub struct Loaded {
    /// The classifier, warm.
    pub classifier: Arc<dyn Classifier>,
    /// The runtime in use.
    pub library: LibraryInfo,
    /// What the golden texts have shown.
    pub verification: Verification,
    /// Execution provider in use: `cpu` or `cuda`.
    pub provider: &'static str,
    /// Precision of the model's weights.
    pub precision: Precision,
    /// Sessions, one thread each.
    pub sessions: usize,
    /// Padded tokens of a micro-batch.
    pub token_budget: usize,
    pub(super) onnx: Arc<OnnxClassifier>,
}

/// Padded tokens of a micro-batch, as configured or as the device likes them.
fn token_budget(inference: &Inference) -> usize {
    match (inference.token_budget, inference.provider) {
        (0, Provider::Cpu) => CPU_BUDGET,
        (0, Provider::Cuda) => GPU_BUDGET,
        (budget, _) => budget,
    }
}

/// Sessions, as configured or as the device likes them.
fn sessions(inference: &Inference) -> usize {
    match (inference.sessions, inference.provider) {
        (0, Provider::Cpu) => thread::available_parallelism().map_or(1, usize::from),
        (0, Provider::Cuda) => GPU_SESSIONS,
        (sessions, _) => sessions,
    }
}

/// Loads and verifies the configured model.
///
/// # Errors
/// When anything about it is not what its manifest says, or the runtime or the provider cannot
/// be had.
pub fn load(model: &Model, inference: &Inference) -> Result<Loaded, ModelError> {
    let bundle = Arc::new(Bundle::open(&model.path)?);
    let manifest = &bundle.manifest;
    let encoder = Encoder::load(&bundle.tokenizer_file(), manifest.max_length, manifest.pad_id)?;
    let (environment, library) = library::environment(&inference.library, inference.provider)?;
    tracing::info!(path = %library.path.display(), version = library.version, "loaded ONNX Runtime");

    let (provider, overhead) = match inference.provider {
        Provider::Cpu => ("cpu", CPU_OVERHEAD),
        Provider::Cuda => ("cuda", GPU_OVERHEAD),
    };
    let budget = token_budget(inference);
    let sessions = sessions(inference);
    let factory = SessionFactory::new(environment, Arc::clone(&bundle), inference, sessions);
    let (runners, verification) = thread::scope(|scope| {
        // The other sessions are built while the first one proves the model.
        let others: Vec<_> = (1..sessions).map(|_| scope.spawn(|| factory.build())).collect();
        let mut first = factory.build()?;
        let verification = verify(&bundle, &encoder, |ids, longest| first.run(ids, longest))?;
        let mut runners = vec![first];
        for other in others {
            let panicked = |_| factory.failed("building a session panicked".to_owned());
            runners.push(other.join().map_err(panicked)??);
        }
        Ok::<_, ModelError>((runners, verification))
    })?;
    let pool = Pool::start(runners, &Canary::new(&bundle, &encoder)?, &factory)?;
    tracing::info!(
        model = manifest.id,
        hash = bundle.info.hash,
        provider,
        sessions,
        max_deviation = verification.max_deviation,
        "the model gives its golden scores"
    );
    if !verification.batch_independent {
        tracing::info!(
            batch_deviation = verification.batch_deviation,
            "this model's scores depend on the batch: equal texts are not merged and nothing is cached"
        );
    }
    let onnx = Arc::new(OnnxClassifier::new(
        bundle.info.clone(),
        encoder,
        Cutter { budget, overhead },
        pool,
        verification.batch_independent,
        inference.cache_entries,
    ));
    let classifier = Arc::clone(&onnx) as Arc<dyn Classifier>;
    Ok(Loaded {
        classifier,
        library,
        verification,
        provider,
        precision: manifest.precision,
        sessions,
        token_budget: budget,
        onnx,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn inference(flags: &[(&str, &str)]) -> Inference {
        let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::load(None, std::iter::empty(), &flags).expect("settings").inference
    }

    const CUDA: (&str, &str) = ("inference.provider", "cuda");

    #[test]
    fn the_budget_of_micro_batches_is_the_devices_own_unless_configured() {
        let budget = |flags: &[(&str, &str)]| token_budget(&inference(flags));
        assert_eq!((budget(&[]), budget(&[CUDA])), (512, 16_384));
        assert_eq!(budget(&[CUDA, ("inference.token_budget", "4096")]), 4096);
    }

    #[test]
    fn a_gpu_gets_two_sessions_and_a_core_one_unless_configured() {
        let count = |flags: &[(&str, &str)]| sessions(&inference(flags));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!((count(&[]), count(&[CUDA])), (cores, 2));
        assert_eq!(count(&[CUDA, ("inference.sessions", "1")]), 1);
    }
}
