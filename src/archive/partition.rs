//! One partition at work: carries out what [`Chain`] says, on the store and the topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message;

use super::claim::{Claim, Hole, Promise};
use super::desk::{Desk, Short, Stuck, hole_path, millis};
use super::hour::Hour;
use super::layout::{DataName, Place};
use super::protocol::{Action, Chain, FileState, Put, Rules};
use super::rows::{RowPolicy, Rows};
use super::segment::{Close, Content, Owner, Segment, Taken};
use super::store::{Created, StoreError, Version};
use crate::fault;
use crate::kafka::{BrokerError, Hint, OutputReader};
use crate::telemetry::Metrics;

/// A partition at work.
pub(crate) struct Partition {
    pub(crate) place: Place,
    chain: Chain,
    /// Rows that are gathered.
    pub(crate) open: Segment,
    /// Files of the claim that is worked on, by their paths.
    closed: BTreeMap<String, Content>,
    /// The timestamp of the oldest record among them.
    closed_oldest: Option<i64>,
    /// The version of the torn file that was inspected.
    torn: Option<Version>,
    /// What the group had noted when the partition was assigned.
    hint: Option<Hint>,
    /// Not before this time, after a failure.
    later: Option<Instant>,
    failures: u32,
    /// Hours and rows of files that this archiver made, until somebody takes note.
    pub(crate) made: Vec<(Hour, u64)>,
    /// Whether the topic is read from the segment's end on.
    pub(crate) reading: bool,
    /// The stable end up to which everything is to be read before the segment closes.
    pub(crate) draining: Option<i64>,
}

/// What a step was about.
pub(crate) enum Stepped {
    /// There is more to do.
    On,
    /// Records are gathered from this offset on; what was read before belongs to another segment if `moved`.
    Gathering { from: i64, moved: bool },
    /// Not before a while has passed.
    Waiting,
}

impl Partition {
    pub(crate) fn new(desk: &Desk, partition: i32, hint: Option<Hint>, now: i64) -> Self {
        // A put takes up to the deadline itself: the chain's own is what may pass before it is sent.
        let rules = Rules { finish_last: true, deadline: millis(desk.put_deadline) };
        Self {
            place: desk.place(partition),
            chain: Chain::new(rules),
            open: Segment::new(desk.policy.clone(), partition, 0, None, now),
            closed: BTreeMap::new(),
            closed_oldest: None,
            torn: None,
            hint,
            later: None,
            failures: 0,
            made: Vec::new(),
            reading: false,
            draining: None,
        }
    }

    /// Takes a record in.
    pub(crate) fn push(&mut self, record: Taken<'_>, now: i64, metrics: &Metrics) {
        if self.draining.is_some_and(|end| record.offset >= end) {
            self.draining = None;
        }
        if self.open.push(record, now) {
            metrics.archive.rejected.inc();
            tracing::error!(
                partition = self.place.partition,
                offset = record.offset,
                "a record of the output topic cannot be a row; it is kept under _state/rejects"
            );
        }
    }

    /// Makes the files of a claim that are missing or torn, whoever made the claim.
    pub(crate) fn mend(desk: &Desk, place: &Place, claim: &Claim) -> Result<(), Stuck> {
        let mut partition = Self::new(desk, place.partition, None, Timestamp::now().as_millisecond());
        partition.chain.found(Some(claim.clone()), desk.clock());
        loop {
            match partition.chain.next(desk.clock()) {
                Action::Commit(_) | Action::Gather(_) | Action::Claim => return Ok(()),
                // It took too long: the claim is as it was.
                Action::FindLast => partition.chain.found(Some(claim.clone()), desk.clock()),
                action => partition.make(desk, &action)?,
            }
        }
    }

    /// Whether records are gathered now, and a segment could close.
    pub(crate) fn is_gathering(&mut self, desk: &Desk) -> bool {
        // After a claim that came to nothing the position is elsewhere, and what is open is about to be dropped.
        self.reading && self.chain.next(desk.clock()) == Action::Gather(self.open.start)
    }

    /// Bytes of all rows held.
    pub(crate) fn memory(&self) -> usize {
        self.open.memory() + self.closed.values().map(Content::memory).sum::<usize>()
    }

    /// Files that the rows held become.
    pub(crate) fn files(&self) -> usize {
        self.open.files() + self.closed.len()
    }

