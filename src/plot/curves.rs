//! How did the trainings of the best architectures go, epoch by epoch?

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// One training.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What it is called.
    pub name: String,
    /// Epoch, from 1, and validation accuracy, 0 to 1, in order.
    pub epochs: Vec<(u32, f64)>,
}

/// Draws trainings, the first in the legend first.
#[must_use]
pub fn figure(curves: &[Curve], caption: Vec<String>) -> Figure {
    let mark = |(index, curve): (usize, &Curve)| {
        let points: Vec<Point> =
            curve.epochs.iter().map(|(epoch, value)| (f64::from(*epoch), 100.0 * value)).collect();
        let shape = Shape::Line(points, Some(Marker::of(index)));
        Mark { name: curve.name.clone(), ink: Ink::Series(index), shape }
    };
    let epochs = curves.iter().flat_map(|curve| &curve.epochs);
    let last = epochs.clone().map(|(epoch, _)| *epoch).max().unwrap_or(1);
    let values = epochs.map(|(_, value)| 100.0 * value);
    let panel = Panel {
        title: String::new(),
        x: Axis::counting("epoch", 1, last, 20),
        y: Axis::holding("validation accuracy (%)", values, 6),
        marks: curves.iter().enumerate().map(mark).collect(),
    };
    let title = "Training of the best architectures".to_owned();
    Figure { title, caption, panels: vec![panel], columns: 1 }
}
