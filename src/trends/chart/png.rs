//! A scene as PNG.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};

use super::font::{self, Step};
use super::scene::{Anchor, Colour, Place, Scene, Shape, Words};

pub(super) fn write(scene: &Scene, scale: u32) -> Vec<u8> {
    let mut canvas = Pixmap::new(scene.width * scale, scene.height * scale).expect("the size is within limits");
    canvas.fill(Color::from_rgba8(scene.paper[0], scene.paper[1], scene.paper[2], 255));
    let scale = px(f64::from(scale));
    let mut brush = Brush { canvas, transform: Transform::from_scale(scale, scale) };
    for shape in &scene.shapes {
        brush.paint(shape, scene.paper);
    }
    encode(&brush.canvas)
}

struct Brush {
    canvas: Pixmap,
    transform: Transform,
}

impl Brush {
    fn paint(&mut self, shape: &Shape, paper: Colour) {
        match shape {
            Shape::Lines { pieces, pen } => {
                let dash = pen.dashes.iter().map(|length| px(*length)).collect();
                let stroke = Stroke {
                    width: px(pen.width),
                    line_cap: if pen.round { LineCap::Round } else { LineCap::Butt },
                    line_join: LineJoin::Round,
                    dash: if pen.dashes.is_empty() { None } else { StrokeDash::new(dash, 0.0) },
                    ..Stroke::default()
                };
                if let Some(path) = lines(pieces, false) {
                    let paint = paint(pen.colour, pen.opacity);
                    self.canvas.stroke_path(&path, &paint, &stroke, self.transform, None);
                }
            }
            Shape::Area { edge, colour, opacity } => {
                if let Some(path) = lines(std::slice::from_ref(edge), true) {
                    self.fill(&path, *colour, *opacity);
                }
            }
            Shape::Dot { at: (x, y), radius, colour, hollow } => {
                let circle = |radius: f64| PathBuilder::from_circle(px(*x), px(*y), px(radius));
                // The rim is half outside, as in SVG.
                if let Some(outer) = circle(radius + 0.75) {
                    self.fill(&outer, *colour, 1.0);
                }
                if let (true, Some(inner)) = (hollow, circle(radius - 0.75)) {
                    self.fill(&inner, paper, 1.0);
                }
            }
            Shape::Words(words) => self.write(words),
        }
    }

    fn fill(&mut self, path: &Path, colour: Colour, opacity: f64) {
        self.canvas.fill_path(path, &paint(colour, opacity), FillRule::Winding, self.transform, None);
    }

    fn write(&mut self, Words { text, at: (x, y), size, bold, colour, anchor }: &Words) {
        let back = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => font::width(text, *size, *bold) / 2.0,
            Anchor::End => font::width(text, *size, *bold),
        };
        let mut path = PathBuilder::new();
        for step in font::outlines(text, (x - back, *y), *size, *bold) {
            match step {
                Step::Move(x, y) => path.move_to(px(x), px(y)),
                Step::Line(x, y) => path.line_to(px(x), px(y)),
                Step::Curve(points) => {
                    let [x1, y1, x2, y2, x, y] = points.map(px);
                    path.cubic_to(x1, y1, x2, y2, x, y);
                }
                Step::Close => path.close(),
            }
        }
        if let Some(path) = path.finish() {
            self.fill(&path, *colour, 1.0);
        }
    }
}

fn paint(colour: Colour, opacity: f64) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let mut shade = Color::from_rgba8(colour[0], colour[1], colour[2], 255);
    shade.set_alpha(px(opacity));
    paint.set_color(shade);
    paint
}

fn lines(pieces: &[Vec<Place>], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for piece in pieces {
        for (number, (x, y)) in piece.iter().enumerate() {
            if number == 0 {
                path.move_to(px(*x), px(*y));
            } else {
                path.line_to(px(*x), px(*y));
            }
        }
        if closed {
            path.close();
        }
    }
    path.finish()
}

#[expect(clippy::cast_possible_truncation, reason = "places on a canvas of a few thousand pixels")]
fn px(length: f64) -> f32 {
    length as f32
}

/// The file: colours of eight bits, no transparency, rows as differences from the one above (PNG's filter 2).
fn encode(canvas: &Pixmap) -> Vec<u8> {
    let row = canvas.width() as usize * 3;
    let mut above = vec![0; row];
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for pixels in canvas.data().chunks_exact(canvas.width() as usize * 4) {
        let colours: Vec<u8> = pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        let differences: Vec<u8> = colours.iter().zip(&above).map(|(here, above)| here.wrapping_sub(*above)).collect();
        packed.write_all(&[2]).and_then(|()| packed.write_all(&differences)).expect("a vector takes everything");
        above = colours;
    }
    let packed = packed.finish().expect("a vector takes everything");
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(canvas.width().to_be_bytes());
    header.extend(canvas.height().to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &packed);
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
    let length = u32::try_from(content.len()).expect("a canvas within limits");
    file.extend(length.to_be_bytes());
    let mut sum = Crc::new();
    sum.update(&name);
    sum.update(content);
    file.extend(name);
    file.extend(content);
    file.extend(sum.sum().to_be_bytes());
}
