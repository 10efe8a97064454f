//! Everything an evaluation has found, as its JSON says it (`schemas/evaluation.schema.json`); the text and the picture
//! show the same numbers. Fields are added, never renamed or given another meaning, as long as `v` is 1.

use std::io::{self, Write};
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::calibration::{BINS, Calibration};
use super::classify::Ran;
use super::data::GoldFile;
use super::metrics::{Decisions, Metrics, float};
use super::published::{self, Published};
use crate::inference::{Loaded, ModelInfo, Scored};

/// Version of the JSON.
const VERSION: u8 = 1;

/// What an evaluation has found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Evaluation")]
pub(crate) struct Report {
    /// Version of this format: 1.
    v: u8,
    /// Version of the program.
    moodstream: &'static str,
    /// The model that was judged.
    pub(super) model: Judged,
    /// The posts it was judged on.
    pub(super) data: Data,
    /// How they were run.
    pub(super) run: Run,
    /// Per label, in the model's order.
    pub(super) labels: Vec<Label>,
    /// Over all labels.
    pub(super) overall: Overall,
    /// What a score means, over all labels.
    pub(super) calibration: Reliability,
    /// What is published about other systems on the test split of SemEval-2018 Task 1 E-c; null unless the model has its
    /// eleven labels. `data` may be another split.
    pub(super) published: Option<&'static [Published]>,
}

/// The model that was judged.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Judged {
    /// The manifest's id.
    pub(super) id: String,
    /// Content hash, 64 hex digits.
    pub(super) hash: String,
    /// `fp32`, `fp16` or `int8`.
    pub(super) precision: &'static str,
}

/// The posts it was judged on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Data {
    /// The file's name, without its folder.
    pub(super) file: String,
    /// Of the file's bytes, 64 hex digits.
    pub(super) sha256: String,
    /// Posts.
    pub(super) posts: usize,
}

/// How the posts were run; the model's start is not in the times.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Run {
    /// From the first text to the last score.
    pub(super) seconds: f64,
    pub(super) posts_per_second: f64,
    /// Sessions, one thread each.
    pub(super) sessions: usize,
    /// Threads that tokenize.
    pub(super) tokenizing_threads: usize,
    /// Posts per second of processor time, of all threads; null where the system does not tell.
    pub(super) posts_per_processor_second: Option<f64>,
    /// `cpu` or `cuda`.
    provider: &'static str,
    /// Version of ONNX Runtime.
    onnxruntime: String,
    /// Tokens of the texts that were run.
    tokens: usize,
    /// The same with padding.
    padded_tokens: usize,
    /// Posts with the same tokens as another one: run once.
    repeated: usize,
    /// Posts with more tokens than the model takes, cut off.
    pub(super) truncated: usize,
}

/// One label's figures.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Label {
    #[serde(rename = "label")]
    pub(super) name: String,
    /// The label is given when its score reaches this.
    pub(super) threshold: f32,
    /// Posts that have the label.
    pub(super) support: u64,
    /// Posts that were given the label.
    pub(super) predicted: u64,
    /// Posts that have it and were given it.
    true_positives: u64,
    pub(super) precision: f64,
    pub(super) recall: f64,
    pub(super) f1: f64,
    pub(super) calibration: Reliability,
}

/// Figures over all labels.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Overall {
    /// Labels that the posts have.
    pub(super) support: u64,
    /// Labels that they were given.
    pub(super) predicted: u64,
    /// Means over the labels.
    pub(super) macro_f1: f64,
    pub(super) macro_precision: f64,
    pub(super) macro_recall: f64,
    /// Of all decisions together.
    pub(super) micro_f1: f64,
    pub(super) micro_precision: f64,
    pub(super) micro_recall: f64,
    /// Share of all decisions that are right.
    pub(super) hamming_accuracy: f64,
    /// Mean over the posts of |gold ∩ given| ÷ |gold ∪ given|, 1 when both are empty.
    pub(super) jaccard: f64,
}

