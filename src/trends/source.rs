//! Where an archive is, which files hold the time asked about, and which hours are complete.
//!
//! The root of an archive, its `posts/`, a tree of `compact` or of `label --out` are all the same to it: folders of
//! dates and hours. Only the first says which of its hours are complete.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::error::TrendsError;
use super::query::Query;
use super::range::Span;
use crate::archive::compact::SOURCE as COMPACTED;
use crate::archive::hour::Hour;
use crate::archive::layout::{EXPIRED, HOURS, IDENTITY, POSTS};
use crate::archive::{Store, StoreError, hours};
use crate::config::Properties;

const HOUR_MS: i64 = 3_600_000;
/// Folders of dates that are listed at the same time.
const LISTINGS: usize = 16;
/// Threads of a scan of a bucket, for each core: they wait for answers most of the time.
const BUCKET_THREADS: usize = 4;

/// An archive to read.
pub(crate) struct Source {
    pub(super) store: Store,
    /// Folder of the dates, below the store's URL.
    root: String,
    /// Whether there are declarations of complete hours.
    declares: bool,
    /// Whether a roll-up may lie beside the posts.
    has_state: bool,
    is_bucket: bool,
    /// Of the store.
    url: String,
    shown: String,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Below the store's URL.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) hour: Hour,
}

/// What there is of the time asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// In the order of their paths.
    pub(super) files: Vec<DataFile>,
    with_files: BTreeSet<Hour>,
    /// Hours that were declared complete and have not expired; none where nobody declares any.
    declared: Option<BTreeSet<Hour>>,
    /// Hours whose files `archive.retention` or `compact` has removed.
    expired: BTreeSet<Hour>,
}

impl Source {
    /// Finds the dates at a place. `named` is what the user named it by: `PATH` or `archive.url`.
    ///
    /// # Errors
    /// When there is no such place, or it holds no archive.
    pub(crate) async fn open(
        named: &str,
        url: &str,
        properties: &Properties,
        deadline: Duration,
    ) -> Result<Self, TrendsError> {
        let is_bucket = url.contains("://") && !url.starts_with("file://");
        let none = Properties::default();
        let properties = if is_bucket { properties } else { &none };
        // The folder of the posts lies in an archive, which knows more.
        let trimmed = url.trim_end_matches('/');
        let above =
            if trimmed == POSTS { Some(".") } else { trimmed.strip_suffix(POSTS).and_then(|it| it.strip_suffix('/')) };
        let named_places = |place: &&str| !place.is_empty() && !place.ends_with(":/");
        let candidates = [above, Some(trimmed)].into_iter().flatten().filter(named_places);
        let renamed = |error| match error {
            StoreError::Refused { key, reason } if key == "archive.url" => {
                TrendsError::Refused(format!("{named}: {reason}{}", advice(named)))
            }
            error => error.into(),
        };
        for candidate in candidates {
            let store = Store::open_to_read(candidate, properties, deadline).map_err(renamed)?;
            let has_dates = |folders: &[String]| folders.iter().any(|folder| date_of(folder).is_some());
            for root in [POSTS, ""] {
                if has_dates(&store.folders(root).await.map_err(renamed)?) {
                    let declares = root == POSTS && store.head(IDENTITY).await?.is_some();
                    let has_state = declares || (root == POSTS && store.head(COMPACTED).await?.is_some());
                    let (root, shown, url) = (root.to_owned(), url.to_owned(), candidate.to_owned());
                    return Ok(Self { store, root, declares, has_state, is_bucket, url, shown });
                }
            }
        }
        Err(TrendsError::Refused(format!(
            "{named}: {url} holds no posts yet: there is no folder posts/date=YYYY-MM-DD in it, nor date=YYYY-MM-DD{}",
            advice(named)
        )))
    }

    /// An archive without any state, in a store of a test.
    #[cfg(test)]
    pub(super) fn of(store: Store) -> Self {
        Self {
            store,
            root: POSTS.to_owned(),
            declares: false,
            has_state: true,
            is_bucket: true,
            url: String::new(),
            shown: "memory".to_owned(),
        }
    }

    /// As it was named; holds no secret, which a URL here must not.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether hours are declared complete there.
    pub(crate) fn declares(&self) -> bool {
        self.declares
    }

    /// Whether a roll-up may lie beside the posts.
    pub(super) fn has_state(&self) -> bool {
        self.has_state
    }

