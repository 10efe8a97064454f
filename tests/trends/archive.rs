//! Archives made of output records by the project's own writer.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

/// Milliseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000;

/// A model, as its records name it.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) id: &'static str,
    pub(crate) hash: String,
    pub(crate) labels: Vec<&'static str>,
    pub(crate) thresholds: Vec<f32>,
}

impl Model {
    /// The one that most posts are of.
    pub(crate) fn first() -> Self {
        // Labels in the order of their bytes: that is how serde_json writes an object's keys.
        let thresholds = vec![0.62, 0.5, 0.3, 0.5];
        Self {
            id: "first",
            hash: "0a1b2c3d".repeat(8),
            labels: vec!["Self doubt", "anger", "joy", "trust"],
            thresholds,
        }
    }

    /// Another one, that knows two of its emotions and one of its own, and spells one in another way.
    pub(crate) fn second() -> Self {
        let thresholds = vec![0.5, 0.7, 0.4];
        Self { id: "second", hash: "ffee0011".repeat(8), labels: vec!["Joy", "anger", "love"], thresholds }
    }
}

/// A post.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) id: String,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) platform: Option<&'static str>,
    pub(crate) lang: Option<&'static str>,
    pub(crate) text: Option<String>,
    /// None: skipped.
    pub(crate) scores: Option<Vec<f32>>,
    /// None: those whose score reaches the threshold.
    pub(crate) labels: Option<Vec<&'static str>>,
}

/// Numbers that look random, and are the same every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below so many.
    pub(crate) fn below(&mut self, many: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % many
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits")]
    pub(crate) fn score(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1_u32 << 24) as f32
    }

    pub(crate) fn of<T: Copy>(&mut self, words: &[T]) -> T {
        words[usize::try_from(self.below(words.len() as u64)).expect("small")]
    }
}

/// The record of a post, as the labeller writes it.
fn record(post: &Post, model: &Model) -> Vec<u8> {
    let time = written(post.time);
    let labelled = post.scores.is_some();
    let scores: Option<serde_json::Map<String, Value>> = post.scores.as_ref().map(|scores| {
        model.labels.iter().zip(scores).map(|(label, score)| ((*label).to_owned(), json!(score))).collect()
    });
    let reached = || -> Vec<&str> {
        let scores = post.scores.as_deref().unwrap_or_default();
        let each = model.labels.iter().zip(scores).zip(&model.thresholds);
        each.filter(|((_, score), threshold)| score >= threshold).map(|((label, _), _)| *label).collect()
    };
    let labels = labelled.then(|| post.labels.clone().unwrap_or_else(reached));
    let record = json!({
        "v": 1, "status": if labelled { "labelled" } else { "skipped" },
        "skip_reason": if labelled { Value::Null } else { json!("language") },
        "id": post.id, "text": post.text, "text_hash": null, "created_at": time, "event_time": time,
        "time_source": "created_at", "platform": post.platform, "lang": post.lang, "author_id": null, "extra": {},
        "scores": scores, "labels": labels, "token_count": if labelled { json!(7) } else { Value::Null },
        "truncated": false, "model": {"id": model.id, "hash": model.hash, "thresholds": model.thresholds},
        "source": {"topic": "posts", "partition": 0, "offset": 0, "timestamp": post.time}, "labelled_at": time,
    });
    record.to_string().into_bytes()
}

