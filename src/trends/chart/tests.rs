//! Charts of made-up answers.

use serde_json::Value;

use super::scene::{Colour, Palette};
use super::{Drawing, Paper, png, svg};
use crate::trends::report::made_up::MadeUp;

/// The texts of a chart, in the order in which they are drawn.
fn texts(svg: &str) -> Vec<String> {
    let pieces = svg.split("<text ").skip(1);
    let text =
        |piece: &str| piece.split_once('>').and_then(|(_, rest)| rest.split_once('<')).map(|(text, _)| text.to_owned());
    pieces.filter_map(text).collect()
}

#[test]
fn lines_end_at_the_shares_of_the_answer() {
    let answer = MadeUp::default().answer();
    let chart = svg(&answer.to_string(), Drawing::default()).expect("an answer");
    let texts = texts(&chart);
    let series = answer["groups"][0]["series"].as_array().expect("series");
    let mut named = 0;
    for series in series {
        let Some(at) = texts.iter().position(|text| text == series["emotion"].as_str().expect("a name")) else {
            continue;
        };
        let share = series["share"].as_array().and_then(|shares| shares.last()?.as_f64()).expect("a share");
        assert_eq!(texts[at + 1], format!("{:.1} %", share * 100.0), "{series}");
        named += 1;
    }
    assert_eq!(named, 5, "{texts:?}");
}

#[test]
fn an_empty_period_is_a_gap_and_an_incomplete_one_is_dotted() {
    let pieces = |made: &MadeUp| {
        let chart = svg(&made.answer().to_string(), Drawing::default()).expect("an answer");
        let line = chart.lines().find(|line| line.contains("stroke-width=\"2.4\" stroke-linejoin")).expect("a line");
        let dotted = chart.matches("stroke-dasharray=\"0.1 4.8\"").count();
        let path = line.split('"').nth(1).expect("a path").to_owned();
        (path.matches('M').count(), path.matches('L').count(), dotted)
    };
    // 28 days, the last one incomplete, the tenth empty: 9 and 17 points in two pieces.
    assert_eq!(pieces(&MadeUp::default()), (2, 8 + 16, 5));
    assert_eq!(pieces(&MadeUp { empty: None, ..MadeUp::default() }), (1, 26, 5));
}

#[test]
fn any_answer_can_be_drawn_on_any_paper() {
    let plain = MadeUp::default();
    let answers = [
        MadeUp { periods: 0, empty: None, ..plain },
        MadeUp { periods: 1, empty: None, ..plain },
        MadeUp { periods: 3, daily: 0.0, ..plain },
        MadeUp { by: "hour", periods: 2160, emotions: 28, ..plain },
        MadeUp { by: "week", periods: 60, platforms: &["bluesky", "mastodon", "x"], ..plain },
    ];
    for made in answers {
        let answer = made.answer().to_string();
        for paper in [Paper::Light, Paper::Dark] {
            let drawing = Drawing { paper, width: 640, height: 400 };
            let chart = svg(&answer, drawing).expect("an answer");
            assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
            let picture = png(&answer, drawing).expect("an answer");
            assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
            assert_eq!(picture[16..24], [0, 0, 5, 0, 0, 0, 3, 32], "1280 by 800 pixels");
        }
    }
}

#[test]
fn a_few_posts_without_any_label_have_an_axis_too() {
    let mut answer = MadeUp { periods: 3, daily: 4.0, empty: None, ..MadeUp::default() }.answer();
    for series in answer["groups"][0]["series"].as_array_mut().expect("series") {
        series["count"] = serde_json::json!([0, 0, 0]);
        series["share"] = serde_json::json!([0.0, 0.0, 0.0]);
    }
    let chart = svg(&answer.to_string(), Drawing::default()).expect("an answer");
    assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
    assert!(texts(&chart).contains(&"100 %".to_owned()), "{chart}");
}

#[test]
fn a_new_year_is_named_and_a_group_without_posts_is_left_out() {
    let made = MadeUp { by: "week", periods: 60, platforms: &["bluesky", "mastodon", "x"], ..MadeUp::default() };
    let mut answer = made.answer();
    let wide = Drawing { width: 2000, ..Drawing::default() };
    let before = texts(&svg(&answer.to_string(), wide).expect("an answer"));
    assert!(before.iter().any(|text| text.ends_with("Jan 2027")) && before.contains(&"x".to_owned()), "{before:?}");
    answer["groups"][2]["labelled"] = serde_json::json!(vec![0; 60]);
    let after = texts(&svg(&answer.to_string(), wide).expect("an answer"));
    assert!(after.contains(&"mastodon".to_owned()) && !after.contains(&"x".to_owned()), "{after:?}");
}

#[test]
fn names_from_outside_stay_text() {
    let made = MadeUp {
        hostile: Some("</text><script>alert(1)</script>\u{7}"),
        platforms: &["<b>", "&"],
        ..MadeUp::default()
    };
    let chart = svg(&made.answer().to_string(), Drawing::default()).expect("an answer");
    assert!(!chart.contains("<script") && !chart.contains("<b>") && !chart.contains('\u{7}'), "{chart}");
    assert!(chart.contains("&lt;script&gt;"), "{chart}");
}

#[test]
fn what_is_no_answer_is_refused() {
    assert!(svg("{}", Drawing::default()).is_err());
    let mut answer = MadeUp::default().answer();
    answer["periods"][0]["start"] = Value::from("yesterday");
    let error = svg(&answer.to_string(), Drawing::default()).expect_err("no time");
    assert!(error.to_string().contains("\"yesterday\" is no time"), "{error}");
}

#[test]
fn chart_and_report_have_the_same_colours() {
    let css = include_str!("../report/page.css");
    let hex = |[red, green, blue]: Colour| format!("#{red:02x}{green:02x}{blue:02x}");
    for paper in [Paper::Light, Paper::Dark] {
        let Palette { lines, words, paper, ink, .. } = paper.palette();
        let row = |name: &str, colours: &[Colour; 8]| {
            let named =
                colours.iter().enumerate().map(|(number, colour)| format!("--{name}{number}: {};", hex(*colour)));
            named.collect::<Vec<_>>().join(" ")
        };
        for wanted in
            [row("c", lines), row("t", words), format!("--paper: {};", hex(*paper)), format!("--ink: {};", hex(*ink))]
        {
            assert!(css.contains(&wanted), "{wanted}");
        }
    }
}

#[test]
fn words_and_lines_can_be_read_on_their_paper() {
    let luminance = |colour: Colour| {
        let linear = colour.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    let contrast = |one: Colour, other: Colour| {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    };
    for paper in [Paper::Light, Paper::Dark] {
        let palette = paper.palette();
        for (colour, wanted) in palette
            .words
            .iter()
            .chain([&palette.ink, &palette.quiet])
            .map(|colour| (colour, 4.5))
            .chain(palette.lines.iter().map(|colour| (colour, 3.0)))
        {
            let contrast = contrast(*colour, palette.paper);
            assert!(contrast >= wanted, "{colour:?} on {paper:?}: {contrast:.2}");
        }
    }
}

#[test]
fn the_picture_in_the_docs_is_what_the_code_draws() {
    let answer = MadeUp::default().answer().to_string();
    let chart = svg(&answer, Drawing::default()).expect("an answer");
    crate::committed::assert_committed("docs/trends.svg", &chart);
}
