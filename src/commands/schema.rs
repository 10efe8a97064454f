//! `moodstream schema`: prints a JSON schema.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::cli::SchemaOf;
use crate::telemetry::status;
use crate::{alerts, archive, config, evaluation, files, labelled, trends};

/// Prints the schema.
///
/// # Errors
/// When standard output cannot be written; a reader that has seen enough is no error.
pub(super) fn run(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let text = match of {
        SchemaOf::Config => config::schema::config_text(),
        SchemaOf::LabelledPost => labelled::schema_text(),
        SchemaOf::RejectedLine => files::reject_schema_text(),
        SchemaOf::Alert => alerts::schema_text(),
        SchemaOf::Archive => archive::columns::description_text(),
        SchemaOf::Evaluation => evaluation::schema_text(),
        SchemaOf::Status => status::schema_text(),
        SchemaOf::Trends => trends::schema_text(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
