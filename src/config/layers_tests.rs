//! Layering: the later layer wins for every key, and one load reports everything that is wrong.

use std::io::Write;
use std::num::NonZeroUsize;

use proptest::prelude::*;
use serde_json::json;
use tempfile::NamedTempFile;

use super::*;
use crate::config::{Bytes, Delivery, OneOrMore, Span, Start};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").expect("file");
    file.write_all(text.as_bytes()).expect("write");
    file
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn loaded(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load(Some(file(text).path()), pairs(environment).into_iter(), &pairs(flags))
}

/// What is wrong, the file's name replaced by `FILE`.
fn problems(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    let file = file(text);
    let name = file.path().display().to_string();
    match load(Some(file.path()), pairs(environment).into_iter(), &pairs(flags)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(|problem| problem.to_string().replace(&name, "FILE")).collect(),
    }
}

#[test]
fn the_defaults_are_a_configuration_and_are_what_the_documents_say() {
    let config = load(None, std::iter::empty(), &[]).expect("defaults");
    assert_eq!(config.input.topics, ["posts"]);
    assert_eq!(config.input.start, Start::Earliest);
    assert_eq!(config.input.max_text_bytes, Bytes(16 * 1024));
    assert_eq!(config.kafka.delivery, Delivery::ExactlyOnce);
    assert_eq!(config.kafka.session_timeout, Span(std::time::Duration::from_secs(10)));
    assert_eq!(config.batch.max_bytes, Bytes(8 * 1024 * 1024));
    assert_eq!(config.kafka.properties.iter().count(), 0);
}

#[test]
fn every_key_of_the_defaults_is_documented_by_a_comment_above_it() {
    let mut above = "";
    for line in DEFAULTS.lines() {
        if !line.is_empty() && !line.starts_with('#') {
            assert!(above.starts_with("# "), "{line} stands below {above:?}");
        }
        above = line;
    }
}

