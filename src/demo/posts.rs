//! The demo's records, and the rhythm in which they come.

use std::f64::consts::TAU;
use std::time::Duration;

use serde_json::Value;

const POSTS: &str = include_str!("posts.jsonl");
const BROKEN: &str = include_str!("broken.txt");
/// Begins a line of `broken.txt` whose bytes a text file cannot hold.
const ENCODED: &str = "base64:";

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
    let decoded = line.strip_prefix(ENCODED).and_then(decode_base64);
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

/// RFC 4648, section 4.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for symbol in text.bytes().filter(|symbol| *symbol != b'=') {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(((bits >> held) & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::post::{Decoded, Mapping};

    #[test]
    fn at_least_300_posts_can_be_read_and_every_broken_record_cannot() {
        let config = Config::load(None, std::iter::empty(), &[]).expect("the defaults");
        let mapping = Mapping::new(&config.input);
        let records = records();
        let (posts, broken): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.key.is_some());
        assert!(posts.len() >= 300, "{}", posts.len());
        assert_eq!(broken.len(), BROKEN.lines().count());
        assert!(posts.iter().all(|post| matches!(mapping.decode(Some(&post.value)), Ok(Decoded::Post(_)))));
        let classes: std::collections::BTreeSet<_> =
            broken.iter().map(|record| mapping.decode(Some(&record.value)).expect_err("broken").class).collect();
        assert!(classes.len() >= 6, "{classes:?}");
    }

    #[test]
    fn base64_is_decoded_or_refused() {
        assert_eq!(decode_base64("AP9h"), Some(vec![0, 255, b'a']));
        assert_eq!(decode_base64("YQ=="), Some(b"a".to_vec()));
        assert_eq!(decode_base64("!"), None);
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
