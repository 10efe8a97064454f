//! The status page in a real browser: what it shows is what the worker says, whatever state the worker is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use moodstream::config::Config;
use moodstream::inference::faulty::Faults;
use moodstream::telemetry::status::About;
use moodstream::telemetry::{AdminServer, Lanes, Metrics, Notices, Outcome, Readiness, Status};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::browser::{Browser, Page};
use crate::rig::Setup;

/// A desktop's and a phone's window.
const SIZES: [(u32, u32); 2] = [(1280, 900), (375, 812)];

fn serve(runtime: &Runtime, listen: &str, status: &Status) -> AdminServer {
    runtime.block_on(AdminServer::start(listen, status.clone())).expect("bound")
}

fn open(browser: Browser, admin: &AdminServer) -> Page {
    let (width, height) = SIZES[0];
    let mut page = browser.open(&format!("http://{}/", admin.address()), width, height);
    page.wait("!!document.getElementById('main') && !document.getElementById('main').hidden");
    page
}

/// A number as the page writes it.
fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("\"{text}\" is no number"))
}

fn told(status: &Status) -> Value {
    serde_json::to_value(status.report()).expect("JSON")
}

#[track_caller]
fn assert_quiet(page: &mut Page, admin: &AdminServer) {
    assert_eq!(page.complaints(), [""; 0]);
    let own = format!("http://{}/", admin.address());
    let requests = page.requests();
    assert!(requests.iter().any(|request| request.ends_with("/status.json")), "{requests:?}");
    let others: Vec<_> = requests.iter().filter(|request| !request.starts_with(&own) && *request != "data:,").collect();
    assert!(others.is_empty(), "asked others than {own}: {others:?}");
}

#[test]
fn the_page_shows_the_numbers_of_the_metrics_at_any_size_and_asks_no_other_host() {
    let Some(browser) = Browser::start() else { return };
    let rig = Setup { partitions: 4, lanes: 3, ..Setup::default() }.start();
    let status = rig.status();
    let admin = serve(&rig.runtime, "127.0.0.1:0", &status);
    let mut page = open(browser, &admin);
    rig.send_many(4, 300, "shown");
    rig.send(0, &[Some(b"no json"), None]);
    rig.wait_until_all_are_settled();
    // All of it has gone by, and the last bucket with it.
    rig.wait("the last minutes hold everything", |_| {
        let minutes = told(&status)["minutes"]["labelled"].clone();
        minutes.as_array().expect("buckets").iter().map(|posts| posts.as_u64().expect("a count")).sum::<u64>() == 1200
    });
    page.wait("document.getElementById('labelled-total').textContent === '1,200'");
    page.wait("document.getElementById('emotions-note').textContent.includes('1,200 posts')");

    for (selector, outcome) in [
        ("#labelled-total", Outcome::Labelled),
        ("#skipped-total", Outcome::Skipped),
        ("#dead-total", Outcome::DeadLettered),
    ] {
        let counted = rig.metrics.outcomes.all();
        let counted = counted.iter().filter(|([name, _], _)| name == outcome.name()).map(|(_, count)| count.get());
        assert_eq!(number(&page.text(selector)), counted.sum::<u64>(), "{selector}");
    }
    let names = page.texts("#emotion-rows th");
    let posts = page.texts("#emotion-rows tr > :last-child");
    let shown: BTreeMap<String, u64> = names.into_iter().zip(posts.iter().map(|posts| number(posts))).collect();
    let counted = rig.metrics.emotion_labels.all().into_iter().map(|([label], posts)| (label, posts.get()));
    assert_eq!(shown, counted.collect());
    assert!(shown.len() == 11 && shown["joy"] > 0, "{shown:?}");
    let bars = page.texts("#emotion-rows .bar");
    let share = |label: &str| f64::from(u32::try_from(shown[label]).expect("small")) / 12.0;
    assert_eq!(bars[4], format!("{:.1} %", share("joy")), "{bars:?}");

    // Four partitions among three lanes: together they are all of them.
    let report = told(&status);
    let held = page.texts("#lane-rows td:nth-child(3)");
    let mut partitions: Vec<String> = held.iter().map(|text| text.trim_start_matches("posts: ").to_owned()).collect();
    partitions.sort();
    assert_eq!(partitions, ["0–1", "2", "3"], "{}", report["lanes"]);
    assert!(page.texts("#lane-rows td:nth-child(2)").iter().all(|state| state.contains("working")));
    assert_eq!(page.text("#state"), "● ready");
    let reasons = page.texts("#outcome-rows td:nth-child(2)");
    assert!(reasons.contains(&"not json".to_owned()) && reasons.contains(&"tombstone".to_owned()), "{reasons:?}");

    for (width, height) in SIZES {
        page.resize(width, height);
        page.wait(&format!("innerWidth === {width}"));
        let overflow = page.ask("document.scrollingElement.scrollWidth - innerWidth");
        assert!(overflow.as_i64().is_some_and(|overflow| overflow <= 0), "{overflow} too wide at {width}");
        assert_eq!(number(&page.text("#labelled-total")), 1200, "at {width}");
    }
    let back = "getComputedStyle(document.body).backgroundColor";
    page.prefer("light");
    let light = page.ask(back);
    page.prefer("dark");
    assert_ne!(page.ask(back), light);
    assert_quiet(&mut page, &admin);
}

