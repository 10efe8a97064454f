//! Reads posts with gold labels, in the layout of SemEval-2018 Task 1 E-c: tab-separated, a header, then one post a
//! line with its id, its text and a 0 or 1 for each label.
//!
//! Columns are found by name. Whatever would make the figures wrong is refused, with line, key and value, and never
//! with any of a post's text.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::inference::ModelError;

/// What some tools write before the first character of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Name of the column of ids.
const ID: &str = "ID";
/// Name of the column of texts.
const TEXT: &str = "Tweet";
/// Longest value, in characters, that an error shows.
const SHOWN: usize = 12;
/// What stands for a label in splits that are published without gold labels.
const NONE: &str = "NONE";

/// A file named on the command line that cannot be used: wrong use, exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// Check path and permissions.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Repair a line of it, or name the file that was meant.
    #[error("{} line {line}: {key}: expected {expected}, found {found}", file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column, or the part of the line.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is, without any of a post's text.
        found: String,
    },
    /// The same of a file of reference scores.
    #[error(transparent)]
    References(#[from] ModelError),
}

/// Posts and what people said of them.
#[derive(Debug)]
pub(crate) struct GoldFile {
    /// Its name, without the folder.
    pub(crate) name: String,
    /// Of its bytes, 64 hex digits.
    pub(crate) sha256: String,
    /// In the order of the lines; never none.
    pub(crate) posts: Vec<GoldPost>,
}

/// One post.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GoldPost {
    pub(crate) id: String,
    pub(crate) text: String,
    /// Per label, in the model's order.
    pub(crate) gold: Vec<bool>,
}

impl GoldFile {
    /// Reads a file that has gold labels for all of a model's labels.
    pub(crate) fn read(file: &Path, labels: &[String]) -> Result<Self, DataError> {
        let bytes = std::fs::read(file).map_err(|source| DataError::Unreadable { file: file.to_path_buf(), source })?;
        let posts = parse(file, &bytes, labels)?;
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, sha256: hex::encode(Sha256::digest(&bytes)), posts })
    }
}

/// Where the columns are.
struct Columns {
    id: usize,
    text: usize,
    /// In the model's order.
    labels: Vec<usize>,
    count: usize,
}

/// A place in a file, for what is wrong there.
#[derive(Clone, Copy)]
struct At<'a> {
    file: &'a Path,
    line: usize,
}

impl At<'_> {
    fn wrong(self, key: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Wrong {
            file: self.file.to_path_buf(),
            line: self.line,
            key: key.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

fn parse(file: &Path, bytes: &[u8], labels: &[String]) -> Result<Vec<GoldPost>, DataError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().map(|(index, line)| {
        let at = At { file, line: index + 1 };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|error| {
            at.wrong("line", "UTF-8", format!("a byte that is none after {} bytes", error.valid_up_to()))
        });
        text.map(|text| (at, text))
    });
    let Some(header) = lines.next() else { return Ok(Vec::new()) };
    let (at, header) = header?;
    let columns = Columns::find(at, header, labels)?;
    let posts: Vec<GoldPost> =
        lines.map(|line| line.and_then(|(at, line)| columns.post(at, line, labels))).collect::<Result<_, _>>()?;
    if posts.is_empty() {
        return Err(At { file, line: 2 }.wrong("line", "a post", "the end of the file"));
    }
    Ok(posts)
}

