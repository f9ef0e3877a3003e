//! Figures as SVG.
//!
//! Plotters draws in whole units, so it is given ten of them a pixel, and the picture is scaled
//! back by its view box.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoTextStyle, RGBColor};

use super::figure::{Bar, Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::layout::{self, Frame, Page};
use super::theme::Rgb;
use super::{PlotError, Theme};

/// Units a pixel.
const FINE: f64 = 10.0;
/// The first is the one pictures are made with.
const FONTS: &str = "Open Sans, Helvetica Neue, Helvetica, Arial, sans-serif";
/// Plotters takes the height of a line for the size of a font.
const LINE: f64 = 1.24;

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), PlotError>;

/// Draws a figure as SVG text.
///
/// # Errors
/// [`PlotError::Draw`] if it cannot be composed.
pub fn svg(figure: &Figure, theme: Theme) -> Result<String, PlotError> {
    let page = layout::page(figure);
    let size = (fine(layout::WIDTH).unsigned_abs(), fine(page.height).unsigned_abs());
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let canvas = Canvas { root, theme };
        canvas.figure(figure, &page)?;
        canvas.root.present().map_err(failed)?;
    }
    Ok(finished(&text, figure, page.height))
}

/// Scales the picture to pixels and says what it shows to those who cannot see it.
fn finished(text: &str, figure: &Figure, height: f64) -> String {
    let body = text.split_once('>').map_or("", |(_, body)| body);
    let (width, title) = (layout::WIDTH, escaped(&figure.title));
    let (wide, high) = (width * FINE, height * FINE);
    let caption = escaped(&figure.caption.join(" "));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {wide} {high}\" role=\"img\" stroke-linejoin=\"round\" \
         stroke-linecap=\"round\">\n<title>{title}</title>\n<desc>{caption}</desc>{body}"
    )
}

fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without what XML cannot hold.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')).collect()
}

struct Canvas<'a> {
    root: Root<'a>,
    theme: Theme,
}

