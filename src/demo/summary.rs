//! The last words of the demo: every outcome counted, and what to try next.

use std::cmp::Reverse;
use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::board::{Board, listed};
use super::view::hue;
use crate::telemetry::{Metrics, Outcome};

/// Where lists begin, and how wide they are: together less than a usual terminal.
const LIST_INDENT: usize = 17;
const LIST_WIDTH: usize = 60;

/// What the worker says it did, to be compared with what was found in the topics.
pub(super) struct Ledger {
    /// Records polled for the first time.
    consumed: u64,
    labelled: u64,
    skipped: u64,
    dead: u64,
    duplicates: u64,
    cached: u64,
}

/// Why the outcomes do not add up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ledger {
    /// Reads the worker's metrics; reasons and classes are those that the board knows.
    pub(super) fn read(metrics: &Metrics, board: &Board, input: &str) -> Self {
        let counted = |outcome: Outcome, reason: &str| metrics.outcomes.of([outcome.name(), reason]).get();
        let all = |outcome: Outcome, names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| counted(outcome, name)).sum::<u64>()
        };
        let polled = metrics.records_polled.of([input]).get();
        Self {
            consumed: polled.saturating_sub(metrics.records_replayed.of([input]).get()),
            labelled: counted(Outcome::Labelled, ""),
            skipped: all(Outcome::Skipped, &mut board.skipped.keys()),
            dead: all(Outcome::DeadLettered, &mut board.dead.keys()),
            duplicates: metrics.duplicate_texts.get(),
            cached: metrics.cache_hits.get(),
        }
    }

    /// Whether every record that was sent has exactly one outcome, by the worker's count and in the topics (I1).
    pub(super) fn check(&self, board: &Board) -> Result<(), Mismatch> {
        let Self { consumed, labelled, skipped, dead, .. } = *self;
        let found = (board.labelled, board.skipped(), board.dead());
        let wrong = if consumed != board.sent {
            format!("{} records were sent, but the worker consumed {consumed}", board.sent)
        } else if labelled + skipped + dead != consumed {
            format!("{consumed} records were consumed, but {labelled} + {skipped} + {dead} have an outcome")
        } else if found != (labelled, skipped, dead) {
            format!(
                "the worker counted {labelled} labelled, {skipped} skipped, {dead} dead-lettered, \
                 but the topics hold {}, {}, {}",
                found.0, found.1, found.2
            )
        } else {
            return Ok(());
        };
        Err(Mismatch(wrong))
    }
}

/// The summary as text, coloured for a terminal if so wished.
pub(super) fn text(board: &Board, ledger: &Ledger, took: Duration, out: &Path, coloured: bool) -> String {
    let mut page = String::new();
    let seconds = took.as_secs_f64();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\n{} posts labelled by the model {} in {seconds:.1} s\n", board.labelled, board.model);
    let Ledger { consumed, labelled, skipped, dead, duplicates, cached } = *ledger;
    let _ = writeln!(page, "  {consumed} consumed = {labelled} labelled + {skipped} skipped + {dead} dead-lettered");
    for (name, counts) in [("skipped", &board.skipped), ("dead-lettered", &board.dead)] {
        if !counts.is_empty() {
            let _ = writeln!(page, "  {name:<14} {}", wrapped(&listed(counts)));
        }
    }
    let _ = writeln!(page, "  {:<14} {} texts known already, {duplicates} twice in a batch\n", "not run again", cached);
    let mut emotions: Vec<(usize, &(String, u64))> = board.emotions.iter().enumerate().collect();
    emotions.sort_by_key(|(_, (_, count))| Reverse(*count));
    for (place, (name, count)) in emotions.into_iter().take(5) {
        let share = board.share(*count);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 40")]
        let bar = "█".repeat((share * 40.0).round() as usize);
        let bar = if coloured { paint(&bar, name, place) } else { bar };
        let _ = writeln!(page, "  {name:<14} {count:>4}  {:>3.0} %  {bar}", share * 100.0);
    }
    let _ = write!(
        page,
        "\nEvery labelled and skipped post, as the topic posts.emotions holds it:\n  {}\n\n\
         Try next, with your own Kafka:\n  \
         moodstream check --brokers HOST:9092 --topic POSTS   is everything in place?\n  \
         moodstream run --brokers HOST:9092 --topic POSTS     label them\n  \
         moodstream run --help                                fields, privacy, lanes …\n",
        out.display()
    );
    page
}

