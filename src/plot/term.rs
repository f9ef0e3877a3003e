//! Figures with characters, for terminals.
//!
//! Lines and points are dots of Braille characters, eight to a character; bars are shaded where
//! they are background, else solid to an eighth of a line. Series differ by their markers, since
//! colours do not survive a pipe.

use super::figure::{Bar, Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// Lines of a panel that is alone, and of one of several.
const ALONE: usize = 18;
const SMALL: usize = 8;
const WIDEST: usize = 120;
const NARROWEST: usize = 40;

/// Draws a figure in lines of at most `width` characters (but no fewer than 40).
#[must_use]
pub fn term(figure: &Figure, width: usize) -> String {
    let width = width.clamp(NARROWEST, WIDEST);
    let height = if figure.panels.len() == 1 { ALONE } else { SMALL };
    let mut lines = vec![figure.title.clone()];
    lines.extend(legend(figure, width));
    for panel in &figure.panels {
        lines.push(String::new());
        if !panel.title.is_empty() {
            lines.push(panel.title.clone());
        }
        lines.extend(drawn(panel, width, height));
    }
    lines.push(String::new());
    lines.extend(figure.caption.iter().flat_map(|line| wrapped(line, width)));
    let text: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    text.join("\n") + "\n"
}

/// Without what a terminal would take for a command.
fn plain(line: &str) -> String {
    line.trim_end().chars().filter(|c| !c.is_control()).collect()
}

fn legend(figure: &Figure, width: usize) -> Vec<String> {
    let entries = figure.legend().into_iter().map(|mark| format!("{} {}", sample(mark), mark.name));
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if length(line) + 3 + length(&entry) <= width => {
                line.push_str("   ");
                line.push_str(&entry);
            }
            _ => lines.push(entry),
        }
    }
    lines
}

fn sample(mark: &Mark) -> char {
    match &mark.shape {
        Shape::Bars(_) => shade(mark.ink),
        Shape::Line(_, Some(marker)) | Shape::Points(_, marker) => symbol(*marker),
        Shape::Line(_, None) => '⠒',
        Shape::Band(_) => '░',
        Shape::Text(..) => ' ',
    }
}

fn symbol(marker: Marker) -> char {
    match marker {
        Marker::Dot => '·',
        Marker::Circle => '●',
        Marker::Square => '■',
        Marker::Triangle => '▲',
        Marker::Diamond => '◆',
        Marker::Cross => 'x',
        Marker::Tip => '▼',
        Marker::Plus => '+',
        Marker::Ring => '○',
    }
}

fn shade(ink: Ink) -> char {
    if ink == Ink::Area { '░' } else { '█' }
}

/// A panel with its axes.
fn drawn(panel: &Panel, width: usize, height: usize) -> Vec<String> {
    let numbers = panel.y.numbers();
    let gutter = numbers.iter().map(|(_, text)| length(text)).max().unwrap_or(0);
    let mut grid = Grid::new(width.saturating_sub(gutter + 2).max(10), height);
    panel.marks.iter().for_each(|mark| grid.mark(mark, panel));
    let mut lines = vec![panel.y.label.clone()];
    for (index, row) in grid.rows().into_iter().enumerate() {
        let here = |tick: f64| row_of(&panel.y, tick, height) == Some(index);
        let number = numbers.iter().find(|(tick, _)| here(*tick));
        let (text, edge) = number.map_or(("", '│'), |(_, text)| (text.as_str(), '┤'));
        lines.push(format!("{}{text} {edge}{row}", " ".repeat(gutter - length(text))));
    }
    let indent = " ".repeat(gutter + 1);
    let (axis, below) = scale(&panel.x, grid.width);
    lines.push(format!("{indent}└{axis}"));
    lines.push(format!("{indent} {below}"));
    lines.push(format!("{indent} {:^1$}", panel.x.label, grid.width));
    lines
}

/// The x axis and the numbers below it.
fn scale(axis: &Axis, width: usize) -> (String, String) {
    let (mut line, mut below) = (vec!['─'; width], vec![' '; width]);
    let mut free = 0;
    for (tick, text) in axis.numbers() {
        let Some(at) = step(axis.place(tick), width) else { continue };
        let start = at.saturating_sub(length(&text) / 2);
        let end = start + length(&text);
        if start >= free && end <= width {
            line[at] = '┬';
            below[start..end].iter_mut().zip(text.chars()).for_each(|(cell, c)| *cell = c);
            free = end + 2;
        }
    }
    (line.into_iter().collect(), below.into_iter().collect())
}

