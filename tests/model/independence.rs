//! I5 on the starter model: a post's scores depend on its text and the model alone.

use std::path::{Path, PathBuf};

use moodstream::inference::{BATCH_TOLERANCE, Bundle};

use crate::{largest_difference, load_bundle, scores};

fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter")
}

#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const TOLERANCE: f32 = BATCH_TOLERANCE as f32;

#[test]
fn golden_scores_hold_alone_in_any_batch_and_in_any_order() {
    let bundle = Bundle::open(&starter()).expect("the starter model");
    let loaded = load_bundle(&starter(), 2, 0).expect("the starter model loads");
    let texts: Vec<&str> = bundle.golden.iter().map(|golden| &*golden.text).collect();
    let expected: Vec<Vec<f32>> = bundle.golden.iter().map(|golden| golden.scores.clone()).collect();

    let alone: Vec<Vec<f32>> = texts.iter().flat_map(|text| scores(&loaded, &[text])).collect();
    let promised = largest_difference(&alone, &expected);
    assert!(f64::from(promised) <= bundle.manifest.tolerance.max, "off by {promised}");

    let together = scores(&loaded, &texts);
    assert!(largest_difference(&alone, &together) <= TOLERANCE);

    let backwards: Vec<&str> = texts.iter().rev().copied().collect();
    let mut found = scores(&loaded, &backwards);
    found.reverse();
    assert!(largest_difference(&alone, &found) <= TOLERANCE);

    // Every stride gives each text other neighbours, and a long text more padding.
    let long = "what a day ".repeat(60);
    for stride in [3, 7, 11] {
        let order: Vec<usize> = (0..stride).flat_map(|first| (first..texts.len()).step_by(stride)).collect();
        for group in order.chunks(stride + 5) {
            let mut batch: Vec<&str> = group.iter().map(|&index| texts[index]).collect();
            batch.push(&long);
            let mut found = scores(&loaded, &batch);
            found.pop();
            let expected: Vec<Vec<f32>> = group.iter().map(|&index| alone[index].clone()).collect();
            assert!(largest_difference(&expected, &found) <= TOLERANCE, "stride {stride}");
        }
    }
}

#[test]
fn the_starter_model_is_shown_to_be_batch_independent_and_flips_few_labels() {
    let loaded = load_bundle(&starter(), 1, 0).expect("the starter model loads");
    let seen = &loaded.verification;
    assert!(seen.batch_independent, "{seen}");
    assert!(seen.texts >= 16 && seen.labels_flipped <= seen.texts / 10, "{seen}");
}
