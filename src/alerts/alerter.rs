//! Looks at the archive once, and tells of every event that nobody has told of.

use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::evaluate::occurrences;
use super::event;
use super::ledger::Ledger;
use super::rule::{Rule, RulesError, Wait};
use crate::archive::StoreError;
use crate::fault;
use crate::trends::{self, Source, TrendsError, Watch, Watched};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Why a round was not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    /// The rules do not fit the archive.
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
    /// What was told cannot be read or noted.
    #[error("the alerts' state")]
    State(#[from] StoreError),
}

impl AlertError {
    /// Whether only a person can mend it: exit code 2.
    pub(crate) fn is_wrong_use(&self) -> bool {
        match self {
            Self::Rules(_) => true,
            Self::Unread { source, .. } => source.is_wrong_use(),
            Self::State(error) => matches!(error, StoreError::Refused { .. }),
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
}

/// One round under way.
struct Turn<'a> {
    now: Timestamp,
    runtime: &'a Handle,
    deliver: &'a mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    round: Round,
}

/// Evaluates rules on an archive.
pub(crate) struct Alerter {
    source: Source,
    rules: Vec<Rule>,
    ledger: Ledger,
    look_back: Duration,
    threads: Option<usize>,
    /// By rule, what was there when it was last looked at.
    watched: Vec<Option<Watched>>,
}

impl Alerter {
    /// The source must be one that can be written to. Windows that ended longer ago than `look_back` are left alone.
    pub(crate) fn new(source: Source, rules: Vec<Rule>, look_back: Duration, threads: Option<usize>) -> Self {
        let watched = rules.iter().map(|_| None).collect();
        Self { ledger: Ledger::new(source.store().clone()), source, rules, look_back, threads, watched }
    }

    /// The same with another time to look back.
    #[cfg(test)]
    pub(super) fn looking_back(self, look_back: Duration) -> Self {
        Self { look_back, ..self }
    }

    /// Looks at all rules; one that fails keeps no other from being looked at. `deliver` gets an event's id and JSON.
    ///
    /// # Errors
    /// The first failure, or all rules that do not fit the archive. What could not be delivered is none.
    pub(crate) fn round(
        &mut self,
        now: Timestamp,
        runtime: &Handle,
        deliver: &mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> Result<Round, AlertError> {
        let mut turn = Turn { now, runtime, deliver, round: Round::default() };
        let (mut problems, mut failed) = (Vec::new(), None);
        for place in 0..self.rules.len() {
            match self.look(place, &mut turn) {
                Ok(()) => {}
                Err(AlertError::Rules(RulesError(mut found))) => problems.append(&mut found),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match (problems.is_empty(), failed) {
            (false, _) => Err(RulesError(problems).into()),
            (true, Some(failed)) => Err(failed),
            (true, None) => Ok(turn.round),
        }
    }

    fn look(&mut self, place: usize, turn: &mut Turn<'_>) -> Result<(), AlertError> {
        let (now, runtime) = (turn.now, turn.runtime);
        let rule = &self.rules[place];
        // Not before 1970, where no archive begins.
        let look_back = i64::try_from(self.look_back.as_millis()).unwrap_or(i64::MAX);
        let since = now.as_millisecond().saturating_sub(look_back).max(0);
        let length = rule.window_hours * HOUR_MS;
        let first = since - since.rem_euclid(length) - length;
        let before = self.watched[place].take();
        let is_first = before.is_none();
        let watched = trends::watch(&self.source, self.watch_of(rule, first, now), before, now, runtime)
            .map_err(|error| unread(rule, error))?;
        self.verify(rule, &watched, is_first)?;
        let found = occurrences(rule, &watched.series, since, now, |start, end| watched.is_complete(start, end, now));
        turn.round.hold += found.len() as u64;
        let known = runtime.block_on(self.ledger.known(&rule.name, first))?;
        for occurrence in &found {
            let stem = event::stem(occurrence);
            if known.contains_key(&stem) && !fault::is_off("alert_claim") {
                continue;
            }
            let json = event::json(rule, occurrence, self.source.shown(), self.ledger.by(), now);
            if runtime.block_on(self.ledger.claim(&rule.name, &stem, &json))? {
                fault::point("alert_claimed");
                self.deliver(rule, &stem, &json, turn)?;
            }
        }
        for (stem, event) in known.iter().filter(|(_, event)| event.is_due(now)) {
            let Some(json) = runtime.block_on(self.ledger.event(&rule.name, stem))? else { continue };
            if runtime.block_on(self.ledger.attempt(&rule.name, stem, event, now))? {
                let before = turn.round.delivered;
                self.deliver(rule, stem, &json, turn)?;
                turn.round.again += turn.round.delivered - before;
            }
        }
        self.watched[place] = Some(watched);
        Ok(())
    }

    /// What of the archive a rule needs, whose first window begins at an instant.
    fn watch_of(&self, rule: &Rule, first: i64, now: Timestamp) -> Watch {
        let length = rule.window_hours * HOUR_MS;
        let now = now.as_millisecond();
        Watch {
            emotion: rule.emotion.clone(),
            filters: rule.conditions_on_columns(),
            group_by: rule.group_by.clone(),
            window_hours: rule.window_hours,
            from: first - rule.conditions.z_above.map_or(0, |_| rule.baseline_days * DAY_MS),
            to: now - now.rem_euclid(length) + length,
            threads: self.threads,
        }
    }

    /// Whether the rule can ever hold there.
    fn verify(&self, rule: &Rule, watched: &Watched, is_first: bool) -> Result<(), RulesError> {
        if let Some(model) = &rule.model
            && is_first
            && !watched.series.is_empty()
            && !watched.series.iter().any(|series| rule.chooses(series))
        {
            tracing::warn!(rule = rule.name, model, "no post there was labelled by the rule's model");
        }
        if rule.wait == Wait::None || self.source.declares() {
            return Ok(());
        }
        let remedy = format!(
            "{} does not say which of its hours are complete; write wait = \"none\", or name the archive itself",
            self.source.shown()
        );
        Err(RulesError(vec![rule.problem("wait", "complete", remedy)]))
    }

    fn deliver(&self, rule: &Rule, stem: &str, json: &[u8], turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let id = event::id(&rule.name, stem);
        if let Err(error) = (turn.deliver)(&id, json) {
            turn.round.undelivered += 1;
            let error = format!("{error:#}");
            tracing::error!(id, error, "an alert could not be delivered; it is tried again later");
            return Ok(());
        }
        turn.round.delivered += 1;
        tracing::info!(id, "an alert was delivered");
        fault::point("alert_delivered");
        turn.runtime.block_on(self.ledger.delivered(&rule.name, stem, turn.now))
    }
}

/// An emotion that does not exist is the rule's fault.
fn unread(rule: &Rule, error: TrendsError) -> AlertError {
    match error {
        TrendsError::Refused(told) if told.starts_with("--emotion: ") => {
            let remedy = told.trim_start_matches("--emotion: ").to_owned();
            RulesError(vec![rule.problem("emotion", &rule.emotion, remedy)]).into()
        }
        source => AlertError::Unread { rule: rule.name.clone(), source },
    }
}
