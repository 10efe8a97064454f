//! Output as the archive has it: `DIR/posts/date=…/hour=…/part-N.parquet`, without a broker.
//!
//! The whole tree grows under a name of its own and is renamed at the end, so that `DIR/posts` is never half of
//! anything. Rows wait in memory by their hour; when they are too many (`archive.memory`), the largest hours are
//! encoded, and then written as a part that further ones may follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::output::Unfinished;
use super::refused::Refused;
use crate::archive::footer::Footer;
use crate::archive::hour::Hour;
use crate::archive::layout::POSTS;
use crate::archive::post::ArchivedPost;
use crate::archive::rows::{RowPolicy, Rows};
use crate::inference::ModelInfo;

/// What a worker's archive has beside its posts.
const STATE: &str = "_state";

/// How rows are made and how much of them may wait.
#[derive(Clone)]
pub(crate) struct TreeRules {
    /// What shapes a row.
    pub(crate) policy: RowPolicy,
    /// Whose rows they are.
    pub(crate) model: ModelInfo,
    /// Bytes of all rows that wait.
    pub(crate) memory: usize,
}

/// Whether a tree may be made in this folder.
///
/// # Errors
/// When something is there that must not be replaced, or no folder can be.
pub(super) fn check(folder: &Path, overwrite: bool) -> Result<(), Refused> {
    let posts = folder.join(POSTS);
    let unwritable = |file: &Path, reason: &str| {
        Err(Refused::Unwritable { file: file.display().to_string(), reason: reason.to_owned() })
    };
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent(folder).is_dir() => return Ok(()),
        Err(error) => return unwritable(folder, &format!("{error}; the folder that it is in has to be there")),
        Ok(there) if !there.is_dir() => return unwritable(folder, "it is no folder"),
        Ok(_) => {}
    }
    if fs::symlink_metadata(folder.join(STATE)).is_ok() {
        return Err(Refused::Archive { folder: folder.display().to_string() });
    }
    let Ok(there) = fs::symlink_metadata(&posts) else { return Ok(()) };
    if !there.is_dir() {
        return unwritable(&posts, "it is no folder");
    }
    let entries = fs::read_dir(&posts).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return unwritable(&posts, &error.to_string()),
    };
    // What is replaced is removed: nothing but what an earlier run can have made.
    let foreign = |entry: &&fs::DirEntry| !entry.file_name().to_string_lossy().starts_with("date=");
    match entries.iter().find(foreign) {
        Some(entry) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            unwritable(&posts, &format!("it holds {name}, which is no part of an archive"))
        }
        None if !entries.is_empty() && !overwrite => {
            Err(Refused::FolderNotEmpty { folder: posts.display().to_string() })
        }
        None => Ok(()),
    }
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A tree that is being made.
pub(super) struct Tree {
    folder: PathBuf,
    rules: TreeRules,
    unfinished: Unfinished,
    staging: TempDir,
    open: BTreeMap<Hour, Bucket>,
    /// Parts of each hour that are written.
    parts: BTreeMap<Hour, u32>,
    /// Bytes of all that is open.
    held: usize,
}

/// The rows of an hour.
struct Bucket {
    rows: Rows,
    /// Bytes, when they were last counted.
    held: usize,
}

