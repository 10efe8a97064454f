//! The program, and what it said.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// How a run ended.
pub(crate) struct Ran {
    code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// `moodstream` in this folder, without this shell's settings.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodstream"));
    command.args(arguments).current_dir(folder).env_remove("NO_COLOR");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MOODSTREAM")) {
        command.env_remove(name);
    }
    command.env("MOODSTREAM_TEST_CLASSIFIER", "hash");
    command.env("MOODSTREAM__MODEL__PATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter"));
    command
}

/// How it ended.
pub(crate) fn moodstream(folder: &Path, arguments: &[&str]) -> Ran {
    moodstream_with(folder, arguments, &[])
}

/// The same with these variables.
pub(crate) fn moodstream_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = command(folder, arguments).envs(variables.iter().copied()).output().expect("the program starts");
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no \"{part}\" in:\n{}", self.stderr);
        }
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The answer to a question, as JSON.
#[track_caller]
pub(crate) fn ask(folder: &Path, arguments: &[&str]) -> Value {
    let ran = moodstream(folder, &[&["trends"], arguments, &["--format", "json"]].concat());
    ran.expect(0, &[]);
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// Whether two numbers are the same; one of them was read from JSON, which may be off by the last bit.
pub(crate) fn same(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= f64::EPSILON * one.abs().max(f64::MIN_POSITIVE),
        (one, other) => one == other,
    }
}
