//! The lines that `moodstream check` prints: a mark, what was looked at, what was found.

use std::io::{self, Write};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In order.
    Right,
    /// Works, and should be known.
    Remark,
    /// The worker would not start, or not do its work.
    Wrong,
    /// Not looked at, because something before it is wrong.
    LeftOut,
}

impl Verdict {
    fn mark(self, terminal: bool) -> &'static str {
        match (self, terminal) {
            (Self::Right, true) => "✓",
            (Self::Remark, true) => "!",
            (Self::Wrong, true) => "✗",
            (Self::LeftOut, true) => "–",
            (Self::Right, false) => "ok",
            (Self::Remark, false) => "note",
            (Self::Wrong, false) => "WRONG",
            (Self::LeftOut, false) => "-",
        }
    }
}

/// Writes lines and counts what is wrong.
pub(crate) struct Report<'w> {
    out: &'w mut dyn Write,
    terminal: bool,
    wrong: usize,
}

impl<'w> Report<'w> {
    /// Marks are ✓ and ✗ on a terminal, words otherwise.
    pub(crate) fn new(out: &'w mut dyn Write, terminal: bool) -> Self {
        Self { out, terminal, wrong: 0 }
    }

    /// One line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn line(&mut self, verdict: Verdict, of: &str, found: &str) -> io::Result<()> {
        self.wrong += usize::from(verdict == Verdict::Wrong);
        let width = if self.terminal { 1 } else { 5 };
        let mark = verdict.mark(self.terminal);
        writeln!(self.out, "{mark:width$} {of:13} {found}")?;
        self.out.flush()
    }

    /// A line below one: what to do, such as a command to copy.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn remedy(&mut self, text: &str) -> io::Result<()> {
        let indent = if self.terminal { 16 } else { 20 };
        writeln!(self.out, "{:indent$}{text}", "")
    }

    /// How many things are wrong.
    #[must_use]
    pub(crate) fn wrong(&self) -> usize {
        self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_marked_and_what_is_wrong_is_counted() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, false);
        report.line(Verdict::Right, "library", "x.so").unwrap();
        report.line(Verdict::Wrong, "output", "no such topic").unwrap();
        report.remedy("create it").unwrap();
        report.line(Verdict::LeftOut, "group", "no broker").unwrap();
        assert_eq!(report.wrong(), 1);
        let expected = "\
ok    library       x.so
WRONG output        no such topic
                    create it
-     group         no broker
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
