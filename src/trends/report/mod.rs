//! The report: an answer of `moodstream trends` as one HTML file that works offline and asks no host for anything.
//!
//! The figures travel in the page as the query's own JSON, so the page can show no others. Script and style are
//! inline; the page's policy allows these two by their digests and nothing else, so a text that came from outside
//! (an example, a platform's name) cannot become code even if the page had a hole.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they use each other.
const SCRIPT: &str = concat!(
    include_str!("facts.js"),
    include_str!("draw.js"),
    include_str!("chart.js"),
    include_str!("heat.js"),
    include_str!("standouts.js"),
    include_str!("table.js"),
    include_str!("view.js"),
    include_str!("steer.js"),
    include_str!("controls.js"),
    include_str!("moves.js"),
    include_str!("page.js"),
);

/// The page around the answer: what comes before it, and what comes after.
static FRAME: LazyLock<(String, String)> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        digest(SCRIPT),
        digest(STYLE),
    );
    let page = PAGE.replace("{{policy}}", &policy).replace("{{style}}", STYLE).replace("{{script}}", SCRIPT);
    let (before, after) = page.split_once("{{answer}}").expect("the page has a place for the answer");
    (before.to_owned(), after.to_owned())
});

/// The report of an answer, given as its JSON text.
pub(crate) fn page(answer_json: &str) -> String {
    let (before, after) = &*FRAME;
    let mut page = String::with_capacity(before.len() + answer_json.len() + after.len() + 1024);
    page.push_str(before);
    // "<" stands in strings only, where its escape means the same; without it nothing ends the element.
    for character in answer_json.chars() {
        match character {
            '<' => page.push_str("\\u003c"),
            '\u{2028}' => page.push_str("\\u2028"),
            '\u{2029}' => page.push_str("\\u2029"),
            other => page.push(other),
        }
    }
    page.push_str(after);
    page
}

/// What a policy calls an element of this content.
fn digest(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod browser_tests;
#[cfg(test)]
pub(crate) mod made_up;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_host_and_makes_no_html_out_of_text() {
        let page = page("{}");
        assert!(!page.contains("://"), "an address");
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", " onclick"]
        {
            assert!(!page.contains(word), "{word}");
        }
        for element in ["<script", "<style"] {
            let wanted = if element == "<script" { 2 } else { 1 };
            assert_eq!(page.matches(element).count(), wanted, "{element}");
        }
        assert!(!page.contains("unsafe") && !page.contains("{{"), "the policy or a place is open");
        assert!(page.contains(&digest(SCRIPT)) && page.contains(&digest(STYLE)));
    }

    #[test]
    fn an_answer_cannot_end_its_element() {
        let answer = serde_json::json!({"text": "</script><!--<script>\u{2028}\u{2029}\"\\"}).to_string();
        let page = page(&answer);
        let (_, rest) = page.split_once("id=\"answer\">").expect("the element");
        let (inside, _) = rest.split_once("</script>").expect("its end");
        let read: serde_json::Value = serde_json::from_str(inside).expect("JSON");
        assert_eq!(read, serde_json::from_str::<serde_json::Value>(&answer).expect("JSON"));
        assert!(!inside.contains('<'));
    }
}
