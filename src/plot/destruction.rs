//! Destruction rate against the parameter of each transformation: Figure 6 of Kurakin, Goodfellow
//! and Bengio 2017, a panel a transformation. Where a rate is undefined there is a gap.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// One rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// The transformation.
    pub transformation: String,
    /// Its parameter.
    pub parameter: f64,
    /// What it is the rate of: a method and an understanding of right.
    pub series: String,
    /// From 0 to 1; `None` if no image was fooled.
    pub rate: Option<f64>,
}

/// Panels side by side.
const COLUMNS: usize = 2;

/// What a parameter is.
fn label(transformation: &str) -> &'static str {
    match transformation {
        "brightness" => "added to each value",
        "contrast" => "factor",
        "blur" => "sigma (pixels)",
        "noise" => "sigma (of 255)",
        name if name.starts_with("jpeg") => "quality",
        "camera" => "strength",
        _ => "parameter",
    }
}

/// Draws rates; panels and series in the order of their first row.
#[must_use]
pub fn figure(rates: &[Rate], caption: Vec<String>) -> Figure {
    let mut transformations: Vec<&str> = Vec::new();
    let mut series: Vec<&str> = Vec::new();
    for rate in rates {
        if !transformations.contains(&rate.transformation.as_str()) {
            transformations.push(&rate.transformation);
        }
        if !series.contains(&rate.series.as_str()) {
            series.push(&rate.series);
        }
    }
    let panel = |transformation: &&str| {
        let here = || rates.iter().filter(move |rate| rate.transformation == **transformation);
        let mut marks = Vec::new();
        for (index, name) in series.iter().enumerate() {
            let mut of: Vec<&Rate> = here().filter(|rate| rate.series == **name).collect();
            of.sort_by(|a, b| a.parameter.total_cmp(&b.parameter));
            for piece in of.split(|rate| rate.rate.is_none()).filter(|piece| !piece.is_empty()) {
                let points: Vec<Point> = piece
                    .iter()
                    .map(|rate| (rate.parameter, 100.0 * rate.rate.unwrap_or(0.0)))
                    .collect();
                let shape = match points.len() {
                    1 => Shape::Points(points, Marker::of(index)),
                    _ => Shape::Line(points, Some(Marker::of(index))),
                };
                marks.push(Mark { name: (*name).to_owned(), ink: Ink::Series(index), shape });
            }
        }
        let parameters = here().map(|rate| rate.parameter);
        Panel {
            // Below each other, panels have parameters of their own.
            title: format!("{transformation}: {}", label(transformation)),
            x: aired(Axis::holding("", parameters, 6)),
            y: Axis::between("destroyed (%)", 0.0, 100.0, 4),
            marks,
        }
    };
    let panels = transformations.iter().map(panel).collect();
    let title = "Adversarial images that a transformation makes harmless".to_owned();
    Figure { title, caption, panels, columns: COLUMNS }
}

/// A little wider, so that no point lies on the frame.
fn aired(axis: Axis) -> Axis {
    let air = (axis.to - axis.from) * 0.03;
    Axis { from: axis.from - air, to: axis.to + air, ..axis }
}
