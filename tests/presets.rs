//! Each preset takes the posts out of its platform's events, whole and right, and nothing else.
//!
//! The events are invented; their shapes are the platforms'. `docs/presets.md` shows some of them.

use std::path::Path;

use moodstream::config::Config;
use moodstream::post::{Decoded, Mapping};
use serde_json::{Value, json};

const PRESETS: [&str; 3] = ["bluesky-jetstream", "mastodon", "x-v2"];

fn mapping(preset: &str, settings: &[(&str, &str)]) -> Mapping {
    let named = [("input.preset", preset)];
    let flags: Vec<_> = named.iter().chain(settings).map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Mapping::new(&Config::load(None, std::iter::empty(), &flags).expect("valid").input)
}

/// The lines of a preset's fixture: what the event is, the event, and how it must end.
fn fixture(preset: &str) -> Vec<(String, Value, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/presets/{preset}.jsonl"));
    let text = std::fs::read_to_string(file).expect("a fixture");
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        (line["what"].as_str().expect("what it is").to_owned(), line["event"].clone(), line["ends"].clone())
    };
    text.lines().map(read).collect()
}

/// How an event ends: the fields of a post, `not_selected`, or the class of the dead letter.
fn end(mapping: &Mapping, event: &Value) -> Value {
    match mapping.decode(Some(event.to_string().as_bytes())) {
        Ok(Decoded::Post(post)) => json!({"id": post.id, "text": post.text, "lang": post.lang, "author": post.author,
            "created_at": post.created_at}),
        Ok(Decoded::NotSelected) => "not_selected".into(),
        Err(bad) => bad.class.into(),
    }
}

#[test]
fn every_event_of_every_preset_ends_as_it_must() {
    for preset in PRESETS {
        let mapping = mapping(preset, &[]);
        let events = fixture(preset);
        for (what, event, expected) in &events {
            assert_eq!(&end(&mapping, event), expected, "{preset}: {what}");
        }
        let posts = events.iter().filter(|(_, _, expected)| expected.is_object()).count();
        let others = events.iter().filter(|(_, _, expected)| expected == "not_selected").count();
        assert!(posts >= 4 && others >= posts, "{preset}: {posts} posts and {others} other events show too little");
    }
}

#[test]
fn posts_carry_the_platform_s_name() {
    for (preset, platform) in PRESETS.into_iter().zip(["bluesky", "mastodon", "x"]) {
        let (what, event, _) = &fixture(preset)[0];
        let Ok(Decoded::Post(post)) = mapping(preset, &[]).decode(Some(event.to_string().as_bytes())) else {
            panic!("{preset}: {what} is no post")
        };
        assert_eq!(post.platform.as_deref(), Some(platform));
        let Ok(Decoded::Post(post)) =
            mapping(preset, &[("input.platform", "archive")]).decode(Some(event.to_string().as_bytes()))
        else {
            panic!("{preset}: {what} is no post")
        };
        assert_eq!(post.platform.as_deref(), Some("archive"), "a key of one's own wins");
    }
}

#[test]
fn a_condition_of_one_s_own_replaces_the_preset_s_for_that_place_alone() {
    let updates = mapping("bluesky-jetstream", &[("input.select./commit/operation", "create,update")]);
    let mut changed = Vec::new();
    for (what, event, expected) in fixture("bluesky-jetstream") {
        if end(&updates, &event) != expected {
            changed.push(what);
        }
    }
    assert_eq!(changed, ["another version of a post"]);
}

#[test]
fn a_topic_of_another_shape_gives_no_posts() {
    for (preset, other) in [("bluesky-jetstream", "mastodon"), ("mastodon", "x-v2"), ("x-v2", "bluesky-jetstream")] {
        let mapping = mapping(preset, &[]);
        for (what, event, _) in fixture(other) {
            assert_eq!(end(&mapping, &event), "not_selected", "{preset} of {other}: {what}");
        }
    }
}

#[test]
fn the_example_of_each_preset_in_the_documentation_is_a_post() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md")).expect("docs");
    for preset in PRESETS {
        let section = page.split(&format!("\n## `{preset}`\n")).nth(1).expect(preset);
        let example = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let event: Value = serde_json::from_str(example).expect(preset);
        let end = end(&mapping(preset, &[]), &event);
        assert!(end["text"].as_str().is_some_and(|text| !text.is_empty()), "{preset}: {end}");
        assert!(end["id"].is_string() && end["author"].is_string() && end["lang"] == "en", "{preset}: {end}");
    }
}
