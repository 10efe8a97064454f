//! One lane's producer and the transaction that makes outputs and offsets one thing (I2).
//!
//! A batch is `begin` → `send`… → `settle` (every delivery acknowledged) → `commit`. What can go wrong ends
//! *aborted* (nothing of the batch is visible), *dead* (the same, and the producer is lost) or *unknown* (only
//! the broker can tell); after any of them the lane goes on from the committed offsets.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};

use super::access::{Access, Link};
use super::client::serve;
use super::consumer::{LaneConsumer, offsets_to_commit};
use super::failure::{BrokerError, Remedy, is_permanent};
use super::native::GroupMetadata;
use super::note::Note;
use super::positions::Partition;
use crate::config::Delivery;
use crate::fault;

/// Between two tries of a retriable call, which may fail at once.
const PAUSE: Duration = Duration::from_millis(10);

/// Counts deliveries.
struct Deliveries {
    link: Link,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<RDKafkaErrorCode>>,
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }

    fn generate_oauth_token(&self, settings: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.generate_oauth_token(settings)
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut first) = self.first_failure.lock() {
                    first.get_or_insert(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                }
            }
        }
    }
}

impl Deliveries {
    fn new(link: Link) -> Self {
        Self { link, acknowledged: AtomicU64::new(0), failed: AtomicU64::new(0), first_failure: Mutex::default() }
    }

    fn reset(&self) {
        self.acknowledged.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        if let Ok(mut first) = self.first_failure.lock() {
            *first = None;
        }
    }
}

/// A record to publish.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    /// `None`: by key.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
}

/// How a batch ended that was not committed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing of it is visible and none of its offsets is committed.
    Aborted {
        /// Why.
        error: BrokerError,
        /// The broker would refuse the same records again.
        permanent: bool,
    },
    /// Nothing of it is committed, and this producer must not be used again.
    Dead(BrokerError),
    /// It may have been committed or not; this producer must not be used again.
    Unknown(BrokerError),
}

/// One lane's producer.
pub(crate) struct Publisher {
    producer: BaseProducer<Deliveries>,
    delivery: Delivery,
    deadline: Duration,
    enqueued: u64,
    open: bool,
    begun: Instant,
    transaction_timeout: Duration,
}

impl Publisher {
    /// Connects, and fences whoever used this transactional id before, ending its open transaction.
    pub(super) fn connect(
        access: &Access,
        config: &ClientConfig,
        delivery: Delivery,
        deadline: Duration,
        transaction_timeout: Duration,
    ) -> Result<Self, BrokerError> {
        let producer = access.producer(config, Deliveries::new(access.link()))?;
        if delivery == Delivery::ExactlyOnce {
            retry(deadline, |left| producer.init_transactions(left).map_err(BrokerError::from))?;
        }
        let begun = Instant::now();
        Ok(Self { producer, delivery, deadline, enqueued: 0, open: false, begun, transaction_timeout })
    }

    /// Its connection, to ask for other things.
    pub(super) fn client(&self) -> &Client<impl ClientContext> {
        self.producer.client()
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) -> Result<(), Broken> {
        self.enqueued = 0;
        self.begun = Instant::now();
        self.producer.context().reset();
        if self.delivery == Delivery::ExactlyOnce {
            self.producer.begin_transaction().map_err(|error| Broken::Dead(error.into()))?;
            self.open = true;
        }
        fault::point("begun");
        Ok(())
    }

