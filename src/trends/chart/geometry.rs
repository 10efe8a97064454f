//! Numbers and places: round axes, runs of values, hatching, labels that do not touch. Pure.

use super::scene::Place;

pub(super) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above zero")]
pub(super) fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

pub(super) fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}

pub(super) fn last(marks: &[f64]) -> f64 {
    marks.last().copied().unwrap_or(1.0)
}

/// Round steps of an axis from 0 to beyond a value.
pub(super) fn steps(top: f64, wanted: u32) -> Vec<f64> {
    let raw = top / f64::from(wanted);
    let power = 10_f64.powf(raw.log10().floor());
    let fits = |step: &f64| *step >= raw * 0.999;
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(fits).unwrap_or(raw);
    let number = whole((top / step - 1e-6).ceil()).max(1);
    (0..=number).map(|at| count(at) * step).collect()
}

/// Runs of neighbouring values, without the empty ones.
pub(super) fn runs(values: &[Option<f64>]) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for at in (0..values.len()).filter(|&at| values[at].is_some()) {
        match runs.last_mut() {
            Some(run) if run.last() == Some(&(at.wrapping_sub(1))) => run.push(at),
            _ => runs.push(vec![at]),
        }
    }
    runs
}

/// Slanted lines within a rectangle.
pub(super) fn hatching((left, right): (f64, f64), (top, bottom): (f64, f64)) -> Vec<Vec<Place>> {
    let (wide, tall, gap) = (right - left, bottom - top, 8.0);
    let lines = whole((wide + tall) / gap);
    let line = |number: usize| {
        // From the lower left, along x + y = along, cut at the edges.
        let along = count(number) * gap;
        let from = (along - tall).max(0.0);
        let to = along.min(wide);
        (to > from).then(|| vec![(left + from, top + along - from), (left + to, top + along - to)])
    };
    (1..=lines).filter_map(line).collect()
}

/// Pushes labels apart that would touch; what has no room in between goes on below.
pub(super) fn spread(labels: &mut [(f64, usize)], gap: f64, top: f64, bottom: f64) {
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    for _ in 0..40 {
        for at in 1..labels.len() {
            let overlap = gap - (labels[at].0 - labels[at - 1].0);
            if overlap > 0.0 {
                labels[at - 1].0 -= overlap / 2.0;
                labels[at].0 += overlap / 2.0;
            }
        }
        for label in labels.iter_mut() {
            label.0 = label.0.clamp(top, bottom);
        }
    }
    for at in 1..labels.len() {
        labels[at].0 = labels[at].0.max(labels[at - 1].0 + gap);
    }
}
