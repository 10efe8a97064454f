//! An answer as rows, one for each period, group and emotion: as CSV and as Parquet.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::answer::{Answer, GroupSeries, PeriodPosts, Series};

/// The columns behind those of the period and of the groups.
const FIGURES: [&str; 9] = ["emotion", "labelled", "skipped", "count", "share", "low", "high", "mean", "change"];

/// One row.
struct Row<'a> {
    period: &'a PeriodPosts,
    group: &'a GroupSeries,
    series: &'a Series,
    /// Number of the period.
    at: usize,
}

impl Row<'_> {
    fn labelled(&self) -> u64 {
        self.series.of.as_ref().unwrap_or(&self.group.labelled)[self.at]
    }

    fn numbers(&self) -> [Option<f64>; 5] {
        let Series { share, low, high, mean, change, .. } = self.series;
        [share, low, high, mean, change].map(|values| values[self.at])
    }

    fn word(&self, by: &str) -> Option<&str> {
        self.group.key.get(by)?.as_deref()
    }
}

fn rows(answer: &Answer) -> impl Iterator<Item = Row<'_>> {
    answer.periods.iter().enumerate().flat_map(move |(at, period)| {
        answer
            .groups
            .iter()
            .flat_map(move |group| group.series.iter().map(move |series| Row { period, group, series, at }))
    })
}

/// With a header; what is unknown is empty.
pub(super) fn csv(answer: &Answer) -> String {
    let by = &answer.asked.group_by;
    let mut text = ["start", "end", "complete"].iter().chain(by).chain(&FIGURES).copied().collect::<Vec<_>>().join(",");
    text.push('\n');
    for row in rows(answer) {
        let PeriodPosts { start, end, complete, .. } = row.period;
        let mut cells =
            vec![start.clone(), end.clone(), complete.map(|complete| complete.to_string()).unwrap_or_default()];
        cells.extend(by.iter().map(|by| quoted(row.word(by).unwrap_or_default())));
        cells.push(quoted(&row.series.emotion));
        cells.extend(
            [row.labelled(), row.group.skipped[row.at], row.series.count[row.at]].map(|count| count.to_string()),
        );
        cells.extend(row.numbers().map(|number| number.map(|number| number.to_string()).unwrap_or_default()));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", cells.join(","));
    }
    text
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The same rows, times as instants.
pub(super) fn parquet(answer: &Answer) -> Result<Vec<u8>, ParquetError> {
    let rows: Vec<Row<'_>> = rows(answer).collect();
    let times = |of: fn(&PeriodPosts) -> i64| -> ArrayRef {
        let values = rows.iter().map(|row| of(row.period));
        Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("start", times(|period| period.millis.0), false),
        ("end", times(|period| period.millis.1), false),
        ("complete", Arc::new(rows.iter().map(|row| row.period.complete).collect::<BooleanArray>()), true),
    ];
    for by in &answer.asked.group_by {
        columns.push((by, Arc::new(rows.iter().map(|row| row.word(by)).collect::<StringArray>()), true));
    }
    let [emotion, labelled, skipped, count, numbers @ ..] = FIGURES;
    let emotions: StringArray = rows.iter().map(|row| Some(row.series.emotion.as_str())).collect();
    columns.push((emotion, Arc::new(emotions), false));
    let counts: [(&str, Vec<u64>); 3] = [
        (labelled, rows.iter().map(Row::labelled).collect()),
        (skipped, rows.iter().map(|row| row.group.skipped[row.at]).collect()),
        (count, rows.iter().map(|row| row.series.count[row.at]).collect()),
    ];
    columns.extend(counts.map(|(name, counts)| (name, Arc::new(UInt64Array::from(counts)) as ArrayRef, false)));
    for (place, name) in numbers.into_iter().enumerate() {
        let values: Float64Array = rows.iter().map(|row| row.numbers()[place]).collect();
        columns.push((name, Arc::new(values), true));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_when_they_have_to_be() {
        assert_eq!(quoted("bluesky"), "bluesky");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
    }
}
