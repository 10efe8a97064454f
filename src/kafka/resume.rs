//! Gathers what [`positions::plan`](super::positions::plan) needs, and carries its plan out.
//!
//! The same way is taken at start, after a rebalance, after an abort and after an unknown result.

use std::collections::BTreeMap;

use super::Clients;
use super::failure::BrokerError;
use super::note::Note;
use super::positions::{Facts, Lost, Names, Partition, Plan, plan};
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
        let all = consumer.partitions()?;
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
        match plan(&facts) {
            Plan::Start { positions, to_commit, lost } => {
                let notes = facts.notes_with(to_commit.keys());
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
                if let Some(later) = self.begin(&facts, &all, start)? {
                    return Ok(later);
                }
                for lost in &lost {
                    self.cluster.report_lost(lost);
                }
                tracing::info!(partitions = all.len(), ?start, "the group is new: its beginnings are committed");
                Ok(Resumed::Later("the group's beginnings were just committed".to_owned()))
            }
            Plan::Begin(new) => {
                if let Some(later) = self.begin(&facts, &new, Start::Earliest)? {
                    return Ok(later);
                }
                tracing::info!(partitions = %Names(&new), "new to the group: their beginnings are committed");
                Ok(Resumed::Later("the beginnings of new partitions were just committed".to_owned()))
            }
            Plan::Wait => Ok(Resumed::Later("another lane commits the beginnings of what is new".to_owned())),
            Plan::Stop(lost) => Ok(Resumed::Stopped(lost)),
        }
    }

    /// Commits the beginnings of partitions without an offset. `Some`: not yet, or no more.
    fn begin(&mut self, facts: &Facts, new: &[Partition], start: Start) -> Result<Option<Resumed>, BrokerError> {
        let beginnings = self.beginnings(new, start)?;
        // Lanes that disagree on the topics (one has just appeared) could both mean to begin a new group.
        if self.consumer.committed(new)?.values().any(Option::is_some) {
            return Ok(Some(Resumed::Later("another lane has committed the beginnings meanwhile".to_owned())));
        }
        Ok(self.commit_only(&beginnings, &facts.notes_with(new.iter())).err())
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
