//! `input.start` as people write it: `earliest`, `latest`, or an RFC 3339 time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Start;

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            // Beyond jiff's years −9999 to 9999, which no text that parsed can name.
            Self::Time(millis) => match Timestamp::from_millisecond(*millis) {
                Ok(time) => time.fmt(f),
                Err(_) => write!(f, "{millis} ms since 1970"),
            },
        }
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time
                .parse::<Timestamp>()
                .map(|time| Self::Time(time.as_millisecond()))
                .map_err(|_| format!("\"{time}\" is neither earliest nor latest nor an RFC 3339 time")),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a place to start",
            "examples": ["earliest", "latest", "2026-01-31T00:00:00Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_an_offset_is_taken_to_utc_milliseconds() {
        assert_eq!("2026-01-31T01:00:00.5+01:00".parse(), Ok(Start::Time(1_769_817_600_500)));
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for start in [Start::Earliest, Start::Latest, Start::Time(1_769_817_600_500), Start::Time(-1)] {
            assert_eq!(start.to_string().parse(), Ok(start));
        }
    }

    #[test]
    fn a_date_without_a_zone_is_refused() {
        for text in ["2026-01-31", "2026-01-31T00:00:00", "Earliest", "1769817600", ""] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }
}
