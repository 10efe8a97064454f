//! An answer for people: figures over the whole time with a small chart of each emotion, the periods, and the hours that
//! stand out. Colour only says again what the text says.

use std::borrow::Cow;
use std::fmt::Write as _;

use indicatif::HumanCount;
use jiff::civil::Date;
use ratatui::text::Span;

use super::answer::{Answer, GroupKey, GroupSeries, PeriodPosts, Series, Standout};
use super::{standouts, statistics};

/// Bars of a chart, the lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Periods and groups that are shown; the rest is for `--format csv`.
const MOST_PERIODS: usize = 48;
const MOST_GROUPS: usize = 8;
/// Columns of a period's name and of its posts.
const PERIOD: usize = 16;
const POSTS: usize = 11;
/// The longest name of an emotion above its column, and beside its figures.
const COLUMN: usize = 9;
const NAME: usize = 12;
/// Everything beside the chart in a line of figures.
const FIGURES: usize = NAME + 50;
/// The longest chart, and the widest bar of one.
const CHART: usize = 60;
const WIDEST: usize = 3;

/// How it may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of the terminal.
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

impl Look {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn chart(self, text: &str) -> String {
        self.paint("36", text)
    }
}

/// The whole page.
pub(super) fn table(answer: &Answer, look: Look) -> String {
    // Writing to a String cannot fail.
    let mut page = String::new();
    head(&mut page, answer, look);
    let grouped = !answer.asked.group_by.is_empty();
    for group in answer.groups.iter().take(MOST_GROUPS) {
        page.push('\n');
        if grouped {
            let labelled: u64 = group.labelled.iter().sum();
            let _ = writeln!(page, "{} · {} labelled", look.bold(&key_text(&group.key)), HumanCount(labelled));
        }
        figures(&mut page, answer, group, look);
        if answer.periods.len() > 1 {
            page.push('\n');
            periods(&mut page, answer, group, look);
        }
    }
    if answer.groups.len() > MOST_GROUPS {
        let more = answer.groups.len() - MOST_GROUPS;
        let _ = writeln!(page, "\n… and {more} smaller groups; --format csv has them all, --where chooses");
    }
    marks(&mut page, answer);
    outstanding(&mut page, answer, look);
    let read = &answer.read;
    let line = format!(
        "{} rows of {} row groups in {} files, {:.1} s",
        HumanCount(read.rows),
        HumanCount(read.row_groups),
        HumanCount(read.files),
        read.seconds
    );
    let _ = writeln!(page, "\n{}", look.dim(&line));
    page
}

fn head(page: &mut String, answer: &Answer, look: Look) {
    let (labelled, skipped) =
        answer.periods.iter().fold((0, 0), |sum, period| (sum.0 + period.labelled, sum.1 + period.skipped));
    let asked = &answer.asked;
    let first = answer.periods.first().map_or("", |period| &period.start);
    let last = answer.periods.last().map_or("", |period| &period.end);
    let title = format!("{} – {} by {}, {}", moment(first), moment(last), asked.by, asked.time_zone);
    let _ = writeln!(page, "{}", look.bold(&title));
    let mut parts = vec![format!("{} labelled, {} skipped", HumanCount(labelled), HumanCount(skipped))];
    for (column, words) in &asked.filters {
        let words: Vec<String> = words.iter().map(|word| shown_word(word.as_deref())).collect();
        parts.push(format!("{column} {}", words.join(" or ")));
    }
    parts.extend(answer.models.iter().map(|model| {
        let mark: String = model.hash.chars().take(8).collect();
        format!("{} {mark}", clean(&model.id))
    }));
    let _ = writeln!(page, "{}", parts.join(" · "));
}

