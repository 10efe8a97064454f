//! Shapes of a drawing, in the order in which they are painted, and the colours they have.

/// What a chart is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paper {
    /// For most pages, and for print.
    Light,
    /// For dark ones.
    Dark,
}

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// Colours of a drawing: those of the report page, `report/page.css`.
pub(super) struct Palette {
    pub(super) paper: Colour,
    pub(super) ink: Colour,
    pub(super) quiet: Colour,
    pub(super) grid: Colour,
    pub(super) context: Colour,
    pub(super) hatch: Colour,
    /// Eight that differ for colour-blind readers too.
    pub(super) lines: [Colour; 8],
    /// The same for words.
    pub(super) words: [Colour; 8],
}

const LIGHT: Palette = Palette {
    paper: [0xfc, 0xfb, 0xf8],
    ink: [0x1d, 0x1c, 0x1a],
    quiet: [0x62, 0x5e, 0x57],
    grid: [0xe9, 0xe6, 0xde],
    context: [0xcf, 0xca, 0xc0],
    hatch: [0xcd, 0xc7, 0xba],
    lines: [
        [0x30, 0x3d, 0x8f],
        [0xf1, 0x5d, 0x82],
        [0x39, 0x7f, 0x14],
        [0x9c, 0x56, 0xb2],
        [0x6c, 0x38, 0x01],
        [0x7f, 0x68, 0xf3],
        [0x0f, 0xa1, 0xa6],
        [0x8c, 0x96, 0x12],
    ],
    words: [
        [0x30, 0x3d, 0x8f],
        [0xc4, 0x33, 0x5a],
        [0x39, 0x7f, 0x14],
        [0x93, 0x4d, 0xa9],
        [0x6c, 0x38, 0x01],
        [0x6d, 0x53, 0xde],
        [0x00, 0x7a, 0x80],
        [0x69, 0x72, 0x00],
    ],
};

const DARK: Palette = Palette {
    paper: [0x17, 0x18, 0x1b],
    ink: [0xec, 0xeb, 0xe7],
    quiet: [0xa8, 0xa6, 0xa0],
    grid: [0x29, 0x2b, 0x2f],
    context: [0x48, 0x4a, 0x50],
    hatch: [0x4a, 0x4c, 0x52],
    lines: [
        [0x60, 0x7f, 0xff],
        [0xea, 0x53, 0x00],
        [0xa2, 0xed, 0xc3],
        [0xb2, 0x75, 0xa1],
        [0xf4, 0xad, 0x33],
        [0xb8, 0xad, 0xfb],
        [0x3d, 0xc4, 0xa4],
        [0xf8, 0xe4, 0x57],
    ],
    words: [
        [0x7f, 0x98, 0xff],
        [0xf5, 0x70, 0x2a],
        [0xa2, 0xed, 0xc3],
        [0xc3, 0x89, 0xb3],
        [0xf4, 0xad, 0x33],
        [0xb8, 0xad, 0xfb],
        [0x3d, 0xc4, 0xa4],
        [0xf8, 0xe4, 0x57],
    ],
};

impl Paper {
    pub(super) fn palette(self) -> &'static Palette {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

/// A place: right of the left edge, below the upper one.
pub(super) type Place = (f64, f64);

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    pub(super) colour: Colour,
    pub(super) width: f64,
    pub(super) opacity: f64,
    /// Lengths of dashes and gaps; none for a solid line.
    pub(super) dashes: &'static [f64],
    /// Round ends: dashes of no length become dots.
    pub(super) round: bool,
}

impl Pen {
    pub(super) fn solid(colour: Colour, width: f64) -> Self {
        Self { colour, width, opacity: 1.0, dashes: &[], round: false }
    }
}

/// Which end of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Some words on one line.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) at: Place,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: Colour,
    pub(super) anchor: Anchor,
}

/// One thing that is painted.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Lines through places; several pieces with gaps between them.
    Lines { pieces: Vec<Vec<Place>>, pen: Pen },
    /// What a closed line surrounds.
    Area { edge: Vec<Place>, colour: Colour, opacity: f64 },
    /// A filled circle, or one of the paper's colour with a rim.
    Dot { at: Place, radius: f64, colour: Colour, hollow: bool },
    /// A text.
    Words(Words),
}

/// A drawing.
pub(super) struct Scene {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) paper: Colour,
    /// What it shows, for those who do not see it.
    pub(super) title: String,
    pub(super) description: String,
    pub(super) shapes: Vec<Shape>,
}