impl Columns {
    fn find(at: At<'_>, header: &str, labels: &[String]) -> Result<Self, DataError> {
        let names: Vec<&str> = header.split('\t').collect();
        let place = |name: &str| {
            let mut places = names.iter().enumerate().filter(|(_, found)| **found == name);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(Some(place)),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(at.wrong("header", format!("one column \"{name}\""), "more than one")),
            }
        };
        // Without these two the line may be no header but a post, of which nothing is shown.
        let required = |name| {
            let found = || format!("{} columns, none of them of that name", names.len());
            place(name)?.ok_or_else(|| at.wrong("header", format!("a column \"{name}\""), found()))
        };
        let (id, text) = (required(ID)?, required(TEXT)?);
        let mut places = Vec::new();
        let mut missing = Vec::new();
        for label in labels {
            match place(label)? {
                Some(place) => places.push(place),
                None => missing.push(format!("\"{label}\"")),
            }
        }
        let known = |name: &&str| *name == ID || *name == TEXT || labels.iter().any(|label| label == name);
        let unknown: Vec<String> = names.iter().filter(|name| !known(name)).map(|name| quoted(name, 40)).collect();
        let found: Vec<String> = [("no", &missing), ("also", &unknown)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word} {}", names.join(", ")))
            .collect();
        if !found.is_empty() {
            let expected = format!("\"{ID}\", \"{TEXT}\" and one column for each label of the model");
            return Err(at.wrong("header", expected, found.join(" and ")));
        }
        Ok(Self { id, text, labels: places, count: names.len() })
    }

    fn post(&self, at: At<'_>, line: &str, labels: &[String]) -> Result<GoldPost, DataError> {
        let values: Vec<&str> = line.split('\t').collect();
        if values.len() != self.count {
            let expected = format!("{} values separated by tabs, as in the header", self.count);
            return Err(at.wrong("line", expected, values.len().to_string()));
        }
        let [id, text] = [(ID, self.id), (TEXT, self.text)].map(|(key, column)| {
            let value = values[column];
            if value.trim().is_empty() { Err(at.wrong(key, "a value", "nothing")) } else { Ok(value.to_owned()) }
        });
        let gold = self.labels.iter().zip(labels).map(|(&column, label)| match values[column] {
            "0" => Ok(false),
            "1" => Ok(true),
            NONE => Err(at.wrong(
                label,
                "0 or 1",
                format!("\"{NONE}\": this split has no gold labels; take one that has them"),
            )),
            other => Err(at.wrong(label, "0 or 1", shown(other))),
        });
        let gold = gold.collect::<Result<_, _>>()?;
        Ok(GoldPost { id: id?, text: text?, gold })
    }
}

/// A wrong value of a label, unless it may be a word of a text that has slipped into another column.
fn shown(value: &str) -> String {
    let harmless = value.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))
        || ["nan", "none", "na", "n/a", "null", "true", "false", "yes", "no"]
            .contains(&value.to_ascii_lowercase().as_str());
    match value {
        "" => "nothing".to_owned(),
        value if harmless => quoted(value, SHOWN),
        value => format!("{} characters of something else", value.chars().count()),
    }
}

