//! The bundled font: how wide words are, and their outlines.
//!
//! Inter, Regular and `SemiBold`, cut down to Latin, Greek and Cyrillic; its licence is `fonts/OFL.txt`. What is
//! bundled is outlines as text (`tools/font/outlines.py`): `ttf-parser` is unmaintained (RUSTSEC-2026-0192), and
//! `skrifa` costs forty seconds of build. A character that the font lacks is drawn as an empty box.

use std::collections::HashMap;
use std::sync::LazyLock;

static REGULAR: LazyLock<Font> = LazyLock::new(|| Font::read(include_str!("fonts/regular.txt")));
static BOLD: LazyLock<Font> = LazyLock::new(|| Font::read(include_str!("fonts/semibold.txt")));

/// What stands for a character that is not there.
const MISSING: char = '\0';

struct Font {
    /// Units in the font's size.
    units: f64,
    glyphs: HashMap<char, Glyph>,
}

struct Glyph {
    width: f64,
    /// In SVG's words, y upwards.
    path: &'static str,
}

/// A step of an outline; y goes down, as on a canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Move(f64, f64),
    Line(f64, f64),
    /// Two control points and the end.
    Curve([f64; 6]),
    Close,
}

impl Font {
    fn read(text: &'static str) -> Self {
        let (units, lines) = text.split_once('\n').expect("the font's units");
        let glyph = |line: &'static str| {
            let (code, rest) = line.split_once(' ')?;
            let (width, path) = rest.split_once(' ').unwrap_or((rest, ""));
            let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
            Some((character, Glyph { width: width.parse().ok()?, path }))
        };
        let glyphs = lines.lines().map(|line| glyph(line).expect("a glyph")).collect();
        Self { units: units.parse().expect("a number of units"), glyphs }
    }

    fn of(bold: bool) -> &'static Self {
        if bold { &BOLD } else { &REGULAR }
    }

    fn glyph(&self, character: char) -> &Glyph {
        self.glyphs.get(&character).unwrap_or(&self.glyphs[&MISSING])
    }
}

/// The width of a text on one line.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let font = Font::of(bold);
    text.chars().map(|character| font.glyph(character).width / font.units * size).sum()
}

/// A text that is no wider than there is room, its end left out for that.
pub(super) fn fitted(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut cut = text.to_owned();
    while !cut.is_empty() && width(&cut, size, bold) + width("…", size, bold) > room {
        cut.pop();
    }
    format!("{}…", cut.trim_end())
}

/// The outlines of a text that begins at a place.
pub(super) fn outlines(text: &str, (left, base): (f64, f64), size: f64, bold: bool) -> Vec<Step> {
    let font = Font::of(bold);
    let unit = size / font.units;
    let (mut left, mut steps) = (left, Vec::new());
    for character in text.chars() {
        let glyph = font.glyph(character);
        for piece in words(glyph.path) {
            let (word, numbers) = piece.split_at(1);
            let numbers: Vec<f64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
            let x = |at: usize| left + numbers[at] * unit;
            let y = |at: usize| base - numbers[at] * unit;
            steps.push(match (word, numbers.len()) {
                ("M", 2) => Step::Move(x(0), y(1)),
                ("L", 2) => Step::Line(x(0), y(1)),
                ("C", 6) => Step::Curve([x(0), y(1), x(2), y(3), x(4), y(5)]),
                _ => Step::Close,
            });
        }
        left += glyph.width * unit;
    }
    steps
}

/// "M1 2L3 4Z" as "M1 2", "L3 4", "Z".
fn words(path: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = path.match_indices(|letter: char| letter.is_ascii_uppercase()).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([path.len()]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).map(move |(start, end)| &path[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_wide_as_its_glyphs_and_is_cut_where_there_is_no_room() {
        let one = width("i", 10.0, false);
        assert!((width("iii", 10.0, false) - 3.0 * one).abs() < 1e-9);
        assert!(width("joy", 10.0, true) > width("joy", 10.0, false));
        assert_eq!(fitted("anticipation", 10.0, false, f64::INFINITY), "anticipation");
        let cut = fitted("anticipation", 10.0, false, 30.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0, false) <= 30.0, "{cut}");
    }

    #[test]
    fn every_glyph_can_be_drawn_within_its_line() {
        for bold in [false, true] {
            let font = Font::of(bold);
            assert!(font.glyphs.len() > 450, "{}", font.glyphs.len());
            for &character in font.glyphs.keys() {
                let steps = outlines(&character.to_string(), (0.0, 100.0), 100.0, bold);
                let moves = steps.iter().filter(|step| matches!(step, Step::Move(..))).count();
                let closes = steps.iter().filter(|step| **step == Step::Close).count();
                assert_eq!(moves, closes, "{character:?}");
                for step in steps {
                    if let Step::Move(x, y) | Step::Line(x, y) | Step::Curve([.., x, y]) = step {
                        assert!((-60.0..260.0).contains(&x) && (-20.0..140.0).contains(&y), "{character:?}: {x} {y}");
                    }
                }
            }
        }
        assert!(outlines(" ", (0.0, 0.0), 10.0, false).is_empty());
        assert_eq!(outlines("☃", (0.0, 0.0), 10.0, false), outlines("\0", (0.0, 0.0), 10.0, false));
    }
}
