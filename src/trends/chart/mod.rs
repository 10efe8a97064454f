//! The chart of an answer: `--svg`, and `--png` from the same shapes.
//!
//! ```text
//! answer's JSON ─► facts ─► layout ─► shapes ─► svg
//!                                            └► png
//! ```
//!
//! Pixels are drawn with `tiny-skia`, letters from outlines in `fonts/`: an SVG renderer with text would do both, for
//! a hundred seconds of build instead of seven. The colours, and which emotion has which, are those of the report page.

mod captions;
mod facts;
mod font;
mod geometry;
mod layout;
mod png;
mod scene;
mod svg;
mod time;

use facts::Facts;
use layout::Layout;

pub(crate) use scene::Paper;

/// How a chart is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawing {
    /// What it is drawn on.
    pub(crate) paper: Paper,
    /// In units of SVG; a PNG has twice as many pixels, for screens that show them.
    pub(crate) width: u32,
    /// Likewise.
    pub(crate) height: u32,
}

impl Default for Drawing {
    fn default() -> Self {
        Self { paper: Paper::Light, width: 1200, height: 675 }
    }
}

/// Sizes between which a chart can be read.
const WIDTHS: std::ops::RangeInclusive<u32> = 480..=4000;
const HEIGHTS: std::ops::RangeInclusive<u32> = 320..=4000;
/// Pixels of a PNG for each unit of the drawing.
const SCALE: u32 = 2;

impl Drawing {
    /// Of these limits the nearest.
    fn size(self) -> (u32, u32) {
        (self.width.clamp(*WIDTHS.start(), *WIDTHS.end()), self.height.clamp(*HEIGHTS.start(), *HEIGHTS.end()))
    }
}

/// The chart as SVG, of the answer's JSON text.
///
/// # Errors
/// When the text is not an answer.
pub(crate) fn svg(answer_json: &str, drawing: Drawing) -> Result<String, serde_json::Error> {
    let facts = Facts::read(answer_json)?;
    let (width, height) = drawing.size();
    let scene = Layout::new(&facts, drawing.paper, width, height).draw();
    Ok(svg::write(&scene))
}

/// The chart as PNG, of the answer's JSON text.
///
/// # Errors
/// When the text is not an answer.
pub(crate) fn png(answer_json: &str, drawing: Drawing) -> Result<Vec<u8>, serde_json::Error> {
    let facts = Facts::read(answer_json)?;
    let (width, height) = drawing.size();
    let scene = Layout::new(&facts, drawing.paper, width, height).draw();
    Ok(png::write(&scene, SCALE))
}

#[cfg(test)]
mod tests;