#[test]
fn default_file_sets_every_key_of_the_types() {
    let mut missing = Vec::new();
    for key in KNOWN.keys() {
        let pointer = format!("/{}", key.replace('.', "/"));
        if defaults().pointer(&pointer).is_none() {
            missing.push(key);
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn file_environment_and_flags_win_in_this_order() {
    let text = "[worker]\nlanes = 2\ninstance = \"file\"\n[kafka]\ngroup = \"file\"\nbrokers = \"file:1\"";
    let environment = [("MOODSTREAM__KAFKA__GROUP", "env"), ("MOODSTREAM__WORKER__INSTANCE", "env"), ("PATH", "/")];
    let config = loaded(text, &environment, &[("kafka.group", "flag")]).expect("valid");
    assert_eq!(config.worker.lanes, NonZeroUsize::new(2).expect("2"));
    assert_eq!([config.kafka.brokers, config.worker.instance, config.kafka.group], ["file:1", "env", "flag"]);
}

#[test]
fn properties_meet_whether_nested_quoted_or_from_the_environment() {
    let text =
        "[kafka.properties]\n\"client.id\" = \"file\"\nlinger.ms = 2\n[kafka.properties.sasl]\npassword = \"file\"";
    let environment = [("MOODSTREAM__KAFKA__PROPERTIES__SASL__PASSWORD", "env")];
    let config = loaded(text, &environment, &[("kafka.properties.client.id", "flag")]).expect("valid");
    let all = config.kafka.properties.iter().collect::<Vec<_>>();
    assert_eq!(all, [("client.id", "flag"), ("linger.ms", "2"), ("sasl.password", "env")]);
}

#[test]
fn a_preset_stands_above_the_defaults_and_below_everything_else_whoever_names_it() {
    let text = "[input]\nplatform = \"mine\"\n[input.fields]\nlang = \"\"\n[input.select]\n\"/kind\" = { not = [] }\n\"/more\" = [\"a\", \"b\"]";
    let preset = ("input.preset", "bluesky-jetstream");
    let named_in_file = format!("[input]\npreset = \"bluesky-jetstream\"\n{}", &text[8..]);
    let named = [
        loaded(&named_in_file, &[], &[]),
        loaded(text, &[("MOODSTREAM__INPUT__PRESET", preset.1)], &[]),
        loaded(&text.replace("[input]", "[input]\npreset = \"mastodon\""), &[], &[preset]),
    ];
    for config in named {
        let input = config.expect("valid").input;
        assert_eq!(input.preset, Preset::BlueskyJetstream);
        assert_eq!(input.platform, "mine");
        assert_eq!(input.fields.lang, OneOrMore::One(String::new()));
        assert_eq!(input.fields.text, OneOrMore::One("/commit/record/text".into()), "the preset's");
        assert_eq!(input.topics, ["posts"], "the default's");
        let select = serde_json::to_value(&input.select).expect("json");
        let expected = json!({"/commit/collection": "app.bsky.feed.post", "/commit/operation": "create",
            "/kind": {"not": []}, "/more": ["a", "b"]});
        assert_eq!(select, expected);
    }
}

#[test]
fn an_unknown_preset_is_refused_with_the_names_of_those_there_are() {
    assert_eq!(
        problems("[input]\npreset = \"bluesky\"", &[], &[]),
        ["input.preset = \"bluesky\" (FILE): must be none or bluesky-jetstream or mastodon or x-v2"]
    );
}

#[test]
fn the_text_and_the_conditions_of_a_preset_cannot_be_emptied() {
    let wrong = problems("[input]\npreset = \"x-v2\"\nfields.text = []\nselect.\"/id\" = []", &[], &[]);
    assert_eq!(
        wrong,
        [
            "input.fields.text = [] (FILE): must say where the text is, such as \"/text\"",
            "input.select./id = [] (FILE): takes no value at all; write { not = [] } to take any",
        ]
    );
}

#[test]
fn a_wrong_condition_is_refused_with_examples_of_right_ones() {
    for wrong in ["5", "{ is = \"a\" }", "{ not = \"a\", and = \"b\" }", "[1]"] {
        let found = problems(&format!("[input.select]\n\"/kind\" = {wrong}"), &[], &[]);
        let remedy = r#"must be a condition such as "create" or ["public","unlisted"] or {"not":"retweeted"}"#;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(remedy), "{}", found[0]);
    }
}

#[test]
fn every_preset_is_valid_documented_and_decides_about_every_field() {
    for (preset, name) in
        [(Preset::BlueskyJetstream, "bluesky-jetstream"), (Preset::Mastodon, "mastodon"), (Preset::XV2, "x-v2")]
    {
        loaded("", &[], &[("input.preset", name)]).expect(name);
        let tree = parse(preset.toml()).expect("TOML");
        assert_eq!(tree.as_object().expect("a table").keys().collect::<Vec<_>>(), ["input"], "{name}");
        for key in ["post", "text_format", "platform"] {
            assert!(tree["input"].get(key).is_some(), "{name} leaves input.{key} to the defaults");
        }
        for key in defaults()["input"]["fields"].as_object().expect("a table").keys() {
            assert!(tree["input"]["fields"].get(key).is_some(), "{name} leaves input.fields.{key} to the defaults");
        }
        let mut above = "";
        for line in preset.toml().lines() {
            let documented = above.starts_with("# ") || line.starts_with('[');
            assert!(line.is_empty() || line.starts_with('#') || documented, "{name}: {line} stands below {above:?}");
            above = line;
        }
    }
}

#[test]
fn lists_from_the_environment_are_separated_by_commas() {
    let config = loaded("", &[("MOODSTREAM__INPUT__TOPICS", "a, b")], &[]).expect("valid");
    assert_eq!(config.input.topics, ["a", "b"]);
}

#[test]
fn a_toml_time_is_a_start() {
    let config = loaded("[input]\nstart = 2026-01-31T00:00:00Z", &[], &[]).expect("valid");
    assert_eq!(config.input.start, Start::Time(1_769_817_600_000));
}

#[test]
fn everything_wrong_is_reported_at_once_with_key_value_origin_and_remedy() {
    let text = "lanes = 4\n[worker]\nlanes = 0\nleave_group = \"yes\"\n[kafka]\nbroker = \"x:1\"\ndelivery = \"twice\"\n\
                [kafka.properties]\nacks = 1\nsasl.password = [\"hunter2\"]\n[output]\ntopic = \"posts\"\n[inptu]\nx = 1";
    let environment =
        [("MOODSTREAM__BATCH__LINGER", "5"), ("MOODSTREAM__KAFKA__TOPICS", "a"), ("MOODSTREAM__KAFKA", "x")];
    let flags = [("batch.max_bytes", "8 bananas"), ("breaker.threshold", "2"), ("input.start", "yesterday")];
    assert_eq!(
        problems(text, &environment, &flags),
        [
            "batch.linger = \"5\" (environment variable MOODSTREAM__BATCH__LINGER): must be a length of time such as \"30s\" or \"5ms\"",
            "batch.max_bytes = \"8 bananas\" (command line): must be a number of bytes such as \"16KiB\" or 16384",
            "breaker.threshold = 2.0 (command line): must be above 0 and at most 1",
            "inptu (FILE): there is no such key; did you mean input?",
            "input.start = \"yesterday\" (command line): must be a place to start such as \"earliest\" or \"latest\" or \"2026-01-31T00:00:00Z\"",
            "kafka (environment variable MOODSTREAM__KAFKA): is a table; set its keys one by one",
            "kafka.broker (FILE): there is no such key; did you mean kafka.brokers?",
            "kafka.delivery = \"twice\" (FILE): must be exactly_once or at_least_once",
            "kafka.properties.acks (FILE): cannot be set: every replica in sync must acknowledge (I2)",
            "kafka.properties.sasl.password (FILE): must be text or a number or true or false",
            "kafka.topics (environment variable MOODSTREAM__KAFKA__TOPICS): there is no such key; did you mean MOODSTREAM__INPUT__TOPICS?",
            "lanes (FILE): there is no such key; did you mean worker.lanes?",
            "output.topic = \"posts\" (FILE): is also one of input.topics: the worker would read its own output",
            "worker.lanes = 0 (FILE): must be a whole number, at least 1",
            "worker.leave_group = \"yes\" (FILE): must be true or false",
        ]
    );
}

#[test]
fn a_table_in_place_of_a_value_and_the_reverse_are_reported() {
    assert_eq!(
        problems("kafka = \"hunter2\"\n[worker.lanes]\nx = 1\n[input]\nextra = 5", &[], &[]),
        [
            "input.extra (FILE): is a table; write [input.extra] and its keys below",
            "kafka (FILE): is a table; write [kafka] and its keys below",
            "worker.lanes = a table (FILE): must be a whole number, at least 1",
        ]
    );
}

#[test]
fn a_broken_file_is_reported_without_its_line_and_beside_the_other_layers() {
    for broken in
        ["\"hunter2", "hunter2", "hunter2\"", "'hunter2' 'hunter2'", "\"hunter2\\q\"", "{ hunter2 }", "[hunter2"]
    {
        let text = format!("[kafka.properties]\nsasl.password = {broken}");
        let wrong = problems(&text, &[], &[("worker.lanes", "0")]);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("FILE: is not valid TOML: TOML parse error at line 2"), "{}", wrong[0]);
        assert!(!wrong[0].contains("hunter2"), "{}", wrong[0]);
        assert!(wrong[1].starts_with("worker.lanes = 0"), "{}", wrong[1]);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = load(Some(Path::new("not-there.toml")), std::iter::empty(), &[]).expect_err("no file");
    assert!(errors.to_string().contains("not-there.toml: cannot read this configuration file"), "{errors}");
}

#[test]
fn no_secret_is_printed_from_any_layer() {
    let text = "[kafka]\npassword = \"hunter2\"\n[kafka.properties]\nenable.idempotence = \"hunter2\"\nssl.key.pem = [\"hunter2\"]";
    let environment = [("MOODSTREAM__KAFKA__PROPERTIES__SASL__PASSWORD_FILE", "/does/not/exist")];
    let flags = [("kafka.passwd", "hunter2"), ("kafka.properties.acks", "hunter2")];
    let errors = loaded(text, &environment, &flags).expect_err("wrong");
    assert_eq!(errors.0.len(), 6, "{errors}");
    assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");

    let config = loaded("[kafka.properties.sasl]\npassword = \"hunter2\"", &[], &[]).expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// A key of a value, with two valid values that differ from each other, as text.
fn any_key() -> impl Strategy<Value = (String, [&'static str; 2])> {
    let keys = KNOWN.keys().into_iter().filter_map(|key| {
        let Found::Value(_, kind) = KNOWN.find(&key) else {
            return None;
        };
        let values = match key.as_str() {
            // Valid together with others only.
            key if key.starts_with("kafka.oauth.") && kind.expected().contains("text") => return None,
            "input.fields.id" => ["/a,/b", "/c"],
            "input.post" => ["/a", "/b"],
            key if key.starts_with("input.fields.") => ["/a", "/b"],
            "kafka.session_timeout" => ["7s", "8s"],
            "batch.linger" => ["1ms", "2ms"],
            "breaker.threshold" | "shadow.share" => ["0.25", "0.75"],
            "breaker.window" => ["2000", "3000"],
            "log.level" => ["debug", "warn"],
            "admin.listen" => ["localhost:1", "localhost:2"],
            // Hashing needs a key file.
            "privacy.text" | "privacy.author" | "archive.text" => ["keep", "omit"],
            "archive.memory" => ["200MiB", "300MiB"],
            "archive.retention" => ["2h", "3h"],
            _ => match kind.expected().as_str() {
                choices if choices.contains("_once") => ["exactly_once", "at_least_once"],
                "true or false" => ["true", "false"],
                time if time.starts_with("a length of time") => ["3s", "4s"],
                size if size.starts_with("a number of bytes") => ["3KiB", "4KiB"],
                start if start.starts_with("a place to start") => ["earliest", "latest"],
                number if number.starts_with("a whole number") => ["7", "8"],
                "text" | "a list of texts" => ["x", "y"],
                choices => {
                    let choices = choices.split(" or ").map(str::to_owned).collect::<Vec<_>>();
                    let leak = |choice: &String| &*Box::leak(choice.clone().into_boxed_str());
                    [leak(&choices[0]), leak(&choices[1])]
                }
            },
        };
        Some((key, values))
    });
    prop::sample::select(keys.collect::<Vec<_>>())
}

/// The value of this key in a loaded configuration.
fn value(config: &Config, key: &str) -> Value {
    let tree = serde_json::to_value(config).expect("json");
    tree.pointer(&format!("/{}", key.replace('.', "/"))).cloned().expect("known key")
}

proptest! {
    #[test]
    fn the_later_layer_wins_for_every_key((key, [one, other]) in any_key(), swap: bool) {
        let (low, high) = if swap { (other, one) } else { (one, other) };
        let variable = variable(&key);
        let alone = loaded("", &[], &[(&key, high)]).expect("flag alone");
        let expected = value(&alone, &key);
        prop_assert_ne!(&expected, &value(&loaded("", &[], &[(&key, low)]).expect("low"), &key));

        let over_environment = loaded("", &[(&variable, low)], &[(&key, high)]).expect("both");
        prop_assert_eq!(&expected, &value(&over_environment, &key));

        let Found::Value(_, kind) = KNOWN.find(&key) else { unreachable!("any_key gives values") };
        let (section, name) = key.rsplit_once('.').expect("a section");
        let text = format!("[{section}]\n{name} = {}", kind.of_text(low));
        prop_assert_eq!(&value(&alone, &key), &value(&loaded(&text, &[], &[(&key, high)]).expect("flag"), &key));
        prop_assert_eq!(&expected, &value(&loaded(&text, &[(&variable, high)], &[]).expect("environment"), &key));
        let from_file = format!("[{section}]\n{name} = {}", kind.of_text(high));
        prop_assert_eq!(&expected, &value(&loaded(&from_file, &[], &[]).expect("file over default"), &key));
    }

    #[test]
    fn every_key_with_a_wrong_type_is_reported(keys in prop::collection::btree_set(any_key().prop_map(|(key, _)| key), 1..8)) {
        let mut tree = json!({});
        for key in &keys {
            put(&mut tree, &key.split('.').map(str::to_owned).collect::<Vec<_>>(), json!({"no": "such"}));
        }
        let mut layers = Layers::default();
        layers.tree(&KNOWN, &tree, &[], Some("here"));
        let mut wrong = Vec::new();
        typed(defaults(), &layers.settings, &mut wrong);
        let reported = wrong.into_iter().map(|problem| problem.key).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(reported, keys);
    }

    #[test]
    fn every_mistyped_key_is_refused_and_the_nearest_named((key, [text, _]) in any_key(), at in any::<prop::sample::Index>()) {
        let (section, name) = key.rsplit_once('.').expect("a section");
        let mut typo = name.to_owned();
        typo.insert(at.index(name.len()), 'q');
        let typo = format!("{section}.{typo}");
        let errors = loaded("", &[], &[(&typo, text)]).expect_err("no such key");
        prop_assert_eq!(errors.0.len(), 1);
        prop_assert_eq!(&errors.0[0].key, &typo);
        prop_assert!(errors.0[0].remedy.contains(&format!("did you mean {key}?")), "{}", errors);
    }

    #[test]
    fn no_text_makes_loading_panic(key in ".{0,40}", text in ".{0,40}", toml in ".{0,80}") {
        let variable = format!("{PREFIX}{key}");
        let _ = loaded(&toml, &[(&variable, &text)], &[(&key, &text)]);
    }
}
