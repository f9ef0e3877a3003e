//! Where things go on a page. All sizes in pixels.

use super::figure::{Figure, Panel};
use super::scale::Axis;

/// Width of a page.
pub(super) const WIDTH: f64 = 960.0;
/// Between the edge of the page and anything.
pub(super) const MARGIN: f64 = 24.0;
/// Between panels.
const GAP: f64 = 22.0;
/// Height of the marks of a panel that is alone on its page.
const ALONE: f64 = 400.0;
/// Height of the marks of one of several panels.
const SMALL: f64 = 130.0;
/// The same where they stand beside each other, in one row or in several.
const BESIDE: [f64; 2] = [300.0, 170.0];

/// Sizes of texts.
pub(super) const TITLE: f64 = 19.0;
pub(super) const LABEL: f64 = 14.0;
pub(super) const TICK: f64 = 13.0;
pub(super) const CAPTION: f64 = 12.0;

/// Length of the sample beside a name in the legend.
pub(super) const SAMPLE: f64 = 22.0;

/// A rectangle: left, top, right, bottom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// Where a value of the x axis lies.
    pub(super) fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    /// Where a value of the y axis lies.
    pub(super) fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    pub(super) height: f64,
    /// Where the title begins, at its top.
    pub(super) title: (f64, f64),
    /// Left and middle of each entry of the legend.
    pub(super) legend: Vec<(f64, f64)>,
    /// Where marks are drawn, panel by panel.
    pub(super) panels: Vec<Frame>,
    /// The caption, broken into lines, each with its left and top.
    pub(super) caption: Vec<(f64, f64, String)>,
}

/// Lays a figure out.
pub(super) fn page(figure: &Figure) -> Page {
    let mut y = MARGIN;
    let title = (MARGIN, y);
    y += TITLE + 14.0;
    let legend = legend(figure, &mut y);
    let panels = panels(figure, &mut y);
    y += 12.0;
    let mut caption = Vec::new();
    for line in figure.caption.iter().flat_map(|line| wrapped(line, WIDTH - 2.0 * MARGIN, CAPTION))
    {
        caption.push((MARGIN, y, line));
        y += CAPTION + 5.0;
    }
    Page { height: (y + MARGIN - 8.0).ceil(), title, legend, panels, caption }
}

fn legend(figure: &Figure, y: &mut f64) -> Vec<(f64, f64)> {
    let (mut x, mut places) = (MARGIN, Vec::new());
    let entries = figure.legend();
    if entries.is_empty() {
        return places;
    }
    for mark in entries {
        let width = SAMPLE + 7.0 + text_width(&mark.name, LABEL);
        if x > MARGIN && x + width > WIDTH - MARGIN {
            x = MARGIN;
            *y += LABEL + 8.0;
        }
        places.push((x, *y + LABEL / 2.0));
        x += width + 24.0;
    }
    *y += LABEL + 14.0;
    places
}

fn panels(figure: &Figure, y: &mut f64) -> Vec<Frame> {
    let columns = figure.columns.max(1);
    let height = match (figure.panels.len(), columns) {
        (1, _) => ALONE,
        (_, 1) => SMALL,
        _ => BESIDE[usize::from(figure.rows() > 1)],
    };
    let numbers = figure.panels.iter().map(|panel| numbers_width(&panel.y)).fold(0.0, f64::max);
    // The label of the y axis stands before the first column only.
    let label = LABEL + 12.0;
    let share = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let left = MARGIN + label;
    let cell = (WIDTH - MARGIN - left + GAP) / share(columns) - GAP;
    let mut frames = Vec::new();
    for row in figure.panels.chunks(columns) {
        if row.iter().any(|panel| !panel.title.is_empty()) {
            *y += LABEL + 8.0;
        }
        for (column, _) in row.iter().enumerate() {
            let left = left + share(column) * (cell + GAP) + numbers + 8.0;
            let right = left + cell - numbers - 8.0;
            frames.push(Frame { left, top: *y, right, bottom: *y + height });
        }
        *y += height + TICK + 10.0;
        if row.len() < columns || frames.len() == figure.panels.len() {
            *y += LABEL + 8.0;
        } else {
            *y += 8.0;
        }
    }
    frames
}

/// Whether a panel is the lowest of its column, where the label of the x axis stands.
pub(super) fn is_lowest(figure: &Figure, index: usize) -> bool {
    index + figure.columns.max(1) >= figure.panels.len()
}

/// Whether a panel is in the first column, where the label of the y axis stands.
pub(super) fn is_first(figure: &Figure, index: usize) -> bool {
    index.is_multiple_of(figure.columns.max(1))
}

fn numbers_width(axis: &Axis) -> f64 {
    axis.numbers().iter().map(|(_, text)| text_width(text, TICK)).fold(0.0, f64::max)
}

/// The numbers of the x axis of a panel that have room beside each other.
pub(super) fn spaced(panel: &Panel, frame: &Frame) -> Vec<(f64, String)> {
    let mut free = f64::NEG_INFINITY;
    let mut kept = Vec::new();
    for (tick, text) in panel.x.numbers() {
        let middle = frame.x(&panel.x, tick);
        let half = text_width(&text, TICK) / 2.0;
        if middle - half > free {
            free = middle + half + 8.0;
            kept.push((tick, text));
        }
    }
    kept
}

/// How wide a text is, about: SVG text is laid out by whoever shows it, with fonts not known here.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '(' | ')'
        | '[' => 0.3,
        'f' | 't' | 'r' | ']' | '-' | '/' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.9,
        c if c.is_uppercase() => 0.68,
        c if c.is_ascii() => 0.58,
        c if u32::from(c) < 0x2E80 => 0.62,
        _ => 1.0,
    };
    text.chars().map(width).sum::<f64>() * size
}

/// A text as SVG holds it.
pub(super) fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without what XML cannot hold.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')).collect()
}

/// A text in lines that are not wider than `width`.
pub(super) fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if text_width(line, size) + text_width(word, size) + size < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_captions_are_wrapped_and_nothing_is_lost() {
        let text = "a caption that goes on and on ".repeat(20);
        let lines = wrapped(&text, 300.0, CAPTION);
        assert!(lines.len() > 5);
        assert_eq!(lines.join(" "), text);
        assert!(lines.iter().all(|line| text_width(line, CAPTION) < 300.0));
    }
}
