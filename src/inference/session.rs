//! One ONNX session: built with the options that were measured, checked against the manifest,
//! run on one micro-batch at a time.
//!
//! On the CPU a session has one thread, and a core each: two such sessions are faster than one
//! with two threads. With CUDA a start that cannot have the GPU fails instead of falling back.

use std::sync::Arc;

use ort::environment::Environment;
use ort::ep;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::bundle::Bundle;
use super::error::ModelError;
use super::manifest::{InputNames, Precision};
use crate::config::{Inference, Provider};

/// A session and what it needs to run; belongs to one thread.
pub(super) struct Runner {
    session: Session,
    inputs: InputNames,
    output: String,
    labels: usize,
    pad_id: i64,
    ids: Vec<i64>,
    mask: Vec<i64>,
    /// Padded tokens that fit the device, as a test has it.
    #[cfg(feature = "fault-injection")]
    memory: Option<usize>,
}

/// Why a micro-batch could not be run.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum RunError {
    /// The device has no memory left; a smaller micro-batch may pass.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Builds runners of one bundle, each with a session of its own.
#[derive(Clone)]
pub(super) struct SessionFactory {
    environment: Environment,
    bundle: Arc<Bundle>,
    provider: Provider,
    device: u32,
    gpu_memory: usize,
}

impl SessionFactory {
    /// A factory for so many sessions, as configured.
    pub(super) fn new(environment: Environment, bundle: Arc<Bundle>, inference: &Inference, sessions: usize) -> Self {
        Self {
            environment,
            bundle,
            provider: inference.provider,
            device: inference.device,
            // Each session has an arena of its own.
            gpu_memory: inference.gpu_memory.0 / sessions.max(1),
        }
    }

    /// Builds a session and compares the graph's inputs and output with the manifest.
    ///
    /// # Errors
    /// When the provider cannot be had, the file is no model, or the graph is not what the
    /// manifest says.
    pub(super) fn build(&self) -> Result<Runner, ModelError> {
        let runtime = |error: ort::Error| self.failed(error.message().to_owned());
        let provider = |error: ort::Error| refused(self.device, error.message());
        let session = match self.provider {
            Provider::Cpu => self
                .options()
                .and_then(|mut options| options.commit_from_file(self.bundle.model_file()))
                .map_err(runtime)?,
            Provider::Cuda => self.cuda_session().map_err(provider)?,
        };
        self.check(&session)?;
        let manifest = &self.bundle.manifest;
        Ok(Runner {
            session,
            inputs: manifest.inputs.clone(),
            output: manifest.output.clone(),
            labels: manifest.labels.len(),
            pad_id: i64::from(manifest.pad_id),
            ids: Vec::new(),
            mask: Vec::new(),
            #[cfg(feature = "fault-injection")]
            memory: super::faulty::memory(&self.bundle.path),
        })
    }

    /// The model cannot be run, for that reason.
    pub(super) fn failed(&self, reason: String) -> ModelError {
        ModelError::Runtime { file: self.bundle.model_file(), reason }
    }

    /// Options of every provider. Shapes change from run to run, so memory is not planned by
    /// them; `ep::CPU` is left out because adding it switches the arena off.
    fn options(&self) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_memory_pattern(false)?
            .with_log_level(ort::logging::LogLevel::Warning)?;
        if self.bundle.manifest.precision == Precision::Int8 && u8s8_saturates() {
            return Ok(builder.with_precise_qmm()?);
        }
        Ok(builder)
    }

    /// Everything on the GPU if that can be had, else what the runtime wants on the processor there.
    fn cuda_session(&self) -> ort::Result<Session> {
        let options = || -> ort::Result<SessionBuilder> {
            let cuda = cuda(self.device, self.gpu_memory, self.bundle.manifest.precision)?;
            Ok(self.options()?.with_execution_providers([cuda.build().error_on_failure()])?)
        };
        let file = self.bundle.model_file();
        match options()?.with_disable_cpu_fallback()?.commit_from_file(&file) {
            Err(error) if is_partly_on_the_processor(error.message()) => {
                tracing::warn!(
                    precision = self.bundle.manifest.precision.name(),
                    "some of the graph's nodes run on the processor, not on the GPU: its arithmetic of shapes, or \
                     most of it where it is int8"
                );
                options()?.commit_from_file(&file)
            }
            session => session,
        }
    }

    fn check(&self, session: &Session) -> Result<(), ModelError> {
        let manifest = &self.bundle.manifest;
        let names = [&manifest.inputs.input_ids, &manifest.inputs.attention_mask];
        for name in names {
            let found = find(session.inputs(), name);
            let right = found.is_some_and(|outlet| is_matrix(outlet, TensorElementType::Int64, None));
            if !right {
                return Err(self.graph("input", name, "int64 [batch, sequence]", found, session.inputs()));
            }
        }
        if let Some(extra) = session.inputs().iter().find(|i| !names.contains(&&i.name().to_owned())) {
            let key = format!("input \"{}\"", extra.name());
            return Err(self.wrong_graph(key, "no other inputs", describe(extra)));
        }
        let labels = manifest.labels.len();
        let found = find(session.outputs(), &manifest.output);
        let right = found.is_some_and(|o| is_matrix(o, TensorElementType::Float32, Some(labels)));
        if !right {
            let expected = format!("float32 [batch, {labels}], one logit per label");
            return Err(self.graph("output", &manifest.output, &expected, found, session.outputs()));
        }
        Ok(())
    }

    fn graph(&self, kind: &str, name: &str, expected: &str, found: Option<&Outlet>, all: &[Outlet]) -> ModelError {
        let found = found
            .map_or_else(|| format!("only {}", all.iter().map(Outlet::name).collect::<Vec<_>>().join(", ")), describe);
        self.wrong_graph(format!("{kind} \"{name}\""), expected, found)
    }

    fn wrong_graph(&self, key: String, expected: &str, found: String) -> ModelError {
        ModelError::Invalid { file: self.bundle.model_file(), key, expected: expected.to_owned(), found }
    }
}