#[test]
fn a_lane_that_pauses_is_shown_with_its_reason_until_it_works_again() {
    let Some(browser) = Browser::start() else { return };
    let down = tempfile::NamedTempFile::new().expect("a file");
    let faults = Faults { down_file: Some(down.path().to_path_buf()), ..Faults::default() };
    let rig = Setup { faults, ..Setup::default() }.start();
    let admin = serve(&rig.runtime, "127.0.0.1:0", &rig.status());
    let mut page = open(browser, &admin);
    assert_eq!(page.text("#no-emotions"), "Nothing was labelled in this time.");
    rig.send_many(1, 40, "kept");
    page.wait("document.getElementById('lane-rows').innerText.includes('paused')");
    page.wait("document.getElementById('state').textContent === '▲ not ready'");
    assert!(page.text("#reasons").contains("the model cannot classify"), "{}", page.text("#reasons"));
    assert!(page.text("#lane-rows").contains("the model cannot classify"), "{}", page.text("#lane-rows"));
    // What a screen reader is told.
    let told = page.ask("document.getElementById('told').textContent");
    assert!(told.as_str().is_some_and(|told| told.contains("not ready")), "{told}");
    drop(down);
    rig.wait_until_all_are_labelled();
    page.wait(
        "document.getElementById('state').textContent === '● ready' && document.getElementById('unready').hidden",
    );
    page.wait("document.getElementById('lane-rows').innerText.includes('working')");
    page.wait("document.getElementById('labelled-total').textContent === '40'");
    assert_quiet(&mut page, &admin);
}

#[test]
fn a_worker_that_is_gone_leaves_what_it_said_last_and_since_when_it_is_gone() {
    let Some(browser) = Browser::start() else { return };
    let runtime = Runtime::new().expect("a runtime");
    let (status, metrics, _) = synthetic();
    metrics.outcome(Outcome::Labelled, "", 42);
    let admin = serve(&runtime, "127.0.0.1:0", &status);
    let listen = admin.address().to_string();
    let mut page = open(browser, &admin);
    runtime.block_on(admin.stop());
    page.wait("!document.getElementById('lost').hidden");
    assert_eq!(page.text("#state"), "✕ connection lost");
    let since = page.text("#lost");
    assert!(since.contains("since ") && since.contains(':'), "{since}");
    assert_eq!(page.text("#labelled-total"), "42");
    // The next one at the same address, with other numbers.
    metrics.outcome(Outcome::Labelled, "", 1);
    let admin = serve(&runtime, &listen, &status);
    page.wait("document.getElementById('lost').hidden");
    page.wait("document.getElementById('labelled-total').textContent === '43'");
    let requests = page.requests();
    assert!(requests.iter().all(|request| request.contains(&listen) || request == "data:,"), "{requests:?}");
    runtime.block_on(admin.stop());
}

#[test]
fn what_comes_from_outside_is_shown_as_text_and_never_run() {
    const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    let Some(browser) = Browser::start() else { return };
    let runtime = Runtime::new().expect("a runtime");
    let (status, metrics, readiness) = synthetic();
    metrics.emotion_labels.of([HOSTILE]).inc_by(3);
    metrics.outcome(Outcome::Labelled, "", 4);
    readiness.set("lane-0", HOSTILE);
    let lanes = Lanes::new(1);
    lanes.assigned(0, Some(vec![(HOSTILE.to_owned(), 0)]));
    status.show_worker(lanes, HOSTILE);
    let admin = serve(&runtime, "127.0.0.1:0", &status);
    let mut page = open(browser, &admin);
    page.wait("document.getElementById('emotion-rows').rows.length === 1");
    for place in ["#emotion-rows th", "#lane-rows td:nth-child(3)", "#reasons dd", "#where"] {
        assert!(page.texts(place).iter().any(|text| text.contains(HOSTILE)), "{place}: {:?}", page.texts(place));
    }
    assert_eq!(page.ask("document.images.length + document.scripts.length"), 1, "the page's own script");
    let overflow = page.ask("document.scrollingElement.scrollWidth - innerWidth");
    assert!(overflow.as_i64().is_some_and(|overflow| overflow <= 0), "{overflow} too wide");
    assert_quiet(&mut page, &admin);
}

/// The status of a worker that is made up.
fn synthetic() -> (Status, Arc<Metrics>, Readiness) {
    let config = Config::load(None, std::iter::empty(), &[]).expect("the defaults");
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::new(metrics.ready.clone());
    readiness.clear(Readiness::STARTING);
    let status = Status::new(About::new(&config), metrics.clone(), readiness.clone(), Notices::default());
    (status, metrics, readiness)
}
