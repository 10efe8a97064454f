//! Hours, days and weeks of a time zone, as instants; pure.
//!
//! Days are as long as they are: 23 and 25 hours where the clocks change. An hour is one of the zone's own clock, which
//! is an hour of UTC too unless the zone is off by a part of an hour. Weeks begin on Monday.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use super::error::TrendsError;

const HOUR_MS: i64 = 3_600_000;

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Hour,
    Day,
    Week,
}

impl By {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// A time zone, by name.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    zone: TimeZone,
    name: String,
}

impl Calendar {
    /// # Errors
    /// When there is no such time zone.
    pub(crate) fn new(name: &str) -> Result<Self, TrendsError> {
        let refuse = || {
            TrendsError::Refused(format!(
                "--time-zone: \"{name}\" is no time zone of this machine's zone database (/usr/share/zoneinfo, or the \
                 folder that TZDIR names); give an IANA name such as Europe/Berlin, an offset such as +05:30, or UTC"
            ))
        };
        let zone = if name.eq_ignore_ascii_case("utc") {
            TimeZone::UTC
        } else if name.starts_with(['+', '-']) {
            let (hours, minutes) = name[1..].split_once(':').ok_or_else(refuse)?;
            let parsed = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() == 2);
            let (hours, minutes) = parsed(hours).zip(parsed(minutes)).ok_or_else(refuse)?;
            if hours > 14 || minutes > 59 {
                return Err(refuse());
            }
            let seconds = (hours * 60 + minutes) * 60 * if name.starts_with('-') { -1 } else { 1 };
            TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).map_err(|_| refuse())?)
        } else {
            TimeZone::get(name).map_err(|_| refuse())?
        };
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { zone, name })
    }

    /// As it is shown.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The clock's reading at an instant.
    pub(crate) fn local(&self, millis: i64) -> ZonedDateTime {
        instant(millis).to_zoned_datetime(self.zone.clone())
    }

    /// The instant at which the clock reads this; at a reading that is left out, as much later.
    pub(crate) fn at(&self, reading: DateTime) -> Option<i64> {
        Some(self.zone.to_zoned_datetime(reading).ok()?.timestamp().as_millisecond())
    }

    /// An instant as local time with its offset.
    pub(crate) fn written(&self, millis: i64) -> String {
        self.local(millis).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The beginning of the period that an instant is in.
    pub(crate) fn floor(&self, millis: i64, by: By) -> i64 {
        match by {
            By::Hour => self.hour_start(millis),
            By::Day => self.day_start(self.local(millis).date()),
            By::Week => self.day_start(monday(self.local(millis).date())),
        }
    }

    /// The beginning of the period after the one that begins at, or holds, an instant.
    pub(crate) fn next(&self, millis: i64, by: By) -> i64 {
        match by {
            By::Hour => self.hour_end(millis),
            By::Day => self.day_start(later(self.local(millis).date(), 1)),
            By::Week => self.day_start(later(monday(self.local(millis).date()), 7)),
        }
    }

    /// The first instant that is not before this one and begins a period.
    pub(crate) fn ceil(&self, millis: i64, by: By) -> i64 {
        if self.floor(millis, by) == millis { millis } else { self.next(millis, by) }
    }

    fn day_start(&self, date: Date) -> i64 {
        let midnight = self.zone.to_zoned_datetime(date.to_datetime(jiff::civil::Time::midnight()));
        // Where midnight is left out, the day begins with the first reading that there is.
        let first = midnight.and_then(|midnight| midnight.start_of_day());
        first.map_or_else(|_| Timestamp::MAX.as_millisecond(), |first| first.timestamp().as_millisecond())
    }

    fn hour_start(&self, millis: i64) -> i64 {
        let start = millis - (millis + self.offset(millis)).rem_euclid(HOUR_MS);
        // An hour in which the clock changes by a part of an hour is two.
        let mut earlier = self.zone.preceding(instant(millis.saturating_add(1)));
        let changed = earlier.next().map(|change| change.timestamp().as_millisecond());
        changed.map_or(start, |changed| start.max(changed))
    }

    fn hour_end(&self, millis: i64) -> i64 {
        let end = millis - (millis + self.offset(millis)).rem_euclid(HOUR_MS) + HOUR_MS;
        let mut later = self.zone.following(instant(millis));
        let changes = later.next().map(|change| change.timestamp().as_millisecond());
        changes.map_or(end, |changes| end.min(changes))
    }

    fn offset(&self, millis: i64) -> i64 {
        i64::from(self.zone.to_offset(instant(millis)).seconds()) * 1000
    }
}

