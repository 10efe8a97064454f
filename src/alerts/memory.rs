//! What was told, and telling what was not.
//!
//! Events for a topic are remembered by the topic: each is there once, whatever happens. Those for anybody else are
//! claimed and marked in the archive: who hears them hears them at least once.

use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::alerter::{AlertError, Round};
use super::evaluate::Occurrence;
use super::event::{self, Origin};
use super::ledger::Ledger;
use super::rule::Rule;
use crate::archive::{Store, StoreError};
use crate::fault;
use crate::kafka::{NotPut, OnceTopic};

/// Who remembers.
pub(crate) enum Memory {
    /// The archive's state.
    Claims(Ledger),
    /// The topic that events go to.
    Topic(Box<OnceTopic>, String),
}

/// A round under way.
pub(super) struct Turn<'a> {
    pub(super) now: Timestamp,
    pub(super) runtime: &'a Handle,
    /// Gets an event's id and JSON, where the topic does not.
    pub(super) deliver: &'a mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    pub(super) round: Round,
}

impl Memory {
    /// In the archive's store.
    pub(crate) fn claims(store: Store) -> Self {
        Self::Claims(Ledger::new(store, &random_name()))
    }

    /// In the topic that events go to.
    pub(crate) fn topic(topic: OnceTopic) -> Self {
        Self::Topic(Box::new(topic), random_name())
    }

    /// Tells what holds of a rule, whose first window begins at an instant, and was not told yet.
    pub(super) fn tell(
        &mut self,
        rule: &Rule,
        found: &[Occurrence<'_>],
        origin: &Origin,
        first: i64,
        turn: &mut Turn<'_>,
    ) -> Result<(), AlertError> {
        match self {
            Self::Claims(ledger) => Ok(claim(ledger, rule, found, origin, first, turn)?),
            Self::Topic(topic, by) => put(topic, by, rule, found, origin, turn),
        }
    }
}

/// All in one transaction.
fn put(
    topic: &mut OnceTopic,
    by: &str,
    rule: &Rule,
    found: &[Occurrence<'_>],
    origin: &Origin,
    turn: &mut Turn<'_>,
) -> Result<(), AlertError> {
    let known = topic.keys()?;
    let ids = found.iter().map(|occurrence| (event::id(&rule.name, &event::stem(occurrence)), occurrence));
    let new: Vec<(String, Vec<u8>)> = ids
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, occurrence)| (id, event::json(rule, occurrence, origin, by, turn.now)))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    match topic.put(&new) {
        Ok(()) => {
            turn.round.delivered += new.len() as u64;
            for (id, _) in &new {
                tracing::info!(id, "an alert was delivered");
            }
            Ok(())
        }
        Err(error @ NotPut::TakenOver { .. }) => Err(error.into()),
        Err(error) => {
            turn.round.undelivered += new.len() as u64;
            for (id, _) in &new {
                tracing::error!(id, %error, "an alert may not be delivered; the topic is asked when it is tried again");
            }
            Ok(())
        }
    }
}

/// One after the other: claim, deliver, mark. Then those that somebody else should have delivered.
fn claim(
    ledger: &Ledger,
    rule: &Rule,
    found: &[Occurrence<'_>],
    origin: &Origin,
    first: i64,
    turn: &mut Turn<'_>,
) -> Result<(), StoreError> {
    let (now, runtime) = (turn.now, turn.runtime);
    let known = runtime.block_on(ledger.known(&rule.name, first))?;
    for occurrence in found {
        let stem = event::stem(occurrence);
        if known.contains_key(&stem) && !fault::is_off("alert_claim") {
            continue;
        }
        let json = event::json(rule, occurrence, origin, ledger.by(), now);
        if runtime.block_on(ledger.claim(&rule.name, &stem, &json))? {
            fault::point("alert_claimed");
            deliver(ledger, rule, &stem, &json, turn)?;
        }
    }
    for (stem, event) in known.iter().filter(|(_, event)| event.is_due(now)) {
        let Some(json) = runtime.block_on(ledger.event(&rule.name, stem))? else { continue };
        if runtime.block_on(ledger.attempt(&rule.name, stem, event, now))? {
            let before = turn.round.delivered;
            deliver(ledger, rule, stem, &json, turn)?;
            turn.round.again += turn.round.delivered - before;
        }
    }
    Ok(())
}

fn deliver(ledger: &Ledger, rule: &Rule, stem: &str, json: &[u8], turn: &mut Turn<'_>) -> Result<(), StoreError> {
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
    turn.runtime.block_on(ledger.delivered(&rule.name, stem, turn.now))
}

/// What an alerter goes by.
fn random_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(Timestamp::now().as_nanosecond()))
}
