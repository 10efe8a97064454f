//! A platform's stream through the whole worker: posts are labelled, other events counted, broken posts buried.

use std::path::Path;

use moodstream::telemetry::Outcome;
use serde_json::Value;

use crate::rig::Setup;

/// Lines of `tests/fixtures/presets`: an event and how it ends.
fn fixture(preset: &str) -> Vec<(String, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/presets/{preset}.jsonl"));
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        (line["event"].to_string(), line["ends"].clone())
    };
    std::fs::read_to_string(file).expect("a fixture").lines().map(read).collect()
}

#[test]
fn of_a_stream_full_of_other_events_exactly_the_posts_are_published() {
    for preset in ["bluesky-jetstream", "mastodon", "x-v2"] {
        let events = fixture(preset);
        let others_only = || events.iter().filter(|(_, ends)| ends == "not_selected");
        // As on a real platform, most events are no posts.
        let sent: Vec<_> = events.iter().flat_map(|event| others_only().chain([event])).collect();
        let expected: Vec<_> = sent.iter().filter(|(_, ends)| ends.is_object()).map(|(_, ends)| ends).collect();
        let others = sent.iter().filter(|(_, ends)| ends == "not_selected").count();

        let mut rig = Setup::default().with("input.preset", preset).start();
        rig.send(0, &sent.iter().map(|(event, _)| Some(event.as_bytes())).collect::<Vec<_>>());
        rig.wait_for_outcomes(sent.len() as u64);
        rig.stop();

        assert_eq!(rig.count(Outcome::Skipped, "not_selected"), others as u64, "{preset}");
        assert!(others > 10 * expected.len(), "{preset}: {others} other events beside {} posts", expected.len());
        let outputs = rig.outputs();
        assert_eq!(outputs.len(), expected.len(), "{preset}");
        for (output, post) in outputs.iter().zip(expected) {
            let json = output.json();
            let author = &json["author_id"];
            assert_eq!([&json["id"], &json["text"], author], [&post["id"], &post["text"], &post["author"]], "{preset}");
            let status = if post["text"] == "" { "skipped" } else { "labelled" };
            assert_eq!(json["status"], status, "{preset}: {post}");
        }
        let classes: Vec<_> =
            rig.dead_letters().iter().map(|letter| letter.headers["moodstream.class"].clone()).collect();
        let broken = sent.iter().filter_map(|(_, ends)| ends.as_str().filter(|ends| *ends != "not_selected"));
        assert_eq!(classes, broken.collect::<Vec<_>>(), "{preset}");
    }
}
