//! Loading the configured model, for every command that labels.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{Config, Inference, Model};
use crate::inference::{self, Classifier};
use crate::shadow::Shadowed;
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

/// The same model with the one of `shadow.path` beside it, where there is one.
pub(super) fn with_shadow(
    live: Arc<dyn Classifier>,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<dyn Classifier>> {
    let shadow = &config.shadow;
    if shadow.path.as_os_str().is_empty() {
        return Ok(live);
    }
    let inference = Inference { sessions: shadow.sessions.get(), cache_entries: 0, ..config.inference.clone() };
    let second = inference::load(&Model { path: shadow.path.clone() }, &inference).context("shadow.path")?;
    let model = second.classifier.model();
    metrics.shadow.info.of([&model.id, &model.hash, second.precision.name()]).set(1);
    tracing::info!(
        model = model.id,
        hash = model.hash,
        share = shadow.share,
        "a shadow model sees a share of the posts; nothing of it is published"
    );
    Ok(Arc::new(Shadowed::start(live, &*second.classifier, shadow, metrics)?))
}
