//! Answers of `moodstream trends`, made up: any number of periods, emotions and groups, with the things that real ones
//! have (an empty period, an incomplete one, a quiet night, a day on which something happened).

use jiff::ToSpan;
use jiff::civil::DateTime;
use serde_json::{Value, json};

const ELEVEN: [&str; 11] = [
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "love",
    "optimism",
    "pessimism",
    "sadness",
    "surprise",
    "trust",
];
/// Shares around which those move.
const USUAL: [f64; 11] = [0.19, 0.14, 0.22, 0.11, 0.33, 0.09, 0.27, 0.12, 0.21, 0.05, 0.04];

/// What an answer is made of.
#[derive(Clone, Copy)]
pub(crate) struct MadeUp {
    pub(crate) by: &'static str,
    pub(crate) periods: usize,
    pub(crate) emotions: usize,
    /// Grouped by these, or not at all.
    pub(crate) platforms: &'static [&'static str],
    /// Posts of a day, over all platforms.
    pub(crate) daily: f64,
    /// A period without posts.
    pub(crate) empty: Option<usize>,
    /// A text that an example, a platform or the archive's name may hold.
    pub(crate) hostile: Option<&'static str>,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self { by: "day", periods: 28, emotions: 11, platforms: &[], daily: 9000.0, empty: Some(9), hostile: None }
    }
}

impl MadeUp {
    /// The answer, as the query writes it.
    pub(crate) fn answer(&self) -> Value {
        let mut dice = Dice(7);
        let hours = match self.by {
            "hour" => 1,
            "week" => 168,
            _ => 24,
        };
        let start = jiff::civil::date(2026, 9, 7).at(0, 0, 0, 0);
        let begin = |period: usize| start + i64::try_from(period * hours).expect("few").hours();
        let names: Vec<String> = (0..self.emotions).map(name).collect();
        let keys: &[&str] = if self.platforms.is_empty() { &[""] } else { self.platforms };
        let mut groups = Vec::new();
        for (place, platform) in keys.iter().enumerate() {
            groups.push(self.group(&mut dice, place, keys.len(), platform, hours, &names));
        }
        let total = |field: &str, period: usize| -> u64 {
            groups.iter().map(|group| group[field][period].as_u64().expect("a count")).sum()
        };
        let last = self.periods.saturating_sub(1);
        let periods: Vec<Value> = (0..self.periods)
            .map(|period| {
                json!({"start": zoned(begin(period)), "end": zoned(begin(period + 1)),
                       "complete": self.periods < 2 || period != last,
                       "labelled": total("labelled", period), "skipped": total("skipped", period)})
            })
            .collect();
        let labelled: u64 = (0..self.periods).map(|period| total("labelled", period)).sum();
        let grouped = if self.platforms.is_empty() { json!([]) } else { json!(["platform"]) };
        json!({
            "schema": 1,
            "archive": self.hostile.unwrap_or("archive"),
            "asked": {"from": zoned(start), "to": zoned(begin(self.periods)), "by": self.by, "time_zone": "UTC",
                      "emotions": [], "where": {"lang": ["en"]}, "group_by": grouped},
            "models": [{"id": "starter-v1", "hash": "78df8f1e".repeat(8), "posts": labelled}],
            "emotions": names,
            "periods": periods,
            "groups": groups,
            "standouts": if self.periods > 1 { self.standouts(&names) } else { json!([]) },
            "read": {"files": 12, "row_groups": 40, "rows": labelled, "from_rollup": self.by != "hour", "seconds": 0.8},
        })
    }

    fn group(
        &self,
        dice: &mut Dice,
        place: usize,
        among: usize,
        platform: &str,
        hours: usize,
        names: &[String],
    ) -> Value {
        let mut labelled = Vec::new();
        for period in 0..self.periods {
            let night = if self.by == "hour" { 1.0 + 0.75 * wave(period % 24, 24, 14.0) } else { 1.0 };
            let part = if self.periods > 1 && period == self.periods - 1 { 0.4 } else { 1.0 };
            let size = self.daily * count(hours) / 24.0 * night * part / count(among) * (1.0 - 0.2 * count(place));
            let empty = self.empty == Some(period);
            labelled.push(if empty { 0 } else { whole(size * (1.0 + 0.1 * dice.bell())) });
        }
        let skipped: Vec<u64> = labelled.iter().map(|posts| posts / 31).collect();
        let mut series = Vec::new();
        for (emotion, name) in names.iter().enumerate() {
            let usual = USUAL[emotion % 11] * if emotion < 11 { 1.0 } else { 0.4 };
            let (mut drift, mut counts, mut means) = (0.0, Vec::new(), Vec::new());
            for (period, &posts) in labelled.iter().enumerate() {
                drift = 0.93 * drift + 0.035 * dice.bell() * if self.by == "hour" { 0.5 } else { 1.0 };
                let day = period * hours / 24;
                let daily = if self.by == "hour" { 0.12 * wave(period % 24, 24, count(emotion * 5)) } else { 0.0 };
                // A bad two days at about two thirds of the range, and a good weekend before them.
                let bad = self.periods * hours / 24 * 2 / 3;
                let event = match (emotion, day) {
                    (0 | 3, day) if day == bad => 0.75,
                    (0 | 3 | 8, day) if day == bad + 1 => 0.45,
                    (4 | 5, day) if day == bad => -0.35,
                    (4 | 6, day) if day + 6 == bad || day + 5 == bad => 0.28,
                    _ => 0.0,
                };
                let slope = 0.25 * (count(place) - 0.5) * if emotion % 2 == 0 { 1.0 } else { -1.0 };
                let share = (usual * (1.0 + drift + daily + event + slope)).clamp(0.002, 0.95);
                let noise = (share * (1.0 - share) / count_of(posts).max(1.0)).sqrt() * dice.bell();
                let with = whole((share + noise).clamp(0.0, 1.0) * count_of(posts)).min(posts);
                counts.push(with);
                means.push((posts > 0).then(|| 0.08 + 0.8 * count_of(with) / count_of(posts)));
            }
            series.push(figures(name, &labelled, &counts, &means));
        }
        let key = if self.platforms.is_empty() { json!({}) } else { json!({"platform": platform}) };
        json!({"key": key, "labelled": labelled, "skipped": skipped, "series": series})
    }

