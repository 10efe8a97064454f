//! Where the demo shows itself: a live view on a terminal, a line now and then anywhere else.
//!
//! The terminal is given back however the demo ends: a panic restores it before it is told.

use std::cmp::Reverse;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::board::Board;
use super::view;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(80);
/// Time between two plain lines.
const LINE: Duration = Duration::from_secs(1);

/// Where the demo shows itself.
pub(super) enum Screen {
    /// Drawn over and over.
    Terminal(DefaultTerminal),
    /// Lines; when the last one was written.
    Plain(Option<Instant>),
}

impl Screen {
    /// A live view if standard output is a terminal that can hold one.
    pub(super) fn open() -> Self {
        if io::stdout().is_terminal()
            && io::stdin().is_terminal()
            && let Ok(terminal) = ratatui::try_init()
        {
            return Self::Terminal(terminal);
        }
        Self::Plain(None)
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Shows the board and waits for the next frame. Says whether someone wants to quit.
    ///
    /// # Errors
    /// When the terminal or standard output is gone.
    pub(super) fn show(&mut self, board: &Board, started: Instant) -> io::Result<bool> {
        match self {
            Self::Terminal(terminal) => {
                terminal.draw(|frame| view::draw(frame, board, started.elapsed()))?;
                wants_to_quit(FRAME)
            }
            Self::Plain(last) => {
                if last.is_none_or(|last| last.elapsed() >= LINE) {
                    *last = Some(Instant::now());
                    writeln!(io::stdout(), "{}", line(board, started.elapsed()))?;
                }
                std::thread::sleep(FRAME);
                Ok(false)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal() {
            ratatui::restore();
        }
    }
}

/// Looks at what was typed, for this long.
fn wants_to_quit(time: Duration) -> io::Result<bool> {
    let until = Instant::now() + time;
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let interrupted = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The board in one line.
fn line(board: &Board, elapsed: Duration) -> String {
    let mut emotions: Vec<&(String, u64)> = board.emotions.iter().filter(|(_, count)| *count > 0).collect();
    emotions.sort_by_key(|(_, count)| Reverse(*count));
    let shares = emotions.iter().take(3).map(|(name, count)| format!("{name} {:.0} %", board.share(*count) * 100.0));
    let shares = shares.collect::<Vec<_>>().join(", ");
    format!(
        "{:>5.1} s  {:<18} {:>4} of {}  lag {:>3}  {} labelled, {} skipped, {} dead letters  {shares}",
        elapsed.as_secs_f64(),
        board.phase,
        board.outcomes(),
        board.total,
        board.lag(),
        board.labelled,
        board.skipped(),
        board.dead(),
    )
    .trim_end()
    .to_owned()
}
