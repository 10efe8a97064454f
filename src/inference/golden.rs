//! The golden texts: does the model score here as it did when it was made?
//!
//! Run at every start, before the consumer group is joined. They also show whether scores depend
//! on the batch a text is in (I5): deduplication and cache are used only if they do not.

use std::fmt;

use super::TokenIds;
use super::bundle::{Bundle, GoldenText};
use super::encode::Encoder;
use super::error::{GoldenMismatch, ModelError};
use super::session::RunError;

/// Scores that differ by no more than this between batches count as independent of them (I5).
pub const BATCH_TOLERANCE: f64 = 1e-6;

/// What the golden texts have shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Golden texts run.
    pub texts: usize,
    /// Largest deviation from the promised scores.
    pub max_deviation: f64,
    /// Mean deviation from the promised scores.
    pub mean_deviation: f64,
    /// Labels given here and not in the promise, or the other way round.
    pub labels_flipped: usize,
    /// Largest difference between a text's scores alone and in a batch, in two orders.
    pub batch_deviation: f64,
    /// Whether that is at most [`BATCH_TOLERANCE`].
    pub batch_independent: bool,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} golden texts: deviation max {:.6}, mean {:.6}, labels flipped {}; batch against alone: max {:.1e} ({})",
            self.texts,
            self.max_deviation,
            self.mean_deviation,
            self.labels_flipped,
            self.batch_deviation,
            if self.batch_independent { "independent" } else { "dependent" },
        )
    }
}

/// A golden text to run now and then, to tell a broken model from a bad text.
#[derive(Debug, Clone)]
pub(super) struct Canary {
    ids: TokenIds,
    expected: Vec<f32>,
    tolerance: f64,
}

impl Canary {
    pub(super) fn new(bundle: &Bundle, encoder: &Encoder) -> Result<Self, ModelError> {
        let sequences = encode(bundle, encoder)?;
        let (Some(ids), Some(golden)) = (sequences.into_iter().next(), bundle.golden.first()) else {
            return Err(ModelError::Invalid {
                file: bundle.golden_file(),
                key: "lines".to_owned(),
                expected: "at least one text".to_owned(),
                found: "none".to_owned(),
            });
        };
        let tolerance = bundle.manifest.tolerance.max;
        Ok(Self { ids, expected: golden.scores.clone(), tolerance })
    }

    /// Whether the model still scores it right.
    pub(super) fn run(&self, run: impl FnOnce(&[&[u32]], usize) -> Result<Vec<f32>, RunError>) -> Result<(), String> {
        let scores = run(&[&self.ids], self.ids.len()).map_err(|error| error.to_string())?;
        for (expected, found) in self.expected.iter().zip(&scores) {
            if deviation(*expected, *found) > self.tolerance {
                return Err(format!("expected a score of {expected}, found {found}"));
            }
        }
        Ok(())
    }
}

/// Runs the golden texts alone and in batches of both orders.
///
/// # Errors
/// [`ModelError::Golden`] when scores are further off than the manifest's tolerance;
/// [`ModelError::Runtime`] when the model cannot be run, [`ModelError::Invalid`] when it does
/// not give one logit per label.
pub(super) fn verify(
    bundle: &Bundle,
    encoder: &Encoder,
    mut run: impl FnMut(&[&[u32]], usize) -> Result<Vec<f32>, RunError>,
) -> Result<Verification, ModelError> {
    let labels = bundle.manifest.labels.len();
    let owned = encode(bundle, encoder)?;
    let sequences: Vec<&[u32]> = owned.iter().map(|ids| &**ids).collect();
    let mut scores_of = |group: &[&[u32]]| {
        let longest = group.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let scores = run(group, longest).map_err(|error| runtime(bundle, format!("golden texts: {error}")))?;
        Ok::<_, ModelError>(scores.chunks(labels).map(<[f32]>::to_vec).collect::<Vec<_>>())
    };

    let mut alone = Vec::new();
    for sequence in &sequences {
        alone.extend(scores_of(&[sequence])?);
    }
    // Two orders and two sizes, so that every text meets other neighbours and other padding.
    let mut batch_deviation = 0.0_f64;
    let forwards: Vec<usize> = (0..sequences.len()).collect();
    let backwards: Vec<usize> = forwards.iter().rev().copied().collect();
    for (order, size) in [(forwards, 32), (backwards, 13)] {
        for indices in order.chunks(size) {
            let group: Vec<&[u32]> = indices.iter().map(|&index| sequences[index]).collect();
            for (&index, row) in indices.iter().zip(scores_of(&group)?) {
                for (a, b) in alone[index].iter().zip(&row) {
                    batch_deviation = batch_deviation.max(deviation(*a, *b));
                }
            }
        }
    }
    judge(bundle, &alone, batch_deviation)
}

/// Compares scores with the promised ones.
fn judge(bundle: &Bundle, alone: &[Vec<f32>], batch_deviation: f64) -> Result<Verification, ModelError> {
    let manifest = &bundle.manifest;
    let mut max = -1.0_f64;
    let mut sum = 0.0;
    let mut count = 0_u32;
    let mut flipped = 0;
    let mut worst = (0, 0, f32::NAN, f32::NAN);
    for (text, (golden, found)) in bundle.golden.iter().zip(alone).enumerate() {
        let pairs = golden.scores.iter().copied().zip(found.iter().copied());
        for (label, (expected, found)) in pairs.enumerate() {
            let threshold = manifest.thresholds[label];
            flipped += usize::from((expected >= threshold) != (found >= threshold));
            let off = deviation(expected, found);
            sum += off;
            count += 1;
            if off > max {
                max = off;
                worst = (text, label, expected, found);
            }
        }
    }
    let mean = sum / f64::from(count.max(1));
    if !(max <= manifest.tolerance.max && mean <= manifest.tolerance.mean) {
        let (text, label, expected, found) = worst;
        return Err(ModelError::Golden(GoldenMismatch {
            file: bundle.golden_file(),
            line: text + 1,
            label: manifest.labels[label].clone(),
            expected,
            found,
            max,
            mean,
            allowed_max: manifest.tolerance.max,
            allowed_mean: manifest.tolerance.mean,
        }));
    }
    Ok(Verification {
        texts: bundle.golden.len(),
        max_deviation: max,
        mean_deviation: mean,
        labels_flipped: flipped,
        batch_deviation,
        batch_independent: batch_deviation <= BATCH_TOLERANCE,
    })
}

