//! The report in a real browser: its figures are the answer's, whatever is chosen, and it asks nobody for anything.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use self::browser::{Browser, Page};
use super::made_up::MadeUp;

#[path = "../../../tests/embedded/browser.rs"]
mod browser;

/// A desktop's and a phone's window.
const SIZES: [(u32, u32); 2] = [(1280, 900), (375, 812)];
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>";

/// A report that is open, and the answer that it is of.
struct Report {
    page: Page,
    answer: Value,
    address: String,
    _folder: TempDir,
}

impl Report {
    fn open(browser: Browser, made: &MadeUp) -> Self {
        Self::of(browser, made.answer())
    }

    fn of(browser: Browser, answer: Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("report.html");
        fs::write(&file, super::page(&answer.to_string())).expect("written");
        let address = format!("file://{}", file.display());
        let (width, height) = SIZES[0];
        let mut page = browser.open(&address, width, height);
        page.wait("!!document.getElementById('main') && !document.getElementById('main').hidden");
        Self { page, answer, address, _folder: folder }
    }

    fn click(&mut self, id: &str) {
        self.page.ask(&format!("document.getElementById('{id}').click()"));
    }

    fn choose(&mut self, id: &str, value: &str) {
        let chosen = format!("Object.assign(document.getElementById('{id}'), {{ value: '{value}' }})");
        self.page.ask(&format!("{chosen}.dispatchEvent(new Event('change'))"));
    }

    /// Presses a key while the chart has the focus.
    fn press(&mut self, key: &str) {
        self.page.ask("document.getElementById('panels').focus()");
        let event = format!("new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true, cancelable: true }})");
        self.page.ask(&format!("void document.activeElement.dispatchEvent({event})"));
    }

    /// What a screen reader says of the chart.
    fn said(&mut self) -> String {
        let said = self.page.ask("document.getElementById('panels').getAttribute('aria-valuetext')");
        said.as_str().expect("a value").to_owned()
    }

    /// Names of the emotions that are drawn in colour.
    fn drawn(&mut self) -> Vec<String> {
        let names = "[...document.querySelectorAll('#panels .panel:first-child g.series')].map((node) => \
                     node.dataset.emotion).sort()";
        serde_json::from_value(self.page.ask(names)).expect("names")
    }

    /// The values of every row of every page of the table, as the page got them, and as it shows them.
    fn rows(&mut self) -> Vec<(Vec<String>, Vec<String>)> {
        let rows = "(() => {
            const rows = [];
            table.page = 0;
            showTable();
            for (;;) {
                for (const row of document.getElementById('table-rows').rows)
                    rows.push([[...row.cells].map((cell) => cell.dataset.value), [...row.cells].map((cell) => cell.textContent)]);
                if (document.getElementById('pages').hidden || document.getElementById('page-on').disabled) return rows;
                document.getElementById('page-on').click();
            }
        })()";
        serde_json::from_value(self.page.ask(rows)).expect("rows")
    }

    #[track_caller]
    fn assert_quiet(&mut self) {
        assert_eq!(self.page.complaints(), [""; 0]);
        let requests = self.page.requests();
        assert!(requests.contains(&self.address), "{requests:?}");
        let others: Vec<_> =
            requests.iter().filter(|request| **request != self.address && *request != "data:,").collect();
        assert!(others.is_empty(), "asked others: {others:?}");
    }

    #[track_caller]
    fn assert_fits(&mut self) {
        for (width, height) in SIZES {
            self.page.resize(width, height);
            self.page.wait(&format!("innerWidth === {width}"));
            let overflow = self.page.ask("document.scrollingElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64().is_some_and(|overflow| overflow <= 0), "{overflow} too wide at {width}");
        }
    }
}

/// A value as the table writes it.
fn shown(value: &Value, kind: &str) -> String {
    let Some(number) = value.as_f64() else { return "–".to_owned() };
    match kind {
        "percent" => format!("{:.2}\u{a0}%", number * 100.0),
        "points" => format!("{}{:.2}", if number < 0.0 { "−" } else { "+" }, number.abs() * 100.0),
        "score" => format!("{number:.3}"),
        _ => {
            let digits = value.to_string();
            let thousands = digits.len().saturating_sub(3);
            if thousands == 0 { digits } else { format!("{},{}", &digits[..thousands], &digits[thousands..]) }
        }
    }
}

