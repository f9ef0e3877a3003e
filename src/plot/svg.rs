//! Figures as SVG.
//!
//! Plotters draws in whole units, so it is given ten of them a pixel, and the picture is scaled
//! back by its view box.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, DynElement, EmptyElement, IntoDynElement, PathElement, Polygon};
use plotters::prelude::{Cartesian2d, DrawingArea, IntoDrawingArea, Rectangle, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoTextStyle, RGBColor, ShapeStyle};

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
type Plane<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), PlotError>;

/// Draws a figure as SVG text.
///
/// # Errors
/// [`PlotError::Draw`] if it cannot be composed.
pub fn svg(figure: &Figure, theme: Theme) -> Result<String, PlotError> {
    let page = layout::page(figure);
    let size = (unsigned(layout::WIDTH * FINE), unsigned(page.height * FINE));
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

impl<'a> Canvas<'a> {
    fn figure(&self, figure: &Figure, page: &Page) -> Drawn {
        self.root.fill(&rgb(self.theme.background())).map_err(failed)?;
        let (x, y) = page.title;
        self.text(&figure.title, (x, y), layout::TITLE, Ink::Text, (HPos::Left, VPos::Top))?;
        for (mark, place) in figure.legend().into_iter().zip(&page.legend) {
            self.entry(mark, *place)?;
        }
        for (index, (panel, frame)) in figure.panels.iter().zip(&page.panels).enumerate() {
            let plane = self.plane(panel, frame);
            self.grid(panel, frame, &plane)?;
            for mark in &panel.marks {
                self.mark(mark, panel, frame, &plane)?;
            }
            self.labels(figure, index, panel, frame)?;
        }
        for (x, y, line) in &page.caption {
            let place = (*x, *y);
            self.text(line, place, layout::CAPTION, Ink::Muted, (HPos::Left, VPos::Top))?;
        }
        Ok(())
    }

    /// The coordinate system of a panel: 0 to 1 both ways, whatever the scales.
    fn plane(&self, _: &Panel, frame: &Frame) -> Plane<'a> {
        let unit = || RangedCoordf64::from(0.0..1.0);
        let pixels =
            (fine(frame.left)..fine(frame.right), fine(frame.bottom)..fine(frame.top));
        self.root.clone().apply_coord_spec(Cartesian2d::new(unit(), unit(), pixels))
    }

    fn grid(&self, panel: &Panel, frame: &Frame, plane: &Plane<'a>) -> Drawn {
        let thin = self.stroke(self.theme.grid(), 1.0);
        for tick in &panel.y.ticks {
            let y = panel.y.place(*tick);
            plane.draw(&PathElement::new([(0.0, y), (1.0, y)], thin)).map_err(failed)?;
        }
        let line = self.stroke(self.theme.ink(Ink::Muted), 1.0);
        plane.draw(&PathElement::new([(0.0, 0.0), (1.0, 0.0)], line)).map_err(failed)?;
        for (tick, _) in layout::spaced(panel, frame) {
            let foot = (panel.x.place(tick), 0.0);
            let tick = PathElement::new([(0, 0), (0, fine(4.0))], line);
            plane.draw(&(EmptyElement::at(foot) + tick)).map_err(failed)?;
        }
        Ok(())
    }

    fn labels(&self, figure: &Figure, index: usize, panel: &Panel, frame: &Frame) -> Drawn {
        for (tick, text) in layout::spaced(panel, frame) {
            let x = frame.left + panel.x.place(tick) * frame.width();
            let place = (x, frame.bottom + 7.0);
            self.text(&text, place, layout::TICK, Ink::Muted, (HPos::Center, VPos::Top))?;
        }
        for (tick, text) in panel.y.numbers() {
            let y = frame.bottom - panel.y.place(tick) * (frame.bottom - frame.top);
            let place = (frame.left - 8.0, y);
            self.text(&text, place, layout::TICK, Ink::Muted, (HPos::Right, VPos::Center))?;
        }
        if !panel.title.is_empty() {
            let place = (frame.left, frame.top - layout::LABEL - 5.0);
            self.text(&panel.title, place, layout::LABEL, Ink::Text, (HPos::Left, VPos::Top))?;
        }
        if layout::is_lowest(figure, index) {
            let middle = f64::midpoint(frame.left, frame.right);
            let place = (middle, frame.bottom + layout::TICK + 14.0);
            let anchor = (HPos::Center, VPos::Top);
            self.text(&panel.x.label, place, layout::LABEL, Ink::Text, anchor)?;
        }
        if layout::is_first(figure, index) {
            self.upright(&panel.y.label, (24.0, f64::midpoint(frame.top, frame.bottom)))?;
        }
        Ok(())
    }

    fn mark(&self, mark: &Mark, panel: &Panel, frame: &Frame, plane: &Plane<'a>) -> Drawn {
        let color = self.theme.ink(mark.ink);
        let place = |point: &Point| (panel.x.place(point.0), panel.y.place(point.1));
        match &mark.shape {
            Shape::Bars(bars) => {
                bars.iter().try_for_each(|bar| self.bar(bar, mark.ink, panel, frame, plane))
            }
            Shape::Line(points, marker) => {
                let places: Vec<Point> = points.iter().map(place).collect();
                let line = PathElement::new(places.clone(), self.stroke(color, 2.0));
                plane.draw(&line).map_err(failed)?;
                let Some(marker) = marker else { return Ok(()) };
                places.into_iter().try_for_each(|at| self.dot(plane, at, *marker, color))
            }
            Shape::Points(points, marker) => {
                points.iter().try_for_each(|at| self.dot(plane, place(at), *marker, color))
            }
            Shape::Text(at, text) => {
                let (x, y) = place(at);
                let x = frame.left + x * frame.width();
                let y = frame.bottom - y * (frame.bottom - frame.top);
                let fits = x + 8.0 + layout::text_width(text, layout::CAPTION) < frame.right;
                let (x, anchor) =
                    if fits { (x + 8.0, HPos::Left) } else { (x - 8.0, HPos::Right) };
                self.text(text, (x, y), layout::CAPTION, mark.ink, (anchor, VPos::Center))
            }
        }
    }

    fn bar(&self, bar: &Bar, ink: Ink, panel: &Panel, frame: &Frame, plane: &Plane<'a>) -> Drawn {
        let (from, to) = (panel.x.place(bar.from), panel.x.place(bar.to));
        let height = panel.y.place(bar.height);
        let corners = [(from, 0.0), (to, height.min(1.0))];
        let fill = rgb(self.theme.ink(ink)).filled();
        plane.draw(&Rectangle::new(corners, fill)).map_err(failed)?;
        let width = (to - from) * frame.width();
        // Wide neighbours are separated, narrow ones are not: it would be all separation.
        if width > 6.0 {
            let line = self.stroke(self.theme.background(), 1.0);
            let sides = [(from, 0.0), (from, height.min(1.0))];
            plane.draw(&PathElement::new(sides, line)).map_err(failed)?;
        }
        if height > 1.0 {
            let text = format!("{} ↑", super::scale::number(bar.height, 1));
            let place = (frame.left + to * frame.width() + 4.0, frame.top + 1.0);
            self.text(&text, place, layout::CAPTION, Ink::Text, (HPos::Left, VPos::Top))?;
        }
        let fits = |text: &&String| layout::text_width(text, layout::TICK) + 4.0 < width;
        let Some(label) = bar.labels.iter().find(fits) else { return Ok(()) };
        let middle = frame.left + f64::midpoint(from, to) * frame.width();
        let place = (middle, frame.bottom - 7.0);
        self.text(label, place, layout::TICK, Ink::Text, (HPos::Center, VPos::Bottom))
    }

    fn dot(&self, plane: &Plane<'a>, at: Point, marker: Marker, color: Rgb) -> Drawn {
        plane.draw(&(EmptyElement::at(at) + marker_element(marker, color))).map_err(failed)
    }

    /// A sample of a mark and its name.
    fn entry(&self, mark: &Mark, (x, y): (f64, f64)) -> Drawn {
        let color = self.theme.ink(mark.ink);
        let end = x + layout::SAMPLE;
        let middle = (fine(f64::midpoint(x, end)), fine(y));
        match &mark.shape {
            Shape::Bars(_) => {
                let corners = [(fine(x), fine(y - 6.0)), (fine(end), fine(y + 6.0))];
                let swatch = Rectangle::new(corners, rgb(color).filled());
                self.root.draw(&swatch).map_err(failed)?;
            }
            Shape::Line(_, marker) => {
                let ends = [(fine(x), fine(y)), (fine(end), fine(y))];
                let line = PathElement::new(ends, self.stroke(color, 2.0));
                self.root.draw(&line).map_err(failed)?;
                if let Some(marker) = marker {
                    let dot = EmptyElement::at(middle) + marker_element(*marker, color);
                    self.root.draw(&dot).map_err(failed)?;
                }
            }
            Shape::Points(_, marker) => {
                let dot = EmptyElement::at(middle) + marker_element(*marker, color);
                self.root.draw(&dot).map_err(failed)?;
            }
            Shape::Text(..) => {}
        }
        let place = (end + 7.0, y);
        self.text(&mark.name, place, layout::LABEL, Ink::Text, (HPos::Left, VPos::Center))
    }

    fn text(&self, text: &str, at: Point, size: f64, ink: Ink, anchor: (HPos, VPos)) -> Drawn {
        self.write(text, at, (size, ink), anchor, FontTransform::None)
    }

    /// A text that is read from bottom to top.
    fn upright(&self, text: &str, at: Point) -> Drawn {
        let (style, anchor) = ((layout::LABEL, Ink::Text), (HPos::Center, VPos::Top));
        self.write(text, at, style, anchor, FontTransform::Rotate270)
    }

    fn write(
        &self,
        text: &str,
        at: Point,
        (size, ink): (f64, Ink),
        (across, along): (HPos, VPos),
        turned: FontTransform,
    ) -> Drawn {
        let color = rgb(self.theme.ink(ink));
        let style = (FONTS, size * FINE * LINE).into_text_style(&self.root);
        let style = style.color(&color).pos(Pos::new(across, along)).transform(turned);
        self.root.draw_text(&plain(text), &style, (fine(at.0), fine(at.1))).map_err(failed)
    }

    fn stroke(&self, color: Rgb, width: f64) -> ShapeStyle {
        rgb(color).stroke_width(unsigned(width * FINE))
    }
}

