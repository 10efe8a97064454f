//! Every line in exactly one place, its bytes intact, in order (I1, I7).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use moodstream::inference::faulty;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::program::{label, names, posts, read, sources};

/// The bytes of a rejected line.
fn bytes(reject: &Value) -> Vec<u8> {
    match (&reject["value"], &reject["value_base64"]) {
        (Value::String(text), Value::Null) => text.as_bytes().to_vec(),
        (Value::Null, Value::String(base64)) => STANDARD.decode(base64).expect("base64"),
        both => panic!("{both:?}"),
    }
}

#[test]
fn a_bad_line_is_rejected_with_its_bytes_and_the_reason_and_harms_no_other() {
    let huge = format!("{{\"text\":\"{}\"}}", "x".repeat(3000)).into_bytes();
    let deep = format!("{{\"text\":\"t\",\"x\":{}1{}}}", "[".repeat(300), "]".repeat(300)).into_bytes();
    let bad: [(&[u8], &str, &str); 11] = [
        (b"no JSON at all \r", "decode", "not_json"),
        (b"{\"text\":\"half a", "decode", "not_json"),
        (b"{\"text\":\"secret \xff\xfe\"}", "decode", "invalid_utf8"),
        (b"{\"text\":\"secret a\0b\"}", "decode", "raw_control_character"),
        (br#"{"text":"secret \ud83d"}"#, "decode", "lone_surrogate"),
        (br#"{"body":"secret"}"#, "decode", "no_text"),
        (br#"{"text":["secret"]}"#, "decode", "text_not_string"),
        (br#"["secret"]"#, "decode", "no_text"),
        (&deep, "decode", "too_deep"),
        (&huge, "decode", "line_too_long"),
        (br#"{"text":"secret FAIL-THIS"}"#, "classify", "model_failed"),
    ];
    let good = |number: usize| format!("{{\"text\":\"good {number}\"}}");
    let mut input = Vec::new();
    for (number, (line, ..)) in bad.iter().enumerate() {
        input.extend_from_slice(good(number).as_bytes());
        input.push(b'\n');
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.jsonl"), input).expect("written");
    let limit = ["--set", "input.max_line_bytes=2000"];
    let ran = label(folder.path(), &[&["in.jsonl", "--out", "out.jsonl"], &limit[..]].concat());
    ran.expect(0, &["22 lines = 11 labelled + 0 skipped + 0 not selected + 11 rejected (", "+ 0 blank"]);
    assert!(ran.stdout.is_empty());

    let outputs = read(folder.path(), "out.jsonl");
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!(output["text"], json!(format!("good {number}")));
        assert_eq!(output["source"], json!({"file": "in.jsonl", "line": 2 * number + 1}));
        assert_eq!(output["id"], json!(format!("in.jsonl:{}", 2 * number + 1)));
    }
    let rejects = read(folder.path(), "out.rejects.jsonl");
    assert_eq!((outputs.len(), rejects.len()), (11, 11));
    for (number, (reject, (line, stage, class))) in rejects.iter().zip(bad).enumerate() {
        assert_eq!((&reject["stage"], &reject["class"]), (&json!(stage), &json!(class)));
        assert_eq!(reject["source"], json!({"file": "in.jsonl", "line": 2 * number + 2}));
        let cut = *class == *"line_too_long";
        assert_eq!(bytes(reject), if cut { &line[..2000] } else { line }, "{class}");
        assert_eq!((&reject["truncated"], &reject["bytes"]), (&json!(cut), &json!(line.len())));
        let message = reject["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.contains("secret"), "{message}");
    }
}

#[test]
fn posts_get_the_scores_of_their_own_text_and_skipped_ones_their_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = [
        r#"{"id":"a","text":"one","lang":"en"}"#,
        r#"{"id":"b","text":"zwei","lang":"de"}"#,
        "",
        r#"{"id":"c","text":" \t"}"#,
        " \t\r",
        r#"{"id":"d","text":"four"}"#,
    ];
    // As some tools begin a file, and without a line feed at the end.
    std::fs::write(folder.path().join("in"), format!("\u{feff}{}", lines.join("\n"))).expect("written");
    let ran = label(folder.path(), &["in", "--out", "out", "--set", "batch.max_posts=1"]);
    ran.expect(0, &["6 lines = 2 labelled + 2 skipped (empty 1, language 1) + 0 not selected + 0 rejected + 2 blank"]);
    let outputs = read(folder.path(), "out");
    let column = |name: &str| outputs.iter().map(|output| output[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("id"), [json!("a"), json!("b"), json!("c"), json!("d")]);
    assert_eq!(column("skip_reason"), [Value::Null, json!("language"), json!("empty"), Value::Null]);
    assert_eq!(sources(&outputs).iter().map(|(_, line)| *line).collect::<Vec<_>>(), [1, 2, 4, 6]);
    for (output, text) in [(&outputs[0], "one"), (&outputs[3], "four")] {
        let scores = output["scores"].as_object().expect("scores");
        let expected = faulty::scores(text);
        assert_eq!(scores.len(), expected.len());
        for (name, score) in moodstream::inference::REFERENCE_LABELS.iter().zip(expected) {
            let apart = scores[*name].as_f64().expect("a number") - f64::from(score);
            assert!(apart.abs() < 1e-7, "{name}");
        }
    }
    assert_eq!(names(folder.path()), ["in", "out"], "no rejects, so no file of them");
}

#[test]
fn what_input_select_leaves_out_is_counted_and_written_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "{\"kind\":\"post\",\"text\":\"a\"}\n{\"kind\":\"like\"}\n{\"kind\":\"post\",\"text\":\"b\"}\n";
    std::fs::write(folder.path().join("in"), lines).expect("written");
    let ran = label(folder.path(), &["in", "--set", "input.select./kind=post"]);
    ran.expect(0, &["3 lines = 2 labelled + 0 skipped + 1 not selected + 0 rejected + 0 blank"]);
    assert_eq!(crate::program::json(&ran.stdout).len(), 2);
}

#[test]
fn several_files_come_out_in_the_order_of_their_names_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    // Many batches on several threads, and a classifier that makes the larger ones late.
    for name in ["b", "a", "c"] {
        std::fs::write(folder.path().join(name), posts(700)).expect("written");
    }
    let small = ["--set", "batch.max_posts=16", "--set", "worker.lanes=4"];
    let arguments = [&["b", "a", "c", "--out", "out", "--rejects", "rejects"], &small[..]].concat();
    crate::program::start(folder.path(), "delay_us=50", &arguments).wait().expect(0, &["2,100 lines = 2,100 labelled"]);
    let expected = ["b", "a", "c"].iter().flat_map(|name| (1..=700).map(|line| ((*name).to_owned(), line)));
    assert!(sources(&read(folder.path(), "out")).into_iter().eq(expected));
    assert!(read(folder.path(), "rejects").is_empty(), "named, so it is there, and empty");
}

#[test]
fn a_mapping_that_fits_nothing_is_told_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in"), posts(3)).expect("written");
    let ran = label(folder.path(), &["in", "--out", "out", "--set", "input.fields.text=/body"]);
    ran.expect(0, &["+ 3 rejected (no_text 3)", "there is no text at \"/body\"; check input.fields"]);
    assert_eq!(read(folder.path(), "out.rejects.jsonl").len(), 3);
}

#[test]
fn of_an_endless_line_the_beginning_is_kept_and_the_next_one_is_labelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut input = vec![b'x'; 8 << 20];
    input.extend_from_slice(b"\n{\"text\":\"after\"}\n");
    std::fs::write(folder.path().join("in"), &input).expect("written");
    let ran = label(folder.path(), &["in", "--out", "out", "--set", "input.max_line_bytes=64KiB"]);
    ran.expect(0, &["2 lines = 1 labelled", "1 rejected (line_too_long 1)"]);
    let rejects = read(folder.path(), "out.rejects.jsonl");
    assert_eq!((rejects.len(), &rejects[0]["bytes"]), (1, &json!(8 << 20)));
    assert_eq!(rejects[0]["sha256"], json!(hex::encode(Sha256::digest(&input[..8 << 20]))));
    assert_eq!(bytes(&rejects[0]).len(), 64 << 10);
}

/// A line, and where it has to end.
#[derive(Debug, Clone)]
struct Expected {
    line: Vec<u8>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Labelled,
    Skipped,
    NotSelected,
    Rejected,
    Blank,
}

fn any_line() -> impl Strategy<Value = Expected> {
    let json = |value: Value, place| Expected { line: value.to_string().into_bytes(), place };
    let noise = prop::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..60);
    prop_oneof![
        4 => "[a-z 😀]{0,15}[a-z]".prop_map(move |text| json(json!({"k": 1, "text": text}), Place::Labelled)),
        1 => "[a-z]{1,9}".prop_map(move |text| json(json!({"k": 1, "text": text, "lang": "fr"}), Place::Skipped)),
        1 => "[ \n\t]{0,3}".prop_map(move |text| json(json!({"k": 1, "text": text}), Place::Skipped)),
        1 => "[a-z]{0,9}".prop_map(move |text| json(json!({"k": 2, "text": text}), Place::NotSelected)),
        1 => "[a-z]{0,9}".prop_map(move |text| json(json!({"k": 1, "body": text}), Place::Rejected)),
        1 => "[a-z]{100,300}".prop_map(move |text| json(json!({"k": 1, "text": text}), Place::Rejected)),
        1 => "[a-z]{0,9}FAIL-THIS".prop_map(move |text| json(json!({"k": 1, "text": text}), Place::Rejected)),
        1 => "[ \t]{0,3}\r?".prop_map(|line| Expected { line: line.into_bytes(), place: Place::Blank }),
        1 => noise.prop_map(|noise| Expected { line: [b"~".to_vec(), noise].concat(), place: Place::Rejected }),
    ]
}

/// Output and rejects together are the lines that have to be there, each once, in order.
fn check(folder: &Path, files: &[Vec<Expected>]) {
    let (outputs, rejects) = (read(folder, "out"), read(folder, "rejects"));
    let lines = files.iter().enumerate().flat_map(|(file, lines)| {
        (1_u64..).zip(lines).map(move |(number, line)| ((format!("in-{file}"), number), line))
    });
    let (mut output, mut reject) =
        (sources(&outputs).into_iter().zip(outputs), sources(&rejects).into_iter().zip(rejects));
    for (source, Expected { line, place }) in lines {
        match place {
            Place::Labelled | Place::Skipped => {
                let (found, record) = output.next().expect("an output");
                let status = if *place == Place::Labelled { "labelled" } else { "skipped" };
                assert_eq!((found, &record["status"]), (source, &json!(status)));
                let post: Value = serde_json::from_slice(line).expect("JSON");
                assert_eq!(record["text"], post["text"]);
            }
            Place::Rejected => {
                let (found, record) = reject.next().expect("a reject");
                let kept = &line[..line.len().min(100)];
                assert_eq!((found, &record["bytes"]), (source, &json!(line.len())));
                assert_eq!(bytes(&record), kept);
            }
            Place::NotSelected | Place::Blank => {}
        }
    }
    assert!(output.next().is_none() && reject.next().is_none(), "nothing more");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_lines_output_and_rejects_are_the_input(
        files in prop::collection::vec(prop::collection::vec(any_line(), 0..60), 1..4),
        ends in any::<bool>(),
        posts in 1_usize..40,
        lanes in 1_usize..4,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let names: Vec<String> = (0..files.len()).map(|file| format!("in-{file}")).collect();
        for (name, lines) in names.iter().zip(&files) {
            let mut text = lines.iter().map(|line| line.line.clone()).collect::<Vec<_>>().join(&b'\n');
            // A last line of nothing is only there with its line feed.
            let needed = lines.last().is_some_and(|line| ends || line.line.is_empty());
            text.extend(needed.then_some(b'\n'));
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let settings = [
            "input.select./k=1".to_owned(),
            "input.max_line_bytes=100".to_owned(),
            format!("batch.max_posts={posts}"),
            format!("worker.lanes={lanes}"),
        ];
        let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
        arguments.extend(["--out", "out", "--rejects", "rejects"]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let ran = label(folder.path(), &arguments);
        let all = || files.iter().flatten();
        let count = |place| all().filter(|line| line.place == place).count();
        ran.expect(0, &[
            &format!("{} lines = {} labelled + {} skipped", all().count(), count(Place::Labelled), count(Place::Skipped)),
            &format!("+ {} not selected + {} rejected", count(Place::NotSelected), count(Place::Rejected)),
            &format!("+ {} blank", count(Place::Blank)),
        ]);
        check(folder.path(), &files);
    }
}
