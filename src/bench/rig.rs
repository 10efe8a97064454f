//! Topics of the benchmark's own, filled with distinct posts, and a worker on them.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::config::{Config, OAuth, OtherLanguages, Properties, Start};
use crate::demo::EmbeddedBroker;
use crate::inference::Classifier;
use crate::kafka::{Access, Cluster, Link};
use crate::post::{Decoded, Mapping};
use crate::telemetry::{Metrics, Outcome, Readiness};
use crate::worker::Worker;

/// Fewer distinct texts say little about real ones.
const ENOUGH: usize = 20_000;
/// How long anything may stand still before a benchmark gives up.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// How long a new group on the embedded broker waits for its other lanes, so that it is assigned once.
const JOIN_DELAY: Duration = Duration::from_secs(1);

/// Posts to measure with: JSON records with distinct texts.
pub struct Posts {
    records: Vec<Vec<u8>>,
    texts: Vec<String>,
}

impl Posts {
    /// Reads JSON lines, `most` posts at most; records that are no posts, and texts seen before, are left out.
    ///
    /// # Errors
    /// When the file cannot be read or holds no post.
    pub fn read(file: &Path, config: &Config, most: usize) -> anyhow::Result<Self> {
        let unreadable = || format!("cannot read the posts in {}", file.display());
        let lines = BufReader::new(File::open(file).with_context(unreadable)?).split(b'\n');
        let mapping = Mapping::new(&config.input);
        let (mut posts, mut seen) = (Self { records: Vec::new(), texts: Vec::new() }, HashSet::new());
        for line in lines {
            let line = line.with_context(unreadable)?;
            if let Ok(Decoded::Post(post)) = mapping.decode(Some(&line))
                && !post.text.trim().is_empty()
                && seen.insert(post.text.clone())
            {
                if posts.texts.len() == most {
                    break;
                }
                posts.records.push(line);
                posts.texts.push(post.text);
            }
        }
        if posts.texts.is_empty() {
            bail!("{} holds no post at input.fields.text = {}", file.display(), config.input.fields.text);
        }
        if posts.texts.len() < ENOUGH {
            let texts = posts.texts.len();
            tracing::warn!(texts, "few distinct texts: figures from {ENOUGH} or more can be compared");
        }
        Ok(posts)
    }

    /// The records, as they are produced.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.records.iter().map(Vec::as_slice)
    }

    /// The texts.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none; never, once read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// A topic full of posts, and where their labels go; removed at the end.
pub(super) struct Rig {
    pub(super) config: Config,
    pub(super) access: Access,
    place: Place,
    topics: [String; 3],
}

/// Where the topics are.
enum Place {
    Cluster(AdminClient<Link>),
    Embedded(#[expect(dead_code, reason = "the broker ends with this value")] EmbeddedBroker),
}

impl Rig {
    /// Makes the topics and a configuration that uses them.
    pub(super) async fn new(config: Config, partitions: i32) -> anyhow::Result<Self> {
        let (config, topics) = named(config);
        let access = Access::new(&config)?;
        let admin = access.admin()?;
        let new = topics.each_ref().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1)));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        for made in admin.create_topics(&new, &options).await.context("no broker makes the benchmark's topics")? {
            made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be made: {code}"))?;
        }
        tracing::info!(topic = topics[0], "the benchmark's topics are made");
        Ok(Self { config, access, place: Place::Cluster(admin), topics })
    }

    /// The same on a broker inside the process, with none of the settings that belong to a cluster.
    pub(super) fn embedded(config: Config, partitions: i32) -> anyhow::Result<Self> {
        let (mut config, topics) = named(config);
        let names = topics.each_ref().map(|topic| (topic.as_str(), partitions));
        let broker = EmbeddedBroker::start(1, &names)?;
        broker.set_join_delay(JOIN_DELAY);
        broker.commit_beginnings(&config.kafka.group, &names[..1])?;
        config.kafka.brokers = broker.address()?;
        config.kafka.oauth = OAuth::default();
        config.kafka.properties = Properties::default();
        let access = Access::new(&config)?;
        Ok(Self { config, access, place: Place::Embedded(broker), topics })
    }

    /// Fills the input topic with `count` records, the posts again and again.
    pub(super) fn fill(&self, posts: &Posts, count: usize, partitions: i32) -> anyhow::Result<()> {
        let producer = self.producer()?;
        producer.send_all(posts.records().cycle().take(count), partitions)
    }

    /// Fills the output topic with `count` records, these again and again.
    pub(super) fn fill_output(&self, records: &[Vec<u8>], count: usize, partitions: i32) -> anyhow::Result<()> {
        let producer = self.producer_of(&self.topics[1])?;
        producer.send_all(records.iter().map(Vec::as_slice).cycle().take(count), partitions)
    }

    /// A producer of the input topic.
    pub(super) fn producer(&self) -> anyhow::Result<PostProducer> {
        self.producer_of(&self.topics[0])
    }

    fn producer_of(&self, topic: &str) -> anyhow::Result<PostProducer> {
        let mut client = self.access.settings();
        client.set("linger.ms", "20").set("compression.type", "lz4").set("queue.buffering.max.kbytes", "8192");
        let producer = self.access.producer(&client, self.access.link())?;
        Ok(PostProducer { producer, topic: topic.to_owned() })
    }

    /// Starts the worker on the filled topic.
    pub(super) async fn work(&self, classifier: &dyn Classifier, sessions: usize) -> anyhow::Result<Run> {
        Run::start(&self.config, classifier, sessions).await
    }

    /// Removes the topics.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        if let Place::Cluster(admin) = &self.place {
            let topics = self.topics.each_ref().map(String::as_str);
            admin.delete_topics(&topics, &AdminOptions::new()).await?;
        }
        Ok(())
    }
}

