//! Who labels what: threads take batches of lines in turn, and their results come back in the order of the lines.
//!
//! Taking a batch and queueing for its place in the output are one step under one lock, so order needs no numbers
//! and no sorting, and no thread can run ahead of the slowest by more than the queue holds (I8).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, never, select};

use super::LabelError;
use super::lines::Block;
use super::work::Done;
use crate::config;

/// Lines of the first batch. Sizes double from there, so that the sessions have work while the threads tokenize.
const FIRST: usize = 256;

/// Longest wait for a batch to fill while lines trickle in.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the reader has to say.
pub(super) type Read = Result<Block, LabelError>;

/// What became of a batch, or why nothing did.
pub(super) type Answer = Result<Done, LabelError>;

/// Neighbouring lines, and where their result belongs.
pub(super) struct Batch {
    pub(super) blocks: Vec<Block>,
    pub(super) answer: Sender<Answer>,
}

/// The line at which threads wait for their turn.
pub(super) struct Turns(Mutex<Turn>);

struct Turn {
    read: Receiver<Read>,
    /// Hangs up when nobody waits for results any more.
    over: Receiver<()>,
    order: Sender<Receiver<Answer>>,
    max_lines: usize,
    max_bytes: usize,
    linger: Duration,
    limit: usize,
    /// Found behind the batch before.
    failed: Option<LabelError>,
}

impl Turns {
    /// Takes what `read` brings until `over` hangs up; `order` gets a place for the result of each batch.
    pub(super) fn new(
        read: Receiver<Read>,
        over: Receiver<()>,
        order: Sender<Receiver<Answer>>,
        config: &config::Batch,
    ) -> Self {
        let max_lines = config.max_posts.get();
        Self(Mutex::new(Turn {
            read,
            over,
            order,
            max_lines,
            max_bytes: config.max_bytes.0,
            linger: config.linger.0,
            limit: FIRST.min(max_lines),
            failed: None,
        }))
    }

    /// The next batch; none when there is nothing more, or nobody waits for results any more.
    pub(super) fn take(&self) -> Option<Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Turn {
    fn take(&mut self) -> Option<Batch> {
        let gathered = match self.failed.take() {
            Some(error) => Err(error),
            None => self.gather()?,
        };
        let (answer, place) = bounded(1);
        self.order.send(place).ok()?;
        match gathered {
            Ok(blocks) => Some(Batch { blocks, answer }),
            Err(error) => {
                // Nobody is left to be told only if everything is over.
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    /// Blocks until the batch is full, or nothing has come for as long as a batch lingers.
    fn gather(&mut self) -> Option<Result<Vec<Block>, LabelError>> {
        let first = match self.next(None).ok()? {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        let closes = Instant::now() + PATIENCE;
        let (mut lines, mut bytes) = (first.count(), first.size());
        let mut blocks = vec![first];
        while lines < self.limit && bytes < self.max_bytes {
            match self.next(Some(self.linger.min(closes.saturating_duration_since(Instant::now())))) {
                Ok(Ok(block)) => {
                    lines += block.count();
                    bytes += block.size();
                    blocks.push(block);
                }
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Err(_) => break,
            }
        }
        self.limit = (self.limit * 2).min(self.max_lines);
        Some(Ok(blocks))
    }

    fn next(&self, wait: Option<Duration>) -> Result<Read, RecvTimeoutError> {
        let late = wait.map_or_else(never, after);
        select! {
            recv(self.read) -> read => read.map_err(|_| RecvTimeoutError::Disconnected),
            recv(self.over) -> _ => Err(RecvTimeoutError::Disconnected),
            recv(late) -> _ => Err(RecvTimeoutError::Timeout),
        }
    }
}
