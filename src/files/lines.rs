//! Splits contents into lines, a block of them at a time.
//!
//! Of a line that is longer than the limit only its beginning is kept, with its length and digest (I8). A block
//! is handed on when it is large enough or when the source has nothing more at the moment, so lines that come
//! slowly are not held back.

use std::io::{self, Read};
use std::sync::Arc;

use memchr::memchr;
use sha2::{Digest, Sha256};

/// Bytes of a block, about; also the size of a read.
pub(super) const BLOCK: usize = 1 << 16;

/// Neighbouring lines of one input.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) file: Arc<str>,
    /// Number of the first line, counted from 1.
    pub(super) first: u64,
    bytes: Vec<u8>,
    ends: Vec<End>,
    /// Bytes read of all inputs so far, as they lie on disk.
    pub(super) position: u64,
}

/// Where a line ends in its block.
#[derive(Debug)]
struct End {
    at: usize,
    /// What is known of the whole line, when this is its beginning only.
    whole: Option<Box<Whole>>,
}

/// A line that was too long to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Its length.
    pub(super) bytes: u64,
    /// SHA-256 of all of it, 64 hex digits.
    pub(super) sha256: String,
}

/// A line as it stands, without its line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: u64,
    pub(super) bytes: &'a [u8],
    /// There when `bytes` is its beginning only.
    pub(super) whole: Option<&'a Whole>,
}

impl Line<'_> {
    /// Nothing but white space: no record, and no line of JSON either.
    pub(super) fn is_blank(&self) -> bool {
        self.whole.is_none() && self.bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
    }
}

impl Block {
    fn new(file: &Arc<str>, first: u64) -> Self {
        Self { file: Arc::clone(file), first, bytes: Vec::new(), ends: Vec::new(), position: 0 }
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes they take.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end.at));
        (self.first..).zip(starts.zip(&self.ends)).map(|(number, (start, end))| Line {
            number,
            bytes: &self.bytes[start..end.at],
            whole: end.whole.as_deref(),
        })
    }
}

/// Cuts one input into blocks.
pub(super) struct Splitter {
    block: Block,
    limit: usize,
    /// The line in the making, once it is too long: its length and digest so far.
    excess: Option<(u64, Sha256)>,
}

impl Splitter {
    /// Lines of more than `limit` bytes are cut.
    pub(super) fn new(file: &Arc<str>, limit: usize) -> Self {
        Self { block: Block::new(file, 1), limit, excess: None }
    }

    /// Number of the line in the making.
    pub(super) fn line(&self) -> u64 {
        self.block.first + self.block.ends.len() as u64
    }

