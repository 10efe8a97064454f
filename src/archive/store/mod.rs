//! Where an archive's files are: a folder of this machine, or a bucket of S3, Google Cloud Storage or Azure.
//!
//! The archive rests on one promise: of all who [`Store::create`] a name, one is told [`Created::New`], and its
//! content stays. [`Store::probe`] has the store prove it at the start.
//!
//! An answer that does not come is no refusal. Every operation ends within `archive.put_deadline`, and its error
//! says what to do: try again, look first, or have a person mend something ([`StoreError`]). Even
//! [`Created::Exists`] is only what the store says: a client's own put that it sent twice is told so too, and so is
//! one that met another in flight, with nothing written. Whoever must know reads.

mod disk;
mod error;
#[cfg(any(test, feature = "fault-injection"))]
pub(crate) mod faults;
mod location;
mod options;
mod probe;

#[cfg(test)]
mod azure_tests;
#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod faults_tests;
#[cfg(test)]
mod http_faults;
#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod s3_tests;
#[cfg(test)]
mod secrets_tests;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};

use self::disk::Disk;
pub(crate) use self::error::StoreError;
use self::error::{Doing, Secrets, Teller, of_disk};
use self::location::Location;
#[cfg(test)]
use self::location::Service;
use crate::config::Properties;

/// What one put to a bucket may hold: uploads in parts have no put-if-absent.
const LARGEST_PUT: usize = 256 << 20;

/// An archive's store. Clones are one store.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
    #[cfg(any(test, feature = "fault-injection"))]
    faults: Option<Arc<faults::Faults>>,
}

struct Inner {
    /// `archive.url`; holds no secret.
    url: String,
    deadline: Duration,
    objects: Arc<dyn ObjectStore>,
    /// Set for a folder: its files are written by our own means.
    disk: Option<Disk>,
    teller: Teller,
}

/// What became of a put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// The name was free and now has this content.
    New,
    /// Nothing was written, says the store: the name is taken.
    Exists,
}

/// What a store tells of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Below the archive's URL.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// By the store's clock, in milliseconds since 1970.
    pub(crate) modified_ms: i64,
    /// Another one whenever the file is another one.
    pub(crate) version: Version,
}

/// What tells a file from a later one of the same name: its `ETag`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version(Option<String>);

impl From<ObjectMeta> for Meta {
    fn from(meta: ObjectMeta) -> Self {
        let ObjectMeta { location, last_modified, size, e_tag, .. } = meta;
        let version = Version(e_tag);
        Self { path: location.into(), size, modified_ms: last_modified.timestamp_millis(), version }
    }
}

