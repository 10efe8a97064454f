//! The rows of one bucket, which is one hour of one model: open ones, and row groups that are encoded already.
//!
//! A row is a function of its record and the rules alone, never of now: whoever makes a file again makes the same rows.

use std::io;
use std::sync::Arc;

use parquet::errors::ParquetError;

use super::columns::{self, Clash};
use super::encode::{self, RowGroup};
use super::footer::{About, Footer};
use super::open::{Disclosed, OpenRows};
use super::post::ArchivedPost;
use crate::config::{Config, Exposure};
use crate::inference::ModelInfo;
use crate::labelled::Disclosure;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 65_536;
/// Bytes of the texts of a row group at which another one begins: columns address theirs with 31 bits.
const GROUP_BYTES: usize = 64 << 20;

/// Everything beside the record that shapes a row.
#[derive(Clone)]
pub(crate) struct RowPolicy {
    /// What is kept of the text that the record holds.
    pub(crate) text: Exposure,
    /// The secret of the keyed hash; needed where the text is hashed.
    pub(crate) key: Option<Arc<[u8]>>,
}

impl RowPolicy {
    /// As the configuration has it.
    ///
    /// # Errors
    /// When the key's file cannot be read.
    pub(crate) fn of(config: &Config) -> io::Result<Self> {
        let text = config.archive.text;
        let key = if text == Exposure::Hash { Some(config.privacy.read_key()?.into()) } else { None };
        Ok(Self { text, key })
    }
}

/// Why a record cannot be a row of its bucket. Never holds any of the post's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    /// The bucket is another model's.
    #[error("its model is {found}, where the file's is {expected}")]
    Model {
        /// The bucket's content hash.
        expected: String,
        /// The record's.
        found: String,
    },
    /// Other labels than those of the same model before it.
    #[error("its labels are {found}, where the model {model} had {expected} before")]
    Labels {
        /// Content hash.
        model: String,
        /// The bucket's labels.
        expected: String,
        /// The record's.
        found: String,
    },
    /// Other thresholds than those of the same model before it, or not one for each label.
    #[error("its thresholds are not those that the model {model} had before, or not one per label")]
    Thresholds {
        /// Content hash.
        model: String,
    },
    /// Labels that cannot be columns.
    #[error("its labels cannot be columns: {0}")]
    Columns(Clash),
}

impl Misfit {
    /// A fixed word for the kind of fault.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Model { .. } => "other_model",
            Self::Labels { .. } => "other_labels",
            Self::Thresholds { .. } => "other_thresholds",
            Self::Columns(_) => "no_columns",
        }
    }
}

