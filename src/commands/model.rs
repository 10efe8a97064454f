//! Loading the configured model, for every command that labels.

use std::sync::Arc;

use crate::config::Config;
use crate::inference::{self, Classifier};
use crate::telemetry::Metrics;

/// The model that the configuration names, verified, and how many sessions share its work.
pub(super) fn load(config: &Config, metrics: &Metrics) -> anyhow::Result<(Arc<dyn Classifier>, usize)> {
    #[cfg(feature = "fault-injection")]
    if let Some(stand_in) = inference::faulty::FaultyClassifier::from_env().map_err(anyhow::Error::msg)? {
        tracing::warn!("a stand-in classifier for tests takes the model's place");
        return Ok((Arc::new(stand_in), 1));
    }
    let loaded = inference::load(&config.model, &config.inference)?;
    let model = loaded.classifier.model();
    metrics.session(loaded.provider, &model.id, &model.hash, &loaded.library.version);
    Ok((loaded.classifier, loaded.sessions))
}
