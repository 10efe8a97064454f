//! `moodstream trends` and `moodstream alert` as people and scripts meet them, on archives made by the project's own
//! writer: figures against `DuckDB`'s over the same files, hours that stand out, completeness, and what is refused.
//!
//! No broker and no model is needed; what `make readers` installs is, for the comparisons with `DuckDB` and Polars, and
//! an S3 server for what is done in a bucket.

mod alerts;
mod archive;
mod bench;
mod bucket;
mod duckdb;
mod figures;
mod forms;
mod outstanding;
mod program;
mod refusals;
mod rollup;
#[path = "../kafka/support/s3.rs"]
#[expect(dead_code, reason = "the tests of the archive halt it, too")]
mod s3;
mod snippets;
