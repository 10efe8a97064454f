//! `moodstream trends` and `moodstream alert` as people and scripts meet it, on archives made by the project's own writer: figures against
//! `DuckDB`'s over the same files, hours that stand out, completeness, and what is refused.
//!
//! No broker and no model is needed; what `make readers` installs is, for the comparison with `DuckDB`.

mod alerts;
mod archive;
mod bench;
mod duckdb;
mod figures;
mod forms;
mod outstanding;
mod program;
mod refusals;
mod rollup;
