//! Outputs: standard output, pipes, and files that have their name only once they are whole.
//!
//! A file is written under a name of its own beside its place and renamed at the end, so that what a failed or
//! killed run leaves behind cannot be taken for a whole file. `.gz` and `.zst` say how it is compressed. A folder gets
//! the archive's Parquet files, in the same way.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempPath;

use super::place::{self, Identity};
use super::refused::Refused;
use super::tree::{self, Staged, Tree, TreeRules};
use crate::archive::layout::POSTS;

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file, or whatever has that name: a pipe, a device.
    File(PathBuf),
    /// A folder, for the archive's tree of Parquet files.
    Tree(PathBuf),
}

impl Destination {
    /// `-` is standard output.
    pub(crate) fn new(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::File(path.to_path_buf()) }
    }

    /// The same for the labelled posts: what is a folder, or ends like one, gets Parquet files.
    pub(super) fn of_posts(path: &Path) -> Self {
        let folder = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if folder { Self::Tree(path.to_path_buf()) } else { Self::new(path) }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Tree(folder) => folder.join(POSTS).display().to_string(),
        }
    }

    /// The file of this kind that goes with this output, when none is named: `a.rejects.jsonl` with `a.jsonl.gz`,
    /// `a.rejects.jsonl` beside the folder `a`, `moodstream.rejects.jsonl` in the working directory with standard
    /// output.
    pub(super) fn beside(&self, kind: &str) -> Self {
        let path = match self {
            Self::Stdout => return Self::File(format!("moodstream.{kind}.jsonl").into()),
            Self::File(path) => path,
            Self::Tree(folder) => {
                // `.` and `..` have a name elsewhere.
                let whole = if folder.file_name().is_none() { fs::canonicalize(folder).ok() } else { None };
                let folder = whole.as_ref().unwrap_or(folder);
                let mut name = folder.file_name().unwrap_or("moodstream".as_ref()).to_owned();
                name.push(format!(".{kind}.jsonl"));
                return Self::File(folder.with_file_name(name));
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let stem = [".jsonl", ".ndjson", ".json"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
        Self::File(path.with_file_name(format!("{stem}.{kind}.jsonl")))
    }

    /// Whether both are one file, there or not.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let place = |destination: &Self| match destination {
            Self::Stdout => None,
            Self::File(path) | Self::Tree(path) => {
                Some((fs::canonicalize(folder(path)).ok(), path.file_name().map(OsStr::to_owned)))
            }
        };
        let identity = self.identity();
        place(self) == place(other) || (identity.is_some() && identity == other.identity())
    }

    /// Which file is there now, if one is.
    pub(super) fn identity(&self) -> Option<Identity> {
        let metadata = match self {
            Self::Stdout => place::stdout().and_then(|stdout| stdout.metadata()),
            Self::File(path) | Self::Tree(path) => fs::metadata(path),
        };
        metadata.ok().as_ref().and_then(Identity::of)
    }

    /// Its path, if it has one.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Stdout => None,
            Self::File(path) | Self::Tree(path) => Some(path),
        }
    }

    /// Whether this file lies where a tree is put.
    pub(super) fn holds(&self, file: &Path) -> bool {
        let Self::Tree(tree) = self else { return false };
        let Ok(posts) = fs::canonicalize(tree.join(POSTS)) else { return false };
        // A file that is not there yet lies where its folder is.
        fs::canonicalize(file).or_else(|_| fs::canonicalize(folder(file))).is_ok_and(|file| file.starts_with(posts))
    }

    /// Whether it may be written.
    ///
    /// # Errors
    /// When something is there already that must not be replaced, or a file cannot be there.
    pub(super) fn check(&self, overwrite: bool) -> Result<(), Refused> {
        let path = match self {
            Self::Stdout => return Ok(()),
            Self::File(path) => path,
            Self::Tree(folder) => return tree::check(folder, overwrite),
        };
        let unwritable = |reason: String| Refused::Unwritable { file: self.name(), reason };
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(unwritable("it is a folder".to_owned())),
            Ok(there) if there.is_file() && there.len() > 0 && !overwrite => {
                Err(Refused::NotEmpty { file: self.name(), bytes: there.len() })
            }
            Ok(_) => Ok(()),
            Err(_) if folder(path).is_dir() && path.file_name().is_some() => Ok(()),
            Err(error) => Err(unwritable(format!("{error}; the folder has to be there"))),
        }
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The unfinished files and folders of this process, for whoever has to remove them at a signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unfinished(Arc<Mutex<Work>>);