/// The beginning of a value that is no text of a post.
fn quoted(value: &str, most: usize) -> String {
    let end = if value.chars().count() > most { "…" } else { "" };
    format!("\"{}{end}\"", value.chars().take(most).collect::<String>().escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "ID\tTweet\tjoy\tfear";

    fn labels() -> Vec<String> {
        ["joy", "fear"].map(str::to_owned).to_vec()
    }

    fn read(content: impl AsRef<[u8]>) -> Result<Vec<GoldPost>, DataError> {
        parse(Path::new("dev.txt"), content.as_ref(), &labels())
    }

    fn post(id: &str, text: &str, gold: [bool; 2]) -> GoldPost {
        GoldPost { id: id.to_owned(), text: text.to_owned(), gold: gold.to_vec() }
    }

    #[track_caller]
    fn refused(content: impl AsRef<[u8]>, expected: &str) {
        assert_eq!(read(content).expect_err("wrong").to_string(), expected);
    }

    #[test]
    fn columns_are_found_by_name_wherever_they_stand() {
        let expected = [post("a", "what a day", [true, false]), post("b", "\"hm\" \\n", [false, true])];
        let unix = format!("{HEADER}\na\twhat a day\t1\t0\nb\t\"hm\" \\n\t0\t1\n");
        assert_eq!(read(&unix).expect("right"), expected);
        assert_eq!(read(unix.trim_end()).expect("right"), expected, "without a last line feed");
        let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
        assert_eq!(read(windows).expect("right"), expected);
        let turned = "fear\tTweet\tjoy\tID\n0\twhat a day\t1\ta\n1\t\"hm\" \\n\t0\tb\n";
        assert_eq!(read(turned).expect("right"), expected);
    }

    #[test]
    fn columns_that_do_not_fit_the_model_are_named_all_at_once() {
        let wanted =
            "dev.txt line 1: header: expected \"ID\", \"Tweet\" and one column for each label of the model, found";
        refused("ID\tTweet\tjoy\na\tb\t1\n", &format!("{wanted} no \"fear\""));
        refused("ID\tTweet\tjoy\tfear\thope\na\tb\t1\t0\t0\n", &format!("{wanted} also \"hope\""));
        refused(
            "ID\tTweet\tJoy\ta\"b\na\tb\t1\t1\n",
            &format!("{wanted} no \"joy\", \"fear\" and also \"Joy\", \"a\\\"b\""),
        );
        refused(
            "ID\tTweet\tjoy\tfear\tjoy\na\tb\t1\t0\t0\n",
            "dev.txt line 1: header: expected one column \"joy\", found more than one",
        );
    }

    #[test]
    fn a_file_without_a_header_is_told_without_its_first_text() {
        let message = "dev.txt line 1: header: expected a column \"ID\", found 4 columns, none of them of that name";
        refused("a\tmy secret\t1\t0\n", message);
        refused("", &message.replace("4 columns", "1 columns"));
    }

    #[test]
    fn a_wrong_value_is_told_with_line_label_and_value() {
        for (value, found) in [
            ("2", "\"2\""),
            ("", "nothing"),
            ("-0.5", "\"-0.5\""),
            ("nan", "\"nan\""),
            ("1 ", "2 characters of something else"),
            ("secret", "6 characters of something else"),
            ("NONE", "\"NONE\": this split has no gold labels; take one that has them"),
        ] {
            let content = format!("{HEADER}\na\ttext\t0\t0\nb\ttext\t0\t{value}\n");
            refused(content, &format!("dev.txt line 3: fear: expected 0 or 1, found {found}"));
        }
    }

    #[test]
    fn lines_of_another_length_are_refused_with_both_counts() {
        for (line, count) in [("b\ttext\t0", 3), ("b\tmy\tsecret\t0\t1", 5), ("", 1)] {
            refused(
                format!("{HEADER}\na\ttext\t0\t0\n{line}\nc\ttext\t0\t0\n"),
                &format!("dev.txt line 3: line: expected 4 values separated by tabs, as in the header, found {count}"),
            );
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        refused(format!("{HEADER}\n \ttext\t0\t0\n"), "dev.txt line 2: ID: expected a value, found nothing");
        refused(format!("{HEADER}\na\t \t0\t0\n"), "dev.txt line 2: Tweet: expected a value, found nothing");
        refused(format!("{HEADER}\n"), "dev.txt line 2: line: expected a post, found the end of the file");
        let message = "dev.txt line 2: line: expected UTF-8, found a byte that is none after 2 bytes";
        refused([HEADER.as_bytes(), b"\na\t\xff\t0\t0\n"].concat(), message);
    }

    #[test]
    fn a_file_is_named_without_its_folder_and_known_by_its_digest() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("gold.tsv");
        let content = format!("{HEADER}\na\ttext\t0\t1\n");
        std::fs::write(&file, &content).expect("file");
        let read = GoldFile::read(&file, &labels()).expect("right");
        assert_eq!((read.name.as_str(), read.posts.len()), ("gold.tsv", 1));
        assert_eq!(read.sha256, hex::encode(Sha256::digest(content)));
        let error = GoldFile::read(&folder.path().join("no.tsv"), &labels()).expect_err("not there");
        assert!(error.to_string().contains("no.tsv"), "{error}");
    }
}
