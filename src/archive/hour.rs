//! An hour of event time, in UTC: what an archived row is filed under, and a function of the record alone.

use std::fmt;

use jiff::Timestamp;

const HOUR_MS: i64 = 3_600_000;

/// An hour, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(i64);

impl Hour {
    /// The hour that holds a time in milliseconds since 1970.
    pub(crate) fn of(millis: i64) -> Self {
        Self(millis.div_euclid(HOUR_MS))
    }

    /// Its beginning, in milliseconds since 1970.
    pub(crate) fn start(self) -> i64 {
        self.0 * HOUR_MS
    }

    /// Its end, in milliseconds since 1970.
    pub(crate) fn end(self) -> i64 {
        self.next().start()
    }

    /// The hour after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// `date=YYYY-MM-DD/hour=HH`: the folder of its files.
    pub(crate) fn folder(self) -> String {
        format!("date={}/hour={}", self.strftime("%Y-%m-%d"), self.strftime("%H"))
    }

    /// The hour whose folder a path below the data root begins with.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let date = parts.next()?.strip_prefix("date=")?;
        let hour = parts.next()?.strip_prefix("hour=")?;
        format!("{date}T{hour}").parse().ok()
    }

    fn strftime(self, format: &str) -> String {
        // Every hour of a record's milliseconds that jiff knows; event times are checked when they are decided.
        match Timestamp::from_millisecond(self.start()) {
            Ok(time) => time.strftime(format).to_string(),
            Err(_) => self.0.to_string(),
        }
    }
}

/// `YYYY-MM-DDTHH`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.strftime("%Y-%m-%dT%H"))
    }
}

impl std::str::FromStr for Hour {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: Timestamp = format!("{text}:00:00Z").parse()?;
        Ok(Self::of(time.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_its_beginning_and_not_its_end() {
        let hour = Hour::of(1_760_000_000_000);
        assert_eq!(hour.to_string(), "2025-10-09T08");
        assert_eq!((Hour::of(hour.start()), Hour::of(hour.end() - 1), Hour::of(hour.end())), (hour, hour, hour.next()));
        assert_eq!(Hour::of(-1).end(), 0);
    }

    #[test]
    fn hours_are_read_as_they_are_written() {
        let hour = Hour::of(1_760_000_000_000);
        assert_eq!(hour.to_string().parse::<Hour>().ok(), Some(hour));
        assert_eq!(hour.folder(), "date=2025-10-09/hour=08");
        assert_eq!(Hour::of_path("date=2025-10-09/hour=08/a.parquet"), Some(hour));
        assert_eq!(Hour::of_path("date=2025-10-09/a.parquet"), None);
        assert!("2025-10-09T24".parse::<Hour>().is_err());
    }
}
