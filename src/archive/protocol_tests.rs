//! The protocol under random interleavings: two archivers of one partition, crashes, stalls, lost and late replies,
//! torn files, retention of the topic and of the archive. After every step no row is visible twice or has vanished;
//! at the end none is missing. With a rule switched off the same search must find a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, Hole, Promise, RULES_VERSION, RowRules};
use super::protocol::{Action, Chain, FileState, Millis, Put, Rules};
use crate::config::Exposure;

const DEADLINE: Millis = 20;
const RECORDS: i64 = 40;
const HOURS: i64 = 4;

/// What a search may switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    Nothing,
    /// The store overwrites.
    PutIfAbsent,
    /// The group's offset is the position, and names alone keep files apart.
    Claims,
    FinishLast,
    Deadline,
    /// Retention spares the last claim's files only, and not those of a claim that was the last one recently.
    Followed,
}

/// A small generator of random numbers (splitmix64): a seed names a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Debug, Clone)]
struct File {
    rows: Vec<i64>,
    torn: bool,
    /// Made with fewer rows than promised, because the topic had lost them.
    short: bool,
    written: Millis,
    version: u64,
}

#[derive(Debug, Clone)]
enum Write {
    Claim(Claim),
    /// `replaces` is the version of the torn file that it is put in place of.
    File {
        path: String,
        file: File,
        replaces: Option<u64>,
    },
}

struct World {
    off: Off,
    now: Millis,
    /// The hour of each record; `None` is a transaction marker.
    log: Vec<Option<i64>>,
    low: i64,
    claims: BTreeMap<i64, Claim>,
    claimed_at: BTreeMap<i64, Millis>,
    files: BTreeMap<String, File>,
    committed: i64,
    in_flight: Vec<(Millis, Write)>,
    /// Hours that retention has removed.
    expired: BTreeSet<i64>,
    writes: u64,
    /// Rows that the topic lost before they were archived.
    excused: BTreeSet<i64>,
    seen: BTreeSet<i64>,
}

impl World {
    fn end(&self) -> i64 {
        i64::try_from(self.log.len()).expect("a short log")
    }

    fn hour(&self, offset: i64) -> Option<i64> {
        self.log[usize::try_from(offset).expect("an offset")]
    }

    /// Carries a write out; whether it was this one that made the thing.
    fn apply(&mut self, write: Write) -> Put {
        match write {
            Write::Claim(claim) => {
                if self.off == Off::Claims {
                    return Put::Done;
                }
                if self.claims.contains_key(&claim.start) && self.off != Off::PutIfAbsent {
                    return Put::Exists;
                }
                self.claimed_at.insert(claim.start, self.now);
                self.claims.insert(claim.start, claim);
            }
            Write::File { path, mut file, replaces } => {
                if self.files.get(&path).map(|there| there.version) != replaces {
                    return Put::Exists;
                }
                self.writes += 1;
                file.written = self.now;
                file.version = self.writes;
                self.files.insert(path, file);
            }
        }
        Put::Done
    }

    fn land(&mut self) {
        let now = self.now;
        let (landed, waiting): (Vec<_>, Vec<_>) = self.in_flight.drain(..).partition(|(at, _)| *at <= now);
        self.in_flight = waiting;
        for (_, write) in landed {
            self.apply(write);
        }
    }

    /// A write of an archiver, through a network that loses replies and delivers late.
    fn send(&mut self, write: Write, faults: bool, dice: &mut Dice) -> Put {
        if !faults {
            return self.apply(write);
        }
        match dice.roll(12) {
            0 => {
                self.apply(write);
                Put::Unknown
            }
            1 => Put::Unknown,
            2 => {
                let late = self.now + i64::try_from(dice.roll(DEADLINE.unsigned_abs())).expect("small");
                self.in_flight.push((late, write));
                Put::Unknown
            }
            3 => match write {
                Write::File { path, mut file, replaces: None } => {
                    file.torn = true;
                    self.apply(Write::File { path, file, replaces: None });
                    Put::Unknown
                }
                whole => self.apply(whole),
            },
            _ => self.apply(write),
        }
    }

