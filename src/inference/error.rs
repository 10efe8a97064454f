//! Why a model cannot be had, told so that the reader knows what to change.

use std::fmt;
use std::path::PathBuf;

/// Why a model could not be loaded; variants by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Fetch ONNX Runtime, or say where it is.
    #[error(
        "ONNX Runtime's shared library was not found; run `make {fetch}`, or set inference.library or ORT_DYLIB_PATH to it; looked at: {}",
        list(looked)
    )]
    LibraryMissing {
        /// The word of `make` that fetches it.
        fetch: &'static str,
        /// Every place that was looked at, in order.
        looked: Vec<PathBuf>,
    },
    /// Replace the library: it is there and cannot be used.
    #[error("{} cannot be loaded as ONNX Runtime: {reason}; run `make onnxruntime` for one that fits", path.display())]
    LibraryUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// Check path and permissions.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Repair the JSON of a file of the bundle.
    #[error("{} line {line} is not what it should be", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// Repair a value of a file of the bundle.
    #[error("{}: {key}: expected {expected}, found {found}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The key, or the part of the graph, that is wrong.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Fetch the bundle again: a file of it is damaged or belongs to another model.
    #[error("{}: expected sha256 {expected}, found {found}", file.display())]
    HashMismatch {
        /// The file.
        file: PathBuf,
        /// The digest that the manifest names.
        expected: String,
        /// The digest of the file.
        found: String,
    },
    /// Repair or replace the tokenizer.
    #[error("{}: {reason}", file.display())]
    Tokenizer {
        /// The tokenizer's file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model does not score as it did when it was made: another model, or kernels that
    /// compute something else.
    #[error(transparent)]
    Golden(#[from] GoldenMismatch),
    /// The execution provider that was asked for cannot be had.
    #[error(
        "inference.provider = \"{provider}\" cannot be had: {reason}; `make gpu` fetches ONNX Runtime's CUDA build and the CUDA libraries, \
         the driver (libcuda.so.1) comes with the machine; or set inference.provider = \"cpu\""
    )]
    Provider {
        /// The provider.
        provider: &'static str,
        /// What the runtime said.
        reason: String,
    },
    /// The GPU has too little memory for the model, or may not use more.
    #[error(
        "the model does not fit the memory of GPU {device}: {reason}; raise inference.gpu_memory if it is set, \
         take fewer inference.sessions, or see who else uses the GPU (nvidia-smi)"
    )]
    DeviceMemory {
        /// `inference.device`.
        device: u32,
        /// What the runtime said.
        reason: String,
    },
    /// The runtime failed on the model.
    #[error("{}: {reason}", file.display())]
    Runtime {
        /// The model's file.
        file: PathBuf,
        /// What the runtime said.
        reason: String,
    },
}

/// A golden score that is further off than the manifest's tolerance.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenMismatch {
    /// The golden file.
    pub file: PathBuf,
    /// The line of the worst text, counted from 1.
    pub line: usize,
    /// The label of the worst score.
    pub label: String,
    /// The score that the bundle promises.
    pub expected: f32,
    /// The score that the model gave.
    pub found: f32,
    /// Largest deviation of all scores.
    pub max: f64,
    /// Mean deviation of all scores.
    pub mean: f64,
    /// Largest deviation allowed.
    pub allowed_max: f64,
    /// Mean deviation allowed.
    pub allowed_mean: f64,
}

impl fmt::Display for GoldenMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} line {}: {}: expected {}, found {}; deviation over all golden texts: max {:.6} (allowed {}), mean {:.6} (allowed {})",
            self.file.display(),
            self.line,
            self.label,
            self.expected,
            self.found,
            self.max,
            self.allowed_max,
            self.mean,
            self.allowed_mean,
        )
    }
}

impl std::error::Error for GoldenMismatch {}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}
