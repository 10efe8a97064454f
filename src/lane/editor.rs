//! Writes what becomes of each record: the output's JSON, or a dead letter.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::OwnedHeaders;

use super::batch::Polled;
use super::session::Slot;
use crate::config::Config;
use crate::fate::{Death, Fate, Stage, Tally};
use crate::inference::ModelInfo;
use crate::kafka::{Broken, BrokerError, Cluster, FRAMING, Original, Outgoing, Publisher, header_bytes, letter};
use crate::labelled::{Content, RecordWriter, Source};

/// Records convicted one after the other before the fault is looked for in the output topic.
const CONVICTIONS: u32 = 10;

/// Writes one lane's records.
pub(super) struct Editor {
    cluster: Arc<Cluster>,
    writer: RecordWriter,
    /// Records that the broker refuses even alone, by partition and offset.
    convicted: BTreeSet<(String, i32, i64)>,
    convictions: u32,
    json: Vec<u8>,
}

impl Editor {
    pub(super) fn new(config: &Config, cluster: &Arc<Cluster>, key: Option<&[u8]>) -> Self {
        Self {
            cluster: cluster.clone(),
            writer: RecordWriter::new(&config.privacy, key),
            convicted: BTreeSet::new(),
            convictions: 0,
            json: Vec::with_capacity(4096),
        }
    }

    /// A new batch: its records are labelled at this moment.
    pub(super) fn begin(&mut self) {
        self.writer.begin();
    }

    /// A batch was accepted: whatever was wrong, it is not the output topic.
    pub(super) fn accepted(&mut self) {
        self.convictions = 0;
        self.convicted.clear();
    }

    /// The broker refuses this record even alone: it will be a dead letter. False when that happens too often in a row.
    pub(super) fn convict(&mut self, polled: &Polled<'_>, error: &BrokerError) -> bool {
        let message = &polled.message;
        let place = (message.topic().to_owned(), message.partition(), message.offset());
        tracing::warn!(topic = place.0, partition = place.1, offset = place.2, %error, "the broker refuses this record");
        self.convictions += 1;
        self.convicted.insert(place) && self.convictions <= CONVICTIONS
    }

    /// Sends one record's outcome and counts it.
    pub(super) fn publish(
        &mut self,
        publisher: &mut Publisher,
        slot: &Slot,
        polled: &Polled<'_>,
        fate: &Fate,
        model: &ModelInfo,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let content = match fate {
            Fate::NotSelected => {
                tally.skipped("not_selected");
                return Ok(());
            }
            Fate::Dead(death) => return self.bury(publisher, slot, polled, death, model, tally),
            Fate::Labelled { post, scored } => Content::Labelled(post, scored),
            Fate::Skipped { post, reason } => Content::Skipped(post, *reason),
        };
        let message = &polled.message;
        let convicted = !self.convicted.is_empty()
            && self.convicted.contains(&(message.topic().to_owned(), message.partition(), message.offset()));
        if convicted {
            let death = Death {
                stage: Stage::Produce,
                class: "refused_by_broker",
                message: "the broker refuses this record's output for good".to_owned(),
            };
            return self.bury(publisher, slot, polled, &death, model, tally);
        }
        let source = Source::Record {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: polled.timestamp,
        };
        self.json.clear();
        if let Err(error) = self.writer.write(&mut self.json, source, &content, model) {
            let death = Death { stage: Stage::Produce, class: "not_encodable", message: error.to_string() };
            return self.bury(publisher, slot, polled, &death, model, tally);
        }
        let headers = message.headers().map(rdkafka::message::BorrowedHeaders::detach);
        let size = FRAMING + self.json.len() + message.key_len() + headers.as_ref().map_or(0, header_bytes);
        let limit = self.cluster.output.max_message_bytes;
        if size > limit {
            let why = format!("the output takes {size} bytes, the topic's max.message.bytes is {limit}");
            let death = Death { stage: Stage::Produce, class: "output_too_large", message: why };
            return self.bury(publisher, slot, polled, &death, model, tally);
        }
        publisher.send(Outgoing {
            topic: &self.cluster.output.topic,
            partition: slot.output,
            key: message.key(),
            payload: Some(&self.json),
            headers,
            timestamp: self.timestamp(polled),
        })?;
        match content {
            Content::Labelled(_, scored) => tally.labelled(scored, model),
            Content::Skipped(_, reason) => tally.skipped(reason.as_str()),
        }
        Ok(())
    }

    /// The input's own time, but never the future: brokers refuse that, with the whole produce batch.
    fn timestamp(&self, polled: &Polled<'_>) -> i64 {
        polled.timestamp.clamp(0, self.writer.now().0)
    }

    fn bury(
        &mut self,
        publisher: &mut Publisher,
        slot: &Slot,
        polled: &Polled<'_>,
        death: &Death,
        model: &ModelInfo,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let message = &polled.message;
        let headers: Option<OwnedHeaders> = message.headers().map(rdkafka::message::BorrowedHeaders::detach);
        let original = Original {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: polled.timestamp,
            key: message.key(),
            payload: message.payload(),
            headers,
        };
        let target = &self.cluster.dead_letter;
        let letter = letter(original, death, self.cluster.instance(), &model.hash, target.max_message_bytes);
        publisher.send(Outgoing {
            topic: &target.topic,
            partition: slot.dead_letter,
            key: message.key(),
            payload: letter.payload,
            headers: Some(letter.headers),
            timestamp: self.timestamp(polled),
        })?;
        tally.dead_lettered(death.class);
        Ok(())
    }
}