/// The CUDA provider as configured. fp32 stays fp32: tensor cores would round to TF32 and move scores
/// by more than a golden tolerance allows.
fn cuda(device: u32, memory: usize, precision: Precision) -> ort::Result<ep::CUDA> {
    let device = i32::try_from(device).map_err(ort::Error::wrap)?;
    let cuda = ep::CUDA::default().with_device_id(device).with_tf32(precision != Precision::Fp32);
    Ok(if memory > 0 { cuda.with_memory_limit(memory) } else { cuda })
}

/// Whether a session was refused because not every node is on the GPU. ONNX Runtime puts what computes
/// shapes on the processor on purpose, where it is faster (its issue 17930), so that most exported
/// transformers cannot be had without any; more than that is slow, and only a person can tell.
fn is_partly_on_the_processor(message: &str) -> bool {
    message.contains("assigned to the default CPU EP")
}

impl Runner {
    /// Scores per sequence.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// Scores of some sequences, row-major: one row of one score per label for each sequence.
    /// A logit that is not finite gives NaN.
    ///
    /// The sequences are padded to `longest`, which is at least the length of each.
    ///
    /// # Errors
    /// When the runtime fails, or its output has another shape than the manifest says.
    pub(super) fn run(&mut self, sequences: &[&[u32]], longest: usize) -> Result<Vec<f32>, RunError> {
        let count = sequences.len();
        self.ids.clear();
        self.mask.clear();
        for sequence in sequences {
            self.ids.extend(sequence.iter().copied().map(i64::from));
            self.mask.resize(self.ids.len(), 1);
            let end = self.ids.len() - sequence.len() + longest;
            self.ids.resize(end, self.pad_id);
            self.mask.resize(end, 0);
        }
        let shape = [count, longest];
        #[cfg(feature = "fault-injection")]
        if self.memory.is_some_and(|tokens| count * longest > tokens) {
            return Err(RunError::from_message("a test's device: Failed to allocate memory for requested buffer"));
        }
        let ids = TensorRef::from_array_view((shape, &self.ids[..]))?;
        let mask = TensorRef::from_array_view((shape, &self.mask[..]))?;
        let inputs = ort::inputs![
            self.inputs.input_ids.as_str() => ids,
            self.inputs.attention_mask.as_str() => mask,
        ];
        let outputs = self.session.run(inputs)?;
        let output = outputs
            .get(&self.output)
            .ok_or_else(|| RunError::Failed(format!("the model gave no output \"{}\"", self.output)))?;
        let (shape, logits) = output.try_extract_tensor::<f32>()?;
        let right = [count, self.labels].map(|side| i64::try_from(side).unwrap_or(i64::MAX));
        if shape[..] != right {
            return Err(RunError::Failed(format!(
                "output \"{}\": expected [{count}, {}], one logit per label, found {shape:?}",
                self.output, self.labels
            )));
        }
        Ok(logits.iter().copied().map(sigmoid).collect())
    }
}

/// Why there is no session on the GPU.
fn refused(device: u32, message: &str) -> ModelError {
    let reason = message.trim_end().to_owned();
    if is_lack_of_memory(&reason) {
        return ModelError::DeviceMemory { device, reason };
    }
    ModelError::Provider { provider: "cuda", reason }
}

