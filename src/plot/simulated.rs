//! How soon does a search find a good architecture? The best so far of simulated searches.

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// Searches of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Searches {
    /// What the agent is called.
    pub name: String,
    /// The highest accuracy so far after each new architecture, 0 to 1: lower end of the band,
    /// mean, upper end.
    pub curve: Vec<(f64, f64, f64)>,
}

/// Markers on a line.
const MARKERS: usize = 8;
/// Share of the curve from which on it is inside the panel as a whole. Before, a search has trained
/// next to nothing, and its accuracies would leave no room for what comes later.
const SETTLED: f64 = 0.05;

/// Draws agents, the first in the legend first.
#[must_use]
pub fn figure(agents: &[Searches], caption: Vec<String>) -> Figure {
    let longest = agents.iter().map(|agent| agent.curve.len()).max().unwrap_or(1);
    let values: Vec<f64> = agents.iter().flat_map(|agent| seen(&agent.curve)).collect();
    let y = Axis::holding("highest validation accuracy so far (%)", values.iter().copied(), 8);
    let last = u32::try_from(longest).unwrap_or(u32::MAX);
    let mut marks = Vec::new();
    for (index, agent) in agents.iter().enumerate() {
        let band = |(place, (low, _, high)): (usize, &(f64, f64, f64))| {
            (models(place), inside(100.0 * low, &y), inside(100.0 * high, &y))
        };
        let band = agent.curve.iter().enumerate().map(band).collect();
        marks.push(Mark::unnamed(Ink::Series(index), Shape::Band(band)));
    }
    for (index, agent) in agents.iter().enumerate() {
        let point =
            |(place, (_, mean, _)): (usize, &(f64, f64, f64))| (models(place), 100.0 * mean);
        let points: Vec<Point> = agent.curve.iter().enumerate().map(point).collect();
        let points = rising(&points, &y);
        // Where the line enters the panel there is no model.
        let trained: Vec<Point> = points.iter().copied().filter(|point| point.1 > y.from).collect();
        let few = few(&trained, index, agents.len());
        marks.push(Mark::unnamed(Ink::Series(index), Shape::Line(points, None)));
        // A line in the legend, with its markers.
        let shape = Shape::Points(few, Marker::of(index));
        marks.push(Mark { name: agent.name.clone(), ink: Ink::Series(index), shape });
    }
    let x = Axis::counting("distinct models trained", 1, last, 10);
    let panel = Panel { title: String::new(), x, y, marks };
    let title = "How soon is a good architecture found?".to_owned();
    Figure { title, caption, panels: vec![panel], columns: 1 }
}

/// Values that must be inside the panel.
fn seen(curve: &[(f64, f64, f64)]) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it")]
    let settled = (SETTLED * curve.len() as f64).ceil() as usize;
    let settled = settled.min(curve.len().saturating_sub(1));
    curve[settled..].iter().flat_map(|(_, mean, high)| [100.0 * mean, 100.0 * high]).collect()
}

/// A value, or the end of the axis that it lies beyond.
fn inside(value: f64, y: &Axis) -> f64 {
    value.clamp(y.from, y.to)
}

/// A line that rises, from where it enters the panel on.
fn rising(points: &[Point], y: &Axis) -> Vec<Point> {
    let first = points.iter().position(|point| point.1 >= y.from).unwrap_or(points.len());
    let mut inside = points[first..].to_vec();
    if let Some(((x0, y0), (x1, y1))) =
        first.checked_sub(1).and_then(|before| Some((points[before], *points.get(first)?)))
    {
        inside.insert(0, (x0 + (x1 - x0) * (y.from - y0) / (y1 - y0), y.from));
    }
    inside
}

/// Some points of a line, not where another line has its own.
fn few(points: &[Point], index: usize, lines: usize) -> Vec<Point> {
    let step = points.len().div_ceil(MARKERS).max(1);
    let first = step * index / lines.max(1);
    points.iter().skip(first).step_by(step).copied().collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn models(place: usize) -> f64 {
    (place + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_where_it_enters_the_panel() {
        let y = Axis::between("y", 10.0, 20.0, 5);
        let points = [(1.0, 0.0), (2.0, 5.0), (3.0, 15.0), (4.0, 16.0)];
        assert_eq!(rising(&points, &y), [(2.5, 10.0), (3.0, 15.0), (4.0, 16.0)]);
        assert_eq!(rising(&points[2..], &y), points[2..]);
        assert!(rising(&points[..2], &y).is_empty());
    }

    #[test]
    fn every_agent_has_a_band_a_line_and_markers_of_its_own() {
        let curve: Vec<_> = (1..=100).map(f64::from).map(|n| (0.1, 0.5 + n / 400.0, 0.9)).collect();
        let agent = |name: &str| Searches { name: name.into(), curve: curve.clone() };
        let figure = figure(&[agent("uniform"), agent("random")], Vec::new());
        let marks = &figure.panels[0].marks;
        assert_eq!(marks.len(), 6);
        let names: Vec<&str> = figure.legend().iter().map(|mark| mark.name.as_str()).collect();
        assert_eq!(names, ["uniform", "random"]);
        let Shape::Band(band) = &marks[0].shape else { panic!() };
        assert_eq!((band.len(), band[99].0), (100, 100.0));
        let Shape::Line(line, None) = &marks[2].shape else { panic!() };
        assert_eq!(line[99], (100.0, 75.0));
        let (Shape::Points(one, _), Shape::Points(other, _)) = (&marks[3].shape, &marks[5].shape)
        else {
            panic!()
        };
        assert!(one.len() >= 7 && one.iter().all(|point| !other.contains(point)));
    }
}
