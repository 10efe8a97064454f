//! One batch, from the first poll to the commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

use super::session::{Ended, Reading, Slot};
use super::{IDLE, Lane, Uncertain};
use crate::fate::{Fate, Tally};
use crate::fault;
use crate::inference::Cost;
use crate::kafka::{Broken, BrokerError, Clients, LaneConsumer, Partition, Publisher};
use crate::telemetry::{Stage, TransactionResult};

/// Batches in a row that are tried again although the broker refused them for lack of a permission.
const DENIALS: u32 = 2;

/// A record as a lane polled it.
pub(super) struct Polled<'c> {
    pub(super) message: BorrowedMessage<'c>,
    /// Index of its partition among those that the lane reads.
    pub(super) slot: usize,
    /// Its timestamp, milliseconds since 1970; the time of polling where the record has none.
    pub(super) timestamp: i64,
}

impl Lane {
    /// Gathers one batch and sees it through. `None`: there was nothing to do.
    pub(super) fn batch(&mut self, clients: &mut Clients, reading: &mut Reading) -> Option<Ended> {
        let Clients { consumer, publisher, .. } = clients;
        let batch = match self.gather(consumer, reading) {
            Ok(batch) if batch.is_empty() => return None,
            Ok(batch) => batch,
            Err(error) if self.is_denied(&error) => return Some(Ended::Denied(error)),
            Err(error) => return Some(Ended::Rewind(error.to_string())),
        };
        fault::point("polled");
        let (decoded, took) = self.labeller.decode(batch.iter().map(|polled| polled.message.payload()));
        self.shared.metrics.stage(Stage::Decode, took);
        let trips =
            if reading.probe { self.breaker.probe_trips(decoded.bad()) } else { self.breaker.trips(decoded.bad()) };
        if trips {
            self.breaker.forget();
            self.shared.metrics.breaker_trips.inc();
            let reason = format!("{}; check input.fields against what the topic holds", decoded.complaint());
            return Some(Ended::Hold("breaker", reason));
        }
        let (fates, cost) = match self.labeller.label(decoded) {
            Ok(labelled) => labelled,
            Err(down) => return Some(Ended::Hold("model", down.to_string())),
        };
        let ends = ends(&batch, reading);
        let mut tally = Tally::default();
        match self.publish(consumer, publisher, reading, &batch, &fates, &ends, &mut tally) {
            Ok(()) => {
                self.denials = 0;
                self.committed(consumer, &batch, &ends, &cost, &tally);
                Some(Ended::Committed)
            }
            Err(Broken::Aborted { error, permanent }) => {
                self.shared.metrics.transaction(TransactionResult::Aborted);
                if self.is_denied(&error) {
                    return Some(Ended::Denied(error));
                }
                if permanent && self.size.refused(batch.len()) && !self.editor.convict(&batch[0], &error) {
                    let reason = format!(
                        "the broker refuses one record after another: {error}; check the output topic's settings"
                    );
                    return Some(Ended::Hold("output", reason));
                }
                Some(Ended::Rewind(error.to_string()))
            }
            Err(Broken::Dead(error)) => {
                let fenced = error.is_fenced();
                let result = if fenced { TransactionResult::Fenced } else { TransactionResult::Aborted };
                self.shared.metrics.transaction(result);
                Some(if self.is_denied(&error) { Ended::Denied(error) } else { Ended::Renew(error) })
            }
            Err(Broken::Unknown(error)) => {
                let fenced = error.is_fenced();
                let result = if fenced { TransactionResult::Fenced } else { TransactionResult::Ambiguous };
                self.shared.metrics.transaction(result);
                let partitions = ends.into_keys().collect();
                self.uncertain = Some(Uncertain { batch: self.batch, partitions, tally });
                Some(if self.is_denied(&error) { Ended::Denied(error) } else { Ended::Renew(error) })
            }
        }
    }

    /// Whether the broker keeps refusing batches for lack of a permission. A broker that has just been given one may
    /// refuse once or twice more.
    fn is_denied(&mut self, error: &BrokerError) -> bool {
        self.denials = if error.is_unauthorized() { self.denials + 1 } else { 0 };
        self.denials > DENIALS
    }