/// ONNX Runtime has no code for lack of memory. CUDA and cuBLAS word it each in its own way, the arena in two: where
/// the GPU has no more, and where `inference.gpu_memory` allows no more.
fn is_lack_of_memory(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let words = ["out of memory", "alloc_failed", "failed to allocate memory", "is smaller than requested bytes"];
    words.iter().any(|words| lower.contains(words))
}

impl RunError {
    fn from_message(message: &str) -> Self {
        if is_lack_of_memory(message) {
            Self::OutOfMemory(message.to_owned())
        } else {
            Self::Failed(message.to_owned())
        }
    }
}

impl From<ort::Error> for RunError {
    fn from(error: ort::Error) -> Self {
        Self::from_message(error.message())
    }
}

/// 1 / (1 + e⁻ˣ), in f64 so that large logits keep their last digits; NaN unless finite, so that
/// an overflow in the model does not pass for certainty.
#[expect(clippy::cast_possible_truncation, reason = "a probability fits an f32")]
fn sigmoid(logit: f32) -> f32 {
    if !logit.is_finite() {
        return f32::NAN;
    }
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

/// Whether u8 × s8 products can saturate here: x86 without VNNI adds them in 16 bits.
/// (onnxruntime.ai, "Quantize ONNX Models", on `session.x64quantprecision`.)
fn u8s8_saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !(is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"));
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn find<'a>(outlets: &'a [Outlet], name: &str) -> Option<&'a Outlet> {
    outlets.iter().find(|outlet| outlet.name() == name)
}

/// Whether an outlet is a matrix of that type, of `columns` columns if given (a graph may leave
/// a dimension open: −1).
fn is_matrix(outlet: &Outlet, element: TensorElementType, columns: Option<usize>) -> bool {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return false;
    };
    let wide = |columns: usize| shape[1] < 0 || usize::try_from(shape[1]).is_ok_and(|c| c == columns);
    *ty == element && shape.len() == 2 && columns.is_none_or(wide)
}

fn describe(outlet: &Outlet) -> String {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => format!("{ty:?} {:?}", &shape[..]),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_is_right_in_the_middle_and_at_its_ends() {
        assert_eq!(sigmoid(0.0).to_bits(), 0.5_f32.to_bits());
        assert!((sigmoid(2.0) - 0.880_797).abs() < 1e-6);
        assert_eq!(sigmoid(200.0).to_bits(), 1.0_f32.to_bits());
        assert!(sigmoid(-200.0) < 1e-30);
    }

    #[test]
    fn a_logit_that_is_not_finite_never_passes_for_a_score() {
        for logit in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(sigmoid(logit).is_nan());
        }
    }

    #[test]
    fn device_and_memory_limit_reach_the_provider() {
        let options = |memory| format!("{:?}", cuda(3, memory, Precision::Fp32).expect("a device"));
        let limited = options(123_456);
        for part in ["device_id", "\"3\"", "gpu_mem_limit", "\"123456\""] {
            assert!(limited.contains(part), "no {part} in {limited}");
        }
        assert!(!options(0).contains("gpu_mem_limit"), "0 is no limit");
    }

    #[test]
    fn a_model_that_does_not_fit_the_gpu_is_told_from_a_gpu_that_cannot_be_had() {
        let arena = "Exception during initialization: Available memory of 0 is smaller than requested bytes of 1536\n";
        let message = refused(3, arena).to_string();
        assert!(message.contains("GPU 3") && message.contains("inference.gpu_memory"), "{message}");
        let message = refused(3, "libcuda.so.1: cannot open shared object file").to_string();
        assert!(message.contains("cannot be had") && message.contains("make gpu"), "{message}");
    }

    #[test]
    fn running_out_of_memory_is_told_from_other_failures() {
        let error = RunError::from_message("CUDA failure 2: out of memory");
        assert!(matches!(error, RunError::OutOfMemory(_)));
        // As ONNX Runtime 1.31.1 said it on an H200.
        let running = "Non-zero status code returned while running BiasGelu node. Name:'BiasGelu_16' Status Message: ";
        let arena =
            "bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) ";
        for words in [
            "Failed to allocate memory for requested buffer of size 3538944",
            "Available memory of 23668480 is smaller than requested bytes of 59965440",
        ] {
            let error = RunError::from_message(&format!("{running}{arena}{words}\n"));
            assert!(matches!(error, RunError::OutOfMemory(_)), "{error}");
        }
        assert!(matches!(RunError::from_message("index out of bounds"), RunError::Failed(_)));
    }
}
