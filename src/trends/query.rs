//! What is asked: parsed from the command line into what the rest works with, or refused with what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::calendar::{By, Calendar};
use super::error::TrendsError;
use super::names::{Names, Shown};
use crate::archive::columns::name_of;

/// The word for the model in `--group-by`.
const MODEL: &str = "model";

/// A question as it was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) by: Option<By>,
    pub(crate) emotions: Vec<String>,
    /// `column=value,value`.
    pub(crate) filters: Vec<String>,
    pub(crate) group_by: Vec<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) standouts: usize,
    /// Passes over the roll-up.
    pub(crate) reads_files: bool,
    pub(crate) threads: Option<usize>,
}

/// A column whose words can be chosen and told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dimension {
    Platform,
    Lang,
    SourceTopic,
    SourceFile,
    TimeSource,
}

impl Dimension {
    const ALL: [Self; 5] = [Self::Platform, Self::Lang, Self::SourceTopic, Self::SourceFile, Self::TimeSource];

    /// The column's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Lang => "lang",
            Self::SourceTopic => "source_topic",
            Self::SourceFile => "source_file",
            Self::TimeSource => "time_source",
        }
    }

    fn parse(flag: &str, name: &str) -> Result<Self, TrendsError> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let near = nearest(name, Self::ALL.iter().map(|dimension| dimension.name()));
            let more = if flag == "--group-by" { ", or model" } else { "; a model is chosen with --model" };
            TrendsError::Refused(format!(
                "{flag}: there is no column \"{name}\" to choose by{near}; give one of {known}{more}"
            ))
        })
    }
}

/// What figures are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Column(Dimension),
    Model,
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Column(dimension) => dimension.name(),
            Self::Model => MODEL,
        }
    }
}

/// The words that are wanted of a column; no word stands for posts that have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) dimension: Dimension,
    pub(super) words: BTreeSet<Option<String>>,
}

/// A question that can be answered.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// First instant, in milliseconds since 1970.
    pub(super) from: Option<i64>,
    /// The instant after the last.
    pub(super) to: Option<i64>,
    pub(super) by: By,
    pub(super) calendar: Calendar,
    /// Columns of the emotions asked for, as they were typed and by their names; none: all.
    emotions: Vec<(String, String)>,
    pub(super) filters: Vec<Filter>,
    pub(super) group_by: Vec<Group>,
    models: Vec<String>,
    /// Hours that stand out, at most.
    pub(super) standouts: usize,
    pub(super) threads: Option<usize>,
    /// Whether the roll-up is passed over.
    pub(super) reads_files: bool,
    /// When it is asked.
    pub(super) now: i64,
}

impl Query {
    /// # Errors
    /// What of it is wrong, and what would be right.
    pub(crate) fn new(asked: &Asked, now: Timestamp) -> Result<Self, TrendsError> {
        let calendar = Calendar::new(asked.time_zone.as_deref().unwrap_or("UTC"))?;
        let instant = |flag: &str, text: &Option<String>| {
            text.as_ref().map(|text| instant(flag, text, &calendar, now)).transpose()
        };
        let (from, to) = (instant("--from", &asked.from)?, instant("--to", &asked.to)?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(TrendsError::Refused(format!(
                "--to: {} is not after --from, {}",
                calendar.written(to),
                calendar.written(from)
            )));
        }
        let mut filters: BTreeMap<Dimension, BTreeSet<Option<String>>> = BTreeMap::new();
        for filter in &asked.filters {
            let Some((name, words)) = filter.split_once('=') else {
                return Err(TrendsError::Refused(format!(
                    "--where: \"{filter}\" is no condition; write column=value, or column=value,value, such as lang=en"
                )));
            };
            let words = words.split(',').map(|word| Some(word.trim().to_owned()).filter(|word| !word.is_empty()));
            filters.entry(Dimension::parse("--where", name.trim())?).or_default().extend(words);
        }
        let mut group_by = Vec::new();
        for name in &asked.group_by {
            let group = match name.trim() {
                MODEL => Group::Model,
                name => Group::Column(Dimension::parse("--group-by", name)?),
            };
            if !group_by.contains(&group) {
                group_by.push(group);
            }
        }
        let mut emotions: Vec<(String, String)> = Vec::new();
        for name in asked.emotions.iter().map(|name| name.trim()) {
            let column = name_of(name);
            if !emotions.iter().any(|(_, known)| *known == column) {
                emotions.push((name.to_owned(), column));
            }
        }
        Ok(Self {
            from,
            to,
            by: asked.by.unwrap_or(By::Day),
            calendar,
            emotions,
            filters: filters.into_iter().map(|(dimension, words)| Filter { dimension, words }).collect(),
            group_by,
            models: asked.models.clone(),
            standouts: asked.standouts,
            threads: asked.threads,
            reads_files: asked.reads_files,
            now: now.as_millisecond(),
        })
    }

