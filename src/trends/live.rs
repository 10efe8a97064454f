//! The figures of one emotion in windows of whole hours, counted from records as they come, for who watches a topic.
//!
//! They are those that the archive of the same records gives, to the last bit: scores are added up in the same way.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::TrendsError;
use super::names::Names;
use super::query::{Dimension, Query};
use super::tally::{Cell, EXCESS, Key, Sums, Tally, is_score, raw};
use super::windows::{Watch, WindowSeries, query, series};
use crate::archive::columns::name_of;
use crate::archive::footer::Labelling;
use crate::archive::post::ArchivedPost;

const HOUR_MS: i64 = 3_600_000;

/// Counts what is watched.
pub(crate) struct Counter {
    query: Query,
    window_ms: i64,
    /// Windows that began before it are not counted.
    from: i64,
    names: Names,
    tally: Tally,
    /// By the models' hashes.
    models: HashMap<String, Known>,
}

/// A model that was met.
#[derive(Clone)]
struct Known {
    number: usize,
    /// The number of the emotion, and how the model calls it; none if it does not know it.
    emotion: Option<(usize, String)>,
}

impl Counter {
    /// # Errors
    /// What is wrong with the question.
    pub(crate) fn new(watch: &Watch, now: Timestamp) -> Result<Self, TrendsError> {
        let (names, tally, models) = (Names::default(), Tally::default(), HashMap::new());
        let (query, window_ms) = (query(watch, now)?, watch.window_hours * HOUR_MS);
        Ok(Self { query, window_ms, from: i64::MIN, names, tally, models })
    }

    /// Counts a post, if it is one that is asked for.
    pub(crate) fn count(&mut self, post: &ArchivedPost<'_>) {
        let Some(scores) = post.scores.as_ref().filter(|_| post.status == "labelled") else { return };
        let start = post.event_time_ms - post.event_time_ms.rem_euclid(self.window_ms);
        let fits = |filter: &super::query::Filter| {
            filter.words.iter().any(|word| word.as_deref() == word_of(post, filter.dimension))
        };
        if start < self.from || !self.query.filters.iter().all(fits) {
            return;
        }
        let Known { number: model, emotion } = self.meet(post);
        let Some((number, label)) = emotion else { return };
        let score = scores.iter().find(|(known, _)| *known == label).map(|(_, score)| *score);
        let Some(score) = score.filter(|score| is_score(*score)) else { return };
        let (sum, square) = raw(score);
        let exact = |value: i64| i128::from(value.wrapping_sub(EXCESS));
        let given = post.labels.iter().flatten().any(|given| *given == label);
        let mut emotions = vec![Sums::default(); number + 1];
        emotions[number] = Sums { labelled: 1, count: given.into(), sum: exact(sum), squares: exact(square) };
        let words = self.query.dimensions().into_iter().map(|dimension| word_of(post, dimension).map(Arc::from));
        let key = Key { start, model, words: words.collect() };
        self.tally.add(key, &Cell { labelled: 1, skipped: 0, emotions });
    }

    /// Drops the windows that began before this, and counts no more of them: memory is that of the windows that are
    /// looked at (I8).
    pub(crate) fn forget(&mut self, before: i64) {
        self.from = before;
        self.tally.cells.retain(|key, _| key.start >= before);
    }

    /// What was counted.
    ///
    /// # Errors
    /// When no model that was met knows the emotion.
    pub(crate) fn series(&self) -> Result<Vec<WindowSeries>, TrendsError> {
        series(&self.query, &self.tally, &self.names, self.window_ms)
    }

    fn meet(&mut self, post: &ArchivedPost<'_>) -> Known {
        if let Some(known) = self.models.get(&*post.model_hash) {
            return known.clone();
        }
        let labels: Vec<(String, String)> =
            post.scores.iter().flatten().map(|(label, _)| (label.to_string(), name_of(label))).collect();
        let labelling = Labelling { model_id: post.model_id.to_string(), labels };
        let (number, numbers) = self.names.meet(&post.model_hash, &labelling, true);
        let mut emotions = numbers.into_iter().zip(labelling.labels);
        let emotion = emotions.find(|(_, (_, column))| self.query.wants(column));
        let known = Known { number, emotion: emotion.map(|(number, (label, _))| (number, label)) };
        self.models.insert(post.model_hash.to_string(), known.clone());
        known
    }
}