    /// Reads to the end; `hand_on` takes each block and says whether to go on.
    pub(super) fn split(&mut self, mut contents: impl Read, mut hand_on: impl FnMut(Block) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            let read = match contents.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // What was whole before the error still counts.
                    if let Some(block) = self.take() {
                        hand_on(block);
                    }
                    return Err(error);
                }
            };
            if read == 0 {
                if self.pending() > 0 {
                    self.end_line();
                }
                if let Some(block) = self.take() {
                    hand_on(block);
                }
                return Ok(());
            }
            let mut rest = &buffer[..read];
            while let Some(end) = memchr(b'\n', rest) {
                self.append(&rest[..end]);
                self.end_line();
                rest = &rest[end + 1..];
            }
            self.append(rest);
            if (read < buffer.len() || self.block.size() >= BLOCK)
                && let Some(block) = self.take()
                && !hand_on(block)
            {
                return Ok(());
            }
        }
    }

    /// Where the line in the making begins.
    fn start(&self) -> usize {
        self.block.ends.last().map_or(0, |end| end.at)
    }

    /// Bytes kept of it.
    fn pending(&self) -> usize {
        self.block.bytes.len() - self.start()
    }

    fn append(&mut self, part: &[u8]) {
        if let Some((bytes, digest)) = &mut self.excess {
            *bytes += part.len() as u64;
            digest.update(part);
            return;
        }
        let kept = self.pending();
        if kept + part.len() <= self.limit {
            self.block.bytes.extend_from_slice(part);
            return;
        }
        let digest = Sha256::new_with_prefix(&self.block.bytes[self.start()..]).chain_update(part);
        self.excess = Some(((kept + part.len()) as u64, digest));
        self.block.bytes.extend_from_slice(&part[..self.limit - kept]);
    }

    fn end_line(&mut self) {
        let whole = self.excess.take().map(|(bytes, digest)| Whole { bytes, sha256: hex::encode(digest.finalize()) });
        self.block.ends.push(End { at: self.block.bytes.len(), whole: whole.map(Box::new) });
    }

    /// The whole lines so far; what follows them begins the next block.
    fn take(&mut self) -> Option<Block> {
        if self.block.ends.is_empty() {
            return None;
        }
        let mut next = Block::new(&self.block.file, self.line());
        next.bytes.extend_from_slice(&self.block.bytes[self.start()..]);
        self.block.bytes.truncate(self.start());
        Some(std::mem::replace(&mut self.block, next))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its parts one by one, as a pipe does.
    struct Parts(Vec<Vec<u8>>);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0);
            buffer[..part.len()].copy_from_slice(&part);
            Ok(part.len())
        }
    }

    type Seen = (u64, Vec<u8>, Option<(u64, String)>);

    fn split(contents: impl Read, limit: usize) -> (Vec<Seen>, usize) {
        let (mut seen, mut blocks) = (Vec::new(), 0);
        let collect = |block: Block| {
            blocks += 1;
            seen.extend(block.lines().map(|line| {
                let whole = line.whole.map(|whole| (whole.bytes, whole.sha256.clone()));
                (line.number, line.bytes.to_vec(), whole)
            }));
            true
        };
        Splitter::new(&"f".into(), limit).split(contents, collect).expect("memory can be read");
        (seen, blocks)
    }

    #[test]
    fn lines_are_numbered_and_kept_as_they_stand() {
        let (seen, _) = split(&b"{\"a\":1} \r\n\n\xff\0\nlast"[..], 100);
        let expected = [(1, &b"{\"a\":1} \r"[..]), (2, b""), (3, b"\xff\0"), (4, b"last")];
        assert_eq!(seen, expected.map(|(number, bytes)| (number, bytes.to_vec(), None)));
        assert!(split(&b""[..], 100).0.is_empty());
        assert_eq!(split(&b"\n"[..], 100).0.len(), 1);
    }

    #[test]
    fn a_line_that_comes_is_handed_on_before_the_next_is_asked_for() {
        let (seen, blocks) = split(Parts(vec![b"one\ntw".to_vec(), b"o\nthree\n".to_vec(), b"four".to_vec()]), 100);
        assert_eq!((seen.len(), blocks), (4, 3));
        assert_eq!(seen[1], (2, b"two".to_vec(), None));
    }

    #[test]
    fn of_a_line_without_end_only_the_beginning_is_kept() {
        let mut largest = 0;
        let mut splitter = Splitter::new(&"f".into(), 1000);
        let endless = io::repeat(b'x').take(10_000_000).chain(&b"\nshort\n"[..]);
        let look = |block: Block| {
            largest = largest.max(block.bytes.capacity());
            true
        };
        splitter.split(endless, look).expect("read");
        assert!(largest < 4 * BLOCK, "{largest}");
    }

    #[test]
    fn an_error_comes_after_the_whole_lines_before_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let mut splitter = Splitter::new(&"f".into(), 100);
        let mut lines = 0;
        let collect = |block: Block| {
            lines += block.count();
            true
        };
        // A read that fills the buffer hands nothing on by itself.
        let full = b"one\n".repeat(BLOCK / 4);
        splitter.split(full.chain(Broken), collect).expect_err("broken");
        assert_eq!((lines, splitter.line()), (BLOCK / 4, BLOCK as u64 / 4 + 1));
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_lines_are_those_of_the_whole(
            parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab\n\r\xff".to_vec()), 1..40), 0..20),
            limit in 1_usize..30,
        ) {
            let whole = parts.concat();
            let mut expected: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let (seen, _) = split(Parts(parts), limit);
            prop_assert_eq!(seen.len(), expected.len());
            for ((number, (at, bytes, long)), line) in (1..).zip(seen).zip(expected) {
                prop_assert_eq!(number, at);
                prop_assert_eq!(&bytes[..], &line[..line.len().min(limit)]);
                let sum = (line.len() > limit).then(|| (line.len() as u64, hex::encode(Sha256::digest(line))));
                prop_assert_eq!(long, sum);
            }
        }
    }
}
