//! The live view on a terminal, drawn from the [`Board`] alone.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Padding, Paragraph, Sparkline};

use super::board::{Board, listed};
use super::watch::Sighting;

/// From this width on, emotions and posts stand side by side.
const WIDE: u16 = 110;
/// Width of an emotion's name.
const NAME: usize = 13;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, elapsed: Duration) {
    let [title, numbers, rest] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(4), Constraint::Fill(1)]).areas(frame.area());
    draw_title(frame, title, board, elapsed);
    draw_numbers(frame, numbers, board);
    let emotions = u16::try_from(board.emotions.len()).unwrap_or(u16::MAX).saturating_add(1);
    let [bars, posts] = if rest.width >= WIDE {
        Layout::horizontal([Constraint::Percentage(40), Constraint::Fill(1)]).areas(rest)
    } else {
        // At least a few posts are seen whatever the number of emotions.
        let room = rest.height.saturating_sub(4).max(2);
        Layout::vertical([Constraint::Length(emotions.min(room)), Constraint::Fill(1)]).areas(rest)
    };
    draw_emotions(frame, bars, board);
    draw_posts(frame, posts, board);
}

fn section(title: &str) -> Block<'_> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().fg(Color::DarkGray))
        .padding(Padding::horizontal(1))
        .title(Line::from(vec![" ".into(), title.bold().fg(Color::Reset), " ".into()]))
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, board: &Board, elapsed: Duration) {
    let left = Line::from(vec![
        " moodstream ".bold().fg(Color::Black).bg(Color::Cyan),
        format!("  {} · {} lanes · ", board.model, board.lanes).into(),
        board.phase.clone().fg(Color::Cyan),
    ]);
    let right = format!("{:.0} s · q quits ", elapsed.as_secs_f64());
    frame.render_widget(left, area);
    frame.render_widget(Line::from(right.fg(Color::DarkGray)).right_aligned(), area);
}

fn draw_numbers(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let block = section("posts");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [progress, outcomes, reasons] = Layout::vertical([Constraint::Length(1); 3]).areas(inner);
    let seen = board.outcomes();
    let numbers = format!(" {seen} of {}   {:>3.0} posts/s   lag {:>3} ", board.total, board.rate(), board.lag());
    let width = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
    let [bar, text, spark] =
        Layout::horizontal([Constraint::Fill(3), Constraint::Length(width), Constraint::Fill(2)]).areas(progress);
    frame.render_widget(bar_line(share(seen, board.total), bar.width, Color::Cyan), bar);
    frame.render_widget(Line::from(numbers), text);
    let newest = board.history.len().saturating_sub(usize::from(spark.width));
    let history: Vec<u64> = board.history.iter().skip(newest).copied().collect();
    frame.render_widget(Sparkline::default().data(history).style(Style::new().fg(Color::Cyan)), spark);
    frame.render_widget(
        Line::from(vec![
            format!("{}", board.labelled).bold().fg(Color::Green),
            " labelled   ".into(),
            format!("{}", board.skipped()).bold().fg(Color::Yellow),
            " skipped   ".into(),
            format!("{}", board.dead()).bold().fg(Color::Red),
            " dead letters".into(),
        ]),
        outcomes,
    );
    let kinds = [listed(&board.skipped), listed(&board.dead)].into_iter().filter(|kinds| !kinds.is_empty());
    let kinds = kinds.collect::<Vec<_>>().join(" · ");
    frame.render_widget(Line::from(cut(&kinds, usize::from(reasons.width)).fg(Color::DarkGray)), reasons);
}

