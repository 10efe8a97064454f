//! A report as a picture: F1 of each label with precision and recall, and the reliability diagram with its counts.
//!
//! One self-contained SVG, without fonts, scripts or links of its own; light or dark as the reader's system is.

use std::fmt::{self, Display, Formatter};

use super::report::{BinOfScores, Label, Report};

const WIDTH: f64 = 960.0;
/// Where both panels begin.
const TOP: f64 = 138.0;
/// Height of a label's row.
const ROW: f64 = 30.0;
/// The axis of F1, from 0 to 1.
const F1: Axis = Axis { zero: 142.0, one: 442.0 };
/// The score of the reliability diagram, from 0 to 1.
const SCORE: Axis = Axis { zero: 616.0, one: 916.0 };
/// Its share, upwards.
const SHARE: Axis = Axis { zero: TOP + 300.0, one: TOP };
/// Base and height of the counts below.
const COUNTS: (f64, f64) = (TOP + 410.0, 58.0);
/// Radius of a point with all scores, and of one with hardly any.
const RADIUS: (f64, f64) = (11.0, 3.0);

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:20px;font-weight:600}.panel{font-size:15px;font-weight:600}\
.small{font-size:11.5px;fill:#59636e}.tiny{font-size:10px;fill:#59636e}\
.end{text-anchor:end}.middle{text-anchor:middle}\
.paper{fill:#fff}.grid{stroke:#d8dee4}.track{fill:#f0f3f6}.ideal{stroke:#8c959f;stroke-dasharray:5 4}\
.f1{fill:#4a8fe7}.precision{fill:#c2560a;stroke:#fff}.recall{fill:#7b3fc4;stroke:#fff}\
.line{stroke:#2f74d0;fill:none;stroke-width:2}.point{fill:#2f74d0;stroke:#fff}.gap{stroke:#c2560a;stroke-opacity:.55;stroke-width:2}\
@media (prefers-color-scheme:dark){\
text{fill:#e6e9ee}.small,.tiny{fill:#9aa5b1}.paper{fill:#11151c}.grid{stroke:#2c343f}.track{fill:#1b222c}.ideal{stroke:#6b7482}\
.f1{fill:#3f86d8}.precision{fill:#f0a45d;stroke:#11151c}.recall{fill:#c9a2f5;stroke:#11151c}\
.line{stroke:#6db3f8}.point{fill:#6db3f8;stroke:#11151c}.gap{stroke:#f0a45d}}";

/// The picture of a report.
pub(crate) fn svg(report: &Report) -> String {
    Picture(report).to_string()
}

struct Picture<'a>(&'a Report);

/// Values from 0 to 1 along a line.
#[derive(Clone, Copy)]
struct Axis {
    zero: f64,
    one: f64,
}

impl Axis {
    fn at(self, value: f64) -> f64 {
        self.zero + value * (self.one - self.zero)
    }
}

/// Text of a user's, as it may stand in an element.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            // XML has no way to write most of these.
            c if c.is_control() => f.write_str(" "),
            c => write!(f, "{c}"),
        })
    }
}

impl Display for Picture<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let rows = TOP + ROW * float(report.labels.len() as u64) + 20.0;
        let bottom = rows.max(COUNTS.0 + 32.0);
        let height = bottom + 44.0;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">"
        )?;
        let (model, data, all) = (&report.model, &report.data, &report.overall);
        let (id, file, posts) = (Escaped(&model.id), Escaped(&data.file), data.posts);
        writeln!(f, "<title>{id} on {file}: F1 by label, and what a score means</title>\n<style>{STYLE}</style>")?;
        writeln!(f, "<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"10\"/>")?;
        text(f, 28.0, 42.0, "title", &format_args!("{id} on {file}"))?;
        text(
            f,
            28.0,
            66.0,
            "",
            &format_args!(
                "{posts} posts · macro-F1 {:.3} · micro-F1 {:.3} · Hamming accuracy {:.3} · Jaccard {:.3}",
                all.macro_f1, all.micro_f1, all.hamming_accuracy, all.jaccard
            ),
        )?;
        self.labels(f, rows)?;
        self.reliability(f)?;
        let (hash, sha256) = (short(&model.hash), short(&data.sha256));
        let foot = format_args!(
            "model {hash}, {}, the bundle's own thresholds · data sha256 {sha256} · moodstream {}",
            model.precision,
            env!("CARGO_PKG_VERSION")
        );
        text(f, 28.0, height - 18.0, "small", &foot)?;
        f.write_str("</svg>\n")
    }
}

