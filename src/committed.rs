//! Keeps generated files that are committed (schemas, tables in docs) equal to what the code says.

use std::path::Path;

/// Compares a committed file with what is generated, or writes it when `MOODSTREAM_UPDATE` is set,
/// as `make schemas` does.
pub(crate) fn assert_committed(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MOODSTREAM_UPDATE").is_some() {
        std::fs::write(&file, generated).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == generated, "{path} is stale; run `make schemas` and commit it");
}
