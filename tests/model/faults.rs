//! What a bad text, an equal text and a busy pool do to the other texts of a batch: nothing.

use std::thread;

use moodstream::inference::{Classified, Verdict};

use crate::tiny::{Tiny, expected};
use crate::{load_bundle, scores};

fn is_right(verdict: &Verdict, text: &str) -> bool {
    let Verdict::Scored(scored) = verdict else {
        return false;
    };
    let pairs = scored.scores.iter().zip(expected(text));
    scored.scores.len() == 2 && pairs.into_iter().all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
}

fn failed(classified: &Classified) -> Vec<usize> {
    let verdicts = classified.verdicts.iter().enumerate();
    verdicts.filter(|(_, v)| matches!(v, Verdict::Failed { .. })).map(|(index, _)| index).collect()
}

#[test]
fn nothing_in_gives_nothing_out() {
    let loaded = load_bundle(Tiny::default().write().path(), 1, 0).expect("loads");
    assert!(scores(&loaded, &[]).is_empty());
}

#[test]
fn only_the_text_that_breaks_the_model_fails() {
    let loaded = load_bundle(Tiny::default().write().path(), 2, 0).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    let mut texts: Vec<String> = (1..40).map(|count| "good bad ".repeat(count % 7)).collect();
    texts[17] = "good broken".to_owned();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let classified = lane.classify(&borrowed).expect("the model is up");
    assert_eq!(failed(&classified), [17]);
    for (index, verdict) in classified.verdicts.iter().enumerate() {
        assert!(index == 17 || is_right(verdict, &texts[index]), "text {index}: {verdict:?}");
    }
}

#[test]
fn a_score_that_is_no_number_fails_its_text_and_its_duplicates_and_is_not_remembered() {
    let loaded = load_bundle(Tiny::default().write().path(), 1, 100).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    for _ in 0..2 {
        let classified = lane.classify(&["good", "nan", "bad", "nan"]).expect("the model is up");
        assert_eq!(failed(&classified), [1, 3]);
        assert_eq!(classified.cost.duplicates, 1);
        assert!(is_right(&classified.verdicts[0], "good"));
    }
    let classified = lane.classify(&["nan", "good"]).expect("the model is up");
    assert_eq!(classified.cost.cache_hits, 1);
}

#[test]
fn the_reason_of_a_failure_holds_none_of_the_text() {
    let loaded = load_bundle(Tiny::default().write().path(), 1, 0).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    let classified = lane.classify(&["broken secretword"]).expect("the model is up");
    let Verdict::Failed { reason } = &classified.verdicts[0] else { panic!("it is broken") };
    assert!(!reason.is_empty() && !reason.contains("secretword"), "{reason}");
}

#[test]
fn equal_and_recent_texts_are_run_once_and_the_cost_says_so() {
    let loaded = load_bundle(Tiny::default().write().path(), 1, 100).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    let cost = lane.classify(&["good", "bad", "good", "good bad"]).expect("the model is up").cost;
    assert_eq!((cost.duplicates, cost.cache_hits, cost.tokens), (1, 0, 3 + 3 + 4));
    assert!(cost.padded_tokens >= cost.tokens && cost.micro_batches >= 1);
    assert!(cost.busy > std::time::Duration::ZERO && cost.infer >= cost.busy / 2);
    let classified = lane.classify(&["bad", "good", "bad"]).expect("the model is up");
    let cost = classified.cost;
    assert_eq!((cost.duplicates, cost.cache_hits, cost.tokens, cost.micro_batches), (1, 2, 0, 0));
    assert!(is_right(&classified.verdicts[1], "good") && is_right(&classified.verdicts[2], "bad"));
}

#[test]
fn a_model_whose_scores_depend_on_the_batch_merges_and_remembers_nothing() {
    let mut tiny = Tiny { graph: "batch_dependent", ..Tiny::default() };
    tiny.manifest["precision"] = "int8".into();
    tiny.manifest["tolerance"] = serde_json::json!({"mean": 0.005, "max": 0.05});
    let loaded = load_bundle(tiny.write().path(), 1, 100).expect("loads");
    assert!(!loaded.verification.batch_independent);
    let mut lane = loaded.classifier.lane().expect("a lane");
    for _ in 0..2 {
        let cost = lane.classify(&["good", "good"]).expect("the model is up").cost;
        assert_eq!((cost.duplicates, cost.cache_hits, cost.tokens), (0, 0, 6));
    }
}