impl Canvas<'_> {
    fn figure(&self, figure: &Figure, page: &Page) -> Drawn {
        self.root.fill(&rgb(self.theme.background())).map_err(failed)?;
        let top_left = (HPos::Left, VPos::Top);
        self.text(&figure.title, page.title, layout::TITLE, Ink::Text, top_left)?;
        for (mark, place) in figure.legend().into_iter().zip(&page.legend) {
            self.entry(mark, *place)?;
        }
        for (index, (panel, frame)) in figure.panels.iter().zip(&page.panels).enumerate() {
            self.grid(panel, frame)?;
            panel.marks.iter().try_for_each(|mark| self.mark(mark, panel, frame))?;
            self.numbers(panel, frame)?;
            self.labels(figure, index, panel, frame)?;
        }
        for (x, y, line) in &page.caption {
            self.text(line, (*x, *y), layout::CAPTION, Ink::Muted, top_left)?;
        }
        Ok(())
    }

    fn grid(&self, panel: &Panel, frame: &Frame) -> Drawn {
        for tick in &panel.y.ticks {
            let y = frame.y(&panel.y, *tick);
            self.line(&[(frame.left, y), (frame.right, y)], self.theme.grid(), 1.0)?;
        }
        let (color, bottom) = (self.theme.ink(Ink::Muted), frame.bottom);
        self.line(&[(frame.left, bottom), (frame.right, bottom)], color, 1.0)?;
        for (tick, _) in layout::spaced(panel, frame) {
            let x = frame.x(&panel.x, tick);
            self.line(&[(x, bottom), (x, bottom + 4.0)], color, 1.0)?;
        }
        Ok(())
    }

    fn numbers(&self, panel: &Panel, frame: &Frame) -> Drawn {
        for (tick, text) in layout::spaced(panel, frame) {
            let place = (frame.x(&panel.x, tick), frame.bottom + 7.0);
            self.text(&text, place, layout::TICK, Ink::Muted, (HPos::Center, VPos::Top))?;
        }
        for (tick, text) in panel.y.numbers() {
            let place = (frame.left - 8.0, frame.y(&panel.y, tick));
            self.text(&text, place, layout::TICK, Ink::Muted, (HPos::Right, VPos::Center))?;
        }
        Ok(())
    }

    fn labels(&self, figure: &Figure, index: usize, panel: &Panel, frame: &Frame) -> Drawn {
        let place = (frame.left, frame.top - layout::LABEL - 5.0);
        self.text(&panel.title, place, layout::LABEL, Ink::Text, (HPos::Left, VPos::Top))?;
        if layout::is_lowest(figure, index) {
            let middle = f64::midpoint(frame.left, frame.right);
            let place = (middle, frame.bottom + layout::TICK + 14.0);
            let anchor = (HPos::Center, VPos::Top);
            self.text(&panel.x.label, place, layout::LABEL, Ink::Text, anchor)?;
        }
        if layout::is_first(figure, index) {
            let place = (layout::MARGIN, f64::midpoint(frame.top, frame.bottom));
            let style = (layout::LABEL, Ink::Text);
            let anchor = (HPos::Center, VPos::Top);
            self.write(&panel.y.label, place, style, anchor, FontTransform::Rotate270)?;
        }
        Ok(())
    }

    fn mark(&self, mark: &Mark, panel: &Panel, frame: &Frame) -> Drawn {
        let color = self.theme.ink(mark.ink);
        let place = |point: &Point| (frame.x(&panel.x, point.0), frame.y(&panel.y, point.1));
        match &mark.shape {
            Shape::Bars(bars) => {
                bars.iter().try_for_each(|bar| self.bar(bar, mark.ink, panel, frame))
            }
            Shape::Line(points, marker) => {
                let points: Vec<Point> = points.iter().map(place).collect();
                self.line(&points, color, 2.0)?;
                let Some(marker) = marker else { return Ok(()) };
                points.into_iter().try_for_each(|at| self.marker(*marker, at, color))
            }
            Shape::Band(band) => {
                let upper = band.iter().map(|(x, _, high)| place(&(*x, *high)));
                let lower = band.iter().rev().map(|(x, low, _)| place(&(*x, *low)));
                let corners = upper.chain(lower).map(|(x, y)| (fine(x), fine(y)));
                let faint = rgb(color).mix(0.13).filled();
                let area = Polygon::new(corners.collect::<Vec<_>>(), faint);
                self.root.draw(&area).map_err(failed)
            }
            Shape::Points(points, marker) => visible(points.iter().map(place))
                .into_iter()
                .try_for_each(|at| self.marker(*marker, at, color)),
            Shape::Text(at, text) => {
                let (x, y) = place(at);
                let fits = x + layout::text_width(text, layout::TICK) < frame.right;
                let across = if fits { HPos::Left } else { HPos::Right };
                self.text(text, (x, y - 10.0), layout::TICK, mark.ink, (across, VPos::Bottom))
            }
        }
    }

    fn bar(&self, bar: &Bar, ink: Ink, panel: &Panel, frame: &Frame) -> Drawn {
        let (left, right) = (frame.x(&panel.x, bar.from), frame.x(&panel.x, bar.to));
        let top = frame.y(&panel.y, bar.height.min(panel.y.to));
        self.rectangle((left, top), (right, frame.bottom), self.theme.ink(ink))?;
        // Wide neighbours are separated, narrow ones are not: it would be all separation.
        if right - left > 6.0 {
            let sides = [(left, frame.bottom), (left, top)];
            self.line(&sides, self.theme.background(), 1.0)?;
        }
        if bar.height > panel.y.to {
            let text = format!("up to {}", super::scale::number(bar.height, 1));
            let place = (right + 4.0, frame.top + 1.0);
            self.text(&text, place, layout::CAPTION, Ink::Text, (HPos::Left, VPos::Top))?;
        }
        let fits = |text: &&String| layout::text_width(text, layout::TICK) + 4.0 < right - left;
        let Some(label) = bar.labels.iter().find(fits) else { return Ok(()) };
        let place = (f64::midpoint(left, right), frame.bottom - 7.0);
        self.text(label, place, layout::TICK, Ink::Text, (HPos::Center, VPos::Bottom))
    }

    /// A sample of a mark and its name.
    fn entry(&self, mark: &Mark, (x, y): Point) -> Drawn {
        let color = self.theme.ink(mark.ink);
        let end = x + layout::SAMPLE;
        let middle = (f64::midpoint(x, end), y);
        match &mark.shape {
            Shape::Bars(_) | Shape::Band(_) => {
                self.rectangle((x, y - 6.0), (end, y + 6.0), color)?;
            }
            Shape::Line(_, marker) => {
                self.line(&[(x, y), (end, y)], color, 2.0)?;
                marker.map_or(Ok(()), |marker| self.marker(marker, middle, color))?;
            }
            Shape::Points(_, marker) => self.marker(*marker, middle, color)?,
            Shape::Text(..) => {}
        }
        let place = (end + 7.0, y);
        self.text(&mark.name, place, layout::LABEL, Ink::Text, (HPos::Left, VPos::Center))
    }

    fn marker(&self, marker: Marker, (x, y): Point, color: Rgb) -> Drawn {
        let (at, fill) = ((fine(x), fine(y)), rgb(color).filled());
        let corners = match marker {
            Marker::Dot => {
                let faint = rgb(color).mix(0.5).filled();
                return self.root.draw(&Circle::new(at, fine(2.6), faint)).map_err(failed);
            }
            Marker::Circle => {
                return self.root.draw(&Circle::new(at, fine(4.2), fill)).map_err(failed);
            }
            Marker::Ring => {
                let ring = rgb(color).stroke_width(fine(1.8).unsigned_abs());
                return self.root.draw(&Circle::new(at, fine(4.0), ring)).map_err(failed);
            }
            Marker::Square => SQUARE,
            Marker::Triangle => TRIANGLE,
            Marker::Diamond => DIAMOND,
            Marker::Cross => CROSS,
            Marker::Tip => TIP,
            Marker::Plus => PLUS,
        };
        let corners: Vec<_> = corners.iter().map(|(dx, dy)| (fine(x + dx), fine(y + dy))).collect();
        self.root.draw(&Polygon::new(corners, fill)).map_err(failed)
    }

    fn line(&self, points: &[Point], color: Rgb, width: f64) -> Drawn {
        let points: Vec<_> = points.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        let style = rgb(color).stroke_width(fine(width).unsigned_abs());
        self.root.draw(&PathElement::new(points, style)).map_err(failed)
    }

    fn rectangle(&self, from: Point, to: Point, color: Rgb) -> Drawn {
        let corners = [from, to].map(|(x, y)| (fine(x), fine(y)));
        self.root.draw(&Rectangle::new(corners, rgb(color).filled())).map_err(failed)
    }

    fn text(&self, text: &str, at: Point, size: f64, ink: Ink, anchor: (HPos, VPos)) -> Drawn {
        self.write(text, at, (size, ink), anchor, FontTransform::None)
    }

    fn write(
        &self,
        text: &str,
        at: Point,
        (size, ink): (f64, Ink),
        (across, along): (HPos, VPos),
        turned: FontTransform,
    ) -> Drawn {
        if text.is_empty() {
            return Ok(());
        }
        let color = rgb(self.theme.ink(ink));
        let style = (FONTS, size * FINE * LINE).into_text_style(&self.root);
        let style = style.color(&color).pos(Pos::new(across, along)).transform(turned);
        self.root.draw_text(&plain(text), &style, (fine(at.0), fine(at.1))).map_err(failed)
    }
}