/// Every row that the table must have, in the order of the answer.
fn wanted(answer: &Value) -> Vec<(Vec<Value>, Vec<String>)> {
    let list = |value: &Value| value.as_array().cloned().expect("a list");
    let mut rows = Vec::new();
    for (at, period) in list(&answer["periods"]).iter().enumerate() {
        for group in list(&answer["groups"]) {
            for series in list(&group["series"]) {
                let fields = [
                    ("count", ""),
                    ("share", "percent"),
                    ("low", "percent"),
                    ("high", "percent"),
                    ("mean", "score"),
                    ("change", "points"),
                ];
                let mut values = vec![period["start"].clone()];
                if group["key"]["platform"].is_string() {
                    values.push(group["key"]["platform"].clone());
                }
                values.push(series["emotion"].clone());
                values.push(group["labelled"][at].clone());
                let mut texts = vec![shown(&group["labelled"][at], "")];
                for (field, kind) in fields {
                    values.push(series[field][at].clone());
                    texts.push(shown(&series[field][at], kind));
                }
                rows.push((values, texts));
            }
        }
    }
    rows
}

/// Compares the whole table with the answer.
#[track_caller]
fn assert_figures(report: &mut Report) {
    report.page.ask("document.getElementById('table-all').checked || document.getElementById('table-all').click()");
    let mut given = report.rows();
    let mut wanted = wanted(&report.answer);
    assert_eq!(given.len(), wanted.len());
    given.sort_by(|one, other| one.0.cmp(&other.0));
    let key = |values: &[Value]| -> Vec<String> {
        values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
    };
    wanted.sort_by_key(|(values, _)| key(values));
    // The first columns tell rows apart, so both are in one order.
    for ((exact, text), (values, texts)) in given.iter().zip(&wanted) {
        for (exact, value) in exact.iter().zip(values) {
            match value {
                Value::Null => assert_eq!(exact, "", "{values:?}"),
                Value::String(wanted) => assert_eq!(exact, wanted),
                // Not a digit is lost on the way through JavaScript.
                number => assert_eq!(exact.parse::<f64>().ok(), number.as_f64(), "{exact} for {number}"),
            }
        }
        assert_eq!(&text[text.len() - texts.len()..], texts, "{values:?}");
    }
}

#[test]
fn the_figures_of_the_report_are_those_of_the_answer_in_light_and_dark() {
    let Some(browser) = Browser::start() else { return };
    let mut report = Report::open(browser, &MadeUp::default());
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        report.page.prefer(scheme);
        backgrounds.push(report.page.ask("getComputedStyle(document.body).backgroundColor"));
        assert_figures(&mut report);
        // The lines' ends.
        let labels = "[...document.querySelectorAll('#panels .label text')].map((node) => node.textContent)";
        let labels: Vec<String> = serde_json::from_value(report.page.ask(labels)).expect("texts");
        assert_eq!(labels.len(), 5, "{labels:?}");
        let joy = report.answer["groups"][0]["series"][4]["share"][27].as_f64().expect("a share");
        assert!(labels.contains(&format!("joy{:.1}\u{a0}%", joy * 100.0)), "{labels:?}");
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    // The button outweighs the system.
    report.click("theme");
    assert_eq!(report.page.ask("getComputedStyle(document.body).backgroundColor"), backgrounds[0]);
    // The same digits in the file to download.
    let csv = report.page.ask("csv()");
    let csv = csv.as_str().expect("text");
    let last = &report.answer["groups"][0]["series"][10];
    let row =
        csv.trim_end().rsplit("\r\n").find(|row| row.contains("2026-10-03") && row.contains(",trust,")).expect("a row");
    let fields: Vec<&str> = row.split(',').collect();
    for (field, name) in [(3, "count"), (4, "share"), (5, "low"), (6, "high"), (7, "mean"), (8, "change")] {
        assert_eq!(fields[field].parse::<f64>().ok(), last[name][26].as_f64(), "{name} of {row}");
    }
    report.click("table-save");
    report.assert_fits();
    report.assert_quiet();
}

