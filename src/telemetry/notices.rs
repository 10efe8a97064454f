//! The latest warnings and errors of the log, kept for the status page.
//!
//! A layer of the log itself, so it holds what the log holds: never a post's text, never a secret. Bounded in
//! number and length; the same message again is counted, not kept twice.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Different messages kept.
const KEPT: usize = 30;
/// Longest message kept, in bytes; the rest is cut.
const LONGEST: usize = 600;

/// The latest warnings and errors; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<VecDeque<Notice>>>);

/// A warning or an error, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is an error: a person must act.
    pub error: bool,
    /// The module that said it.
    pub target: String,
    /// What it said.
    pub message: String,
    /// The fields that came with it the last time: `lane=1 kind=breaker`.
    pub fields: String,
    /// When it came for the first time.
    pub first: Timestamp,
    /// When it came last.
    pub last: Timestamp,
    /// How often it came.
    pub count: u64,
}

impl Notices {
    /// What is kept, the latest first.
    #[must_use]
    pub fn latest(&self) -> Vec<Notice> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }

    fn add(&self, mut notice: Notice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Notice| {
            (known.error, &known.target, &known.message) == (notice.error, &notice.target, &notice.message)
        };
        if let Some(known) = kept.iter().position(same).and_then(|index| kept.remove(index)) {
            (notice.first, notice.count) = (known.first, known.count + 1);
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(notice);
    }
}

/// What puts the log's events into [`Notices`].
pub(super) struct NoticeLayer(pub(super) Notices);

impl<S: Subscriber> Layer<S> for NoticeLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        let now = Timestamp::now();
        self.0.add(Notice {
            error: *metadata.level() == Level::ERROR,
            target: metadata.target().to_owned(),
            message: cut(words.message),
            fields: cut(words.fields),
            first: now,
            last: now,
            count: 1,
        });
    }
}

/// An event's message and its other fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = if name == "message" {
            write!(self.message, "{value}")
        } else {
            let space = if self.fields.is_empty() { "" } else { " " };
            write!(self.fields, "{space}{name}={value}")
        };
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), format_args!("{value}"));
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn noticed(log: impl FnOnce()) -> Vec<Notice> {
        let notices = Notices::default();
        let subscriber = tracing_subscriber::registry().with(NoticeLayer(notices.clone()));
        tracing::subscriber::with_default(subscriber, log);
        notices.latest()
    }

    #[test]
    fn only_warnings_and_errors_are_kept_the_latest_first_with_their_fields() {
        let kept = noticed(|| {
            tracing::info!("nothing of note");
            tracing::warn!(lane = 1, reason = "a test", "given up");
            tracing::error!(error = %"no memory", "the lane pauses");
        });
        let seen = |notice: &Notice| (notice.error, notice.message.clone(), notice.fields.clone());
        assert_eq!(
            kept.iter().map(seen).collect::<Vec<_>>(),
            [
                (true, "the lane pauses".to_owned(), "error=no memory".to_owned()),
                (false, "given up".to_owned(), "lane=1 reason=a test".to_owned()),
            ]
        );
        assert_eq!(kept[0].target, module_path!());
    }

    #[test]
    fn the_same_message_again_is_counted_and_moves_to_the_front() {
        let kept = noticed(|| {
            for lane in 0..3 {
                tracing::warn!(lane, "given up");
            }
            tracing::warn!("something else");
            tracing::warn!(lane = 7, "given up");
        });
        assert_eq!(kept.len(), 2);
        assert_eq!((kept[0].count, kept[0].fields.as_str()), (4, "lane=7"));
        assert!(kept[0].first <= kept[0].last);
        assert_eq!(kept[1].count, 1);
    }

    #[test]
    fn number_and_length_are_bounded() {
        let kept = noticed(|| {
            for number in 0..KEPT * 3 {
                tracing::warn!("number {number} {}", "ä".repeat(LONGEST));
            }
        });
        assert_eq!(kept.len(), KEPT);
        assert!(kept[0].message.starts_with(&format!("number {} ", KEPT * 3 - 1)), "{}", kept[0].message);
        assert!(kept.iter().all(|notice| notice.message.len() <= LONGEST + '…'.len_utf8()));
    }
}
