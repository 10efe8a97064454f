//! What each command does. A module per command; errors carry their context up to `main`.

mod bench;
mod check;
mod demo;
mod label;
mod model;
mod produce;
mod progress;
mod run;
mod schema;

use std::process::ExitCode;

use crate::cli::{Cli, Command, ModelCommand};

/// Does what the command line says.
///
/// # Errors
/// Whatever kept the command from being done; [`crate::cli::exit_code`] turns it into an exit code.
pub fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Bench(command) => bench::run(command, cli.load_config()?),
        Command::Check(args) => check::run(cli, args),
        Command::Model(ModelCommand::Verify { .. }) => model::verify(&cli.load_config()?),
        Command::Demo(args) => demo::run(&cli.load_config()?, args.out.clone()),
        Command::Label(args) => label::run(args, &cli.load_config()?),
        Command::Produce(args) => produce::run(args, &cli.load_config()?),
        Command::Run(_) => run::run(cli.load_config()?),
        Command::Schema { of } => schema::run(*of),
    }
}
