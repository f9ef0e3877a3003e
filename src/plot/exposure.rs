//! Who is learned from? Draws of each experience by its age: the picture that the objection to
//! uniform replay asks for.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// A policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// What it is called.
    pub name: String,
    /// Draws of each experience in the mean over seeds, the oldest first.
    pub draws: Vec<f64>,
}

/// A phase of the schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Share of random actions.
    pub epsilon: f64,
    /// Experiences in it.
    pub experiences: usize,
}

/// Points of a line: the experiences of each are averaged.
const POINTS: usize = 48;

/// Draws policies, of which each has as many experiences as the phases have, the oldest first.
#[must_use]
pub fn figure(policies: &[Exposure], phases: &[Stretch], caption: Vec<String>) -> Figure {
    let count = phases.iter().map(|phase| phase.experiences).sum::<usize>();
    let lines: Vec<Vec<Vec<Point>>> = policies.iter().map(|policy| line(&policy.draws)).collect();
    let values = lines.iter().flatten().flatten().map(|point| point.1);
    let y = Axis::logarithmic("draws per experience (mean)", values);
    let x = Axis::between("age (experiences recorded since)", 0.0, number(count), 8);
    let mut marks = boundaries(phases, &y);
    for (index, (policy, lines)) in policies.iter().zip(lines).enumerate() {
        // Pieces of one name have one place in the legend.
        let mark = |points| Mark {
            name: policy.name.clone(),
            ink: Ink::Series(index),
            shape: Shape::Line(points, Some(Marker::of(index))),
        };
        marks.extend(lines.into_iter().map(mark));
    }
    let panel = Panel { title: String::new(), x, y, marks };
    let title = "How often is an experience learned from?".to_owned();
    Figure { title, caption, panels: vec![panel], columns: 1 }
}

/// Means of neighbours by their mean age, youngest first, broken where nothing was drawn, which has
/// no place on a logarithmic axis.
fn line(draws: &[f64]) -> Vec<Vec<Point>> {
    let size = draws.len().div_ceil(POINTS).max(1);
    let youngest: Vec<f64> = draws.iter().rev().copied().collect();
    let mean = |(index, group): (usize, &[f64])| {
        let age = number(index * size) + (number(group.len()) - 1.0) / 2.0;
        (age, group.iter().sum::<f64>() / number(group.len()))
    };
    let points: Vec<Point> = youngest.chunks(size).enumerate().map(mean).collect();
    let drawn = points.split(|point| point.1 <= 0.0).filter(|piece| !piece.is_empty());
    drawn.map(<[Point]>::to_vec).collect()
}

/// Lines between phases, and their epsilon.
fn boundaries(phases: &[Stretch], y: &Axis) -> Vec<Mark> {
    let mut marks = Vec::new();
    let count: usize = phases.iter().map(|phase| phase.experiences).sum();
    let mut age = count;
    for phase in phases {
        age -= phase.experiences;
        if age > 0 {
            let edge = vec![(number(age), y.from), (number(age), y.to)];
            marks.push(Mark::unnamed(Ink::Area, Shape::Line(edge, None)));
        }
        // At the young edge, under the upper end.
        let place = (number(age) + 0.003 * number(count), y.to / (y.to / y.from).powf(0.05));
        let text = format!("ε = {}", phase.epsilon);
        marks.push(Mark::unnamed(Ink::Text, Shape::Text(place, text)));
    }
    marks
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_the_youngest_and_breaks_where_nothing_was_drawn() {
        assert_eq!(line(&[8.0, 4.0, 0.0, 1.0]), [vec![(0.0, 1.0)], vec![(2.0, 4.0), (3.0, 8.0)]]);
        // 96 experiences, two a point: the youngest two have ages 0 and 1.
        let draws: Vec<f64> = (1..=96).map(f64::from).collect();
        let points = line(&draws).remove(0);
        assert_eq!((points.len(), points[0]), (48, (0.5, 95.5)));
        assert_eq!(points[47], (94.5, 1.5));
        assert!(line(&[0.0; 5]).is_empty());
    }
}
