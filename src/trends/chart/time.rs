//! Moments of an answer, and the ticks of a time axis.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, de};

use super::facts::Period;

/// An instant, and what a clock showed there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    instant: Timestamp,
    pub(super) clock: DateTime,
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |error: jiff::Error| de::Error::custom(format!("\"{text}\" is no time: {error}"));
        let instant: Timestamp = text.parse().map_err(wrong)?;
        // Its first nineteen characters are the clock: 2026-11-01T17:00:00.
        let clock = text.get(..19).unwrap_or(&text).parse().map_err(wrong)?;
        Ok(Self { instant, clock })
    }
}

impl Moment {
    /// Seconds after another one.
    pub(super) fn after(&self, other: &Self) -> f64 {
        self.instant.duration_since(other.instant).as_secs_f64()
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"];
const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn month(clock: DateTime) -> usize {
    usize::from(clock.month().unsigned_abs()) - 1
}

/// From one clock to another, said as briefly as can be: "7 September – 4 October 2026".
pub(super) fn span(from: DateTime, to: DateTime) -> String {
    let last = to.checked_sub(jiff::Span::new().seconds(1)).unwrap_or(to).max(from);
    let end = format!("{} {} {}", last.day(), LONG_MONTHS[month(last)], last.year());
    if from.date() == last.date() {
        end
    } else if from.year() != last.year() {
        format!("{} {} {} – {end}", from.day(), LONG_MONTHS[month(from)], from.year())
    } else if from.month() != last.month() {
        format!("{} {} – {end}", from.day(), LONG_MONTHS[month(from)])
    } else {
        format!("{} – {end}", from.day())
    }
}

/// A tick: the period whose begin it names, and its label.
pub(super) struct Tick {
    pub(super) period: usize,
    pub(super) label: String,
}

/// Which clocks an axis names.
#[derive(Clone, Copy)]
enum Rule {
    Hours(i8),
    /// Midnights, the days counted from a Monday.
    Days(i64),
    /// Firsts of a month; for weeks, the first that begins in it.
    Months(i8),
}

const HOURS: [Rule; 5] = [Rule::Hours(1), Rule::Hours(2), Rule::Hours(3), Rule::Hours(6), Rule::Hours(12)];
const DAYS: [Rule; 4] = [Rule::Days(1), Rule::Days(2), Rule::Days(7), Rule::Days(14)];
const LONGER: [Rule; 5] = [Rule::Months(1), Rule::Months(2), Rule::Months(3), Rule::Months(6), Rule::Months(12)];

impl Rule {
    fn names(self, clock: DateTime, by: &str) -> bool {
        let midnight = clock.hour() == 0;
        match self {
            Self::Hours(every) => clock.hour() % every == 0,
            Self::Days(every) => {
                let monday = jiff::civil::date(1970, 1, 5);
                let days = (clock.date() - monday).get_days();
                midnight && i64::from(days).rem_euclid(every) == 0
            }
            Self::Months(every) => {
                let first = if by == "week" { clock.day() <= 7 } else { clock.day() == 1 };
                midnight && first && (clock.month() - 1) % every == 0
            }
        }
    }
}

/// Round clocks among the beginnings of periods, no more than there is room for.
pub(super) fn ticks(periods: &[Period], by: &str, room: usize) -> Vec<Tick> {
    let hours: &[Rule] = if by == "hour" { &HOURS } else { &[] };
    let rules = hours.iter().chain(&DAYS).chain(&LONGER);
    let mut chosen = vec![0];
    for rule in rules {
        let named: Vec<usize> = (0..periods.len()).filter(|&at| rule.names(periods[at].start.clock, by)).collect();
        let fits = named.len() <= room.max(2);
        if !named.is_empty() {
            chosen = named;
            if fits {
                break;
            }
        }
    }
    let (mut told, mut year) = (None, periods.first().map(|first| first.start.clock.year()));
    let label = |period: usize| {
        let clock = periods[period].start.clock;
        let mut label = if by == "hour" && clock.hour() != 0 {
            format!("{:02}:{:02}", clock.hour(), clock.minute())
        } else if told == Some(clock.month()) && by != "hour" {
            clock.day().to_string()
        } else {
            told = Some(clock.month());
            format!("{} {}", clock.day(), MONTHS[month(clock)])
        };
        // A new year is named where it begins.
        if year != Some(clock.year()) {
            year = Some(clock.year());
            label = format!("{label} {}", clock.year());
        }
        Tick { period, label }
    };
    chosen.into_iter().map(label).collect()
}