impl Store {
    /// Opens the archive's folder, making it, or the client of its bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub(crate) fn open(url: &str, properties: &Properties, put_deadline: Duration) -> Result<Self, StoreError> {
        let location = Location::parse(url)?;
        let service = match &location {
            Location::Folder(_) => None,
            Location::Bucket { service, .. } => Some(*service),
        };
        let teller = Teller::new(options::settings(service), Secrets::new(properties));
        let (objects, disk) = match location {
            Location::Folder(folder) => {
                if let Some((key, _)) = properties.iter().next() {
                    let reason = "is an option of buckets, and archive.url is a folder";
                    return Err(StoreError::refused(format!("archive.properties.{key}"), reason));
                }
                let (files, disk) = open_folder(&folder)?;
                (files, Some(disk))
            }
            Location::Bucket { service, bucket, prefix } => {
                let objects = options::bucket(service, &bucket, properties, put_deadline, &teller)?;
                let below =
                    if prefix.as_ref().is_empty() { objects } else { Arc::new(PrefixStore::new(objects, prefix)) };
                (below, None)
            }
        };
        let inner = Inner { url: url.to_owned(), deadline: put_deadline, objects, disk, teller };
        Ok(Self {
            inner: Arc::new(inner),
            #[cfg(any(test, feature = "fault-injection"))]
            faults: faults::Faults::of_environment()?,
        })
    }

    /// Opens what is there to be read: no folder is made, and none needs to be writable.
    ///
    /// # Errors
    /// Which setting is wrong, or that there is no such folder.
    pub(crate) fn open_to_read(url: &str, properties: &Properties, deadline: Duration) -> Result<Self, StoreError> {
        let Location::Folder(folder) = Location::parse(url)? else { return Self::open(url, properties, deadline) };
        let refuse = |reason: String| StoreError::refused("archive.url", format!("{}: {reason}", folder.display()));
        let root = match folder.canonicalize() {
            Ok(root) if root.is_dir() => root,
            Ok(_) => return Err(refuse("is no folder".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(refuse("there is no such folder".to_owned()));
            }
            Err(error) => return Err(refuse(format!("cannot be opened ({error})"))),
        };
        let files = LocalFileSystem::new_with_prefix(root).map_err(|error| refuse(error.to_string()))?;
        let teller = Teller::new(options::settings(None), Secrets::default());
        let inner = Inner { url: url.to_owned(), deadline, objects: Arc::new(files), disk: None, teller };
        Ok(Self {
            inner: Arc::new(inner),
            #[cfg(any(test, feature = "fault-injection"))]
            faults: faults::Faults::of_environment()?,
        })
    }

    /// A store that is gone with its last clone.
    #[cfg(test)]
    pub(crate) fn memory(put_deadline: Duration) -> Self {
        let inner = Inner {
            url: "memory".to_owned(),
            deadline: put_deadline,
            objects: Arc::new(object_store::memory::InMemory::new()),
            disk: None,
            teller: Teller::new(options::settings(Some(Service::S3)), Secrets::default()),
        };
        Self { inner: Arc::new(inner), faults: None }
    }

    /// The same store, with these faults on the way to it.
    #[cfg(test)]
    pub(crate) fn with_faults(&self, faults: Arc<faults::Faults>) -> Self {
        Self { inner: Arc::clone(&self.inner), faults: Some(faults) }
    }

    /// Gives this content to a name that is free. Once told [`Created::New`], it outlasts the power.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when it may have been done, or may yet be.
    pub(crate) async fn create(&self, path: &str, content: Bytes) -> Result<Created, StoreError> {
        let doing = Doing::Create(path);
        #[cfg(any(test, feature = "fault-injection"))]
        if let Some(fault) = self.fault(doing) {
            return self.bounded(doing, faults::put(self, fault, doing, path, content, Mode::IfAbsent)).await;
        }
        self.bounded(doing, self.put(path, content, Mode::IfAbsent)).await
    }

    /// Gives this content to a name in place of the torn file that was looked at, and nothing else:
    /// [`Created::Exists`] when it is another one by now, or none.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when it may have been done, or may yet be.
    pub(crate) async fn replace(&self, path: &str, content: Bytes, torn: &Version) -> Result<Created, StoreError> {
        let doing = Doing::Replace(path);
        let mode = Mode::InPlaceOf(torn.clone());
        #[cfg(any(test, feature = "fault-injection"))]
        if let Some(fault) = self.fault(doing) {
            return self.bounded(doing, faults::put(self, fault, doing, path, content, mode)).await;
        }
        self.bounded(doing, self.put(path, content, mode)).await
    }

    /// The content of a file; none where there is no file.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let doing = Doing::Read(path);
        self.reading(doing, async {
            let found = self.inner.objects.get(&name_of(path)?).await?;
            found.bytes().await
        })
        .await
    }

    /// Parts of a file, in the order of these ranges; none where there is no file. Those that are close to each other
    /// are one request to a bucket.
    ///
    /// # Errors
    /// When the store cannot tell, or the file ends before a range does.
    pub(crate) async fn ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>, StoreError> {
        let doing = Doing::Read(path);
        self.reading(doing, async { self.inner.objects.get_ranges(&name_of(path)?, ranges).await }).await
    }

    /// What is told of a file, and its last bytes, at most so many; none where there is no file.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn tail(&self, path: &str, bytes_from_end: u64) -> Result<Option<(Meta, Bytes)>, StoreError> {
        let doing = Doing::Read(path);
        self.reading(doing, async {
            let name = name_of(path)?;
            // Not by a suffix range, which Azure does not know; files do not change between the two requests.
            let meta = self.inner.objects.head(&name).await?;
            let from = meta.size.saturating_sub(bytes_from_end);
            if from == meta.size {
                return Ok((meta.into(), Bytes::new()));
            }
            let part = GetOptions::new().with_range(Some(GetRange::Offset(from)));
            let found = self.inner.objects.get_opts(&name, part).await?;
            Ok((found.meta.clone().into(), found.bytes().await?))
        })
        .await
    }

    /// Size and time of a file; none where there is no file.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn head(&self, path: &str) -> Result<Option<Meta>, StoreError> {
        let doing = Doing::Read(path);
        self.reading(doing, async { Ok(self.inner.objects.head(&name_of(path)?).await?.into()) }).await
    }

    /// Every file below a folder and the folders in it, in the order of their paths.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Meta>, StoreError> {
        self.listing(prefix, async {
            let found = self.inner.objects.list(Some(&name_of(prefix)?)).map_ok(Meta::from).try_collect().await?;
            Ok(found)
        })
        .await
        .map(sorted)
    }

    /// The same, of those whose path is beyond this one.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn list_after(&self, prefix: &str, after_path: &str) -> Result<Vec<Meta>, StoreError> {
        self.listing(prefix, async {
            let (prefix, after) = (name_of(prefix)?, name_of(after_path)?);
            let found = self.inner.objects.list_with_offset(Some(&prefix), &after);
            found.map_ok(Meta::from).try_collect().await
        })
        .await
        .map(sorted)
    }

    /// The paths of the folders in a folder, in their order. On a disk one may be empty.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut folders: Vec<String> = self
            .listing(prefix, async {
                let found = self.inner.objects.list_with_delimiter(Some(&name_of(prefix)?)).await?;
                Ok(found.common_prefixes.into_iter().map(String::from).collect())
            })
            .await?;
        folders.sort_unstable();
        Ok(folders)
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when it may have been done, or may yet be.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let doing = Doing::Delete(path);
        #[cfg(any(test, feature = "fault-injection"))]
        if let Some(fault) = self.fault(doing) {
            return self.bounded(doing, faults::delete(self, fault, doing, path)).await;
        }
        self.bounded(doing, self.remove(path)).await
    }

    /// Removes what died writers of a disk have left half written; tells how many files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) async fn sweep(&self) -> Result<usize, StoreError> {
        let Some(disk) = self.inner.disk.clone() else { return Ok(0) };
        let doing = Doing::List(super::layout::STAGING);
        let older = self.inner.deadline * 2;
        let swept = blocking(move || disk.sweep(older));
        self.bounded(doing, async {
            swept.await.map_err(|error| of_disk(doing, error.kind(), error.to_string(), false))
        })
        .await
    }

    async fn put(&self, path: &str, content: Bytes, mode: Mode) -> Result<Created, StoreError> {
        let doing = match mode {
            Mode::IfAbsent => Doing::Create(path),
            _ => Doing::Replace(path),
        };
        let name = name_of(path).map_err(|error| self.inner.teller.tell(doing, &error))?;
        if let Some(disk) = self.inner.disk.clone() {
            let put = self.put_on_disk(disk, name, content, mode);
            return put
                .await
                .map_err(|disk::Failure { error, named }| of_disk(doing, error.kind(), error.to_string(), named));
        }
        if content.len() > LARGEST_PUT {
            let most = bytesize::ByteSize(LARGEST_PUT as u64);
            let reason =
                format!("makes a file of {} bytes, and {most} is the most that one put may hold", content.len());
            return Err(StoreError::refused("archive.segment_bytes", reason));
        }
        let mode = match mode {
            Mode::IfAbsent => PutMode::Create,
            Mode::InPlaceOf(torn) => PutMode::Update(UpdateVersion { e_tag: torn.0, version: None }),
            #[cfg(any(test, feature = "fault-injection"))]
            Mode::Overwrite => PutMode::Overwrite,
        };
        match self.inner.objects.put_opts(&name, PutPayload::from_bytes(content), mode.into()).await {
            Ok(_) => Ok(Created::New),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotModified { .. },
            ) => Ok(Created::Exists),
            Err(error) => Err(self.inner.teller.tell(doing, &error)),
        }
    }

    async fn put_on_disk(
        &self,
        disk: Disk,
        name: ObjectPath,
        content: Bytes,
        mode: Mode,
    ) -> Result<Created, disk::Failure> {
        let Mode::InPlaceOf(torn) = mode else {
            return blocking(move || match mode {
                Mode::IfAbsent => disk.create(name.as_ref(), &content),
                _ => disk.replace(name.as_ref(), &content).map(|()| Created::New),
            })
            .await;
        };
        // All processes that replace files here do so one after the other, or two could find the same torn file.
        let lock = blocking({
            let disk = disk.clone();
            move || disk.lock()
        })
        .await?;
        let there = self.inner.objects.head(&name).await.ok().map(Meta::from);
        if there.is_none_or(|there| there.version != torn) {
            return Ok(Created::Exists);
        }
        blocking(move || {
            let replaced = disk.replace(name.as_ref(), &content);
            drop(lock);
            replaced.map(|()| Created::New)
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        let removed = match name_of(path) {
            Ok(name) => self.inner.objects.delete(&name).await,
            Err(error) => Err(error),
        };
        match removed {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.inner.teller.tell(Doing::Delete(path), &error)),
        }
    }

    /// Runs a read of one file.
    async fn reading<T>(
        &self,
        doing: Doing<'_>,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, StoreError> {
        #[cfg(any(test, feature = "fault-injection"))]
        if let Some(fault) = self.fault(doing) {
            return Err(faults::read(fault, doing));
        }
        self.bounded(doing, async {
            match work.await {
                Ok(found) => Ok(Some(found)),
                Err(error) => match (self.inner.teller.tell(doing, &error), error) {
                    // A bucket that is not there is no missing file.
                    (refused @ StoreError::Refused { .. }, _) => Err(refused),
                    (_, object_store::Error::NotFound { .. }) => Ok(None),
                    (told, _) => Err(told),
                },
            }
        })
        .await
    }

    /// Runs a listing; of a folder that is not there it is empty.
    async fn listing<T>(
        &self,
        prefix: &str,
        work: impl Future<Output = object_store::Result<Vec<T>>>,
    ) -> Result<Vec<T>, StoreError> {
        self.reading(Doing::List(prefix), work).await.map(Option::unwrap_or_default)
    }

    /// Ends an operation at the deadline.
    async fn bounded<T>(
        &self,
        doing: Doing<'_>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.inner.deadline;
        let Ok(done) = tokio::time::timeout(deadline, work).await else {
            let cause = format!("no answer within {} (archive.put_deadline)", humantime::format_duration(deadline));
            return Err(StoreError::no_answer(doing, cause));
        };
        if done.is_ok() {
            self.inner.teller.note_answer();
        }
        done
    }

    #[cfg(any(test, feature = "fault-injection"))]
    fn fault(&self, doing: Doing<'_>) -> Option<faults::Fault> {
        self.faults.as_ref()?.next(doing)
    }
}

/// Without anything of the client, which holds credentials.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.inner.url).finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    IfAbsent,
    InPlaceOf(Version),
    #[cfg(any(test, feature = "fault-injection"))]
    Overwrite,
}

fn name_of(path: &str) -> object_store::Result<ObjectPath> {
    Ok(ObjectPath::parse(path)?)
}

fn open_folder(folder: &Path) -> Result<(Arc<dyn ObjectStore>, Disk), StoreError> {
    let refuse = |reason: String| StoreError::refused("archive.url", format!("{}: {reason}", folder.display()));
    let disk = Disk::open(folder)
        .map_err(|error| refuse(format!("cannot be opened ({error}); this user must be able to write to it")))?;
    let files = LocalFileSystem::new_with_prefix(disk.root()).map_err(|error| refuse(error.to_string()))?;
    // An hour's folder goes with its last file.
    Ok((Arc::new(files.with_automatic_cleanup(true)), disk))
}

fn sorted(mut found: Vec<Meta>) -> Vec<Meta> {
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Work that waits for a disk, off the runtime's threads. It goes on when nobody waits for it any more.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody will look at an answer.
            Err(_) => std::future::pending().await,
        },
    }
}
