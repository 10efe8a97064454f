//! Why a question has no answer.

use parquet::errors::ParquetError;

use crate::archive::StoreError;

/// By what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrendsError {
    /// The store failed, or a setting of it is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Wrong use: the message says what would be right.
    #[error("{0}")]
    Refused(String),
    /// A file is not what the archive writes.
    #[error("{path} cannot be read: {reason}")]
    Damaged {
        /// Below the archive's URL.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file went while it was read.
    #[error("{0} was removed while it was being read (archive.retention, or compact --remove-originals); ask again")]
    Gone(String),
    /// The answer cannot be written.
    #[error("{0}")]
    Unwritten(String),
}

impl TrendsError {
    /// Whether asking again can never help: exit code 2.
    pub(crate) fn is_wrong_use(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Refused { .. }),
            Self::Refused(_) | Self::Damaged { .. } => true,
            Self::Gone(_) | Self::Unwritten(_) => false,
        }
    }

    /// Makes the error of a damaged file of one of the Parquet library.
    pub(super) fn damaged(path: &str) -> impl Fn(ParquetError) -> Self {
        move |error| {
            let reason = format!("its pages are damaged ({error}); moodstream archive verify tells what can be done");
            Self::Damaged { path: path.to_owned(), reason }
        }
    }
}
