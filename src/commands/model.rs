//! Loading the configured model, for every command that labels, and `moodstream model verify`: the same
//! checks with their figures.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::Config;
use crate::inference::{self, BATCH_TOLERANCE, Bundle, Classifier};
use crate::telemetry::{Metrics, Session};

/// The model that the configuration names, verified, and how many sessions share its work.
pub(super) fn load(config: &Config, metrics: &Metrics) -> anyhow::Result<(Arc<dyn Classifier>, usize)> {
    #[cfg(feature = "fault-injection")]
    if let Some(stand_in) = inference::faulty::FaultyClassifier::from_env().map_err(anyhow::Error::msg)? {
        tracing::warn!("a stand-in classifier for tests takes the model's place");
        let info = stand_in.model();
        let (provider, precision, library_version) = ("stand-in", "none", "none");
        let (model, hash) = (info.id.as_str(), info.hash.as_str());
        metrics.session(&Session { provider, model, hash, precision, library_version, sessions: 1 });
        return Ok((Arc::new(stand_in), 1));
    }
    #[cfg(feature = "fault-injection")]
    inference::faulty::limit_memory_from_env(&config.model.path).map_err(anyhow::Error::msg)?;
    let loaded = inference::load(&config.model, &config.inference)?;
    let model = loaded.classifier.model();
    metrics.session(&Session {
        provider: loaded.provider,
        model: &model.id,
        hash: &model.hash,
        precision: loaded.precision.name(),
        library_version: &loaded.library.version,
        sessions: loaded.sessions,
    });
    Ok((loaded.classifier, loaded.sessions))
}

/// Verifies the configured model and prints what was found.
///
/// # Errors
/// The first thing that is not what the bundle says, with both values.
pub(super) fn verify(config: &Config) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::open(&config.model.path)?;
    let loaded = inference::load(&config.model, &config.inference)?;
    let shown = &loaded.verification;
    let lines = [
        ("model", bundle.info.id.clone()),
        ("directory", bundle.path.display().to_string()),
        ("hash", bundle.info.hash.clone()),
        ("labels", bundle.info.labels.join(", ")),
        ("precision", bundle.manifest.precision.name().to_owned()),
        ("library", format!("ONNX Runtime {}, {}", loaded.library.version, loaded.library.path.display())),
        ("provider", loaded.provider.to_owned()),
        ("sessions", loaded.sessions.to_string()),
        (
            "golden texts",
            format!(
                "{}: scores off by {:.6} at most (allowed {}), {:.6} on average (allowed {}); labels flipped: {}",
                shown.texts,
                shown.max_deviation,
                bundle.manifest.tolerance.max,
                shown.mean_deviation,
                bundle.manifest.tolerance.mean,
                shown.labels_flipped,
            ),
        ),
        (
            "batches",
            format!(
                "move scores by {:.1e} at most: {}",
                shown.batch_deviation,
                if shown.batch_independent {
                    format!("independent (up to {BATCH_TOLERANCE:e})")
                } else {
                    "dependent; equal texts are not merged and nothing is cached".to_owned()
                },
            ),
        ),
    ];
    let mut out = io::stdout().lock();
    for (name, value) in lines {
        match writeln!(out, "{name:13} {value}") {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
