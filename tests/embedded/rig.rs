//! A worker on an embedded broker of its own, and someone who reads what it publishes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moodstream::config::Config;
use moodstream::demo::EmbeddedBroker;
use moodstream::inference::faulty::{Faults, FaultyClassifier};
use moodstream::kafka::Cluster;
use moodstream::telemetry::status::About;
use moodstream::telemetry::{Metrics, Notices, Outcome, Readiness, Status, TransactionResult};
use moodstream::worker::Worker;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{DeliveryResult, Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) const POSTS: &str = "posts";
pub(crate) const OUTPUT: &str = "posts.emotions";
pub(crate) const DEAD: &str = "posts.dead-letter";
pub(crate) const GROUP: &str = "embedded-tests";

/// Everything that is waited for must happen within this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// One look at what was published.
const LOOK: Duration = Duration::from_millis(20);

/// How a worker is set up.
pub(crate) struct Setup {
    pub(crate) brokers: usize,
    pub(crate) partitions: i32,
    pub(crate) output_partitions: i32,
    pub(crate) lanes: usize,
    pub(crate) faults: Faults,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            brokers: 1,
            partitions: 1,
            output_partitions: 1,
            lanes: 1,
            faults: Faults::default(),
            settings: Vec::new(),
        }
    }
}

impl Setup {
    /// Adds a setting.
    pub(crate) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.settings.push((key, value.to_owned()));
        self
    }

    /// Starts broker, worker and reader, and waits until the worker is ready.
    pub(crate) fn start(self) -> Rig {
        let input = (POSTS, self.partitions);
        let topics = [input, (OUTPUT, self.output_partitions), (DEAD, 1)];
        let broker = EmbeddedBroker::start(self.brokers, &topics).expect("a broker");
        broker.set_join_delay(Duration::from_millis(100));
        broker.commit_beginnings(GROUP, &[input]).expect("beginnings");
        let brokers = broker.address().expect("an address");
        let own = [
            ("kafka.brokers", brokers.clone()),
            ("kafka.group", GROUP.to_owned()),
            ("worker.lanes", self.lanes.to_string()),
            ("worker.shutdown_timeout", "5s".to_owned()),
            ("kafka.request_deadline", "5s".to_owned()),
            ("kafka.session_timeout", "6s".to_owned()),
            ("breaker.probe_interval", "100ms".to_owned()),
            ("admin.listen", String::new()),
        ];
        let flags: Vec<(String, String)> =
            own.into_iter().chain(self.settings).map(|(key, value)| (key.to_owned(), value)).collect();
        let config = Config::load(None, std::iter::empty(), &flags).expect("a configuration");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        let mut rig = Rig {
            producer: producer(&brokers),
            reader: Reader::new(&brokers, self.output_partitions),
            worker: None,
            config: Arc::new(config),
            classifier: FaultyClassifier::new(self.faults),
            sent: RefCell::default(),
            runtime,
            broker,
            metrics,
            readiness,
        };
        rig.start_worker();
        rig
    }
}

/// Panics when the broker refuses what a test sends.
struct MustArrive;

impl ClientContext for MustArrive {}

impl ProducerContext for MustArrive {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            panic!("the broker refuses the test's own record: {error}");
        }
    }
}

fn producer(brokers: &str) -> BaseProducer<MustArrive> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.max.bytes", "10000000");
    // What is sent at once goes out as one message set: the embedded broker answers a fetch with one of them, so many
    // small ones cost a round trip each.
    config.set("linger.ms", "10");
    config.create_with_context(MustArrive).expect("a producer")
}

/// A running worker and its surroundings. Fields are dropped in this order: the broker last.
pub(crate) struct Rig {
    worker: Option<Worker>,
    config: Arc<Config>,
    classifier: FaultyClassifier,
    producer: BaseProducer<MustArrive>,
    reader: Reader,
    /// Records sent, per partition.
    sent: RefCell<BTreeMap<i32, i64>>,
    pub(crate) runtime: Runtime,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    pub(crate) broker: EmbeddedBroker,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            // A test that failed has said why already.
            let _ = self.runtime.block_on(worker.stop());
        }
    }
}

