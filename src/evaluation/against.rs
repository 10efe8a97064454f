//! A model's scores held against those that another implementation gave the same texts, such as `PyTorch` from the
//! weights the bundle was made of.

use std::path::{Path, PathBuf};

use super::data::DataError;
use crate::inference::{GoldenText, ModelError, ModelInfo, Scored, read_golden};

/// Texts with the scores that they should have.
pub(crate) struct References {
    pub(crate) file: PathBuf,
    pub(crate) texts: Vec<GoldenText>,
}

impl References {
    /// Reads lines of text and scores, in the form of a bundle's golden texts.
    pub(crate) fn read(file: &Path, labels: usize) -> Result<Self, DataError> {
        let texts = read_golden(file, labels).map_err(|error| match error {
            // What the parser says may quote the line.
            ModelError::Malformed { file, line, source } => DataError::Wrong {
                file,
                line,
                key: "line".to_owned(),
                expected: "{\"text\": …, \"scores\": […]}".to_owned(),
                found: format!("something else at byte {}", source.column()),
            },
            error => DataError::References(error),
        })?;
        Ok(Self { file: file.to_path_buf(), texts })
    }
}

/// How far a model's scores are from the references.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) texts: usize,
    /// Largest |Δp|.
    pub(crate) max: f64,
    /// Mean of |Δp| over texts and labels.
    pub(crate) mean: f64,
    /// Labels given by one and not by the other, at the bundle's thresholds.
    pub(crate) labels_flipped: usize,
    /// Where the largest is: line, label, reference, found.
    worst: (usize, String, f32, f32),
}

impl Comparison {
    pub(crate) fn of(references: &References, scored: &[Scored], model: &ModelInfo) -> Self {
        let mut comparison = Self {
            texts: references.texts.len(),
            max: 0.0,
            mean: 0.0,
            labels_flipped: 0,
            worst: (0, String::new(), 0.0, 0.0),
        };
        let mut count = 0_u32;
        for (line, (reference, scored)) in (1..).zip(references.texts.iter().zip(scored)) {
            for (label, (&expected, &found)) in reference.scores.iter().zip(&*scored.scores).enumerate() {
                let threshold = model.thresholds[label];
                comparison.labels_flipped += usize::from((expected >= threshold) != (found >= threshold));
                let off = (f64::from(expected) - f64::from(found)).abs();
                comparison.mean += off;
                count += 1;
                if off > comparison.max {
                    comparison.max = off;
                    comparison.worst = (line, model.labels[label].clone(), expected, found);
                }
            }
        }
        comparison.mean /= f64::from(count.max(1));
        comparison
    }

    /// What is too far off, if anything is.
    pub(crate) fn complaint(&self, references: &References, most: f64) -> Option<String> {
        let file = references.file.display();
        let (line, label, expected, found) = &self.worst;
        let mut wrong = Vec::new();
        if self.max > most {
            wrong.push(format!(
                "{file} line {line}: {label}: expected {expected}, found {found}; at most {most:e} apart is allowed (--max)"
            ));
        }
        if self.labels_flipped > 0 {
            wrong.push(format!("{} labels differ from {file}", self.labels_flipped));
        }
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelInfo {
        ModelInfo {
            id: "m".to_owned(),
            hash: "h".to_owned(),
            labels: ["joy", "fear"].map(str::to_owned).to_vec(),
            thresholds: vec![0.5, 0.25],
            languages: Vec::new(),
        }
    }

    fn compared(pairs: &[([f32; 2], [f32; 2])]) -> (Comparison, References) {
        let texts = pairs.iter().map(|(scores, _)| GoldenText { text: "t".to_owned(), scores: scores.to_vec() });
        let references = References { file: PathBuf::from("r.jsonl"), texts: texts.collect() };
        let scored = |(_, scores): &([f32; 2], [f32; 2])| Scored {
            scores: scores.to_vec().into(),
            token_count: 3,
            truncated: false,
        };
        let scored: Vec<Scored> = pairs.iter().map(scored).collect();
        (Comparison::of(&references, &scored, &model()), references)
    }

    #[test]
    fn largest_and_mean_difference_are_over_all_scores() {
        let (compared, references) = compared(&[([0.5, 0.5], [0.5, 0.625]), ([0.75, 0.0], [1.0, 0.125])]);
        assert_eq!((compared.texts, compared.max, compared.mean, compared.labels_flipped), (2, 0.25, 0.125, 0));
        assert_eq!(compared.complaint(&references, 0.25), None);
        let complaint = compared.complaint(&references, 0.1).expect("too far off");
        for part in ["r.jsonl line 2", "joy", "expected 0.75", "found 1", "1e-1"] {
            assert!(complaint.contains(part), "{complaint}");
        }
    }

    #[test]
    fn a_label_that_differs_is_a_complaint_however_close_the_scores() {
        let (compared, references) = compared(&[([0.500_001, 0.25], [0.499_999, 0.249_999])]);
        assert_eq!(compared.labels_flipped, 2);
        let complaint = compared.complaint(&references, 1e-5).expect("labels differ");
        assert_eq!(complaint, "2 labels differ from r.jsonl");
    }

    #[test]
    fn wrong_lines_are_told_without_their_text() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("r.jsonl");
        let right = "{\"text\":\"a\",\"scores\":[0.1,0.9]}\n";
        for (line, part) in [
            ("\"my secret\"", "line 2: line: expected {\"text\": …, \"scores\": […]}, found something else at byte"),
            ("{\"text\":\"my secret\",\"scores\":[0.1]}", "line 2: scores: expected 2, one per label, found 1"),
            ("{\"text\":\"my secret\",\"scores\":[0.1,7]}", "expected values from 0 to 1, found 7"),
        ] {
            std::fs::write(&file, format!("{right}{line}\n")).expect("file");
            let error = References::read(&file, 2).err().expect("wrong").to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
        std::fs::write(&file, right).expect("file");
        assert_eq!(References::read(&file, 2).expect("right").texts.len(), 1);
    }
}
