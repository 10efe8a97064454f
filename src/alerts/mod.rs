//! Alerts: rules about an emotion, held against the archive or the live topic, each event told once.
//!
//! ```text
//! archive ─► files   ─► figures by window ┐
//!          sight.rs    trends/windows.rs  ├─► occurrences ─► claim ─► deliver ─► mark   webhook, stdout
//!   topic ─► records ─► figures by window ┘   evaluate.rs    ledger.rs target.rs ledger.rs
//!          live.rs     trends/live.rs                   └─► one transaction             topic
//!                                                           kafka/once.rs
//! ```
//!
//! An event is a rule, a window and a group. Whoever claims it first, by put-if-absent in the archive's store,
//! delivers it and then marks it as delivered; an event that was claimed and is not marked after a while is delivered
//! again, the same bytes with the same id. So of many alerters one tells it, a crash between claim and mark tells it
//! twice rather than never, and a receiver can drop what it has by the id. A topic is told each event exactly once:
//! it remembers by itself.

mod alerter;
#[cfg(test)]
mod alerter_tests;
mod evaluate;
mod event;
mod ledger;
mod live;
mod memory;
mod progress;
mod rule;
mod rules;
mod sight;
mod target;
mod webhook;

pub(crate) use alerter::{AlertError, Alerter, Round};
pub(crate) use event::schema_text;
pub(crate) use live::Live;
pub(crate) use memory::Memory;
pub(crate) use rule::{Rule, RulesError};
pub(crate) use rules::read;
pub(crate) use sight::{Archived, Sight};
pub(crate) use target::{Courier, FLAG as TO, Target};