/// Each emotion over the whole time.
fn figures(page: &mut String, answer: &Answer, group: &GroupSeries, look: Look) {
    if group.series.is_empty() {
        let _ = writeln!(page, "no post is labelled");
        return;
    }
    let title = format!("by {}", answer.asked.by);
    let room = look.width.saturating_sub(FIGURES).clamp(8, CHART);
    let periods = answer.periods.len().clamp(1, room);
    let each = (room / periods).min(WIDEST);
    let width = (periods * each).max(title.len());
    let header = format!(
        "{:NAME$}{:>7} {:>13} {:>6} {:>8} {:>6} {:width$} {}",
        "",
        "share",
        "95 %",
        "mean",
        "change",
        "least",
        format!("by {}", answer.asked.by),
        "most"
    );
    let _ = writeln!(page, "{}", look.dim(header.trim_end()));
    for series in &group.series {
        let whole = series.whole;
        let percent =
            |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", share * 100.0));
        let interval = match whole.interval {
            Some((low, high)) => format!("{:.1} – {:.1}", low * 100.0, high * 100.0),
            None => "–".to_owned(),
        };
        let mean = whole.mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.3}"));
        let change =
            last_change(answer, series).map_or_else(|| "–".to_owned(), |change| format!("{:+.1}", change * 100.0));
        let (least, most) = extremes(&series.share);
        let _ = writeln!(
            page,
            "{} {:>6} {} {mean:>6} {change:>8} {:>6} {} {}",
            look.bold(&padded(&series.emotion, NAME)),
            percent(whole.share),
            look.dim(&format!("{interval:>13}")),
            percent(least),
            look.chart(&padded(&chart(group, series, periods, each), width)),
            percent(most),
        );
    }
}

/// The change of the last complete period, since that of one under way says little.
fn last_change(answer: &Answer, series: &Series) -> Option<f64> {
    let whole = |period: &PeriodPosts| period.complete != Some(false);
    let last = answer.periods.iter().rposition(whole).or_else(|| answer.periods.len().checked_sub(1))?;
    series.change[last]
}

/// Every period, the emotions in as many columns as fit, and the rest below.
fn periods(page: &mut String, answer: &Answer, group: &GroupSeries, look: Look) {
    let label_width = |series: &Series| width(&series.emotion).clamp(6, COLUMN) + 1;
    let shown = answer.periods.len().min(MOST_PERIODS);
    let first = answer.periods.len() - shown;
    if first > 0 {
        let _ = writeln!(page, "{first} earlier periods are left out here; --format csv has them all");
    }
    let mut rest = &group.series[..];
    while !rest.is_empty() {
        let mut used = PERIOD + POSTS;
        let fit = rest.iter().take_while(|series| {
            used += label_width(series);
            used <= look.width
        });
        let (block, next) = rest.split_at(fit.count().max(1));
        rest = next;
        let mut header = format!("{:PERIOD$}{:>POSTS$}", answer.asked.by, "labelled");
        for series in block {
            let _ = write!(header, "{:>1$}", cut(&series.emotion, COLUMN), label_width(series));
        }
        let _ = writeln!(page, "{}", look.dim(&header));
        for (at, period) in answer.periods.iter().enumerate().skip(first) {
            let mark = if period.complete == Some(false) { "*" } else { "" };
            let name = format!("{}{mark}", period_name(answer, at));
            let mut line = format!("{name:PERIOD$}{:>POSTS$}", HumanCount(group.labelled[at]).to_string());
            for series in block {
                let (least, most) = extremes(&series.share);
                let cell = match series.share[at] {
                    Some(share) => {
                        let text = format!("{:>1$.1}", share * 100.0, label_width(series) - 1);
                        format!("{text}{}", look.chart(&bar(share, least, most).to_string()))
                    }
                    None => format!("{:>1$} ", "–", label_width(series) - 1),
                };
                line.push_str(&cell);
            }
            let _ = writeln!(page, "{}", line.trim_end());
        }
        if !rest.is_empty() {
            page.push('\n');
        }
    }
}

/// What the marks of periods mean, where there are any.
fn marks(page: &mut String, answer: &Answer) {
    if answer.periods.iter().any(|period| period.complete == Some(false)) {
        let _ = writeln!(page, "\n* not complete: posts may still come, or have expired");
    }
    if answer.completeness_is_unknown() {
        let _ = writeln!(page, "\nWhether hours are complete is not known here: the archive itself would say so");
    }
}

fn outstanding(page: &mut String, answer: &Answer, look: Look) {
    if answer.standouts.is_empty() {
        let _ = writeln!(page, "\nNo hour stands out from the same hour of other days");
        return;
    }
    let title = format!("Hours that stand out from the same hour of other days ({} or more)", standouts::OTHER_DAYS);
    let _ = writeln!(page, "\n{}", look.bold(&title));
    for Standout { hour, emotion, key, share, usual, z, labelled, complete, examples, .. } in &answer.standouts {
        let key = if key.is_empty() { String::new() } else { format!(" · {}", key_text(key)) };
        let mark = if *complete == Some(false) { "*" } else { "" };
        let _ = writeln!(
            page,
            "  {}{mark}  {} {:.1} %, usually {:.1} % · {} posts · z {}{key}",
            hour_name(hour),
            look.bold(&clean(emotion)),
            share * 100.0,
            usual * 100.0,
            HumanCount(*labelled),
            look.paint("33", &format!("{z:+.1}")),
        );
        for example in examples {
            let room = look.width.saturating_sub(12).max(20);
            let _ = writeln!(page, "    {} {}", look.dim(&format!("{:.2}", example.score)), cut(&example.text, room));
        }
    }
}