/// An instant as records have it.
pub(crate) fn written(millis: i64) -> String {
    Timestamp::from_millisecond(millis).expect("in range").strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// An instant that is written with its offset.
pub(crate) fn millis(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("an instant").as_millisecond()
}

/// Writes the files of these posts, one for each hour, below `root/posts`; `name` tells them from other files.
pub(crate) fn write(root: &Path, name: &str, model: &Model, posts: &[Post]) -> Vec<PathBuf> {
    let mut hours: Vec<i64> = posts.iter().map(|post| post.time.div_euclid(HOUR)).collect();
    hours.sort_unstable();
    hours.dedup();
    let mark = &model.hash[..8];
    let file = |hour: i64| {
        let records: Vec<Vec<u8>> =
            posts.iter().filter(|post| post.time.div_euclid(HOUR) == hour).map(|post| record(post, model)).collect();
        let bytes = moodstream::bench::parquet(records.iter().map(Vec::as_slice)).expect("a file");
        let folder = Timestamp::from_millisecond(hour * HOUR).expect("in range").strftime("date=%Y-%m-%d/hour=%H");
        let folder = root.join("posts").join(folder.to_string());
        fs::create_dir_all(&folder).expect("made");
        let path = folder.join(format!("posts.emotions-00000000-0-{name}-{name}1-{mark}.parquet"));
        fs::write(&path, bytes).expect("written");
        path
    };
    hours.into_iter().map(file).collect()
}

/// Makes it an archive of which these hours, counted from 1970, are declared complete.
pub(crate) fn declare(root: &Path, hours: impl Iterator<Item = i64>) {
    let folder = root.join("_state/hours");
    fs::create_dir_all(&folder).expect("made");
    let identity = json!({"format": 1, "id": "a", "cluster_id": "c", "topic": "posts.emotions", "begun": 0,
        "rules": {"version": 1, "text": "keep", "key_id": ""}});
    fs::write(root.join("_state/archive.json"), identity.to_string()).expect("written");
    for hour in hours {
        let name = Timestamp::from_millisecond(hour * HOUR).expect("in range").strftime("%Y-%m-%dT%H.json").to_string();
        fs::write(folder.join(name), "{}").expect("written");
    }
}

/// Labelled and skipped posts at random times of some hours, counted from 1970.
pub(crate) fn posts(dice: &mut Dice, model: &Model, hours: impl Iterator<Item = i64>, each: u64) -> Vec<Post> {
    let mut posts = Vec::new();
    for hour in hours {
        // No two hours have as many, and some files have no skipped post.
        for _ in 0..each + dice.below(each) {
            let skipped = hour % 3 != 0 && dice.below(5) == 0;
            let time = hour * HOUR + i64::try_from(dice.below(HOUR.unsigned_abs())).expect("small");
            let scores = (!skipped).then(|| model.labels.iter().map(|_| dice.score()).collect());
            posts.push(Post {
                id: format!("{}-{hour}-{}", model.id, posts.len()),
                time,
                platform: dice.of(&[Some("bluesky"), Some("mastodon"), Some("mastodon"), None]),
                lang: if skipped { Some("de") } else { dice.of(&[Some("en"), Some("en"), Some("fr"), None]) },
                text: Some(format!("post {}", posts.len())),
                scores,
                labels: None,
            });
        }
    }
    posts
}

/// The archive that figures are compared on: a week around the night in which Berlin's clocks go back, with late files,
/// two models, skipped posts, an hour of skipped posts alone, and empty hours.
pub(crate) fn mixed(root: &Path) {
    let (mut dice, first, second) = (Dice::new(7), Model::first(), Model::second());
    let start = millis("2025-10-21T21:00:00Z") / HOUR;
    // Hours of night are empty, and a whole day.
    let hours = (start..start + 24 * 7).filter(|hour| hour % 24 != 3 && hour / 24 != start / 24 + 3);
    write(root, "1", &first, &posts(&mut dice, &first, hours.clone(), 20));
    write(root, "2", &first, &posts(&mut dice, &first, hours.clone().filter(|hour| hour % 7 == 0), 6));
    write(root, "3", &second, &posts(&mut dice, &second, hours.filter(|hour| hour % 10 == 1), 12));
    let mut skipped = posts(&mut dice, &first, start + 200..start + 201, 9);
    for post in &mut skipped {
        post.scores = None;
    }
    write(root, "1", &first, &skipped);
}