/// A list broken into lines of a usual terminal, the later ones indented below the first.
fn wrapped(list: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for item in list.split_inclusive(", ") {
        if width > 0 && width + item.trim_end().chars().count() > LIST_WIDTH {
            lines.truncate(lines.trim_end().len());
            let _ = write!(lines, "\n{:LIST_INDENT$}", "");
            width = 0;
        }
        lines.push_str(item);
        width += item.chars().count();
    }
    lines
}

fn paint(text: &str, label: &str, place: usize) -> String {
    format!("\u{1b}[38;5;{}m{text}\u{1b}[0m", hue(label, place))
}

#[cfg(test)]
mod tests {
    use super::super::watch::Sighting;
    use super::*;

    fn board() -> Board {
        let mut board = Board::new(4, "starter", &["joy".to_owned(), "fear".to_owned()], 2);
        board.sent = 4;
        for label in ["joy", "joy"] {
            let labels = vec![(label.to_owned(), 0.9)];
            board.see(Sighting::Labelled { text: "t".into(), platform: "x".into(), labels });
        }
        board.see(Sighting::Skipped { reason: "empty".into() });
        board.see(Sighting::Dead { class: "not_json".into(), bytes: String::new() });
        board
    }

    fn metrics() -> Metrics {
        let metrics = Metrics::new();
        metrics.records_polled.of(["posts"]).inc_by(5);
        metrics.records_replayed.of(["posts"]).inc();
        metrics.outcome(Outcome::Labelled, "", 2);
        metrics.outcome(Outcome::Skipped, "empty", 1);
        metrics.outcome(Outcome::DeadLettered, "not_json", 1);
        metrics
    }

    #[test]
    fn an_outcome_too_many_or_too_few_is_named() {
        let (board, metrics) = (board(), metrics());
        assert_eq!(Ledger::read(&metrics, &board, "posts").check(&board), Ok(()));
        metrics.outcome(Outcome::Labelled, "", 1);
        let mismatch = Ledger::read(&metrics, &board, "posts").check(&board).expect_err("one too many");
        assert_eq!(mismatch.to_string(), "4 records were consumed, but 3 + 1 + 1 have an outcome");
        metrics.records_polled.of(["posts"]).inc();
        let mismatch = Ledger::read(&metrics, &board, "posts").check(&board).expect_err("one too many");
        assert_eq!(mismatch.to_string(), "4 records were sent, but the worker consumed 5");
        let metrics = self::metrics();
        let mut fewer = self::board();
        fewer.labelled = 1;
        let mismatch = Ledger::read(&metrics, &fewer, "posts").check(&fewer).expect_err("one missing").to_string();
        assert!(mismatch.ends_with("the topics hold 1, 1, 1"), "{mismatch}");
    }

    #[test]
    fn long_lists_go_on_below() {
        let long = ["not_json 4"; 9].join(", ");
        let lines = wrapped(&long);
        assert!(lines.lines().count() == 2 && lines.lines().all(|line| line.chars().count() < 80), "{lines}");
        assert_eq!(lines.replace(&format!("\n{:LIST_INDENT$}", ""), " "), long);
    }

    #[test]
    fn the_equation_and_the_commonest_emotion_are_printed() {
        let board = board();
        let ledger = Ledger::read(&metrics(), &board, "posts");
        let page = text(&board, &ledger, Duration::from_secs(2), Path::new("out.jsonl"), false);
        assert!(page.contains("4 consumed = 2 labelled + 1 skipped + 1 dead-lettered"), "{page}");
        assert!(page.contains("100 %  ████") && page.contains("out.jsonl") && !page.contains('\u{1b}'), "{page}");
    }
}
