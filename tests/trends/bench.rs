//! `moodstream bench trends`, on a few rows.

use std::fs;

use serde_json::Value;

use crate::program::{ask, moodstream};

#[test]
fn it_measures_the_files_and_the_roll_up_of_an_archive_that_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["bench", "trends", "--rows", "30000", "--days", "3", "--dir", "made", "--json", "figures.json"];
    for _ in 0..2 {
        let ran = moodstream(folder.path(), &arguments);
        ran.expect(0, &[]);
        for part in
            ["30000 rows of 3 days in 72 files", "moodstream, full scan", "moodstream, roll-up", "making the roll-up"]
        {
            assert!(ran.text().contains(part), "no {part} in {}", ran.text());
        }
        let figures: Value =
            serde_json::from_slice(&fs::read(folder.path().join("figures.json")).expect("written")).expect("JSON");
        for of in ["moodstream", "from_rollup", "rolling_up"] {
            for what in ["seconds", "memory"] {
                assert!(figures[of][what].as_f64() > Some(0.0), "{of}: {figures}");
            }
        }
    }
    let rolled = ask(folder.path(), &["made"]);
    assert_eq!((&rolled["read"]["rows"], &rolled["read"]["from_rollup"]), (&0.into(), &true.into()));
}
