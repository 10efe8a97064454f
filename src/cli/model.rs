//! `moodstream model`: what to do with a bundle.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with a model bundle.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Verify a model bundle: hashes, labels, shapes, golden scores.
    ///
    /// The same checks as at the start of a worker. With --against its scores are also held against those that
    /// another implementation gave the same texts; with --shuffle texts are run again in random orders, batches and
    /// paddings, and no score may move by more than 1e-6.
    #[command(after_help = concat!(
        "Example:\n  moodstream model verify --model models/starter\n",
        "  moodstream model verify --model models/mine --against pytorch.jsonl --max 1e-5 --shuffle 10\n\n",
        "Exit codes: 0 it is sound, 1 it is not, 2 wrong use or configuration."
    ))]
    Verify(ModelVerifyArgs),
    /// Judge a model bundle on posts whose labels people have given.
    ///
    /// Prints precision, recall and F1 of each label and of all, Hamming accuracy and Jaccard, beside what is published
    /// about other systems, and what a score means: of the scores of a size, the share that came true. The posts go
    /// through the same tokenizer, batches and sessions as in `label`, and labels are given at the bundle's own thresholds.
    #[command(after_help = concat!(
        "Example:\n  moodstream model evaluate dev.txt --model models/starter --svg quality.svg\n",
        "  moodstream model evaluate dev.txt --format json | jq .overall\n\n",
        "Exit codes: 0 done, however good, 1 failed at work, 2 wrong use or configuration."
    ))]
    Evaluate(EvaluateArgs),
}

/// Options of `model verify`.
#[derive(Debug, Args)]
pub struct ModelVerifyArgs {
    /// JSON lines of texts with the scores that they should have: {"text": …, "scores": […]}, in the order of the labels.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Largest difference from those scores.
    #[arg(long, value_name = "DIFFERENCE", default_value = "1e-5", value_parser = difference, requires = "against")]
    pub max: f64,
    /// Run the texts of --against, or else the golden ones, so many times in random batches.
    #[arg(long, value_name = "TIMES")]
    pub shuffle: Option<NonZeroUsize>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// Options of `model evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Posts with gold labels: tab-separated, with a header of ID, Tweet and the model's labels, then 0 or 1 for each.
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// How the figures are printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// File for a picture of the figures; overwritten.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// File for each post's id and scores as JSON lines; overwritten.
    #[arg(long, value_name = "FILE")]
    pub scores: Option<PathBuf>,
    /// Directory of the model (model.path).
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables.
    Text,
    /// One JSON object; `moodstream schema evaluation` describes it.
    Json,
}

fn difference(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "write a number from 0 to 1, such as 1e-5".to_owned())
}