/// What scores mean.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reliability {
    /// Σ (count ÷ all) × |mean score − observed share|.
    pub(super) expected_calibration_error: f64,
    /// Mean of (score − gold)².
    pub(super) brier_score: f64,
    /// Ten bins of equal width, from low scores to high ones.
    pub(super) bins: Vec<BinOfScores>,
}

/// Scores of about the same size.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BinOfScores {
    /// The lowest score of the bin.
    pub(super) from: f64,
    /// The end of the bin, not in it, but for 1.
    pub(super) to: f64,
    /// Scores in it.
    pub(super) count: u64,
    /// Null: there are no scores.
    pub(super) mean_score: Option<f64>,
    /// Share of the scores whose post has the label; null: there are no scores.
    pub(super) observed: Option<f64>,
}

/// With what the posts were run.
pub(crate) struct RunOn<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) ran: &'a Ran,
    /// Processor time that took.
    pub(crate) processor: Option<Duration>,
}

impl Report {
    /// Judges scores, one row for each post of the file.
    pub(crate) fn new(gold: &GoldFile, on: &RunOn<'_>) -> Self {
        let RunOn { loaded, ran, processor } = on;
        let model = loaded.classifier.model();
        let (metrics, calibrations) = judge(gold, &ran.scored, model);
        let posts = gold.posts.len();
        let per_second = |time: Duration| float(posts as u64) / time.as_secs_f64().max(f64::MIN_POSITIVE);
        Self {
            v: VERSION,
            moodstream: env!("CARGO_PKG_VERSION"),
            model: Judged { id: model.id.clone(), hash: model.hash.clone(), precision: loaded.precision.name() },
            data: Data { file: gold.name.clone(), sha256: gold.sha256.clone(), posts },
            run: Run {
                seconds: ran.elapsed.as_secs_f64(),
                posts_per_second: per_second(ran.elapsed),
                sessions: loaded.sessions,
                tokenizing_threads: ran.threads,
                posts_per_processor_second: processor.filter(|time| !time.is_zero()).map(per_second),
                provider: loaded.provider,
                onnxruntime: loaded.library.version.clone(),
                tokens: ran.cost.tokens,
                padded_tokens: ran.cost.padded_tokens,
                repeated: ran.cost.duplicates + ran.cost.cache_hits,
                truncated: ran.scored.iter().filter(|scored| scored.truncated).count(),
            },
            labels: metrics
                .labels
                .iter()
                .zip(&calibrations)
                .zip(model.labels.iter().zip(&model.thresholds))
                .map(|((decisions, calibration), (label, threshold))| {
                    Label::new(label, *threshold, decisions, calibration)
                })
                .collect(),
            overall: Overall::new(&metrics),
            calibration: Reliability::new(&together(&calibrations)),
            published: published::has_its_labels(&model.labels).then_some(&published::SYSTEMS),
        }
    }

