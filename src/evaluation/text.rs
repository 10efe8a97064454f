//! A report as people read it in a terminal.

use std::fmt::{self, Display, Formatter};

use super::published::SPLIT;
use super::report::{Overall, Report};

/// Cells of a bar.
const BAR: usize = 30;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.by_label(f)?;
        self.beside_others(f)?;
        self.meaning(f)
    }
}

impl Report {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (model, data, run) = (&self.model, &self.data, &self.run);
        writeln!(f, "model  {}, {}, hash {}", model.id, model.precision, short(&model.hash))?;
        writeln!(f, "data   {}, {} posts, sha256 {}", data.file, data.posts, short(&data.sha256))?;
        let threads = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        write!(
            f,
            "run    {:.1} s, {:.0} posts/s with {} and {}",
            run.seconds,
            run.posts_per_second,
            threads(run.sessions, "session"),
            threads(run.tokenizing_threads, "tokenizing thread"),
        )?;
        if let Some(rate) = run.posts_per_processor_second {
            write!(f, "; {rate:.0} posts per second of a core")?;
        }
        if run.truncated > 0 {
            write!(f, "; {} posts cut off at the model's length", run.truncated)?;
        }
        f.write_str("\n\n")
    }

    fn by_label(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let wide = self.labels.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(7);
        writeln!(f, "{:wide$}  threshold   gold  given  precision  recall     F1  calibration error  Brier", "label")?;
        for label in &self.labels {
            let calibration = &label.calibration;
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>5}  {:>5}  {:>9.3}  {:>6.3}  {:>5.3}  {:>17.3}  {:>5.3}",
                label.name,
                label.threshold,
                label.support,
                label.predicted,
                label.precision,
                label.recall,
                label.f1,
                calibration.expected_calibration_error,
                calibration.brier_score,
            )?;
        }
        let Overall { support, predicted, macro_f1, macro_precision, macro_recall, .. } = self.overall;
        let Overall { micro_f1, micro_precision, micro_recall, hamming_accuracy, jaccard, .. } = self.overall;
        writeln!(
            f,
            "{:wide$}  {:9}  {:5}  {:5}  {macro_precision:>9.3}  {macro_recall:>6.3}  {macro_f1:>5.3}",
            "macro", "", "", ""
        )?;
        writeln!(
            f,
            "{:wide$}  {:9}  {support:>5}  {predicted:>5}  {micro_precision:>9.3}  {micro_recall:>6.3}  {micro_f1:>5.3}  {:>17.3}  {:>5.3}",
            "micro", "", self.calibration.expected_calibration_error, self.calibration.brier_score
        )?;
        writeln!(f, "\nHamming accuracy {hamming_accuracy:.3}, Jaccard {jaccard:.3}")
    }

    fn beside_others(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(systems) = self.published else { return Ok(()) };
        let own = format!("this model, {}", self.data.file);
        let names = systems.iter().map(|system| system.system).chain([own.as_str()]);
        let wide = names.map(|name| name.chars().count()).max().unwrap_or(0);
        writeln!(f, "\nPublished: {SPLIT}. {} may be another split.", self.data.file)?;
        writeln!(f, "{:wide$}  macro-F1  micro-F1  macro-precision  macro-recall  Hamming", "")?;
        let all = &self.overall;
        writeln!(
            f,
            "{own:wide$}  {:>8.3}  {:>8.3}  {:>15.3}  {:>12.3}  {:>7.3}",
            all.macro_f1, all.micro_f1, all.macro_precision, all.macro_recall, all.hamming_accuracy
        )?;
        let figure = |figure: Option<f64>| figure.map_or_else(|| "-   ".to_owned(), |figure| format!("{figure:.2} "));
        for system in systems {
            writeln!(
                f,
                "{:wide$}  {:>8}  {:>8}  {:>15}  {:>12}  {:>7}",
                system.system,
                figure(Some(system.macro_f1)),
                figure(system.micro_f1),
                figure(system.macro_precision),
                figure(system.macro_recall),
                figure(system.hamming_accuracy),
            )?;
        }
        Ok(())
    }

    /// The reliability diagram in words: what share of the scores of a size has come true.
    fn meaning(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat a score means, all labels: █ share that has the label, │ the mean score")?;
        writeln!(f, "score       count   mean  share")?;
        for bin in &self.calibration.bins {
            write!(f, "{:.1} to {:.1}  {:>5}", bin.from, bin.to, bin.count)?;
            match (bin.mean_score, bin.observed) {
                (Some(mean), Some(observed)) => {
                    writeln!(f, "  {mean:>5.3}  {observed:>5.3}  {}", bar(observed, mean))?;
                }
                _ => writeln!(f, "      -      -")?,
            }
        }
        let calibration = &self.calibration;
        write!(
            f,
            "expected calibration error {:.3}, Brier score {:.3}",
            calibration.expected_calibration_error, calibration.brier_score
        )
    }
}

/// The beginning of a digest: enough to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// As many cells as the share, and a mark where the score would have it.
fn bar(share: f64, score: f64) -> String {
    let (full, mark) = (cells(share), cells(score).min(BAR - 1));
    let cell = |index| match index {
        index if index == mark => '│',
        index if index < full => '█',
        _ => ' ',
    };
    (0..BAR).map(cell).collect::<String>().trim_end().to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to BAR"
)]
fn cells(share: f64) -> usize {
    (share * BAR as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;
    use crate::inference::REFERENCE_LABELS;

    #[test]
    fn the_text_tells_each_label_all_labels_others_and_what_a_score_means() {
        let text = report(&REFERENCE_LABELS).to_string();
        for part in ["anticipation", "\nmacro  ", "\nmicro  ", "Jaccard", "UCCA-GAT", "0.60", "3,259 tweets"] {
            assert!(text.contains(part), "no \"{part}\" in:\n{text}");
        }
        assert!(text.contains("400 posts/s with 2 sessions and 1 tokenizing thread; 210 posts per second of a core"));
        assert!(text.contains("dev & more.txt may be another split"), "{text}");
        assert!(text.contains("0.9 to 1.0"), "{text}");
    }

    #[test]
    fn other_labels_are_not_held_against_the_published_figures() {
        let text = report(&["hope", "relief"]).to_string();
        assert!(text.contains("relief") && !text.contains("Published") && !text.contains("UCCA"), "{text}");
    }

    #[test]
    fn a_bar_is_as_long_as_the_share_and_marked_at_the_score() {
        assert_eq!(bar(0.1, 0.2), "███   │");
        assert_eq!(bar(0.2, 0.1), "███│██");
        assert_eq!(bar(1.0, 1.0), format!("{}│", "█".repeat(BAR - 1)));
        assert_eq!(bar(0.0, 0.0), "│");
    }
}
