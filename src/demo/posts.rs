//! The demo's records, and the rhythm in which they come.

use std::f64::consts::TAU;
use std::time::Duration;

use serde_json::Value;

const POSTS: &str = include_str!("posts.jsonl");
const BROKEN: &str = include_str!("broken.txt");
/// Begins a line of `broken.txt` whose bytes a text file cannot hold.
const ENCODED: &str = "hex:";

/// One record to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DemoRecord {
    /// The post's id; none for a record that cannot be read.
    pub(super) key: Option<String>,
    pub(super) value: Vec<u8>,
}

/// Every record in the order of production: the broken ones are spread evenly among the posts.
pub(super) fn records() -> Vec<DemoRecord> {
    let posts: Vec<&str> = POSTS.lines().filter(|line| !line.is_empty()).collect();
    let mut broken = BROKEN.lines().filter(|line| !line.is_empty());
    let every = posts.len() / (BROKEN.lines().count() + 1);
    let mut records = Vec::new();
    for (index, post) in posts.into_iter().enumerate() {
        if index > 0 && index.is_multiple_of(every.max(1)) {
            records.extend(broken.next().map(unreadable));
        }
        records.push(DemoRecord { key: id(post), value: post.as_bytes().to_vec() });
    }
    records.extend(broken.map(unreadable));
    records
}

fn unreadable(line: &str) -> DemoRecord {
    let decoded = line.strip_prefix(ENCODED).and_then(|bytes| hex::decode(bytes).ok());
    DemoRecord { key: None, value: decoded.unwrap_or_else(|| line.as_bytes().to_vec()) }
}

fn id(post: &str) -> Option<String> {
    let post: Value = serde_json::from_str(post).ok()?;
    post.get("id")?.as_str().map(str::to_owned)
}

/// When the record at `index` of `count` is due, if all take `whole`: people write in waves.
#[expect(clippy::cast_precision_loss, reason = "a few hundred records")]
pub(super) fn due(index: usize, count: usize, whole: Duration) -> Duration {
    let done = index as f64 / count.max(1) as f64;
    // The integral of 1 + 0.75·cos over three waves: from 0 to 1, and never backwards.
    let wave = done - 0.75 * (3.0 * TAU * done).sin() / (3.0 * TAU);
    whole.mul_f64(wave.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::post::Mapping;

    #[test]
    fn at_least_300_posts_can_be_read_and_every_broken_record_cannot() {
        let config = Config::load(None, std::iter::empty(), &[]).expect("the defaults");
        let mapping = Mapping::new(&config.input);
        let records = records();
        let faults: Vec<_> = records.iter().filter_map(|record| mapping.decode(Some(&record.value)).err()).collect();
        assert!(records.len() - faults.len() >= 300, "{}", records.len());
        assert_eq!(faults.len(), BROKEN.lines().count());
        assert!(faults.iter().any(|fault| fault.class == "invalid_utf8"), "the encoded bytes are decoded first");
        let classes: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.class).collect();
        assert!(classes.len() >= 6, "{classes:?}");
    }

    #[test]
    fn records_come_in_waves_from_the_beginning_to_the_end() {
        let whole = Duration::from_secs(9);
        let times: Vec<Duration> = (0..=400).map(|index| due(index, 400, whole)).collect();
        assert!(times.is_sorted());
        assert_eq!((times[0], times[400].as_millis()), (Duration::ZERO, 9000));
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(gaps.iter().max() > gaps.iter().min().map(|least| *least * 3).as_ref(), "no waves");
    }
}