/// Points without those that lie under several others: a hundred thousand of them make no larger a
/// picture than can be seen.
fn visible(points: impl Iterator<Item = Point>) -> Vec<Point> {
    const DEEP: u8 = 3;
    let mut pixels: BTreeMap<(i32, i32), u8> = BTreeMap::new();
    let seen = |(x, y): &Point| {
        let count = pixels.entry((fine(*x) / 10, fine(*y) / 10)).or_default();
        *count = count.saturating_add(1);
        *count <= DEEP
    };
    points.filter(seen).collect()
}

/// Corners of markers around their middle.
const SQUARE: &[Point] = &[(-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)];
const TRIANGLE: &[Point] = &[(0.0, -5.2), (4.8, 3.6), (-4.8, 3.6)];
const TIP: &[Point] = &[(0.0, 5.2), (4.8, -3.6), (-4.8, -3.6)];
const DIAMOND: &[Point] = &[(0.0, -5.6), (5.0, 0.0), (0.0, 5.6), (-5.0, 0.0)];
const PLUS: &[Point] = &[
    (-1.3, -4.8),
    (1.3, -4.8),
    (1.3, -1.3),
    (4.8, -1.3),
    (4.8, 1.3),
    (1.3, 1.3),
    (1.3, 4.8),
    (-1.3, 4.8),
    (-1.3, 1.3),
    (-4.8, 1.3),
    (-4.8, -1.3),
    (-1.3, -1.3),
];
const CROSS: &[Point] = &[
    (0.0, -2.0),
    (2.8, -4.8),
    (4.8, -2.8),
    (2.0, 0.0),
    (4.8, 2.8),
    (2.8, 4.8),
    (0.0, 2.0),
    (-2.8, 4.8),
    (-4.8, 2.8),
    (-2.0, 0.0),
    (-4.8, -2.8),
    (-2.8, -4.8),
];

fn rgb((red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

#[expect(clippy::cast_possible_truncation, reason = "places on a page are small")]
fn fine(pixels: f64) -> i32 {
    (pixels * FINE).round() as i32
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError::Draw(error.to_string())
}