/// What is unfinished, and whether it has been removed.
#[derive(Debug, Default)]
pub(super) struct Work {
    paths: Vec<PathBuf>,
    over: bool,
}

impl Unfinished {
    pub(super) fn add(&self, path: &Path) {
        self.hold().paths.push(path.to_path_buf());
    }

    /// Nothing is removed as long as this is held; once it has been, the process is about to end, and whoever wants to
    /// write more waits for that.
    pub(super) fn hold(&self) -> MutexGuard<'_, Work> {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if work.over {
            drop(work);
            loop {
                thread::park();
            }
        }
        work
    }

    /// Removes them, and says whether there were any.
    pub(crate) fn remove(&self) -> bool {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work.over = true;
        // One that has been renamed is finished, and not there any more.
        let removed = |path: &PathBuf| if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        work.paths.drain(..).filter(|path| removed(path).is_ok()).count() > 0
    }
}

/// An output that is being written.
pub(crate) struct Sink {
    destination: Destination,
    overwrite: bool,
    unfinished: Unfinished,
    state: State,
}

enum State {
    /// There will be a file once there is something in it.
    Waiting,
    /// What is written is out.
    Stream(Encoder),
    /// A file under a name of its own.
    Partial { encoder: Encoder, path: TempPath, target: PathBuf },
    /// A tree of files under a name of its own.
    Tree(Box<Tree>),
}

impl Sink {
    /// Opens an output that is there in any case, if only as an empty file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open(destination: Destination, overwrite: bool, unfinished: &Unfinished) -> io::Result<Self> {
        let mut sink = Self::waiting(destination, overwrite, unfinished);
        sink.start()?;
        Ok(sink)
    }

    /// Begins a tree of Parquet files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn tree(folder: &Path, overwrite: bool, rules: TreeRules, unfinished: &Unfinished) -> io::Result<Self> {
        let tree = Tree::begin(folder, rules, unfinished)?;
        let sink = Self::waiting(Destination::Tree(folder.to_path_buf()), overwrite, unfinished);
        Ok(Self { state: State::Tree(Box::new(tree)), ..sink })
    }

    /// An output that is there only if something is written to it; a stale one is removed at the end.
    pub(crate) fn waiting(destination: Destination, overwrite: bool, unfinished: &Unfinished) -> Self {
        Self { destination, overwrite, unfinished: unfinished.clone(), state: State::Waiting }
    }

    pub(crate) fn name(&self) -> String {
        self.destination.name()
    }

    fn start(&mut self) -> io::Result<&mut Encoder> {
        if matches!(self.state, State::Waiting) {
            self.state = self.started()?;
        }
        match &mut self.state {
            State::Stream(encoder) | State::Partial { encoder, .. } => Ok(encoder),
            State::Waiting | State::Tree(_) => Err(io::Error::other("the output has not been opened")),
        }
    }

    fn started(&self) -> io::Result<State> {
        let path = match &self.destination {
            Destination::Stdout => return Ok(State::Stream(Encoder::new(place::stdout()?, Path::new(""))?)),
            Destination::File(path) | Destination::Tree(path) => path,
        };
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Ok(State::Stream(Encoder::new(File::options().write(true).open(path)?, path)?));
        }
        // Of a link, the file that it leads to is replaced.
        let target = if there.is_some() { fs::canonicalize(path)? } else { path.clone() };
        let permissions = there.map_or_else(|| Permissions::from_mode(0o666), |there| there.permissions());
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".");
        let made = tempfile::Builder::new()
            .prefix(&name)
            .suffix(".partial")
            .permissions(permissions)
            .tempfile_in(folder(&target))?;
        let (file, partial) = made.into_parts();
        self.unfinished.add(&partial);
        Ok(State::Partial { encoder: Encoder::new(file, path)?, path: partial, target })
    }

    /// Writes whole lines; where someone may be reading, they are out when this returns.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let State::Tree(tree) = &mut self.state {
            return tree.write(lines);
        }
        let encoder = self.start()?;
        encoder.write(lines)?;
        if let State::Stream(encoder) = &mut self.state { encoder.flush() } else { Ok(()) }
    }

    /// Everything is written: it is on disk when this returns, but a file has not got its name yet.
    pub(super) fn finish(self) -> io::Result<Finished> {
        let Self { destination, overwrite, state, .. } = self;
        let stale = || overwrite && matches!(&destination, Destination::File(path) if path.is_file());
        let left = match state {
            State::Waiting if stale() => Left::Stale,
            State::Waiting => Left::Nothing,
            State::Stream(encoder) => {
                encoder.finish()?;
                Left::Nothing
            }
            State::Partial { encoder, path, target } => {
                encoder.finish()?.sync_all()?;
                Left::Rename(path, target)
            }
            State::Tree(tree) => Left::Tree(tree.finish()?),
        };
        Ok(Finished { destination, overwrite, left })
    }
}

