//! `moodstream demo`: watch posts being labelled, with nothing installed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime;

use super::model;
use crate::config::Config;
use crate::demo::{self, Demo};
use crate::telemetry::{Metrics, logging};

/// The file of labelled posts, unless another is named.
const OUT: &str = "moodstream-demo.jsonl";

/// What is logged unless `log.level` is set.
const ERRORS: &str = "off,moodstream=error";

/// Runs the demo with the configured model.
pub(super) fn run(config: &Config, out: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    // Anything logged would tear the picture: errors of our own are told at the end.
    let log = logging::init_kept(&config.log, ERRORS)?;
    let shown = show(config, out, started);
    // A standard error that is gone hides nothing that matters.
    let _ = io::stderr().write_all(log.text().as_bytes());
    shown
}

fn show(config: &Config, out: Option<PathBuf>, started: Instant) -> anyhow::Result<ExitCode> {
    let metrics = Arc::new(Metrics::new());
    let (classifier, sessions) = model::load(config, &metrics)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("service")
        .enable_all()
        .build()
        .context("no service thread can be started")?;
    let out = out.unwrap_or_else(|| std::env::temp_dir().join(OUT));
    let config = demo::settings(config)?;
    Demo { config, classifier, sessions, metrics, out, started }.run(&runtime)
}
