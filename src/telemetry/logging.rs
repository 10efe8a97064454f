//! Logging to standard error: lines for people on a terminal, one JSON object a line otherwise.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::notices::{NoticeLayer, Notices};
use crate::config::{Log, LogFormat};

/// Starts logging for the whole process; what is returned keeps the latest warnings and errors.
///
/// # Errors
/// When `log.level` is no filter, or logging has been started before.
pub fn init(log: &Log) -> anyhow::Result<Notices> {
    let notices = Notices::default();
    let subscriber = subscriber(log, io::stderr().is_terminal(), io::stderr)?.with(NoticeLayer(notices.clone()));
    subscriber.try_init().context("logging was started twice")?;
    Ok(notices)
}

/// `log.level` as it comes.
const DEFAULT_LEVEL: &str = "info";

/// Starts logging for a command with output of its own: as much as `quiet` lets through, unless `log.level` is set.
///
/// # Errors
/// As [`init`].
pub fn init_quiet(log: &Log, quiet: &str) -> anyhow::Result<()> {
    init(&Log { level: level_or(log, quiet).to_owned(), ..log.clone() }).map(drop)
}

/// Starts logging in the same way, as text into memory.
///
/// # Errors
/// As [`init`].
pub fn init_kept(log: &Log, quiet: &str) -> anyhow::Result<KeptLog> {
    let kept = KeptLog::default();
    let writer = kept.clone();
    let log = Log { format: LogFormat::Text, level: level_or(log, quiet).to_owned() };
    subscriber(&log, false, move || writer.clone())?.try_init().context("logging was started twice")?;
    Ok(kept)
}

/// The level that was set, or `quiet` when none was.
fn level_or<'a>(log: &'a Log, quiet: &'a str) -> &'a str {
    if log.level == DEFAULT_LEVEL { quiet } else { &log.level }
}

/// Log lines kept in memory while something else has the terminal.
#[derive(Debug, Clone, Default)]
pub struct KeptLog(Arc<Mutex<Vec<u8>>>);

/// What is kept at most; later lines are dropped.
const KEPT_BYTES: usize = 64 * 1024;

impl KeptLog {
    /// What was logged so far.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for KeptLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BYTES {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log's lines; what is put upon it sees what `log.level` lets through.
fn subscriber<W>(
    log: &Log,
    terminal: bool,
    writer: W,
) -> anyhow::Result<impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(&log.level).with_context(|| format!("log.level = \"{}\" is no filter", log.level))?;
    let lines = fmt::layer::<Registry>().with_writer(writer);
    let text = match log.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines =
        if text { lines.with_ansi(terminal).compact().boxed() } else { lines.json().flatten_event(true).boxed() };
    Ok(tracing_subscriber::registry().with(lines).with(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: LogFormat, terminal: bool) -> String {
        let sink = KeptLog::default();
        let writer = sink.clone();
        let log = Log { format, level: "info".into() };
        let subscriber = subscriber(&log, terminal, move || writer.clone()).expect("subscriber");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(partition = 3, "assigned");
            tracing::debug!("too much");
        });
        sink.text()
    }

    #[test]
    fn a_terminal_gets_text_and_anything_else_one_json_object_a_line() {
        let json: serde_json::Value = serde_json::from_str(&logged(LogFormat::Auto, false)).expect("one JSON line");
        assert_eq!(
            (&json["message"], &json["partition"], &json["level"]),
            (&"assigned".into(), &3.into(), &"INFO".into())
        );
        let text = logged(LogFormat::Auto, true);
        assert!(text.contains("assigned") && !text.contains('{') && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn a_chosen_format_holds_on_a_terminal_or_not() {
        assert!(logged(LogFormat::Json, true).starts_with('{'));
        let text = logged(LogFormat::Text, false);
        assert!(!text.contains('{') && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_wrong_filter_names_its_key() {
        let log = Log { format: LogFormat::Auto, level: "moodstream=loud".into() };
        let error = subscriber(&log, false, io::sink).err().expect("wrong filter");
        assert!(error.to_string().contains("log.level"), "{error}");
    }
}