#[test]
fn emotions_are_chosen_and_values_read_with_the_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let mut report = Report::open(browser, &MadeUp::default());
    let before = report.drawn();
    assert_eq!(before.len(), 5, "{before:?}");
    let chip = |name: &str| format!("document.querySelector('.chip[data-emotion=\"{name}\"]')");
    for (name, pressed) in [("trust", "true"), ("joy", "false")] {
        report.page.ask(&format!("{}.click()", chip(name)));
        assert_eq!(report.page.ask(&format!("{}.getAttribute('aria-pressed')", chip(name))), pressed, "{name}");
        assert_eq!(report.drawn().contains(&name.to_owned()), pressed == "true", "{name}");
    }
    assert_eq!(report.page.ask("document.getElementById('told').textContent"), "joy not drawn");
    report.click("pick-none");
    assert!(report.drawn().is_empty());
    report.page.ask(&format!("{}.click()", chip("joy")));

    // The tenth period is empty; the keys go through all of them.
    report.press("Home");
    let joy = report.answer["groups"][0]["series"][4].clone();
    for at in 0..28 {
        let said = report.said();
        let count = joy["count"][at].as_u64().expect("a count");
        match joy["share"][at].as_f64() {
            Some(share) => {
                let share = format!("joy {:.1}\u{a0}%", share * 100.0);
                assert!(said.contains(&share) && said.contains(&shown(&count.into(), "")), "{said}; {share}, {count}");
            }
            None => assert!(said.ends_with("no labelled posts"), "{said}"),
        }
        assert_eq!(said.contains("incomplete"), at == 27, "{said}");
        let readout = report.page.text("#readout");
        assert!(readout.starts_with(said.split([',', ':']).next().expect("a date")), "{readout}; {said}");
        report.press("ArrowRight");
    }
    report.page.ask("document.querySelector('[name=measure][value=mean]').click()");
    report.press("Home");
    let mean = format!("joy {:.3}", joy["mean"][0].as_f64().expect("a mean"));
    assert!(report.said().contains(&mean), "{}; {mean}", report.said());
    report.assert_quiet();
}

#[test]
fn a_range_is_zoomed_by_keys_buttons_and_dragging_and_stays_in_the_address() {
    let Some(browser) = Browser::start() else { return };
    let mut report = Report::open(browser, &MadeUp::default());
    let whole = report.page.text("#range");
    assert!(whole.contains("28 days"), "{whole}");
    report.press("End");
    report.press("+");
    let zoomed = report.page.text("#range");
    assert!(zoomed.contains("14 days") && zoomed.contains("4\u{a0}October"), "{zoomed}");
    let told = report.page.ask("document.getElementById('told').textContent");
    assert_eq!(told, format!("Shown: {zoomed}"));
    report.press("Escape");
    assert_eq!(report.page.text("#range"), whole);
    report.click("zoom-in");
    assert!(report.page.text("#range").contains("14 days"));
    report.click("zoom-reset");
    assert_eq!(report.page.text("#range"), whole);

    // From the middle of the first day to that of the seventh.
    let drag = "(() => {
        const { svg, plot, x } = panels[0], box = svg.getBoundingClientRect();
        const pointer = (type, at, target) => target.dispatchEvent(new PointerEvent(type,
            { clientX: box.left + x(at), clientY: box.top + plot.top + 40, button: 0, pointerType: 'mouse', bubbles: true }));
        pointer('pointerdown', 0, svg);
        pointer('pointermove', 6, svg);
        pointer('pointerup', 6, svg);
    })()";
    report.page.ask(drag);
    let zoomed = report.page.text("#range");
    assert!(zoomed.starts_with("7 – 13\u{a0}September") && zoomed.contains("7 days"), "{zoomed}");
    assert_eq!(report.page.ask("location.hash"), "#from=0&to=7");
    // The table shows what the chart shows: 5 emotions of 7 days.
    assert_eq!(report.rows().len(), 35);

    // Whoever gets the address sees the same.
    report.page.ask("location.hash = '#from=3&to=5&emotions=trust&theme=dark', location.reload()");
    report.page.wait("document.readyState === 'complete' && document.documentElement.dataset.theme === 'dark'");
    report.page.wait("document.getElementById('range').textContent.includes('2 days')");
    assert_eq!(report.drawn(), ["trust"]);
}

