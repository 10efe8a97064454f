//! Rows that are still open: one growing buffer for each column.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;

use super::buffer::{Numbers, Texts, WordLists, Words, constant};
use super::columns::{Field, Kind};
use super::post::ArchivedPost;

/// What of a post's text goes into its row.
pub(super) struct Disclosed<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) hash: Option<&'a str>,
}

/// The rows that are not encoded yet, in the order in which they came.
#[derive(Default)]
pub(super) struct OpenRows {
    len: usize,
    bytes: usize,
    post_id: Texts,
    event_time: Numbers<TimestampMillisecondType>,
    time_source: Words,
    created_at: Texts,
    platform: Words,
    lang: Words,
    author_id: Texts,
    text: Texts,
    text_hash: Texts,
    status: Words,
    skip_reason: Words,
    scores: Vec<Numbers<Float32Type>>,
    labels: WordLists,
    token_count: Numbers<Int32Type>,
    truncated: Vec<bool>,
    model_id: Words,
    source_topic: Words,
    source_partition: Numbers<Int32Type>,
    source_offset: Numbers<Int64Type>,
    source_timestamp: Numbers<TimestampMillisecondType>,
    source_file: Words,
    source_line: Numbers<Int64Type>,
    output_partition: Numbers<Int32Type>,
    output_offset: Numbers<Int64Type>,
    labelled_at: Numbers<TimestampMillisecondType>,
    extra: Texts,
}

impl OpenRows {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the strings that differ from row to row, and strings of the lists: no column has more.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// There are so many labels from now on, and no earlier row has any.
    pub(super) fn begin_scores(&mut self, labels: usize) {
        self.scores.resize_with(labels, Numbers::default);
        for column in &mut self.scores {
            column.push_nulls(self.len);
        }
    }

    /// Adds a row; its scores are as many as there are labels, or none.
    pub(super) fn push(&mut self, post: &ArchivedPost<'_>, disclosed: &Disclosed<'_>, output: Option<(i32, i64)>) {
        self.len += 1;
        let texts = [
            Some(&*post.id),
            post.created_at.as_deref(),
            post.author_id.as_deref(),
            disclosed.text,
            disclosed.hash,
            post.extra,
        ];
        self.bytes += texts.into_iter().flatten().map(str::len).sum::<usize>();
        self.bytes += post.labels.as_ref().map_or(0, Vec::len);
        self.post_id.push(Some(&post.id));
        self.event_time.push(Some(post.event_time_ms));
        self.time_source.push(Some(&post.time_source));
        self.created_at.push(post.created_at.as_deref());
        self.platform.push(post.platform.as_deref());
        self.lang.push(post.lang.as_deref());
        self.author_id.push(post.author_id.as_deref());
        self.text.push(disclosed.text);
        self.text_hash.push(disclosed.hash);
        self.status.push(Some(&post.status));
        self.skip_reason.push(post.skip_reason.as_deref());
        match &post.scores {
            Some(scores) => {
                for (column, (_, score)) in self.scores.iter_mut().zip(scores) {
                    column.push(Some(*score));
                }
            }
            None => self.scores.iter_mut().for_each(|column| column.push(None)),
        }
        self.labels.push(post.labels.as_ref().map(|labels| labels.iter().map(AsRef::as_ref)));
        self.token_count.push(post.token_count);
        self.truncated.push(post.truncated);
        self.model_id.push(Some(&post.model_id));
        self.source_topic.push(post.source.topic.as_deref());
        self.source_partition.push(post.source.partition);
        self.source_offset.push(post.source.offset);
        self.source_timestamp.push(post.source.timestamp);
        self.source_file.push(post.source.file.as_deref());
        self.source_line.push(post.source.line);
        self.output_partition.push(output.map(|(partition, _)| partition));
        self.output_offset.push(output.map(|(_, offset)| offset));
        self.labelled_at.push(Some(post.labelled_at_ms));
        self.extra.push(post.extra);
    }

