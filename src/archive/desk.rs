//! What all partitions of an archiver share: the store, the topic, the rules, and how claims and files are looked at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::claim::{Claim, Promise, RowRules};
use super::footer::{Footer, NoFooter};
use super::identity::Identity;
use super::layout::Place;
use super::protocol::FileState;
use super::rows::{NotEncoded, RowPolicy};
use super::segment::Closing;
use super::store::{Meta, Store, StoreError, Version};
use crate::kafka::{BrokerError, OutputTopic};
use crate::telemetry::Metrics;

/// Bytes of a file's end that hold its footer, usually.
const TAIL: u64 = 64 << 10;

/// What all partitions of an archiver share.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) topic: Arc<OutputTopic>,
    pub(crate) identity: Identity,
    pub(crate) rules: RowRules,
    pub(crate) policy: RowPolicy,
    pub(crate) closing: Closing,
    pub(crate) put_deadline: Duration,
    pub(crate) instance: String,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) runtime: tokio::runtime::Handle,
    /// When the clock of the chains began.
    pub(crate) began: Instant,
}

impl Desk {
    /// Waits for the store.
    pub(crate) fn wait<T>(&self, request: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = self.runtime.block_on(request);
        self.metrics.archive.store_seconds.inc_by(began.elapsed().as_secs_f64());
        answer
    }

    pub(super) fn clock(&self) -> i64 {
        millis(self.began.elapsed())
    }

    /// A partition of the topic.
    pub(crate) fn place(&self, partition: i32) -> Place {
        Place { topic: self.topic.topic.clone(), topic_id: self.topic.topic_id.clone(), partition }
    }

    /// The last claim of a partition.
    pub(crate) fn last_claim(&self, place: &Place) -> Result<Option<Claim>, Stuck> {
        self.latest(self.wait(self.store.list(&place.claims()))?)
    }

    /// The last claim of a partition, if it is not the one that begins here.
    pub(crate) fn claim_after(&self, place: &Place, start: i64) -> Result<Option<Claim>, Stuck> {
        self.latest(self.wait(self.store.list_after(&place.claims(), &place.claim(start)))?)
    }

    fn latest(&self, claims: Vec<Meta>) -> Result<Option<Claim>, Stuck> {
        let last = claims.into_iter().map(|found| found.path).max();
        last.map(|last| self.read_claim(&last)).transpose()
    }

    /// One claim.
    pub(crate) fn read_claim(&self, path: &str) -> Result<Claim, Stuck> {
        let json = self.wait(self.store.get(path))?;
        let json = json
            .ok_or_else(|| Stuck::Refused(format!("the claim {path} is gone; claims are never removed: restore it")))?;
        serde_json::from_slice(&json).map_err(|error| {
            Stuck::Refused(format!("the claim {path} cannot be read ({error}); restore it, claims are never changed"))
        })
    }

    /// A promised file as it lies in the store.
    pub(crate) fn inspect(
        &self,
        place: &Place,
        claim: &Claim,
        promise: &Promise,
    ) -> Result<(FileState, Option<Version>), Stuck> {
        let mut wanted = TAIL;
        loop {
            let Some((meta, tail)) = self.wait(self.store.tail(&promise.path, wanted))? else {
                return Ok((FileState::Missing, None));
            };
            let whole = if promise.model.is_empty() && !promise.path.ends_with(".parquet") {
                if (tail.len() as u64) < meta.size {
                    wanted = meta.size;
                    continue;
                }
                memchr::memchr_iter(b'\n', &tail).count() as u64 == promise.rows
            } else {
                match Footer::read(&tail) {
                    Err(NoFooter::Short { needed }) if (tail.len() as u64) < meta.size => {
                        wanted = (needed as u64).max(wanted * 2);
                        continue;
                    }
                    Err(_) => false,
                    Ok(stated) => {
                        let segment = stated.footer.segment.as_ref();
                        let ours = segment.is_some_and(|segment| {
                            (segment.start, segment.end, &segment.topic_id) == (claim.start, claim.end, &place.topic_id)
                        });
                        ours && (stated.rows == promise.rows || self.is_known_short(place, claim, promise)?)
                    }
                }
            };
            return Ok((if whole { FileState::Whole } else { FileState::Torn }, Some(meta.version)));
        }
    }

    fn is_known_short(&self, place: &Place, claim: &Claim, promise: &Promise) -> Result<bool, Stuck> {
        Ok(self.wait(self.store.head(&hole_path(place, claim, promise)))?.is_some())
    }
}

/// Why a partition does not get on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stuck {
    /// Later it may.
    #[error("{0}")]
    Later(String),
    /// A person must act.
    #[error("{0}")]
    Refused(String),
}

impl From<StoreError> for Stuck {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Later(_) | StoreError::Unknown(_) => Self::Later(error.to_string()),
            StoreError::Refused { .. } => Self::Refused(error.to_string()),
        }
    }
}

impl From<BrokerError> for Stuck {
    fn from(error: BrokerError) -> Self {
        if error.is_unauthorized() { Self::Refused(error.to_string()) } else { Self::Later(error.to_string()) }
    }
}

impl From<NotEncoded> for Stuck {
    fn from(error: NotEncoded) -> Self {
        Self::Refused(format!("{error}; this is a defect of moodstream, please report it with the log"))
    }
}

/// A record of rows that a file lacks, because the topic had lost their records.
#[derive(Debug, Serialize)]
pub(super) struct Short<'a> {
    pub(super) path: &'a str,
    pub(super) promised: u64,
    pub(super) found: u64,
}

pub(super) fn hole_path(place: &Place, claim: &Claim, promise: &Promise) -> String {
    let name = promise.path.rsplit('/').next().unwrap_or_default();
    format!("_state/holes/{}/{}/{:020}/{name}.json", place.topic_id, place.partition, claim.start)
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
