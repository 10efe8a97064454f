//! Files of a local disk, each there whole or not at all, and there to stay once told so.
//!
//! The library stages `x.parquet#1` beside its target, and readers of the folder would take it for data. So content
//! is written under `_state/staging/`, brought to the disk, and given its name by a hard link, which fails where
//! the name is taken; then the folders above it are brought to the disk too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Created;
use crate::archive::layout::STAGING;

/// A folder of this machine that holds an archive.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: PathBuf,
}

/// Held while a file is replaced.
const LOCK: &str = "_state/replacing";

/// Why a file was not written.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: io::Error,
    /// Whether its name may be there all the same.
    pub(super) named: bool,
}

/// A folder that was empty may be removed between its making and its use.
const TRIES: usize = 50;

impl Disk {
    /// Makes the folder, if it is not there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        make_folders(folder)?;
        let disk = Self { root: folder.canonicalize()? };
        make_folders(&disk.root.join(STAGING))?;
        Ok(disk)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that is not there.
    pub(super) fn create(&self, path: &str, content: &[u8]) -> Result<Created, Failure> {
        self.write(path, content, |staged, target| fs::hard_link(staged, target))
    }

    /// Writes a file in place of the one that is there.
    pub(super) fn replace(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.write(path, content, |staged, target| fs::rename(staged, target)).map(|_| ())
    }

    /// Waits until no other process of this machine replaces a file, until the lock is dropped.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let lock = File::create(self.root.join(LOCK)).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| Failure { error, named: false })
    }

    fn write(
        &self,
        path: &str,
        content: &[u8],
        name: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<Created, Failure> {
        let before = |error| Failure { error, named: false };
        let target = self.root.join(path);
        let folder = target.parent().unwrap_or(&self.root);
        let staged = self.stage(content).map_err(before)?;
        let mut tries = 0;
        let created = loop {
            tries += 1;
            // The folder may go again before it is used: then either step fails, the first one in two ways.
            let gone = match fs::create_dir_all(folder) {
                Ok(()) => match name(&staged, &target) {
                    Ok(()) => break Created::New,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break Created::Exists,
                    Err(error) if error.kind() == io::ErrorKind::NotFound && staged.exists() => error,
                    Err(error) => return Err(before(error)),
                },
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => error,
                Err(error) => return Err(before(error)),
            };
            if tries == TRIES {
                return Err(before(gone));
            }
        };
        // New folders with it; and of a file that another process has just named, too: the caller builds on it.
        self.sync_folders(folder).map_err(|error| Failure { error, named: true })?;
        Ok(created)
    }

    /// The content in a file of its own, which goes when the path is dropped.
    fn stage(&self, content: &[u8]) -> io::Result<tempfile::TempPath> {
        let folder = self.root.join(STAGING);
        let mut staging = tempfile::Builder::new();
        staging.prefix("put-");
        #[cfg(unix)]
        {
            // As any new file, by the umask; temporary ones are else for their owner alone.
            use std::os::unix::fs::PermissionsExt;
            staging.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = match staging.tempfile_in(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folders(&folder)?;
                staging.tempfile_in(&folder)?
            }
            file => file?,
        };
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file.into_temp_path())
    }

    fn sync_folders(&self, folder: &Path) -> io::Result<()> {
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            sync(folder)?;
        }
        Ok(())
    }

    /// Removes what writers that died have left in the staging folder; tells how many files.
    pub(super) fn sweep(&self, older: Duration) -> io::Result<usize> {
        let now = SystemTime::now();
        let mut swept = 0;
        let entries = match fs::read_dir(self.root.join(STAGING)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // It may be gone meanwhile: another process sweeps, or its writer is done.
            let Ok(about) = entry.metadata() else { continue };
            let age = now.duration_since(about.modified()?).unwrap_or_default();
            if about.is_file() && age > older && fs::remove_file(entry.path()).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// What a writer without any care leaves when the power goes: half a file under its final name.
    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn tear(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let target = self.root.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&self.root))?;
        File::create_new(target)?.write_all(content)
    }
}

/// Makes a folder and those above it, and brings them to the disk.
fn make_folders(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(above)?;
    }
    Ok(())
}

/// Brings a folder's entries to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // An archive may lie below folders that this user can pass through but not read; those are not ours.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().expect("folder");
        let disk = Disk::open(&folder.path().join("new/archive")).expect("opened");
        (folder, disk)
    }

    fn staged(disk: &Disk) -> usize {
        fs::read_dir(disk.root().join(STAGING)).expect("staging").count()
    }

    #[test]
    fn a_reader_of_the_folder_sees_whole_files_only_and_nothing_stays_in_staging() {
        let (_folder, disk) = disk();
        let path = "posts/date=2025-10-09/hour=08/a.parquet";
        assert_eq!(disk.create(path, b"one").expect("created"), Created::New);
        assert_eq!(disk.create(path, b"two").expect("looked"), Created::Exists);
        let hour = disk.root().join(path);
        let names: Vec<_> = fs::read_dir(hour.parent().expect("hour")).expect("read").collect();
        assert_eq!((names.len(), fs::read(&hour).expect("read")), (1, b"one".to_vec()));
        disk.replace(path, b"three").expect("replaced");
        assert_eq!((staged(&disk), fs::read(&hour).expect("read")), (0, b"three".to_vec()));
    }

    #[cfg(unix)]
    #[test]
    fn other_users_may_read_an_archive_as_far_as_the_umask_lets_them() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, disk) = disk();
        disk.create("a", b"").expect("created");
        let plain = folder.path().join("plain");
        fs::write(&plain, "").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&disk.root().join("a")), mode(&plain));
    }

    #[test]
    fn folders_that_others_remove_while_they_are_empty_do_not_stop_a_writer() {
        let (_folder, disk) = disk();
        let hour = disk.root().join("posts/hour");
        let done = AtomicBool::new(false);
        // Each try fails for one removal; a writer gives up when every one of its tries met one.
        let allowed = AtomicUsize::new(0);
        let removed = AtomicUsize::new(0);
        let failed: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    if allowed.load(Ordering::Acquire) > 0 && fs::remove_dir(&hour).is_ok() {
                        allowed.fetch_sub(1, Ordering::AcqRel);
                        removed.fetch_add(1, Ordering::AcqRel);
                    }
                    std::thread::yield_now();
                }
            });
            let outcomes = (0..500).map(|number| {
                let path = format!("posts/hour/{number}");
                // One less, because a removal of the writer before may be under way.
                allowed.store(TRIES - 2, Ordering::Release);
                let created = disk.create(&path, b"x");
                let _ = fs::remove_file(disk.root().join(&path));
                created
            });
            let failed = outcomes.filter(|created| !matches!(created, Ok(Created::New))).collect();
            done.store(true, Ordering::Release);
            failed
        });
        assert!(failed.is_empty(), "{failed:?}");
        assert!(removed.load(Ordering::Acquire) > 0, "no folder was removed");
    }

    #[test]
    fn only_old_files_are_swept_from_staging() {
        let (_folder, disk) = disk();
        let leave = |name: &str, age: u64| {
            let file = File::create_new(disk.root().join(STAGING).join(name)).expect("made");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("aged");
        };
        leave("put-old", 200);
        leave("put-new", 60);
        assert_eq!(disk.sweep(Duration::from_mins(2)).expect("swept"), 1);
        assert_eq!(staged(&disk), 1);
        assert!(disk.root().join(STAGING).join("put-new").exists());
    }
}
