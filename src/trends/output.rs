//! An answer in the form asked for.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::answer::Answer;
use super::chart::{self, Drawing, Paper};
use super::csv;
use super::error::TrendsError;
use super::report;
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

/// What an answer is drawn as, beside what is written of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    /// The report, a page of its own.
    Html,
    /// The chart.
    Svg,
    /// The chart as pixels.
    Png,
}

/// The bytes of a picture; `dark` is the chart's paper, the report has both.
///
/// # Errors
/// When it cannot be encoded.
pub(crate) fn draw(answer: &Answer, picture: Picture, dark: bool) -> Result<Vec<u8>, TrendsError> {
    let drawing = Drawing { paper: if dark { Paper::Dark } else { Paper::Light }, ..Drawing::default() };
    let drawn = serde_json::to_string(answer).and_then(|json| match picture {
        Picture::Html => Ok(report::page(&json).into_bytes()),
        Picture::Svg => chart::svg(&json, drawing).map(String::into_bytes),
        Picture::Png => chart::png(&json, drawing),
    });
    drawn.map_err(|error| TrendsError::Unwritten(format!("the answer cannot be drawn: {error}")))
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

/// Writes it to the file of `--out`, or to standard output.
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
    write_to("--out", file, bytes)
}

/// Writes it to the file that a flag names, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_to(flag: &str, file: &Path, bytes: &[u8]) -> Result<(), TrendsError> {
    let partial = partial(file);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, file)).map_err(|error| {
        // It may never have been made.
        let _ = fs::remove_file(&partial);
        TrendsError::Unwritten(format!("{flag}: cannot write {}: {error}", file.display()))
    })
}

/// The name of a file that is not whole yet.
fn partial(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    file.with_file_name(name)
}