    /// The columns that figures are told apart by, in the order of a tally's keys.
    pub(super) fn dimensions(&self) -> Vec<Dimension> {
        let of = |group: &Group| match group {
            Group::Column(dimension) => Some(*dimension),
            Group::Model => None,
        };
        self.group_by.iter().filter_map(of).collect()
    }

    /// Whether more than one model would be taken together without anybody having said so.
    pub(super) fn mixes_models_unasked(&self) -> bool {
        self.models.is_empty() && !self.group_by.contains(&Group::Model)
    }

    /// Whether the scores of a column are needed.
    pub(super) fn wants(&self, column: &str) -> bool {
        self.emotions.is_empty() || self.emotions.iter().any(|(_, wanted)| wanted == column)
    }

    /// Whether it is about this model.
    pub(super) fn chooses(&self, hash: &str, id: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|wanted| hash.starts_with(wanted.as_str()) || id == wanted)
    }

    /// The emotions asked for, as they were typed.
    pub(super) fn emotions(&self) -> impl Iterator<Item = &str> {
        self.emotions.iter().map(|(typed, _)| typed.as_str())
    }

    /// The emotions to show, in the order asked for, or in the model's.
    ///
    /// # Errors
    /// When one does not exist, or a model that was chosen does not, or is not one.
    pub(super) fn shown_emotions(&self, names: &Names) -> Result<Vec<Shown>, TrendsError> {
        self.verify_models(names)?;
        let known = names.emotions();
        if self.emotions.is_empty() {
            return Ok(known);
        }
        let find = |(typed, column): &(String, String)| {
            known.iter().find(|known| known.column == *column).cloned().ok_or_else(|| {
                let labels = known.iter().map(|known| known.label.as_str());
                let near = nearest(typed, labels.clone());
                let all = labels.collect::<Vec<_>>().join(", ");
                let all = if all.is_empty() {
                    "no post of the archive has any".to_owned()
                } else {
                    format!("there are {all}")
                };
                TrendsError::Refused(format!("--emotion: there is no emotion \"{typed}\"{near}; {all}"))
            })
        };
        self.emotions.iter().map(find).collect()
    }

    fn verify_models(&self, names: &Names) -> Result<(), TrendsError> {
        let all = names.models_by_posts();
        for wanted in &self.models {
            let of = |model: &&&super::names::Model| model.hash.starts_with(wanted.as_str()) || model.id == *wanted;
            let found: Vec<_> = all.iter().filter(of).collect();
            let list = |models: &[&super::names::Model]| {
                models.iter().map(|model| format!("{} ({})", model.hash, model.id)).collect::<Vec<_>>().join(", ")
            };
            match found.len() {
                1 => {}
                0 if all.is_empty() => {
                    return Err(TrendsError::Refused(format!(
                        "--model: there is no \"{wanted}\": no post lies between --from and --to"
                    )));
                }
                0 => {
                    return Err(TrendsError::Refused(format!(
                        "--model: no post there is of \"{wanted}\"; give the beginning of a hash, or an id, of {}",
                        list(&all)
                    )));
                }
                _ => {
                    let found: Vec<_> = found.into_iter().copied().collect();
                    return Err(TrendsError::Refused(format!(
                        "--model: \"{wanted}\" could be {}; give more of its hash",
                        list(&found)
                    )));
                }
            }
        }
        Ok(())
    }
}

