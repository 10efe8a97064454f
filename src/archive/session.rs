//! One membership of an archiver in its group: between two polls each partition does one step, and what has come is
//! gathered, bounded and closed when it is time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message;

use super::archiver::{ArchiveError, Archiver};
use super::desk::Desk;
use super::hours::{self, Hours};
use super::partition::{Partition, Stepped};
use super::retention::Retention;
use super::segment::{Close, Taken};
use crate::kafka::{BrokerError, OutputReader, Polled};

/// How long an idle archiver waits in one poll.
const IDLE: Duration = Duration::from_millis(100);
/// Records between two looks at everything else.
const BURST: usize = 4096;
/// How often what is told and declared is looked at.
const TICK: Duration = Duration::from_millis(500);

/// One membership at work.
pub(super) struct Session<'a> {
    archiver: &'a Archiver,
    desk: &'a Desk,
    reader: &'a OutputReader,
    partitions: BTreeMap<i32, Partition>,
    hours: Hours,
    retention: Retention,
    /// Whether fetching is paused, because the memory is used up.
    held: bool,
    ticked: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(archiver: &'a Archiver, desk: &'a Desk, reader: &'a OutputReader) -> Self {
        let config = &archiver.setup.config;
        Self {
            archiver,
            desk,
            reader,
            partitions: BTreeMap::new(),
            hours: Hours::new(config.archive.grace.0, config.archive.idle.0),
            retention: Retention::new(config.archive.retention.0, config.archive.put_deadline.0),
            held: false,
            ticked: Instant::now(),
        }
    }

    pub(super) fn serve(&mut self) -> Result<(), ArchiveError> {
        let mut epoch = self.reader.epoch();
        while !self.archiver.stopping() {
            if let Some(error) = self.reader.fatal() {
                return Err(error.into());
            }
            if self.reader.epoch() != epoch {
                epoch = self.reader.epoch();
                self.rebalanced()?;
            }
            let busy = self.step_all()?;
            self.note_what_was_made();
            self.poll(if busy { Duration::ZERO } else { IDLE })?;
            self.close_what_is_due(now())?;
            self.bound_memory(now())?;
            if self.ticked.elapsed() >= TICK {
                self.ticked = Instant::now();
                self.tick()?;
            }
        }
        // Open rows are dropped: they are read again.
        Ok(())
    }

    fn rebalanced(&mut self) -> Result<(), ArchiveError> {
        self.partitions.clear();
        self.held = false;
        self.desk.metrics.archive.lag_seconds.clear();
        let Some(assigned) = self.reader.assigned() else {
            tracing::info!("the archive's partitions are revoked");
            return Ok(());
        };
        tracing::info!(partitions = ?assigned, "the archive's assignment");
        let hints = self.reader.hints(&assigned)?;
        let now = now();
        for partition in assigned {
            let hint = hints.get(&partition).cloned();
            self.partitions.insert(partition, Partition::new(self.desk, partition, hint, now));
        }
        self.hours.look_at_everything();
        Ok(())
    }

    /// One step of every partition that does not gather; reading begins once all of them know where.
    /// Returns whether there is more to do at once.
    fn step_all(&mut self) -> Result<bool, ArchiveError> {
        let (mut waiting, mut busy, mut moved) = (false, false, Vec::new());
        for (number, partition) in &mut self.partitions {
            loop {
                match partition.step(self.desk, self.reader).map_err(ArchiveError::Refused)? {
                    Stepped::On if partition.reading => {
                        busy = true;
                        break;
                    }
                    Stepped::On => {}
                    Stepped::Waiting => {
                        waiting |= !partition.reading;
                        break;
                    }
                    Stepped::Gathering { from, moved: changed } => {
                        if !partition.reading || changed {
                            moved.push((*number, from));
                        }
                        break;
                    }
                }
            }
        }
        if moved.is_empty() || waiting {
            return Ok(busy);
        }
        if self.partitions.values().all(|partition| !partition.reading) {
            self.reader.read_from(&moved.iter().copied().collect())?;
        } else {
            for (number, from) in &moved {
                self.reader.seek(*number, *from)?;
            }
        }
        for (number, _) in moved {
            if let Some(partition) = self.partitions.get_mut(&number) {
                partition.reading = true;
            }
        }
        Ok(busy)
    }

    /// Hours with new rows are to be declared, or were already and have late rows now.
    fn note_what_was_made(&mut self) {
        let made: Vec<_> = self.partitions.values_mut().flat_map(|partition| partition.made.drain(..)).collect();
        for (hour, rows) in made {
            let over = hour.end() + self.desk.closing.grace <= now();
            // A store that does not tell now is asked again when the hour is declared.
            let declared = || self.desk.wait(self.desk.store.head(&hours::path(hour)));
            if over && matches!(declared(), Ok(Some(_))) {
                self.desk.metrics.archive.late_rows.inc_by(rows);
            } else {
                self.hours.wrote(hour);
            }
        }
    }

    /// Takes in what has come.
    fn poll(&mut self, mut patience: Duration) -> Result<(), ArchiveError> {
        let epoch = self.reader.epoch();
        for _ in 0..BURST {
            let polled = self.reader.poll(patience);
            if self.reader.epoch() != epoch {
                return Ok(());
            }
            patience = Duration::ZERO;
            match polled {
                None => return Ok(()),
                Some(Ok(Polled::Record(record))) => {
                    let Some(partition) = self.partitions.get_mut(&record.partition()) else { continue };
                    let taken = Taken {
                        offset: record.offset(),
                        timestamp: record.timestamp().to_millis().unwrap_or_default(),
                        value: record.payload(),
                    };
                    partition.push(taken, now(), &self.desk.metrics);
                }
                Some(Ok(Polled::End(number))) => {
                    let Some(partition) = self.partitions.get_mut(&number) else { continue };
                    if let Some(end) = partition.draining.take()
                        && partition.is_gathering(self.desk)
                    {
                        partition.close(self.desk, end.max(partition.open.next), Close::Idle, now());
                    }
                }
                Some(Err(error)) if error.is_out_of_range() => {
                    let now = now();
                    for partition in self.partitions.values_mut() {
                        let held = self.reader.held(partition.place.partition)?;
                        if held.low > partition.open.next && partition.is_gathering(self.desk) {
                            partition.lost_position(self.desk, self.reader, now)?;
                        }
                    }
                }
                Some(Err(error)) if error.is_unauthorized() || error.fatal => return Err(error.into()),
                Some(Err(error)) => {
                    tracing::warn!(%error, "reading the output topic");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), ArchiveError> {
        let now = now();
        self.tell();
        let own: BTreeSet<i32> = self.partitions.keys().copied().collect();
        let wanted = self.hours.tick(self.desk, &own, now).map_err(ArchiveError::Refused)?;
        for number in wanted {
            if let Some(partition) = self.partitions.get_mut(&number)
                && partition.open.is_empty()
                && partition.open.is_idle(now, self.desk.closing.idle)
            {
                drain(partition, self.desk, self.reader, now)?;
            }
        }
        self.retention.tick(self.desk, now).map_err(ArchiveError::Refused)?;
        Ok(())
    }

    fn close_what_is_due(&mut self, now: i64) -> Result<(), ArchiveError> {
        for partition in self.partitions.values_mut() {
            match partition.open.due(&self.desk.closing, now) {
                _ if !partition.is_gathering(self.desk) => {}
                None => {}
                Some(Close::Idle) => drain(partition, self.desk, self.reader, now)?,
                Some(why) => {
                    let end = partition.open.next;
                    partition.close(self.desk, end, why, now);
                }
            }
        }
        Ok(())
    }

    /// Encodes what is open, closes the largest segment, and stops fetching while nothing of this helps.
    fn bound_memory(&mut self, now: i64) -> Result<(), ArchiveError> {
        let archive = &self.archiver.setup.config.archive;
        let (budget, most_files) = (archive.memory.0, archive.open_files.get());
        let memory = |partitions: &BTreeMap<i32, Partition>| partitions.values().map(Partition::memory).sum::<usize>();
        if memory(&self.partitions) > budget / 2 {
            let share = budget / 4 / self.partitions.len().max(1);
            for partition in self.partitions.values_mut() {
                partition.open.seal(share).map_err(|error| ArchiveError::Refused(error.to_string()))?;
            }
        }
        let held = memory(&self.partitions);
        let files: usize = self.partitions.values().map(Partition::files).sum();
        // Files are encoded one at a time, beside what is held.
        if held > budget * 3 / 4 || files > most_files {
            let by_files = held <= budget * 3 / 4;
            let mut gathering: Vec<_> = self.partitions.values_mut().collect();
            gathering.retain_mut(|partition| partition.is_gathering(self.desk));
            let weight = |partition: &&mut Partition| {
                if by_files { partition.open.files() } else { partition.open.memory() }
            };
            if let Some(largest) = gathering.into_iter().max_by_key(weight) {
                let end = largest.open.next;
                largest.close(self.desk, end, Close::Size, now);
            }
        }
        let full = held > budget * 7 / 8;
        if full != self.held {
            self.held = full;
            self.reader.hold(full)?;
            if full {
                tracing::warn!(held, budget, "archive.memory is used up: reading pauses until files are written");
            }
        }
        let metrics = &self.desk.metrics.archive;
        metrics.memory_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
        metrics.open_files.set(i64::try_from(files).unwrap_or(i64::MAX));
        Ok(())
    }

    fn tell(&self) {
        let now = now();
        for (number, partition) in &self.partitions {
            let age = partition.oldest().map_or(0, |oldest| (now - oldest).max(0));
            let lag = self.desk.metrics.archive.lag_seconds.of([&number.to_string()]);
            lag.set(Duration::from_millis(age.unsigned_abs()).as_secs_f64());
        }
        let works = self.partitions.values().all(|partition| partition.reading && !partition.failing());
        if self.partitions.values().any(Partition::failing) {
            self.archiver.fail("the archive does not get on; the log says why");
        } else if works && (!self.partitions.is_empty() || self.reader.stands_by()) {
            self.archiver.work();
        }
    }
}

/// Reads a partition up to its stable end, so that the segment can close there, markers included.
fn drain(partition: &mut Partition, desk: &Desk, reader: &OutputReader, now: i64) -> Result<(), BrokerError> {
    if partition.draining.is_some() || !partition.is_gathering(desk) {
        return Ok(());
    }
    let number = partition.place.partition;
    let stable = reader.held(number)?.stable;
    if stable <= partition.open.next {
        let end = partition.open.next;
        partition.close(desk, end, Close::Idle, now);
    } else {
        // The end that is told after this seek is one that was found after the stable end.
        reader.seek(number, partition.open.next)?;
        partition.draining = Some(stable);
    }
    Ok(())
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}
