//! Gathers what [`positions::plan`](super::positions::plan) needs, and carries its plan out.
//!
//! The same way is taken at start, after a rebalance, after an abort and after an unknown result.

use std::collections::BTreeMap;

use super::Clients;
use super::failure::BrokerError;
use super::positions::{Facts, Lost, Note, Partition, Plan, plan};
use super::publisher::Broken;
use crate::config::{LostPosition, Start};

/// What came of asking the broker where to go on.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// The lane reads from these offsets now.
    Reading {
        positions: BTreeMap<Partition, i64>,
        notes: BTreeMap<String, Note>,
        lost: Vec<Lost>,
        /// The batch that each partition's offset was committed with.
        batches: BTreeMap<Partition, u64>,
    },
    /// Not yet: ask again.
    Later(String),
    /// Positions are lost: the lane must not go on by itself.
    Stopped(Vec<Lost>),
    /// This user lacks a permission.
    Denied(BrokerError),
    /// The producer must be thrown away.
    Broken(BrokerError),
}

impl Clients {
    /// Asks the broker where this lane's partitions go on and reads from there.
    pub(crate) fn resume(&mut self, assigned: &[Partition]) -> Resumed {
        match self.try_resume(assigned) {
            Ok(resumed) => resumed,
            Err(error) if error.is_unauthorized() => Resumed::Denied(error),
            Err(error) => Resumed::Later(error.to_string()),
        }
    }

    fn try_resume(&mut self, assigned: &[Partition]) -> Result<Resumed, BrokerError> {
        let consumer = &self.consumer;
        let topics = &self.cluster.input_topics;
        let all = consumer.partitions(topics)?;
        let mut owned = BTreeMap::new();
        for partition in assigned {
            owned.insert(partition.clone(), consumer.bounds(partition)?);
        }
        let topic_ids = self.cluster.topic_ids(consumer)?;
        let group = consumer.committed(&all)?;
        let unknown = group.values().all(Option::is_none);
        let facts = Facts {
            output_empty: !unknown || self.cluster.output_is_empty(consumer)?,
            group,
            owned,
            first_ids: self.cluster.first_ids(&topic_ids),
            topic_ids,
            on_lost: self.cluster.on_lost,
        };
        let notes = notes(&all, &facts.topic_ids);
        match plan(&facts) {
            Plan::Start { positions, to_commit, lost } => {
                if !to_commit.is_empty()
                    && let Err(broken) = self.commit_only(&to_commit, &notes)
                {
                    return Ok(broken);
                }
                self.consumer.read_from(&positions)?;
                let committed = facts
                    .group
                    .into_iter()
                    .filter_map(|(partition, committed)| Some((partition, committed?.note?.batch)));
                Ok(Resumed::Reading { positions, notes, lost, batches: committed.collect() })
            }
            Plan::Initialise { lost } => {
                let start = if lost.is_empty() {
                    self.cluster.start
                } else if self.cluster.on_lost == LostPosition::Latest {
                    Start::Latest
                } else {
                    Start::Earliest
                };
                let beginnings = self.beginnings(&all, start)?;
                if let Err(broken) = self.commit_only(&beginnings, &notes) {
                    return Ok(broken);
                }
                for lost in &lost {
                    self.cluster.report_lost(lost);
                }
                tracing::info!(partitions = all.len(), ?start, "the group is new: its beginnings are committed");
                Ok(Resumed::Later("the group's beginnings were just committed".to_owned()))
            }
            Plan::Wait => Ok(Resumed::Later("another lane commits the new group's beginnings".to_owned())),
            Plan::Stop(lost) => Ok(Resumed::Stopped(lost)),
        }
    }

    fn beginnings(&self, all: &[Partition], start: Start) -> Result<BTreeMap<Partition, i64>, BrokerError> {
        if let Start::Time(time) = start {
            return self.consumer.offsets_at(all, time);
        }
        let begin = |partition: &Partition| {
            let bounds = self.consumer.bounds(partition)?;
            Ok((partition.clone(), if start == Start::Latest { bounds.high } else { bounds.low }))
        };
        all.iter().map(begin).collect()
    }

    /// A transaction of offsets alone.
    fn commit_only(
        &mut self,
        offsets: &BTreeMap<Partition, i64>,
        notes: &BTreeMap<String, Note>,
    ) -> Result<(), Resumed> {
        let committed = self.publisher.begin().and_then(|()| self.publisher.commit(&self.consumer, offsets, notes, 0));
        committed.map_err(|broken| match broken {
            Broken::Aborted { error, .. } | Broken::Dead(error) | Broken::Unknown(error) if error.is_unauthorized() => {
                Resumed::Denied(error)
            }
            Broken::Aborted { error, .. } => Resumed::Later(error.to_string()),
            Broken::Dead(error) | Broken::Unknown(error) => Resumed::Broken(error),
        })
    }
}

/// The note that is committed with every offset of a topic.
fn notes(all: &[Partition], topic_ids: &BTreeMap<String, String>) -> BTreeMap<String, Note> {
    let mut notes = BTreeMap::new();
    for partition in all {
        let note = notes.entry(partition.topic.clone()).or_insert_with(|| Note {
            topic_id: topic_ids.get(&partition.topic).cloned().unwrap_or_default(),
            partitions: 0,
            batch: 0,
        });
        note.partitions = note.partitions.max(partition.number + 1);
    }
    notes
}
