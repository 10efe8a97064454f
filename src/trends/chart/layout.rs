//! Where everything of a chart goes.

use super::facts::{Facts, Group, Series, grouped};
use super::font::{fitted, width};
use super::geometry::{count, hatching, last, percent, runs, spread, steps, whole};
use super::scene::{Anchor, Colour, Palette, Paper, Pen, Place, Scene, Shape, Words};
use super::time::{span, ticks};

/// Around everything.
const MARGIN: f64 = 40.0;
/// Panels of more groups than these would be a wall.
pub(super) const PANELS: usize = 6;
/// Dashes of the emotions that take a colour again.
const DASHES: [&[f64]; 4] = [&[], &[8.0, 3.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];
/// Fewer posts than these have an interval that would flatten everything else.
const FEW: u64 = 10;
/// More points than these are drawn finely, and no longer one by one.
const MANY: usize = 120;
const SINGLY: usize = 45;

pub(super) struct Layout<'a> {
    pub(super) facts: &'a Facts,
    palette: &'static Palette,
    size: (u32, u32),
    /// Emotions by rank; the first so many are in colour.
    ranked: Vec<usize>,
    pub(super) chosen: usize,
    shapes: Vec<Shape>,
}

/// A part of the drawing with axes of its own.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// The value at its top.
    ceiling: f64,
}

impl Frame {
    fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.ceiling * (self.bottom - self.top)
    }
}

impl<'a> Layout<'a> {
    pub(super) fn new(facts: &'a Facts, paper: Paper, wide: u32, high: u32) -> Self {
        let (ranked, chosen) = (facts.ranked(), facts.chosen());
        Self { facts, palette: paper.palette(), size: (wide, high), ranked, chosen, shapes: Vec::new() }
    }

    pub(super) fn draw(mut self) -> Scene {
        let facts = self.facts;
        let (wide, high) = (f64::from(self.size.0), f64::from(self.size.1));
        let right = wide - MARGIN;
        let range = match (facts.periods.first(), facts.periods.last()) {
            (Some(first), Some(last)) => span(first.start.clock, last.end.clock),
            _ => span(facts.asked.from.clock, facts.asked.to.clock),
        };
        let title = format!("How emotions moved, {range}");
        let subtitle = self.subtitle();
        self.words(&title, (MARGIN, 58.0), 26.0, true, self.palette.ink, right - MARGIN);
        self.words(&subtitle, (MARGIN, 84.0), 15.0, false, self.palette.quiet, right - MARGIN);
        let below = high - 58.0;
        if facts.labelled() == 0 || self.chosen == 0 {
            self.words("No labelled posts.", (MARGIN, 150.0), 18.0, false, self.palette.ink, right - MARGIN);
        } else if facts.periods.len() == 1 && facts.groups.len() == 1 {
            self.ranking(&facts.groups[0], 112.0, below);
        } else if facts.groups.len() == 1 {
            self.alone(&facts.groups[0], 118.0, below);
        } else {
            self.side_by_side(104.0, below);
        }
        let (legend, source) = self.notes();
        self.words(&legend, (MARGIN, high - 38.0), 13.0, false, self.palette.quiet, right - MARGIN);
        self.words(&source, (MARGIN, high - 19.0), 13.0, false, self.palette.quiet, right - MARGIN);
        Scene {
            width: self.size.0,
            height: self.size.1,
            paper: self.palette.paper,
            description: format!("{subtitle} {}", self.description()),
            title,
            shapes: self.shapes,
        }
    }

