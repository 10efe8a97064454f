//! `moodstream archive verify`: holds claims, files and topic against each other, and mends what can be mended.
//!
//! Claims must form one chain from offset 0; every promised file must be there and be what was promised; every file
//! under `posts/` must be promised; the group must not be ahead of the claims.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::claim::{Claim, Promise};
use super::desk::{Desk, Stuck};
use super::hours;
use super::layout::{CLAIMS, EXPIRED, POSTS, Place};
use super::partition::Partition;
use super::protocol::FileState;
use crate::kafka::Hint;

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What kind of fault it is.
    pub(crate) kind: Kind,
    /// Of what.
    pub(crate) about: String,
    /// Whether it was mended.
    pub(crate) mended: bool,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A promised file is not there.
    Missing,
    /// A promised file is not what was promised.
    Torn,
    /// A file that no claim promises, of offsets that are claimed: readers see its rows twice.
    Doubled,
    /// A file that no claim promises.
    Foreign,
    /// A chain of claims has a gap or an overlap.
    Chain,
    /// The group has noted more than the claims hold.
    Ahead,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Torn => "torn",
            Self::Doubled => "doubled",
            Self::Foreign => "foreign",
            Self::Chain => "broken chain",
            Self::Ahead => "ahead",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mended = if self.mended { " (mended)" } else { "" };
        write!(f, "{:<12} {}{mended}", self.kind.as_str(), self.about)
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) partitions: u64,
    pub(crate) claims: u64,
    pub(crate) holes: u64,
    pub(crate) files: u64,
    pub(crate) rows: u64,
    pub(crate) expired: u64,
    pub(crate) complete_hours: u64,
    /// Records of the topic behind the last claims.
    pub(crate) to_archive: i64,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, kind: Kind, about: impl Into<String>, mended: bool) {
        self.findings.push(Finding { kind, about: about.into(), mended });
    }

    /// Whether nothing is wrong that was not mended.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.mended)
    }
}

/// Looks at the whole archive; with `repair` it removes what nobody promised, makes what is missing as far as the
/// topic still holds its records, and sets the group back to the claims. `progress` is told of each file.
pub(crate) fn verify(desk: &Desk, repair: bool, mut progress: impl FnMut(u64)) -> Result<Report, Stuck> {
    let mut report = Report::default();
    let mut promised: BTreeSet<String> = BTreeSet::new();
    let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
    let expired: BTreeSet<_> =
        desk.wait(desk.store.list(EXPIRED))?.iter().filter_map(|found| hours::hour_of(&found.path)).collect();
    report.complete_hours = desk.wait(desk.store.list(super::layout::HOURS))?.len() as u64;
    for folder in desk.wait(desk.store.folders(CLAIMS))? {
        for partition in desk.wait(desk.store.folders(&folder))? {
            let Some((topic_id, number)) = split(&partition) else { continue };
            let place = Place { topic: desk.topic.topic.clone(), topic_id, partition: number };
            report.partitions += 1;
            let claims = chain(desk, &place, &mut report)?;
            ends.insert((place.topic_id.clone(), number), claims.last().map_or(0, |claim| claim.end));
            for claim in &claims {
                for promise in &claim.files {
                    let below = promise.path.strip_prefix(POSTS).unwrap_or_default().trim_start_matches('/');
                    let gone = super::hour::Hour::of_path(below).is_some_and(|hour| expired.contains(&hour));
                    promised.insert(promise.path.clone());
                    look(desk, &place, claim, promise, gone, repair, &mut report)?;
                    progress(report.files);
                }
            }
        }
    }
    for found in desk.wait(desk.store.list(POSTS))? {
        if promised.contains(&found.path) {
            continue;
        }
        let name = super::layout::DataName::parse(&found.path);
        let claimed = name.is_some_and(|name| {
            let of = ends
                .iter()
                .find(|((id, number), _)| super::layout::mark(id) == name.topic_mark && *number == name.partition);
            of.is_some_and(|(_, end)| name.start < *end)
        });
        if repair {
            desk.wait(desk.store.delete(&found.path))?;
        }
        report.find(if claimed { Kind::Doubled } else { Kind::Foreign }, found.path, repair);
    }
    compare_group(desk, &ends, repair, &mut report)?;
    report.findings.sort_by(|one, other| (one.kind, &one.about).cmp(&(other.kind, &other.about)));
    Ok(report)
}

/// `_state/claims/<topic id>/<partition>`.
fn split(path: &str) -> Option<(String, i32)> {
    let (rest, partition) = path.rsplit_once('/')?;
    let (_, topic_id) = rest.rsplit_once('/')?;
    Some((topic_id.to_owned(), partition.parse().ok()?))
}

fn chain(desk: &Desk, place: &Place, report: &mut Report) -> Result<Vec<Claim>, Stuck> {
    let mut claims = Vec::new();
    let mut position = 0;
    for found in desk.wait(desk.store.list(&place.claims()))? {
        let claim = desk.read_claim(&found.path)?;
        if claim.start != position || claim.end <= claim.start {
            report.find(
                Kind::Chain,
                format!(
                    "{}: begins at {} and ends at {}, after a claim that ends at {position}",
                    found.path, claim.start, claim.end
                ),
                false,
            );
        }
        position = claim.end;
        report.claims += 1;
        report.holes += u64::from(claim.hole.is_some());
        claims.push(claim);
    }
    Ok(claims)
}

fn look(
    desk: &Desk,
    place: &Place,
    claim: &Claim,
    promise: &Promise,
    gone: bool,
    repair: bool,
    report: &mut Report,
) -> Result<(), Stuck> {
    let (found, _) = desk.inspect(place, claim, promise)?;
    let kind = match found {
        FileState::Whole => {
            report.files += 1;
            report.rows += promise.rows;
            return Ok(());
        }
        FileState::Missing if gone => {
            report.expired += 1;
            return Ok(());
        }
        FileState::Missing => Kind::Missing,
        FileState::Torn => Kind::Torn,
    };
    let mended = repair && place.topic_id == desk.topic.topic_id;
    if mended {
        Partition::mend(desk, place, claim)?;
    }
    report.find(
        kind,
        format!("{} ({} rows, offsets {} to {})", promise.path, promise.rows, claim.start, claim.end),
        mended,
    );
    Ok(())
}

fn compare_group(
    desk: &Desk,
    ends: &BTreeMap<(String, i32), i64>,
    repair: bool,
    report: &mut Report,
) -> Result<(), Stuck> {
    let partitions: Vec<i32> = (0..desk.topic.partitions()?).collect();
    let hints = desk.topic.hints(&partitions)?;
    for number in partitions {
        let end = ends.get(&(desk.topic.topic_id.clone(), number)).copied().unwrap_or(0);
        report.to_archive += (desk.topic.held(number)?.stable - end).max(0);
        let Some(Hint { offset, archive }) = hints.get(&number) else { continue };
        let other = !archive.is_empty() && *archive != desk.identity.id;
        if !other && *offset <= end {
            continue;
        }
        if repair {
            desk.topic.note(number, &Hint { offset: end, archive: desk.identity.id.clone() })?;
        }
        let whose = if other { format!("archive {archive}") } else { "this archive".to_owned() };
        report.find(
            Kind::Ahead,
            format!(
                "{}/{number}: the group has noted offset {offset} of {whose}, the claims end at {end}",
                desk.topic.topic
            ),
            repair,
        );
    }
    Ok(())
}