/// Rows could not be encoded: a fault of the program, or of what it was given to write.
#[derive(Debug, thiserror::Error)]
#[error("rows of the archive cannot be encoded")]
pub(crate) struct NotEncoded(#[from] ParquetError);

/// The rows of one bucket.
pub(crate) struct Rows {
    policy: RowPolicy,
    disclosure: Disclosure,
    model: Option<Model>,
    open: OpenRows,
    groups: Vec<RowGroup>,
    /// An earlier seal that nobody was there to be told of.
    failed: Option<NotEncoded>,
}

/// The bucket's model: what its first record said, and the labels of its first labelled one.
struct Model {
    id: String,
    hash: String,
    thresholds: Vec<f32>,
    labels: Option<Vec<String>>,
}

impl Rows {
    /// No rows yet, and next to no memory.
    pub(crate) fn new(policy: RowPolicy) -> Self {
        let disclosure = Disclosure::new(policy.text, Exposure::Omit, policy.key.as_deref());
        Self { policy, disclosure, model: None, open: OpenRows::default(), groups: Vec::new(), failed: None }
    }

    /// No rows yet, but it is known whose they will be: the labels have their columns even if every row is skipped.
    pub(crate) fn of_model(policy: RowPolicy, model: &ModelInfo) -> Self {
        let ModelInfo { id, hash, labels, thresholds, .. } = model.clone();
        Self { model: Some(Model { id, hash, thresholds, labels: Some(labels) }), ..Self::new(policy) }
    }

    /// Adds a record's row. `output` is the record's partition and offset; none without a broker.
    ///
    /// # Errors
    /// When the record is of another bucket, or contradicts an earlier one; nothing has changed then.
    pub(crate) fn push(&mut self, post: &ArchivedPost<'_>, output: Option<(i32, i64)>) -> Result<(), Misfit> {
        let begins = self.admit(post)?;
        if self.open.len() >= GROUP_ROWS || self.open.bytes() >= GROUP_BYTES {
            // Whoever finishes the file is told.
            if let Err(error) = self.seal() {
                self.failed.get_or_insert(error);
            }
        }
        let model = self.model.get_or_insert_with(|| Model {
            id: post.model_id.to_string(),
            hash: post.model_hash.to_string(),
            thresholds: post.thresholds.clone(),
            labels: None,
        });
        if let (true, Some(scores)) = (begins, &post.scores) {
            model.labels = Some(scores.iter().map(|(label, _)| label.to_string()).collect());
            self.open.begin_scores(scores.len());
        } else if self.open.len() == 0 {
            self.open.begin_scores(model.labels.as_ref().map_or(0, Vec::len));
        }
        let text = post.text.as_deref();
        let made;
        let disclosed = match self.policy.text {
            Exposure::Keep => Disclosed { text, hash: post.text_hash.as_deref() },
            Exposure::Hash => {
                made = match text {
                    Some(text) if post.text_hash.is_none() => self.disclosure.text(text).1,
                    _ => None,
                };
                Disclosed { text: None, hash: post.text_hash.as_deref().or(made.as_deref()) }
            }
            Exposure::Omit => Disclosed { text: None, hash: None },
        };
        self.open.push(post, &disclosed, output);
        Ok(())
    }

    /// Whether the record may be a row here, and is the first with labels.
    fn admit(&self, post: &ArchivedPost<'_>) -> Result<bool, Misfit> {
        let thresholds = || Misfit::Thresholds { model: post.model_hash.to_string() };
        if let Some(model) = &self.model {
            if model.hash != post.model_hash {
                return Err(Misfit::Model { expected: model.hash.clone(), found: post.model_hash.to_string() });
            }
            if model.thresholds != post.thresholds {
                return Err(thresholds());
            }
        }
        let Some(scores) = &post.scores else { return Ok(false) };
        if let Some(expected) = self.model.as_ref().and_then(|model| model.labels.as_ref()) {
            let same = expected.len() == scores.len()
                && expected.iter().zip(scores).all(|(expected, (found, _))| *expected == **found);
            if same {
                return Ok(false);
            }
            let found: Vec<&str> = scores.iter().map(|(label, _)| label.as_ref()).collect();
            return Err(Misfit::Labels {
                model: post.model_hash.to_string(),
                expected: expected.join(", "),
                found: found.join(", "),
            });
        }
        if scores.len() != post.thresholds.len() {
            return Err(thresholds());
        }
        match columns::clash(scores.iter().map(|(label, _)| label.as_ref())) {
            Some(clash) => Err(Misfit::Columns(clash)),
            None => Ok(true),
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.groups.iter().map(RowGroup::rows).sum::<usize>()
    }

    /// Bytes that they hold.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.open.memory() + self.groups.iter().map(RowGroup::memory).sum::<usize>()
    }

    /// Bytes of the open rows among them: sealing frees most of these.
    pub(crate) fn open_memory(&self) -> usize {
        self.open.memory()
    }

    /// Encodes the open rows, which then hold a fraction of the memory.
    ///
    /// # Errors
    /// When they cannot be encoded: they are lost then, and so is the bucket.
    pub(crate) fn seal(&mut self) -> Result<(), NotEncoded> {
        let open = std::mem::take(&mut self.open);
        let Some(model) = self.model.as_ref().filter(|_| open.len() > 0) else { return Ok(()) };
        let labels = model.labels.as_deref().unwrap_or_default();
        self.groups.push(RowGroup::encode(open, labels, &model.hash)?);
        Ok(())
    }

    /// The whole file.
    ///
    /// # Errors
    /// When rows cannot be encoded, now or earlier.
    pub(crate) fn finish(mut self, footer: &Footer) -> Result<Vec<u8>, NotEncoded> {
        self.seal()?;
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let rows = self.groups.iter().map(RowGroup::rows).sum();
        let model = self.model.unwrap_or_else(|| Model {
            id: String::new(),
            hash: String::new(),
            thresholds: Vec::new(),
            labels: None,
        });
        let labels = model.labels.as_deref();
        let about = About {
            rows,
            text: self.policy.text.as_str(),
            model_id: &model.id,
            model_hash: &model.hash,
            labels: labels.map(|labels| (labels, labels.iter().map(|label| columns::name_of(label)).collect())),
            thresholds: &model.thresholds,
        };
        let metadata = footer.metadata(&about);
        Ok(encode::file(self.groups, labels.unwrap_or_default(), metadata)?)
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