    pub(super) fn emotion(&self, rank: usize) -> &'a str {
        &self.facts.emotions[self.ranked[rank]]
    }

    fn colour(&self, rank: usize) -> Colour {
        self.palette.lines[rank % self.palette.lines.len()]
    }

    fn word_colour(&self, rank: usize) -> Colour {
        self.palette.words[rank % self.palette.words.len()]
    }

    fn words(&mut self, text: &str, at: Place, size: f64, bold: bool, colour: Colour, room: f64) {
        let text = fitted(text, size, bold, room);
        self.shapes.push(Shape::Words(Words { text, at, size, bold, colour, anchor: Anchor::Start }));
    }

    fn tick(&mut self, text: String, at: Place, anchor: Anchor) {
        let (size, bold, colour) = (13.0, false, self.palette.quiet);
        self.shapes.push(Shape::Words(Words { text, at, size, bold, colour, anchor }));
    }

    fn line(&mut self, from: Place, to: Place, colour: Colour) {
        self.shapes.push(Shape::Lines { pieces: vec![vec![from, to]], pen: Pen::solid(colour, 1.0) });
    }

    /// The highest value that must be seen.
    fn top(&self, groups: &[Group]) -> f64 {
        let mut top: f64 = 0.0;
        for (group, rank) in groups.iter().flat_map(|group| (0..self.chosen).map(move |rank| (group, rank))) {
            let Some(series) = group.series(self.emotion(rank)) else { continue };
            for (at, labelled) in group.labelled.iter().enumerate() {
                let value = if *labelled < FEW { series.share[at] } else { series.high[at] };
                top = top.max(value.unwrap_or(0.0));
            }
        }
        if top > 0.0 { top } else { 1.0 }
    }

    /// One chart, its lines named at their ends.
    fn alone(&mut self, group: &'a Group, top: f64, bottom: f64) {
        let ends: Vec<(usize, usize, f64)> = (0..self.chosen)
            .filter_map(|rank| {
                let shares = &group.series(self.emotion(rank))?.share;
                let at = shares.iter().rposition(Option::is_some)?;
                Some((rank, at, shares[at]?))
            })
            .collect();
        let wide = f64::from(self.size.0);
        let room = ends.iter().map(|(rank, _, share)| {
            width(self.emotion(*rank), 15.0, true) + width(&percent(*share, 1), 15.0, false) + 7.0
        });
        let room = room.fold(0.0, f64::max).min(wide * 0.3) * 1.06 + 18.0;
        let marks = steps(self.top(&self.facts.groups), 5);
        let frame = Frame {
            left: MARGIN + 46.0,
            right: wide - MARGIN - room,
            top,
            bottom: bottom - 26.0,
            ceiling: last(&marks),
        };
        self.panel(group, &frame, &marks);
        let x = self.places(&frame);
        let mut heights: Vec<(f64, usize)> =
            ends.iter().enumerate().map(|(end, (_, _, share))| (frame.y(*share), end)).collect();
        spread(&mut heights, 19.0, frame.top, frame.bottom);
        for (y, end) in heights {
            let (rank, at, share) = ends[end];
            let (name, said) = (self.emotion(rank), percent(share, 1));
            let pen = Pen { opacity: 0.55, ..Pen::solid(self.colour(rank), 1.0) };
            let leader = vec![(x[at] + 5.0, frame.y(share)), (frame.right + 10.0, y)];
            self.shapes.push(Shape::Lines { pieces: vec![leader], pen });
            let (left, colour) = (frame.right + 14.0, self.word_colour(rank));
            let name = fitted(name, 15.0, true, room - 18.0 - width(&said, 15.0, false) - 7.0);
            // Fonts that stand in for ours may be wider.
            let after = left + width(&name, 15.0, true) * 1.06 + 6.0;
            self.words(&name, (left, y + 5.0), 15.0, true, colour, f64::INFINITY);
            self.words(&said, (after, y + 5.0), 15.0, false, colour, f64::INFINITY);
        }
    }

    /// A panel for each group, all on one scale.
    fn side_by_side(&mut self, top: f64, bottom: f64) {
        let groups = &self.facts.groups[..self.facts.groups.len().min(PANELS)];
        let (wide, gap) = (f64::from(self.size.0) - 2.0 * MARGIN, 34.0);
        let mut left = MARGIN;
        for rank in 0..self.chosen {
            let (name, colour) = (self.emotion(rank), self.colour(rank));
            let pen = Pen { dashes: dashes(rank), ..Pen::solid(colour, 3.0) };
            self.shapes.push(Shape::Lines { pieces: vec![vec![(left, top + 9.0), (left + 22.0, top + 9.0)]], pen });
            self.words(name, (left + 29.0, top + 14.0), 14.0, true, self.word_colour(rank), 160.0);
            left += 29.0 + width(name, 14.0, true).min(160.0) * 1.06 + 20.0;
        }
        let columns = groups.len().min(3);
        let rows = groups.len().div_ceil(columns);
        let each = (wide - gap * count(columns - 1)) / count(columns);
        let tall = (bottom - top - 30.0) / count(rows);
        let marks = steps(self.top(groups), if tall > 260.0 { 5 } else { 3 });
        for (number, group) in groups.iter().enumerate() {
            let left = MARGIN + (each + gap) * count(number % columns);
            let up = top + 30.0 + tall * count(number / columns);
            let posts = format!("{} posts", grouped(group.labelled.iter().sum()));
            let name = fitted(&group.name(), 15.0, true, each - width(&posts, 13.0, false) - 12.0);
            let after = left + width(&name, 15.0, true) * 1.06 + 8.0;
            self.words(&name, (left, up + 16.0), 15.0, true, self.palette.ink, f64::INFINITY);
            self.words(&posts, (after, up + 16.0), 13.0, false, self.palette.quiet, f64::INFINITY);
            let frame = Frame {
                left: left + 42.0,
                right: left + each,
                top: up + 32.0,
                bottom: up + tall - 34.0,
                ceiling: last(&marks),
            };
            self.panel(group, &frame, &marks);
        }
    }

    /// Middles of the periods.
    fn places(&self, frame: &Frame) -> Vec<f64> {
        let middle = |(from, to): (f64, f64)| f64::midpoint(from, to);
        self.edges(frame).into_iter().map(middle).collect()
    }

    /// Begin and end of each period.
    fn edges(&self, frame: &Frame) -> Vec<(f64, f64)> {
        let periods = &self.facts.periods;
        let (Some(first), Some(end)) = (periods.first(), periods.last()) else { return Vec::new() };
        let unit = (frame.right - frame.left) / end.end.after(&first.start).max(1.0);
        let at = |moment: &super::time::Moment| frame.left + moment.after(&first.start) * unit;
        periods.iter().map(|period| (at(&period.start), at(&period.end))).collect()
    }

    fn panel(&mut self, group: &'a Group, frame: &Frame, marks: &[f64]) {
        self.axes(frame, marks);
        for rank in (self.chosen..self.ranked.len()).rev() {
            if let Some(series) = group.series(self.emotion(rank)) {
                self.context(series, frame);
            }
        }
        for rank in (0..self.chosen).rev() {
            if let Some(series) = group.series(self.emotion(rank)) {
                self.series(rank, series, frame);
            }
        }
    }

    fn axes(&mut self, frame: &Frame, marks: &[f64]) {
        let (facts, edges) = (self.facts, self.edges(frame));
        let hatch = Pen::solid(self.palette.hatch, 1.2);
        let hidden = edges.iter().zip(&facts.periods).filter(|(_, period)| !period.is_complete());
        let pieces: Vec<Vec<Place>> = hidden.flat_map(|(edge, _)| hatching(*edge, (frame.top, frame.bottom))).collect();
        if !pieces.is_empty() {
            self.shapes.push(Shape::Lines { pieces, pen: hatch });
        }
        let step = marks.get(1).copied().unwrap_or(1.0) * 100.0;
        let digits = usize::from((step - step.round()).abs() > 1e-6);
        for &mark in marks {
            let colour = if mark > 0.0 { self.palette.grid } else { self.palette.quiet };
            self.line((frame.left, frame.y(mark)), (frame.right, frame.y(mark)), colour);
            self.tick(percent(mark, digits), (frame.left - 9.0, frame.y(mark) + 4.5), Anchor::End);
        }
        let by = facts.asked.by.as_str();
        for tick in ticks(&facts.periods, by, whole((frame.right - frame.left) / 62.0)) {
            let (from, to) = edges[tick.period];
            let x = if by == "hour" { from } else { f64::midpoint(from, to) };
            self.line((x, frame.bottom), (x, frame.bottom + 5.0), self.palette.quiet);
            let half = width(&tick.label, 13.0, false) / 2.0;
            let end = if x + half > frame.right + 30.0 { Anchor::End } else { Anchor::Middle };
            self.tick(tick.label, (x, frame.bottom + 21.0), end);
        }
    }

    fn context(&mut self, series: &Series, frame: &Frame) {
        let x = self.places(frame);
        let pieces = runs(&series.share).into_iter().filter(|run| run.len() > 1);
        let at = |at: usize| (x[at], frame.y(series.share[at].unwrap_or(0.0)).max(frame.top));
        let pieces: Vec<Vec<Place>> = pieces.map(|run| run.into_iter().map(at).collect()).collect();
        self.shapes.push(Shape::Lines { pieces, pen: Pen::solid(self.palette.context, 1.1) });
    }

    fn series(&mut self, rank: usize, series: &Series, frame: &Frame) {
        let (facts, x, colour) = (self.facts, self.places(frame), self.colour(rank));
        let many = facts.periods.len() > MANY;
        let y = |values: &[Option<f64>], at: usize| frame.y(values[at].unwrap_or(0.0)).max(frame.top - 6.0);
        let (mut solid, mut loose) = (Vec::new(), Vec::new());
        for run in runs(&series.share) {
            let wide = if run.len() == 1 { 3.0 } else { 0.0 };
            let upper =
                run.iter().flat_map(|&at| [(x[at] - wide, y(&series.high, at)), (x[at] + wide, y(&series.high, at))]);
            let lower = run
                .iter()
                .rev()
                .flat_map(|&at| [(x[at] + wide, y(&series.low, at)), (x[at] - wide, y(&series.low, at))]);
            let mut edge: Vec<Place> = upper.chain(lower).collect();
            edge.dedup();
            self.shapes.push(Shape::Area { edge, colour, opacity: if many { 0.09 } else { 0.13 } });
            let complete = |at: &usize| facts.periods[*at].is_complete();
            for pair in run.windows(2) {
                let (one, other) = (pair[0], pair[1]);
                let (from, to) = ((x[one], y(&series.share, one)), (x[other], y(&series.share, other)));
                let pieces: &mut Vec<Vec<Place>> = if pair.iter().all(complete) { &mut solid } else { &mut loose };
                match pieces.last_mut() {
                    Some(piece) if piece.last() == Some(&from) => piece.push(to),
                    _ => pieces.push(vec![from, to]),
                }
            }
        }
        let pen = Pen { dashes: dashes(rank), ..Pen::solid(colour, if many { 1.6 } else { 2.4 }) };
        self.shapes.push(Shape::Lines { pieces: solid, pen });
        let dotted = Pen { dashes: &[0.1, 4.8], round: true, ..Pen::solid(colour, 2.4) };
        self.shapes.push(Shape::Lines { pieces: loose, pen: dotted });
        let singly = facts.periods.len() <= SINGLY;
        for run in runs(&series.share).into_iter().filter(|run| singly || run.len() == 1) {
            for at in run {
                let hollow = !facts.periods[at].is_complete();
                let radius = if singly { 2.6 } else { 1.8 };
                self.shapes.push(Shape::Dot { at: (x[at], y(&series.share, at)), radius, colour, hollow });
            }
        }
    }

    /// The emotions of the only period, the most frequent first.
    fn ranking(&mut self, group: &'a Group, top: f64, bottom: f64) {
        let mut rows: Vec<(f64, f64, f64, usize)> = (0..self.chosen)
            .filter_map(|rank| {
                let series = group.series(self.emotion(rank))?;
                Some((series.share[0]?, series.low[0]?, series.high[0]?, rank))
            })
            .collect();
        rows.sort_by(|one, other| other.0.total_cmp(&one.0));
        let names = rows.iter().map(|row| width(self.emotion(row.3), 14.0, true)).fold(0.0, f64::max).min(180.0);
        let marks = steps(self.top(&self.facts.groups), 5);
        let left = MARGIN + names * 1.06 + 14.0;
        let unit = (f64::from(self.size.0) - MARGIN - 70.0 - left) / last(&marks);
        let row = ((bottom - top - 30.0) / count(rows.len().max(1))).min(42.0);
        let base = top + row * count(rows.len());
        for &mark in &marks {
            let colour = if mark > 0.0 { self.palette.grid } else { self.palette.quiet };
            self.line((left + mark * unit, top), (left + mark * unit, base), colour);
            self.tick(percent(mark, 0), (left + mark * unit, base + 20.0), Anchor::Middle);
        }
        for (number, (share, low, high, rank)) in rows.into_iter().enumerate() {
            let (y, colour) = (top + row * (count(number) + 0.5), self.colour(rank));
            let text = fitted(self.emotion(rank), 14.0, true, 180.0);
            let (size, bold, ink, anchor) = (14.0, true, self.palette.ink, Anchor::End);
            let at = (left - 12.0, y + 5.0);
            self.shapes.push(Shape::Words(Words { text, at, size, bold, colour: ink, anchor }));
            let stem = Pen { opacity: 0.45, ..Pen::solid(colour, 2.0) };
            self.shapes.push(Shape::Lines { pieces: vec![vec![(left, y), (left + share * unit, y)]], pen: stem });
            let reach = Pen { opacity: 0.28, round: true, ..Pen::solid(colour, 10.0) };
            let ends = vec![(left + low * unit, y), (left + high * unit, y)];
            self.shapes.push(Shape::Lines { pieces: vec![ends], pen: reach });
            self.shapes.push(Shape::Dot { at: (left + share * unit, y), radius: 4.5, colour, hollow: false });
            let at = (left + high * unit + 14.0, y + 5.0);
            self.words(&percent(share, 1), at, 14.0, false, ink, f64::INFINITY);
        }
    }
}

fn dashes(rank: usize) -> &'static [f64] {
    DASHES[rank / 8 % DASHES.len()]
}
