//! What a worker says of its shadow model, as a table.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::telemetry::shadow::ShadowReport;

/// For the answer of a worker's admin server.
const PATIENCE: Duration = Duration::from_secs(5);

/// The worker runs no shadow model.
#[derive(Debug, thiserror::Error)]
#[error(
    "the worker at {admin} runs no shadow model; start it with --set shadow.path=<bundle>, and wait until it is ready"
)]
pub(crate) struct NoShadow {
    admin: String,
}

/// The part of `/status.json` that is needed.
#[derive(Deserialize)]
pub(crate) struct Answer {
    model: Option<Live>,
    shadow: Option<ShadowReport>,
}

#[derive(Deserialize)]
pub(crate) struct Live {
    id: String,
    hash: String,
}

/// What the worker behind this admin server says.
///
/// # Errors
/// No answer, or [`NoShadow`].
pub(crate) fn ask(admin: &str) -> anyhow::Result<(Live, ShadowReport)> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build().new_agent();
    let url = format!("http://{admin}/status.json");
    let mut answer = agent
        .get(&url)
        .call()
        .with_context(|| format!("no answer from {url}; name the worker's admin.listen with --admin host:port"))?;
    let text = answer.body_mut().read_to_string().with_context(|| format!("{url} ended in the middle"))?;
    let answer: Answer = serde_json::from_str(&text).with_context(|| format!("{url} is not the status of a worker"))?;
    match (answer.model, answer.shadow) {
        (Some(live), Some(shadow)) => Ok((live, shadow)),
        _ => Err(NoShadow { admin: admin.to_owned() }.into()),
    }
}

/// The report for people.
pub(crate) fn table(live: &Live, report: &ShadowReport) -> String {
    let ShadowReport { id, hash, precision, share, same, different, failed, passed_over, labels } = report;
    let compared = same + different;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "live    {} ({})", live.id, short(&live.hash));
    let _ = writeln!(text, "shadow  {id} ({}, {precision}), shown {} of the posts\n", short(hash), percent(*share));
    if compared == 0 {
        let _ = writeln!(text, "nothing compared yet; {failed} failed, {passed_over} passed over");
        return text;
    }
    let part = percent(ratio(*different, compared));
    let _ = writeln!(
        text,
        "{compared} posts compared: {different} ({part}) with other labels; {failed} failed, {passed_over} passed over\n"
    );
    let width = labels.iter().map(|label| label.label.chars().count()).max().unwrap_or(0).max("label".len());
    let _ = writeln!(
        text,
        "{:width$}  {:>9}  {:>9}  {:>11}  {:>6}  {:>15}",
        "label", "both", "only live", "only shadow", "differ", "mean difference"
    );
    for label in labels {
        let differ = percent(ratio(label.live + label.shadow, compared));
        let _ = writeln!(
            text,
            "{:width$}  {:>9}  {:>9}  {:>11}  {differ:>6}  {:>15.4}",
            label.label,
            label.both,
            label.live,
            label.shadow,
            label.mean_difference.unwrap_or(0.0)
        );
    }
    text
}

fn short(hash: &str) -> String {
    format!("{}…", hash.chars().take(8).collect::<String>())
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::shadow::LabelReport;

    #[test]
    fn the_table_says_how_often_and_where_the_models_differ() {
        let label = |label: &str, both, live, shadow, neither| LabelReport {
            label: label.to_owned(),
            both,
            live,
            shadow,
            neither,
            mean_difference: Some(0.0123),
        };
        let live = Live { id: "starter-v2".to_owned(), hash: "0123456789".to_owned() };
        let mut report = ShadowReport {
            id: "candidate".to_owned(),
            hash: "abcdefabcdef".to_owned(),
            precision: "int8".to_owned(),
            share: 0.05,
            same: 90,
            different: 10,
            failed: 1,
            passed_over: 2,
            labels: vec![label("anticipation", 20, 4, 6, 70), label("joy", 50, 0, 0, 50)],
        };
        let text = table(&live, &report);
        let expected = "\
live    starter-v2 (01234567…)
shadow  candidate (abcdefab…, int8), shown 5.0 % of the posts

100 posts compared: 10 (10.0 %) with other labels; 1 failed, 2 passed over

label              both  only live  only shadow  differ  mean difference
anticipation         20          4            6  10.0 %           0.0123
joy                  50          0            0   0.0 %           0.0123
";
        assert_eq!(text, expected);
        (report.same, report.different) = (0, 0);
        assert!(table(&live, &report).ends_with("nothing compared yet; 1 failed, 2 passed over\n"));
    }
}
