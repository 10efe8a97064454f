//! The forms of an answer: table, CSV and Parquet say what JSON says.

use std::fs::{self, File};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, TimestampMillisecondType, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::archive::{Dice, HOUR, Model, millis, posts, write};
use crate::program::{ask, moodstream, same};

fn archive() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut dice, model) = (Dice::new(11), Model::first());
    let start = millis("2025-10-21T00:00:00Z") / HOUR;
    write(
        folder.path(),
        "1",
        &model,
        &posts(&mut dice, &model, (start..start + 72).filter(|hour| hour / 24 != start / 24 + 1), 10),
    );
    folder
}

#[test]
fn csv_has_a_line_for_each_period_group_and_emotion() {
    let folder = archive();
    let question = [".", "--group-by", "platform", "--emotion", "joy,Self doubt"];
    let answer = ask(folder.path(), &question);
    let csv =
        moodstream(folder.path(), &[&["trends"], &question[..], &["--format", "csv"]].concat()).expect(0, &[]).text();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("start,end,complete,platform,emotion,labelled,skipped,count,share,low,high,mean,change")
    );
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 3 * 3 * 2);
    for (number, line) in lines.iter().enumerate() {
        let (period, group, emotion) = (number / 6, number / 2 % 3, number % 2);
        let series = &answer["groups"][group]["series"][emotion];
        let text = |value: &serde_json::Value| if value.is_null() { String::new() } else { value.to_string() };
        assert_eq!(line[0], answer["periods"][period]["start"]);
        assert_eq!(line[3], answer["groups"][group]["key"]["platform"].as_str().unwrap_or_default());
        assert_eq!(line[4], series["emotion"]);
        assert_eq!(line[5], text(&answer["groups"][group]["labelled"][period]));
        assert_eq!(line[7], text(&series["count"][period]));
        for (place, name) in ["share", "low", "high", "mean", "change"].into_iter().enumerate() {
            let parsed = |text: &str| (!text.is_empty()).then(|| text.parse::<f64>().expect("a number"));
            assert!(same(parsed(line[8 + place]), series[name][period].as_f64()), "{name} in {line:?}");
        }
    }
}

#[test]
fn parquet_has_the_same_rows() {
    let folder = archive();
    let answer = ask(folder.path(), &["."]);
    moodstream(folder.path(), &["trends", ".", "--format", "parquet", "--out", "moods.parquet"]).expect(0, &[]);
    let file = File::open(folder.path().join("moods.parquet")).expect("there");
    let batches: Vec<_> =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader").collect();
    let batch = batches[0].as_ref().expect("rows");
    assert_eq!(batch.num_rows(), 3 * 4);
    let column = |name: &str| batch.column_by_name(name).expect(name);
    for row in 0..batch.num_rows() {
        let series = &answer["groups"][0]["series"][row % 4];
        let start = column("start").as_primitive::<TimestampMillisecondType>().value(row);
        assert_eq!(start, millis(answer["periods"][row / 4]["start"].as_str().expect("a start")));
        assert_eq!(column("emotion").as_string::<i32>().value(row), series["emotion"]);
        assert_eq!(column("count").as_primitive::<UInt64Type>().value(row), series["count"][row / 4]);
        let shares = column("share").as_primitive::<Float64Type>();
        assert!(same(shares.is_valid(row).then(|| shares.value(row)), series["share"][row / 4].as_f64()), "{series}");
    }
    assert!(
        fs::read_dir(folder.path())
            .expect("a folder")
            .all(|entry| { !entry.expect("an entry").file_name().to_string_lossy().contains(".partial") })
    );
}

#[test]
fn a_piped_table_is_plain_and_says_what_was_counted() {
    let folder = archive();
    let table = moodstream(folder.path(), &["trends", ".", "--emotion", "joy"]).expect(0, &[]).text();
    assert!(!table.contains('\u{1b}'), "{table}");
    let answer = ask(folder.path(), &[".", "--emotion", "joy"]);
    for (period, name) in ["Tue 2025-10-21", "Wed 2025-10-22", "Thu 2025-10-23"].into_iter().enumerate() {
        let line =
            table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in:\n{table}"));
        let posts = answer["periods"][period]["labelled"].as_u64().expect("a count");
        let share = answer["groups"][0]["series"][0]["share"][period].as_f64();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2], posts.to_string(), "{line}");
        let shown = share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", share * 100.0));
        assert!(words[3].starts_with(&shown), "{line}: {shown}");
    }
    for part in ["0a1b2c3d", "skipped", "Whether hours are complete is not known here", "rows of"] {
        assert_eq!(table.matches(part).count(), 1, "\"{part}\" in:\n{table}");
    }
}

#[test]
fn changes_are_against_the_period_before_and_intervals_hold_the_share() {
    let folder = archive();
    let answer = ask(folder.path(), &[".", "--by", "hour", "--to", "2025-10-21T05:00"]);
    for series in answer["groups"][0]["series"].as_array().expect("series") {
        let value = |name: &str, at: usize| series[name][at].as_f64();
        assert_eq!(value("change", 0), None);
        for at in 0..5 {
            let (low, share, high) = (value("low", at), value("share", at), value("high", at));
            assert!(low <= share && share <= high && low.is_some(), "{series}");
            if at > 0 {
                let expected = share.unwrap() - value("share", at - 1).unwrap();
                assert!((value("change", at).unwrap() - expected).abs() < 1e-12, "{series}");
            }
        }
    }
}

#[test]
fn the_report_and_the_chart_are_drawn_of_the_answer_that_is_printed() {
    let folder = archive();
    let pictures = ["--html", "report.html", "--svg", "chart.svg", "--png", "chart.png"];
    let answer = ask(folder.path(), &[&["."], &pictures[..]].concat());
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a picture");

    let page = String::from_utf8(read("report.html")).expect("text");
    let (_, figures) = page.split_once("id=\"answer\">").expect("the figures");
    let (figures, _) = figures.split_once("</script>").expect("their end");
    assert_eq!(serde_json::from_str::<serde_json::Value>(figures).expect("JSON"), answer);

    let chart = String::from_utf8(read("chart.svg")).expect("text");
    assert!(chart.starts_with("<svg") && chart.contains("joy"), "{}", &chart[..chart.len().min(200)]);
    assert_eq!(&read("chart.png")[..8], b"\x89PNG\r\n\x1a\n");
    moodstream(folder.path(), &["trends", ".", "--dark", "--svg", "dark.svg"]).expect(0, &[]);
    assert_ne!(read("dark.svg"), read("chart.svg"));
}

#[test]
fn a_picture_that_cannot_be_written_names_its_flag() {
    let folder = archive();
    moodstream(folder.path(), &["trends", ".", "--html", "nowhere/report.html"])
        .expect(1, &["--html: cannot write nowhere/report.html"]);
    assert!(!folder.path().join("nowhere").exists());
}