    /// As JSON, with a last line feed.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Counts every post's decisions and scores.
fn judge(gold: &GoldFile, all_scored: &[Scored], model: &ModelInfo) -> (Metrics, Vec<Calibration>) {
    let mut metrics = Metrics::new(model.labels.len());
    let mut calibrations = vec![Calibration::default(); model.labels.len()];
    for (post, scored) in gold.posts.iter().zip(all_scored) {
        let scores = scored.scores.iter();
        let given: Vec<bool> = scores.zip(&model.thresholds).map(|(score, threshold)| score >= threshold).collect();
        metrics.count(&post.gold, &given);
        for ((calibration, &score), &gold) in calibrations.iter_mut().zip(&*scored.scores).zip(&post.gold) {
            calibration.count(score, gold);
        }
    }
    (metrics, calibrations)
}

/// Of all labels.
fn together(calibrations: &[Calibration]) -> Calibration {
    let mut all = Calibration::default();
    for calibration in calibrations {
        all += calibration;
    }
    all
}

impl Label {
    fn new(name: &str, threshold: f32, decisions: &Decisions, calibration: &Calibration) -> Self {
        Self {
            name: name.to_owned(),
            threshold,
            support: decisions.support(),
            predicted: decisions.predicted(),
            true_positives: decisions.true_positives,
            precision: decisions.precision(),
            recall: decisions.recall(),
            f1: decisions.f1(),
            calibration: Reliability::new(calibration),
        }
    }
}

impl Overall {
    fn new(metrics: &Metrics) -> Self {
        let all = metrics.together();
        Self {
            support: all.support(),
            predicted: all.predicted(),
            macro_f1: metrics.macro_average(Decisions::f1),
            macro_precision: metrics.macro_average(Decisions::precision),
            macro_recall: metrics.macro_average(Decisions::recall),
            micro_f1: all.f1(),
            micro_precision: all.precision(),
            micro_recall: all.recall(),
            hamming_accuracy: all.accuracy(),
            jaccard: metrics.jaccard(),
        }
    }
}

impl Reliability {
    fn new(calibration: &Calibration) -> Self {
        let edge = |index: usize| float(index as u64) / float(BINS as u64);
        let bins = calibration.bins.iter().enumerate().map(|(index, bin)| BinOfScores {
            from: edge(index),
            to: edge(index + 1),
            count: bin.count,
            mean_score: bin.mean_score(),
            observed: bin.observed(),
        });
        Self {
            expected_calibration_error: calibration.expected_error(),
            brier_score: calibration.brier(),
            bins: bins.collect(),
        }
    }
}

/// One line of the file of scores, for holding two models against each other.
#[derive(Serialize)]
struct ScoreLine<'a> {
    id: &'a str,
    scores: Scores<'a>,
}

/// Scores by label, in the model's order.
struct Scores<'a>(&'a [String], &'a [f32]);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

/// Writes each post's id and scores, never its text.
///
/// # Errors
/// When the lines cannot be written.
pub(crate) fn score_lines(
    into: &mut impl Write,
    gold: &GoldFile,
    scored: &[Scored],
    model: &ModelInfo,
) -> io::Result<()> {
    for (post, scored) in gold.posts.iter().zip(scored) {
        serde_json::to_writer(&mut *into, &ScoreLine { id: &post.id, scores: Scores(&model.labels, &scored.scores) })?;
        into.write_all(b"\n")?;
    }
    into.flush()
}

