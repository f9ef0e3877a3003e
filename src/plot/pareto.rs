//! What does accuracy cost? Accuracy against parameters, and the front: the architectures of which
//! none is both smaller and better.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::{Axis, number};

/// A trained architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trained {
    /// Its weights and biases.
    pub params: f64,
    /// Its validation accuracy, 0 to 1.
    pub accuracy: f64,
    /// Whether it is on the front.
    pub front: bool,
}

/// From so many on, points are drawn small.
const MANY: usize = 150;

/// Draws architectures, in any order.
#[must_use]
pub fn figure(trained: &[Trained], caption: Vec<String>) -> Figure {
    let place = |one: &Trained| (one.params, 100.0 * one.accuracy);
    let all: Vec<Point> = trained.iter().map(place).collect();
    let mut front: Vec<Point> = trained.iter().filter(|one| one.front).map(place).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut marks = vec![
        Mark {
            name: format!("trained architectures ({})", trained.len()),
            ink: Ink::Series(0),
            shape: Shape::Points(
                all.clone(),
                if all.len() > MANY { Marker::Dot } else { Marker::Ring },
            ),
        },
        Mark {
            name: format!("front ({})", front.len()),
            ink: Ink::Series(1),
            shape: Shape::Line(steps(&front), None),
        },
        Mark::unnamed(Ink::Series(1), Shape::Points(front.clone(), Marker::Circle)),
    ];
    if let Some(best) = front.last() {
        let text = format!("{:.2} %, {} parameters", best.1, number(best.0, 0));
        marks.push(Mark::unnamed(Ink::Text, Shape::Text(*best, text)));
    }
    // Room above the best, where its label stands.
    let best = all.iter().map(|point| point.1).fold(0.0, f64::max);
    let least = all.iter().map(|point| point.1).fold(100.0, f64::min);
    let top = (best + 0.06 * (best - least)).min(100.0);
    let values = all.iter().map(|point| point.1).chain([top]);
    let panel = Panel {
        title: String::new(),
        x: Axis::logarithmic("parameters (weights and biases; log scale)", all.iter().map(|p| p.0)),
        y: Axis::holding("validation accuracy (%)", values, 6),
        marks,
    };
    let title = "Accuracy against size".to_owned();
    Figure { title, caption, panels: vec![panel], columns: 1 }
}

/// The front as stairs: what can be had for a price is what was had for less.
fn steps(front: &[Point]) -> Vec<Point> {
    let corner = |pair: &[Point]| [(pair[1].0, pair[0].1), pair[1]];
    front.first().copied().into_iter().chain(front.windows(2).flat_map(corner)).collect()
}
