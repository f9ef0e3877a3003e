//! Sheets of small pictures: clean images, what was added to them, and what came of it, as in
//! Figures 4 and 5 of Kurakin, Goodfellow and Bengio 2017. Pixels stay pixels, however large.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::layout::{CAPTION, LABEL, MARGIN, TITLE, WIDTH, escaped, text_width, wrapped};
use super::png::{Raster, encode, with_rasters};
use super::theme::Rgb;
use super::{Figure, PlotError, Theme};

/// A picture and what is written under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// side x side pixels of red, green and blue, row after row.
    pub rgb: Vec<u8>,
    /// Its side.
    pub side: u32,
    /// Lines under it.
    pub lines: Vec<String>,
    /// Whether the first line is to be seen: a wrong answer.
    pub marked: bool,
}

/// A row of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Written before it.
    pub label: String,
    /// One a column; `None` leaves room.
    pub pictures: Vec<Option<Picture>>,
}

/// Channel after channel as red, green and blue, pixel after pixel; grey images three times.
#[must_use]
pub fn interleaved(pixels: &[u8], channels: usize) -> Vec<u8> {
    let plane = pixels.len() / channels.max(1);
    let value = |pixel: usize, color: usize| {
        let channel = if channels >= 3 { color } else { 0 };
        pixels.get(channel * plane + pixel).copied().unwrap_or(0)
    };
    (0..plane).flat_map(|pixel| [0, 1, 2].map(|color| value(pixel, color))).collect()
}

/// An image, channel after channel, as PNG.
///
/// # Errors
/// [`PlotError::Picture`] if it has another number of values than its side says.
pub fn picture(pixels: &[u8], channels: usize, side: u32) -> Result<Vec<u8>, PlotError> {
    encode(&interleaved(pixels, channels), side)
}

/// A sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// What it shows.
    pub title: String,
    /// Over each column.
    pub columns: Vec<String>,
    /// The pictures.
    pub rows: Vec<Row>,
    /// What it was drawn from, and how to read it; one line each.
    pub caption: Vec<String>,
}

/// Between pictures.
const GAP: f64 = 12.0;
/// Widest and narrowest picture.
const WIDEST: f64 = 168.0;
const LINE: f64 = CAPTION + 4.0;
const FONTS: &str = "Open Sans, Helvetica Neue, Helvetica, Arial, sans-serif";

