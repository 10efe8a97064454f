//! Alerts: rules about an emotion, evaluated on the archive, each event told once.
//!
//! ```text
//! rules.toml ─► rules ─► figures by window (trends) ─► occurrences ─► claim ─► deliver ─► mark
//!              rules.rs     trends/windows.rs          evaluate.rs   ledger.rs  target.rs  ledger.rs
//! ```
//!
//! An event is a rule, a window and a group. Whoever claims it first, by put-if-absent in the archive's store,
//! delivers it and then marks it as delivered; an event that was claimed and is not marked after a while is delivered
//! again, the same bytes with the same id. So of many alerters one tells it, a crash between claim and mark tells it
//! twice rather than never, and a receiver can drop what it has by the id.

mod alerter;
#[cfg(test)]
mod alerter_tests;
mod evaluate;
mod event;
mod ledger;
mod rule;
mod rules;
mod target;
mod webhook;

pub(crate) use alerter::{AlertError, Alerter, Round};
pub(crate) use event::schema_text;
pub(crate) use rule::RulesError;
pub(crate) use rules::read;
pub(crate) use target::{Courier, Target};