    /// The timestamp of the oldest record read and not archived.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.closed_oldest.into_iter().chain(self.open.oldest()).min()
    }

    /// Closes the open segment at `end`.
    pub(crate) fn close(&mut self, desk: &Desk, end: i64, why: Close, now: i64) {
        if end <= self.open.start {
            return;
        }
        let (start, watermark, partition) = (self.open.start, self.open.watermark, self.place.partition);
        let next = Segment::new(desk.policy.clone(), partition, end, watermark, now);
        let segment = std::mem::replace(&mut self.open, next);
        self.draining = None;
        self.closed_oldest = segment.oldest();
        tracing::debug!(partition, start, end, rows = segment.rows(), ?why, "a segment closes");
        let files = segment.close(&self.place, end);
        let promises = files.iter().map(|(promise, _)| promise.clone()).collect();
        self.closed = files.into_iter().map(|(promise, content)| (promise.path, content)).collect();
        self.propose(desk, start, end, promises, None, watermark);
    }

    fn propose(
        &mut self,
        desk: &Desk,
        start: i64,
        end: i64,
        files: Vec<Promise>,
        hole: Option<Hole>,
        watermark: Option<i64>,
    ) {
        let at = Timestamp::now().as_millisecond();
        let (rules, by) = (desk.rules.clone(), desk.instance.clone());
        self.chain.propose(Claim { start, end, files, hole, rules, watermark, by, at });
    }

    /// Does the next thing, unless that is to gather.
    ///
    /// # Errors
    /// When a person must act.
    pub(crate) fn step(&mut self, desk: &Desk, reader: &OutputReader) -> Result<Stepped, String> {
        if self.later.is_some_and(|later| Instant::now() < later) {
            return Ok(Stepped::Waiting);
        }
        match self.act(desk, reader) {
            Ok(stepped) => {
                (self.later, self.failures) = (None, 0);
                Ok(stepped)
            }
            Err(Stuck::Later(reason)) => {
                // Beyond the deadline the chain would have to be read again before each try.
                self.wait(&reason, desk.put_deadline / 4);
                Ok(Stepped::Waiting)
            }
            Err(Stuck::Refused(reason)) => Err(reason),
        }
    }

    /// Why it waits, if it failed.
    pub(crate) fn failing(&self) -> bool {
        self.failures > 0
    }

    fn wait(&mut self, reason: &str, longest: Duration) {
        const FIRST: Duration = Duration::from_millis(100);
        let pause = (FIRST * 2_u32.saturating_pow(self.failures.min(10))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.later = Some(Instant::now() + pause);
        tracing::warn!(partition = self.place.partition, again_in = ?pause, "the archive does not get on: {reason}");
    }

    fn act(&mut self, desk: &Desk, reader: &OutputReader) -> Result<Stepped, Stuck> {
        match self.chain.next(desk.clock()) {
            Action::FindLast => self.find_last(desk)?,
            Action::Claim => self.put_claim(desk)?,
            Action::Commit(end) => {
                fault::point("archive_before_offsets");
                let hint = Hint { offset: end, archive: desk.identity.id.clone() };
                if let Err(error) = reader.note(self.place.partition, &hint) {
                    // The claims are the position; the next one notes it again.
                    tracing::debug!(%error, end, "the group did not take the archive's offset");
                }
                fault::point("archive_after_offsets");
                self.hint = Some(hint);
                self.chain.committed();
            }
            Action::Gather(from) => return self.gather(desk, reader, from),
            making => self.make(desk, &making)?,
        }
        if !self.chain.wants_rows() {
            self.closed.clear();
            self.closed_oldest = None;
        }
        Ok(Stepped::On)
    }

    /// Gets on with the files of a claim.
    fn make(&mut self, desk: &Desk, action: &Action) -> Result<(), Stuck> {
        match *action {
            Action::Inspect(file) => {
                let (claim, promise) = self.promised(file)?;
                let (found, version) = desk.inspect(&self.place, &claim, &promise)?;
                self.torn = version;
                if found == FileState::Torn {
                    tracing::warn!(path = promise.path, "a file is torn and is replaced");
                }
                self.chain.inspected(found);
                Ok(())
            }
            Action::ReadBack => self.read_back(desk),
            Action::Create(file) => self.put_file(desk, file, false),
            Action::Replace(file) => self.put_file(desk, file, true),
            Action::FindLast | Action::Claim | Action::Commit(_) | Action::Gather(_) => Ok(()),
        }
    }

    fn gather(&mut self, desk: &Desk, reader: &OutputReader, from: i64) -> Result<Stepped, Stuck> {
        let now = Timestamp::now().as_millisecond();
        let moved = self.open.start != from;
        if moved {
            let watermark = self.chain.watermark();
            self.open = Segment::new(desk.policy.clone(), self.place.partition, from, watermark, now);
            self.draining = None;
        }
        if moved || !self.reading {
            // A new segment may begin before what the topic still holds.
            let low = reader.held(self.place.partition)?.low;
            if low > from {
                self.claim_hole(desk, from, low);
                return Ok(Stepped::On);
            }
            self.open.watermark = self.chain.watermark();
        }
        Ok(Stepped::Gathering { from, moved })
    }

    /// The topic has lost what comes next: whatever is open closes there, and the rest is claimed as a hole.
    pub(crate) fn lost_position(&mut self, desk: &Desk, reader: &OutputReader, now: i64) -> Result<(), BrokerError> {
        let low = reader.held(self.place.partition)?.low;
        self.reading = false;
        if !self.open.is_empty() {
            let end = self.open.next;
            self.close(desk, end, Close::Size, now);
        } else if low > self.open.start {
            self.claim_hole(desk, self.open.start, low);
        }
        Ok(())
    }

    fn claim_hole(&mut self, desk: &Desk, start: i64, end: i64) {
        let (hole, cause) =
            if start == 0 { (Hole::BeforeArchive, "before_archive") } else { (Hole::Expired, "expired") };
        tracing::error!(
            partition = self.place.partition,
            start,
            end,
            cause,
            "the topic no longer holds records that are not archived: the archive has a hole there"
        );
        desk.metrics.archive.holes.of([cause]).inc();
        self.propose(desk, start, end, Vec::new(), Some(hole), self.chain.watermark());
    }

    fn find_last(&mut self, desk: &Desk) -> Result<(), Stuck> {
        self.check_topic(desk)?;
        let read_at = desk.clock();
        let last = if fault::is_off("archive_claims") {
            self.hint.as_ref().map(|hint| Claim {
                start: 0,
                end: hint.offset,
                files: Vec::new(),
                hole: None,
                rules: desk.rules.clone(),
                watermark: None,
                by: String::new(),
                at: 0,
            })
        } else {
            desk.last_claim(&self.place)?
        };
        self.compare_hint(desk, last.as_ref())?;
        self.chain.found(last, read_at);
        Ok(())
    }

    /// A group that is ahead of this archive belongs to another one, or this one was set back.
    fn compare_hint(&self, desk: &Desk, last: Option<&Claim>) -> Result<(), Stuck> {
        let Some(hint) = &self.hint else { return Ok(()) };
        let (place, end) = (&self.place, last.map_or(0, |claim| claim.end));
        if !hint.archive.is_empty() && hint.archive != desk.identity.id {
            return Err(Stuck::Refused(format!(
                "the group of this archive has archived {}/{} elsewhere (archive {}, here {}): workers of one group need \
                 one archive.url that all of them reach, or each archive an archive.group of its own",
                place.topic, place.partition, hint.archive, desk.identity.id
            )));
        }
        if hint.offset > end {
            return Err(Stuck::Refused(format!(
                "the group has noted {}/{} as archived up to offset {}, but the claims here end at {end}: the archive was \
                 set back or is another copy; bring its _state back, or let moodstream archive verify --repair settle it",
                place.topic, place.partition, hint.offset
            )));
        }
        Ok(())
    }

    fn check_topic(&self, desk: &Desk) -> Result<(), Stuck> {
        let now = desk.topic.id_now()?;
        if now == self.place.topic_id {
            return Ok(());
        }
        // Whoever holds the session starts anew with the other topic.
        Err(Stuck::Later(format!("the topic {} was made anew", self.place.topic)))
    }

    fn promised(&self, file: usize) -> Result<(Claim, Promise), Stuck> {
        let claim = self.chain.claim().cloned();
        let promise = claim.as_ref().and_then(|claim| claim.files.get(file).cloned());
        claim.zip(promise).ok_or_else(|| Stuck::Later("there is no such promise".to_owned()))
    }

    /// Reads the claim's range again, whose files somebody has left unmade.
    fn read_back(&mut self, desk: &Desk) -> Result<(), Stuck> {
        let Some(claim) = self.chain.claim().cloned() else { return Ok(()) };
        if claim.rules != desk.rules {
            return Err(Stuck::Refused(format!(
                "files of the claim {} are missing, and it was made by other rules than this worker's: {:?}",
                self.place.claim(claim.start),
                claim.rules
            )));
        }
        tracing::info!(
            partition = self.place.partition,
            start = claim.start,
            end = claim.end,
            "making files of a claim whose writer is gone"
        );
        let now = Timestamp::now().as_millisecond();
        let mut segment = Segment::new(desk.policy.clone(), self.place.partition, claim.start, None, now);
        let (size, mut failed) = (desk.closing.size, None);
        desk.topic.read_range(self.place.partition, claim.start, claim.end, desk.put_deadline * 2, |record| {
            let taken = Taken {
                offset: record.offset(),
                timestamp: record.timestamp().to_millis().unwrap_or_default(),
                value: record.payload(),
            };
            segment.push(taken, now);
            if taken.offset % 1024 == 0 && segment.memory() > size {
                failed = failed.take().or_else(|| segment.seal(size / 4).err());
            }
        })?;
        if let Some(failed) = failed {
            return Err(failed.into());
        }
        self.closed = segment
            .close(&self.place, claim.end)
            .into_iter()
            .map(|(promise, content)| (promise.path, content))
            .collect();
        self.chain.read_back();
        Ok(())
    }

    fn put_file(&mut self, desk: &Desk, file: usize, replace: bool) -> Result<(), Stuck> {
        fault::point("archive_between_files");
        let (claim, promise) = self.promised(file)?;
        let content = self.closed.entry(promise.path.clone()).or_insert_with(|| empty_content(&promise, &desk.policy));
        if let Some(found) = content.rows().filter(|found| *found < promise.rows) {
            let short = Short { path: &promise.path, promised: promise.rows, found };
            let json = serde_json::to_vec(&short).map_err(|error| Stuck::Refused(error.to_string()))?;
            let path = hole_path(&self.place, &claim, &promise);
            desk.wait(desk.store.create(&path, json.into()))?;
            desk.metrics.archive.holes.of(["short"]).inc();
            tracing::error!(
                path = promise.path,
                promised = promise.rows,
                found,
                "the topic has lost records of a file that must be made anew"
            );
        }
        let owner = Owner { archive_id: &desk.identity.id, place: &self.place };
        let bytes = bytes::Bytes::copy_from_slice(content.bytes(owner, claim.start, claim.end)?);
        let size = bytes.len() as u64;
        let put = if replace {
            match &self.torn {
                Some(version) => desk.wait(desk.store.replace(&promise.path, bytes, version)),
                None => Ok(Created::Exists),
            }
        } else {
            desk.wait(desk.store.create(&promise.path, bytes))
        };
        let put = told(put)?;
        if put == Put::Done {
            self.closed.remove(&promise.path);
            if !promise.model.is_empty() {
                let metrics = &desk.metrics.archive;
                metrics.files.inc();
                metrics.rows.inc_by(promise.rows);
                metrics.bytes.inc_by(size);
            }
            self.made.extend(DataName::parse(&promise.path).map(|name| (name.hour, promise.rows)));
        }
        self.chain.put_file(put);
        Ok(())
    }

    fn put_claim(&mut self, desk: &Desk) -> Result<(), Stuck> {
        // The topic may have been made anew since: a claim of another topic's id is never put.
        self.check_topic(desk)?;
        let Some(claim) = self.chain.claim().cloned() else { return Ok(()) };
        let json = serde_json::to_vec(&claim).map_err(|error| Stuck::Refused(error.to_string()))?;
        fault::point("archive_before_claim");
        let read_at = desk.clock();
        let put = if fault::is_off("archive_claims") {
            Put::Done
        } else {
            told(desk.wait(desk.store.create(&self.place.claim(claim.start), json.into())))?
        };
        fault::point("archive_after_claim");
        desk.metrics.archive.claims.of([if put == Put::Done { "won" } else { "lost" }]).inc();
        if put != Put::Done {
            tracing::info!(
                partition = self.place.partition,
                start = claim.start,
                ?put,
                "a claim was not won for certain; looking at the chain"
            );
        }
        self.chain.claimed(put, read_at);
        Ok(())
    }
}

/// What a put means for the chain. What was certainly not done may be tried again.
fn told(put: Result<Created, StoreError>) -> Result<Put, Stuck> {
    match put {
        Ok(Created::New) => Ok(Put::Done),
        Ok(Created::Exists) => Ok(Put::Exists),
        Err(StoreError::Unknown(trouble)) => {
            tracing::warn!("{trouble}; whether it was done is not known, so it is looked at");
            Ok(Put::Unknown)
        }
        Err(error) => Err(error.into()),
    }
}

/// A promised file of which the topic holds no row any more.
fn empty_content(promise: &Promise, policy: &RowPolicy) -> Content {
    match DataName::parse(&promise.path) {
        Some(name) => Content::Rows(name.hour, Box::new(Rows::new(policy.clone()))),
        None => Content::Bytes(Vec::new()),
    }
}
