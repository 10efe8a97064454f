//! Session threads, shared by all lanes.
//!
//! A lane hands over a whole batch of micro-batches and waits; threads take them in turn, so
//! a topic with one partition uses every core, and a lane that came first is done first. Owns
//! its threads: dropping the pool ends and joins them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::bisect::{Model, Room, Settled, settle};
use super::error::ModelError;
use super::golden::Canary;
use super::micro_batch::MicroBatch;
use super::session::{RunError, Runner, SessionFactory};
use super::{Answer, ClassifierDown, TokenIds};

/// M threads with one session each.
pub(super) struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    room: Room,
}

/// What became of a batch.
pub(super) struct Ran {
    /// Scores, or why there are none, in the order of the sequences.
    pub(super) results: Vec<Answer>,
    /// First hand-over to first start.
    pub(super) queue: Duration,
    /// First start to last end.
    pub(super) infer: Duration,
    /// Sum of the sessions' time.
    pub(super) busy: Duration,
    /// Tokens run, with padding.
    pub(super) padded_tokens: usize,
    /// Runs of a session.
    pub(super) runs: usize,
    /// Those that failed for lack of memory.
    pub(super) out_of_memory: usize,
}

/// A batch, as its micro-batches share it.
struct Batch {
    sequences: Vec<TokenIds>,
    /// Its lane has given it up.
    abandoned: AtomicBool,
}

struct Job {
    batch: Arc<Batch>,
    indices: Vec<usize>,
    done: Sender<Done>,
}

struct Done {
    settled: Result<Settled, String>,
    started: Instant,
    ended: Instant,
}

/// A session and a golden text to tell whose fault a failure is.
struct Seat {
    runner: Runner,
    canary: Canary,
}

impl Model for Seat {
    fn run(&mut self, sequences: &[&[u32]], longest: usize) -> Result<Vec<f32>, RunError> {
        self.runner.run(sequences, longest)
    }

    fn canary(&mut self) -> Result<(), String> {
        self.canary.run(|sequences, longest| self.runner.run(sequences, longest))
    }
}

impl Pool {
    /// Starts a thread per session; each has run a golden text when this returns.
    ///
    /// # Errors
    /// When a session gives the golden text other scores or a thread cannot be started.
    pub(super) fn start(runners: Vec<Runner>, canary: &Canary, factory: &SessionFactory) -> Result<Self, ModelError> {
        // Unbounded, but what is in it is not: each lane hands over one batch and waits (I8).
        let (jobs, queue) = unbounded();
        let (ready, started) = unbounded();
        let mut pool = Self { jobs: Some(jobs), threads: Vec::new(), room: Room::new() };
        for (number, runner) in runners.into_iter().enumerate() {
            let (queue, ready) = (queue.clone(), ready.clone());
            let mut seat = Seat { runner, canary: canary.clone() };
            let room = pool.room.clone();
            let work = move || {
                let warm = seat.canary();
                let right = warm.is_ok();
                let _ = ready.send(warm);
                drop(ready);
                if right {
                    seat.serve(&queue, &room);
                }
            };
            let thread = thread::Builder::new().name(format!("session-{number}")).spawn(work);
            let thread = thread.map_err(|error| factory.failed(format!("starting a thread: {error}")))?;
            pool.threads.push(thread);
        }
        drop(ready);
        for _ in &pool.threads {
            let warm = started.recv().map_err(|_| "a session's thread ended before it was ready".to_owned());
            warm.flatten().map_err(|reason| factory.failed(format!("golden text 1: {reason}")))?;
        }
        Ok(pool)
    }

    /// Number of sessions.
    pub(super) fn sessions(&self) -> usize {
        self.threads.len()
    }

    /// The most padded tokens that fit the device's memory, as far as is known.
    pub(super) fn room(&self) -> usize {
        self.room.tokens()
    }

    /// Runs a batch, cut into micro-batches, and waits for it.
    ///
    /// # Errors
    /// When the model is down: nothing can be said of any sequence.
    pub(super) fn run(&self, sequences: Vec<TokenIds>, cut: Vec<MicroBatch>) -> Result<Ran, ClassifierDown> {
        let down = |reason: &str| ClassifierDown { reason: reason.to_owned() };
        let count = sequences.len();
        let parts = cut.len();
        let batch = Arc::new(Batch { sequences, abandoned: AtomicBool::new(false) });
        let (done, answers) = bounded(parts);
        let handed = Instant::now();
        let jobs = self.jobs.as_ref().ok_or_else(|| down("the pool has ended"))?;
        for part in cut {
            let job = Job { batch: Arc::clone(&batch), indices: part.indices, done: done.clone() };
            jobs.send(job).map_err(|_| down("every session has ended"))?;
        }
        drop(done);

        let mut results: Vec<Option<Answer>> = vec![None; count];
        let mut span: Option<(Instant, Instant)> = None;
        let (mut busy, mut padded_tokens, mut runs, mut out_of_memory) = (Duration::ZERO, 0, 0, 0);
        for _ in 0..parts {
            let answer = answers.recv().map_err(|_| down("a session has ended"))?;
            let settled = answer.settled.map_err(|reason| {
                batch.abandoned.store(true, Ordering::Relaxed);
                ClassifierDown { reason }
            })?;
            let (start, end) = span.unwrap_or((answer.started, answer.ended));
            span = Some((start.min(answer.started), end.max(answer.ended)));
            busy += answer.ended - answer.started;
            padded_tokens += settled.padded_tokens;
            runs += settled.runs;
            out_of_memory += settled.out_of_memory;
            for (index, scores) in settled.scored {
                results[index] = Some(Ok(scores));
            }
            for (index, reason) in settled.failed {
                results[index] = Some(Err(reason));
            }
        }
        let results: Option<Vec<_>> = results.into_iter().collect();
        let (start, end) = span.unwrap_or((handed, handed));
        Ok(Ran {
            results: results.ok_or_else(|| down("a session left a text without an answer"))?,
            queue: start - handed,
            infer: end - start,
            busy,
            padded_tokens,
            runs,
            out_of_memory,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has told its lane by hanging up.
            let _ = thread.join();
        }
    }
}

impl Seat {
    /// Works until the pool is dropped.
    fn serve(&mut self, queue: &Receiver<Job>, room: &Room) {
        let labels = self.runner.labels();
        for Job { batch, indices, done } in queue {
            if batch.abandoned.load(Ordering::Relaxed) {
                continue;
            }
            let started = Instant::now();
            // A panic must not take a session away from every batch to come.
            let settled = catch_unwind(AssertUnwindSafe(|| settle(self, labels, &batch.sequences, indices, room)));
            let settled = settled.unwrap_or_else(|_| Err("the session panicked".to_owned()));
            // The lane is gone if it gave the batch up.
            let _ = done.send(Done { settled, started, ended: Instant::now() });
        }
    }
}
