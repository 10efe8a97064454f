//! `moodstream label`: files of JSON lines, labelled without any broker.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{HumanCount, ProgressBar};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::model;
use super::progress::{self, rate};
use crate::cli::LabelArgs;
use crate::config::Config;
use crate::files::{self, Counts, Destination, LabelError, Plan, Progress, Unfinished};
use crate::telemetry::{Metrics, logging};

/// What is logged unless `log.level` is set: standard error is for the bar and the summary.
const WARNINGS: &str = "warn";

/// Labels every line.
pub(super) fn run(args: &LabelArgs, config: &Config) -> anyhow::Result<ExitCode> {
    logging::init_quiet(&config.log, WARNINGS)?;
    let plan = Plan::look(&args.files, args.out.as_ref(), args.rejects.as_ref(), args.overwrite)?;
    let (classifier, _) = model::load(config, &Metrics::new())?;
    // On a terminal that shows the records themselves a bar would stand between them.
    let shown = [&plan.output, &plan.rejects].contains(&&Destination::Stdout) && io::stdout().is_terminal();
    let bar = if shown { None } else { progress::bar(plan.size()) };
    let unfinished = Unfinished::default();
    end_at_signals(unfinished.clone(), bar.clone())?;
    let sinks = plan.open(config, classifier.model(), &unfinished)?;
    let started = Instant::now();
    let show = |done: &Progress| {
        let lines = done.counts.lines;
        // Nothing can be said of the time before a batch is done.
        if let Some(bar) = &bar
            && lines > 0
        {
            bar.set_position(done.position);
            bar.set_message(format!("{} lines, {} a second", HumanCount(lines), rate(lines, started.elapsed())));
        }
    };
    let labelled = files::label(config, &*classifier, plan.inputs.clone(), sinks, show);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    match labelled {
        Ok(done) => {
            // A standard error that is gone hides nothing that matters.
            let _ = io::stderr().write_all(summary(&done.counts, &plan, started.elapsed()).as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        // As any filter of lines: whoever reads has seen enough.
        Err(LabelError::Unread { .. }) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}

/// Ctrl-C and SIGTERM end the process as they always do, once the unfinished files are removed.
fn end_at_signals(unfinished: Unfinished, bar: Option<ProgressBar>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("SIGINT and SIGTERM cannot be handled")?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            let removed = unfinished.remove();
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            let left = if removed { ": no file was written" } else { "" };
            let _ = writeln!(io::stderr(), "interrupted{left}");
            // It cannot fail for these two, and there is nothing left to do if it did.
            let _ = emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).context("no thread can be started")?;
    Ok(())
}

/// Where the lines have gone: a sum that anyone can check against the files.
fn summary(counts: &Counts, plan: &Plan, took: Duration) -> String {
    let tally = &counts.tally;
    let mut skipped = tally.skipped.clone();
    let not_selected = skipped.remove("not_selected").unwrap_or_default();
    let rejected = tally.dead_lettered.values().sum();
    let of = |words: Vec<(&&'static str, &u64)>| match words {
        words if words.is_empty() => String::new(),
        words => {
            let each = words.iter().map(|(word, count)| format!("{word} {}", HumanCount(**count)));
            format!(" ({})", each.collect::<Vec<_>>().join(", "))
        }
    };
    let sum = format!(
        "{} lines = {} labelled + {} skipped{} + {} not selected + {} rejected{} + {} blank\n",
        HumanCount(counts.lines),
        HumanCount(tally.labelled),
        HumanCount(skipped.values().sum()),
        of(skipped.iter().collect()),
        HumanCount(not_selected),
        HumanCount(rejected),
        of(tally.dead_lettered.iter().collect()),
        HumanCount(counts.blank),
    );
    let files = format!(
        "{:.1} s, {} lines a second; output: {}{}\n",
        took.as_secs_f64(),
        rate(counts.lines, took),
        plan.output.name(),
        if rejected > 0 { format!(", rejects: {}", plan.rejects.name()) } else { String::new() },
    );
    let complaint = match &counts.complaint {
        Some(complaint) if rejected * 2 > counts.lines - counts.blank => {
            format!("more than half were rejected, for example because {complaint}; check input.fields\n")
        }
        _ => String::new(),
    };
    sum + &files + &complaint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fate::Tally;

    fn plan() -> Plan {
        let out = std::env::temp_dir().join("moodstream-no-such-file.jsonl");
        Plan::look(&["Cargo.toml".into()], Some(&out), None, false).expect("a plan")
    }

    #[test]
    fn the_summary_is_a_sum_with_every_reason() {
        let tally = Tally {
            labelled: 9_000,
            skipped: [("language", 500), ("empty", 12), ("not_selected", 300)].into(),
            dead_lettered: [("not_json", 30), ("no_text", 8)].into(),
            labels: Vec::new(),
        };
        let counts = Counts { lines: 10_000, blank: 150, tally, complaint: Some("it is bad".into()) };
        let text = summary(&counts, &plan(), Duration::from_secs(10));
        let expected = "10,000 lines = 9,000 labelled + 512 skipped (empty 12, language 500) + 300 not selected \
                        + 38 rejected (no_text 8, not_json 30) + 150 blank\n10.0 s, 1,000 lines a second; output: ";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("moodstream-no-such-file.rejects.jsonl\n"), "{text}");
    }

    #[test]
    fn when_most_is_rejected_the_summary_says_why() {
        let tally = Tally { labelled: 1, dead_lettered: [("no_text", 2)].into(), ..Tally::default() };
        let counts = Counts { lines: 10, blank: 7, tally, complaint: Some("there is no text at \"/text\"".into()) };
        let text = summary(&counts, &plan(), Duration::from_secs(1));
        assert!(text.contains("there is no text at \"/text\"; check input.fields"), "{text}");
    }
}