impl Picture<'_> {
    fn labels(&self, f: &mut Formatter<'_>, bottom: f64) -> fmt::Result {
        text(f, 28.0, TOP - 34.0, "panel", &"F1 by label")?;
        mark(f, Mark::Precision, F1.at(0.28), TOP - 38.5)?;
        text(f, F1.at(0.28) + 10.0, TOP - 34.0, "small", &"precision")?;
        mark(f, Mark::Recall, F1.at(0.58), TOP - 38.5)?;
        text(f, F1.at(0.58) + 10.0, TOP - 34.0, "small", &"recall")?;
        text(f, 486.0, TOP - 10.0, "small end", &"F1")?;
        text(f, 540.0, TOP - 10.0, "small end", &"posts")?;
        for tenths in [0, 25, 50, 75, 100] {
            let value = f64::from(tenths) / 100.0;
            let x = F1.at(value);
            writeln!(f, "<path class=\"grid\" d=\"M{x:.1} {TOP:.1}V{:.1}\"/>", bottom - 18.0)?;
            text(f, x, bottom - 2.0, "small middle", &value)?;
        }
        self.0.labels.iter().zip(0_u32..).try_for_each(|(label, row)| label_row(f, label, TOP + ROW * f64::from(row)))
    }

    fn reliability(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let calibration = &self.0.calibration;
        let (left, right, top, base) = (SCORE.zero, SCORE.one, SHARE.one, SHARE.zero);
        text(f, left - 30.0, TOP - 34.0, "panel", &"What a score means")?;
        text(f, left - 30.0, TOP - 14.0, "small", &"share of scores whose post has the label, by score; all labels")?;
        for step in 0..=5 {
            let value = f64::from(step) / 5.0;
            let (x, y) = (SCORE.at(value), SHARE.at(value));
            writeln!(f, "<path class=\"grid\" d=\"M{left} {y:.1}H{right}M{x:.1} {top}V{base}\"/>")?;
            text(f, left - 8.0, y + 4.0, "small end", &value)?;
            text(f, x, base + 17.0, "small middle", &value)?;
        }
        writeln!(f, "<path class=\"ideal\" d=\"M{left} {base}L{right} {top}\"/>")?;
        let figures = format_args!(
            "calibration error {:.3} · Brier {:.3}",
            calibration.expected_calibration_error, calibration.brier_score
        );
        text(f, left + 10.0, top + 20.0, "small", &figures)?;

        let total: u64 = calibration.bins.iter().map(|bin| bin.count).sum();
        let most = calibration.bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        let points: Vec<_> = calibration.bins.iter().filter_map(|bin| point(bin, total)).collect();
        for (x, y, ideal, _) in &points {
            writeln!(f, "<path class=\"gap\" d=\"M{x:.1} {y:.1}V{ideal:.1}\"/>")?;
        }
        let line: Vec<String> = points.iter().map(|(x, y, ..)| format!("{x:.1} {y:.1}")).collect();
        if !line.is_empty() {
            writeln!(f, "<path class=\"line\" d=\"M{}\"/>", line.join("L"))?;
        }
        for (x, y, _, radius) in &points {
            writeln!(f, "<circle class=\"point\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>")?;
        }
        calibration.bins.iter().try_for_each(|bin| count_bar(f, bin, most))?;
        let (floor, _) = COUNTS;
        text(f, SCORE.at(0.5), floor + 18.0, "small middle", &"scores in each tenth")
    }
}

fn label_row(f: &mut Formatter<'_>, label: &Label, top: f64) -> fmt::Result {
    let middle = top + ROW / 2.0;
    let name: String = label.name.chars().take(16).collect();
    let bar = |f: &mut Formatter<'_>, class, value| {
        let (x, y, wide) = (F1.zero, middle - 8.0, F1.at(value) - F1.zero);
        writeln!(f, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide:.1}\" height=\"16\" rx=\"3\"/>")
    };
    text(f, F1.zero - 10.0, middle + 4.5, "end", &Escaped(&name))?;
    bar(f, "track", 1.0)?;
    bar(f, "f1", label.f1)?;
    mark(f, Mark::Precision, F1.at(label.precision), middle)?;
    mark(f, Mark::Recall, F1.at(label.recall), middle)?;
    text(f, 486.0, middle + 4.5, "end", &format_args!("{:.2}", label.f1))?;
    text(f, 540.0, middle + 4.5, "small end", &label.support)
}