    fn standouts(&self, names: &[String]) -> Value {
        let key = self.platforms.first().map_or(json!({}), |platform| json!({"platform": platform}));
        let texts = [
            "They cancelled the last train again and nobody told us. Forty minutes in the rain.",
            "Third outage this week. I am done with this provider.",
            "Why is it always the day of the exam?",
        ];
        let text = |at: usize| self.hostile.unwrap_or(texts[at % texts.len()]);
        let bad = self.periods.min(28) * 2 / 3;
        let one = |hour: usize, emotion: usize, share: f64, usual: f64, z: f64, labelled: u64, examples: usize| {
            let at =
                jiff::civil::date(2026, 9, 7).at(0, 0, 0, 0) + i64::try_from(bad * 24 + hour).expect("few").hours();
            let examples: Vec<Value> = (0..examples)
                .map(|number| {
                    json!({"post_id": format!("p-{}", 1000 + hour * 10 + number), "text": text(hour + number),
                           "score": 0.93 - 0.04 * count(number), "platform": "mastodon", "event_time": zoned(at)})
                })
                .collect();
            json!({"hour": zoned(at), "emotion": names[emotion % names.len()], "key": key, "share": share,
                   "usual": usual, "z": z, "labelled": labelled, "examples": examples})
        };
        json!([
            one(17, 0, 0.42, 0.20, 6.1, 410, 3),
            one(18, 3, 0.24, 0.11, 5.2, 388, 2),
            one(17, 4, 0.19, 0.33, -4.4, 410, 1),
            one(21, 8, 0.31, 0.21, 3.9, 352, 0),
        ])
    }
}

/// The figures of a series from its counts, by formulas of their own: the page's must equal them.
fn figures(name: &str, labelled: &[u64], counts: &[u64], means: &[Option<f64>]) -> Value {
    let share = |at: usize| (labelled[at] > 0).then(|| count_of(counts[at]) / count_of(labelled[at]));
    let bound = |at: usize, side: f64| {
        let all = count_of(labelled[at]);
        let z = 1.959_963_984_540_054_f64;
        share(at).map(|p| {
            let reach = z * (p * (1.0 - p) / all + z * z / (4.0 * all * all)).sqrt();
            (p + z * z / (2.0 * all) + side * reach) / (1.0 + z * z / all)
        })
    };
    let change = |at: usize| Some(share(at)? - share(at.checked_sub(1)?)?);
    let every = 0..labelled.len();
    json!({"emotion": name, "count": counts, "share": every.clone().map(share).collect::<Vec<_>>(),
           "low": every.clone().map(|at| bound(at, -1.0)).collect::<Vec<_>>(),
           "high": every.clone().map(|at| bound(at, 1.0)).collect::<Vec<_>>(),
           "mean": means, "change": every.map(change).collect::<Vec<_>>()})
}

fn name(place: usize) -> String {
    ELEVEN.get(place).map_or_else(|| format!("feeling {}", place + 1), |name| (*name).to_owned())
}

fn zoned(at: DateTime) -> String {
    format!("{}+00:00", at.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// Highest at `peak` of `length`.
fn wave(at: usize, length: usize, peak: f64) -> f64 {
    ((count(at) - peak) / count(length) * std::f64::consts::TAU).cos()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("small"))
}

fn count_of(number: u64) -> f64 {
    f64::from(u32::try_from(number).expect("small"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and never negative")]
fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

/// `SplitMix64`: the same answer on every machine.
struct Dice(u64);

impl Dice {
    /// Around 0, mostly between -2 and 2.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.unit()).sum::<f64>() * 1.4 - 4.2
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }
}
