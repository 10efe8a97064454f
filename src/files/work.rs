//! One thread's work: a batch of lines becomes lines of output and rejects.

use std::sync::Arc;

use super::LabelError;
use super::lines::{Block, Line};
use super::reject::reject;
use super::turn::Turns;
use crate::fate::{Death, Fate, Stage, Tally};
use crate::inference::Cost;
use crate::labelled::{Content, FileLine, RecordWriter, Source};
use crate::labeller::Labeller;

/// What some tools write before the first character of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Lines of the output.
    pub(super) output: Vec<u8>,
    /// Lines of the rejects.
    pub(super) rejects: Vec<u8>,
    pub(super) counts: Counts,
    pub(super) cost: Cost,
    /// Bytes read of all inputs up to here, as they lie on disk.
    pub(super) position: u64,
}

/// Where lines have gone. Every line is in exactly one of these (I1).
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// All lines.
    pub(crate) lines: u64,
    /// Lines with nothing but white space.
    pub(crate) blank: u64,
    /// Labelled, skipped (not selected too), rejected.
    pub(crate) tally: Tally,
    /// Why the first of the rejected lines was.
    pub(crate) complaint: Option<String>,
}

/// Labels batches on one thread.
pub(super) struct Worker {
    labeller: Labeller,
    writer: RecordWriter,
    max_line_bytes: usize,
}

impl Worker {
    pub(super) fn new(labeller: Labeller, writer: RecordWriter, max_line_bytes: usize) -> Self {
        Self { labeller, writer, max_line_bytes }
    }

    /// Works until there is nothing more.
    pub(super) fn run(mut self, turns: &Arc<Turns>) {
        while let Some(batch) = turns.take() {
            let done = self.label(&batch.blocks);
            drop(batch.blocks);
            if batch.answer.send(done).is_err() {
                return;
            }
        }
    }

    fn label(&mut self, blocks: &[Block]) -> Result<Done, LabelError> {
        let lines = || blocks.iter().flat_map(|block| block.lines().map(|line| (&*block.file, line)));
        let records = lines().filter(|(_, line)| is_record(line)).map(|(_, line)| Some(unmarked(line)));
        let (decoded, _) = self.labeller.decode(records);
        self.writer.begin();
        let (fates, cost) = self.labeller.label(decoded)?;
        let mut fates = fates.into_iter();
        let mut done = Done { cost, ..Done::default() };
        for (file, line) in lines() {
            done.counts.lines += 1;
            let fate = if line.is_blank() {
                done.counts.blank += 1;
                continue;
            } else if let Some(whole) = line.whole {
                let message = format!(
                    "the line has {} bytes, where input.max_line_bytes allows {}",
                    whole.bytes, self.max_line_bytes
                );
                Fate::Dead(Death { stage: Stage::Decode, class: "line_too_long", message })
            } else {
                let none = || {
                    Fate::Dead(Death {
                        stage: Stage::Classify,
                        class: "model_failed",
                        message: "the line was given no verdict".to_owned(),
                    })
                };
                fates.next().unwrap_or_else(none)
            };
            self.write(&mut done, file, line, &fate);
        }
        done.position = blocks.last().map_or(0, |block| block.position);
        Ok(done)
    }

    /// Writes one line's outcome and counts it.
    fn write(&self, done: &mut Done, file: &str, line: Line<'_>, fate: &Fate) {
        let model = self.labeller.model();
        let content = match fate {
            Fate::NotSelected => return done.counts.tally.skipped("not_selected"),
            Fate::Dead(death) => return self.reject(done, file, line, death),
            Fate::Labelled { post, scored } => Content::Labelled(post, scored),
            Fate::Skipped { post, reason } => Content::Skipped(post, *reason),
        };
        let source = Source::Line(FileLine { file, line: line.number });
        let before = done.output.len();
        if let Err(error) = self.writer.write(&mut done.output, source, &content, model) {
            done.output.truncate(before);
            let death = Death { stage: Stage::Produce, class: "not_encodable", message: error.to_string() };
            return self.reject(done, file, line, &death);
        }
        done.output.push(b'\n');
        match content {
            Content::Labelled(_, scored) => done.counts.tally.labelled(scored, model),
            Content::Skipped(_, reason) => done.counts.tally.skipped(reason.as_str()),
        }
    }

    fn reject(&self, done: &mut Done, file: &str, line: Line<'_>, death: &Death) {
        // Strings and numbers only: this cannot fail.
        let _ = reject(&mut done.rejects, file, line, death, &self.labeller.model().hash, self.writer.now());
        done.counts.tally.dead_lettered(death.class);
        done.counts.complaint.get_or_insert_with(|| death.message.clone());
    }
}

fn is_record(line: &Line<'_>) -> bool {
    line.whole.is_none() && !line.is_blank()
}

/// The line as it is decoded: without the mark that some tools put at the beginning of a file.
fn unmarked(line: Line<'_>) -> &[u8] {
    if line.number == 1 { line.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line.bytes) } else { line.bytes }
}

impl Counts {
    /// Adds what became of further lines.
    pub(super) fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.blank += more.blank;
        self.tally.add(more.tally);
        self.complaint = self.complaint.take().or(more.complaint);
    }
}
