//! From producing a post to its committed label, as a consumer that reads committed records sees it, at low load.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;

use super::machine::{Machine, ModelUsed};
use super::rig::{PATIENCE, Posts, Rig};
use crate::config::Config;
use crate::inference;
use crate::kafka::{BrokerError, Link};

const PARTITIONS: i32 = 4;
/// Posts that warm everything up and are not measured.
const WARM_UP: usize = 30;

/// Milliseconds from `send` to the consumer's `poll`.
#[derive(Debug, Serialize)]
pub struct LatencyFigures {
    machine: Machine,
    model: ModelUsed,
    posts: usize,
    posts_per_second: u32,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl fmt::Display for LatencyFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, model, posts, posts_per_second, p50, p90, p99, max } = self;
        writeln!(f, "{machine}\n{model}")?;
        write!(
            f,
            "produce to committed label, {posts} posts at {posts_per_second} a second, at random moments: \
             p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
        )
    }
}

/// Moments of sending, by the number that is the record's key.
type Sent = Arc<Mutex<HashMap<usize, Instant>>>;

/// Produces `rate` posts a second for `seconds`, as a Poisson process.
///
/// # Errors
/// When the model, the broker or the worker fails, or a label does not come.
pub async fn latency(
    mut config: Config,
    posts: &Posts,
    rate: NonZeroU32,
    seconds: Duration,
) -> anyhow::Result<LatencyFigures> {
    config.inference.cache_entries = 0;
    let loaded = inference::load(&config.model, &config.inference)?;
    let rig = Rig::new(config, PARTITIONS).await?;
    let run = rig.work(&*loaded.classifier, loaded.sessions).await?;
    let consumer = committed(&rig)?;
    let sent: Sent = Arc::default();
    let count = WARM_UP + usize::try_from(seconds.as_secs())? * usize::try_from(rate.get())?;
    let (topic, noted) = (rig.config.input.topics[0].clone(), Arc::clone(&sent));
    let producer = producer(&rig)?;
    let records: Vec<Vec<u8>> = posts.records().cycle().take(count).map(<[u8]>::to_vec).collect();
    tracing::info!(count, rate, "producing");
    let sending = thread::Builder::new()
        .name("bench-produce".to_owned())
        .spawn(move || send(&producer, &topic, &records, f64::from(rate.get()), &noted))?;
    let receiving =
        thread::Builder::new().name("bench-consume".to_owned()).spawn(move || receive(&consumer, &sent, count))?;
    let latencies = tokio::task::spawn_blocking(move || {
        let panicked = |_| anyhow::anyhow!("a thread of the benchmark panicked");
        sending.join().map_err(panicked)??;
        receiving.join().map_err(panicked)?
    });
    let mut latencies = latencies.await??;
    run.worker.stop().await.context("the worker did not stop")?;
    rig.remove().await?;
    latencies.sort_unstable();
    let at = |share: f64| percentile(&latencies, share).as_secs_f64() * 1e3;
    Ok(LatencyFigures {
        machine: Machine::here(),
        model: ModelUsed::new(&loaded),
        posts: latencies.len(),
        posts_per_second: rate.get(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: at(1.0),
    })
}

fn producer(rig: &Rig) -> anyhow::Result<BaseProducer<Link>> {
    let mut client = rig.access.settings();
    client.set("linger.ms", "0");
    Ok(rig.access.producer(&client, rig.access.link())?)
}

/// A consumer of the output topic that sees what is committed and nothing else.
fn committed(rig: &Rig) -> anyhow::Result<BaseConsumer<Link>> {
    let mut client = rig.access.settings();
    client.set("group.id", format!("{}-reader", rig.config.kafka.group)).set("isolation.level", "read_committed");
    client.set("enable.auto.commit", "false");
    let consumer = rig.access.consumer(&client, rig.access.link())?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(&rig.config.output.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// Sends at random moments: gaps are exponentially distributed, as those of independent authors are.
fn send(producer: &BaseProducer<Link>, topic: &str, records: &[Vec<u8>], rate: f64, sent: &Sent) -> anyhow::Result<()> {
    let random = RandomState::new();
    let mut due = Instant::now();
    for (number, record) in records.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more digits")]
        let uniform = (random.hash_one(number) as f64 + 1.0) / (u64::MAX as f64 + 2.0);
        due += Duration::from_secs_f64(-uniform.ln() / rate);
        while Instant::now() < due {
            producer.poll(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        }
        let key = number.to_string();
        let partition = i32::try_from(number)? % PARTITIONS;
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(record);
        sent.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Instant::now());
        producer.send(record).map_err(|(error, _)| BrokerError::from(error))?;
    }
    producer.flush(PATIENCE).map_err(BrokerError::from)?;
    Ok(())
}

/// Waits for all labels; the first ones are not measured.
fn receive(consumer: &BaseConsumer<Link>, sent: &Sent, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(count);
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < count {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if moved.elapsed() > PATIENCE {
                bail!("no label came for {} s, {seen} of {count} have", PATIENCE.as_secs());
            }
            continue;
        };
        let (message, now) = (message.map_err(BrokerError::from)?, Instant::now());
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()?.parse::<usize>().ok());
        let number = key.context("a record of the output topic has lost its key")?;
        let at = sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let at = at.with_context(|| format!("post {number} was labelled twice, or never sent"))?;
        (seen, moved) = (seen + 1, now);
        if number >= WARM_UP {
            latencies.push(now - at);
        }
    }
    Ok(latencies)
}

/// The nearest-rank percentile of sorted values, which are some.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |share| percentile(&sorted, share).as_millis();
        assert_eq!((at(0.5), at(0.99), at(1.0), at(0.0)), (100, 198, 200, 1));
        assert_eq!(percentile(&sorted[..3], 0.5).as_millis(), 2, "the middle one, not the one below it");
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