/// A configuration with topics and a group of its own, and the names of the topics.
fn named(mut config: Config) -> (Config, [String; 3]) {
    let run = format!("moodstream-bench-{:08x}", RandomState::new().hash_one(std::process::id()) >> 32);
    let topics = [format!("{run}-posts"), format!("{run}-labelled"), format!("{run}-dead")];
    config.input.topics = vec![topics[0].clone()];
    config.input.start = Start::Earliest;
    config.output.topic.clone_from(&topics[1]);
    config.dead_letter.topic.clone_from(&topics[2]);
    config.kafka.group = run;
    config.worker.instance = String::new();
    // What the model alone is measured on is labelled, whatever its language.
    config.input.other_languages = OtherLanguages::Label;
    (config, topics)
}

/// Produces posts as they are.
pub(super) struct PostProducer {
    producer: BaseProducer<Link>,
    topic: String,
}

impl PostProducer {
    /// Enqueues a record, once there is room.
    pub(super) fn send(&self, partition: i32, record: &[u8]) -> anyhow::Result<()> {
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition).payload(record);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.serve(Duration::from_millis(10));
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Takes in what was delivered, for this long.
    pub(super) fn serve(&self, time: Duration) {
        self.producer.poll(time);
    }

    /// Deals records out to so many partitions, and waits until the broker has them.
    fn send_all<'a>(&self, records: impl Iterator<Item = &'a [u8]>, partitions: i32) -> anyhow::Result<()> {
        for (index, record) in records.enumerate() {
            self.send(i32::try_from(index)? % partitions, record)?;
        }
        self.producer.flush(PATIENCE).context("the posts could not be produced")
    }
}

/// A worker at work.
pub(super) struct Run {
    pub(super) worker: Worker,
    pub(super) metrics: Arc<Metrics>,
    readiness: Readiness,
}

impl Run {
    /// Starts a worker.
    pub(super) async fn start(config: &Config, classifier: &dyn Classifier, sessions: usize) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        let cluster = Cluster::open(config, &metrics).await?;
        let config = Arc::new(config.clone());
        let worker = Worker::start(&config, cluster, classifier, sessions, &metrics, &readiness)?;
        readiness.clear(Readiness::STARTING);
        Ok(Self { worker, metrics, readiness })
    }

    /// Posts labelled and committed so far.
    pub(super) fn labelled(&self) -> u64 {
        self.metrics.outcomes.of([Outcome::Labelled.name(), ""]).get()
    }

    /// Waits until every lane has its partitions.
    pub(super) async fn joined(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while !self.readiness.is_ready() {
            if Instant::now() > give_up {
                bail!("the worker is not ready after {} s: {:?}", PATIENCE.as_secs(), self.readiness.reasons());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until `count` posts are labelled, or `until` is over; fails when nothing moves.
    pub(super) async fn wait(&self, count: u64, until: Option<Instant>) -> anyhow::Result<()> {
        let (mut last, mut moved) = (self.labelled(), Instant::now());
        while last < count && until.is_none_or(|until| Instant::now() < until) {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = self.labelled();
            if now > last {
                (last, moved) = (now, Instant::now());
            } else if moved.elapsed() > PATIENCE {
                bail!("the worker has labelled nothing for {} s, {last} of {count} posts are done", PATIENCE.as_secs());
            }
        }
        Ok(())
    }
}
