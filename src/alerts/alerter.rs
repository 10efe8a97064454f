//! Looks once at what there is, and tells of every event that nobody has told of.

use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::evaluate::occurrences;
use super::event::Origin;
use super::memory::{Memory, Turn};
use super::rule::{Rule, RulesError};
use super::sight::{HOUR_MS, Sight};
use crate::archive::StoreError;
use crate::kafka::{BrokerError, ClusterError, NotPut};
use crate::trends::TrendsError;

/// Why a round was not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    /// The rules do not fit what there is.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The archive cannot be read.
    #[error("rule \"{rule}\"")]
    Unread {
        /// The rule's name.
        rule: String,
        /// Why.
        source: TrendsError,
    },
    /// The live topic cannot be read.
    #[error("the live topic")]
    Topic(#[from] BrokerError),
    /// What was told cannot be read or noted.
    #[error("the alerts' state")]
    State(#[from] StoreError),
    /// The topic of alerts cannot be read.
    #[error("the topic of alerts")]
    Told(#[from] ClusterError),
    /// Another alerter tells now.
    #[error(transparent)]
    TakenOver(#[from] NotPut),
}

impl AlertError {
    /// Whether only a person can mend it: exit code 2.
    pub(crate) fn is_wrong_use(&self) -> bool {
        match self {
            Self::Rules(_) => true,
            Self::Unread { source, .. } => source.is_wrong_use(),
            Self::State(error) => matches!(error, StoreError::Refused { .. }),
            Self::Topic(_) | Self::Told(_) | Self::TakenOver(_) => false,
        }
    }
}

/// What a round has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Windows in which a rule holds.
    pub(crate) hold: u64,
    /// Events delivered by this alerter.
    pub(crate) delivered: u64,
    /// Of those the ones that somebody may have delivered before.
    pub(crate) again: u64,
    /// Events that could not be delivered.
    pub(crate) undelivered: u64,
    /// There is more to read before anything can be told.
    pub(crate) behind: bool,
}

/// Holds what there is against rules.
pub(crate) struct Alerter {
    sight: Sight,
    origin: Origin,
    memory: Memory,
    rules: Vec<Rule>,
    look_back: Duration,
    /// By rule, whether it was held against anything.
    met: Vec<bool>,
}

impl Alerter {
    /// Windows that ended longer ago than `look_back` are left alone.
    pub(crate) fn new(sight: Sight, memory: Memory, rules: Vec<Rule>, look_back: Duration) -> Self {
        let (met, origin) = (vec![false; rules.len()], sight.origin());
        Self { sight, origin, memory, rules, look_back, met }
    }

    /// The same with another time to look back.
    #[cfg(test)]
    pub(super) fn looking_back(self, look_back: Duration) -> Self {
        Self { look_back, ..self }
    }

    /// Looks at all rules; one that fails keeps no other from being looked at. `deliver` gets the id and JSON of an event
    /// that does not go to a topic.
    ///
    /// # Errors
    /// The first failure, or all rules that do not fit. What could not be delivered is none.
    pub(crate) fn round(
        &mut self,
        now: Timestamp,
        runtime: &Handle,
        deliver: &mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> Result<Round, AlertError> {
        let mut turn = Turn { now, runtime, deliver, round: Round::default() };
        // Not before 1970, where no archive begins.
        let look_back = i64::try_from(self.look_back.as_millis()).unwrap_or(i64::MAX);
        let since = now.as_millisecond().saturating_sub(look_back).max(0);
        if !self.sight.refresh(&self.rules, since, now)? {
            return Ok(Round { behind: true, ..turn.round });
        }
        let (mut problems, mut failed) = (Vec::new(), None);
        for place in 0..self.rules.len() {
            match self.look(place, since, &mut turn) {
                Ok(()) => {}
                Err(AlertError::Rules(RulesError(mut found))) => problems.append(&mut found),
                Err(error @ AlertError::TakenOver(_)) => return Err(error),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match (problems.is_empty(), failed) {
            (false, _) => Err(RulesError(problems).into()),
            (true, Some(failed)) => Err(failed),
            (true, None) => Ok(turn.round),
        }
    }

    fn look(&mut self, place: usize, since: i64, turn: &mut Turn<'_>) -> Result<(), AlertError> {
        let Self { sight, origin, memory, rules, met, .. } = self;
        let (rule, now) = (&rules[place], turn.now);
        let first = rule.first_window(since);
        let seen = sight.see(place, rule, first, now, turn.runtime)?;
        if !seen.series.is_empty() && !std::mem::replace(&mut met[place], true) {
            rule.look_for_model(seen.series);
        }
        // One that is whole begins no earlier, so it ends after this.
        let since = since.max(seen.whole_from.saturating_add(rule.window_hours * HOUR_MS - 1));
        let complete = |start, end| seen.completeness.of(start, end);
        let found = occurrences(rule, seen.series, since, now, complete);
        turn.round.hold += found.len() as u64;
        memory.tell(rule, &found, origin, first, turn)
    }
}