/// A marker around (0, 0).
fn marker_element<'a>(marker: Marker, color: Rgb) -> DynElement<'a, SVGBackend<'a>, (i32, i32)> {
    let fill = rgb(color).filled();
    let polygon = |corners: &[(f64, f64)]| {
        let corners: Vec<(i32, i32)> = corners.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        Polygon::new(corners, fill).into_dyn()
    };
    match marker {
        Marker::Dot => Circle::new((0, 0), fine(2.6), rgb(color).mix(0.45).filled()).into_dyn(),
        Marker::Circle => Circle::new((0, 0), fine(4.2), fill).into_dyn(),
        Marker::Square => polygon(&[(-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)]),
        Marker::Triangle => polygon(&[(0.0, -5.2), (4.8, 3.6), (-4.8, 3.6)]),
        Marker::Diamond => polygon(&[(0.0, -5.6), (5.0, 0.0), (0.0, 5.6), (-5.0, 0.0)]),
        Marker::Cross => polygon(&[
            (-1.4, -4.6), (1.4, -4.6), (1.4, -1.4), (4.6, -1.4), (4.6, 1.4), (1.4, 1.4),
            (1.4, 4.6), (-1.4, 4.6), (-1.4, 1.4), (-4.6, 1.4), (-4.6, -1.4), (-1.4, -1.4),
        ]),
    }
}

fn rgb((red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

#[expect(clippy::cast_possible_truncation, reason = "places on a page are small")]
fn fine(pixels: f64) -> i32 {
    (pixels * FINE).round() as i32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are small")]
fn unsigned(size: f64) -> u32 {
    size.round().max(0.0) as u32
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError::Draw(error.to_string())
}