    /// Polls until the batch is full or its linger is over. Empty when nothing came, or when the group rebalanced meanwhile.
    fn gather<'c>(
        &mut self,
        consumer: &'c LaneConsumer,
        reading: &mut Reading,
    ) -> Result<Vec<Polled<'c>>, BrokerError> {
        let limit = self.size.limit();
        let config = &self.shared.config.batch;
        let started = Instant::now();
        let mut batch: Vec<Polled<'c>> = Vec::with_capacity(limit.min(1024));
        let (mut bytes, mut closes) = (0, None::<Instant>);
        while batch.len() < limit && bytes < config.max_bytes.0 {
            let wait =
                closes.map_or(IDLE, |closes| whole_milliseconds(closes.saturating_duration_since(Instant::now())));
            let message = match consumer.poll(wait) {
                Some(Ok(message)) => message,
                Some(Err(error)) if is_out_of_range(&error) || error.is_unauthorized() => return Err(error),
                // Anything else is told by the client's error callback, and the client recovers by itself.
                Some(Err(_)) | None => {
                    if closes.is_none_or(|closes| Instant::now() >= closes) {
                        break;
                    }
                    continue;
                }
            };
            let Some(slot) = reading.take(&message) else { continue };
            if closes.is_none() {
                self.shared.metrics.stage(Stage::Wait, started.elapsed());
                closes = Some(Instant::now() + config.linger.0);
            }
            bytes += message.payload_len();
            let timestamp = message.timestamp().to_millis().unwrap_or_else(now_ms);
            batch.push(Polled { message, slot, timestamp });
        }
        if consumer.epoch() != reading.epoch {
            batch.clear();
        }
        self.note_polled(consumer, reading, &batch);
        Ok(batch)
    }

    /// Counts what was polled, and what of it was polled before; tells the lag the age of the oldest record.
    fn note_polled(&mut self, consumer: &LaneConsumer, reading: &Reading, batch: &[Polled<'_>]) {
        for (index, slot) in reading.slots.iter().enumerate() {
            let mine = || batch.iter().filter(|polled| polled.slot == index);
            let Some(oldest) = mine().map(|polled| polled.timestamp).min() else { continue };
            let seen = self.seen.entry(slot.partition.clone()).or_insert(0);
            let again = mine().filter(|polled| polled.message.offset() < *seen).count();
            *seen = slot.next.max(*seen);
            consumer.lag().polled(&slot.partition, slot.next, oldest);
            let topic = [slot.partition.topic.as_str()];
            self.shared.metrics.records_polled.of(topic).inc_by(mine().count() as u64);
            if again > 0 {
                self.shared.metrics.records_replayed.of(topic).inc_by(again as u64);
            }
        }
    }

    /// One transaction: outputs, dead letters, and the offsets that cover them (I2).
    #[expect(clippy::too_many_arguments, reason = "the parts of one batch, borrowed from three owners")]
    fn publish(
        &mut self,
        consumer: &LaneConsumer,
        publisher: &mut Publisher,
        reading: &Reading,
        batch: &[Polled<'_>],
        fates: &[Fate],
        ends: &BTreeMap<Partition, i64>,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let started = Instant::now();
        publisher.begin()?;
        self.editor.begin();
        for (polled, fate) in batch.iter().zip(fates) {
            let slot = &reading.slots[polled.slot];
            self.editor.publish(publisher, slot, polled, fate, self.labeller.model(), tally)?;
        }
        publisher.settle()?;
        self.shared.metrics.stage(Stage::Produce, started.elapsed());
        if !consumer.holds(reading.epoch) {
            return Err(publisher.abort("the group rebalanced while the batch was worked on"));
        }
        let started = Instant::now();
        self.batch = self.batch.wrapping_add(1);
        publisher.commit(consumer, ends, &reading.notes, self.batch)?;
        self.shared.metrics.stage(Stage::Commit, started.elapsed());
        Ok(())
    }

    fn committed(
        &mut self,
        consumer: &LaneConsumer,
        batch: &[Polled<'_>],
        ends: &BTreeMap<Partition, i64>,
        cost: &Cost,
        tally: &Tally,
    ) {
        self.editor.accepted();
        self.size.committed(batch.len(), cost.busy / self.sessions);
        let newest = batch.iter().map(|polled| polled.timestamp).max().unwrap_or_default();
        for (partition, end) in ends {
            consumer.lag().committed(partition, *end, newest);
        }
        self.count(tally);
        let metrics = &self.shared.metrics;
        metrics.transaction(TransactionResult::Committed);
        metrics.batch_posts.observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        metrics
            .batch_size_limit
            .of([&self.index.to_string()])
            .set(i64::try_from(self.size.limit()).unwrap_or(i64::MAX));
        metrics.session_busy_seconds.inc_by(cost.busy.as_secs_f64());
        metrics.tokens.inc_by(cost.tokens as u64);
        metrics.padded_tokens.inc_by(cost.padded_tokens as u64);
        metrics.out_of_memory.inc_by(cost.out_of_memory as u64);
        if cost.token_budget > 0 {
            metrics.token_budget.set(i64::try_from(cost.token_budget).unwrap_or(i64::MAX));
        }
        metrics.cache_hits.inc_by(cost.cache_hits as u64);
        metrics.duplicate_texts.inc_by(cost.duplicates as u64);
        for (stage, took) in [(Stage::Tokenize, cost.tokenize), (Stage::Queue, cost.queue), (Stage::Infer, cost.infer)]
        {
            if took > Duration::ZERO {
                metrics.stage(stage, took);
            }
        }
    }
}

impl Reading {
    /// The slot of a record that is to be read next; `None` for a stale one.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let topic = message.topic();
        let (partition, offset) = (message.partition(), message.offset());
        let mine = |slot: &Slot| slot.partition.number == partition && slot.partition.topic == topic;
        let index = self.slots.iter().position(mine)?;
        let slot = &mut self.slots[index];
        if offset < slot.next {
            return None;
        }
        slot.next = offset + 1;
        Some(index)
    }
}

/// The offsets that this batch ends at, per partition.
fn ends(batch: &[Polled<'_>], reading: &Reading) -> BTreeMap<Partition, i64> {
    let mut ends: Vec<Option<i64>> = vec![None; reading.slots.len()];
    for polled in batch {
        ends[polled.slot] = Some(polled.message.offset() + 1);
    }
    let named = reading.slots.iter().zip(ends);
    named.filter_map(|(slot, end)| Some((slot.partition.clone(), end?))).collect()
}

/// The broker no longer has the offset that was asked for: only the committed offsets can tell how to go on.
fn is_out_of_range(error: &BrokerError) -> bool {
    matches!(error.code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

/// Rounded up: the client waits whole milliseconds and would spin through the rest.
fn whole_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(time.as_micros().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