#[test]
fn groups_stand_side_by_side_alone_and_added_up() {
    let Some(browser) = Browser::start() else { return };
    let made = MadeUp { platforms: &["bluesky", "mastodon", "x"], ..MadeUp::default() };
    let mut report = Report::open(browser, &made);
    assert_eq!(report.page.texts("#panels figcaption b"), ["bluesky", "mastodon", "x"]);
    assert_figures(&mut report);
    let groups = report.answer["groups"].as_array().cloned().expect("groups");
    report.click("pick-all");
    let value = |report: &mut Report, group: &str| {
        report.choose("group", group);
        report.press("Home");
        report.said()
    };
    let second = value(&mut report, "1");
    let joy = groups[1]["series"][4]["share"][0].as_f64().expect("a share");
    assert!(second.contains(&format!("joy {:.1}\u{a0}%", joy * 100.0)), "{second}");
    // Counts add up, shares do not.
    let together = value(&mut report, "-1");
    let sum = |pick: &dyn Fn(&Value) -> &Value| -> f64 { groups.iter().filter_map(|group| pick(group).as_f64()).sum() };
    let joy = sum(&|group| &group["series"][4]["count"][0]) / sum(&|group| &group["labelled"][0]);
    assert!(together.contains(&format!("joy {:.1}\u{a0}%", joy * 100.0)), "{together}; {joy}");
    report.assert_fits();
    report.assert_quiet();
}

#[test]
fn groups_without_posts_take_no_room_side_by_side() {
    let Some(browser) = Browser::start() else { return };
    let mut answer = MadeUp { platforms: &["bluesky", "mastodon", "x"], ..MadeUp::default() }.answer();
    answer["groups"][1]["labelled"] = serde_json::json!(vec![0; 28]);
    let mut report = Report::of(browser, answer);
    assert_eq!(report.page.texts("#panels figcaption b"), ["bluesky", "x"]);
    assert!(report.page.text("#legend").contains("Without labelled posts: 1 group."));
    assert_eq!(report.page.texts("#group option").len(), 5, "it can still be chosen");
    report.assert_quiet();
}

#[test]
fn ninety_days_of_hours_and_28_emotions_are_drawn_by_day_until_one_looks_closer() {
    let Some(browser) = Browser::start() else { return };
    let made = MadeUp { by: "hour", periods: 2160, emotions: 28, ..MadeUp::default() };
    let mut report = Report::open(browser, &made);
    assert!(report.page.text("#range").contains("90 days"), "{}", report.page.text("#range"));
    // The figures of a day are the sums of its hours.
    let joy = &report.answer["groups"][0]["series"][4]["count"];
    let posts: u64 = (0..24).map(|hour| joy[hour].as_u64().expect("a count")).sum();
    report.press("Home");
    let said = report.said();
    assert!(said.contains(&format!(", {} posts", shown(&posts.into(), ""))), "{said}; {posts}");
    report.page.ask("setRange(0, 48)");
    assert!(report.page.text("#range").contains("48 hours"), "{}", report.page.text("#range"));
    report.click("table-all");
    assert!(report.page.text("#table-note").starts_with("60,480 rows"), "{}", report.page.text("#table-note"));
    let cells = report.page.ask("document.querySelectorAll('#heat-map .cell').length");
    assert_eq!(cells, 2159, "an hour is empty");
    report.assert_fits();
    report.assert_quiet();
}

#[test]
fn little_or_nothing_is_shown_too() {
    let none = MadeUp { periods: 0, empty: None, ..MadeUp::default() };
    let without_posts = MadeUp { periods: 3, daily: 0.0, empty: None, ..MadeUp::default() };
    for made in [none, without_posts] {
        let Some(browser) = Browser::start() else { return };
        let mut report = Report::open(browser, &made);
        assert_eq!(report.page.ask("document.getElementById('nothing').checkVisibility()"), true);
        let told = report.page.text("#nothing");
        assert!(told.contains("no labelled post"), "{told}");
        report.assert_fits();
        report.assert_quiet();
    }
    let Some(browser) = Browser::start() else { return };
    let mut report = Report::open(browser, &MadeUp { periods: 1, empty: None, ..MadeUp::default() });
    assert_figures(&mut report);
    assert_eq!(report.drawn().len(), 11);
    report.assert_quiet();
}

#[test]
fn what_comes_from_outside_is_shown_as_text_and_never_run() {
    let Some(browser) = Browser::start() else { return };
    let made = MadeUp { hostile: Some(HOSTILE), platforms: &["<b>bold</b>", "y"], ..MadeUp::default() };
    let mut report = Report::open(browser, &made);
    let quotes = report.page.texts("#standout-list blockquote");
    assert!(quotes.iter().any(|quote| quote == HOSTILE), "{quotes:?}");
    assert!(report.page.text("#asked").contains(HOSTILE));
    assert!(report.page.texts("#panels figcaption b").contains(&"<b>bold</b>".to_owned()));
    assert_eq!(report.page.ask("document.images.length"), 0);
    assert_eq!(report.page.ask("document.scripts.length"), 2, "the answer and the page's own");
    let title = report.page.ask("document.title");
    assert!(title.as_str().is_some_and(|title| title.contains("October 2026")), "{title}");
    report.assert_fits();
    report.assert_quiet();
}

