//! The proof, at the start, that the store keeps the promise on which the archive rests: of all who put a name if
//! it is absent, one wins, and what it put stays.
//!
//! Some servers ignore the condition and overwrite, and then two writers would both win a claim.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use futures_util::future::join_all;

use super::error::Doing;
use super::{Created, Store, StoreError};

/// The probe's folder.
pub(super) const FOLDER: &str = "_state/probe";
/// How many put one name at the same time.
const RIVALS: usize = 8;

impl Store {
    /// Puts names of its own, each more than once, and removes them again.
    ///
    /// # Errors
    /// Refuses a store that lets a second put win. Every other error says that the proof could not be had.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        let unique = format!("{:016x}", RandomState::new().hash_one(0));
        let (twice, raced) = (format!("{FOLDER}/{unique}-twice"), format!("{FOLDER}/{unique}-raced"));
        let outcome = async {
            self.put_twice(&twice).await?;
            self.race(&raced).await
        };
        let outcome = outcome.await;
        for name in [&twice, &raced] {
            if let Err(error) = self.delete(name).await
                && outcome.is_ok()
            {
                tracing::warn!(%error, "cannot remove what the start-up probe of the archive's store has put");
            }
        }
        outcome
    }

    /// One after the other.
    async fn put_twice(&self, name: &str) -> Result<(), StoreError> {
        let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
        // Exists is possible, though the name is new: the client has sent it twice, or it met a conflict.
        if self.create(name, first.clone()).await? == Created::Exists && self.get(name).await?.is_none() {
            return Err(StoreError::later(
                Doing::Create(name),
                "it says that the name is taken, and has nothing there",
            ));
        }
        let again = self.create(name, second).await?;
        let kept = self.get(name).await?;
        match (again, kept) {
            (Created::Exists, Some(kept)) if kept == first => Ok(()),
            (Created::New, _) => Err(refused("told the second of two that it was new")),
            (Created::Exists, Some(_)) => {
                Err(refused("told the second of two that the name is taken, and overwrote it"))
            }
            (Created::Exists, None) => Err(refused("does not have what was put")),
        }
    }

    /// All at once: some servers look first and write then.
    async fn race(&self, name: &str) -> Result<(), StoreError> {
        let puts = (0..RIVALS).map(|rival| self.create(name, Bytes::from(format!("rival {rival}"))));
        let outcomes = join_all(puts).await;
        let won: Vec<usize> = (0..RIVALS).filter(|rival| matches!(outcomes[*rival], Ok(Created::New))).collect();
        let kept = self.get(name).await?;
        match (won.as_slice(), kept) {
            ([], _) => outcomes.into_iter().find_map(Result::err).map_or(Ok(()), Err),
            ([winner], Some(kept)) if kept == format!("rival {winner}") => Ok(()),
            ([_], _) => Err(refused("told one of several that it was new, and keeps the content of another")),
            _ => Err(refused("told several that they were new")),
        }
    }
}

fn refused(what: &str) -> StoreError {
    StoreError::refused(
        "archive.url",
        format!(
            "this store does not put if absent: it {what}, so that two writers could archive the same posts twice or \
             lose some. Use a store that honours If-None-Match: * on puts, such as Amazon S3, Google Cloud Storage, \
             Azure Blob Storage or a recent S3 server, or a folder"
        ),
    )
}