    /// Bytes that the buffers hold.
    pub(super) fn memory(&self) -> usize {
        let texts = [&self.post_id, &self.created_at, &self.author_id, &self.text, &self.text_hash, &self.extra];
        let words = [
            &self.time_source,
            &self.platform,
            &self.lang,
            &self.status,
            &self.skip_reason,
            &self.model_id,
            &self.source_topic,
            &self.source_file,
        ];
        let times = [&self.event_time, &self.source_timestamp, &self.labelled_at];
        let large = [&self.source_offset, &self.source_line, &self.output_offset];
        let small = [&self.token_count, &self.source_partition, &self.output_partition];
        texts.into_iter().map(Texts::memory).sum::<usize>()
            + words.into_iter().map(Words::memory).sum::<usize>()
            + times.into_iter().map(Numbers::memory).sum::<usize>()
            + large.into_iter().map(Numbers::memory).sum::<usize>()
            + small.into_iter().map(Numbers::memory).sum::<usize>()
            + self.scores.iter().map(Numbers::memory).sum::<usize>()
            + self.labels.memory()
            + self.truncated.capacity()
    }

    /// The order of rows by (event time, offset in the output), as positions; none if they have it already.
    pub(super) fn order(&self) -> Option<Vec<u32>> {
        let (times, offsets) = (self.event_time.values(), self.output_offset.values());
        let key = |row: usize| (times[row], offsets[row]);
        if (1..self.len).all(|row| key(row - 1) <= key(row)) {
            return None;
        }
        let mut rows: Vec<u32> = (0..).take(self.len).collect();
        rows.sort_by_key(|row| key(*row as usize));
        Some(rows)
    }

    /// Takes the columns of the scores, in the labels' order.
    pub(super) fn take_scores(&mut self) -> Vec<Numbers<Float32Type>> {
        std::mem::take(&mut self.scores)
    }

    /// Takes a column: each can be taken once.
    pub(super) fn take(&mut self, field: Field, model_hash: &str) -> Result<ArrayRef, ArrowError> {
        use std::mem::take;
        match field {
            Field::PostId => take(&mut self.post_id).into_array(),
            Field::EventTime => take(&mut self.event_time).into_array(Kind::Time.data_type()),
            Field::TimeSource => take(&mut self.time_source).into_array(),
            Field::CreatedAt => take(&mut self.created_at).into_array(),
            Field::Platform => take(&mut self.platform).into_array(),
            Field::Lang => take(&mut self.lang).into_array(),
            Field::AuthorId => take(&mut self.author_id).into_array(),
            Field::Text => take(&mut self.text).into_array(),
            Field::TextHash => take(&mut self.text_hash).into_array(),
            Field::Status => take(&mut self.status).into_array(),
            Field::SkipReason => take(&mut self.skip_reason).into_array(),
            Field::Labels => take(&mut self.labels).into_array(),
            Field::TokenCount => take(&mut self.token_count).into_array(Kind::Int32.data_type()),
            Field::Truncated => Ok(Arc::new(BooleanArray::from(take(&mut self.truncated)))),
            Field::ModelId => take(&mut self.model_id).into_array(),
            Field::ModelHash => constant(model_hash, self.len),
            Field::SourceTopic => take(&mut self.source_topic).into_array(),
            Field::SourcePartition => take(&mut self.source_partition).into_array(Kind::Int32.data_type()),
            Field::SourceOffset => take(&mut self.source_offset).into_array(Kind::Int64.data_type()),
            Field::SourceTimestamp => take(&mut self.source_timestamp).into_array(Kind::Time.data_type()),
            Field::SourceFile => take(&mut self.source_file).into_array(),
            Field::SourceLine => take(&mut self.source_line).into_array(Kind::Int64.data_type()),
            Field::OutputPartition => take(&mut self.output_partition).into_array(Kind::Int32.data_type()),
            Field::OutputOffset => take(&mut self.output_offset).into_array(Kind::Int64.data_type()),
            Field::LabelledAt => take(&mut self.labelled_at).into_array(Kind::SharedTime.data_type()),
            Field::Extra => take(&mut self.extra).into_array(),
        }
    }
}
