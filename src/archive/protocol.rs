//! What an archiver does with one partition next, as a state machine without any I/O.
//!
//! ```text
//! look for the last claim ─► inspect its files ─► make those that are missing ─► commit ─► gather ─► claim ─┐
//!        ▲      ▲                                    (rows read back from the topic)                        │
//!        │      └── taken, or nobody knows: start over ◄────────────────────────────────────────────────────┤
//!        └───────── too long since the claim was read ◄── files of the own claim ◄──────────────────────────┘
//! ```
//!
//! The driver does what [`Chain::next`] says and tells what came of it; a crash is a new machine. It keeps I6:
//! only the files of a claim are ever made, by whoever finds it, and there is no new claim before they all exist.

use super::claim::Claim;

/// Milliseconds on a clock that never goes back.
pub(crate) type Millis = i64;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Find the last claim of the chain.
    FindLast,
    /// Look whether a promised file is there and whole.
    Inspect(usize),
    /// Read the claim's range from the topic again.
    ReadBack,
    /// Put a promised file where none is.
    Create(usize),
    /// Replace a torn file.
    Replace(usize),
    /// Tell the group that all before this offset is archived.
    Commit(i64),
    /// Gather records from this offset on, and [`Chain::propose`] a claim once a segment closes.
    Gather(i64),
    /// Put the claim where none is.
    Claim,
}

/// A promised file as it lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileState {
    /// It is what was promised.
    Whole,
    /// It is not there.
    Missing,
    /// Something is there that cannot be read as what was promised.
    Torn,
}

/// What came of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there now, by this put.
    Done,
    /// Something was there already.
    Exists,
    /// Nobody knows.
    Unknown,
}

/// The rules that a test can switch off, to see that it would notice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// No new claim before every file of the one before exists.
    pub(crate) finish_last: bool,
    /// A writer starts over when it read the claim longer ago than this.
    pub(crate) deadline: Millis,
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing is known but what this archiver had in hand.
    Lost(Option<Kept>),
    /// The claim's files are made.
    Finish(Work),
    /// All files exist.
    Commit(Claim),
    /// Records are gathered.
    Gather { from: i64, watermark: Option<i64> },
    /// A claim is to be put.
    Claim(Claim),
}

/// What is left of the work on a claim when the chain must be read again: it counts if that claim is still the last
/// one, because none of its files can have been removed then.
#[derive(Debug, Clone)]
struct Kept {
    claim: Claim,
    /// Whether its rows are at hand.
    rows: bool,
    /// All files before this one are there.
    file: usize,
}

/// A claim whose files are made.
#[derive(Debug, Clone)]
struct Work {
    claim: Claim,
    /// Before this the claim was not there, or was read.
    read_at: Millis,
    /// Whether its rows are at hand.
    rows: bool,
    /// Whether it is this archiver's own, just put: then nobody has made any of its files before `read_at`.
    fresh: bool,
    /// The file that is worked on.
    file: usize,
    step: Step,
}

/// What is to be done with a promised file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Inspect,
    Create,
    Replace,
}

/// One archiver's view of one partition's chain of claims.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    rules: Rules,
    state: State,
}

