//! Columns that grow row by row and become Arrow arrays without a copy.
//!
//! Arrow's own builders do the same but do not tell what they hold, and the archive has to know: its memory is bounded
//! by configuration (I8).

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::NullBufferBuilder;
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, ListArray, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Int32Type};
use arrow::error::ArrowError;

/// Strings that differ from row to row.
pub(super) struct Texts {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: Vec::new(), valid: NullBufferBuilder::new(0) }
    }
}

impl Texts {
    pub(super) fn push(&mut self, text: Option<&str>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.offsets.push(offset(self.bytes.len()));
        self.valid.append(text.is_some());
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.offsets.capacity() * size_of::<i32>() + self.valid.allocated_size()
    }

    pub(super) fn into_array(mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), self.valid.finish())?))
    }
}

/// The end of so many bytes.
fn offset(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("another row group begins long before 1 GiB, and no record is larger than that")
}

/// Strings of which the rows share a few: each is kept once.
#[derive(Default)]
pub(super) struct Words {
    keys: Vec<i32>,
    known: Known,
}

/// Strings by number.
#[derive(Default)]
struct Known {
    words: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, i32>,
    bytes: usize,
    /// The number that was asked for last: rows that follow each other are alike.
    last: usize,
}

impl Known {
    fn number(&mut self, word: &str) -> i32 {
        if self.words.get(self.last).is_some_and(|last| **last == *word) {
            return number(self.last);
        }
        let found = if let Some(found) = self.numbers.get(word) {
            *found
        } else {
            let new = number(self.words.len());
            let word: Arc<str> = word.into();
            // Two counters stand before the characters.
            self.bytes += word.len() + 2 * size_of::<usize>();
            self.words.push(Arc::clone(&word));
            self.numbers.insert(word, new);
            new
        };
        self.last = usize::try_from(found).unwrap_or_default();
        found
    }

    fn memory(&self) -> usize {
        let entry = size_of::<(Arc<str>, i32)>() + 1;
        self.bytes + self.words.capacity() * size_of::<Arc<str>>() + self.numbers.capacity() * entry
    }

    fn into_array(self) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(&self.words))
    }
}

/// A word's number.
fn number(position: usize) -> i32 {
    i32::try_from(position).expect("a row group has far fewer rows than there are numbers")
}

/// Stands for null among the keys.
const NULL: i32 = -1;

impl Words {
    pub(super) fn push(&mut self, word: Option<&str>) {
        let key = word.map_or(NULL, |word| self.known.number(word));
        self.keys.push(key);
    }

    pub(super) fn memory(&self) -> usize {
        self.keys.capacity() * size_of::<i32>() + self.known.memory()
    }

    pub(super) fn into_array(self) -> Result<ArrayRef, ArrowError> {
        dictionary(self.keys, self.known)
    }
}

fn dictionary(keys: Vec<i32>, known: Known) -> Result<ArrayRef, ArrowError> {
    let nulls = keys.contains(&NULL).then(|| keys.iter().map(|key| *key != NULL).collect::<NullBuffer>());
    let keys = Int32Array::try_new(ScalarBuffer::from(keys), nulls)?;
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, known.into_array())?))
}

/// The same string in every row.
pub(super) fn constant(word: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    let keys = Int32Array::from(vec![0; rows]);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from_iter_values([word])))?))
}

/// Lists of strings of which the rows share a few.
pub(super) struct WordLists {
    words: Words,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Default for WordLists {
    fn default() -> Self {
        Self { words: Words::default(), offsets: Vec::new(), valid: NullBufferBuilder::new(0) }
    }
}

impl WordLists {
    pub(super) fn push<'a>(&mut self, list: Option<impl IntoIterator<Item = &'a str>>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.valid.append(list.is_some());
        for word in list.into_iter().flatten() {
            self.words.push(Some(word));
        }
        self.offsets.push(offset(self.words.keys.len()));
    }

    pub(super) fn memory(&self) -> usize {
        self.words.memory() + self.offsets.capacity() * size_of::<i32>() + self.valid.allocated_size()
    }

    pub(super) fn into_array(mut self) -> Result<ArrayRef, ArrowError> {
        let words = self.words.into_array()?;
        let element = Arc::new(Field::new("element", words.data_type().clone(), false));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(ListArray::try_new(element, offsets, words, self.valid.finish())?))
    }
}

/// Numbers, where not each row has one.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: NullBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn push(&mut self, value: Option<T::Native>) {
        self.values.push(value.unwrap_or_default());
        self.valid.append(value.is_some());
    }

    /// So many rows without a number.
    pub(super) fn push_nulls(&mut self, rows: usize) {
        self.values.resize(self.values.len() + rows, T::Native::default());
        self.valid.append_n_nulls(rows);
    }

    pub(super) fn values(&self) -> &[T::Native] {
        &self.values
    }

    pub(super) fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.valid.allocated_size()
    }

    pub(super) fn into_array(mut self, data_type: DataType) -> Result<ArrayRef, ArrowError> {
        let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(self.values), self.valid.finish())?;
        Ok(Arc::new(array.with_data_type(data_type)))
    }
}
