//! The archive that a command is about: named on the command line, or by the configuration.

use tokio::runtime::Runtime;

use crate::config::Config;
use crate::trends::{Source, TrendsError};

/// Opens it to be read.
///
/// # Errors
/// When there is none.
pub(super) fn open(path: Option<&str>, config: &Config, runtime: &Runtime) -> Result<Source, TrendsError> {
    let archive = &config.archive;
    let (named, url) = path.map_or(("archive.url", archive.url.as_str()), |path| ("PATH", path));
    runtime.block_on(Source::open(named, url, &archive.properties, archive.put_deadline.0))
}

/// The same to be written to: `what` is kept beside the posts.
///
/// # Errors
/// When nothing can be kept there.
pub(super) fn writable(source: Source, what: &str, config: &Config) -> Result<Source, TrendsError> {
    source.into_written(what, &config.archive.properties, config.archive.put_deadline.0)
}
