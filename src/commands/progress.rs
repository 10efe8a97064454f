//! Progress as a bar on standard error, for commands that read files.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// A bar over so much, or a spinner when nobody knows how many; none where standard error is no terminal.
pub(super) fn bar(size: Option<u64>) -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{wide_bar:.cyan/black} {percent:>3} % · {msg} · {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        // A template that did not parse would leave the default one.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style.progress_chars("█▉▊▋▌▍▎▏ "))
    })
}

/// Moves a bar over posts, if there is one.
pub(super) fn posts(bar: Option<&ProgressBar>, done: usize) {
    if let Some(bar) = bar {
        bar.set_position(done as u64);
        bar.set_message(format!("{} posts, {} a second", HumanCount(done as u64), rate(done as u64, bar.elapsed())));
    }
}

/// So many a second.
pub(super) fn rate(count: u64, time: Duration) -> HumanCount {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    HumanCount(count.saturating_mul(1000) / millis)
}
