//! The bundled font: how wide words are, and their outlines.
//!
//! Inter, Regular and `SemiBold`, cut down to Latin, Greek and Cyrillic; its licence is `fonts/OFL.txt`. A character
//! that it lacks is drawn as an empty box.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

static REGULAR: LazyLock<Face<'static>> = LazyLock::new(|| parse(include_bytes!("fonts/Inter-Regular.otf")));
static BOLD: LazyLock<Face<'static>> = LazyLock::new(|| parse(include_bytes!("fonts/Inter-SemiBold.otf")));

fn parse(file: &'static [u8]) -> Face<'static> {
    Face::parse(file, 0).expect("the bundled font is whole")
}

fn face(bold: bool) -> &'static Face<'static> {
    if bold { &BOLD } else { &REGULAR }
}

fn advance(face: &Face<'_>, glyph: GlyphId) -> f64 {
    f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) / f64::from(face.units_per_em())
}

/// The width of a text on one line.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let face = face(bold);
    text.chars().map(|character| advance(face, face.glyph_index(character).unwrap_or_default()) * size).sum()
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

/// Gives the outline of each glyph of a text that begins at the origin, with what one unit of the font measures and
/// how far right of the origin the glyph begins.
pub(super) fn outlines<B: OutlineBuilder>(
    text: &str,
    size: f64,
    bold: bool,
    mut builder: impl FnMut(f64, f64) -> B,
    mut done: impl FnMut(B),
) {
    let face = face(bold);
    let unit = size / f64::from(face.units_per_em());
    let mut right = 0.0;
    for character in text.chars() {
        let glyph = face.glyph_index(character).unwrap_or_default();
        let mut outline = builder(unit, right);
        // Nothing to draw for a space.
        let _ = face.outline_glyph(glyph, &mut outline);
        done(outline);
        right += advance(face, glyph) * size;
    }
}
