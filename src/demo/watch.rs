//! Reads what the worker publishes, as anyone downstream would: labelled posts and dead letters.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::Sender;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Deserialize;

use crate::config::Config;
use crate::kafka;

/// How long one poll waits; the stop flag is looked at in between.
const POLL: Duration = Duration::from_millis(50);

/// One outcome, as read from the topics.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sighting {
    /// A labelled post.
    Labelled {
        text: String,
        platform: String,
        /// Label and score, the highest first.
        labels: Vec<(String, f64)>,
    },
    /// A post published without scores.
    Skipped { reason: String },
    /// A dead letter: its class and its bytes, those that are no text replaced.
    Dead { class: String, bytes: String },
}

/// An output record, as far as the demo shows it.
#[derive(Deserialize)]
struct Output {
    skip_reason: Option<String>,
    text: Option<String>,
    platform: Option<String>,
    labels: Option<Vec<String>>,
    scores: Option<BTreeMap<String, f64>>,
}

/// A consumer of the output and the dead-letter topic.
pub(super) struct Watch {
    consumer: BaseConsumer,
    dead_letters: String,
    file: BufWriter<File>,
}

impl Watch {
    /// Reads both topics from their beginning; every output record also becomes a line of `file`.
    ///
    /// # Errors
    /// When the client or a topic cannot be had.
    pub(super) fn open(config: &Config, file: File) -> anyhow::Result<Self> {
        let mut client = kafka::client(config);
        client
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "20")
            .set("enable.auto.commit", "false");
        // A consumer must name a group even where it joins none.
        client.set("group.id", format!("{}-view", config.kafka.group));
        let consumer: BaseConsumer = client.create().context("no consumer for the view can be created")?;
        let mut list = TopicPartitionList::new();
        for topic in [&config.output.topic, &config.dead_letter.topic] {
            let metadata = consumer.fetch_metadata(Some(topic), config.kafka.request_deadline.0)?;
            for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        Ok(Self { consumer, dead_letters: config.dead_letter.topic.clone(), file: BufWriter::new(file) })
    }

    /// Passes every outcome on until told to stop.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn run(mut self, sightings: &Sender<Sighting>, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let Some(Ok(message)) = self.consumer.poll(POLL) else { continue };
            let sighting = if message.topic() == self.dead_letters {
                dead_letter(&message)
            } else {
                let payload = message.payload().unwrap_or_default();
                self.file.write_all(payload).and_then(|()| self.file.write_all(b"\n"))?;
                output(payload)
            };
            if sightings.send(sighting).is_err() {
                break;
            }
        }
        self.file.flush().context("the labelled posts cannot be written")
    }
}

fn output(payload: &[u8]) -> Sighting {
    let read: Result<Output, _> = serde_json::from_slice(payload);
    let Ok(Output { skip_reason, text, platform, labels, scores }) = read else {
        return Sighting::Skipped { reason: "unreadable".to_owned() };
    };
    if let Some(reason) = skip_reason {
        return Sighting::Skipped { reason };
    }
    let scores = scores.unwrap_or_default();
    let score = |label: &String| scores.get(label).copied().unwrap_or_default();
    let mut labels: Vec<(String, f64)> =
        labels.unwrap_or_default().into_iter().map(|label| (label.clone(), score(&label))).collect();
    labels.sort_by(|one, other| other.1.total_cmp(&one.1));
    Sighting::Labelled { text: text.unwrap_or_default(), platform: platform.unwrap_or_default(), labels }
}

fn dead_letter(message: &BorrowedMessage<'_>) -> Sighting {
    let class = message.headers().and_then(|headers| {
        let header = headers.iter().find(|header| header.key == "moodstream.class")?;
        Some(String::from_utf8_lossy(header.value?).into_owned())
    });
    let bytes = message.payload().map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned());
    Sighting::Dead { class: class.unwrap_or_default(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_with_their_scores_the_highest_first() {
        let json = br#"{"skip_reason":null,"text":"t","platform":"x","labels":["joy","love"],
                        "scores":{"anger":0.1,"joy":0.6,"love":0.9}}"#;
        let labels = vec![("love".to_owned(), 0.9), ("joy".to_owned(), 0.6)];
        assert_eq!(output(json), Sighting::Labelled { text: "t".into(), platform: "x".into(), labels });
        assert_eq!(output(br#"{"skip_reason":"empty"}"#), Sighting::Skipped { reason: "empty".into() });
    }
}