impl Rig {
    /// Sends records to one partition, with a header, and waits until the broker has them.
    pub(crate) fn send(&self, partition: i32, values: &[Option<&[u8]>]) {
        for value in values {
            let mut sent = self.sent.borrow_mut();
            let number = sent.entry(partition).or_insert(0);
            let key = format!("key-{partition}-{number}");
            let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some(key.as_bytes()) });
            let mut record =
                BaseRecord::<[u8], [u8]>::to(POSTS).partition(partition).key(key.as_bytes()).headers(headers);
            record.payload = *value;
            self.producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
            *number += 1;
        }
        let give_up = Instant::now() + DEADLINE;
        while self.producer.in_flight_count() > 0 {
            // A flush would take 100 ms whatever there is to do.
            self.producer.poll(Duration::from_millis(1));
            assert!(Instant::now() < give_up, "the broker does not take what the test sends");
        }
    }

    /// Sends English posts with these texts.
    pub(crate) fn send_texts(&self, partition: i32, texts: &[&str]) {
        let posts: Vec<String> = texts.iter().map(|text| post(text)).collect();
        let values: Vec<Option<&[u8]>> = posts.iter().map(|post| Some(post.as_bytes())).collect();
        self.send(partition, &values);
    }

    /// Sends so many posts with different texts to every partition.
    pub(crate) fn send_many(&self, partitions: i32, each: usize, word: &str) {
        for partition in 0..partitions {
            let texts: Vec<String> = (0..each).map(|index| format!("{word} {partition} {index}")).collect();
            self.send_texts(partition, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.borrow().values().map(|sent| u64::try_from(*sent).expect("a count")).sum()
    }

    /// Waits for a condition; the one place where tests wait.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + DEADLINE;
        while !condition(self) {
            self.reader.look();
            assert!(
                Instant::now() < give_up,
                "not within {DEADLINE:?}: {what}\nnot ready because {:?}\n{} outputs, {} dead letters of {} records\n{}",
                self.readiness.reasons(),
                self.outputs().len(),
                self.dead_letters().len(),
                self.sent(),
                self.metrics.encode()
            );
        }
    }

    /// Waits until the worker has counted this many outcomes in all.
    pub(crate) fn wait_for_outcomes(&self, count: u64) {
        self.wait(&format!("{count} outcomes"), |rig| rig.outcomes() >= count);
        let published = |rig: &Self| {
            (rig.outputs().len() + rig.dead_letters().len()) as u64 + rig.count(Outcome::Skipped, "not_selected")
        };
        self.wait("they are all published", |rig| published(rig) >= count);
    }

    /// Waits until every record sent is counted.
    pub(crate) fn wait_until_all_are_settled(&self) {
        self.wait("every record is counted", |rig| rig.outcomes() >= rig.sent());
    }

    /// The status of the worker, as `run` makes it.
    pub(crate) fn status(&self) -> Status {
        let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
        let status = Status::new(About::new(&self.config), metrics, readiness, Notices::default());
        let worker = self.worker.as_ref().expect("a worker");
        status.show_worker(worker.lanes().clone(), worker.instance());
        status
    }

    /// Waits until every record sent has an output or a dead letter, and checks that the metrics add up.
    pub(crate) fn wait_until_all_are_labelled(&self) {
        let all: BTreeSet<(i32, i64)> = {
            let sent = self.sent.borrow();
            sent.iter().flat_map(|(partition, count)| (0..*count).map(|offset| (*partition, offset))).collect()
        };
        self.wait("every record is labelled", |rig| {
            rig.outputs().iter().map(Record::source).collect::<BTreeSet<_>>() == all
        });
        self.wait("every record is counted", |rig| rig.outcomes() >= rig.sent());
        self.wait("the worker is ready again", |rig| rig.readiness.is_ready());
        let polled = self.metrics.records_polled.of([POSTS]).get();
        let replayed = self.metrics.records_replayed.of([POSTS]).get();
        assert_eq!(polled - replayed, self.sent(), "each record is polled for the first time once");
        assert!((self.sent()..=polled).contains(&self.outcomes()), "{} outcomes of {polled} polled", self.outcomes());
    }

    /// Starts a worker and waits until it is ready.
    pub(crate) fn start_worker(&mut self) {
        let cluster = self.runtime.block_on(Cluster::open(&self.config, &self.metrics)).expect("a cluster");
        let started = Worker::start(&self.config, cluster, &self.classifier, 1, &self.metrics, &self.readiness);
        self.worker = Some(started.expect("a worker"));
        self.readiness.clear(Readiness::STARTING);
        self.wait("the worker is ready", |rig| rig.readiness.is_ready());
    }

    /// Stops the worker, which must end well.
    pub(crate) fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.stop()).expect("the worker stops well");
        }
    }

    /// Errors that the reader was told, such as lost connections.
    pub(crate) fn reader_errors(&self) -> u64 {
        self.reader.errors.get()
    }

    pub(crate) fn outputs(&self) -> Vec<Record> {
        self.reader.records(OUTPUT)
    }

    pub(crate) fn dead_letters(&self) -> Vec<Record> {
        self.reader.records(DEAD)
    }

    pub(crate) fn count(&self, outcome: Outcome, reason: &str) -> u64 {
        self.metrics.outcomes.of([outcome.name(), reason]).get()
    }

    pub(crate) fn transactions(&self, result: TransactionResult) -> u64 {
        self.metrics.transactions.of([result.name()]).get()
    }

    /// All outcomes, as the metrics page tells them.
    pub(crate) fn outcomes(&self) -> u64 {
        let page = self.metrics.encode();
        let samples = page.lines().filter(|line| line.starts_with("moodstream_outcomes_total{"));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Why the worker is not ready, in one line.
    pub(crate) fn complaints(&self) -> String {
        self.readiness.reasons().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join("; ")
    }
}