    /// # Errors
    /// When nothing may be kept beside the posts; `what` would have been.
    pub(super) fn keeps(&self, what: &str) -> Result<(), TrendsError> {
        if self.has_state {
            return Ok(());
        }
        Err(TrendsError::Refused(format!(
            "{} is neither an archive nor a tree of compact, and only those keep {what} beside their posts",
            self.shown
        )))
    }

    /// The same, but to be written to: a folder's files are written as the archive's are. `what` is kept there.
    ///
    /// # Errors
    /// When the store cannot be opened for that.
    pub(crate) fn into_written(
        mut self,
        what: &str,
        properties: &Properties,
        deadline: Duration,
    ) -> Result<Self, TrendsError> {
        self.keeps(what)?;
        let none = Properties::default();
        let properties = if self.is_bucket { properties } else { &none };
        self.store = Store::open(&self.url, properties, deadline)?;
        Ok(self)
    }

    /// Where its files are.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many threads read it.
    pub(super) fn threads(&self, query: &Query) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = query.threads.unwrap_or(cores).max(1);
        if self.is_bucket { threads * BUCKET_THREADS } else { threads }
    }

    /// The files of the time asked about.
    pub(super) async fn find(&self, query: &Query) -> Result<Found, TrendsError> {
        let (from, to) = (query.from.unwrap_or(i64::MIN), query.to.unwrap_or(i64::MAX));
        let dates = self.store.folders(&self.root).await?;
        let wanted = dates.into_iter().filter(|folder| date_of(folder).is_some_and(|date| overlaps(date, from, to)));
        let listings = stream::iter(wanted).map(|folder| async move { self.list(&folder).await });
        let mut files: Vec<DataFile> =
            listings.buffered(LISTINGS).try_collect::<Vec<_>>().await?.into_iter().flatten().collect();
        files.retain(|file| file.hour.start() < to && file.hour.end() > from);
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let with_files = files.iter().map(|file| file.hour).collect();
        let (mut declared, mut expired) = (None, BTreeSet::new());
        if self.declares {
            expired = self.noted(EXPIRED, from).await?;
            declared = Some(&self.noted(HOURS, from).await? - &expired);
        }
        Ok(Found { files, with_files, declared, expired })
    }

    /// The files of the latest date.
    pub(super) async fn latest(&self) -> Result<Vec<DataFile>, TrendsError> {
        let dates = self.store.folders(&self.root).await?;
        match dates.into_iter().rfind(|folder| date_of(folder).is_some()) {
            Some(latest) => self.list(&latest).await,
            None => Ok(Vec::new()),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<DataFile>, TrendsError> {
        let mut files = Vec::new();
        for found in self.store.list(folder).await?.into_iter().filter(|found| found.path.ends_with(".parquet")) {
            let below = found.path.strip_prefix(&self.root).unwrap_or_default().trim_start_matches('/');
            let Some(hour) = Hour::of_path(below).filter(|_| below.split('/').count() == 3) else {
                return Err(TrendsError::Refused(format!(
                    "{} lies in no hour's folder, date=YYYY-MM-DD/hour=HH, and is no file of an archive; move it elsewhere",
                    found.path
                )));
            };
            files.push(DataFile { path: found.path, size: found.size, hour });
        }
        Ok(files)
    }

    /// The hours that there is a note of in a folder.
    async fn noted(&self, folder: &str, from: i64) -> Result<BTreeSet<Hour>, StoreError> {
        // The notes' names are in the order of time.
        let before = Hour::of(from.max(HOUR_MS) - HOUR_MS);
        let found = self.store.list_after(folder, &format!("{folder}/{before}.json")).await?;
        Ok(found.iter().filter_map(|found| hours::hour_of(&found.path)).collect())
    }
}

fn advice(named: &str) -> &'static str {
    if named == "PATH" { "" } else { "; name the archive, as in moodstream trends PATH, or set archive.url" }
}

/// The date of a folder `date=YYYY-MM-DD`.
fn date_of(folder: &str) -> Option<Date> {
    folder.rsplit('/').next()?.strip_prefix("date=")?.parse().ok()
}

/// Whether any of a date, in UTC, lies between two instants.
fn overlaps(date: Date, from: i64, to: i64) -> bool {
    let start = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).map_or(0, |start| start.timestamp().as_millisecond());
    start < to && start + 24 * HOUR_MS > from
}