    fn last_claim(&self) -> Option<Claim> {
        if self.off == Off::Claims {
            let done = claim(0, self.committed, Vec::new(), None);
            return (self.committed > 0).then_some(done);
        }
        self.claims.last_key_value().map(|(_, claim)| claim.clone())
    }

    fn inspect(&self, promise: &Promise) -> FileState {
        match self.files.get(&promise.path) {
            None => FileState::Missing,
            Some(file) if file.torn => FileState::Torn,
            Some(file) if file.rows.len() as u64 == promise.rows || file.short => FileState::Whole,
            Some(_) => FileState::Torn,
        }
    }

    /// The archive's retention: whole hours; nothing younger than twice the deadline, and nothing of a claim that was
    /// the last one so recently: whoever has read the chain since then may still make its files.
    fn retain(&mut self, hour: i64) {
        let of_hour = |path: &str| path.starts_with(&format!("{hour}/"));
        let spared = if self.off == Off::Followed { 0 } else { 2 * DEADLINE };
        let followed = self.claimed_at.iter().skip(1).map(|(_, at)| self.now - at >= spared);
        let followed = followed.chain([false]);
        let mut recent = self.claims.values().zip(followed).filter(|(_, followed)| !followed).map(|(claim, _)| claim);
        let kept = recent.any(|claim| claim.files.iter().any(|file| of_hour(&file.path)));
        let age = |file: &File| self.now - file.written;
        let young = self.files.iter().any(|(path, file)| of_hour(path) && age(file) < 2 * DEADLINE);
        // In truth an hour is over long before it expires; here it must have no record to come.
        let open = self.end() < RECORDS || self.claims.values().last().is_none_or(|claim| claim.end < RECORDS);
        if kept || young || open {
            return;
        }
        self.files.retain(|path, _| !of_hour(path));
        self.expired.insert(hour);
    }

    /// No row twice, none vanished, none back from retention.
    fn check(&mut self) -> Result<(), String> {
        let mut visible = BTreeSet::new();
        for (path, file) in self.files.iter().filter(|(_, file)| !file.torn) {
            for &row in &file.rows {
                if !visible.insert(row) {
                    return Err(format!("row {row} is visible twice, once in {path}"));
                }
                if self.hour(row).is_some_and(|hour| self.expired.contains(&hour)) {
                    return Err(format!("row {row} is back although its hour was removed"));
                }
            }
        }
        let expired = |row: &i64| self.hour(*row).is_some_and(|hour| self.expired.contains(&hour));
        if let Some(row) = self.seen.iter().find(|row| !visible.contains(row) && !expired(row)) {
            return Err(format!("row {row} has vanished"));
        }
        self.seen = visible;
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        for offset in 0..self.end() {
            let Some(hour) = self.hour(offset) else { continue };
            if !self.seen.contains(&offset) && !self.excused.contains(&offset) && !self.expired.contains(&hour) {
                return Err(format!("row {offset} is missing"));
            }
        }
        Ok(())
    }
}

fn claim(start: i64, end: i64, files: Vec<Promise>, hole: Option<Hole>) -> Claim {
    let rules = RowRules { version: RULES_VERSION, text: Exposure::Keep, key_id: String::new() };
    Claim { start, end, files, hole, rules, watermark: None, by: String::new(), at: 0 }
}

/// What the store answered; it may reach the archiver much later.
enum Reply {
    Found(Option<Claim>),
    Inspected(FileState),
    PutFile(Put),
    Claimed(Put),
}

struct Archiver {
    chain: Chain,
    reply: Option<Reply>,
    /// When the chain was read, or the claim put.
    looked: Millis,
    /// The version of the file that was inspected.
    version: Option<u64>,
    /// Offsets at hand of the claim that is worked on.
    rows: Vec<i64>,
    gathered: Vec<i64>,
    next: i64,
}