/// A post's word of a column.
fn word_of<'a>(post: &'a ArchivedPost<'_>, dimension: Dimension) -> Option<&'a str> {
    match dimension {
        Dimension::Platform => post.platform.as_deref(),
        Dimension::Lang => post.lang.as_deref(),
        Dimension::SourceTopic => post.source.topic.as_deref(),
        Dimension::SourceFile => post.source.file.as_deref(),
        Dimension::TimeSource => Some(&post.time_source),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::runtime::Builder;

    use super::*;
    use crate::config::Properties;
    use crate::trends::{Source, watch};

    /// 2025-10-07T00:00:00Z.
    const START: i64 = 1_759_795_200_000;

    /// Records of two models, the second without the emotion; some without a platform, some skipped.
    fn records() -> Vec<(i64, Vec<u8>)> {
        let record = |number: i64| {
            let time = Timestamp::from_millisecond(START + number * 47_000).expect("in range").to_string();
            let score = f64::from(i32::try_from(number * 37 % 101).expect("small")) / 101.0;
            let knows = number % 5 != 0;
            let (hash, scores, label) = if knows {
                ("0a1b2c3d".repeat(8), json!({"anger": score, "joy": 0.2}), "anger")
            } else {
                ("99ffee00".repeat(8), json!({"joy": score}), "joy")
            };
            let skipped = number % 17 == 0;
            let labels = if score >= 0.5 { json!([label]) } else { json!([]) };
            let post = json!({
                "v": 1, "status": if skipped { "skipped" } else { "labelled" },
                "skip_reason": skipped.then_some("language"), "id": number.to_string(), "text": null, "text_hash": null,
                "created_at": time, "event_time": time, "time_source": "created_at",
                "platform": match number % 3 { 0 => None, 1 => Some("bluesky"), _ => Some("mastodon") },
                "lang": if number % 4 == 0 { "de" } else { "en" }, "author_id": null, "extra": {},
                "scores": if skipped { json!(null) } else { scores },
                "labels": if skipped { json!(null) } else { labels }, "token_count": 7, "truncated": false,
                "model": {"id": "m", "hash": hash, "thresholds": if knows { json!([0.5, 0.5]) } else { json!([0.5]) }},
                "source": {"topic": "posts", "partition": 0, "offset": number, "timestamp": 0}, "labelled_at": time,
            });
            (START + number * 47_000, post.to_string().into_bytes())
        };
        (0..3_000).map(record).collect()
    }

    fn asked(window_hours: i64, filters: &[&str]) -> Watch {
        Watch {
            emotion: "anger".to_owned(),
            filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
            group_by: vec!["platform".to_owned()],
            window_hours,
            from: START,
            to: START + 48 * HOUR_MS,
            threads: Some(1),
        }
    }

    fn written(series: &[WindowSeries]) -> Vec<String> {
        let mut lines: Vec<String> = series.iter().map(|series| format!("{series:?}")).collect();
        lines.sort();
        lines
    }

    #[test]
    fn records_give_the_figures_of_their_archive_to_the_last_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = records();
        for hour in 0..48 {
            let hash = |json: &[u8]| ArchivedPost::parse(json).expect("a record").model_hash.to_string();
            for model in ["0a1b2c3d", "99ffee00"] {
                let of_hour = records
                    .iter()
                    .filter(|(time, json)| (*time - START) / HOUR_MS == hour && hash(json).starts_with(model));
                let bytes: Vec<&[u8]> = of_hour.map(|(_, json)| json.as_slice()).collect();
                if bytes.is_empty() {
                    continue;
                }
                let (date, of_day) = (if hour < 24 { "2025-10-07" } else { "2025-10-08" }, hour % 24);
                let folder = folder.path().join(format!("posts/date={date}/hour={of_day:02}"));
                std::fs::create_dir_all(&folder).expect("made");
                let file = crate::bench::parquet(bytes).expect("a file");
                std::fs::write(folder.join(format!("a-{model}.parquet")), file).expect("written");
            }
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("made");
        let (none, url) = (Properties::default(), folder.path().to_str().expect("UTF-8"));
        let source = runtime.block_on(Source::open("PATH", url, &none, Duration::from_secs(20))).expect("opened");
        let now = Timestamp::from_millisecond(START + 48 * HOUR_MS).expect("in range");
        for (hours, filters) in [(1, &["lang=en"][..]), (6, &[]), (24, &["platform=bluesky,"])] {
            let asked = asked(hours, filters);
            let mut counter = Counter::new(&asked, now).expect("right");
            for (_, json) in &records {
                counter.count(&ArchivedPost::parse(json).expect("a record"));
            }
            let archived = watch(&source, asked, None, now, runtime.handle()).expect("watched").series;
            assert!(archived.len() > 1 && archived[0].windows.len() > 1);
            assert_eq!(written(&counter.series().expect("known")), written(&archived), "{hours} h, {filters:?}");
        }
    }

    #[test]
    fn what_began_too_long_ago_is_forgotten() {
        let now = Timestamp::from_millisecond(START).expect("in range");
        let mut counter = Counter::new(&asked(1, &[]), now).expect("right");
        for (_, json) in records() {
            counter.count(&ArchivedPost::parse(&json).expect("a record"));
        }
        counter.forget(START + 30 * HOUR_MS);
        let first = |counter: &Counter| {
            let series = counter.series().expect("known");
            series.iter().filter_map(|series| series.windows.keys().next().copied()).min()
        };
        assert_eq!(first(&counter), Some(START + 30 * HOUR_MS));
        counter.count(&ArchivedPost::parse(&records()[1].1).expect("a record"));
        assert_eq!(first(&counter), Some(START + 30 * HOUR_MS), "nor does it come back");
        counter.forget(i64::MAX);
        assert_eq!((first(&counter), counter.tally.cells.len()), (None, 0));
    }

    #[test]
    fn an_emotion_that_no_model_knows_is_told_once_there_is_one() {
        let now = Timestamp::from_millisecond(START).expect("in range");
        let mut counter = Counter::new(&Watch { emotion: "angre".to_owned(), ..asked(1, &[]) }, now).expect("right");
        assert!(counter.series().expect("nothing is known yet").is_empty());
        counter.count(&ArchivedPost::parse(&records()[1].1).expect("a record"));
        let told = counter.series().expect_err("unknown").to_string();
        assert!(told.contains("there is no emotion \"angre\", did you mean \"anger\"?"), "{told}");
    }
}