impl Found {
    /// The first hour that has a file.
    pub(super) fn first(&self) -> Option<Hour> {
        self.with_files.first().copied()
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<Hour> {
        self.with_files.last().copied()
    }

    /// Hours that have files.
    pub(super) fn hours(&self) -> impl Iterator<Item = Hour> {
        self.with_files.iter().copied()
    }

    /// The same without the files of these hours.
    pub(super) fn without(&self, hours: &BTreeSet<Hour>) -> Self {
        self.retain(|hour| !hours.contains(&hour))
    }

    /// The same with no files but those of these hours.
    pub(super) fn only(&self, hours: &BTreeSet<Hour>) -> Self {
        let mut part = self.retain(|hour| hours.contains(&hour));
        part.with_files.retain(|hour| hours.contains(hour));
        part
    }

    fn retain(&self, keep: impl Fn(Hour) -> bool) -> Self {
        let files = self.files.iter().filter(|file| keep(file.hour)).cloned().collect();
        Self { files, ..self.clone() }
    }

    /// Marks of models, as files' names end in them; files of `label` have none.
    pub(super) fn marks(&self) -> BTreeSet<&str> {
        self.files.iter().filter_map(|file| mark_of(&file.path)).collect()
    }

    /// Whether every row of a time is there; none where nobody knows.
    ///
    /// An hour that was never declared is complete only if it holds nothing and a later one is: the time before an
    /// archive began, mostly.
    pub(super) fn is_complete(&self, span: Span, now: i64) -> Option<bool> {
        let declared = self.declared.as_ref()?;
        let frontier = declared.last().map_or(i64::MIN, |last| last.end());
        let whole = |hour: Hour| {
            let nothing_was = !self.with_files.contains(&hour) && !self.expired.contains(&hour);
            declared.contains(&hour) || (nothing_was && hour.end() <= frontier.min(now))
        };
        if span.end > frontier || span.end > now {
            return Some(false);
        }
        let mut hour = Hour::of(span.start);
        while hour.start() < span.end {
            if !whole(hour) {
                return Some(false);
            }
            hour = hour.next();
        }
        Some(true)
    }
}

/// The mark of its model in the name of a file of an archive, or of a compaction.
fn mark_of(path: &str) -> Option<&str> {
    let (_, mark) = path.strip_suffix(".parquet")?.rsplit_once('-')?;
    (mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: i64) -> Hour {
        Hour::of(number * HOUR_MS)
    }

    fn span(from: i64, to: i64) -> Span {
        Span { start: from * HOUR_MS, end: to * HOUR_MS }
    }

    #[test]
    fn dates_outside_the_time_asked_about_are_not_listed() {
        let date: Date = "2025-10-09".parse().expect("a date");
        let start = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).expect("in range").timestamp().as_millisecond();
        let day = 24 * HOUR_MS;
        for (from, to, expected) in [
            (start, start + 1, true),
            (start - 1, start, false),
            (start + day, start + 2 * day, false),
            (start + day - 1, start + 2 * day, true),
            (i64::MIN, i64::MAX, true),
        ] {
            assert_eq!(overlaps(date, from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn an_hour_is_complete_when_declared_or_when_it_is_empty_and_past() {
        // 10 to 12 are declared; 8, before them, is empty, 9 has an undeclared file.
        let declared = Some([hour(10), hour(11), hour(12)].into());
        let with_files = [hour(9), hour(10), hour(11), hour(13)].into();
        let found = Found { files: Vec::new(), with_files, declared, expired: [hour(7)].into() };
        let complete = |from, to| found.is_complete(span(from, to), 14 * HOUR_MS);
        assert_eq!(complete(10, 13), Some(true));
        assert_eq!(complete(8, 9), Some(true));
        assert_eq!(complete(9, 10), Some(false));
        assert_eq!(complete(7, 8), Some(false), "its files have expired");
        assert_eq!(complete(8, 13), Some(false));
        assert_eq!(complete(12, 14), Some(false), "13 is not declared");
        assert_eq!(complete(14, 15), Some(false), "the current hour");
        assert_eq!(Found::default().is_complete(span(1, 2), 0), None);
    }

    #[test]
    fn names_of_archives_and_compactions_tell_the_model() {
        assert_eq!(
            mark_of("posts/date=2025-10-09/hour=08/posts.emotions-1f9c0b7e-3-1-2-78df8f1e.parquet"),
            Some("78df8f1e")
        );
        assert_eq!(mark_of("posts/date=2025-10-09/hour=08/compact-000001-001-78df8f1e.parquet"), Some("78df8f1e"));
        assert_eq!(mark_of("posts/date=2025-10-09/hour=08/part-0.parquet"), None);
    }
}
