//! Event time, decided once: the time of writing if it is believable, else the record's timestamp.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// 2000-01-01T00:00:00Z: earlier times of writing are not believed.
const OLDEST_MS: i64 = 946_684_800_000;
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

    proptest! {
        #[test]
        fn never_leaves_the_believable_range(ahead in -3 * AHEAD_MS..3 * AHEAD_MS, record in OLDEST_MS..4_000_000_000_000_i64) {
            let (time, _) = EventTime::decide(Some(&json!(record + ahead)), record);
            prop_assert!((OLDEST_MS..=record + AHEAD_MS).contains(&time.0));
        }
    }
}