/// A whole output that has not got its name yet.
pub(super) struct Finished {
    destination: Destination,
    overwrite: bool,
    left: Left,
}

/// What is left to be done.
enum Left {
    Nothing,
    /// Give the file its name.
    Rename(TempPath, PathBuf),
    /// Give the tree its name.
    Tree(Staged),
    /// Remove an earlier run's file, of which this run has nothing to put in its place.
    Stale,
}

impl Finished {
    /// Gives the file its name.
    pub(super) fn publish(self) -> io::Result<()> {
        match (self.left, &self.destination) {
            (Left::Rename(path, target), destination) => {
                // Someone else may have written it since the start.
                destination.check(self.overwrite).map_err(io::Error::other)?;
                path.persist(&target).map_err(|error| error.error)?;
                // The name itself reaches the disk with its folder; where that cannot be asked for, it does so later.
                if let Ok(folder) = File::open(folder(&target)) {
                    let _ = folder.sync_all();
                }
                Ok(())
            }
            (Left::Tree(tree), _) => tree.publish(self.overwrite),
            (Left::Stale, Destination::File(path)) => fs::remove_file(path),
            (Left::Stale | Left::Nothing, _) => Ok(()),
        }
    }
}

/// How an output is compressed.
enum Encoder {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Encoder {
    /// As the name asks for.
    fn new(file: File, name: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 17, file);
        let extension = name.extension().map(OsStr::to_ascii_lowercase);
        Ok(match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip(GzEncoder::new(file, Compression::default())),
            Some("zst") => Self::Zstd(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            _ => Self::Plain(file),
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(lines),
            Self::Gzip(file) => file.write_all(lines),
            Self::Zstd(file) => file.write_all(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(file) => file.flush(),
            Self::Zstd(file) => file.flush(),
        }
    }

    fn finish(self) -> io::Result<File> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(file) => file.finish()?,
            Self::Zstd(file) => file.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn sink(path: &Path, overwrite: bool) -> Sink {
        Sink::open(Destination::new(path), overwrite, &Unfinished::default()).expect("opened")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_once_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        let mut written = sink(&path, false);
        written.write(b"one\n").expect("written");
        let during = names(folder.path());
        assert!(during.len() == 1 && during[0].ends_with(".partial") && during[0] != "out.jsonl", "{during:?}");
        written.finish().expect("finished").publish().expect("published");
        assert_eq!(names(folder.path()), ["out.jsonl"]);
        assert_eq!(fs::read(&path).expect("there"), b"one\n");
    }

    #[test]
    fn one_that_is_given_up_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "old").expect("written");
        let mut given_up = sink(&path, true);
        given_up.write(b"new\n").expect("written");
        drop(given_up);
        assert_eq!(
            (names(folder.path()), fs::read(&path).expect("there")),
            (vec!["out.jsonl".into()], b"old".to_vec())
        );
        let unfinished = Unfinished::default();
        let killed = Sink::open(Destination::new(&path), true, &unfinished).expect("opened");
        assert!(unfinished.remove());
        assert_eq!(names(folder.path()), ["out.jsonl"]);
        drop(killed);
    }

