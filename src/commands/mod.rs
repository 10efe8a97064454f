//! What each command does. A module per command; errors carry their context up to `main`.

mod alert;
mod archive;
mod bench;
mod check;
mod compact;
mod demo;
mod evaluate;
mod label;
mod model;
mod place;
mod produce;
mod progress;
mod rollup;
mod run;
mod schema;
mod shadow;
mod trends;
mod verify;

use std::process::ExitCode;

use crate::cli::{ArchiveCommand, Cli, Command, ModelCommand};
use crate::config::{Config, ConfigErrors};
use crate::kafka;

/// Does what the command line says.
///
/// # Errors
/// Whatever kept the command from being done; [`crate::cli::exit_code`] turns it into an exit code.
pub fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Alert(args) => alert::run(args, &cli.load_config()?),
        Command::Archive(ArchiveCommand::Verify(args)) => archive::verify(args, for_a_cluster(cli)?),
        Command::Bench(command) => bench::run(command, &cli.settings, for_a_cluster(cli)?),
        Command::Compact(args) => compact::run(args, &cli.load_config()?),
        Command::Check(args) => check::run(cli, args),
        Command::Model(ModelCommand::Verify(args)) => verify::run(args, &cli.load_config()?),
        Command::Model(ModelCommand::Evaluate(args)) => evaluate::run(args, &cli.load_config()?),
        Command::Demo(args) => demo::run(&cli.load_config()?, args.out.clone()),
        Command::Label(args) => label::run(args, &cli.load_config()?),
        Command::Produce(args) => produce::run(args, &for_a_cluster(cli)?),
        Command::Rollup(args) => rollup::run(args, &cli.load_config()?),
        Command::Run(_) => run::run(for_a_cluster(cli)?),
        Command::Schema { of } => schema::run(*of),
        Command::Shadow(args) => shadow::run(args, &cli.load_config()?),
        Command::Trends(args) => trends::run(args, &cli.load_config()?),
    }
}

/// The configuration of a command that talks to brokers: one that no client can be made of is wrong.
fn for_a_cluster(cli: &Cli) -> Result<Config, ConfigErrors> {
    let config = cli.load_config()?;
    kafka::verify(&config)?;
    Ok(config)
}
