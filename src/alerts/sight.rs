//! Where figures come from: the archive, or the live topic.

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::alerter::AlertError;
use super::event::Origin;
use super::live::Live;
use super::rule::{Rule, RulesError, Wait};
use crate::trends::{self, Source, TrendsError, Watch, Watched, WindowSeries};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Where posts are looked at.
pub(crate) enum Sight {
    /// The archive's files.
    Archive(Archived),
    /// The output topic.
    Topic(Box<Live>),
}

/// What a rule is held against.
pub(super) struct Seen<'a> {
    pub(super) series: &'a [WindowSeries],
    /// Windows that began before it are not whole, and nobody can tell more of them.
    pub(super) whole_from: i64,
    pub(super) completeness: Completeness<'a>,
}

/// Which windows are complete.
pub(super) enum Completeness<'a> {
    /// What the archive declares.
    Declared(&'a Watched, Timestamp),
    /// Those that end no later than this.
    Until(i64),
}

impl Completeness<'_> {
    /// Whether all of a window is there; none where nobody knows.
    pub(super) fn of(&self, start: i64, end: i64) -> Option<bool> {
        match self {
            Self::Declared(watched, now) => watched.is_complete(start, end, *now),
            Self::Until(until) => Some(end <= *until),
        }
    }
}

impl Sight {
    /// Takes in what has come. Whether that was all of it; if not, the rest is there the next time.
    pub(super) fn refresh(&mut self, rules: &[Rule], since: i64, now: Timestamp) -> Result<bool, AlertError> {
        match self {
            Self::Archive(_) => Ok(true),
            Self::Topic(live) => live.read_on(rules, since, now),
        }
    }

    /// What there is for the rule at this place, whose first window begins at an instant.
    pub(super) fn see(
        &mut self,
        place: usize,
        rule: &Rule,
        first: i64,
        now: Timestamp,
        runtime: &Handle,
    ) -> Result<Seen<'_>, AlertError> {
        match self {
            Self::Archive(archived) => archived.see(place, rule, first, now, runtime),
            Self::Topic(live) => live.see(place, rule, first, now, runtime),
        }
    }

    /// As an event names it.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Archive(archived) => Origin::Archive(archived.source.shown().to_owned()),
            Self::Topic(live) => Origin::Topic(live.topic().to_owned()),
        }
    }
}

/// The archive, and what was there when it was last looked at.
pub(crate) struct Archived {
    source: Source,
    threads: Option<usize>,
    /// By the rules' places.
    watched: Vec<Option<Watched>>,
}

impl Archived {
    pub(crate) fn new(source: Source, threads: Option<usize>) -> Self {
        Self { source, threads, watched: Vec::new() }
    }

    fn see(
        &mut self,
        place: usize,
        rule: &Rule,
        first: i64,
        now: Timestamp,
        runtime: &Handle,
    ) -> Result<Seen<'_>, AlertError> {
        if rule.wait == Wait::Complete && !self.source.declares() {
            let remedy = format!(
                "{} does not say which of its hours are complete; write wait = \"none\", or name the archive itself",
                self.source.shown()
            );
            return Err(RulesError(vec![rule.problem("wait", "complete", remedy)]).into());
        }
        let watched = self.watch(place, rule, first, now, runtime)?;
        let completeness = Completeness::Declared(watched, now);
        Ok(Seen { series: &watched.series, whole_from: i64::MIN, completeness })
    }

    /// What was there for the rule at this place when it was last looked at.
    pub(super) fn watched(&self, place: usize) -> Option<&Watched> {
        self.watched.get(place)?.as_ref()
    }

    /// Reads what a rule needs, unless nothing has come since.
    pub(super) fn watch(
        &mut self,
        place: usize,
        rule: &Rule,
        first: i64,
        now: Timestamp,
        runtime: &Handle,
    ) -> Result<&Watched, AlertError> {
        if self.watched.len() <= place {
            self.watched.resize_with(place + 1, || None);
        }
        let before = self.watched[place].take();
        let watch = watch_of(rule, first, now, self.threads);
        let watched = trends::watch(&self.source, watch, before, now, runtime).map_err(|error| unread(rule, error))?;
        Ok(self.watched[place].insert(watched))
    }
}

/// What a rule needs to know, whose first window begins at an instant.
pub(super) fn watch_of(rule: &Rule, first: i64, now: Timestamp, threads: Option<usize>) -> Watch {
    let length = rule.window_hours * HOUR_MS;
    let now = now.as_millisecond();
    Watch {
        emotion: rule.emotion.clone(),
        filters: rule.conditions_on_columns(),
        group_by: rule.group_by.clone(),
        window_hours: rule.window_hours,
        from: first - rule.conditions.z_above.map_or(0, |_| rule.baseline_days * DAY_MS),
        to: now - now.rem_euclid(length) + length,
        threads,
    }
}

/// An emotion that does not exist is the rule's fault.
pub(super) fn unread(rule: &Rule, error: TrendsError) -> AlertError {
    match error {
        TrendsError::Refused(told) if told.starts_with("--emotion: ") => {
            let remedy = told.trim_start_matches("--emotion: ").to_owned();
            RulesError(vec![rule.problem("emotion", &rule.emotion, remedy)]).into()
        }
        source => AlertError::Unread { rule: rule.name.clone(), source },
    }
}