#[test]
fn everything_that_can_be_used_has_a_name_and_answers_to_keys() {
    let Some(browser) = Browser::start() else { return };
    let made = MadeUp { by: "hour", periods: 24 * 9, platforms: &["bluesky", "mastodon"], ..MadeUp::default() };
    let mut report = Report::open(browser, &made);
    let nameless = "[...document.querySelectorAll('button, select, input, [tabindex=\"0\"], [role=img], [role=slider]')]
        .filter((node) => node.checkVisibility() && !(node.tagName === 'BUTTON' && node.textContent.trim() || node.getAttribute('aria-label') || node.getAttribute('aria-labelledby')
            || node.labels && [...node.labels].some((label) => label.textContent.trim()))).map((node) => node.outerHTML.slice(0, 120))";
    assert_eq!(report.page.ask(nameless), serde_json::json!([]));
    let positive = "[...document.querySelectorAll('[tabindex]')].filter((node) => node.tabIndex > 0).length";
    assert_eq!(report.page.ask(positive), 0);
    let doubled = "(() => { const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
        return ids.filter((id, at) => ids.indexOf(id) !== at); })()";
    assert_eq!(report.page.ask(doubled), serde_json::json!([]));
    assert_eq!(report.page.ask("document.getElementById('panels').getAttribute('role')"), "slider");
    // The hours of the day answer to the arrow keys as well.
    let arrow = "(() => { const host = document.querySelector('.heat-host'); host.focus();
        host.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', bubbles: true, cancelable: true }));
        return document.getElementById('heat-value').textContent; })()";
    let told = report.page.ask(arrow);
    assert!(told.as_str().is_some_and(|told| told.contains(" 22:00: ") && told.contains(" of ")), "{told}");
    report.assert_quiet();
}

#[test]
fn unknown_completeness_missing_words_and_emotions_that_not_every_model_knows_are_understood() {
    let Some(browser) = Browser::start() else { return };
    let mut answer = MadeUp { platforms: &["bluesky", "mastodon"], ..MadeUp::default() }.answer();
    for period in answer["periods"].as_array_mut().expect("periods") {
        period["complete"] = Value::Null;
    }
    answer["asked"]["where"]["lang"] = serde_json::json!([null, "en"]);
    answer["groups"][1]["key"]["platform"] = Value::Null;
    // Half of the first group's posts come from a model that knows no trust.
    let labelled: Vec<u64> = serde_json::from_value(answer["groups"][0]["labelled"].clone()).expect("counts");
    let half: Vec<u64> = labelled.iter().map(|posts| posts / 2).collect();
    answer["groups"][0]["series"][10]["of"] = half.clone().into();
    let mut report = Report::of(browser, answer);
    assert_eq!(report.page.texts("#panels figcaption b"), ["bluesky", "no platform"]);
    assert!(report.page.text("#asked").contains("lang is missing or en"), "{}", report.page.text("#asked"));
    assert!(report.page.text("#legend").contains("does not say which periods are complete"));
    assert_eq!(report.page.ask("document.querySelectorAll('#panels .incomplete').length"), 0);
    report.click("table-all");
    let rows = report.rows();
    let trust = rows.iter().find(|(exact, _)| exact[1] == "bluesky" && exact[2] == "trust").expect("a row");
    assert_eq!(trust.0[3], half[0].to_string(), "{trust:?}");
    report.choose("group", "-1");
    report.click("pick-all");
    report.press("Home");
    let with = |group: usize, field: &str| report.answer["groups"][group]["series"][10][field][0].as_f64();
    let all = with(0, "of").expect("a count") + report.answer["groups"][1]["labelled"][0].as_f64().expect("a count");
    let share = (with(0, "count").expect("a count") + with(1, "count").expect("a count")) / all;
    let said = report.said();
    assert!(said.contains(&format!("trust {:.1}\u{a0}%", share * 100.0)), "{said}; {share}");
    report.assert_quiet();
}
