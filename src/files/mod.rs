//! JSON lines in files and pipes: read, labelled as a worker does, written in order. No broker.
//!
//! ```text
//! reader ─► blocks of lines ─► label-1..N (decode, tokenize, classify, encode) ─► writer: output, rejects
//!                               │  ▲
//!                 micro-batches ▼  │ scores
//!                          inference pool
//! ```
//!
//! While the sessions work on one batch, another thread has the next one decoded and tokenized, so the model never
//! waits. Every line ends in exactly one outcome (I1), in order; channels are bounded (I8).

mod input;
mod lines;
mod output;
mod place;
mod refused;
mod reject;
mod tree;
mod turn;
mod work;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

pub(crate) use self::input::Input;
use self::lines::Splitter;
pub(crate) use self::output::{Destination, Sink, Unfinished};
pub use self::refused::Refused;
pub use self::reject::{RejectedLine, schema_text as reject_schema_text};
use self::tree::TreeRules;
use self::turn::{Answer, Read, Turns};
pub(crate) use self::work::Counts;
use self::work::{Done, Worker};
use crate::archive::rows::RowPolicy;
use crate::config::Config;
use crate::inference::{Classifier, ClassifierDown, Cost, ModelInfo};
use crate::labelled::RecordWriter;
use crate::labeller::Labeller;

/// Blocks read ahead: about a batch of posts of usual length.
const READ_AHEAD: usize = 64;
/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(200);

/// What kept the lines from being labelled.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Reading failed, or an archive is damaged.
    #[error("{file} cannot be read beyond line {line}")]
    Input {
        /// The input.
        file: String,
        /// Its last whole line.
        line: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("{file} cannot be written")]
    Output {
        /// The output.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever reads the output has seen enough.
    #[error("nobody reads {file} any more")]
    Unread {
        /// The output.
        file: String,
    },
    /// The model cannot work at all.
    #[error(transparent)]
    Model(#[from] ClassifierDown),
    /// A thread could not be started, or has died.
    #[error("the thread {name} {what}")]
    Thread {
        /// Its name.
        name: String,
        /// What happened to it.
        what: String,
    },
}

/// What has been done so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) counts: Counts,
    /// Bytes of the inputs, as they lie on disk, whose lines are done.
    pub(crate) position: u64,
    /// What the batches cost, summed up.
    pub(crate) cost: Cost,
    /// Batches done.
    pub(crate) batches: u64,
}

/// Files that have been looked at: it is known what is read and that what is written harms nothing.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: Destination,
    pub(crate) rejects: Destination,
    /// Where rejects go was not said: no file of them unless there are any.
    rejects_if_any: bool,
    overwrite: bool,
}

impl Plan {
    /// Looks at the files that the user named; touches none.
    ///
    /// # Errors
    /// The first that cannot be read or must not be written.
    pub(crate) fn look(
        files: &[PathBuf],
        output: Option<&PathBuf>,
        rejects: Option<&PathBuf>,
        overwrite: bool,
    ) -> Result<Self, Refused> {
        if files.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
            return Err(Refused::StdinTwice);
        }
        let inputs = files.iter().map(|path| Input::look(path)).collect::<Result<Vec<_>, _>>()?;
        let output = output.map_or(Destination::Stdout, |path| Destination::of_posts(path));
        let rejects_if_any = rejects.is_none();
        let rejects = rejects.map_or_else(|| output.beside("rejects"), |path| Destination::new(path));
        if output.is_same(&rejects) {
            return Err(Refused::SameOutputs { file: output.name() });
        }
        if let Some(file) = files.iter().chain(rejects.path()).find(|file| output.holds(file)) {
            let [file, tree] = [file.display().to_string(), output.name()];
            return Err(Refused::InTree { file, tree });
        }
        for destination in [&output, &rejects] {
            let identity = destination.identity();
            if identity.is_some() && inputs.iter().any(|input| input.identity == identity) {
                return Err(Refused::IsInput { file: destination.name() });
            }
            destination.check(overwrite)?;
        }
        Ok(Self { inputs, output, rejects, rejects_if_any, overwrite })
    }

    /// Bytes of all inputs, as they lie on disk; none when one of them is a pipe.
    pub(crate) fn size(&self) -> Option<u64> {
        self.inputs.iter().map(|input| input.size).sum()
    }

    /// Opens what is written.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub(crate) fn open(
        &self,
        config: &Config,
        model: &ModelInfo,
        unfinished: &Unfinished,
    ) -> Result<[Sink; 2], LabelError> {
        let open = |destination: &Destination| {
            let opened = match destination {
                Destination::Tree(folder) => {
                    tree_rules(config, model).and_then(|rules| Sink::tree(folder, self.overwrite, rules, unfinished))
                }
                Destination::Stdout | Destination::File(_) => {
                    Sink::open(destination.clone(), self.overwrite, unfinished)
                }
            };
            opened.map_err(|source| LabelError::Output { file: destination.name(), source })
        };
        let output = open(&self.output)?;
        let rejects = if self.rejects_if_any {
            Sink::waiting(self.rejects.clone(), self.overwrite, unfinished)
        } else {
            open(&self.rejects)?
        };
        Ok([output, rejects])
    }
}

/// As a worker would archive the same posts.
fn tree_rules(config: &Config, model: &ModelInfo) -> io::Result<TreeRules> {
    let unread = |error: io::Error| io::Error::new(error.kind(), format!("privacy.key_file cannot be read: {error}"));
    Ok(TreeRules {
        policy: RowPolicy::of(config).map_err(unread)?,
        model: model.clone(),
        memory: config.archive.memory.0,
    })
}