/// An English post.
pub(crate) fn post(text: &str) -> String {
    json!({"id": format!("id of {text}"), "text": text, "lang": "en", "author": "an author", "platform": "x"})
        .to_string()
}

/// A record that the worker published.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.value.as_deref().expect("a value")).expect("JSON")
    }

    /// Partition and offset of the input record.
    pub(crate) fn source(&self) -> (i32, i64) {
        let json = self.json();
        let number = |name: &str| json["source"][name].as_i64().expect("a number");
        (i32::try_from(number("partition")).expect("a partition"), number("offset"))
    }
}

/// Reads the output and the dead-letter topic from their beginning.
struct Reader {
    consumer: BaseConsumer,
    read: RefCell<BTreeMap<String, Vec<Record>>>,
    errors: Cell<u64>,
}

impl Reader {
    fn new(brokers: &str, output_partitions: i32) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", "reader").set("enable.auto.commit", "false");
        config.set("fetch.wait.max.ms", "10").set("reconnect.backoff.max.ms", "200");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in [(OUTPUT, output_partitions), (DEAD, 1)] {
            for partition in 0..partitions {
                list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
            }
        }
        consumer.assign(&list).expect("assigned");
        Self { consumer, read: RefCell::default(), errors: Cell::default() }
    }

    /// Takes in what was published meanwhile.
    fn look(&self) {
        let mut wait = LOOK;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            let Ok(message) = polled else {
                self.errors.set(self.errors.get() + 1);
                continue;
            };
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let record = Record {
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            };
            self.read.borrow_mut().entry(message.topic().to_owned()).or_default().push(record);
        }
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        self.read.borrow().get(topic).cloned().unwrap_or_default()
    }
}