fn encode(bundle: &Bundle, encoder: &Encoder) -> Result<Vec<TokenIds>, ModelError> {
    let encode = |(index, golden): (usize, &GoldenText)| {
        let text = encoder.encode(&golden.text);
        text.map(|encoded| encoded.ids).map_err(|error| ModelError::Tokenizer {
            file: bundle.tokenizer_file(),
            reason: format!("golden text {}: {error}", index + 1),
        })
    };
    bundle.golden.iter().enumerate().map(encode).collect()
}

/// |a − b|, infinite when either is not a number.
fn deviation(a: f32, b: f32) -> f64 {
    let deviation = (f64::from(a) - f64::from(b)).abs();
    if deviation.is_nan() { f64::INFINITY } else { deviation }
}

fn runtime(bundle: &Bundle, reason: String) -> ModelError {
    ModelError::Runtime { file: bundle.model_file(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::encode::tests::words;
    use crate::inference::manifest::tests::right;
    use std::path::PathBuf;

    fn bundle() -> (Bundle, Encoder) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, words().to_string()).expect("file");
        let encoder = Encoder::load(&file, 16, 0).expect("loads");
        let manifest: crate::inference::manifest::Manifest = serde_json::from_value(right()).expect("a manifest");
        let golden =
            ["good", "good day", "days"].map(|text| GoldenText { text: text.to_owned(), scores: vec![0.5, 0.25] });
        let info = crate::inference::ModelInfo {
            id: manifest.id.clone(),
            hash: manifest.model_hash(),
            labels: manifest.labels.clone(),
            thresholds: manifest.thresholds.clone(),
            languages: Vec::new(),
        };
        (Bundle { path: PathBuf::from("b"), manifest, golden: golden.into(), info }, encoder)
    }

    fn constant(rows: &[&[u32]], score: f32) -> Vec<f32> {
        rows.iter().flat_map(|_| [score, 0.25]).collect()
    }

    #[test]
    fn scores_within_the_tolerance_pass() {
        let (bundle, encoder) = bundle();
        let seen = verify(&bundle, &encoder, |rows, _| Ok(constant(rows, 0.500_01))).expect("passes");
        assert_eq!((seen.texts, seen.labels_flipped, seen.batch_independent), (3, 0, true));
        assert!(seen.max_deviation > 9e-6 && seen.max_deviation < 1.1e-5);
        assert!((seen.mean_deviation - seen.max_deviation / 2.0).abs() < 1e-9);
    }

    #[test]
    fn flipped_labels_are_counted() {
        let (bundle, encoder) = bundle();
        let seen = verify(&bundle, &encoder, |rows, _| Ok(constant(rows, 0.499_99))).expect("passes");
        assert_eq!(seen.labels_flipped, 3);
    }

    #[test]
    fn a_score_beyond_the_maximum_is_refused_with_text_label_and_both_values() {
        let (bundle, encoder) = bundle();
        let run = |rows: &[&[u32]], _| {
            let good_day = rows.len() == 1 && *rows[0] == [2, 4, 5, 3];
            Ok(constant(rows, if good_day { 0.6 } else { 0.5 }))
        };
        let error = verify(&bundle, &encoder, run).expect_err("beyond").to_string();
        for part in ["b/golden.jsonl line 2", "joy", "expected 0.5", "found 0.6", "0.0001"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_mean_beyond_the_tolerance_is_refused() {
        let (bundle, encoder) = bundle();
        let error = verify(&bundle, &encoder, |rows, _| Ok(constant(rows, 0.500_05))).expect_err("beyond");
        assert!(matches!(error, ModelError::Golden(_)), "{error}");
    }

    #[test]
    fn a_score_that_is_no_number_is_refused() {
        let (bundle, encoder) = bundle();
        let error = verify(&bundle, &encoder, |rows, _| Ok(constant(rows, f32::NAN))).expect_err("NaN");
        assert!(error.to_string().contains("found NaN"), "{error}");
    }

    #[test]
    fn scores_that_change_with_the_batch_are_seen() {
        let (bundle, encoder) = bundle();
        let run = |rows: &[&[u32]], _| Ok(constant(rows, if rows.len() > 1 { 0.500_002 } else { 0.5 }));
        let seen = verify(&bundle, &encoder, run).expect("passes");
        assert!(!seen.batch_independent);
        assert!(seen.batch_deviation > 1.5e-6);
    }

    #[test]
    fn a_canary_tells_a_right_score_from_a_wrong_one() {
        let (bundle, encoder) = bundle();
        let canary = Canary::new(&bundle, &encoder).expect("there are golden texts");
        canary.run(|rows, _| Ok(constant(rows, 0.5))).expect("right");
        canary.run(|rows, _| Ok(constant(rows, 0.6))).expect_err("wrong");
        canary.run(|rows, _| Ok(constant(rows, f32::NAN))).expect_err("wrong");
        canary.run(|_, _| Err(RunError::Failed("no".to_owned()))).expect_err("fails");
    }
}
