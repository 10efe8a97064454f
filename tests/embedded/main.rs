//! The pipeline on the embedded broker: every outcome, every kind of bad input, injected broker errors; and the
//! status page of such a worker in a browser.
//!
//! That broker stores no offsets of transactions and writes no markers, so what is aborted stays visible and every
//! rewind begins at offset 0. Nothing here claims exactly-once: after a fault each record is labelled at
//! least once, and the metrics add up.

mod bad_input;
mod bench;
mod broker_errors;
mod browser;
mod commands;
mod labelling;
mod model_faults;
mod page;
mod presets;
mod rig;
