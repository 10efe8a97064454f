//! The tree as the programs see it that people read Parquet with: tools/readers/examples.py.

use std::path::Path;
use std::process::Command;

use crate::program::label;

/// Needs what `make readers` installs.
#[test]
fn every_reader_finds_the_posts_the_columns_and_the_means_of_the_json_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".deps/readers/bin/python");
    if !python.exists() {
        let required = std::env::var_os("MOODSTREAM_REQUIRE_READERS").is_some();
        assert!(!required, "MOODSTREAM_REQUIRE_READERS is set, but there is no {}: make readers", python.display());
        eprintln!("left out: make readers installs what this test needs");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let hours = |number: u32| {
        // In the first hour all posts are skipped.
        let lang = if number.is_multiple_of(9) || number.is_multiple_of(24) { "de" } else { "en" };
        format!(
            "{{\"id\":\"{number}\",\"text\":\"Größe \\\"{number}\\\" 😀\",\"lang\":\"{lang}\",\"likes\":{number},\
             \"created_at\":\"2025-03-{:02}T{:02}:{:02}:00.5Z\"}}\n",
            14 + number % 2,
            number % 24,
            number % 60
        )
    };
    std::fs::write(folder.path().join("in"), (0..3_000).map(hours).collect::<String>()).expect("written");
    let extra = ["--set", "input.extra.likes=/likes"];
    for out in ["lines.jsonl", "tree/"] {
        label(folder.path(), &[&["in", "--out", out], &extra[..]].concat()).expect(0, &["3,000 lines"]);
    }
    let ran = Command::new(python)
        .arg(root.join("tools/readers/examples.py"))
        .args(["tree", "lines.jsonl"])
        .current_dir(folder.path())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    for reader in ["DuckDB", "Polars", "pyarrow", "pandas"] {
        assert!(said.contains(&format!("{reader}: 3000 rows")), "{said}");
    }
}