/// An instant as people write it: with an offset, or of the time zone's clock, or so long ago.
fn instant(flag: &str, text: &str, calendar: &Calendar, now: Timestamp) -> Result<i64, TrendsError> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    if let Ok(reading) = text.parse::<DateTime>()
        && let Some(instant) = calendar.at(reading)
    {
        return Ok(instant);
    }
    if let Ok(ago) = humantime::parse_duration(text)
        && let Ok(instant) = now.checked_sub(ago)
        && ago > Duration::ZERO
    {
        return Ok(instant.as_millisecond());
    }
    Err(TrendsError::Refused(format!(
        "{flag}: \"{text}\" is no time; write 2026-11-01, 2026-11-01T17:00 (in --time-zone), 2026-11-01T17:00:00Z, or how \
         long ago, such as 7d"
    )))
}

/// `, nearest is "…"`, if something is near.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> String {
    let typed = typed.to_lowercase();
    let best = known
        .map(|known| (strsim::jaro_winkler(&typed, &known.to_lowercase()), known))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((score, known)) if score > 0.8 => format!(", did you mean \"{known}\"?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(change: impl FnOnce(&mut Asked)) -> Result<Query, TrendsError> {
        let mut asked = Asked::default();
        change(&mut asked);
        Query::new(&asked, "2026-11-26T12:00:00Z".parse().expect("an instant"))
    }

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    #[test]
    fn times_are_instants_readings_of_the_zone_s_clock_or_ages() {
        for (text, expected) in [
            ("2026-11-01T17:00:00Z", "2026-11-01T17:00:00Z"),
            ("2026-11-01T17:00:00+05:00", "2026-11-01T12:00:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-07-01T10:30", "2026-07-01T08:30:00Z"),
            ("36h", "2026-11-25T00:00:00Z"),
            ("7d", "2026-11-19T12:00:00Z"),
        ] {
            let query = query(|asked| {
                asked.from = Some(text.to_owned());
                asked.time_zone = Some("Europe/Berlin".to_owned());
            });
            assert_eq!(query.expect(text).from, Some(millis(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let told = |change: fn(&mut Asked)| query(change).expect_err("wrong").to_string();
        let error = told(|asked| asked.from = Some("yesterday".to_owned()));
        assert!(error.starts_with("--from: \"yesterday\" is no time; write 2026-11-01"), "{error}");
        let error = told(|asked| {
            asked.from = Some("2026-11-02".to_owned());
            asked.to = Some("2026-11-02".to_owned());
        });
        assert!(error.starts_with("--to: 2026-11-02T00:00:00+00:00 is not after --from"), "{error}");
        let error = told(|asked| asked.filters = vec!["plattform=x".to_owned()]);
        assert!(error.contains("\"plattform\"") && error.contains("did you mean \"platform\"?"), "{error}");
        let error = told(|asked| asked.filters = vec!["lang".to_owned()]);
        assert!(error.contains("column=value"), "{error}");
        let error = told(|asked| asked.group_by = vec!["author_id".to_owned()]);
        assert!(error.contains("platform, lang, source_topic, source_file, time_source, or model"), "{error}");
    }

    #[test]
    fn conditions_on_one_column_are_alternatives_and_an_empty_word_is_no_word() {
        let query = query(|asked| {
            asked.filters = ["platform=bluesky,mastodon", "lang=en,", "platform=x"].map(str::to_owned).to_vec();
        });
        let filters = query.expect("right").filters;
        let words = |words: &[&str]| words.iter().map(|word| Some((*word).to_owned())).collect::<BTreeSet<_>>();
        assert_eq!(filters[0].words, words(&["bluesky", "mastodon", "x"]));
        assert_eq!(filters[1].words, [None, Some("en".to_owned())].into());
    }
}