/// Where everything is.
struct Layout {
    height: f64,
    cell: f64,
    left: f64,
    /// Top of each row of pictures.
    rows: Vec<f64>,
    header: f64,
    caption: Vec<(f64, String)>,
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl Sheet {
    fn layout(&self) -> Layout {
        let labels = self.rows.iter().map(|row| text_width(&row.label, LABEL)).fold(0.0, f64::max);
        let left = MARGIN + labels + 14.0;
        let columns = number(self.columns.len().max(1));
        let cell = ((WIDTH - MARGIN - left + GAP) / columns - GAP).min(WIDEST).floor();
        let header = MARGIN + TITLE + 16.0;
        let mut y = header + LABEL + 8.0;
        let mut rows = Vec::new();
        for row in &self.rows {
            rows.push(y);
            let lines = row.pictures.iter().flatten().map(|picture| picture.lines.len()).max();
            y += cell + 4.0 + number(lines.unwrap_or(0)) * LINE + GAP;
        }
        let mut caption = Vec::new();
        let broken = |line: &String| wrapped(line, WIDTH - 2.0 * MARGIN, CAPTION);
        for line in self.caption.iter().flat_map(broken) {
            caption.push((y, line));
            y += CAPTION + 5.0;
        }
        Layout { height: (y + MARGIN - 8.0).ceil(), cell, left, rows, header, caption }
    }

    /// Each picture with its left and top.
    fn placed<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = (&'a Picture, f64, f64)> {
        self.rows.iter().zip(&layout.rows).flat_map(move |(row, top)| {
            let place = move |(column, picture): (usize, &'a Option<Picture>)| {
                let left = layout.left + number(column) * (layout.cell + GAP);
                picture.as_ref().map(|picture| (picture, left, *top))
            };
            row.pictures.iter().enumerate().filter_map(place)
        })
    }

    /// As SVG text, the pictures inside.
    ///
    /// # Errors
    /// [`PlotError::Picture`] if one of them has another number of pixels than its side says.
    pub fn svg(&self, theme: Theme) -> Result<String, PlotError> {
        let layout = self.layout();
        let mut text = self.texts(&layout, theme);
        for (picture, x, y) in self.placed(&layout) {
            let data = STANDARD.encode(encode(&picture.rgb, picture.side)?);
            let _ = writeln!(
                text,
                "<image x=\"{x}\" y=\"{y}\" width=\"{0}\" height=\"{0}\" \
                 style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>",
                layout.cell
            );
        }
        Ok(text + "</svg>\n")
    }

    /// As PNG.
    ///
    /// # Errors
    /// As [`Sheet::svg`].
    pub fn png(&self, theme: Theme) -> Result<Vec<u8>, PlotError> {
        let layout = self.layout();
        let text = self.texts(&layout, theme) + "</svg>\n";
        let rasters: Vec<Raster<'_>> = self
            .placed(&layout)
            .map(|(picture, left, top)| Raster {
                rgb: &picture.rgb,
                side: picture.side,
                left,
                top,
                size: layout.cell,
            })
            .collect();
        with_rasters(&text, &rasters)
    }

    /// In words, for terminals.
    #[must_use]
    pub fn term(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.label);
            for (column, picture) in self.columns.iter().zip(&row.pictures) {
                if let Some(picture) = picture {
                    let _ = writeln!(text, "  {column}: {}", picture.lines.join(", "));
                }
            }
        }
        text.push('\n');
        for line in &self.caption {
            let _ = writeln!(text, "{line}");
        }
        text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
    }

    fn texts(&self, layout: &Layout, theme: Theme) -> String {
        let Layout { height, cell, left, rows, header, caption } = layout;
        let color = |(red, green, blue): Rgb| format!("#{red:02x}{green:02x}{blue:02x}");
        let ink = |ink| color(theme.ink(ink));
        let (text, muted, wrong) = (
            ink(super::figure::Ink::Text),
            ink(super::figure::Ink::Muted),
            ink(super::figure::Ink::Series(1)),
        );
        let title = escaped(&self.title);
        let described = escaped(&self.caption.join(" "));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"{FONTS}\">\n\
             <title>{title}</title>\n<desc>{described}</desc>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{}\"/>\n",
            color(theme.background())
        );
        let mut write = |x: f64, y: f64, size: f64, color: &str, anchor: &str, line: &str| {
            // SVG places texts by their base line.
            let base = y + size * 0.85;
            let line = escaped(line);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{base:.1}\" font-size=\"{size}\" fill=\"{color}\" \
                 text-anchor=\"{anchor}\">{line}</text>"
            );
        };
        write(MARGIN, MARGIN, TITLE, &text, "start", &self.title);
        let middle = |column: usize| left + number(column) * (cell + GAP) + cell / 2.0;
        for (column, name) in self.columns.iter().enumerate() {
            write(middle(column), *header, LABEL, &text, "middle", name);
        }
        for (row, top) in self.rows.iter().zip(rows) {
            write(MARGIN, top + cell / 2.0 - LABEL / 2.0, LABEL, &text, "start", &row.label);
            for (column, picture) in row.pictures.iter().enumerate() {
                let Some(picture) = picture else { continue };
                for (index, line) in picture.lines.iter().enumerate() {
                    let color = if index == 0 && picture.marked { &wrong } else { &muted };
                    let y = top + cell + 4.0 + number(index) * LINE;
                    write(middle(column), y, CAPTION, color, "middle", line);
                }
            }
        }
        for (y, line) in caption {
            write(MARGIN, *y, CAPTION, &muted, "start", line);
        }
        svg
    }
}

/// What can be drawn: a figure, or a sheet of pictures.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    /// Panels with axes.
    Figure(Figure),
    /// Small pictures.
    Sheet(Sheet),
}

impl Drawing {
    /// As SVG text.
    ///
    /// # Errors
    /// [`PlotError`] if it cannot be composed.
    pub fn svg(&self, theme: Theme) -> Result<String, PlotError> {
        match self {
            Self::Figure(figure) => super::svg(figure, theme),
            Self::Sheet(sheet) => sheet.svg(theme),
        }
    }

    /// As PNG.
    ///
    /// # Errors
    /// [`PlotError`] if it cannot be composed.
    pub fn png(&self, theme: Theme) -> Result<Vec<u8>, PlotError> {
        match self {
            Self::Figure(figure) => super::png(&super::svg(figure, theme)?),
            Self::Sheet(sheet) => sheet.png(theme),
        }
    }

    /// With characters, in lines of at most `width`.
    #[must_use]
    pub fn term(&self, width: usize) -> String {
        match self {
            Self::Figure(figure) => super::term(figure, width),
            Self::Sheet(sheet) => sheet.term(),
        }
    }
}
