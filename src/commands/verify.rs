//! `moodstream model verify`: the checks of a start with their figures, and two longer ones on request: scores of
//! another implementation, and batches of all kinds.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::bail;

use super::progress;
use crate::cli::ModelVerifyArgs;
use crate::config::Config;
use crate::evaluation::{self, Comparison, References};
use crate::inference::{self, BATCH_TOLERANCE, Bundle, Loaded, Shuffled};

/// Verifies the configured model and prints what was found.
///
/// # Errors
/// The first thing that is not what the bundle says, with both values; scores that are too far from the references, or
/// that depend on the batch, after everything has been printed.
pub(super) fn run(args: &ModelVerifyArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::open(&config.model.path)?;
    let references = args.against.as_ref().map(|file| References::read(file, bundle.manifest.labels.len()));
    let references = references.transpose()?;
    let loaded = inference::load(&config.model, &config.inference)?;
    print(&figures(&bundle, &loaded))?;

    let mut wrong = Vec::new();
    if let Some(references) = &references {
        let compared = compare(config, &loaded, references)?;
        print(&[("references", told(&compared))])?;
        wrong.extend(compared.complaint(references, args.max));
    }
    if let Some(times) = args.shuffle {
        let texts = references.as_ref().map_or(&bundle.golden, |references| &references.texts);
        let texts: Vec<&str> = texts.iter().map(|golden| &*golden.text).collect();
        let bar = progress::bar(u64::try_from(texts.len() * (times.get() + 1)).ok());
        let shuffled = inference::shuffle(&loaded, &texts, times.get(), |done| progress::posts(bar.as_ref(), done))?;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        print(&[("shuffled", shown(&shuffled))])?;
        if !shuffled.is_within(BATCH_TOLERANCE) {
            wrong.push(dependent(&shuffled, &bundle));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(config: &Config, loaded: &Loaded, references: &References) -> anyhow::Result<Comparison> {
    let texts: Vec<&str> = references.texts.iter().map(|golden| &*golden.text).collect();
    let bar = progress::bar(u64::try_from(texts.len()).ok());
    let watch = |done| progress::posts(bar.as_ref(), done);
    let ran = evaluation::classify(config, &*loaded.classifier, &texts, watch);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(Comparison::of(references, &ran?.scored, loaded.classifier.model()))
}

fn told(compared: &Comparison) -> String {
    let Comparison { texts, max, mean, labels_flipped, .. } = compared;
    format!("{texts} texts: scores off by {max:.1e} at most, {mean:.1e} on average; labels flipped: {labels_flipped}")
}

fn shown(shuffled: &Shuffled) -> String {
    let Shuffled { texts, rounds, micro_batches, padding, worst, labels_flipped } = shuffled;
    format!(
        "{texts} texts {rounds} times, in {micro_batches} micro-batches with {:.0} % padding: scores move by {:.1e} at most; \
         labels flipped: {labels_flipped}",
        padding * 100.0,
        worst.moved
    )
}

fn dependent(shuffled: &Shuffled, bundle: &Bundle) -> String {
    let Shuffled { worst, labels_flipped, .. } = shuffled;
    format!(
        "scores depend on the batch: {} of text {} moves by {:.1e}, where {BATCH_TOLERANCE:e} is allowed; labels flipped: \
         {labels_flipped}",
        bundle.manifest.labels[worst.label],
        worst.text + 1,
        worst.moved
    )
}

fn figures(bundle: &Bundle, loaded: &Loaded) -> Vec<(&'static str, String)> {
    let shown = &loaded.verification;
    vec![
        ("model", bundle.info.id.clone()),
        ("directory", bundle.path.display().to_string()),
        ("hash", bundle.info.hash.clone()),
        ("labels", bundle.info.labels.join(", ")),
        ("precision", bundle.manifest.precision.name().to_owned()),
        ("library", format!("ONNX Runtime {}, {}", loaded.library.version, loaded.library.path.display())),
        ("provider", loaded.provider.to_owned()),
        ("sessions", loaded.sessions.to_string()),
        (
            "golden texts",
            format!(
                "{}: scores off by {:.6} at most (allowed {}), {:.6} on average (allowed {}); labels flipped: {}",
                shown.texts,
                shown.max_deviation,
                bundle.manifest.tolerance.max,
                shown.mean_deviation,
                bundle.manifest.tolerance.mean,
                shown.labels_flipped,
            ),
        ),
        (
            "batches",
            format!(
                "move scores by {:.1e} at most: {}",
                shown.batch_deviation,
                if shown.batch_independent {
                    format!("independent (up to {BATCH_TOLERANCE:e})")
                } else {
                    "dependent; equal texts are not merged and nothing is cached".to_owned()
                },
            ),
        ),
    ]
}

/// What is found, line by line, as soon as it is known.
fn print(lines: &[(&str, String)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, value) in lines {
        match writeln!(out, "{name:13} {value}") {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
