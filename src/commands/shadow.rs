//! `moodstream shadow`: a worker's own account of its second model.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{ReportFormat, ShadowArgs};
use crate::config::Config;
use crate::shadow::{ask, table};

/// Asks the worker and prints.
pub(super) fn run(args: &ShadowArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let (live, report) = ask(&config.admin.listen)?;
    let text = match args.format {
        ReportFormat::Text => table(&live, &report),
        ReportFormat::Json => serde_json::to_string(&report).context("no JSON")? + "\n",
    };
    #[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
    {
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}
