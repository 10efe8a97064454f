//! `moodstream archive verify`.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime;

use super::progress;
use crate::archive::{self, Report, Setup};
use crate::cli::ArchiveVerifyArgs;
use crate::config::Config;
use crate::kafka;
use crate::telemetry::{Metrics, Readiness, logging};

/// What is logged unless `log.level` is set: standard output is for the findings.
const WARNINGS: &str = "warn";

/// Looks at everything, prints what was found, and mends it if asked to.
///
/// # Errors
/// When the store or the cluster cannot be asked.
pub(super) fn verify(args: &ArchiveVerifyArgs, config: Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no service threads can be started")?;
    let metrics = Arc::new(Metrics::new());
    let setup = Setup {
        instance: kafka::instance(&config),
        readiness: Readiness::new(metrics.ready.clone()),
        config: Arc::new(config),
        metrics,
        stop: Arc::default(),
        impatient: false,
        runtime: runtime.handle().clone(),
    };
    let bar = progress::bar(None);
    let report = archive::verify(&setup, args.repair, |files| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{files} files"));
            bar.tick();
        }
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let report = report?;
    match io::stdout().lock().write_all(text(&report).as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let Report { partitions, claims, holes, files, rows, expired, complete_hours, to_archive, findings } = report;
    let open = findings.iter().filter(|finding| !finding.mended).count();
    let mut text = String::new();
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{finding}");
    }
    let verdict = match (findings.len(), open) {
        (0, _) => "sound: every promised file is there, and nothing else".to_owned(),
        (found, 0) => format!("{found} findings, all mended"),
        (found, open) => format!(
            "{found} findings, {open} of them open; stop the archivers and run it with --repair to mend what can be mended"
        ),
    };
    let _ = write!(
        text,
        "{partitions} partitions, {claims} claims ({holes} holes), {files} files with {rows} rows, {expired} files expired, \
         {complete_hours} hours complete; {to_archive} offsets of the topic not archived yet\n{verdict}\n"
    );
    text
}
