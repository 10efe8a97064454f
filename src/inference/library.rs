//! Finds ONNX Runtime's shared library and loads it, once per process.
//!
//! Nothing is linked at build time: one program takes a CPU or a GPU library. Looked at, in
//! order: `inference.library`, `ORT_DYLIB_PATH`, beside the program, `.deps` of the project.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::error::ModelError;
use crate::config::Provider;

/// The runtime library that this process uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryInfo {
    /// The file that was loaded.
    pub path: PathBuf,
    /// Its version, such as `1.32.0`.
    pub version: String,
    /// What it says of its own build.
    pub build: String,
}

static LOADED: Mutex<Option<(Environment, LibraryInfo)>> = Mutex::new(None);

/// Loads ONNX Runtime, or returns the one that this process has already loaded.
///
/// # Errors
/// [`ModelError::LibraryMissing`] and [`ModelError::LibraryUnusable`].
pub fn load(configured: &Path, provider: Provider) -> Result<LibraryInfo, ModelError> {
    environment(configured, provider).map(|(_, info)| info)
}

/// As [`load`], with the environment that sessions are built in.
pub(super) fn environment(configured: &Path, provider: Provider) -> Result<(Environment, LibraryInfo), ModelError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = &*loaded {
        return Ok(loaded.clone());
    }
    let places = Places {
        configured: configured.to_path_buf(),
        environment: env::var_os("ORT_DYLIB_PATH").unwrap_or_default(),
        program: env::current_exe().ok(),
        current: env::current_dir().ok(),
        provider,
    };
    let path = places.find()?;
    if provider == Provider::Cuda {
        load_cuda(&path)?;
    }
    let unusable = |reason: String| ModelError::LibraryUnusable { path: path.clone(), reason };
    let environment = ort::init_from(&path)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("moodstream")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    let build = ort::info().to_owned();
    let info = LibraryInfo { version: version(&build, &path), build, path };
    *loaded = Some((environment.clone(), info.clone()));
    Ok((environment, info))
}

/// Loads the CUDA libraries that the project fetched, beside ONNX Runtime's or in `.deps/cuda`: the
/// CUDA provider asks the system's loader for them by name, which finds those that are loaded already.
/// Without a folder of them the system's own are taken, if it has them.
fn load_cuda(onnxruntime: &Path) -> Result<(), ModelError> {
    let Some(folder) = cuda_folder(onnxruntime) else {
        tracing::info!("no CUDA libraries beside ONNX Runtime's: the system's are taken");
        return Ok(());
    };
    ort::ep::cuda::preload_dylibs(Some(&folder), Some(&folder)).map_err(|error| ModelError::Provider {
        provider: "cuda",
        reason: format!("{}: {}", folder.display(), error.message()),
    })?;
    tracing::info!(path = %folder.display(), "loaded the CUDA libraries");
    Ok(())
}

/// The folder with CUDA libraries that belongs to this library of ONNX Runtime.
fn cuda_folder(onnxruntime: &Path) -> Option<PathBuf> {
    let beside = onnxruntime.parent()?;
    let folders = [Some(beside.to_path_buf()), beside.parent().map(|parent| parent.join("cuda"))];
    folders.into_iter().flatten().find(|folder| folder.join("libcudart.so.13").is_file())
}

/// The version that a build description or, failing that, a file name tells.
///
/// `ort` keeps the version string of the library to itself; release builds name their branch
/// `rel-<version>`, and the files of the wheels end in the version.
fn version(build: &str, path: &Path) -> String {
    let branch = build.split("git-branch=rel-").nth(1).and_then(|rest| rest.split(',').next());
    if let Some(version) = branch {
        return version.trim().to_owned();
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let numbers = version_of_name(&real.file_name().unwrap_or_default().to_string_lossy());
    if numbers.is_empty() {
        return "unknown".to_owned();
    }
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Hands the runtime's own messages to the log, below the level of our own.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {
            tracing::debug!(target: "onnxruntime", category, location, "{message}");
        }
        LogLevel::Warning => tracing::info!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => {
            tracing::warn!(target: "onnxruntime", category, location, "{message}");
        }
    }
}

/// Where the library may be.
struct Places {
    configured: PathBuf,
    environment: OsString,
    program: Option<PathBuf>,
    current: Option<PathBuf>,
    provider: Provider,
}

impl Places {
    /// The library to load. A place that was named must hold it; the others are tried in turn.
    fn find(&self) -> Result<PathBuf, ModelError> {
        for named in [self.configured.clone(), PathBuf::from(&self.environment)] {
            if named.as_os_str().is_empty() {
                continue;
            }
            return at(&named).ok_or(ModelError::LibraryMissing { fetch: self.fetch(), looked: vec![named] });
        }
        let folders = self.folders();
        let found = folders.iter().find_map(|folder| at(folder));
        found.ok_or(ModelError::LibraryMissing { fetch: self.fetch(), looked: folders })
    }

