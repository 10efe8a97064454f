//! The live topic: figures are counted from its records, anew at every start.
//!
//! Nothing of it is kept: the topic itself is what a restart counts from, from one day (which a post's time may be ahead
//! of its arrival) before the first window that is looked at. What was told is remembered elsewhere.

use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::alerter::AlertError;
use super::progress::Progress;
use super::rule::{Rule, Wait};
use super::sight::{Archived, Completeness, DAY_MS, HOUR_MS, Seen, unread, watch_of};
use crate::archive::post::ArchivedPost;
use crate::kafka::{BrokerError, OutputTopic, Tail};
use crate::trends::{Counter, WindowSeries};

/// How long reading goes on without a look at the clock.
const LIMIT: Duration = Duration::from_secs(10);
/// After so long labelling is behind for whoever waits for an alert.
const BEHIND_MS: i64 = 10 * 60 * 1000;

/// The output topic.
pub(crate) struct Live {
    topic: OutputTopic,
    grace_ms: i64,
    reading: Option<Reading>,
    /// The days before, for z-scores.
    days: Option<Archived>,
    /// By the rules' places: the hour in which the days before were read.
    days_of: Vec<Option<i64>>,
    /// By the rules' places.
    seen: Vec<Vec<WindowSeries>>,
    /// The last moment that it was said to wait for.
    waited_for: i64,
}

/// What was read since some time.
struct Reading {
    tail: Tail,
    counters: Vec<Counter>,
    progress: Progress,
}

impl Live {
    /// Posts that arrive no later than `grace` after the end of a window are waited for. `days` is needed for rules with a
    /// z-score.
    pub(crate) fn new(topic: OutputTopic, grace: Duration, days: Option<Archived>) -> Self {
        let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let (days_of, seen) = (Vec::new(), Vec::new());
        Self { topic, grace_ms, reading: None, days, days_of, seen, waited_for: i64::MIN }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic.topic
    }

    /// Counts what was committed until now. Whether that was all of it; if not, the rest is there the next time.
    pub(super) fn read_on(&mut self, rules: &[Rule], since: i64, now: Timestamp) -> Result<bool, AlertError> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.begin(rules, since, now)?,
        };
        let labelled = self.labelled(&reading.progress, rules, now);
        let read = labelled.and_then(|labelled| {
            let whole = reading.read_on()?;
            if whole {
                reading.progress.caught_up(labelled, now.as_millisecond());
            }
            Ok(whole)
        });
        for (counter, rule) in reading.counters.iter_mut().zip(rules) {
            counter.forget(rule.first_window(since));
        }
        // What was counted is sound, whatever comes after it, unless the topic is another one now.
        if !read.as_ref().is_err_and(BrokerError::is_out_of_range) {
            self.reading = Some(reading);
        }
        Ok(read?)
    }

    fn begin(&self, rules: &[Rule], since: i64, now: Timestamp) -> Result<Reading, AlertError> {
        let first = rules.iter().map(|rule| rule.first_window(since)).min().unwrap_or(since);
        let tail = self.topic.tail(first - DAY_MS)?;
        let counter = |rule: &Rule| {
            let first = rule.first_window(since);
            let mut counter =
                Counter::new(&watch_of(rule, first, now, None), now).map_err(|error| unread(rule, error))?;
            counter.forget(first);
            Ok::<_, AlertError>(counter)
        };
        let counters = rules.iter().map(counter).collect::<Result<_, _>>()?;
        let progress = Progress::new(tail.cut().clone());
        Ok(Reading { tail, counters, progress })
    }

    /// The moment that the last window waits for, if everything that arrived before is labelled; asked only if somebody
    /// waits for it.
    fn labelled(&mut self, progress: &Progress, rules: &[Rule], now: Timestamp) -> Result<Option<i64>, BrokerError> {
        let now = now.as_millisecond();
        let over = now.saturating_sub(self.grace_ms);
        let end = over - over.rem_euclid(HOUR_MS);
        let waited_for = end.saturating_add(self.grace_ms);
        if progress.passed >= waited_for || rules.iter().all(|rule| rule.wait == Wait::None) {
            return Ok(None);
        }
        if self.topic.inputs_are_labelled_before(waited_for)? {
            return Ok(Some(waited_for));
        }
        if now - waited_for > BEHIND_MS && self.waited_for != waited_for {
            self.waited_for = waited_for;
            tracing::warn!(
                window_ended = %Timestamp::from_millisecond(end).unwrap_or_default(),
                "not all posts that arrived by then are labelled by the group kafka.group; the window waits for them"
            );
        }
        Ok(None)
    }

    /// What was counted for the rule at this place, and before it the days that the archive knows.
    pub(super) fn see(
        &mut self,
        place: usize,
        rule: &Rule,
        first: i64,
        now: Timestamp,
        runtime: &Handle,
    ) -> Result<Seen<'_>, AlertError> {
        let mut seen = Vec::new();
        let (mut whole_from, mut passed) = (first, i64::MIN);
        if let Some(Reading { counters, progress, .. }) = &self.reading {
            seen = counters[place].series().map_err(|error| unread(rule, error))?;
            whole_from = first.max(progress.whole_from);
            passed = progress.passed;
        }
        for series in &mut seen {
            series.windows = series.windows.split_off(&whole_from);
        }
        if rule.conditions.z_above.is_some() {
            self.add_days(&mut seen, place, rule, whole_from, now, runtime)?;
        }
        if self.seen.len() <= place {
            self.seen.resize_with(place + 1, Vec::new);
        }
        self.seen[place] = seen;
        let completeness = Completeness::Until(passed.saturating_sub(self.grace_ms));
        Ok(Seen { series: &self.seen[place], whole_from, completeness })
    }

    /// Adds the archive's windows that began before `until`. They are read once an hour: the past moves no faster.
    fn add_days(
        &mut self,
        seen: &mut [WindowSeries],
        place: usize,
        rule: &Rule,
        until: i64,
        now: Timestamp,
        runtime: &Handle,
    ) -> Result<(), AlertError> {
        let Some(days) = &mut self.days else { return Ok(()) };
        let hour = now.as_millisecond().div_euclid(HOUR_MS);
        if self.days_of.len() <= place {
            self.days_of.resize(place + 1, None);
        }
        let watched = match days.watched(place).filter(|_| self.days_of[place] == Some(hour)) {
            Some(watched) => watched,
            None => days.watch(place, rule, rule.first_window(until), now, runtime)?,
        };
        self.days_of[place] = Some(hour);
        for series in seen {
            let same = |other: &&WindowSeries| other.key == series.key && other.model_hash == series.model_hash;
            if let Some(other) = watched.series.iter().find(same) {
                series.windows.extend(other.windows.range(..until).map(|(start, figures)| (*start, *figures)));
            }
        }
        Ok(())
    }
}

impl Reading {
    fn read_on(&mut self) -> Result<bool, BrokerError> {
        let Self { tail, counters, progress } = self;
        let mut unreadable = None;
        let mut count = 0_u64;
        let whole = tail.read_on(LIMIT, |record| {
            if let Some(timestamp) = record.timestamp {
                progress.read(record.partition, timestamp);
            }
            match ArchivedPost::parse(record.value.unwrap_or_default()) {
                Ok(post) => counters.iter_mut().for_each(|counter| counter.count(&post)),
                Err(error) => {
                    count += 1;
                    unreadable.get_or_insert(error);
                }
            }
        });
        if let Some(error) = unreadable {
            tracing::warn!(records = count, %error, "records of the output topic that cannot be read are not counted");
        }
        whole
    }
}
