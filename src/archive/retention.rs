//! Retention: hours that ended long enough ago are removed, whole.
//!
//! A note that the hour has expired is put before anything is removed. Nothing is removed that somebody may still
//! be making: files younger than twice the put deadline, and files of a claim that was the last one of its partition
//! so recently. Without the second rule a writer that had read such a claim would bring a file back; the simulation
//! in `protocol_tests.rs` found that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::hour::Hour;
use super::layout::{EXPIRED, POSTS};
use super::partition::{Desk, Stuck, millis};
use super::store::Meta;

/// Clocks of stores and machines differ by less than this.
const SKEW: i64 = 60_000;
/// The longest time between two looks.
const INTERVAL: Duration = Duration::from_mins(10);

/// What removes expired hours.
pub(crate) struct Retention {
    kept: i64,
    /// Milliseconds.
    young: i64,
    interval: Duration,
    looked: Option<Instant>,
}

impl Retention {
    /// `kept` is `archive.retention`; zero keeps everything.
    pub(crate) fn new(kept: Duration, put_deadline: Duration) -> Self {
        Self {
            kept: millis(kept),
            young: 2 * millis(put_deadline) + SKEW,
            interval: INTERVAL.min(kept / 4),
            looked: None,
        }
    }

    /// Removes what has expired, once in a while.
    pub(crate) fn tick(&mut self, desk: &Desk, now: i64) -> Result<(), String> {
        if self.kept == 0 || self.looked.is_some_and(|looked| looked.elapsed() < self.interval) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        match self.remove(desk, now) {
            Err(Stuck::Refused(reason)) => Err(reason),
            Err(Stuck::Later(reason)) => {
                tracing::warn!("expired hours cannot be removed yet: {reason}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn remove(&self, desk: &Desk, now: i64) -> Result<(), Stuck> {
        let mut wanted = None;
        for date in desk.wait(desk.store.folders(POSTS))? {
            for folder in desk.wait(desk.store.folders(&date))? {
                let below = folder.strip_prefix(POSTS).unwrap_or_default().trim_start_matches('/');
                let Some(hour) = Hour::of_path(below).filter(|hour| hour.end() + self.kept <= now) else { continue };
                let files = desk.wait(desk.store.list(&folder))?;
                let wanted = match &mut wanted {
                    Some(wanted) => wanted,
                    none => none.insert(self.still_wanted(desk, now)?),
                };
                if files.is_empty() || files.iter().any(|file| self.is_young(file, now) || wanted.contains(&file.path))
                {
                    continue;
                }
                let note = format!("{EXPIRED}/{hour}.json");
                let json = format!("{{\"hour\":\"{hour}\",\"at\":{}}}\n", Timestamp::now().as_millisecond());
                desk.wait(desk.store.create(&note, json.into()))?;
                for file in &files {
                    desk.wait(desk.store.delete(&file.path))?;
                }
                desk.metrics.archive.hours_expired.inc();
                tracing::info!(%hour, files = files.len(), "the hour has expired and was removed");
            }
        }
        Ok(())
    }

    fn is_young(&self, file: &Meta, now: i64) -> bool {
        now - file.modified_ms < self.young
    }

    /// Files of claims that are the last of their partition, or were so recently.
    fn still_wanted(&self, desk: &Desk, now: i64) -> Result<BTreeSet<String>, Stuck> {
        let mut wanted = BTreeSet::new();
        for number in 0..desk.topic.partitions()? {
            let mut claims = desk.wait(desk.store.list(&desk.place(number).claims()))?;
            claims.sort_by(|one, other| one.path.cmp(&other.path));
            let recent = recent(&claims, |claim| self.is_young(claim, now));
            for claim in &claims[recent..] {
                let claim = desk.read_claim(&claim.path)?;
                wanted.extend(claim.files.into_iter().map(|promise| promise.path));
            }
        }
        Ok(wanted)
    }
}

/// The first claim of a chain that is the last one, or was until recently: the one before the first young one.
fn recent(claims: &[Meta], is_young: impl Fn(&Meta) -> bool) -> usize {
    claims.iter().position(is_young).unwrap_or(claims.len()).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_spared_until_the_one_after_it_is_old() {
        let claim = |modified_ms| Meta { path: String::new(), size: 0, modified_ms, version: Default::default() };
        let chain = [claim(1), claim(2), claim(50), claim(51)];
        let recent = |young_from| recent(&chain, |claim| claim.modified_ms >= young_from);
        assert_eq!(recent(100), 3, "the last one always");
        assert_eq!(recent(51), 2, "and the one before a young one");
        assert_eq!(recent(50), 1);
        assert_eq!(recent(0), 0);
    }
}
