//! Accuracy against the size of an attack: Figure 2 of Kurakin, Goodfellow and Bengio 2017. Two
//! panels, top 1 and top 5; what there is without an attack is a flat line.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// The accuracy of one model under one attack.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// The model.
    pub model: String,
    /// The method; empty: clean images.
    pub method: String,
    /// Its size, of 255.
    pub eps: u32,
    /// Right: among the k likeliest of all classes, as in `5/10`.
    pub top: String,
    /// From 0 to 1.
    pub accuracy: f64,
}

/// Draws accuracies: a row of panels a model, a panel an understanding of right.
#[must_use]
pub fn figure(accuracies: &[Accuracy], caption: Vec<String>) -> Figure {
    let models = distinct(accuracies, |accuracy| &accuracy.model);
    let tops = distinct(accuracies, |accuracy| &accuracy.top);
    let methods = distinct(accuracies, |accuracy| &accuracy.method);
    let largest = accuracies.iter().map(|accuracy| accuracy.eps).max().unwrap_or(1).max(1);
    let mut panels = Vec::new();
    for model in &models {
        for top in &tops {
            let here = |method: &str| -> Vec<&Accuracy> {
                let of = accuracies.iter().filter(|accuracy| {
                    accuracy.model == **model && accuracy.top == **top && accuracy.method == method
                });
                of.collect()
            };
            let marks = methods.iter().enumerate().filter_map(|(index, method)| {
                let found = here(method);
                let mut points: Vec<Point> = found
                    .iter()
                    .map(|accuracy| (f64::from(accuracy.eps), 100.0 * accuracy.accuracy))
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let first = points.first().copied()?;
                Some(match method.is_empty() {
                    true => Mark {
                        name: "clean images".into(),
                        ink: Ink::Muted,
                        shape: Shape::Line(
                            vec![(0.0, first.1), (f64::from(largest), first.1)],
                            None,
                        ),
                    },
                    false => Mark {
                        name: (*method).clone(),
                        ink: Ink::Series(index),
                        shape: Shape::Line(points, Some(Marker::of(index))),
                    },
                })
            });
            let title = match models.len() {
                1 => format!("top {top}"),
                _ => format!("{model}, top {top}"),
            };
            panels.push(Panel {
                title,
                x: aired(Axis::between("eps (of 255)", 0.0, f64::from(largest), 8)),
                y: Axis::between("accuracy (%)", 0.0, 100.0, 5),
                marks: marks.collect(),
            });
        }
    }
    let title = "Accuracy under attacks of growing size".to_owned();
    Figure { title, caption, panels, columns: tops.len().max(1) }
}

/// A little wider, so that no point lies on the frame.
fn aired(axis: Axis) -> Axis {
    Axis { to: axis.to + (axis.to - axis.from) * 0.03, ..axis }
}

/// What there is, each once, in the order of its first place.
fn distinct<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> &K) -> Vec<&K> {
    let mut found: Vec<&K> = Vec::new();
    for item in items {
        if !found.contains(&key(item)) {
            found.push(key(item));
        }
    }
    found
}
