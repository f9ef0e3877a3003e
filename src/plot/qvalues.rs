//! What has the agent learned? Figures A3 and A4 of the paper: mean Q of an action by the depth at
//! which it places a layer, by type of layer, or of convolutions by their field.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// The mean of one series at one depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// What the actions place: `conv`, `pool`, …, or `3 x 3`.
    pub series: String,
    /// The depth of the layer placed.
    pub depth: u32,
    /// Mean of Q.
    pub value: f64,
}

/// Which of the two figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By type of layer, Figure A3.
    Layer,
    /// Convolutions by field, Figure A4.
    Field,
}

/// Draws means; series in the order of their first row.
#[must_use]
pub fn figure(by: By, means: &[Mean], caption: Vec<String>) -> Figure {
    let mut names: Vec<&str> = Vec::new();
    for mean in means {
        if !names.contains(&mean.series.as_str()) {
            names.push(&mean.series);
        }
    }
    let series = |(index, name): (usize, &&str)| {
        let of_series = means.iter().filter(|mean| mean.series == **name);
        let points: Vec<Point> =
            of_series.map(|mean| (f64::from(mean.depth), mean.value)).collect();
        let (ink, marker) = (Ink::Series(index), Some(Marker::of(index)));
        Mark { name: (*name).to_owned(), ink, shape: Shape::Line(points, marker) }
    };
    let depths = means.iter().map(|mean| mean.depth);
    let (first, last) = (depths.clone().min().unwrap_or(1), depths.max().unwrap_or(1));
    let panel = Panel {
        title: String::new(),
        x: Axis::counting("depth of the layer placed (layers)", first, last, 20),
        y: Axis::holding("mean Q (expected accuracy)", means.iter().map(|mean| mean.value), 6),
        marks: names.iter().enumerate().map(series).collect(),
    };
    let title = match by {
        By::Layer => "Q-value of placing a layer, by its type",
        By::Field => "Q-value of placing a convolution, by its field",
    };
    Figure { title: title.into(), caption, panels: vec![panel], columns: 1 }
}
