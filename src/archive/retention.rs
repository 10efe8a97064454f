//! Retention: hours that ended long enough ago are removed, whole.
//!
//! A note that the hour has expired is put before anything is removed. Nothing is removed that somebody may still
//! be making: files younger than twice the put deadline, and files of a claim that was the last one of its partition
//! so recently. Without the second rule a writer that had read such a claim would bring a file back; the simulation
//! in `protocol_tests.rs` found that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::claim::Claim;
use super::desk::{Desk, Stuck, millis};
use super::hour::Hour;
use super::layout::{CLAIMS, EXPIRED, POSTS};
use super::store::{Meta, Store, StoreError};

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
        let is_young = |file: &Meta| now - file.modified_ms < self.young;
        let mut wanted = None;
        for date in desk.wait(desk.store.folders(POSTS))? {
            for folder in desk.wait(desk.store.folders(&date))? {
                let below = folder.strip_prefix(POSTS).unwrap_or_default().trim_start_matches('/');
                let Some(hour) = Hour::of_path(below).filter(|hour| hour.end() + self.kept <= now) else { continue };
                let files = desk.wait(desk.store.list(&folder))?;
                let wanted = match &mut wanted {
                    Some(wanted) => wanted,
                    none => none.insert(desk.wait(still_wanted(&desk.store, is_young))?),
                };
                if files.is_empty() || files.iter().any(|file| is_young(file) || wanted.contains(&file.path)) {
                    continue;
                }
                desk.wait(expire(&desk.store, hour, &files))?;
                desk.metrics.archive.hours_expired.inc();
                tracing::info!(%hour, files = files.len(), "the hour has expired and was removed");
            }
        }
        Ok(())
    }
}

/// Notes that an hour has expired, and removes its files.
pub(crate) async fn expire(store: &Store, hour: Hour, files: &[Meta]) -> Result<(), StoreError> {
    let note = format!("{EXPIRED}/{hour}.json");
    let json = format!("{{\"hour\":\"{hour}\",\"at\":{}}}\n", Timestamp::now().as_millisecond());
    store.create(&note, json.into()).await?;
    for file in files {
        store.delete(&file.path).await?;
    }
    Ok(())
}

/// Files of claims that are the last of their partition, or were so until recently.
pub(crate) async fn still_wanted(
    store: &Store,
    is_young: impl Fn(&Meta) -> bool,
) -> Result<BTreeSet<String>, StoreError> {
    let mut wanted = BTreeSet::new();
    for topic in store.folders(CLAIMS).await? {
        for partition in store.folders(&topic).await? {
            let claims = store.list(&partition).await?;
            for found in &claims[recent(&claims, &is_young)..] {
                let json = store.get(&found.path).await?.unwrap_or_default();
                let claim: Claim = serde_json::from_slice(&json).map_err(|error| StoreError::Refused {
                    key: found.path.clone(),
                    reason: format!("the claim cannot be read ({error}); restore it, claims are never changed"),
                })?;
                wanted.extend(claim.files.into_iter().map(|promise| promise.path));
            }
        }
    }
    Ok(wanted)
}

/// The first claim of a chain that is the last one, or was until recently: the one before the first young one.
fn recent(claims: &[Meta], is_young: impl Fn(&Meta) -> bool) -> usize {
    claims.iter().position(is_young).unwrap_or(claims.len()).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::super::store::Version;
    use super::*;

    #[test]
    fn a_claim_is_spared_until_the_one_after_it_is_old() {
        let claim = |modified_ms| Meta { path: String::new(), size: 0, modified_ms, version: Version::default() };
        let chain = [claim(1), claim(2), claim(50), claim(51)];
        let recent = |young_from| recent(&chain, |claim| claim.modified_ms >= young_from);
        assert_eq!(recent(100), 3, "the last one always");
        assert_eq!(recent(51), 2, "and the one before a young one");
        assert_eq!(recent(50), 1);
        assert_eq!(recent(0), 0);
    }
}
