//! A plain producer for records that come from outside: `produce`, the demo, tests.
//!
//! Waits while the client's queue is full, so memory stays bounded whatever is fed (I8), and counts what
//! the broker took and what it refused.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::BrokerError;
use super::access::{Access, Link};
use super::client::serve;
use super::cluster::{self, ClusterError};
use crate::config::Config;

/// Records between two looks at what was delivered.
const SERVE_EVERY: u64 = 1024;

/// What the broker took and refused so far.
struct Deliveries {
    link: Link,
    taken: AtomicU64,
    refused: AtomicU64,
    first: Mutex<Option<String>>,
}

impl Deliveries {
    fn refuse(&self, reason: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut first) = self.first.lock() {
            first.get_or_insert_with(|| reason.to_owned());
        }
    }
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
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                self.refuse(&code.map_or_else(|| error.to_string(), |code| code.to_string()));
            }
        }
    }
}

/// What became of everything that was fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Records that the broker acknowledged.
    pub(crate) taken: u64,
    /// Records that it did not.
    pub(crate) refused: u64,
    /// Why it did not take the first of them.
    pub(crate) first_reason: Option<String>,
}

/// A record to feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crumb<'a> {
    /// The record's key.
    pub(crate) key: Option<&'a [u8]>,
    /// The record's value.
    pub(crate) value: &'a [u8],
    /// Milliseconds since 1970; `None`: the moment of sending.
    pub(crate) timestamp: Option<i64>,
}

/// A producer of one topic.
pub(crate) struct Feed {
    producer: BaseProducer<Deliveries>,
    topic: String,
    partitions: i32,
    deadline: Duration,
    sent: u64,
}

impl Feed {
    /// Connects and asks for the topic, which the setting or flag `key` names.
    ///
    /// # Errors
    /// When no broker answers, the topic is missing, or the client refuses its settings.
    pub(crate) fn open(config: &Config, key: &'static str, topic: &str) -> Result<Self, ClusterError> {
        let access = Access::new(config)?;
        let deadline = config.kafka.request_deadline.0;
        cluster::reach(&access, config, topic)?;
        let mut client = access.settings();
        for (name, value) in [
            ("linger.ms", "5"),
            ("queue.buffering.max.kbytes", "65536"),
            // The topic's own limit decides, and the broker says so.
            ("message.max.bytes", "67108864"),
            ("compression.type", "lz4"),
        ] {
            if client.get(name).is_none() {
                client.set(name, value);
            }
        }
        client.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        let deliveries = Deliveries {
            link: access.link(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            first: Mutex::default(),
        };
        let producer =
            access.producer(&client, deliveries).map_err(|error| ClusterError::Settings(error.to_string()))?;
        let partitions = cluster::partitions(producer.client(), config, key, topic, deadline)?;
        Ok(Self { producer, topic: topic.to_owned(), partitions, deadline, sent: 0 })
    }

    /// How many partitions the topic has.
    pub(crate) fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Enqueues one record; waits while the queue is full. What the client refuses by itself is counted as refused.
    ///
    /// # Errors
    /// When the queue stays full for `kafka.request_deadline`: no broker takes anything.
    pub(crate) fn send(&mut self, crumb: Crumb<'_>) -> Result<(), BrokerError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(crumb.value);
        record.key = crumb.key;
        record.timestamp = crumb.timestamp;
        let give_up = Instant::now() + self.deadline;
        self.sent += 1;
        if self.sent.is_multiple_of(SERVE_EVERY) {
            self.serve(Duration::ZERO);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if Instant::now() > give_up {
                        return Err(BrokerError::local("the brokers take nothing any more: the send queue stays full"));
                    }
                    serve(&self.producer);
                    record = back;
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code();
                    self.producer.context().refuse(&code.map_or_else(|| error.to_string(), |code| code.to_string()));
                    return Ok(());
                }
            }
        }
    }

    /// Takes in what was delivered, for this long.
    pub(crate) fn serve(&self, time: Duration) {
        self.producer.poll(time);
    }

    /// Waits until every record was taken or refused, `kafka.request_deadline` long at most: what is unknown
    /// then counts as refused.
    pub(crate) fn finish(self) -> Fed {
        let give_up = Instant::now() + self.deadline;
        while self.producer.in_flight_count() > 0 && Instant::now() < give_up {
            serve(&self.producer);
        }
        self.serve(Duration::ZERO);
        let deliveries = self.producer.context();
        let taken = deliveries.taken.load(Ordering::Relaxed);
        let known = taken + deliveries.refused.load(Ordering::Relaxed);
        let first = deliveries.first.lock().ok().and_then(|first| first.clone());
        let unknown = (known < self.sent).then(|| "the brokers did not acknowledge in time".to_owned());
        Fed { taken, refused: self.sent.saturating_sub(taken), first_reason: first.or(unknown) }
    }
}