#[test]
fn a_text_over_max_length_is_scored_and_marked() {
    let loaded = load_bundle(Tiny::default().write().path(), 1, 0).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    let long = "good ".repeat(50);
    let classified = lane.classify(&[&long, "good"]).expect("the model is up");
    let seen = classified.verdicts.iter().map(|verdict| match verdict {
        Verdict::Scored(scored) => (scored.token_count, scored.truncated),
        Verdict::Failed { reason } => panic!("{reason}"),
    });
    assert_eq!(seen.collect::<Vec<_>>(), [(16, true), (3, false)]);
}

#[test]
fn lanes_that_share_a_pool_each_get_their_own_answers_in_order() {
    let loaded = load_bundle(Tiny::default().write().path(), 3, 50).expect("loads");
    thread::scope(|scope| {
        for lane in 0..4 {
            let loaded = &loaded;
            scope.spawn(move || {
                let mut own = loaded.classifier.lane().expect("a lane");
                for round in 0..20 {
                    let texts: Vec<String> = (0..60)
                        .map(|n| format!("{}{}", "good ".repeat((n + lane) % 5), "bad ".repeat((n * round) % 6)))
                        .collect();
                    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
                    let classified = own.classify(&borrowed).expect("the model is up");
                    for (text, verdict) in texts.iter().zip(&classified.verdicts) {
                        assert!(is_right(verdict, text), "lane {lane}: {text}: {verdict:?}");
                    }
                }
            });
        }
    });
}

#[test]
fn dropping_the_classifier_and_its_lanes_ends_the_session_threads() {
    let loaded = load_bundle(Tiny::default().write().path(), 2, 0).expect("loads");
    let mut lane = loaded.classifier.lane().expect("a lane");
    drop(loaded);
    lane.classify(&["good"]).expect("a lane keeps the pool alive");
    // Joins them: it hangs, and the test with it, if one does not end.
    drop(lane);
}

#[cfg(feature = "fault-injection")]
mod memory {
    //! A device with little memory.

    use std::io;
    use std::sync::{Arc, Mutex};

    use moodstream::inference::faulty::limit_memory;

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while it was held").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_lack_of_memory_halves_micro_batches_is_told_and_remembered_and_changes_no_score() {
        let folder = Tiny::default().write();
        // The golden texts fit, alone and together; a micro-batch of 512 tokens does not.
        limit_memory(folder.path(), 100);
        let loaded = load_bundle(folder.path(), 2, 0).expect("loads");
        let mut lane = loaded.classifier.lane().expect("a lane");
        let texts: Vec<String> =
            (0..600).map(|n: usize| format!("{}{}", "good ".repeat(1 + n % 7), "bad ".repeat(n / 7 % 6))).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        // For the whole process: a log of this thread alone may miss events that other tests have met without one.
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_global_default(log).expect("no other test here starts a log");
        let first = lane.classify(&borrowed).expect("the model is up");
        for (text, verdict) in texts.iter().zip(&first.verdicts) {
            assert!(is_right(verdict, text), "{text}: {verdict:?}");
        }
        let cost = first.cost;
        assert!(cost.out_of_memory >= 1, "{cost:?}");
        assert!((50..=100).contains(&cost.token_budget), "{cost:?}");
        let told = String::from_utf8(lines.0.lock().expect("no panic while it was held").clone()).expect("text");
        assert!(told.contains("WARN") && told.contains("did not fit the device's memory"), "{told}");

        let again = lane.classify(&borrowed).expect("the model is up");
        assert_eq!((again.cost.out_of_memory, again.cost.token_budget), (0, cost.token_budget), "it is remembered");
        assert!(again.verdicts.iter().zip(&texts).all(|(verdict, text)| is_right(verdict, text)));
    }

    #[test]
    fn a_text_that_does_not_fit_alone_fails_alone() {
        let mut tiny = Tiny::default();
        tiny.manifest["max_length"] = 40.into();
        let folder = tiny.write();
        // All golden texts together are padded to 20 tokens.
        limit_memory(folder.path(), 24);
        let loaded = load_bundle(folder.path(), 1, 0).expect("loads");
        let mut lane = loaded.classifier.lane().expect("a lane");
        let long = "good ".repeat(30);
        let classified = lane.classify(&["good", &long, "bad"]).expect("the model is up");
        assert_eq!(failed(&classified), [1]);
        assert!(is_right(&classified.verdicts[0], "good") && is_right(&classified.verdicts[2], "bad"));
    }
}
