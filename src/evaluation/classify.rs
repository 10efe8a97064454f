//! Scores of many texts, as `label` gets them: threads that tokenize, batches that the pool cuts into micro-batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;

use crate::config::Config;
use crate::inference::{Classifier, ClassifierDown, Cost, Scored, Verdict};

/// Texts of the first batch; sizes double from there, as `label`'s do.
const FIRST: usize = 256;

/// Why texts have no scores.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClassifyError {
    /// The model cannot work at all.
    #[error(transparent)]
    Down(#[from] ClassifierDown),
    /// The model failed on one text, and on this text alone.
    #[error("text {number} has no scores: {reason}")]
    Failed {
        /// Its number, counted from 1.
        number: usize,
        /// Why, without any of the text.
        reason: String,
    },
    /// A thread could not be started, or has died.
    #[error("a thread for tokenizing {0}")]
    Thread(String),
}

/// What became of the texts.
#[derive(Debug)]
pub(crate) struct Ran {
    /// One per text, in order.
    pub(crate) scored: Vec<Scored>,
    pub(crate) cost: Cost,
    pub(crate) elapsed: Duration,
    /// Threads that tokenized.
    pub(crate) threads: usize,
}

/// Scores every text. `watch` hears how many are done.
///
/// # Errors
/// When the model fails, on all texts or on one.
pub(crate) fn classify(
    config: &Config,
    classifier: &dyn Classifier,
    texts: &[&str],
    mut watch: impl FnMut(usize),
) -> Result<Ran, ClassifyError> {
    let started = Instant::now();
    let parts = parts(texts.len(), config.batch.max_posts.get());
    let threads = config.worker.lanes.get().min(parts.len());
    let next = AtomicUsize::new(0);
    let (done, answers) = unbounded();
    let failed = |error: String| ClassifyError::Thread(format!("cannot be started: {error}"));
    let (parts, next) = (&parts, &next);
    thread::scope(|scope| {
        for number in 0..threads {
            let done = done.clone();
            let mut lane = classifier.lane().map_err(|error| failed(format!("{error:#}")))?;
            let work = move || {
                while let Some(&(from, to)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = lane.classify(&texts[from..to]);
                    if answer.is_err() {
                        // Nobody waits for more.
                        next.store(parts.len(), Ordering::Relaxed);
                    }
                    let _ = done.send((from, answer));
                }
            };
            let thread = thread::Builder::new().name(format!("evaluate-{number}"));
            thread.spawn_scoped(scope, work).map_err(|error| failed(error.to_string()))?;
        }
        // So that threads which have died are noticed.
        drop(done);
        let (mut verdicts, mut cost) = (vec![None; texts.len()], Cost::default());
        let mut seen = 0;
        for _ in 0..parts.len() {
            let answer = answers.recv().map_err(|_| ClassifyError::Thread("has died".to_owned()))?;
            let (from, answer) = (answer.0, answer.1?);
            cost += answer.cost;
            for (place, verdict) in verdicts[from..].iter_mut().zip(answer.verdicts) {
                *place = Some(verdict);
                seen += 1;
            }
            watch(seen);
        }
        let scored = verdicts.into_iter().enumerate().map(|(index, verdict)| match verdict {
            Some(Verdict::Scored(scored)) => Ok(scored),
            Some(Verdict::Failed { reason }) => Err(ClassifyError::Failed { number: index + 1, reason }),
            None => Err(ClassifyError::Failed { number: index + 1, reason: "the model gave no verdict".to_owned() }),
        });
        Ok(Ran { scored: scored.collect::<Result<_, _>>()?, cost, elapsed: started.elapsed(), threads })
    })
}

/// Neighbouring texts that are handed over together.
fn parts(count: usize, most: usize) -> Vec<(usize, usize)> {
    let (mut parts, mut from, mut size) = (Vec::new(), 0, FIRST.min(most));
    while from < count {
        let to = count.min(from + size);
        parts.push((from, to));
        (from, size) = (to, most.min(size * 2));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{Classified, LaneClassifier, ModelInfo, NullClassifier};

    #[test]
    fn parts_double_up_to_the_most_and_hold_every_text_once() {
        assert_eq!(parts(2_000, 1_000), [(0, 256), (256, 768), (768, 1_768), (1_768, 2_000)]);
        assert_eq!(parts(10, 4), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(parts(0, 4), []);
    }

    fn config() -> Config {
        Config::load(None, std::iter::empty(), &[]).expect("defaults")
    }

    /// Gives each text its length as a token count, after a while that differs from thread to thread.
    struct Lengths(ModelInfo);
    struct LengthsLane;

    impl Classifier for Lengths {
        fn model(&self) -> &ModelInfo {
            &self.0
        }

        fn lane(&self) -> anyhow::Result<Box<dyn LaneClassifier>> {
            Ok(Box::new(LengthsLane))
        }
    }

    impl LaneClassifier for LengthsLane {
        fn classify(&mut self, texts: &[&str]) -> Result<Classified, ClassifierDown> {
            let verdict = |text: &&str| match *text {
                "broken" => Verdict::Failed { reason: "it is broken".to_owned() },
                text => Verdict::Scored(Scored { scores: [].into(), token_count: text.len(), truncated: false }),
            };
            if texts.contains(&"down") {
                return Err(ClassifierDown { reason: "it is down".to_owned() });
            }
            Ok(Classified { verdicts: texts.iter().map(verdict).collect(), cost: Cost::default() })
        }
    }

    #[test]
    fn scores_come_in_the_order_of_the_texts_and_progress_reaches_the_end() {
        let texts: Vec<String> = (0..3_000).map(|length| "a".repeat(length)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let classifier = Lengths(NullClassifier::new().model().clone());
        let mut seen = Vec::new();
        let ran = classify(&config(), &classifier, &texts, |done| seen.push(done)).expect("works");
        assert!(ran.scored.iter().map(|scored| scored.token_count).eq(0..3_000));
        assert!(seen.is_sorted() && seen.last() == Some(&3_000));
        assert_eq!(ran.threads, 2);
    }

    #[test]
    fn a_text_without_scores_is_an_error_with_its_number_and_a_model_that_is_down_is_another() {
        let classifier = Lengths(NullClassifier::new().model().clone());
        let error = |texts: &[&str]| classify(&config(), &classifier, texts, |_| ()).expect_err("fails").to_string();
        assert_eq!(error(&["a", "broken", "b"]), "text 2 has no scores: it is broken");
        assert!(error(&["a", "down"]).contains("it is down"));
    }
}