/// Labels every line of the inputs, in order. `watch` is called a few times a second.
///
/// # Errors
/// When reading, writing or the model fails; files have not got their names then.
pub(crate) fn label(
    config: &Config,
    classifier: &dyn Classifier,
    inputs: Vec<Input>,
    [output, rejects]: [Sink; 2],
    mut watch: impl FnMut(&Progress),
) -> Result<Progress, LabelError> {
    let (blocks, read) = bounded(READ_AHEAD);
    let (order, places) = bounded(config.worker.lanes.get());
    let (hold, over) = bounded(0);
    let turns = Arc::new(Turns::new(read, over, order, &config.batch));
    let limit = config.input.max_line_bytes.0;
    let reader = start("reader", move || read_all(&inputs, limit, &blocks))?;
    let mut threads = Vec::new();
    for number in 0..config.worker.lanes.get() {
        let name = format!("label-{number}");
        let worker = worker(config, classifier, &name)?;
        let turns = Arc::clone(&turns);
        threads.push((name.clone(), start(&name, move || worker.run(&turns))?));
    }
    drop(turns);
    let mut writer = Writer { output, rejects, progress: Progress::default() };
    let written = writer.write_all(&places, &mut watch);
    // Whoever still works ends with its batch; a reader that waits for a pipe is left to it.
    drop((places, hold));
    let mut died = None;
    for (name, thread) in threads {
        if thread.join().is_err() {
            died = Some(LabelError::Thread { name, what: "panicked".to_owned() });
        }
    }
    written?;
    let reader = reader.join().map_err(|_| LabelError::Thread { name: "reader".into(), what: "panicked".into() });
    match died.map_or(reader, Err) {
        Ok(()) => writer.finish(),
        Err(error) => Err(error),
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LabelError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| LabelError::Thread { name: name.to_owned(), what: format!("cannot be started: {error}") })
}

fn worker(config: &Config, classifier: &dyn Classifier, name: &str) -> Result<Worker, LabelError> {
    let failed = |what: String| LabelError::Thread { name: name.to_owned(), what };
    let lane = classifier.lane().map_err(|error| failed(format!("has no tokenizer: {error:#}")))?;
    let key = config.privacy.key().map_err(|error| failed(format!("cannot read privacy.key_file: {error}")))?;
    let labeller = Labeller::new(config, lane, classifier.model());
    let writer = RecordWriter::new(&config.privacy, key.as_deref());
    Ok(Worker::new(labeller, writer, config.input.max_line_bytes.0))
}

/// Reads every input to its end, as long as somebody takes the blocks.
fn read_all(inputs: &[Input], limit: usize, blocks: &Sender<Read>) {
    let position = Arc::new(AtomicU64::new(0));
    for input in inputs {
        let mut splitter = Splitter::new(&input.name, limit);
        let mut wanted = true;
        let split = input.open(&position).and_then(|contents| {
            splitter.split(contents, |mut block| {
                block.position = position.load(Ordering::Relaxed);
                wanted = blocks.send(Ok(block)).is_ok();
                wanted
            })
        });
        if let Err(source) = split {
            let error = LabelError::Input { file: input.name.to_string(), line: splitter.line() - 1, source };
            // Nobody to tell: they have failed already.
            let _ = blocks.send(Err(error));
            return;
        }
        if !wanted {
            return;
        }
    }
}

/// Writes results in the order of their lines.
struct Writer {
    output: Sink,
    rejects: Sink,
    progress: Progress,
}

impl Writer {
    fn write_all(
        &mut self,
        places: &Receiver<Receiver<Answer>>,
        watch: &mut impl FnMut(&Progress),
    ) -> Result<(), LabelError> {
        let mut looked = Instant::now();
        while let Some(place) = self.next(places, watch) {
            let died = || LabelError::Thread { name: "label".into(), what: "panicked".into() };
            let done = self.next(&place, watch).ok_or_else(died)??;
            self.write(done)?;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                watch(&self.progress);
            }
        }
        Ok(())
    }

    /// Waits, looking at the progress meanwhile; none when the other end has hung up.
    fn next<T>(&self, from: &Receiver<T>, watch: &mut impl FnMut(&Progress)) -> Option<T> {
        loop {
            match from.recv_timeout(LOOK) {
                Ok(next) => return Some(next),
                Err(RecvTimeoutError::Timeout) => watch(&self.progress),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn write(&mut self, done: Done) -> Result<(), LabelError> {
        let Done { output, rejects, counts, cost, position } = done;
        // Rejects first: an output that somebody reads is never ahead of them.
        for (sink, lines) in [(&mut self.rejects, rejects), (&mut self.output, output)] {
            sink.write(&lines).map_err(|source| unwritten(sink.name(), source))?;
        }
        let progress = &mut self.progress;
        progress.counts.add(counts);
        progress.cost += cost;
        progress.position = position;
        progress.batches += 1;
        Ok(())
    }

    /// Gives the files their names, the rejects first: where there is an output, there are its rejects.
    fn finish(self) -> Result<Progress, LabelError> {
        let names = [self.rejects.name(), self.output.name()];
        let mut finished = Vec::new();
        for (sink, name) in [self.rejects, self.output].into_iter().zip(&names) {
            finished.push(sink.finish().map_err(|source| unwritten(name.clone(), source))?);
        }
        for (finished, name) in finished.into_iter().zip(names) {
            finished.publish().map_err(|source| unwritten(name, source))?;
        }
        Ok(self.progress)
    }
}

fn unwritten(file: String, source: io::Error) -> LabelError {
    match source.kind() {
        io::ErrorKind::BrokenPipe => LabelError::Unread { file },
        _ => LabelError::Output { file, source },
    }
}
