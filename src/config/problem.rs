//! What is wrong with a configuration: every problem, each with its key, value, origin and remedy.

use std::fmt;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, such as `kafka.brokers`; empty when a whole file is at fault.
    pub key: String,
    /// The value as it was written; absent where it is missing or could be a secret.
    pub value: Option<String>,
    /// Where it was written: a file, an environment variable, the command line. Absent: a default.
    pub origin: Option<String>,
    /// What is wrong and what would be right.
    pub remedy: String,
}

impl Problem {
    /// A problem of this key; value and origin are filled in by the loader.
    pub(super) fn new(key: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, origin: None, remedy: remedy.into() }
    }

    /// A problem that only whoever uses the configuration can find.
    pub(crate) fn about(key: &str, remedy: String) -> Self {
        Self::new(key, remedy)
    }

    /// Says where the value was written.
    pub(super) fn at(mut self, origin: Option<&str>) -> Self {
        self.origin = origin.map(str::to_owned);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.origin) {
            ("", Some(origin)) => return write!(f, "{origin}: {}", self.remedy),
            ("", None) => return f.write_str(&self.remedy),
            (key, _) => f.write_str(key)?,
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.remedy)
    }
}

/// Everything that is wrong with a configuration, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.0.as_slice() {
            return write!(f, "the configuration is wrong: {problem}");
        }
        write!(f, "the configuration is wrong in {} places:", self.0.len())?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_listed_on_a_line_of_its_own() {
        let one = Problem {
            key: "worker.lanes".into(),
            value: Some("0".into()),
            origin: Some("worker.toml".into()),
            remedy: "must be a whole number, at least 1".into(),
        };
        let two = Problem::new("kafka.group", "must not be empty");
        assert_eq!(
            ConfigErrors(vec![one.clone()]).to_string(),
            "the configuration is wrong: worker.lanes = 0 (worker.toml): must be a whole number, at least 1"
        );
        assert_eq!(
            ConfigErrors(vec![one, two]).to_string(),
            "the configuration is wrong in 2 places:\n  \
             worker.lanes = 0 (worker.toml): must be a whole number, at least 1\n  \
             kafka.group: must not be empty"
        );
    }
}
