//! `moodstream model evaluate`: how good a bundle is on posts with gold labels.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::progress;
use crate::bench::processor_seconds;
use crate::cli::{EvaluateArgs, ReportFormat};
use crate::config::Config;
use crate::evaluation::{self, GoldFile, Report, RunOn};
use crate::files::Refused;
use crate::inference::{self, Bundle};
use crate::post;
use crate::telemetry::logging;

/// What is logged unless `log.level` is set: standard output is for the figures.
const WARNINGS: &str = "warn";

/// Judges the configured model and prints the figures.
///
/// # Errors
/// A file that cannot be used, before any work; whatever keeps the model from scoring every post.
pub(super) fn run(args: &EvaluateArgs, config: &Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let gold = {
        // Files first: they are quickly told right or wrong, a large model is not.
        let labels = Bundle::open(&config.model.path)?.manifest.labels;
        let gold = GoldFile::read(&args.data, &labels)?;
        [&args.svg, &args.scores].into_iter().flatten().try_for_each(|file| check_output(file, &args.data))?;
        gold
    };
    let loaded = inference::load(&config.model, &config.inference)?;

    let (format, most) = (config.input.text_format, config.input.max_text_bytes.0);
    let texts: Vec<String> = gold.posts.iter().map(|post| post::read_text(format, post.text.clone())).collect();
    let texts: Vec<&str> = texts.iter().map(|text| &text[..text.floor_char_boundary(most)]).collect();
    let bar = progress::bar(u64::try_from(texts.len()).ok());
    let before = processor_seconds();
    let ran = evaluation::classify(config, &*loaded.classifier, &texts, |done| progress::posts(bar.as_ref(), done));
    let after = processor_seconds();
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let ran = ran.with_context(|| format!("{} cannot be evaluated", args.data.display()))?;
    let processor = before.zip(after).map(|(before, after)| Duration::from_secs_f64((after - before).max(0.0)));
    let report = Report::new(&gold, &RunOn { loaded: &loaded, ran: &ran, processor });

    if let Some(file) = &args.scores {
        let model = loaded.classifier.model();
        let written = File::create(file)
            .and_then(|file| evaluation::score_lines(&mut BufWriter::new(file), &gold, &ran.scored, model));
        written.with_context(|| format!("cannot write the scores to {}", file.display()))?;
    }
    if let Some(file) = &args.svg {
        let written = fs::write(file, evaluation::svg(&report));
        written.with_context(|| format!("cannot write the picture to {}", file.display()))?;
    }
    let printed = match args.format {
        ReportFormat::Text => format!("{report}\n"),
        ReportFormat::Json => report.json()?,
    };
    match io::stdout().write_all(printed.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Whether a file can be written there and is not the data.
fn check_output(file: &Path, data: &Path) -> Result<(), Refused> {
    let name = file.display().to_string();
    let folder = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    if file.is_dir() {
        return Err(Refused::Unwritable { file: name, reason: "it is a folder".to_owned() });
    }
    if !folder.is_dir() {
        return Err(Refused::Unwritable { file: name, reason: format!("there is no folder {}", folder.display()) });
    }
    match (file.canonicalize(), data.canonicalize()) {
        (Ok(output), Ok(input)) if output == input => Err(Refused::IsInput { file: name }),
        _ => Ok(()),
    }
}
