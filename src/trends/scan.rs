//! Reads files with several threads, row group by row group.
//!
//! A thread takes the next row group of a file that is open, or else opens the next file. It holds one row group at a
//! time, so memory follows from the number of threads and not from the archive.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Handle;

use super::error::TrendsError;
use super::file::Opened;
use super::group;
use super::names::Names;
use super::query::Query;
use super::range::Range;
use super::source::{DataFile, Found, Source};
use super::tally::Tally;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// How many posts there are: mostly known from statistics.
    Posts,
    /// Scores and labels too.
    Everything,
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Bytes of the files that are done, of all columns.
    pub(crate) bytes: u64,
    /// Of all files.
    pub(crate) all_bytes: u64,
    pub(crate) rows: u64,
}

/// What a scan has read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadCounts {
    pub(super) files: u64,
    pub(super) row_groups: u64,
    pub(super) rows: u64,
}

/// The files to read, and for what.
pub(super) struct Scan<'a> {
    pub(super) source: &'a Source,
    pub(super) query: &'a Query,
    pub(super) range: &'a Range,
    pub(super) found: &'a Found,
    pub(super) runtime: &'a Handle,
    pub(super) threads: usize,
}

/// What was found.
pub(super) struct Scanned {
    pub(super) tally: Tally,
    pub(super) names: Names,
    pub(super) read: ReadCounts,
}

/// What threads share.
#[derive(Default)]
struct Queue {
    /// Row groups of open files.
    waiting: VecDeque<(Arc<Opened>, usize)>,
    next_file: usize,
    /// Threads that are opening a file.
    opening: usize,
    progress: Progress,
    read: ReadCounts,
    failed: Option<TrendsError>,
}

/// What a thread does next.
enum Task<'a> {
    Open(&'a DataFile),
    Count(Arc<Opened>, usize),
    End,
}

impl Scanned {
    /// Adds what was taken from elsewhere, and counts the posts of each model.
    pub(super) fn complete(&mut self, tally: Tally) {
        self.tally.merge(tally);
        for (key, cell) in &self.tally.cells {
            self.names.count(key.model, cell.labelled);
        }
    }
}

impl Scan<'_> {
    /// Reads everything. `names` are those met before.
    ///
    /// # Errors
    /// The first failure; all threads have ended then.
    pub(super) fn run(
        &self,
        counted: Counted,
        names: Names,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Scanned, TrendsError> {
        let names = Mutex::new(names);
        let all_bytes = self.found.files.iter().map(|file| file.size).sum();
        let queue = Queue { progress: Progress { all_bytes, ..Progress::default() }, ..Queue::default() };
        let shared = Shared { queue: Mutex::new(queue), changed: Condvar::new() };
        let threads = self.threads.clamp(1, self.found.files.len().max(1));
        let tallies = thread::scope(|scope| {
            let work = || self.work(&shared, &names, counted, progress);
            let start = |number: usize| thread::Builder::new().name(format!("scan-{number}")).spawn_scoped(scope, work);
            let started: io::Result<Vec<_>> = (0..threads).map(start).collect();
            match started {
                Ok(threads) => Ok(threads.into_iter().map(join).collect::<Vec<Tally>>()),
                Err(error) => {
                    shared.fail(TrendsError::Unwritten(format!("no thread can be started: {error}")));
                    Err(error)
                }
            }
        });
        let Queue { failed, read, .. } = shared.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = failed {
            return Err(failed);
        }
        let mut tally = Tally::default();
        tallies.unwrap_or_default().into_iter().for_each(|one| tally.merge(one));
        let names = names.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Scanned { tally, names, read })
    }

    /// One thread's work.
    fn work(
        &self,
        shared: &Shared,
        names: &Mutex<Names>,
        counted: Counted,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Tally {
        let mut tally = Tally::default();
        loop {
            let done = match shared.next(&self.found.files) {
                Task::End => return tally,
                Task::Open(file) => {
                    let scores = counted == Counted::Everything;
                    let open = Opened::open(self.source, self.query, self.range, file, names, scores);
                    shared.opened(file, sound(&file.path, || self.runtime.block_on(open)))
                }
                Task::Count(file, place) => {
                    let counted = sound(&file.path, || self.count(&file, place, &mut tally));
                    shared.counted(&file, place, counted)
                }
            };
            progress(done);
        }
    }

    fn count(&self, file: &Opened, place: usize, tally: &mut Tally) -> Result<(), TrendsError> {
        let group = &file.groups[place];
        let parts =
            if group.needs_pages() { Some(self.runtime.block_on(file.fetch(self.source, group))?) } else { None };
        for (key, cell) in group::count(file, group, parts)? {
            tally.add(key, &cell);
        }
        Ok(())
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn next<'a>(&self, files: &'a [DataFile]) -> Task<'a> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.failed.is_some() {
                return Task::End;
            }
            if let Some((file, place)) = queue.waiting.pop_front() {
                return Task::Count(file, place);
            }
            if let Some(file) = files.get(queue.next_file) {
                queue.next_file += 1;
                queue.opening += 1;
                return Task::Open(file);
            }
            if queue.opening == 0 {
                return Task::End;
            }
            // The last files may have many row groups.
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn opened(&self, file: &DataFile, opened: Result<Option<Opened>, TrendsError>) -> Progress {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.opening -= 1;
        queue.progress.bytes += file.size;
        match opened {
            Ok(Some(opened)) => {
                queue.read.files += 1;
                let opened = Arc::new(opened);
                queue.waiting.extend((0..opened.groups.len()).map(|place| (opened.clone(), place)));
            }
            Ok(None) => {}
            Err(error) => drop(queue.failed.get_or_insert(error)),
        }
        self.changed.notify_all();
        queue.progress
    }

    fn counted(&self, file: &Opened, place: usize, counted: Result<(), TrendsError>) -> Progress {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.read.row_groups += 1;
        queue.read.rows += file.groups[place].rows;
        queue.progress.rows += file.groups[place].rows;
        if let Err(error) = counted {
            queue.failed.get_or_insert(error);
            self.changed.notify_all();
        }
        queue.progress
    }

    fn fail(&self, error: TrendsError) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).failed.get_or_insert(error);
        self.changed.notify_all();
    }
}

/// A decoder that meets bytes it never thought of may panic; that is the file's fault, and the others wait for an end.
fn sound<T>(path: &str, work: impl FnOnce() -> Result<T, TrendsError>) -> Result<T, TrendsError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let reason = "it cannot be decoded, what the decoder said stands above".to_owned();
        Err(TrendsError::Damaged { path: path.to_owned(), reason })
    })
}

fn join(thread: thread::ScopedJoinHandle<'_, Tally>) -> Tally {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
