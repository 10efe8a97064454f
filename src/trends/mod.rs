//! Trends: what people felt, when, and what changed, from the archive's Parquet files.
//!
//! ```text
//! files by date and hour ─► row groups by statistics ─► columns ─► tally ─► answer ─► table, JSON, CSV, Parquet, report, chart
//!     source.rs                 file.rs                group.rs   tally.rs  answer.rs
//! ```
//!
//! A tally counts posts and sums scores in whole numbers, by hour, platform and so on. Whole numbers add up to the
//! same in any order, so an answer depends neither on how many threads read nor on how rows are cut into files.
//! How many posts have an emotion is counted in the `labels` column, which is what the model gave; never anew from
//! scores and thresholds.

mod answer;
mod calendar;
mod chart;
mod csv;
mod error;
mod examples;
mod file;
mod group;
mod live;
mod names;
mod output;
mod query;
mod range;
mod report;
mod rollup;
mod scan;
mod source;
mod standouts;
mod statistics;
mod table;
mod tally;
mod windows;

use std::time::Instant;

pub(crate) use answer::{Answer, schema_text};
pub(crate) use calendar::By;
pub(crate) use error::TrendsError;
pub(crate) use live::Counter;
pub(crate) use output::{Format, Picture, draw, render, write_out, write_to};
pub(crate) use query::{Asked, Query, nearest};
pub(crate) use rollup::{KEPT as ROLLUP, RolledUp, roll_up};
pub(crate) use scan::Progress;
pub(crate) use source::Source;
pub(crate) use standouts::{OTHER_DAYS, POSTS as LEAST_POSTS};
pub(crate) use statistics::{Outlier, outlier};
pub(crate) use table::Look;
pub(crate) use windows::{Figures, Watch, Watched, WindowSeries, check_columns, watch};

use names::Names;
use range::Range;
use rollup::Rolled;
use scan::{Counted, Scan};

/// Answers a query from the files of a source. `progress` is told of every row group, by whichever thread has read it.
///
/// # Errors
/// What is wrong with the question, or which file is.
pub(crate) fn ask(
    source: &Source,
    query: &Query,
    runtime: &tokio::runtime::Handle,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Answer, TrendsError> {
    let started = Instant::now();
    let found = runtime.block_on(source.find(query))?;
    let range = Range::of(query, &found)?;
    let rolled = if source.has_state() && !query.reads_files {
        runtime.block_on(rollup::take(source, query, &range, &found))?
    } else {
        Rolled::default()
    };
    let from_rollup = !rolled.hours.is_empty();
    let rest = found.without(&rolled.hours);
    let threads = source.threads(query);
    let scan = Scan { source, query, range: &range, found: &rest, runtime, threads };
    // Several models by the files' names: who has not chosen one need not wait for the scores.
    if query.mixes_models_unasked() && rest.marks().len() > 1 {
        let mut census = scan.run(Counted::Posts, rolled.names.clone(), &|_| ())?;
        census.complete(rolled.tally.clone());
        refuse_mixture(&census.names)?;
    }
    let mut scanned = scan.run(Counted::Everything, rolled.names, progress)?;
    scanned.complete(rolled.tally);
    if query.mixes_models_unasked() {
        refuse_mixture(&scanned.names)?;
    }
    if scanned.names.emotions().is_empty() {
        // Nothing was labelled in the range; which emotions there are says the rest of the archive.
        scanned.names.learn(runtime.block_on(file::last_labels(source, query, &found))?);
    }
    let shown = query.shown_emotions(&scanned.names)?;
    let mut answer = Answer::of(query, &range, &scanned, &shown, source.shown());
    examples::add(&Scan { found: &found, ..scan }, &scanned.names, &mut answer)?;
    answer.read.from_rollup = from_rollup;
    answer.read.seconds = started.elapsed().as_secs_f64();
    Ok(answer)
}

/// More than one model has labelled the posts, and nobody has said that this is wanted.
fn refuse_mixture(names: &Names) -> Result<(), TrendsError> {
    let models = names.models_by_posts();
    if models.iter().filter(|model| model.posts > 0).count() < 2 {
        return Ok(());
    }
    let each: Vec<String> = models
        .iter()
        .filter(|model| model.posts > 0)
        .map(|model| format!("  {}  {}  {} posts", model.hash, model.id, model.posts))
        .collect();
    Err(TrendsError::Refused(format!(
        "several models have labelled these posts, and their figures do not compare:\n{}\nchoose one with --model HASH \
         (its beginning will do), several by naming each, or tell them apart with --group-by model",
        each.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::archive::Store;
    use crate::config::Properties;

    #[test]
    fn a_bucket_answers_as_a_folder_does() {
        let folder = tempfile::tempdir().expect("a folder");
        crate::bench::write_synthetic(folder.path(), 150_000, 2).expect("written");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("made");
        let url = folder.path().to_str().expect("UTF-8");
        let deadline = Duration::from_secs(20);
        let bucket = Store::memory(deadline);
        let (on_disk, in_memory) = runtime.block_on(async {
            let on_disk = Source::open("PATH", url, &Properties::default(), deadline).await.expect("opened");
            for file in on_disk.store.list("posts").await.expect("listed") {
                let bytes = on_disk.store.get(&file.path).await.expect("read").expect("there");
                bucket.create(&file.path, bytes).await.expect("created");
            }
            (on_disk, Source::of(bucket))
        });
        let asked = Asked { group_by: vec!["platform".to_owned(), "lang".to_owned()], ..Asked::default() };
        let query = Query::new(&asked, jiff::Timestamp::now()).expect("right");
        let groups = |source| {
            let answer = ask(source, &query, runtime.handle(), &|_| ()).expect("answered");
            assert_eq!(answer.read.rows, 150_000);
            serde_json::to_value(answer.groups).expect("JSON")
        };
        assert_eq!(groups(&on_disk), groups(&in_memory));
    }
}
