//! The program as people and scripts meet it: help, exit codes, messages. No broker is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A port that nothing listens on.
const NOWHERE: &str = "127.0.0.1:1";

/// The program in the repository's root, without this shell's settings.
fn moodstream(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MOODSTREAM")) {
        command.env_remove(name);
    }
    command
}

/// What it printed, both streams, and its exit code.
struct Ran {
    code: Option<i32>,
    said: String,
}

impl Ran {
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.said.contains(part), "no \"{part}\" in:\n{}", self.said);
        }
        assert_eq!(self.code, Some(code), "{}", self.said);
        self
    }
}

fn outcome(Output { status, stdout, stderr }: &Output) -> Ran {
    let said = format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    Ran { code: status.code(), said }
}

fn run(arguments: &[&str]) -> Ran {
    outcome(&moodstream(arguments).output().expect("the program starts"))
}

/// A copy of the starter model whose graph is longer by a byte.
fn damaged_model(folder: &Path) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter");
    for entry in std::fs::read_dir(original).expect("the starter model") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
    }
    let graph = folder.join("model.onnx");
    let mut bytes = std::fs::read(&graph).expect("the graph");
    bytes.push(0);
    std::fs::write(&graph, bytes).expect("written");
    graph
}

fn digests(said: &str) -> usize {
    let words = said.split(|c: char| !c.is_ascii_hexdigit());
    words.filter(|word| word.len() == 64).count()
}

#[test]
fn help_teaches_the_first_steps() {
    run(&["--help"]).expect(
        0,
        &["First steps:", "moodstream demo", "check --topic posts", "MOODSTREAM__KAFKA__BROKERS", "Exit codes: 0 done"],
    );
    let leaves = [&["run"][..], &["check"], &["model", "verify"], &["model", "evaluate"], &["produce"], &["schema"]];
    for command in leaves {
        run(&[command, &["--help"]].concat()).expect(0, &["Example:", "Exit codes: 0"]);
    }
}

#[test]
fn wrong_use_exits_with_2_and_names_what_is_wrong() {
    run(&[]).expect(2, &["Usage:"]);
    run(&["rnu"]).expect(2, &["rnu", "--help"]);
    run(&["run", "--topics", "x"]).expect(2, &["--topics", "--topic"]);
    run(&["run", "--set", "batch.linger"]).expect(2, &["key=value"]);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one() {
    run(&["run", "--set", "kafka.broker=x:1"]).expect(2, &["kafka.broker", "kafka.brokers"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("worker.toml");
    std::fs::write(&file, "[batch]\nlingr = \"5ms\"\n").expect("written");
    let file = file.to_str().expect("a name");
    run(&["check", "--config", file]).expect(2, &["batch.lingr", "batch.linger", "worker.toml"]);
    let mut command = moodstream(&["model", "verify"]);
    let ran = command.env("MOODSTREAM__MODEL__PAHT", "x").output().expect("the program starts");
    outcome(&ran).expect(2, &["model.paht", "MOODSTREAM__MODEL__PAHT", "MOODSTREAM__MODEL__PATH"]);
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let wrong = ["--set", "worker.lanes=none", "--set", "output.topic=posts", "--set", "kafka.session_timeout=1s"];
    for command in ["run", "check"] {
        let keys = ["worker.lanes", "output.topic", "kafka.session_timeout"];
        run(&[&[command], &wrong[..2]].concat()).expect(2, &keys[..1]);
        run(&[&[command], &wrong[2..]].concat()).expect(2, &keys[1..]);
    }
    let several = run(&["run", "--set", "a.b=1", "--set", "worker.lanes=none", "--set", "kafka.delivery=twice"]);
    several.expect(2, &["3 places", "a.b", "worker.lanes", "kafka.delivery"]);
}

#[test]
fn secrets_are_never_printed() {
    let secret = "hunter2-very-secret";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, secret).expect("written");
    let from_file = format!("kafka.properties.sasl.password_file={}", file.display());
    let plain = format!("kafka.properties.sasl.password={secret}");
    let misspelt = format!("kafka.properties.sasl.passwrod={secret}");
    let unusable = format!("kafka.properties.ssl.key.pem={secret}");
    let sasl = ["--set", "kafka.properties.security.protocol=sasl_plaintext", "--set"];
    let quick = ["--set", "kafka.request_deadline=1s", "--set", "kafka.properties.debug=all", "--set"];
    for setting in [&from_file, &plain, &misspelt, &unusable] {
        for command in ["check", "run"] {
            let line = ["--brokers", NOWHERE, "--set", "log.level=trace", "--set", "admin.listen="];
            let mechanism = ["kafka.properties.sasl.mechanism=PLAIN", "--set", "kafka.properties.sasl.username=me"];
            let arguments = [&[command], &line[..], &sasl, &mechanism, &quick, &[setting]].concat();
            let ran = run(&arguments);
            assert_ne!(ran.code, Some(0), "{}", ran.said);
            assert!(!ran.said.contains(secret), "{setting}: {}", ran.said);
        }
    }
}

#[test]
fn check_without_a_broker_names_the_address_and_looks_at_the_rest() {
    let ran = run(&["check", "--brokers", NOWHERE, "--set", "kafka.request_deadline=1s"]);
    ran.expect(1, &["ok    configuration", "ok    library", "ok    model", "WRONG brokers", NOWHERE, "refused"]);
    ran.expect(1, &["topics        not looked at", "group         not looked at"]);
}

#[test]
fn a_model_with_another_hash_stops_every_command_with_both_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = damaged_model(folder.path());
    let path = folder.path().to_str().expect("a name");
    let graph = graph.to_str().expect("a name");
    let broker = ["--brokers", NOWHERE, "--set", "kafka.request_deadline=1s", "--set", "admin.listen="];
    for command in [&["model", "verify"][..], &[&["run"], &broker[..]].concat(), &[&["check"], &broker[..]].concat()] {
        let ran = run(&[command, &["--model", path]].concat());
        ran.expect(1, &[graph, "expected", "found"]);
        assert_eq!(digests(&ran.said), 2, "{}", ran.said);
    }
}

#[test]
fn a_missing_library_is_told_with_the_way_to_get_it() {
    for command in [&["model", "verify"][..], &["check", "--brokers", NOWHERE, "--set", "kafka.request_deadline=1s"]] {
        let ran = run(&[command, &["--set", "inference.library=/nowhere/libonnxruntime.so"]].concat());
        ran.expect(1, &["make onnxruntime", "ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so"]);
    }
}

#[test]
fn model_verify_tells_the_figures_of_a_sound_model() {
    let parts = ["starter-v2", "anger, anticipation", "int8", "ONNX Runtime 1.", "labels flipped: 0", "independent"];
    let ran = run(&["model", "verify"]);
    ran.expect(0, &parts);
    assert_eq!(digests(&ran.said), 1, "{}", ran.said);
}

#[test]
fn files_that_cannot_be_evaluated_are_wrong_use_and_none_of_their_text_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let data = path("dev.txt");
    let wrong = |content: &str, more: &[&str], parts: &[&str]| {
        std::fs::write(&data, content).expect("written");
        let ran = run(&[&["model", "evaluate", &data], more].concat());
        ran.expect(2, parts);
        assert!(!ran.said.contains("secret"), "{}", ran.said);
        assert!(std::fs::read_to_string(&data).expect("still there") == content, "the data are as they were");
    };
    let labels = "anger\tanticipation\tdisgust\tfear\tjoy\tlove\toptimism\tpessimism\tsadness\tsurprise\ttrust";
    let header = format!("ID\tTweet\t{labels}\n");
    let zeros = "\t0".repeat(10);
    let right = format!("{header}a\tmy secret\t0{zeros}\n");
    wrong("a\tmy secret\t1\t0\n", &[], &["dev.txt line 1: header", "\"ID\""]);
    wrong(&header.replace("trust", "hope"), &[], &["dev.txt line 1", "no \"trust\" and also \"hope\""]);
    wrong(&format!("{header}a\tmy secret\t7{zeros}\n"), &[], &["dev.txt line 2: anger: expected 0 or 1, found \"7\""]);
    wrong(&format!("{header}a\tmy secret\tNONE{zeros}\n"), &[], &["dev.txt line 2: anger", "no gold labels"]);
    wrong(&format!("{header}a\tmy secret\t0\n"), &[], &["dev.txt line 2", "13 values", "found 3"]);
    wrong(&right, &["--svg", &data], &["dev.txt is also an input"]);
    wrong(&right, &["--scores", &path("no/such.jsonl")], &["cannot write", "there is no folder"]);
    wrong(&right, &["--format", "xml"], &["xml", "text", "json"]);
    run(&["model", "evaluate", &path("nothing.txt")]).expect(2, &["cannot read", "nothing.txt"]);
    run(&["model", "evaluate"]).expect(2, &["<DATA>"]);
    run(&["model", "verify", "--max", "0.1"]).expect(2, &["--against"]);
    run(&["model", "verify", "--against", &data, "--max", "2"]).expect(2, &["from 0 to 1"]);
}

