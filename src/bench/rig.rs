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
use rdkafka::producer::{BaseRecord, Producer};

use crate::config::{Config, OtherLanguages, Start};
use crate::inference::Classifier;
use crate::kafka::{Access, Cluster, Link};
use crate::post::{Decoded, Mapping};
use crate::telemetry::{Metrics, Outcome, Readiness};
use crate::worker::Worker;

/// Fewer distinct texts say little about real ones.
const ENOUGH: usize = 20_000;
/// How long anything may stand still before a benchmark gives up.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

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
    admin: AdminClient<Link>,
    topics: [String; 3],
}

impl Rig {
    /// Makes the topics and a configuration that uses them.
    pub(super) async fn new(mut config: Config, partitions: i32) -> anyhow::Result<Self> {
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
        let access = Access::new(&config)?;
        let admin = access.admin()?;
        let new = topics.each_ref().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1)));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        for made in admin.create_topics(&new, &options).await.context("no broker makes the benchmark's topics")? {
            made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be made: {code}"))?;
        }
        tracing::info!(topic = topics[0], "the benchmark's topics are made");
        Ok(Self { config, access, admin, topics })
    }

    /// Fills the input topic with `count` records, the posts again and again.
    pub(super) fn fill(&self, posts: &Posts, count: usize, partitions: i32) -> anyhow::Result<()> {
        self.produce(&self.topics[0], posts.records().cycle().take(count), partitions)
    }

    /// Fills the output topic with `count` records, these again and again.
    pub(super) fn fill_output(&self, records: &[Vec<u8>], count: usize, partitions: i32) -> anyhow::Result<()> {
        self.produce(&self.topics[1], records.iter().map(Vec::as_slice).cycle().take(count), partitions)
    }

    fn produce<'a>(&self, topic: &str, records: impl Iterator<Item = &'a [u8]>, partitions: i32) -> anyhow::Result<()> {
        let mut client = self.access.settings();
        client.set("linger.ms", "20").set("compression.type", "lz4").set("queue.buffering.max.kbytes", "8192");
        let producer = self.access.producer(&client, self.access.link())?;
        for (index, record) in records.enumerate() {
            let partition = i32::try_from(index)? % partitions;
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(record);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        producer.poll(Duration::from_millis(10));
                        record = back;
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            }
        }
        producer.flush(PATIENCE).context("the posts could not be produced")
    }

    /// Starts the worker on the filled topic.
    pub(super) async fn work(&self, classifier: &dyn Classifier, sessions: usize) -> anyhow::Result<Run> {
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::new(metrics.ready.clone());
        let cluster = Cluster::open(&self.config, &metrics).await?;
        let config = Arc::new(self.config.clone());
        let worker = Worker::start(&config, cluster, classifier, sessions, &metrics, &readiness)?;
        Ok(Run { worker, metrics })
    }

    /// Removes the topics.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let topics = self.topics.each_ref().map(String::as_str);
        self.admin.delete_topics(&topics, &AdminOptions::new()).await?;
        Ok(())
    }
}

/// A worker at work.
pub(super) struct Run {
    pub(super) worker: Worker,
    pub(super) metrics: Arc<Metrics>,
}

impl Run {
    /// Posts labelled and committed so far.
    pub(super) fn labelled(&self) -> u64 {
        self.metrics.outcomes.of([Outcome::Labelled.name(), ""]).get()
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
