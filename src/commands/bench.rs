//! `moodstream bench`: measures on a real broker and prints the figures.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime;

use crate::bench::{self, Posts};
use crate::cli::{BenchCommand, BenchLaneArgs, BenchPipelineArgs};
use crate::config::Config;
use crate::telemetry::logging;

/// Measures what is asked for.
pub(super) fn run(command: &BenchCommand, config: Config) -> anyhow::Result<ExitCode> {
    drop(logging::init(&config.log)?);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let figures = match command {
        BenchCommand::Lane(BenchLaneArgs { input, posts, batch, tokenize, .. }) => {
            let records = Posts::read(input, &config)?;
            let count = usize::try_from(posts.get())?;
            runtime.block_on(bench::lane(config, &records, count, *batch, *tokenize))?.to_string()
        }
        BenchCommand::Pipeline(BenchPipelineArgs { input, seconds, .. }) => {
            let records = Posts::read(input, &config)?;
            let seconds = Duration::from_secs(u64::from(seconds.get()));
            runtime.block_on(bench::pipeline(config, &records, seconds))?.to_string()
        }
    };
    #[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
    {
        println!("{figures}");
    }
    Ok(ExitCode::SUCCESS)
}