/// Shares by period as so many bars, so wide each: of more periods each bar is of several.
fn chart(group: &GroupSeries, series: &Series, bars: usize, each: usize) -> String {
    let of = series.of.as_ref().unwrap_or(&group.labelled);
    let count = of.len();
    let shares: Vec<Option<f64>> = (0..bars)
        .map(|bar| {
            let periods = bar * count / bars..(bar + 1) * count / bars;
            statistics::share(series.count[periods.clone()].iter().sum(), of[periods].iter().sum())
        })
        .collect();
    let (least, most) = extremes(&shares);
    let drawn = shares.into_iter().map(|share| share.map_or('·', |share| bar(share, least, most)));
    drawn.flat_map(|bar| std::iter::repeat_n(bar, each)).collect()
}

fn extremes(shares: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let known = || shares.iter().flatten().copied();
    (known().min_by(f64::total_cmp), known().max_by(f64::total_cmp))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
fn bar(share: f64, least: Option<f64>, most: Option<f64>) -> char {
    let (least, most) = (least.unwrap_or(share), most.unwrap_or(share));
    let height = if most > least { (share - least) / (most - least) } else { 0.5 };
    BARS[((height * 7.0).round() as usize).min(7)]
}

fn period_name(answer: &Answer, at: usize) -> String {
    let start = &answer.periods[at].start;
    let date = &start[..10];
    match answer.asked.by {
        "day" => day_name(date),
        "hour" => format!("{} {}", &start[5..10], hour_and_offset(answer, at)),
        _ => format!("from {date}"),
    }
}

/// The clock's reading, with the offset where it has just changed: an hour may come twice.
fn hour_and_offset(answer: &Answer, at: usize) -> String {
    let start = &answer.periods[at].start;
    let before = at.checked_sub(1).map_or(start, |before| &answer.periods[before].start);
    if before[19..] == start[19..] { start[11..16].to_owned() } else { format!("{}{}", &start[11..16], &start[19..22]) }
}

fn day_name(date: &str) -> String {
    let weekday = date.parse::<Date>().map(|date| date.strftime("%a").to_string()).unwrap_or_default();
    format!("{weekday} {date}")
}

fn hour_name(local: &str) -> String {
    format!("{} {}", day_name(&local[..10]), &local[11..16])
}

/// A date, with the time if it is not midnight.
fn moment(local: &str) -> String {
    let (date, time) = (local.get(..10).unwrap_or_default(), local.get(11..16).unwrap_or_default());
    if time == "00:00" { date.to_owned() } else { format!("{date} {time}") }
}

fn key_text(key: &GroupKey) -> String {
    let each = key.iter().map(|(column, word)| format!("{column} {}", shown_word(word.as_deref())));
    each.collect::<Vec<_>>().join(", ")
}

fn shown_word(word: Option<&str>) -> String {
    word.map_or_else(|| "(none)".to_owned(), |word| clean(word).into_owned())
}

/// Columns that a text takes.
fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Without what a terminal would obey: posts come from anywhere.
fn clean(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(obeyed) { text.replace(obeyed, " ").into() } else { text.into() }
}

/// As much of it as fits into so many columns.
fn cut(text: &str, most: usize) -> String {
    let text = clean(text);
    if width(&text) <= most {
        return text.into_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) > most.saturating_sub(1) {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

fn padded(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_columns_and_cannot_command_the_terminal() {
        assert_eq!(cut("short", 9), "short");
        assert_eq!(cut("anticipation", 9), "anticipa…");
        assert_eq!(width(&cut("日本語日本語日本語", 9)), 9);
        assert_eq!(cut("red \u{1b}[31m\r\nnext\u{202e}", 40), "red  [31m  next ");
    }

    #[test]
    fn bars_go_from_the_least_to_the_most() {
        let bars: String = [0.1, 0.2, 0.3].iter().map(|share| bar(*share, Some(0.1), Some(0.3))).collect();
        assert_eq!(bars, "▁▅█");
        assert_eq!(bar(0.2, Some(0.2), Some(0.2)), '▅', "nothing moves");
    }
}