/// An instant of milliseconds, as far as calendars go.
fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

fn monday(date: Date) -> Date {
    later(date, -i32::from(date.weekday().to_monday_zero_offset()))
}

fn later(date: Date, days: i32) -> Date {
    date.checked_add(days.days()).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(name: &str) -> Calendar {
        Calendar::new(name).expect("a zone")
    }

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    /// The beginnings of periods from one instant on.
    fn starts(calendar: &Calendar, by: By, from: &str, count: usize) -> Vec<String> {
        let first = calendar.floor(millis(from), by);
        let all = std::iter::successors(Some(first), |start| Some(calendar.next(*start, by)));
        all.take(count).map(|start| calendar.written(start)).collect()
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        let berlin = calendar("Europe/Berlin");
        // 26 October 2025 has 25 hours, 29 March 2026 has 23.
        assert_eq!(
            starts(&berlin, By::Day, "2025-10-25T12:00:00Z", 3),
            ["2025-10-25T00:00:00+02:00", "2025-10-26T00:00:00+02:00", "2025-10-27T00:00:00+01:00"]
        );
        let hours = |from: &str| {
            let start = berlin.floor(millis(from), By::Day);
            (berlin.next(start, By::Day) - start) / HOUR_MS
        };
        assert_eq!(
            (hours("2025-10-26T12:00:00Z"), hours("2026-03-29T12:00:00Z"), hours("2026-03-30T12:00:00Z")),
            (25, 23, 24)
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_and_one_that_is_left_out_is_none() {
        let berlin = calendar("Europe/Berlin");
        assert_eq!(
            starts(&berlin, By::Hour, "2025-10-26T00:30:00Z", 3),
            ["2025-10-26T02:00:00+02:00", "2025-10-26T02:00:00+01:00", "2025-10-26T03:00:00+01:00"]
        );
        assert_eq!(
            starts(&berlin, By::Hour, "2026-03-29T00:30:00Z", 2),
            ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]
        );
    }

    #[test]
    fn a_day_without_midnight_begins_with_its_first_hour() {
        // In 2018 Brazil put the clocks forward at midnight.
        let brazil = calendar("America/Sao_Paulo");
        assert_eq!(
            starts(&brazil, By::Day, "2018-11-03T12:00:00Z", 3),
            ["2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]
        );
    }

    #[test]
    fn weeks_begin_on_monday_in_local_time() {
        let berlin = calendar("Europe/Berlin");
        // Sunday evening in UTC is Monday in Berlin.
        assert_eq!(
            starts(&berlin, By::Week, "2025-10-19T22:30:00Z", 2),
            ["2025-10-20T00:00:00+02:00", "2025-10-27T00:00:00+01:00"]
        );
        assert_eq!(starts(&berlin, By::Week, "2025-10-19T21:30:00Z", 1), ["2025-10-13T00:00:00+02:00"]);
        assert_eq!(berlin.ceil(millis("2025-10-20T12:00:00Z"), By::Week), millis("2025-10-26T23:00:00Z"));
    }

    #[test]
    fn zones_off_by_a_part_of_an_hour_have_hours_of_their_own() {
        for (zone, expected) in [
            ("Asia/Kolkata", "2025-10-09T13:00:00+05:30"),
            ("Asia/Kathmandu", "2025-10-09T13:00:00+05:45"),
            ("+05:30", "2025-10-09T13:00:00+05:30"),
            ("-03:30", "2025-10-09T04:00:00-03:30"),
        ] {
            assert_eq!(starts(&calendar(zone), By::Hour, "2025-10-09T07:50:00Z", 1), [expected], "{zone}");
        }
        // Lord Howe Island changes by half an hour, at 2:00 on its clock.
        let lord_howe = calendar("Australia/Lord_Howe");
        assert_eq!(
            starts(&lord_howe, By::Hour, "2025-04-05T14:10:00Z", 4),
            [
                "2025-04-06T01:00:00+11:00",
                "2025-04-06T01:30:00+10:30",
                "2025-04-06T02:00:00+10:30",
                "2025-04-06T03:00:00+10:30"
            ]
        );
    }

    #[test]
    fn what_is_no_time_zone_is_refused_with_what_would_be_one() {
        for name in ["Berlin", "", "+5", "+25:00", "Mars/Olympus", "+5:3x"] {
            let error = Calendar::new(name).expect_err(name).to_string();
            assert!(error.contains(&format!("\"{name}\"")) && error.contains("Europe/Berlin"), "{error}");
        }
        assert_eq!(calendar("utc").name(), "UTC");
        assert_eq!(calendar("europe/berlin").name(), "Europe/Berlin");
    }
}
