//! `moodstream produce`: the lines of a file, each a record of a topic.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{HumanCount, ProgressBar};
use jiff::Timestamp;

use super::progress::{self, rate};
use crate::cli::{ProduceArgs, RecordTime};
use crate::config::Config;
use crate::kafka::{Crumb, Feed};
use crate::post::{EventTime, Mapping};
use crate::telemetry::logging;

/// Size of the reads from the file.
const READ: usize = 1 << 18;
/// Time between two signs of progress: of a bar, and of lines where no bar can be drawn.
const SIGNS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longest wait before deliveries are looked at again.
const STEP: Duration = Duration::from_millis(50);

/// Sends every line.
#[expect(clippy::print_stdout, reason = "the command's own output")]
pub(super) fn run(args: &ProduceArgs, config: &Config) -> anyhow::Result<ExitCode> {
    drop(logging::init(&config.log)?);
    let mut lines = Lines::open(&args.file)?;
    let mut feed = Feed::open(config, "--topic", &args.topic)?;
    let partitions = feed.partitions();
    let mapping = Mapping::new(&config.input);
    let mut progress = Progress::new(lines.size);
    let started = Instant::now();
    let mut sent: u64 = 0;
    let read = loop {
        let line = match lines.read() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if let Some(rate) = args.rate {
            wait(&feed, started, sent, rate);
        }
        let (id, created_at) = mapping.peek(line);
        let timestamp = match args.timestamp {
            RecordTime::Now => None,
            RecordTime::CreatedAt => timestamp(created_at.as_ref(), Timestamp::now().as_millisecond()),
        };
        feed.send(Crumb { key: id.as_deref().map(str::as_bytes), value: line, timestamp })?;
        sent += 1;
        progress.show(sent, lines.position);
    };
    let result = feed.finish();
    progress.clear();
    let took = started.elapsed();
    println!(
        "sent {} records to {} ({partitions} partitions) at {} in {:.1} s, {} a second",
        HumanCount(result.taken),
        args.topic,
        config.kafka.brokers,
        took.as_secs_f64(),
        rate(result.taken, took),
    );
    read.with_context(|| format!("{} could be read up to record {sent} only", args.file.display()))?;
    if result.refused > 0 {
        let reason = result.first_reason.unwrap_or_default();
        bail!("{} records were not accepted, the first because: {reason}", HumanCount(result.refused));
    }
    Ok(ExitCode::SUCCESS)
}

/// The post's own time if it is believable, and never the future: brokers refuse that with the whole batch.
fn timestamp(created_at: Option<&serde_json::Value>, now: i64) -> Option<i64> {
    EventTime::of_writing(created_at, now).map(|time| time.0.min(now))
}

/// Waits until the next record is due.
fn wait(feed: &Feed, started: Instant, sent: u64, rate: NonZeroU32) {
    let due = Duration::from_micros(sent.saturating_mul(1_000_000) / u64::from(rate.get()));
    loop {
        let left = due.saturating_sub(started.elapsed());
        if left.is_zero() {
            return;
        }
        feed.serve(left.min(STEP));
    }
}

/// The lines of a file or of standard input, as bytes.
struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Bytes read so far.
    position: u64,
    /// Bytes of the file; none for a stream.
    size: Option<u64>,
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let (reader, size): (Box<dyn BufRead>, _) = if path == Path::new("-") {
            (Box::new(BufReader::with_capacity(READ, io::stdin())), None)
        } else {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            let metadata = file.metadata().with_context(|| format!("cannot read {}", path.display()))?;
            if metadata.is_dir() {
                bail!("{} is a folder; name a file of JSON lines, or - for standard input", path.display());
            }
            let size = metadata.is_file().then_some(metadata.len());
            (Box::new(BufReader::with_capacity(READ, file)), size)
        };
        Ok(Self { reader, line: Vec::new(), position: 0, size })
    }

    /// The next line that is not empty, without its line feed.
    fn read(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let read = self.reader.read_until(b'\n', &mut self.line)?;
            self.position += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            }
            if !self.line.is_empty() && self.line != b"\r" {
                return Ok(Some(&self.line));
            }
        }
    }
}

/// A bar on a terminal, a line now and then elsewhere; on standard error.
struct Progress {
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl Progress {
    fn new(size: Option<u64>) -> Self {
        Self { bar: progress::bar(size), shown: Instant::now() }
    }

    fn show(&mut self, sent: u64, position: u64) {
        let interval = if self.bar.is_some() { SIGNS.0 } else { SIGNS.1 };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(format!("{} records, {} a second", HumanCount(sent), rate(sent, bar.elapsed())));
        } else {
            #[expect(clippy::print_stderr, reason = "the command's own progress")]
            {
                eprintln!("{} records sent", HumanCount(sent));
            }
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_writing_in_the_future_becomes_now_and_an_unbelievable_one_is_left_out() {
        let now = 1_750_000_000_000;
        let at = |created_at: serde_json::Value| timestamp(Some(&created_at), now);
        assert_eq!(at(1_740_000_000.into()), Some(1_740_000_000_000));
        assert_eq!(at((now + 7_200_000).into()), Some(now), "two hours ahead");
        assert_eq!(at((now + 48 * 3_600_000).into()), None, "two days ahead");
        assert_eq!(at("yesterday".into()), None);
        assert_eq!(timestamp(None, now), None);
    }

    #[test]
    fn lines_are_taken_as_they_stand_and_empty_ones_left_out() {
        let text: &[u8] = b"{\"a\":1} \r\n\n\r\n\xff\0\nlast";
        let mut lines = Lines { reader: Box::new(text), line: Vec::new(), position: 0, size: None };
        let mut read = Vec::new();
        while let Some(line) = lines.read().expect("memory can be read") {
            read.push(line.to_vec());
        }
        assert_eq!(read, [&b"{\"a\":1} \r"[..], b"\xff\0", b"last"]);
        assert_eq!(lines.position, text.len() as u64);
    }
}
