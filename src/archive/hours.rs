//! Complete hours: `_state/hours/<hour>.json` says up to which offsets every row of an hour is visible.
//!
//! Every archiver tries on a timer, and only the first one's word is kept. An hour is passed by a partition when event
//! time has gone on for half of the grace beyond it, or when the clock is past it and its grace and nothing is under
//! way: no input waits to be labelled, no transaction is open, and the last claim ends where the topic does. A file
//! that an hour does not list came late.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::desk::{Desk, Stuck, millis};
use super::hour::Hour;
use super::layout::{DataName, EXPIRED, HOURS, POSTS, mark};
use super::protocol::FileState;

/// The shortest and the longest time between two tries.
const OFTEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Claims that are kept in memory.
const KEPT_CLAIMS: usize = 256;
/// Hours without any row are declared complete this far back at most.
const EMPTY_HOURS: i64 = 24 * 31;

/// `_state/hours/<hour>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompleteHour {
    /// `YYYY-MM-DDTHH`, UTC.
    pub(crate) hour: String,
    /// Rows of all files listed.
    pub(crate) rows: u64,
    /// By partition of the output topic.
    pub(crate) partitions: BTreeMap<i32, CompletePartition>,
    /// Files of topics of the same name that were there before this one.
    pub(crate) earlier_topics: Vec<String>,
    /// Id of the output topic.
    pub(crate) topic_id: String,
    /// The instance that declared it.
    pub(crate) by: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// What a complete hour holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompletePartition {
    /// Every row of the hour below this offset is visible.
    pub(crate) end: i64,
    /// Its files below the archive's URL.
    pub(crate) files: Vec<String>,
    /// Their rows.
    pub(crate) rows: u64,
}

/// The path of an hour's declaration.
pub(crate) fn path(hour: Hour) -> String {
    format!("{HOURS}/{hour}.json")
}

/// What is known of the hours that are to be declared.
pub(crate) struct Hours {
    grace: i64,
    interval: Duration,
    tried: Option<Instant>,
    /// Hours without a declaration; `None`: not looked yet.
    open: Option<BTreeSet<Hour>>,
    done: BTreeSet<Hour>,
    /// The last claim of each partition whose files were all seen.
    seen: BTreeMap<i32, Claim>,
    /// Claims that were read, by partition and start: they never change.
    claims: BTreeMap<(i32, i64), Claim>,
}