#[derive(Clone, Copy)]
enum Mark {
    Precision,
    Recall,
}

/// A disc for precision, a diamond for recall: told apart without colours too.
fn mark(f: &mut Formatter<'_>, mark: Mark, x: f64, y: f64) -> fmt::Result {
    match mark {
        Mark::Precision => writeln!(f, "<circle class=\"precision\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        Mark::Recall => {
            let left = x - 5.5;
            writeln!(f, "<path class=\"recall\" d=\"M{left:.1} {y:.1}l5.5 -5.5l5.5 5.5l-5.5 5.5z\"/>")
        }
    }
}

/// Where a bin's point is, where it would be if scores meant what they say, and how large it is.
fn point(bin: &BinOfScores, total: u64) -> Option<(f64, f64, f64, f64)> {
    let (mean, observed) = (bin.mean_score?, bin.observed?);
    let share = float(bin.count) / float(total.max(1));
    let radius = RADIUS.1 + (RADIUS.0 - RADIUS.1) * share.sqrt();
    Some((SCORE.at(mean), SHARE.at(observed), SHARE.at(mean), radius))
}

fn count_bar(f: &mut Formatter<'_>, bin: &BinOfScores, most: u64) -> fmt::Result {
    let (floor, tallest) = COUNTS;
    let tall = tallest * float(bin.count) / float(most.max(1));
    let (left, wide, top) = (SCORE.at(bin.from) + 1.5, SCORE.at(bin.to) - SCORE.at(bin.from) - 3.0, floor - tall);
    writeln!(
        f,
        "<rect class=\"f1\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" rx=\"2\"/>"
    )?;
    text(f, left + wide / 2.0, top - 4.0, "tiny middle", &rounded(bin.count))
}

/// Five characters at most.
fn rounded(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{:.1}M", float(count) / 1e6),
    }
}

fn text(f: &mut Formatter<'_>, x: f64, y: f64, class: &str, words: &dyn Display) -> fmt::Result {
    writeln!(f, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>")
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

fn float(count: u64) -> f64 {
    super::metrics::float(count)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;
    use crate::inference::REFERENCE_LABELS;

    /// Values of an attribute, in order.
    fn values(svg: &str, attribute: &str) -> Vec<f64> {
        let mark = format!(" {attribute}=\"");
        svg.split(&mark)
            .skip(1)
            .map(|rest| rest.split('"').next().expect("a value").parse().expect("a number"))
            .collect()
    }

    #[test]
    fn every_label_has_a_bar_as_long_as_its_f1_with_both_marks() {
        let report = report(&REFERENCE_LABELS);
        let svg = svg(&report);
        for class in ["track", "precision"] {
            let marks = svg.matches(&format!("class=\"{class}\"")).count();
            assert_eq!(marks, REFERENCE_LABELS.len() + usize::from(class == "precision"), "{class} and its legend");
        }
        let wide = F1.at(report.labels[3].f1) - F1.zero;
        assert!(svg.contains(&format!("width=\"{wide:.1}\" height=\"16\"")), "{wide}");
        let bins = report.calibration.bins.iter().filter(|bin| bin.count > 0).count();
        assert_eq!(svg.matches("class=\"point\"").count(), bins);
    }

    #[test]
    fn nothing_lies_outside_however_many_labels_there_are() {
        let many: Vec<String> = (0..28).map(|number| format!("label {number}")).collect();
        for labels in [&["joy"][..], &many.iter().map(String::as_str).collect::<Vec<_>>()] {
            let svg = svg(&report(labels));
            let height = values(&svg, "height")[0];
            assert!(values(&svg, "y").iter().all(|y| (0.0..height).contains(y)), "{height}");
            assert!(values(&svg, "x").iter().all(|x| (0.0..WIDTH).contains(x)));
        }
    }

    #[test]
    fn names_are_escaped_and_nothing_is_fetched() {
        let svg = svg(&report(&["a<b>&"]));
        assert!(svg.contains(">a&lt;b&gt;&amp;</text>"), "{svg}");
        assert!(svg.contains("starter &lt;v1&gt; on dev &amp; more.txt"), "{svg}");
        for word in ["href", "url(", "@import", "<script", "NaN"] {
            assert!(!svg.contains(word), "{word}");
        }
    }

    #[test]
    fn counts_fit_their_bars() {
        let counts = [0, 9_999, 10_000, 123_456, 12_345_678].map(rounded);
        assert_eq!(counts, ["0", "9999", "10k", "123k", "12.3M"]);
    }
}
