//! Opens inputs: files and standard input, plain or compressed. What they are is told by their first bytes, not
//! by their names, so a pipe can carry an archive too.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::place::Identity;
use super::refused::Refused;

/// Size of the reads from a file or pipe.
const READ: usize = 1 << 17;

/// An input, named and looked at, not yet opened.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// As the user named it; `-` is standard input.
    pub(crate) name: Arc<str>,
    /// None: standard input.
    path: Option<PathBuf>,
    /// Bytes on disk; none for a pipe.
    pub(crate) size: Option<u64>,
    /// Which file it is; none for a pipe.
    pub(crate) identity: Option<Identity>,
}

/// The contents of an input, decompressed.
pub(super) type Contents = Box<dyn Read + Send>;

impl Input {
    /// Looks at what was named.
    ///
    /// # Errors
    /// When it is not there, a folder, or may not be read.
    pub(crate) fn look(path: &Path) -> Result<Self, Refused> {
        let name: Arc<str> = path.to_string_lossy().into();
        let unreadable = |source| Refused::Unreadable { file: name.to_string(), source };
        let stdin = path == Path::new("-");
        let metadata =
            if stdin { super::place::stdin().and_then(|stdin| stdin.metadata()) } else { std::fs::metadata(path) };
        let metadata = metadata.map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Refused::Folder { file: name.to_string() });
        }
        // A pipe is opened once, when its turn has come: opening and closing it would end its writer.
        if metadata.is_file() && !stdin {
            File::open(path).map_err(unreadable)?;
        }
        Ok(Self {
            path: (!stdin).then(|| path.to_path_buf()),
            size: metadata.is_file().then_some(metadata.len()),
            identity: Identity::of(&metadata),
            name,
        })
    }

    /// Opens it; `position` counts the bytes read, as they lie on disk.
    pub(super) fn open(&self, position: &Arc<AtomicU64>) -> io::Result<Contents> {
        let file = match &self.path {
            None => super::place::stdin()?,
            Some(path) => File::open(path)?,
        };
        decompressed(Counted { file, position: Arc::clone(position) })
    }
}

/// The contents of an archive, or the bytes themselves when they are none.
fn decompressed(mut bytes: impl Read + Send + 'static) -> io::Result<Contents> {
    let mut head = Vec::with_capacity(4);
    bytes.by_ref().take(4).read_to_end(&mut head)?;
    let kind = Kind::of(&head);
    let whole = io::Cursor::new(head).chain(bytes);
    Ok(match kind {
        Kind::Plain => Box::new(whole),
        Kind::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ, whole))),
        Kind::Zstd => Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(READ, whole))?),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
}

impl Kind {
    /// By the magic numbers of RFC 1952 and RFC 8878; a zstd archive may begin with a skippable frame.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Counts what is read.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zst(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("memory")
    }

    /// A reader that gives one byte at a time, as a slow pipe may.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn contents(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        decompressed(Slow(io::Cursor::new(bytes)))?.read_to_end(&mut contents)?;
        Ok(contents)
    }

    #[test]
    fn plain_bytes_pass_however_short() {
        for plain in [&b""[..], b"{", b"{}\n", b"{\"text\":\"a\"}\n"] {
            assert_eq!(contents(plain.to_vec()).expect("read"), plain);
        }
    }

    #[test]
    fn every_member_of_an_archive_is_read() {
        assert_eq!(contents([gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat()).expect("read"), b"one\ntwo\n");
        let skippable = b"\x52\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        assert_eq!(contents([skippable, zst(b"one\n"), zst(b"two\n")].concat()).expect("read"), b"one\ntwo\n");
    }

    #[test]
    fn a_truncated_archive_is_an_error_wherever_it_ends() {
        let text: Vec<u8> = (0..2_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        for whole in [gzip(&text), zst(&text)] {
            for end in [5, whole.len() / 2, whole.len() - 1] {
                contents(whole[..end].to_vec()).expect_err("truncated");
            }
            assert_eq!(contents(whole).expect("whole"), text);
        }
    }
}