impl Hours {
    /// `grace` and `idle` are the settings.
    pub(crate) fn new(grace: Duration, idle: Duration) -> Self {
        Self {
            grace: millis(grace),
            interval: (idle / 2).clamp(OFTEN.0, OFTEN.1),
            tried: None,
            open: None,
            done: BTreeSet::new(),
            seen: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// Others may have written since.
    pub(crate) fn look_at_everything(&mut self) {
        self.open = None;
    }

    /// Rows of this hour were written.
    pub(crate) fn wrote(&mut self, hour: Hour) {
        if let Some(open) = &mut self.open {
            open.insert(hour);
        }
    }

    /// Declares what is complete, once in a while. `own` are the archiver's partitions;
    /// returns those that must be archived up to their end for an hour to be complete.
    pub(crate) fn tick(&mut self, desk: &Desk, own: &BTreeSet<i32>, now: i64) -> Result<Vec<i32>, String> {
        if self.tried.is_some_and(|tried| tried.elapsed() < self.interval) {
            return Ok(Vec::new());
        }
        self.tried = Some(Instant::now());
        match self.try_all(desk, own, now) {
            Ok(wanted) => Ok(wanted),
            Err(Stuck::Later(reason)) => {
                tracing::warn!("hours cannot be declared complete yet: {reason}");
                Ok(Vec::new())
            }
            Err(Stuck::Refused(reason)) => Err(reason),
        }
    }

    fn try_all(&mut self, desk: &Desk, own: &BTreeSet<i32>, now: i64) -> Result<Vec<i32>, Stuck> {
        if self.open.is_none() {
            self.look(desk)?;
        }
        let Some(open) = &mut self.open else { return Ok(Vec::new()) };
        // Hours of the clock are declared although they hold nothing: who waits for one must not wait for ever.
        let over = Hour::of(now - self.grace);
        let mut hour = desk.identity.first_hour().max(Hour::of(now - EMPTY_HOURS * 3_600_000));
        while hour < over {
            if !self.done.contains(&hour) {
                open.insert(hour);
            }
            hour = hour.next();
        }
        let due: Vec<Hour> = open.iter().copied().filter(|hour| hour.end() + self.grace <= now).collect();
        desk.metrics.archive.hours_open.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let partitions = self.partitions(desk)?;
        let mut quiet = Quiet::default();
        let mut wanted = BTreeSet::new();
        let mut failed = None;
        for hour in due {
            let mut passed = true;
            for (number, last) in &partitions {
                let watermark = last.as_ref().and_then(|claim| claim.watermark);
                let by_events = watermark.is_some_and(|watermark| watermark >= hour.end() + self.grace / 2);
                if by_events || quiet.holds(desk, *number, last.as_ref())? {
                    continue;
                }
                passed = false;
                if own.contains(number) && quiet.is_behind(*number) {
                    wanted.insert(*number);
                }
            }
            if passed {
                match self.declare(desk, hour, &partitions, now) {
                    // The others need not wait for it.
                    Err(Stuck::Later(reason)) => failed = Some(reason),
                    declared => declared?,
                }
            }
        }
        if let Some(reason) = failed {
            tracing::warn!("an hour cannot be declared complete yet: {reason}");
        }
        Ok(wanted.into_iter().collect())
    }

    /// What has rows and no declaration.
    fn look(&mut self, desk: &Desk) -> Result<(), Stuck> {
        let declared = desk.wait(desk.store.list(HOURS))?;
        self.done = declared.iter().filter_map(|found| hour_of(&found.path)).collect();
        let mut open = BTreeSet::new();
        for date in desk.wait(desk.store.folders(POSTS))? {
            for folder in desk.wait(desk.store.folders(&date))? {
                let hour = folder.strip_prefix(POSTS).and_then(|below| Hour::of_path(below.trim_start_matches('/')));
                open.extend(hour.filter(|hour| !self.done.contains(hour)));
            }
        }
        self.open = Some(open);
        Ok(())
    }

    /// The last claim of every partition that the topic has now. All files of each are there.
    fn partitions(&mut self, desk: &Desk) -> Result<BTreeMap<i32, Option<Claim>>, Stuck> {
        let mut partitions = BTreeMap::new();
        for number in 0..desk.topic.partitions()? {
            let place = desk.place(number);
            let known = self.seen.get(&number);
            let found = match known {
                Some(known) => desk.claim_after(&place, known.start)?,
                None => desk.last_claim(&place)?,
            };
            if let Some(claim) = found {
                for promise in &claim.files {
                    if desk.inspect(&place, &claim, promise)?.0 != FileState::Whole {
                        return Err(Stuck::Later(format!("{} is promised and not there yet", promise.path)));
                    }
                }
                self.seen.insert(number, claim);
            }
            partitions.insert(number, self.seen.get(&number).cloned());
        }
        Ok(partitions)
    }

    fn declare(&mut self, desk: &Desk, hour: Hour, last: &BTreeMap<i32, Option<Claim>>, now: i64) -> Result<(), Stuck> {
        let own = mark(&desk.topic.topic_id);
        let end = |claim: &Option<Claim>| claim.as_ref().map_or(0, |claim| claim.end);
        let mut partitions: BTreeMap<i32, CompletePartition> = last
            .iter()
            .map(|(number, claim)| (*number, CompletePartition { end: end(claim), files: Vec::new(), rows: 0 }))
            .collect();
        let mut earlier_topics = Vec::new();
        for found in desk.wait(desk.store.list(&format!("{POSTS}/{}", hour.folder())))? {
            let Some(name) = DataName::parse(&found.path) else { continue };
            if name.topic_mark != own {
                earlier_topics.push(found.path);
                continue;
            }
            let Some(partition) = partitions.get_mut(&name.partition).filter(|of| name.end <= of.end) else { continue };
            let claim = match self.claims.entry((name.partition, name.start)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(desk.read_claim(&desk.place(name.partition).claim(name.start))?),
            };
            let promised = claim.files.iter().find(|promise| promise.path == found.path);
            partition.rows += promised.map_or(0, |promise| promise.rows);
            partition.files.push(found.path);
        }
        for partition in partitions.values_mut() {
            partition.files.sort();
        }
        let rows = partitions.values().map(|partition| partition.rows).sum();
        let complete = CompleteHour {
            hour: hour.to_string(),
            rows,
            partitions,
            earlier_topics,
            topic_id: desk.topic.topic_id.clone(),
            by: desk.instance.clone(),
            at: now,
        };
        let json = serde_json::to_vec_pretty(&complete).map_err(|error| Stuck::Refused(error.to_string()))?;
        let created = desk.wait(desk.store.create(&path(hour), json.into()))?;
        if created == super::store::Created::New {
            desk.metrics.archive.hours_completed.inc();
            tracing::info!(%hour, rows, "the hour is complete");
        }
        self.done.insert(hour);
        if self.claims.len() > KEPT_CLAIMS {
            self.claims.clear();
        }
        if let Some(open) = &mut self.open {
            open.remove(&hour);
        }
        Ok(())
    }
}

/// The hour that a declaration, or a note of its removal, is of.
pub(crate) fn hour_of(path: &str) -> Option<Hour> {
    let name = path.strip_prefix(HOURS).or_else(|| path.strip_prefix(EXPIRED))?;
    name.trim_start_matches('/').strip_suffix(".json")?.parse().ok()
}

/// Whether nothing is under way, asked when it is needed and once for one look.
#[derive(Default)]
struct Quiet {
    inputs: Option<bool>,
    partitions: BTreeMap<i32, Rest>,
}

/// How one partition rests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It is archived up to its end.
    Archived,
    /// The last claim ends before it.
    Behind,
    /// A transaction is open.
    Open,
}

impl Quiet {
    fn holds(&mut self, desk: &Desk, number: i32, last: Option<&Claim>) -> Result<bool, Stuck> {
        // First the inputs: what was labelled by then is in the output topic by the time that is asked.
        let inputs = match self.inputs {
            Some(known) => known,
            None => desk.topic.inputs_are_labelled()?,
        };
        self.inputs = Some(inputs);
        if !inputs {
            return Ok(false);
        }
        let rest = if let Some(known) = self.partitions.get(&number) {
            *known
        } else {
            let held = desk.topic.held(number)?;
            let end = last.map_or(0, |claim| claim.end);
            if end < held.stable {
                Rest::Behind
            } else if desk.topic.is_settled(number, held)? {
                Rest::Archived
            } else {
                Rest::Open
            }
        };
        self.partitions.insert(number, rest);
        Ok(rest == Rest::Archived)
    }

    fn is_behind(&self, number: i32) -> bool {
        self.partitions.get(&number) == Some(&Rest::Behind)
    }
}
