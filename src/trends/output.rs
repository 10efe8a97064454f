//! An answer in the form asked for.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::answer::Answer;
use super::csv;
use super::error::TrendsError;
use super::table::{self, Look};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// `schemas/trends.schema.json`.
    Json,
    /// A row for each period, group and emotion.
    Csv,
    /// The same rows.
    Parquet,
}

/// The bytes of an answer.
///
/// # Errors
/// When it cannot be encoded.
pub(crate) fn render(answer: &Answer, format: Format, look: Look) -> Result<Vec<u8>, TrendsError> {
    let unwritten = |error: String| TrendsError::Unwritten(format!("the answer cannot be encoded: {error}"));
    Ok(match format {
        Format::Table => table::table(answer, look).into_bytes(),
        Format::Json => {
            let mut json = serde_json::to_vec_pretty(answer).map_err(|error| unwritten(error.to_string()))?;
            json.push(b'\n');
            json
        }
        Format::Csv => csv::csv(answer).into_bytes(),
        Format::Parquet => csv::parquet(answer).map_err(|error| unwritten(error.to_string()))?,
    })
}

/// Writes it to a file, whole or not at all, or to standard output.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_out(bytes: &[u8], file: Option<&Path>) -> Result<(), TrendsError> {
    let Some(file) = file else {
        return match io::stdout().lock().write_all(bytes) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(TrendsError::Unwritten(format!("cannot write to standard output: {error}"))),
            Ok(()) => Ok(()),
        };
    };
    let partial = partial(file);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, file)).map_err(|error| {
        // It may never have been made.
        let _ = fs::remove_file(&partial);
        TrendsError::Unwritten(format!("--out: cannot write {}: {error}", file.display()))
    })
}

/// The name of a file that is not whole yet.
fn partial(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    file.with_file_name(name)
}