impl Archiver {
    fn new(off: Off) -> Self {
        let deadline = if off == Off::Deadline { Millis::MAX } else { DEADLINE };
        let chain = Chain::new(Rules { finish_last: off != Off::FinishLast, deadline });
        Self { chain, reply: None, looked: 0, version: None, rows: Vec::new(), gathered: Vec::new(), next: 0 }
    }

    /// Asks at one time and hears the answer at another: in between it may stand still.
    fn step(&mut self, world: &mut World, faults: bool, dice: &mut Dice) {
        match self.reply.take() {
            None => {
                let action = self.chain.next(world.now);
                self.act(&action, world, faults, dice);
            }
            Some(Reply::Found(last)) => {
                self.chain.found(last, self.looked);
                self.gathered.clear();
            }
            Some(Reply::Inspected(found)) => self.chain.inspected(found),
            Some(Reply::PutFile(put)) => self.chain.put_file(put),
            Some(Reply::Claimed(put)) => self.chain.claimed(put, self.looked),
        }
    }

    fn act(&mut self, action: &Action, world: &mut World, faults: bool, dice: &mut Dice) {
        match *action {
            Action::FindLast => {
                if faults && dice.one_in(10) {
                    return self.chain.start_over();
                }
                self.looked = world.now;
                self.reply = Some(Reply::Found(world.last_claim()));
            }
            Action::Inspect(file) => {
                let promise = &self.chain.claim().expect("a claim").files[file];
                self.version = world.files.get(&promise.path).map(|file| file.version);
                self.reply = Some(Reply::Inspected(world.inspect(promise)));
            }
            Action::ReadBack => {
                let claim = self.chain.claim().expect("a claim");
                self.rows = (claim.start.max(world.low)..claim.end).collect();
                self.chain.read_back();
            }
            Action::Create(file) | Action::Replace(file) => {
                let promise = self.chain.claim().expect("a claim").files[file].clone();
                let hour: i64 = promise.path.split('/').next().and_then(|hour| hour.parse().ok()).expect("an hour");
                let rows: Vec<i64> = self.rows.iter().copied().filter(|row| world.hour(*row) == Some(hour)).collect();
                let short = (rows.len() as u64) < promise.rows;
                if short {
                    let claim = self.chain.claim().expect("a claim");
                    world.excused.extend(claim.start..world.low);
                }
                let made = File { rows, torn: false, short, written: 0, version: 0 };
                let replaces = self.version.filter(|_| matches!(action, Action::Replace(_)));
                let put = world.send(Write::File { path: promise.path, file: made, replaces }, faults, dice);
                self.reply = Some(Reply::PutFile(put));
            }
            Action::Claim => {
                let claim = self.chain.claim().expect("a claim").clone();
                self.looked = world.now;
                self.reply = Some(Reply::Claimed(world.send(Write::Claim(claim), faults, dice)));
            }
            Action::Commit(end) => {
                // A commit of a member that the group has given up is refused now and then.
                if !dice.one_in(4) {
                    world.committed = world.committed.max(end);
                }
                self.chain.committed();
            }
            Action::Gather(from) => self.gather(from, world, dice),
        }
    }

    fn gather(&mut self, from: i64, world: &World, dice: &mut Dice) {
        if self.gathered.is_empty() {
            self.next = from;
        }
        if self.next < world.low {
            if self.gathered.is_empty() {
                let hole = claim(from, world.low, Vec::new(), Some(Hole::Expired));
                self.chain.propose(hole);
            } else {
                // The segment was cut off: it ends where the log begins to lack.
                self.close(from, world);
            }
            return;
        }
        if self.next < world.end() {
            self.gathered.push(self.next);
            self.next += 1;
        }
        if self.next > from && (dice.one_in(5) || self.next == world.end()) {
            self.close(from, world);
        }
    }