    #[test]
    fn what_someone_else_wrote_meanwhile_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        for (overwrite, left) in [(false, "theirs"), (true, "ours\n")] {
            let _ = fs::remove_file(&path);
            let mut ours = sink(&path, overwrite);
            ours.write(b"ours\n").expect("written");
            fs::write(&path, "theirs").expect("written");
            assert_eq!(ours.finish().expect("finished").publish().is_ok(), overwrite);
            assert_eq!(fs::read_to_string(&path).expect("there"), left);
        }
    }

    #[test]
    fn a_waiting_output_is_made_when_there_is_something_in_it_and_a_stale_one_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejects.jsonl");
        let waiting = || Sink::waiting(Destination::new(&path), true, &Unfinished::default());
        let mut used = waiting();
        used.write(b"").expect("nothing");
        assert!(names(folder.path()).is_empty());
        used.write(b"one\n").expect("written");
        used.finish().expect("finished").publish().expect("published");
        assert_eq!(names(folder.path()), ["rejects.jsonl"]);
        waiting().finish().expect("finished").publish().expect("published");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn rejects_are_named_after_the_output() {
        for (output, rejects) in [
            ("-", "moodstream.rejects.jsonl"),
            ("a/out.jsonl", "a/out.rejects.jsonl"),
            ("out.jsonl.zst", "out.rejects.jsonl"),
            ("/x/out.json.gz", "/x/out.rejects.jsonl"),
            ("out", "out.rejects.jsonl"),
            (".gz", ".rejects.jsonl"),
        ] {
            let beside = Destination::new(Path::new(output)).beside("rejects");
            assert_eq!(beside, Destination::File(rejects.into()), "{output}");
        }
        for (output, rejects) in [("a/out/", "a/out.rejects.jsonl"), ("out.d/", "out.d.rejects.jsonl")] {
            let beside = Destination::of_posts(Path::new(output)).beside("rejects");
            assert_eq!(beside, Destination::File(rejects.into()), "{output}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let beside = Destination::of_posts(&folder.path().join("..").join(".")).beside("rejects");
        let Destination::File(beside) = beside else { panic!("{beside:?}") };
        assert!(beside.is_absolute() && beside.to_string_lossy().ends_with(".rejects.jsonl"), "{}", beside.display());
    }

    #[test]
    fn one_file_is_one_file_whatever_it_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| Destination::File(folder.path().join(name));
        assert!(at("a").is_same(&at("./a")));
        assert!(!at("a").is_same(&at("b")) && !at("a").is_same(&Destination::Stdout));
        fs::write(folder.path().join("a"), "").expect("written");
        fs::hard_link(folder.path().join("a"), folder.path().join("b")).expect("a link");
        assert!(at("a").is_same(&at("b")));
    }

    #[test]
    fn the_extension_says_how_it_is_compressed() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str| {
            let path = folder.path().join(name);
            let mut written = sink(&path, false);
            written.write(b"one\n").expect("written");
            written.write(b"two\n").expect("written");
            written.finish().expect("finished").publish().expect("published");
            fs::read(path).expect("there")
        };
        assert_eq!(read("a.jsonl"), b"one\ntwo\n");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&read("a.jsonl.gz")[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "one\ntwo\n");
        assert_eq!(zstd::decode_all(&read("a.jsonl.ZST")[..]).expect("zstd"), b"one\ntwo\n");
    }

    #[test]
    fn a_link_stays_one_and_permissions_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file.jsonl"), folder.path().join("link.jsonl"));
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("chmod");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let mut written = sink(&link, true);
        written.write(b"new\n").expect("written");
        written.finish().expect("finished").publish().expect("published");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("there"), b"new\n");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
    }
}
