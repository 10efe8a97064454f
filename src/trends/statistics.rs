//! Intervals and outliers; pure.

/// The standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;
/// What makes the median absolute deviation of a normal distribution its standard deviation: 1 / Φ⁻¹(3/4).
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The 95 % Wilson score interval of a share, `count` of `of` (Wilson 1927); none of nothing.
///
/// `(p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)`: unlike the textbook one it never leaves 0 to 1, and a count of
/// zero has an interval too.
pub(crate) fn wilson(count: u64, of: u64) -> Option<(f64, f64)> {
    if of == 0 {
        return None;
    }
    let (n, p) = (float(of), share(count, of)?);
    let z2 = Z * Z;
    let centre = p + z2 / (2.0 * n);
    let margin = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // At the ends rounding may miss what is exact.
    let low = if count == 0 { 0.0 } else { (centre - margin) / scale };
    let high = if count == of { 1.0 } else { (centre + margin) / scale };
    Some((low, high))
}

/// `count` of `of`; none of nothing.
pub(crate) fn share(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| float(count) / float(of))
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "counts of posts are far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// The middle of some numbers, of an even count the mean of the two in the middle; none of none.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// How far a share stands out from those of other days, and what is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlier {
    /// Their median.
    pub(crate) usual: f64,
    /// Deviations from it.
    pub(crate) z: f64,
}

/// The robust z-score of a share, `count` of `of`, among shares of other days:
/// `z = (share − median) / max(1.4826 · MAD, √(p(1−p)/n))`.
///
/// MAD is the median absolute deviation of the other days. The second term is the standard error that `n` posts
/// have by chance alone, with `p = (n · median + 2) / (n + 4)` as of Agresti and Coull, so that days that happen to
/// agree, or never had the emotion, do not make an outlier of every post.
pub(crate) fn outlier(count: u64, of: u64, others: &mut [f64]) -> Option<Outlier> {
    let own = share(count, of)?;
    let usual = median(others)?;
    let mut deviations: Vec<f64> = others.iter().map(|other| (other - usual).abs()).collect();
    let spread = median(&mut deviations)? * MAD_TO_SIGMA;
    let n = float(of);
    let p = (n * usual + 2.0) / (n + 4.0);
    let chance = (p * (1.0 - p) / n).sqrt();
    Some(Outlier { usual, z: (own - usual) / spread.max(chance) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, where it is {expected}");
    }

    #[test]
    fn wilson_intervals_are_those_of_the_literature() {
        // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        for (count, of, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (found_low, found_high) = wilson(count, of).expect("of some");
            assert!(
                (found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5,
                "{count}/{of}: {found_low} {found_high}"
            );
        }
        assert_eq!(wilson(20, 20).map(|(_, high)| high), Some(1.0));
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 3.0, 4.0]), Some(3.5));
    }

    #[test]
    fn a_share_far_from_those_of_other_days_has_a_large_score_in_its_direction() {
        // Median 0.2, MAD 0.02: sigma 0.0296520444, above the 0.0126 of chance.
        let others = [0.16, 0.18, 0.2, 0.22, 0.24];
        let high = outlier(420, 1000, &mut others.clone()).expect("an outlier");
        close(high.usual, 0.2);
        close(high.z, (0.42 - 0.2) / (0.02 * 1.482_602_218_505_602));
        let low = outlier(50, 1000, &mut others.clone()).expect("an outlier");
        close(low.z, (0.05 - 0.2) / (0.02 * 1.482_602_218_505_602));
        assert_eq!(outlier(1, 2, &mut []), None);
    }

    #[test]
    fn days_that_agree_do_not_make_an_outlier_of_what_chance_explains() {
        // MAD 0: what 100 posts vary by chance is the measure.
        let p: f64 = (100.0 * 0.2 + 2.0) / 104.0;
        let found = outlier(23, 100, &mut [0.2; 7]).expect("a score");
        close(found.z, 0.03 / (p * (1.0 - p) / 100.0).sqrt());
        assert!(found.z < 1.0);
        let never = outlier(1, 50, &mut [0.0; 7]).expect("a score");
        assert!(never.z.is_finite() && never.z < 1.0, "{never:?}");
    }
}