impl Chain {
    /// Of a partition that was just assigned: nothing is known.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, state: State::Lost(None) }
    }

    /// What to do next.
    pub(crate) fn next(&mut self, now: Millis) -> Action {
        if let State::Finish(work) = &self.state
            && now - work.read_at > self.rules.deadline
        {
            // Retention may have removed files meanwhile, and others may have gone on.
            self.start_over();
        }
        match &self.state {
            State::Lost(_) => Action::FindLast,
            State::Finish(Work { step: Step::Inspect, file, .. }) => Action::Inspect(*file),
            State::Finish(Work { rows: false, .. }) => Action::ReadBack,
            State::Finish(Work { step: Step::Create, file, .. }) => Action::Create(*file),
            State::Finish(Work { step: Step::Replace, file, .. }) => Action::Replace(*file),
            State::Commit(claim) => Action::Commit(claim.end),
            State::Gather { from, .. } => Action::Gather(*from),
            State::Claim(_) => Action::Claim,
        }
    }

    /// The claim that is put or whose files are made now.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match &self.state {
            State::Finish(Work { claim, .. }) | State::Commit(claim) | State::Claim(claim) => Some(claim),
            State::Lost(_) | State::Gather { .. } => None,
        }
    }

    /// How far event time has come, while records are gathered.
    pub(crate) fn watermark(&self) -> Option<i64> {
        match &self.state {
            State::Gather { watermark, .. } => *watermark,
            _ => None,
        }
    }

    /// Whether the rows that this archiver proposed last, or read back, may still be wanted.
    pub(crate) fn wants_rows(&self) -> bool {
        match &self.state {
            State::Lost(kept) => kept.as_ref().is_some_and(|kept| kept.rows),
            State::Finish(work) => work.rows,
            State::Claim(_) => true,
            State::Commit(_) | State::Gather { .. } => false,
        }
    }

    /// A segment has closed: this is what it is to become. A claim begins at the end of the one before and advances;
    /// any other would tear the chain, and the chain is read again instead.
    pub(crate) fn propose(&mut self, claim: Claim) {
        let State::Gather { from, .. } = self.state else { return };
        if claim.start == from && claim.end > from {
            self.state = State::Claim(claim);
        } else {
            self.start_over();
        }
    }

    /// After [`Action::FindLast`]; `read_at` is a time before the chain was read.
    pub(crate) fn found(&mut self, last: Option<Claim>, read_at: Millis) {
        let State::Lost(kept) = &self.state else { return };
        self.state = match last {
            None => State::Gather { from: 0, watermark: None },
            Some(claim) if !self.rules.finish_last => State::Gather { from: claim.end, watermark: claim.watermark },
            Some(claim) => {
                // The same range becomes the same rows, whoever claimed it.
                let kept = kept.as_ref().filter(|kept| kept.claim.promises_the_same(&claim));
                let (rows, file) = kept.map_or((false, 0), |kept| (kept.rows, kept.file));
                begin(Work { claim, read_at, rows, fresh: false, file, step: Step::Inspect })
            }
        };
    }

    /// The driver could not look, or what it found cannot be gone on from: look again.
    pub(crate) fn start_over(&mut self) {
        let kept = match std::mem::replace(&mut self.state, State::Lost(None)) {
            State::Lost(kept) => kept,
            State::Claim(claim) => Some(Kept { claim, rows: true, file: 0 }),
            State::Finish(Work { claim, rows, file, .. }) => Some(Kept { claim, rows, file }),
            State::Commit(_) | State::Gather { .. } => None,
        };
        self.state = State::Lost(kept);
    }

    /// After [`Action::Inspect`].
    pub(crate) fn inspected(&mut self, found: FileState) {
        let State::Finish(work) = &mut self.state else { return };
        match found {
            FileState::Whole => self.next_file(),
            FileState::Missing => work.step = Step::Create,
            FileState::Torn => work.step = Step::Replace,
        }
    }

    /// After [`Action::ReadBack`]: the rows are at hand.
    pub(crate) fn read_back(&mut self) {
        if let State::Finish(work) = &mut self.state {
            work.rows = true;
        }
    }

    /// After [`Action::Create`] and [`Action::Replace`].
    pub(crate) fn put_file(&mut self, result: Put) {
        let State::Finish(work) = &mut self.state else { return };
        match result {
            Put::Done => self.next_file(),
            // Another archiver's, or our own after a lost reply: look whether it is whole.
            Put::Exists | Put::Unknown => work.step = Step::Inspect,
        }
    }

    /// After [`Action::Claim`]; `read_at` is a time before the put.
    pub(crate) fn claimed(&mut self, result: Put, read_at: Millis) {
        let State::Claim(claim) = self.state.clone() else { return };
        self.state = match result {
            Put::Done => begin(Work { claim, read_at, rows: true, fresh: true, file: 0, step: Step::Create }),
            Put::Exists | Put::Unknown => State::Lost(Some(Kept { claim, rows: true, file: 0 })),
        };
    }

    /// After [`Action::Commit`], whatever came of it: the claims are the position, the group's offset is a hint.
    pub(crate) fn committed(&mut self) {
        if let State::Commit(claim) = &self.state {
            self.state = State::Gather { from: claim.end, watermark: claim.watermark };
        }
    }

    fn next_file(&mut self) {
        let State::Finish(work) = &self.state else { return };
        // What was found is looked at first: a put that comes late must not bring back what retention has removed.
        let step = if work.fresh { Step::Create } else { Step::Inspect };
        self.state = begin(Work { file: work.file + 1, step, ..work.clone() });
    }
}

fn begin(work: Work) -> State {
    if work.file == work.claim.files.len() { State::Commit(work.claim) } else { State::Finish(work) }
}

impl Claim {
    /// Whether both become the same files of the same rows.
    fn promises_the_same(&self, other: &Self) -> bool {
        (self.start, self.end, &self.files, &self.rules) == (other.start, other.end, &other.files, &other.rules)
    }
}