impl Tree {
    pub(super) fn begin(folder: &Path, rules: TreeRules, unfinished: &Unfinished) -> io::Result<Self> {
        // In the folder if it is there: it may be another file system than the one it is in.
        let (place, prefix) = if folder.is_dir() {
            (folder, format!(".{POSTS}."))
        } else {
            (parent(folder), format!("{}.", folder.file_name().unwrap_or_default().to_string_lossy()))
        };
        let staging = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(place)?;
        unfinished.add(staging.path());
        let (open, parts) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { folder: folder.to_path_buf(), rules, unfinished: unfinished.clone(), staging, open, parts, held: 0 })
    }

    /// Adds whole lines, each an output record.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut touched = BTreeSet::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let post = ArchivedPost::parse(line).map_err(io::Error::other)?;
            let hour = Hour::of(post.event_time_ms);
            let new = || Bucket { rows: Rows::of_model(self.rules.policy.clone(), &self.rules.model), held: 0 };
            self.open.entry(hour).or_insert_with(new).rows.push(&post, None).map_err(io::Error::other)?;
            touched.insert(hour);
        }
        for hour in touched {
            self.count(hour);
        }
        if self.held > self.rules.memory { self.relieve() } else { Ok(()) }
    }

    fn count(&mut self, hour: Hour) {
        if let Some(bucket) = self.open.get_mut(&hour) {
            let now = bucket.rows.memory();
            self.held = self.held - bucket.held + now;
            bucket.held = now;
        }
    }

    /// Frees a quarter of what may be held, the largest hours first: encoded, if that helps, else written.
    fn relieve(&mut self) -> io::Result<()> {
        let enough = self.rules.memory / 4 * 3;
        for encode in [true, false] {
            let mut hours: Vec<(usize, Hour)> = self.open.iter().map(|(hour, bucket)| (bucket.held, *hour)).collect();
            hours.sort_unstable_by(|a, b| b.cmp(a));
            for (_, hour) in hours {
                if self.held <= enough {
                    return Ok(());
                }
                if !encode {
                    self.write_part(hour)?;
                } else if let Some(bucket) = self.open.get_mut(&hour)
                    && bucket.rows.open_memory() > bucket.held / 2
                    && bucket.rows.open_memory() > self.rules.memory / 16
                {
                    bucket.rows.seal().map_err(io::Error::other)?;
                    self.count(hour);
                }
            }
        }
        Ok(())
    }

    /// Writes what is open of an hour as its next part.
    fn write_part(&mut self, hour: Hour) -> io::Result<()> {
        let Some(bucket) = self.open.remove(&hour) else { return Ok(()) };
        self.held -= bucket.held;
        let file = bucket.rows.finish(&Footer { hour, segment: None }).map_err(io::Error::other)?;
        let part = self.parts.entry(hour).or_default();
        let path = self.staging.path().join(hour.folder()).join(format!("part-{part}.parquet"));
        *part += 1;
        let _held = self.unfinished.hold();
        for folder in [parent(parent(&path)), parent(&path)] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let mut into = File::create_new(&path)?;
        into.write_all(&file)?;
        into.sync_all()
    }

    /// Writes what is still open: all of it is on disk when this returns, but has not got its name yet.
    pub(super) fn finish(mut self) -> io::Result<Staged> {
        while let Some(hour) = self.open.keys().next().copied() {
            self.write_part(hour)?;
        }
        let dates: BTreeSet<PathBuf> = self
            .parts
            .keys()
            .map(|hour| self.staging.path().join(hour.folder()))
            .flat_map(|folder| [parent(&folder).to_path_buf(), folder])
            .collect();
        for folder in dates.iter().map(PathBuf::as_path).chain([self.staging.path()]) {
            File::open(folder)?.sync_all()?;
        }
        Ok(Staged { folder: self.folder, staging: self.staging, unfinished: self.unfinished })
    }
}

/// A whole tree that has not got its name yet.
pub(super) struct Staged {
    folder: PathBuf,
    staging: TempDir,
    unfinished: Unfinished,
}

impl Staged {
    /// Gives the tree its name; what was there before is removed once that is done.
    pub(super) fn publish(self, overwrite: bool) -> io::Result<()> {
        let posts = self.folder.join(POSTS);
        let _held = self.unfinished.hold();
        // Someone else may have written there since the start.
        check(&self.folder, overwrite).map_err(io::Error::other)?;
        if !self.folder.is_dir() {
            fs::create_dir(&self.folder)?;
        }
        let old = if posts.is_dir() {
            let aside = tempfile::Builder::new().prefix(".posts.").suffix(".old").tempdir_in(&self.folder)?;
            fs::rename(&posts, aside.path().join(POSTS))?;
            Some(aside)
        } else {
            None
        };
        if let Err(error) = fs::rename(self.staging.path(), &posts) {
            if let Some(aside) = &old {
                fs::rename(aside.path().join(POSTS), &posts)?;
            }
            return Err(error);
        }
        // It is no temporary folder any more.
        let _ = self.staging.keep();
        // The name itself reaches the disk with its folder; where that cannot be asked for, it does so later.
        if let Ok(folder) = File::open(&self.folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}