    /// The word of `make` that fetches the library.
    fn fetch(&self) -> &'static str {
        match self.provider {
            Provider::Cpu => "onnxruntime",
            Provider::Cuda => "gpu",
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        let beside = self.program.as_deref().and_then(Path::parent);
        if let Some(beside) = beside {
            folders.push(beside.to_path_buf());
            folders.extend(beside.parent().map(|prefix| prefix.join("lib")));
        }
        let own = match self.provider {
            Provider::Cpu => ".deps/onnxruntime",
            Provider::Cuda => ".deps/onnxruntime-gpu",
        };
        let roots = [self.current.as_deref(), beside];
        for folder in roots.into_iter().flatten().flat_map(Path::ancestors) {
            let folder = folder.join(own);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }
}

/// The library at a path: the file itself, or the newest one in the folder.
fn at(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_path_buf());
    }
    let entries = std::fs::read_dir(path).ok()?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|file| is_library(&file.file_name().unwrap_or_default().to_string_lossy()))
        .filter(|file| file.is_file())
        .max_by_key(|file| version_of_name(&file.file_name().unwrap_or_default().to_string_lossy()))
}

fn is_library(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libonnxruntime.") else {
        return false;
    };
    rest == "so"
        || rest.starts_with("so.")
        || Path::new(rest).extension().is_some_and(|e| e == "dylib")
        || rest == "dylib"
}

fn version_of_name(name: &str) -> Vec<u32> {
    name.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        Places {
            configured: PathBuf::new(),
            environment: OsString::new(),
            program: Some(root.join("project/target/release/moodstream")),
            current: Some(root.join("elsewhere")),
            provider: Provider::Cpu,
        }
    }

    fn put(file: &Path) {
        std::fs::create_dir_all(file.parent().expect("has a parent")).expect("folder");
        std::fs::write(file, b"").expect("file");
    }

    #[test]
    fn looks_at_configuration_then_environment_then_beside_the_program_then_deps() {
        let root = tempfile::tempdir().expect("temporary folder");
        let root = root.path();
        let mut places = places(root);
        let missing = places.find().expect_err("nothing is there yet").to_string();
        assert!(missing.contains("make onnxruntime"), "{missing}");
        assert!(missing.contains("elsewhere/.deps/onnxruntime"), "{missing}");

        let deps = root.join("project/.deps/onnxruntime/libonnxruntime.so.1.32.0");
        put(&deps);
        assert_eq!(places.find().expect("found"), deps);
        let beside = root.join("project/target/lib/libonnxruntime.dylib");
        put(&beside);
        assert_eq!(places.find().expect("found"), beside);
        let named = root.join("named/library");
        put(&named);
        places.environment = named.clone().into_os_string();
        assert_eq!(places.find().expect("found"), named);
        places.configured = deps.parent().expect("has a parent").to_path_buf();
        assert_eq!(places.find().expect("found"), deps);
    }

    #[test]
    fn a_named_place_without_the_library_is_an_error_even_when_another_has_it() {
        let root = tempfile::tempdir().expect("temporary folder");
        put(&root.path().join("elsewhere/.deps/onnxruntime/libonnxruntime.so"));
        let mut places = places(root.path());
        places.configured = root.path().join("nowhere.so");
        let error = places.find().expect_err("the named file is missing").to_string();
        assert!(error.contains("nowhere.so"), "{error}");
    }

    #[test]
    fn takes_the_newest_version_and_never_a_provider_library() {
        let root = tempfile::tempdir().expect("temporary folder");
        for name in ["so.1.9.0", "so.1.32.0", "so"] {
            put(&root.path().join(format!("libonnxruntime.{name}")));
        }
        put(&root.path().join("libonnxruntime_providers_shared.so"));
        let found = at(root.path()).expect("found");
        assert!(found.ends_with("libonnxruntime.so.1.32.0"), "{}", found.display());
    }

    #[test]
    fn cuda_looks_for_the_gpu_library() {
        let root = tempfile::tempdir().expect("temporary folder");
        put(&root.path().join("elsewhere/.deps/onnxruntime/libonnxruntime.so"));
        let gpu = root.path().join("project/.deps/onnxruntime-gpu/libonnxruntime.so.1.31.1");
        put(&gpu);
        let places = Places { provider: Provider::Cuda, ..places(root.path()) };
        assert_eq!(places.find().expect("found"), gpu);
    }

    #[test]
    fn cuda_libraries_are_taken_from_beside_the_library_or_from_the_projects_folder() {
        let root = tempfile::tempdir().expect("temporary folder");
        let library = root.path().join(".deps/onnxruntime-gpu/libonnxruntime.so.1.31.1");
        put(&library);
        assert_eq!(cuda_folder(&library), None);
        let fetched = root.path().join(".deps/cuda");
        put(&fetched.join("libcudart.so.13"));
        assert_eq!(cuda_folder(&library), Some(fetched));
        put(&library.with_file_name("libcudart.so.13"));
        assert_eq!(cuda_folder(&library), library.parent().map(Path::to_path_buf));
    }

    #[test]
    fn a_missing_gpu_library_names_the_word_that_fetches_it() {
        let root = tempfile::tempdir().expect("temporary folder");
        let places = Places { provider: Provider::Cuda, ..places(root.path()) };
        let missing = places.find().expect_err("nothing is there").to_string();
        assert!(missing.contains("make gpu"), "{missing}");
    }

    #[test]
    fn version_comes_from_the_release_branch_or_the_file_name() {
        let build = "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=abc, build type=Release";
        assert_eq!(version(build, Path::new("x")), "1.32.0");
        assert_eq!(version("own build", Path::new("libonnxruntime.so.1.31.1")), "1.31.1");
        assert_eq!(version("own build", Path::new("ort.so")), "unknown");
    }
}