    /// Enqueues one record; waits while the queue is full.
    pub(crate) fn send(&mut self, outgoing: Outgoing<'_>) -> Result<(), Broken> {
        let mut record = BaseRecord::<[u8], [u8]>::to(outgoing.topic).timestamp(outgoing.timestamp);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.payload;
        record.headers = outgoing.headers;
        let mut give_up = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.enqueued += 1;
                    // Serving deliveries now and then keeps the event queue short in long batches.
                    if self.enqueued.is_multiple_of(4096) {
                        self.producer.poll(Duration::ZERO);
                    }
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < *give_up.get_or_insert_with(|| Instant::now() + self.deadline) =>
                {
                    serve(&self.producer);
                    record = back;
                }
                Err((error, _)) => {
                    let permanent = error.rdkafka_error_code().is_some_and(is_permanent);
                    return Err(self.give_up(error.into(), permanent));
                }
            }
        }
    }

    /// Waits until every record of the batch is acknowledged.
    ///
    /// After a timeout or a passing failure the producer is given up, not the transaction alone: requests of it may
    /// still be on their way, and librdkafka 2.12 aborts the process when the failure of a request to add partitions
    /// comes in after the next transaction has begun (assertion on `txn_req_cnt`).
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        fault::point("produced");
        let give_up = Instant::now() + self.deadline;
        while self.producer.in_flight_count() > 0 {
            serve(&self.producer);
            if Instant::now() > give_up {
                return Err(Broken::Dead(BrokerError::local("the broker did not acknowledge the batch in time")));
            }
        }
        // Acknowledgements may still wait in the event queue once nothing is in flight.
        self.producer.poll(Duration::ZERO);
        let deliveries = self.producer.context();
        let acknowledged = deliveries.acknowledged.load(Ordering::Relaxed);
        if acknowledged == self.enqueued {
            fault::point("acknowledged");
            return Ok(());
        }
        if let Some((code, message)) = self.producer.client().fatal_error() {
            return Err(Broken::Dead(BrokerError { fatal: true, message, ..BrokerError::of_code(code) }));
        }
        let first = deliveries.first_failure.lock().ok().and_then(|first| *first);
        Err(match first {
            Some(code) if is_permanent(code) => self.give_up(BrokerError::of_code(code), true),
            Some(RDKafkaErrorCode::PurgeQueue) if self.open => Broken::Dead(self.cause_of_purge()),
            Some(code) => Broken::Dead(BrokerError::of_code(code)),
            None => Broken::Dead(BrokerError::local("fewer records were acknowledged than sent")),
        })
    }

    /// Why librdkafka threw away what was sent: the transaction has failed, and every call that it takes says why. This
    /// one does nothing else, whatever state the transaction is in.
    fn cause_of_purge(&self) -> BrokerError {
        let cause = self.producer.begin_transaction().err().map(BrokerError::from);
        let cause = cause.filter(|error| error.code != Some(RDKafkaErrorCode::State));
        cause.unwrap_or_else(|| BrokerError::of_code(RDKafkaErrorCode::PurgeQueue))
    }

    /// Commits the batch with the offsets that cover it, fenced by the consumer's membership. `batch` is noted
    /// with the offsets, so that an unknown result can be told later.
    pub(crate) fn commit(
        &mut self,
        consumer: &LaneConsumer,
        positions: &BTreeMap<Partition, i64>,
        notes: &BTreeMap<String, Note>,
        batch: u64,
    ) -> Result<(), Broken> {
        let offsets = match offsets_to_commit(positions, notes, batch) {
            Ok(offsets) => offsets,
            Err(error) => return Err(self.give_up(error, false)),
        };
        if self.delivery == Delivery::AtLeastOnce {
            return consumer.commit(&offsets).map_err(Broken::Unknown);
        }
        let sent = retry(self.deadline, |left| {
            let metadata = GroupMetadata::of(consumer.base()).ok_or_else(|| BrokerError {
                requires_abort: true,
                ..BrokerError::local("this lane is no member of the group now")
            })?;
            metadata.send_offsets(&self.producer, &offsets, left)
        });
        if let Err(error) = sent {
            // Nobody has asked for a commit yet, so nothing is committed.
            return Err(if error.remedy() == Remedy::Abort {
                self.give_up(error, false)
            } else {
                Broken::Dead(self.explain(error))
            });
        }
        fault::point("offsets_sent");
        self.complete()
    }

    /// Commits the batch, which covers no offsets.
    pub(crate) fn commit_alone(&mut self) -> Result<(), Broken> {
        self.complete()
    }

    fn complete(&mut self) -> Result<(), Broken> {
        let committed = retry(self.deadline, |left| self.producer.commit_transaction(left).map_err(BrokerError::from));
        match committed {
            Ok(()) => {
                self.open = false;
                fault::point("committed");
                Ok(())
            }
            Err(error) if error.remedy() == Remedy::Abort => Err(self.give_up(error, false)),
            Err(error) => Err(Broken::Unknown(self.explain(error))),
        }
    }

    /// A fence is no sign of a twin when the transaction has outlived its timeout: then the broker has ended it,
    /// and a new producer may go on.
    fn explain(&self, error: BrokerError) -> BrokerError {
        if error.is_fenced() && self.begun.elapsed() >= self.transaction_timeout {
            let message =
                format!("the broker has ended a transaction that was open for {:.0?}: {error}", self.begun.elapsed());
            return BrokerError::local(&message);
        }
        error
    }

    /// Gives the open batch up.
    pub(crate) fn abort(&mut self, reason: &str) -> Broken {
        self.give_up(BrokerError::local(reason), false)
    }

    /// Aborts. Purged and drained first: an abort with deliveries in flight waits out its timeout.
    fn give_up(&mut self, error: BrokerError, permanent: bool) -> Broken {
        let give_up = Instant::now() + self.deadline;
        self.producer.purge(PurgeConfig::default().queue().inflight());
        while self.producer.in_flight_count() > 0 && Instant::now() < give_up {
            serve(&self.producer);
        }
        if !self.open {
            return Broken::Aborted { error, permanent };
        }
        self.open = false;
        let aborted = retry(self.deadline, |left| {
            self.producer.poll(Duration::ZERO);
            self.producer.abort_transaction(left).map_err(BrokerError::from)
        });
        match aborted {
            Ok(()) => Broken::Aborted { error, permanent },
            Err(failed) => Broken::Dead(
                self.explain(BrokerError { message: format!("{error}; the abort failed too: {failed}"), ..failed }),
            ),
        }
    }
}

/// Makes a retriable call until it gives another answer or the deadline passes.
fn retry(deadline: Duration, mut call: impl FnMut(Duration) -> Result<(), BrokerError>) -> Result<(), BrokerError> {
    let give_up = Instant::now() + deadline;
    loop {
        let left = give_up.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        match call(left) {
            Err(error) if error.remedy() == Remedy::Retry && Instant::now() < give_up => {
                tracing::debug!(%error, "the broker asks to try again");
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_retriable_errors_are_tried_again_and_not_for_ever() {
        let retriable = || BrokerError { retriable: true, ..BrokerError::local("busy") };
        let mut calls = 0;
        let done = retry(Duration::from_mins(1), |_| {
            calls += 1;
            if calls < 3 { Err(retriable()) } else { Ok(()) }
        });
        assert!(done.is_ok() && calls == 3);
        let mut calls = 0;
        let refused = retry(Duration::from_mins(1), |_| {
            calls += 1;
            Err(BrokerError::local("no"))
        });
        assert!(refused.is_err() && calls == 1);
        assert!(retry(Duration::ZERO, |_| Err(retriable())).is_err(), "the deadline ends it");
    }
}