#[test]
fn schemas_are_printed_as_committed() {
    for name in ["config", "labelled-post", "rejected-line", "archive", "evaluation"] {
        let output = moodstream(&["schema", name]).output().expect("the program starts");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"));
        assert!(output.stdout == std::fs::read(path).expect("committed"), "{name}");
    }
}

/// Needs what `make gpu` fetches, which CI does not: 1.4 GB for a test of one message.
#[test]
fn without_a_driver_the_gpu_library_fails_the_start_and_names_what_is_missing() {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps");
    let driver = Path::new("/dev/nvidiactl").exists();
    if driver || !fetched.join("onnxruntime-gpu/SHA256SUMS").is_file() || !fetched.join("cuda/SHA256SUMS").is_file() {
        eprintln!("left out: it needs `make gpu`, and a machine without a GPU");
        return;
    }
    let mut command = moodstream(&["model", "verify", "--set", "inference.provider=cuda"]);
    let ran = outcome(&command.env_remove("ORT_DYLIB_PATH").output().expect("the program starts"));
    // Not libcublasLt.so.13 or another of the libraries that were fetched: those are found.
    ran.expect(1, &["inference.provider = \"cuda\" cannot be had", "libcuda.so.1: cannot open", "make gpu"]);
}

#[test]
fn places_that_are_no_archive_or_not_for_compactions_are_wrong_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    run(&["compact", "--archive", &path("nothing"), "--to", &path("large")])
        .expect(2, &["archive.url holds no archive", "_state/archive.json"]);
    std::fs::create_dir_all(folder.path().join("a/_state")).expect("made");
    let identity = r#"{"format":1,"id":"i","cluster_id":"c","topic":"t","rules":{"version":1,"text":"keep","key_id":""},"begun":0}"#;
    std::fs::write(folder.path().join("a/_state/archive.json"), identity).expect("written");
    run(&["compact", "--archive", &path("a"), "--to", &path("a")]).expect(2, &["give a URL of its own"]);
    run(&["compact", "--archive", &path("a"), "--to", &path("large")]).expect(0, &["0 files of 0 hours"]);
    let set = ["--set", "archive.properties.aws_regoin=x"];
    run(&[&["compact", "--archive", "s3://bucket", "--to", "s3://other"], &set[..]].concat())
        .expect(2, &["archive.properties.aws_regoin", "aws_region"]);
}