fn draw_emotions(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let block = section("emotions, share of labelled posts");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let largest = board.emotions.iter().map(|(_, count)| *count).max().unwrap_or_default();
    // The longest bar stands for the next ten percent, so that differences are seen.
    let full = (board.share(largest) * 10.0).ceil().max(1.0) / 10.0;
    let width = inner.width.saturating_sub(u16::try_from(NAME).unwrap_or(0) + 6);
    let lines = board.emotions.iter().enumerate().map(|(index, (name, count))| {
        let share = board.share(*count);
        let color = color(name, index);
        let mut line = Line::from(format!("{name:<NAME$}").fg(color));
        line.extend(bar_line(share / full, width, color).spans);
        line.push_span(format!(" {:>3.0} %", share * 100.0));
        line
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

fn draw_posts(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let block = section("latest");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = usize::from(inner.height);
    let width = usize::from(inner.width);
    let newest = board.latest.iter().rev().take(rows).collect::<Vec<_>>();
    let order = |label: &str| board.emotions.iter().position(|(name, _)| name == label).unwrap_or_default();
    let lines = newest.into_iter().rev().map(|sighting| post_line(sighting, width, &order));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

/// Text on the left, what became of it on the right.
fn post_line(sighting: &Sighting, width: usize, order: &dyn Fn(&str) -> usize) -> Line<'static> {
    let (text, style, mut right) = match sighting {
        Sighting::Labelled { text, labels, .. } => {
            let mut spans: Vec<Span<'static>> = Vec::new();
            for (label, score) in labels.iter().take(3) {
                spans.push(Span::styled(format!("  {label} "), Style::new().fg(color(label, order(label)))));
                spans.push(format!("{:.0}", score * 100.0).fg(Color::DarkGray));
            }
            if spans.is_empty() {
                spans.push("  none".fg(Color::DarkGray));
            }
            (text.as_str(), Style::new(), spans)
        }
        Sighting::Skipped { reason } => ("", Style::new(), vec![reason.clone().fg(Color::Yellow)]),
        Sighting::Dead { class, bytes } => {
            let style = Style::new().fg(Color::DarkGray).add_modifier(Modifier::ITALIC);
            (bytes.as_str(), style, vec![format!("  ✗ {class}").fg(Color::Red)])
        }
    };
    // Most of the line is text: the weakest labels give way.
    while right.len() > 2 && width_of(&right) > width * 2 / 5 {
        right.truncate(right.len() - 2);
    }
    let room = width.saturating_sub(width_of(&right));
    let shown = cut(&printable(text), room);
    let gap = room.saturating_sub(Span::raw(shown.as_str()).width());
    let mut line = Line::from(Span::styled(shown, style));
    line.push_span(" ".repeat(gap));
    line.extend(right);
    line
}

fn width_of(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

/// A bar of eighths of a cell.
fn bar_line(share: f64, width: u16, color: Color) -> Line<'static> {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and eight times the width")]
    let eighths = (share.clamp(0.0, 1.0) * f64::from(width) * 8.0).round() as usize;
    let bar = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    let rest = usize::from(width).saturating_sub(eighths.div_ceil(8));
    Line::from(vec![bar.fg(color), " ".repeat(rest).into()])
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The text without what terminals would act upon or measure differently.
fn printable(text: &str) -> String {
    let joiner = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    let spaced =
        text.chars().filter(|c| !joiner(*c)).map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c });
    spaced.collect::<String>().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The first cells of a text, with an ellipsis where it goes on.
fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if Span::raw(kept.as_str()).width() + 1 > width {
            kept.pop();
            break;
        }
    }
    if width > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// The colour of an emotion, of the 256; labels that are not among the eleven of the reference take one by their place.
pub(super) fn hue(label: &str, place: usize) -> u8 {
    const OTHERS: [u8; 6] = [45, 114, 220, 68, 205, 208];
    match label {
        "anger" => 196,
        "anticipation" => 208,
        "disgust" => 106,
        "fear" => 135,
        "joy" => 220,
        "love" => 205,
        "optimism" => 114,
        "pessimism" => 137,
        "sadness" => 68,
        "surprise" => 45,
        "trust" => 36,
        _ => OTHERS[place % OTHERS.len()],
    }
}

fn color(label: &str, place: usize) -> Color {
    Color::Indexed(hue(label, place))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn board() -> Board {
        let labels: Vec<String> = crate::inference::REFERENCE_LABELS.map(str::to_owned).to_vec();
        let mut board = Board::new(100, "starter", &labels, 2);
        board.sent = 60;
        for index in 0..50 {
            let labels = vec![("joy".to_owned(), 0.93), ("love".to_owned(), 0.71)];
            board.see(Sighting::Labelled {
                text: format!("post {index} 👩‍👩‍👧 \u{1b}[2J {}", "long ".repeat(30)),
                platform: "x".into(),
                labels,
            });
        }
        board.see(Sighting::Dead { class: "not_json".into(), bytes: "half a rec".into() });
        board
    }

    fn screen(width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &board(), Duration::from_secs(3))).expect("drawn");
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn shows_counts_emotions_and_the_latest_posts_at_every_usual_size() {
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let screen = screen(width, height);
            for wanted in [
                "51 of 100",
                "lag   9",
                "50 labelled",
                "1 dead letters",
                "joy ",
                "trust ",
                "100 %",
                "joy 93",
                "love 71",
                "✗ not_json",
            ] {
                assert!(screen.contains(wanted), "{wanted} at {width}x{height}:\n{screen}");
            }
            assert!(!screen.contains('\u{1b}'), "a post must not steer the terminal");
        }
    }

    #[test]
    fn a_tiny_terminal_is_no_reason_to_panic() {
        for (width, height) in [(1, 1), (10, 3), (30, 8)] {
            screen(width, height);
        }
    }

    #[test]
    fn texts_are_cut_by_cells_and_not_by_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }
}