/// The JSON schema of a report, as the committed file holds it.
pub(crate) fn schema_text() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Report>();
    schema.insert("title".to_owned(), Value::from("Evaluation"));
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::data::GoldPost;
    use super::*;
    use crate::committed::assert_committed;
    use crate::inference::REFERENCE_LABELS;

    fn model(labels: &[&str]) -> ModelInfo {
        ModelInfo {
            id: "starter <v1>".to_owned(),
            hash: "ab".repeat(32),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            thresholds: vec![0.5; labels.len()],
            languages: Vec::new(),
        }
    }

    fn gold(posts: &[&[bool]]) -> GoldFile {
        let post = |(index, gold): (usize, &&[bool])| GoldPost {
            id: format!("p-{index}"),
            text: "my secret".to_owned(),
            gold: gold.to_vec(),
        };
        let posts = posts.iter().enumerate().map(post).collect();
        GoldFile { name: "dev & more.txt".to_owned(), sha256: "cd".repeat(32), posts }
    }

    fn scored(rows: &[&[f32]]) -> Vec<Scored> {
        let scored = |row: &&[f32]| Scored { scores: row.to_vec().into(), token_count: 5, truncated: false };
        rows.iter().map(scored).collect()
    }

    /// A report on eleven labels, each of them somewhat better than the one before.
    pub(in crate::evaluation) fn report(labels: &[&str]) -> Report {
        let model = model(labels);
        let posts: Vec<Vec<bool>> =
            (0..100).map(|post| (0..labels.len()).map(|l| (post + l) % 3 == 0).collect()).collect();
        let rows: Vec<Vec<f32>> = posts
            .iter()
            .enumerate()
            .map(|(post, gold)| {
                let score = |(label, gold): (usize, &bool)| {
                    let [noise, better] = [(post * 37 + label * 11) % 50, label]
                        .map(|number| f32::from(u8::try_from(number).expect("small")));
                    if *gold { 0.2 + noise / 100.0 + better / 40.0 } else { noise / 80.0 }
                };
                gold.iter().enumerate().map(score).collect()
            })
            .collect();
        let gold = gold(&posts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let scored = scored(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (metrics, calibrations) = judge(&gold, &scored, &model);
        Report {
            v: VERSION,
            moodstream: "0.0.0",
            model: Judged { id: model.id.clone(), hash: model.hash.clone(), precision: "int8" },
            data: Data { file: gold.name.clone(), sha256: gold.sha256.clone(), posts: 100 },
            run: Run {
                seconds: 0.25,
                posts_per_second: 400.0,
                sessions: 2,
                tokenizing_threads: 1,
                posts_per_processor_second: Some(210.4),
                provider: "cpu",
                onnxruntime: "1.0".to_owned(),
                tokens: 500,
                padded_tokens: 510,
                repeated: 0,
                truncated: 0,
            },
            labels: (0..labels.len())
                .map(|l| Label::new(&model.labels[l], 0.5, &metrics.labels[l], &calibrations[l]))
                .collect(),
            overall: Overall::new(&metrics),
            calibration: Reliability::new(&together(&calibrations)),
            published: published::has_its_labels(&model.labels).then_some(&published::SYSTEMS),
        }
    }

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/evaluation.schema.json", &schema_text());
    }

    #[test]
    fn a_report_has_every_field_that_the_schema_requires() {
        let report: Value = serde_json::from_str(&report(&REFERENCE_LABELS).json().expect("JSON")).expect("JSON");
        let schema: Value = serde_json::from_str(&schema_text()).expect("JSON");
        let required = schema["required"].as_array().expect("required fields");
        assert!(required.len() > 7 && required.iter().all(|key| report.get(key.as_str().expect("a name")).is_some()));
        assert!(!report.to_string().contains("secret"));
        assert_eq!(report["published"].as_array().map(Vec::len), Some(8));
        assert_eq!(report["labels"][0]["calibration"]["bins"].as_array().map(Vec::len), Some(10));
    }

    #[test]
    fn a_label_is_given_when_its_score_reaches_its_own_threshold() {
        let mut model = model(&["joy", "fear"]);
        model.thresholds = vec![0.5, 0.25];
        let gold = gold(&[&[true, true], &[false, false]]);
        let (metrics, calibrations) = judge(&gold, &scored(&[&[0.5, 0.25], &[0.499_999, 0.249_999]]), &model);
        let right = Decisions { true_positives: 1, true_negatives: 1, ..Decisions::default() };
        assert_eq!(metrics.labels, [right, right]);
        assert_eq!((calibrations[0].bins[5].count, calibrations[1].bins[2].count), (1, 2));
    }

    #[test]
    fn lines_of_scores_hold_ids_and_scores_by_label_and_no_text() {
        let mut lines = Vec::new();
        let (gold, scored) = (gold(&[&[true, false], &[false, false]]), scored(&[&[0.5, 0.25], &[0.125, 0.0]]));
        score_lines(&mut lines, &gold, &scored, &model(&["joy", "fear"])).expect("memory");
        let expected = "{\"id\":\"p-0\",\"scores\":{\"joy\":0.5,\"fear\":0.25}}\n\
                        {\"id\":\"p-1\",\"scores\":{\"joy\":0.125,\"fear\":0.0}}\n";
        assert_eq!(String::from_utf8(lines).expect("UTF-8"), expected);
    }
}
