//! Which archive this is: fixed when its first archiver starts, and compared by every later one.
//!
//! Rows of another cluster, of another topic or shaped by other rules never get among the ones that are there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::claim::{RULES_VERSION, RowRules};
use super::hour::Hour;
use super::layout::IDENTITY;
use super::rows::RowPolicy;
use super::store::{Store, StoreError};
use crate::config::{Config, Exposure};

/// `_state/archive.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Version of the layout: 1.
    pub(crate) format: u32,
    /// Made up when the archive was begun.
    pub(crate) id: String,
    /// The Kafka cluster.
    pub(crate) cluster_id: String,
    /// The output topic.
    pub(crate) topic: String,
    /// What shapes rows.
    pub(crate) rules: RowRules,
    /// Milliseconds since 1970.
    pub(crate) begun: i64,
}

/// Why an archive is not this worker's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is there and cannot be read.
    #[error("{IDENTITY} of the archive cannot be read ({0}); it was written by a later version, or is damaged")]
    Unreadable(String),
    /// It belongs to something else.
    #[error(
        "archive.url = \"{url}\" holds another archive: its {what} is \"{found}\", here it is \"{expected}\"; {remedy}"
    )]
    Other {
        /// `archive.url`.
        url: String,
        /// What differs.
        what: &'static str,
        /// There.
        found: String,
        /// Here.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl RowRules {
    /// What the policy tells of itself.
    pub(crate) fn of(policy: &RowPolicy) -> Self {
        let key = policy.key.as_deref().filter(|_| policy.text == Exposure::Hash);
        let key_id = key.map(|key| {
            let digest = Sha256::new().chain_update(b"moodstream archive key id\0").chain_update(key).finalize();
            hex::encode(digest)[..16].to_owned()
        });
        Self { version: RULES_VERSION, text: policy.text, key_id: key_id.unwrap_or_default() }
    }
}

impl Identity {
    /// The archive's identity; begins the archive where there is none.
    pub(crate) async fn settle(
        store: &Store,
        config: &Config,
        cluster_id: &str,
        rules: &RowRules,
    ) -> Result<Self, IdentityError> {
        let own = Self {
            format: 1,
            id: new_id(),
            cluster_id: cluster_id.to_owned(),
            topic: config.output.topic.clone(),
            rules: rules.clone(),
            begun: Timestamp::now().as_millisecond(),
        };
        let there = if let Some(there) = Self::read(store).await? {
            there
        } else {
            let json = serde_json::to_vec_pretty(&own).map_err(|error| IdentityError::Unreadable(error.to_string()))?;
            store.create(IDENTITY, json.into()).await?;
            // Another archiver may have been first.
            Self::read(store).await?.ok_or_else(|| IdentityError::Unreadable("it is gone".to_owned()))?
        };
        there.compare(&own, config)?;
        Ok(there)
    }

    /// The identity as it is stored.
    pub(crate) async fn read(store: &Store) -> Result<Option<Self>, IdentityError> {
        let Some(json) = store.get(IDENTITY).await? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| IdentityError::Unreadable(error.to_string()))
    }

    /// The hour in which the archive was begun.
    pub(crate) fn first_hour(&self) -> Hour {
        Hour::of(self.begun)
    }

    fn compare(&self, own: &Self, config: &Config) -> Result<(), IdentityError> {
        const ELSEWHERE: &str = "give this worker an archive.url of its own";
        const RULES: &str =
            "rows of both kinds would mix: set it back, or begin a new archive under another archive.url";
        let text = |rules: &RowRules| rules.text.as_str().to_owned();
        for (what, found, expected, remedy) in [
            ("Kafka cluster", self.cluster_id.clone(), own.cluster_id.clone(), ELSEWHERE),
            ("output.topic", self.topic.clone(), own.topic.clone(), ELSEWHERE),
            ("archive.text", text(&self.rules), text(&own.rules), RULES),
            ("key of the keyed hash", self.rules.key_id.clone(), own.rules.key_id.clone(), RULES),
            ("version of the rows", self.rules.version.to_string(), own.rules.version.to_string(), RULES),
        ] {
            if found != expected {
                return Err(IdentityError::Other { url: config.archive.url.clone(), what, found, expected, remedy });
            }
        }
        Ok(())
    }
}

/// 16 random hex digits.
fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(Timestamp::now().as_nanosecond()))
}