    fn close(&mut self, from: i64, world: &World) {
        let mut files: BTreeMap<i64, u64> = BTreeMap::new();
        for hour in self.gathered.iter().filter_map(|offset| world.hour(*offset)) {
            *files.entry(hour).or_default() += 1;
        }
        let files = files.into_iter().map(|(hour, rows)| {
            let path = format!("{hour}/{from}-{}", self.next);
            Promise { path, rows, model: String::new() }
        });
        self.rows = std::mem::take(&mut self.gathered);
        self.chain.propose(claim(from, self.next, files.collect(), None));
    }
}

/// One run; `Err` says what was wrong.
fn run(seed: u64, off: Off) -> Result<(), String> {
    let mut dice = Dice(seed);
    let mut world = World {
        off,
        now: 0,
        log: Vec::new(),
        low: 0,
        claims: BTreeMap::new(),
        claimed_at: BTreeMap::new(),
        files: BTreeMap::new(),
        committed: 0,
        in_flight: Vec::new(),
        expired: BTreeSet::new(),
        writes: 0,
        excused: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let mut archivers = [Archiver::new(off), Archiver::new(off)];
    for _ in 0..400 {
        world.now += i64::try_from(dice.roll(4)).expect("small");
        world.land();
        match dice.roll(40) {
            0 => archivers[usize::from(dice.one_in(2))] = Archiver::new(off),
            1 if dice.one_in(3) => world.now += 2 * DEADLINE,
            2 if dice.one_in(4) && world.low < world.end() => {
                world.low += 1;
                let claimed = world.claims.values().last().map_or(0, |claim| claim.end);
                if world.low > claimed {
                    world.excused.insert(world.low - 1);
                }
            }
            3 | 4 => world.retain(i64::try_from(dice.roll(HOURS.unsigned_abs())).expect("small")),
            5..=12 if world.end() < RECORDS => {
                let hour = i64::try_from(dice.roll(HOURS.unsigned_abs() + 1)).expect("small");
                world.log.push((hour < HOURS).then_some(hour));
            }
            // One archiver works in bursts while the other stands still.
            _ => {
                let who = usize::from(dice.one_in(2));
                for _ in 0..=dice.roll(6) {
                    archivers[who].step(&mut world, true, &mut dice);
                    world.check().map_err(|fault| format!("seed {seed}: {fault}"))?;
                }
            }
        }
        world.check().map_err(|fault| format!("seed {seed}: {fault}"))?;
    }
    // The network heals, and one of them stays.
    world.now += 4 * DEADLINE;
    world.land();
    for _ in 0..2000 {
        archivers[0].step(&mut world, false, &mut dice);
        world.check().map_err(|fault| format!("seed {seed}: {fault}"))?;
    }
    world.check_end().map_err(|fault| format!("seed {seed}: {fault}"))
}

/// Runs of one search; a rule that is switched off is found sooner.
const SEEDS: u64 = 6_000;

#[test]
fn no_interleaving_shows_a_row_twice_or_loses_one() {
    for seed in 0..SEEDS {
        run(seed, Off::Nothing).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn each_rule_that_is_switched_off_is_missed() {
    for (off, word) in
        [(Off::PutIfAbsent, "twice"), (Off::Claims, "twice"), (Off::FinishLast, "missing"), (Off::Deadline, "is back")]
    {
        let faults = (0..8 * SEEDS).filter_map(|seed| run(seed, off).err());
        let found = faults.into_iter().find(|fault| fault.contains(word));
        assert!(found.is_some(), "{off:?} switched off: no run found a row {word}");
    }
}

#[test]
fn a_claim_that_does_not_begin_at_the_position_is_not_put() {
    for (start, end) in [(5, 9), (0, 0)] {
        let mut chain = Chain::new(Rules { finish_last: true, deadline: DEADLINE });
        chain.found(None, 0);
        assert_eq!(chain.next(0), Action::Gather(0));
        chain.propose(claim(start, end, Vec::new(), None));
        assert_eq!(chain.next(0), Action::FindLast, "the chain is read again");
    }
}
