//! The topics, the group and the inputs of one scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use super::admin::{Admin, Group, Partition};
use super::oracle::{self, Published, Targets, Verdict};
use super::posts::{self, Draft, Input};
use super::topic::Isolation;
use super::worker::{Launch, Worker};
use super::{eventually, unique};

/// What differs from the usual set of topics.
pub(crate) struct Layout {
    /// Partitions of the input topic.
    pub(crate) input_partitions: i32,
    /// Partitions of the output topic.
    pub(crate) output_partitions: i32,
    /// Partitions of the dead-letter topic.
    pub(crate) dead_letter_partitions: i32,
    /// Settings of the input topic.
    pub(crate) input: Vec<(&'static str, &'static str)>,
    /// Settings of the output topic.
    pub(crate) output: Vec<(&'static str, &'static str)>,
    /// Settings of the dead-letter topic.
    pub(crate) dead_letter: Vec<(&'static str, &'static str)>,
}

impl Layout {
    /// So many partitions everywhere.
    pub(crate) fn partitions(count: i32) -> Self {
        Self {
            input_partitions: count,
            output_partitions: count,
            dead_letter_partitions: count,
            input: Vec::new(),
            output: Vec::new(),
            dead_letter: Vec::new(),
        }
    }
}

/// One scenario's topics and group on a broker, and what was produced to it.
pub(crate) struct Stage {
    /// Requests to the cluster.
    pub(crate) admin: Admin,
    /// The consumer group.
    pub(crate) group: String,
    /// The input topic.
    pub(crate) input: String,
    /// Output and dead-letter topic.
    pub(crate) targets: Targets,
    more_inputs: Vec<String>,
    brokers: String,
    offsets: Group,
    produced: Vec<Input>,
}

impl Stage {
    /// Makes the topics, named after the scenario and a random number.
    pub(crate) fn new(brokers: &str, name: &str, layout: &Layout) -> Self {
        let stem = unique(name);
        let targets = Targets { output: format!("{stem}.emotions"), dead_letter: format!("{stem}.dead-letter") };
        let (input, group) = (format!("{stem}.posts"), format!("{stem}.group"));
        let admin = Admin::new(brokers);
        admin.create_topic(&input, layout.input_partitions, &layout.input);
        admin.create_topic(&targets.output, layout.output_partitions, &layout.output);
        admin.create_topic(&targets.dead_letter, layout.dead_letter_partitions, &layout.dead_letter);
        let offsets = admin.group(&group);
        Self {
            admin,
            group,
            input,
            targets,
            more_inputs: Vec::new(),
            brokers: brokers.to_owned(),
            offsets,
            produced: Vec::new(),
        }
    }

    /// A worker of this scenario's group: one lane, a stand-in for the model that costs nothing, small batches.
    pub(crate) fn worker(&self, name: &str) -> Launch {
        Launch::new(name)
            .set("kafka.brokers", &self.brokers)
            .set("kafka.group", &self.group)
            .set_raw("input.topics", &format!("[\"{}\"]", self.input))
            .set("output.topic", &self.targets.output)
            .set("dead_letter.topic", &self.targets.dead_letter)
            .set("admin.listen", "127.0.0.1:0")
            .set("worker.role", "label")
            .set_raw("worker.lanes", "1")
            .set_raw("batch.max_posts", "200")
            .hash_classifier(Duration::ZERO)
    }

    /// Makes another input topic and fills it.
    pub(crate) fn add_input(&mut self, name: &str, partitions: i32, drafts: Vec<Draft>) {
        self.admin.create_topic(name, partitions, &[]);
        self.more_inputs.push(name.to_owned());
        let all: Vec<i32> = (0..partitions).collect();
        self.produced.extend(posts::produce(&self.brokers, name, &all, drafts));
    }

    /// Produces to all input partitions in turn.
    pub(crate) fn produce(&mut self, drafts: Vec<Draft>) {
        let partitions: Vec<i32> = (0..self.admin.partitions(&self.input)).collect();
        self.produce_to(&partitions, drafts);
    }

    /// Produces to some input partitions in turn.
    pub(crate) fn produce_to(&mut self, partitions: &[i32], drafts: Vec<Draft>) {
        self.adopt(posts::produce(&self.brokers, &self.input, partitions, drafts));
    }

    /// Takes in what somebody else has produced to the input topic.
    pub(crate) fn adopt(&mut self, inputs: Vec<Input>) {
        self.produced.extend(inputs);
    }

    /// What was produced so far.
    pub(crate) fn produced(&self) -> &[Input] {
        &self.produced
    }

    /// Forgets inputs: those that are no longer there for the worker to read.
    pub(crate) fn forget(&mut self, gone: impl Fn(&Input) -> bool) {
        self.produced.retain(|input| !gone(input));
    }

    fn topics(&self) -> Vec<(&str, i32)> {
        let topics = std::iter::once(&self.input).chain(&self.more_inputs);
        topics.map(|topic| (topic.as_str(), self.admin.partitions(topic))).collect()
    }

    /// What the group has committed; none when the broker cannot say now.
    pub(crate) fn committed(&self) -> Option<BTreeMap<Partition, i64>> {
        self.offsets.committed(&self.topics())
    }

    /// How many records the group has done, while nothing is deleted from the input.
    pub(crate) fn done(&self) -> Option<usize> {
        usize::try_from(self.committed()?.values().sum::<i64>()).ok()
    }

    /// Waits until the group has done so many records.
    pub(crate) fn wait_for(&self, records: usize, deadline: Duration) {
        let mut seen = 0;
        let reached = super::within(deadline, || {
            seen = self.done().unwrap_or(seen);
            (seen >= records).then_some(())
        });
        assert!(reached.is_some(), "the group has done {seen} records after {deadline:?}, not {records}");
    }

    /// Waits until the group has committed the end of every input partition.
    pub(crate) fn wait_until_done(&self, deadline: Duration) {
        let topics = self.topics();
        let ends = eventually(deadline, "the broker tells the ends of the input", || self.offsets.ends(&topics));
        let mut state = BTreeMap::new();
        let reached = super::within(deadline, || {
            state = self.offsets.committed(&topics)?;
            ends.iter().all(|(partition, end)| *end == 0 || state.get(partition) == Some(end)).then_some(())
        });
        assert!(reached.is_some(), "not done after {deadline:?}: committed {state:?}, ends {ends:?}");
    }

    /// Everything published.
    pub(crate) fn published(&self, isolation: Isolation) -> Published {
        oracle::published(&self.brokers, &self.targets, isolation)
    }

    /// The oracle's verdict on what a reader sees at this isolation level.
    pub(crate) fn verdict_at(&self, isolation: Isolation) -> Verdict {
        const CALL: Duration = Duration::from_secs(20);
        let topics = self.topics();
        let published = self.published(isolation);
        let committed = eventually(CALL, "the broker tells the committed offsets", || self.offsets.committed(&topics));
        let ends = eventually(CALL, "the broker tells the ends of the input", || self.offsets.ends(&topics));
        oracle::judge(&self.produced, &published, &committed, &ends)
    }

    /// The oracle's verdict on what was committed.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict_at(Isolation::Committed)
    }

    /// Waits until everything is done, stops the workers (each must end with status 0), and asks the oracle.
    #[track_caller]
    pub(crate) fn finish(&self, workers: impl IntoIterator<Item = Worker>, deadline: Duration) -> Verdict {
        self.wait_until_done(deadline);
        for worker in workers {
            worker.stop();
        }
        let verdict = self.verdict();
        verdict.assert_clean();
        verdict
    }
}