/// Which of `count` steps a place between 0 and 1 falls on.
fn step(place: f64, count: usize) -> Option<usize> {
    let steps = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let at = (place * steps).floor().min(steps - 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (-1e-9..=1.0 + 1e-9).contains(&place).then_some(at.max(0.0) as usize)
}

/// The row from the top in which a value lies.
fn row_of(axis: &Axis, value: f64, height: usize) -> Option<usize> {
    step(axis.place(value), height).map(|row| height - 1 - row)
}

/// Characters, and dots in between.
struct Grid {
    width: usize,
    height: usize,
    cells: Vec<char>,
    /// Bits of Braille.
    dots: Vec<u8>,
    /// What lies above the dots.
    over: Vec<Option<char>>,
}

impl Grid {
    fn new(width: usize, height: usize) -> Self {
        let size = width * height;
        Self { width, height, cells: vec![' '; size], dots: vec![0; size], over: vec![None; size] }
    }

    fn rows(&self) -> Vec<String> {
        let cell = |index: usize| match (self.over[index], self.dots[index]) {
            (Some(over), _) => over,
            (None, 0) => self.cells[index],
            (None, dots) => char::from_u32(0x2800 + u32::from(dots)).unwrap_or('·'),
        };
        let row = |row: usize| (row * self.width..(row + 1) * self.width).map(cell).collect();
        (0..self.height).map(row).collect()
    }

    fn mark(&mut self, mark: &Mark, panel: &Panel) {
        match &mark.shape {
            Shape::Bars(bars) => bars.iter().for_each(|bar| self.bar(bar, mark.ink, panel)),
            Shape::Line(points, marker) => {
                points.windows(2).for_each(|pair| self.line(pair[0], pair[1], panel));
                if let Some(marker) = marker {
                    points.iter().for_each(|point| self.point(*point, *marker, panel));
                }
            }
            // Characters cannot lie over each other: of several bands none would be seen.
            Shape::Band(_) => {}
            Shape::Points(points, marker) => {
                points.iter().for_each(|point| self.point(*point, *marker, panel));
            }
            Shape::Text(at, text) => {
                let column = step(panel.x.place(at.0), self.width);
                if let (Some(row), Some(column)) = (row_of(&panel.y, at.1, self.height), column) {
                    let end = column + 1;
                    let start = end.min(self.width.saturating_sub(length(text)));
                    self.write(text, row.saturating_sub(1), start);
                }
            }
        }
    }

    fn bar(&mut self, bar: &Bar, ink: Ink, panel: &Panel) {
        let ends = (panel.x.place(bar.from), panel.x.place(bar.to));
        let (Some(from), Some(to)) = (step(ends.0, self.width), step(ends.1, self.width)) else {
            return;
        };
        // Neighbours do not share a column, and no bar is without one.
        let to = if ends.1 < 1.0 { to.max(from + 1) } else { self.width };
        let eighths = panel.y.place(bar.height).clamp(0.0, 1.0) * 8.0;
        for column in from..to {
            for row in 0..self.height {
                let below = f64::from(u32::try_from(self.height - 1 - row).unwrap_or(0)) * 8.0;
                let filled = eighths * f64::from(u32::try_from(self.height).unwrap_or(0)) - below;
                let cell = &mut self.cells[row * self.width + column];
                *cell = higher(*cell, block(filled, ink));
            }
        }
        if panel.y.place(bar.height) > 1.0 {
            self.write(&format!("up to {}", super::scale::number(bar.height, 1)), 0, to + 1);
        }
        if let Some(label) = bar.labels.iter().find(|label| length(label) + 2 <= to - from) {
            self.write(label, self.height - 1, from + (to - from - length(label)) / 2);
        }
    }

    fn line(&mut self, from: Point, to: Point, panel: &Panel) {
        let place = |point: Point| (panel.x.place(point.0), panel.y.place(point.1));
        let ((x0, y0), (x1, y1)) = (place(from), place(to));
        let many = u32::try_from(4 * (self.width + self.height)).unwrap_or(1);
        for n in 0..=many {
            let share = f64::from(n) / f64::from(many);
            self.dot(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share);
        }
    }

    fn point(&mut self, point: Point, marker: Marker, panel: &Panel) {
        let (x, y) = (panel.x.place(point.0), panel.y.place(point.1));
        if marker == Marker::Dot {
            self.dot(x, y);
        } else if let (Some(column), Some(row)) = (step(x, self.width), step(y, self.height)) {
            self.over[(self.height - 1 - row) * self.width + column] = Some(symbol(marker));
        }
    }

    fn dot(&mut self, x: f64, y: f64) {
        let (Some(x), Some(y)) = (step(x, self.width * 2), step(y, self.height * 4)) else {
            return;
        };
        let y = self.height * 4 - 1 - y;
        let bit = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]][y % 4][x % 2];
        self.dots[y / 4 * self.width + x / 2] |= bit;
    }

    fn write(&mut self, text: &str, row: usize, start: usize) {
        for (column, c) in (start..self.width).zip(text.chars()) {
            self.over[row * self.width + column] = Some(c);
        }
    }
}

/// A character filled from below by so many eighths.
fn block(eighths: f64, ink: Ink) -> char {
    match eighths {
        filled if filled < 0.5 => ' ',
        // There are no eighths of shades.
        filled if ink == Ink::Area => {
            if filled < 4.0 {
                ' '
            } else {
                '░'
            }
        }
        filled => {
            let blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
            let index = blocks.iter().zip(1_u8..).find(|(_, n)| filled < f64::from(*n) + 0.5);
            index.map_or('█', |(block, _)| *block)
        }
    }
}

/// The higher of two blocks, where two bars share a column.
fn higher(a: char, b: char) -> char {
    if a == ' ' || (b != ' ' && b > a) { b } else { a }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
