//! How good a model bundle is on posts whose emotions people have judged, and what its scores mean.
//!
//! ```text
//! gold file ─► posts ─► the worker's own inference ─► scores ─► metrics, calibration ─► report: text, JSON, picture
//! ```
//!
//! Formulas are in `docs/evaluation.md`; metrics and calibration are pure. Also here: scores held against those of
//! another implementation (`moodstream model verify --against`).

mod against;
mod calibration;
mod classify;
mod data;
mod metrics;
mod picture;
mod published;
mod report;
mod text;

pub(crate) use self::against::{Comparison, References};
pub(crate) use self::classify::classify;
pub(crate) use self::data::{DataError, GoldFile};
pub(crate) use self::picture::svg;
pub(crate) use self::report::{Report, RunOn, schema_text, score_lines};
