//! The time that is asked about: its hours, into which posts are sorted, and its periods.

use super::calendar::By;
use super::error::TrendsError;
use super::query::Query;
use super::source::Found;
use crate::archive::hour::Hour;

/// More periods than this nobody looks at, and they have to be held in memory.
const MOST_PERIODS: usize = 100_000;

/// From one instant to another, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    /// The instant after the last.
    pub(super) end: i64,
}

/// A period, and whether everything of it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) span: Span,
    /// None: nobody knows.
    pub(super) complete: Option<bool>,
}

/// The time that is asked about.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) span: Span,
    /// Hours of the zone's clock, the first and the last of them cut where the range is. Posts are counted by them.
    hours: Vec<i64>,
    pub(super) periods: Vec<Period>,
}

impl Range {
    /// As it was asked for; what was left open ends where the archive does.
    pub(super) fn of(query: &Query, found: &Found) -> Result<Self, TrendsError> {
        let (calendar, by) = (&query.calendar, query.by);
        let start = match (query.from, found.first()) {
            (Some(from), _) => from,
            (None, Some(first)) => calendar.floor(first.start(), by),
            (None, None) => calendar.floor(query.to.unwrap_or(query.now) - 1, by),
        };
        let end = match (query.to, found.last()) {
            (Some(to), _) => to,
            (None, Some(last)) => calendar.ceil(last.end(), by),
            (None, None) => calendar.ceil(query.now, by).max(start + 1),
        };
        let span = Span { start, end };
        let periods = cut(span, |at| calendar.next(at, by))
            .ok_or_else(|| {
                TrendsError::Refused(format!(
                    "from {} to {} are more than {MOST_PERIODS} periods; give --from and --to, or a longer --by",
                    calendar.written(start),
                    calendar.written(end)
                ))
            })?
            .into_iter()
            .map(|span| Period { span, complete: found.is_complete(span, query.now) })
            .collect();
        // As many hours as there may be periods are some eleven years; beyond, hours that hold nothing are left out.
        let hours = match cut(span, |at| calendar.next(at, By::Hour)) {
            Some(hours) => hours.into_iter().map(|hour| hour.start).collect(),
            None => found.hours().flat_map(|hour| within(span, hour, |at| calendar.next(at, By::Hour))).collect(),
        };
        Ok(Self { span, hours, periods })
    }

    /// The pieces of an hour of UTC, by the hours of the zone's clock and the ends of the range. Mostly one.
    pub(super) fn pieces(&self, hour: Hour) -> Vec<Span> {
        let (start, end) = (hour.start().max(self.span.start), hour.end().min(self.span.end));
        if start >= end {
            return Vec::new();
        }
        let first = self.hours.partition_point(|begin| *begin <= start);
        let inner = self.hours[first..].iter().copied().take_while(|begin| *begin < end);
        let mut pieces = vec![Span { start, end }];
        for begin in inner {
            if let Some(last) = pieces.last_mut() {
                last.end = begin;
            }
            pieces.push(Span { start: begin, end });
        }
        pieces
    }

    /// The period that holds an instant of the range.
    pub(super) fn period(&self, millis: i64) -> usize {
        self.periods.partition_point(|period| period.span.start <= millis).saturating_sub(1)
    }

    /// The beginning of the clock's hour that holds an instant of the range.
    pub(super) fn hour(&self, millis: i64) -> i64 {
        match self.hours.partition_point(|begin| *begin <= millis) {
            0 => millis,
            after => self.hours[after - 1],
        }
    }
}

/// Cuts a span at the beginnings of periods; none when there would be too many.
fn cut(span: Span, next: impl Fn(i64) -> i64) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    let mut start = span.start;
    while start < span.end {
        if spans.len() == MOST_PERIODS {
            return None;
        }
        // Calendars end somewhere.
        let end = next(start).clamp(start + 1, span.end);
        spans.push(Span { start, end });
        start = end;
    }
    Some(spans)
}

fn within(span: Span, hour: Hour, next: impl Fn(i64) -> i64) -> Vec<i64> {
    let inside = Span { start: hour.start().max(span.start), end: hour.end().min(span.end) };
    cut(inside, next).unwrap_or_default().into_iter().map(|span| span.start).collect()
}
