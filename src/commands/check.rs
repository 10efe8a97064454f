//! `moodstream check`: what is right and what is wrong, before a worker finds out.

use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime;

use crate::check::{self, Report, Verdict};
use crate::cli::{CheckArgs, Cli};

/// Exit code of a wrong configuration.
const MISCONFIGURED: u8 = 2;

/// Looks at everything and prints a line each. Exit code 0: all is right; 1: something is wrong;
/// 2: the configuration is.
pub(super) fn run(cli: &Cli, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    match report(cli, args) {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::FAILURE)
        }
        other => other,
    }
}

fn report(cli: &Cli, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    let terminal = out.is_terminal();
    let mut report = Report::new(&mut out, terminal);
    let config = match super::for_a_cluster(cli) {
        Ok(config) => config,
        Err(errors) => {
            for problem in &errors.0 {
                report.line(Verdict::Wrong, "configuration", &problem.to_string())?;
            }
            return Ok(ExitCode::from(MISCONFIGURED));
        }
    };
    let from = cli.settings.config.as_ref().map(|file| format!("{}, ", file.display())).unwrap_or_default();
    report.line(Verdict::Right, "configuration", &format!("defaults, {from}environment and flags are understood"))?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be started")?;
    runtime.block_on(check::check(&config, args.create, &mut report))?;
    let wrong = report.wrong();
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
