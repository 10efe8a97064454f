//! Event time, decided once: the time of writing if it is believable, else the record's timestamp.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// 2000-01-01T00:00:00Z: earlier times of writing are not believed.
const OLDEST_MS: i64 = 946_684_800_000;
/// 0001-01-01T00:00:00.000Z and 9999-12-30T22:00:00.999Z: the times that every reader of the archive has names for.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_207_200_999;
/// A time of writing may be this far ahead of the record's timestamp: clocks differ.
const AHEAD_MS: i64 = 24 * 3600 * 1000;

/// When a post happened, UTC, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTime(pub i64);

/// Where the event time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// The post's own time of writing.
    CreatedAt,
    /// The Kafka record's timestamp.
    Record,
    /// The moment of labelling: a line of a file has no timestamp.
    LabelledAt,
}

impl EventTime {
    /// [`EventTime::of_writing`], else the record's timestamp.
    #[must_use]
    pub fn decide(created_at: Option<&Value>, record_ms: i64) -> (Self, TimeSource) {
        match Self::of_writing(created_at, record_ms) {
            Some(time) => (time, TimeSource::CreatedAt),
            None => (Self(record_ms), TimeSource::Record),
        }
    }

    /// `created_at` if it lies between 2000-01-01 and `reference_ms` + 24 h, else nothing.
    ///
    /// `created_at` is RFC 3339, or a number or digit string since 1970: below 1e11 seconds, below 1e14
    /// milliseconds, below 1e17 microseconds, else nanoseconds.
    #[must_use]
    pub fn of_writing(created_at: Option<&Value>, reference_ms: i64) -> Option<Self> {
        let latest = reference_ms.saturating_add(AHEAD_MS);
        created_at.and_then(milliseconds).filter(|ms| (OLDEST_MS..=latest).contains(ms)).map(Self)
    }
}

impl EventTime {
    /// Reads what [`EventTime`] is written as, and any other time of RFC 3339 between the years 1 and 9999.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let time = Self::of_own_form(text.as_bytes()).or_else(|| {
            let time: Timestamp = text.parse().ok()?;
            Some(Self(time.as_millisecond()))
        })?;
        (FIRST_MS..=LAST_MS).contains(&time.0).then_some(time)
    }

    /// `2025-10-09T08:53:20.000Z`, and nothing else: records are read by the million.
    fn of_own_form(text: &[u8]) -> Option<Self> {
        let text: &[u8; 24] = text.try_into().ok()?;
        let number = |from: usize, to: usize| {
            text[from..to].iter().try_fold(0, |number, byte| {
                let digit = byte.wrapping_sub(b'0');
                (digit < 10).then(|| number * 10 + i64::from(digit))
            })
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
        if !marks.iter().all(|(at, mark)| text[*at] == *mark) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second, milli) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // Days since 1970 of the proleptic Gregorian calendar, counted in years that begin in March.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let days = era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
        Some(Self((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli))
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn milliseconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_f64().and_then(from_number),
        Value::String(text) => {
            let text = text.trim();
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                return text.parse().ok().and_then(from_number);
            }
            text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value is checked to be far inside the range of i64")]
fn from_number(number: f64) -> Option<i64> {
    if !(0.0..1e20).contains(&number) {
        return None;
    }
    let ms = match number {
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1e3,
        n => n / 1e6,
    };
    Some(ms.floor() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const RECORD: i64 = 1_760_000_000_000;

    fn decide(created_at: &Value) -> (i64, TimeSource) {
        let (time, source) = EventTime::decide(Some(created_at), RECORD);
        (time.0, source)
    }

    #[test]
    fn reads_rfc_3339_and_every_unit() {
        let expected = (1_755_000_000_123, TimeSource::CreatedAt);
        for value in [
            json!("2025-08-12T12:00:00.123Z"),
            json!("2025-08-12T14:00:00.123+02:00"),
            json!(1_755_000_000_123_i64),
            json!("1755000000123"),
            json!(1_755_000_000.123),
            json!(1_755_000_000_123_456_i64),
            json!("1755000000123456789"),
        ] {
            assert_eq!(decide(&value), expected, "{value}");
        }
    }

    #[test]
    fn falls_back_to_the_record_when_unbelievable() {
        let fallback = (RECORD, TimeSource::Record);
        for value in [
            json!("yesterday"),
            json!(""),
            json!(-5),
            json!(true),
            json!("1999-12-31T23:59:59Z"),
            json!(RECORD + AHEAD_MS + 1),
            json!("2025-08-12"),
        ] {
            assert_eq!(decide(&value), fallback, "{value}");
        }
        assert_eq!(decide(&json!(RECORD + AHEAD_MS)).1, TimeSource::CreatedAt);
    }

    #[test]
    fn is_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(EventTime(1_755_000_000_000).to_string(), "2025-08-12T12:00:00.000Z");
    }

    #[test]
    fn reads_what_it_writes_and_other_forms_of_rfc_3339() {
        for (text, ms) in [
            ("2025-08-12T12:00:00.123Z", Some(1_755_000_000_123)),
            ("2025-08-12T14:00:00.123+02:00", Some(1_755_000_000_123)),
            ("2025-08-12T12:00:00Z", Some(1_755_000_000_000)),
            ("2024-02-29T00:00:00.000Z", Some(1_709_164_800_000)),
            ("2025-02-29T00:00:00.000Z", None),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("1900-02-29T00:00:00.000Z", None),
            ("2025-04-31T00:00:00.000Z", None),
            ("2025-13-01T00:00:00.000Z", None),
            ("2025-00-01T00:00:00.000Z", None),
            ("2025-01-00T00:00:00.000Z", None),
            ("2025-01-01T24:00:00.000Z", None),
            ("2025-01-01T00:60:00.000Z", None),
            ("2025-01-01T00:00:00.0x0Z", None),
            ("0001-01-01T00:00:00.000Z", Some(FIRST_MS)),
            ("0000-12-31T23:59:59.999Z", None),
            ("1755000000000", None),
            ("", None),
        ] {
            assert_eq!(EventTime::parse(text).map(|time| time.0), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_read_as_it_is_written(ms in FIRST_MS..=LAST_MS) {
            let text = EventTime(ms).to_string();
            prop_assert_eq!(EventTime::of_own_form(text.as_bytes()), Some(EventTime(ms)));
            prop_assert_eq!(EventTime::parse(&text), Some(EventTime(ms)));
        }

        #[test]
        fn never_leaves_the_believable_range(ahead in -3 * AHEAD_MS..3 * AHEAD_MS, record in OLDEST_MS..4_000_000_000_000_i64) {
            let (time, _) = EventTime::decide(Some(&json!(record + ahead)), record);
            prop_assert!((OLDEST_MS..=record + AHEAD_MS).contains(&time.0));
        }
    }
}
