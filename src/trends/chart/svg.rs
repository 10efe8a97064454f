//! A scene as SVG: one file, no script, no font of its own.

use std::fmt::Write;

use super::scene::{Anchor, Colour, Place, Scene, Shape, Words};

/// Names of fonts, the bundled one first: readers who have it see what the PNG shows.
const FONTS: &str = "Inter, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif";

pub(super) fn write(scene: &Scene) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let (width, height) = (scene.width, scene.height);
    let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a string takes everything");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\" role=\"img\" aria-labelledby=\"title description\">\n"
    ));
    put(format_args!("<title id=\"title\">{}</title>\n", escaped(&scene.title)));
    put(format_args!("<desc id=\"description\">{}</desc>\n", escaped(&scene.description)));
    put(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n", hex(scene.paper)));
    for shape in &scene.shapes {
        match shape {
            Shape::Lines { pieces, pen } => {
                let path: String = pieces.iter().map(|piece| path(piece)).collect();
                put(format_args!(
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"",
                    hex(pen.colour),
                    pen.width
                ));
                if pen.opacity < 1.0 {
                    put(format_args!(" stroke-opacity=\"{}\"", pen.opacity));
                }
                if !pen.dashes.is_empty() {
                    let dashes: Vec<String> = pen.dashes.iter().map(ToString::to_string).collect();
                    put(format_args!(" stroke-dasharray=\"{}\"", dashes.join(" ")));
                }
                let cap = if pen.round { "round" } else { "butt" };
                put(format_args!(" stroke-linejoin=\"round\" stroke-linecap=\"{cap}\"/>\n"));
            }
            Shape::Area { edge, colour, opacity } => put(format_args!(
                "<path d=\"{}Z\" fill=\"{}\" fill-opacity=\"{opacity}\"/>\n",
                path(edge),
                hex(*colour)
            )),
            Shape::Dot { at: (x, y), radius, colour, hollow } => put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.5\"/>\n",
                hex(if *hollow { scene.paper } else { *colour }),
                hex(*colour)
            )),
            Shape::Words(words) => put(format_args!("{}", text(words))),
        }
    }
    out.push_str("</svg>\n");
    out
}

fn path(places: &[Place]) -> String {
    let mut path = String::with_capacity(places.len() * 12);
    for (number, (x, y)) in places.iter().enumerate() {
        let step = if number == 0 { 'M' } else { 'L' };
        write!(path, "{step}{x:.1} {y:.1}").expect("a string takes everything");
    }
    path
}

fn text(Words { text, at: (x, y), size, bold, colour, anchor }: &Words) -> String {
    let anchor = match anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let weight = if *bold { " font-weight=\"600\"" } else { "" };
    let (colour, text) = (hex(*colour), escaped(text));
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"{weight}{anchor} fill=\"{colour}\">{text}</text>\n")
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A name may hold anything; what XML cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
