//! The program: reads the command line, does what it says, and turns the result into an exit code.

use std::process::ExitCode;

use clap::Parser;
use moodstream::{cli, commands};

#[expect(clippy::print_stderr, reason = "the one place that prints errors")]
fn main() -> ExitCode {
    commands::dispatch(&cli::Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        cli::exit_code(&error)
    })
}
