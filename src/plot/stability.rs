//! How much do the searches of a series differ? The mean accuracy of each ε, left over all searches
//! with its standard deviation, right a line for each search (Baker et al. 2017, the figure of their
//! stability experiment).

use super::figure::{Figure, Ink, Mark, Marker, Panel, Point, Shape};
use super::scale::Axis;

/// All searches at one ε.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Share of random actions.
    pub epsilon: f64,
    /// Mean over searches of their mean accuracy, 0 to 1.
    pub mean: f64,
    /// Standard deviation of those over searches; unknown of a single one.
    pub sd: Option<f64>,
}

/// One search.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What it is called in the legend.
    pub name: String,
    /// ε and mean accuracy, 0 to 1, ε falling.
    pub means: Vec<(f64, f64)>,
}

/// Half the width of the ends of an error bar, in units of ε.
const CAP: f64 = 0.012;

/// Draws a series; `spreads` in the order of falling ε.
#[must_use]
pub fn figure(spreads: &[Spread], courses: &[Course], caption: Vec<String>) -> Figure {
    let ends = |spread: &Spread| {
        let sd = spread.sd.unwrap_or(0.0);
        [spread.mean - sd, spread.mean, spread.mean + sd]
    };
    let of_courses = courses.iter().flat_map(|course| course.means.iter().map(|mean| mean.1));
    let values = spreads.iter().flat_map(ends).chain(of_courses).map(|value| 100.0 * value);
    let y = Axis::holding("mean accuracy (%)", values, 6);
    let panel = |title: &str, marks: Vec<Mark>| Panel {
        title: title.to_owned(),
        x: falling(spreads.iter().map(|spread| spread.epsilon)),
        y: y.clone(),
        marks,
    };
    let points = |means: &[(f64, f64)]| -> Vec<Point> {
        means.iter().map(|(epsilon, mean)| (*epsilon, 100.0 * mean)).collect()
    };
    let means: Vec<(f64, f64)> =
        spreads.iter().map(|spread| (spread.epsilon, spread.mean)).collect();
    let mut bars: Vec<Mark> = spreads.iter().flat_map(error_bar).collect();
    bars.push(Mark {
        name: "mean and standard deviation over searches".into(),
        ink: Ink::Series(0),
        shape: Shape::Line(points(&means), Some(Marker::Circle)),
    });
    // Colours of single searches begin after that of the mean.
    let course = |(index, course): (usize, &Course)| Mark {
        name: course.name.clone(),
        ink: Ink::Series(index + 1),
        shape: Shape::Line(points(&course.means), Some(Marker::of(index + 1))),
    };
    let panels = vec![
        panel("a: over all searches", bars),
        panel("b: each search", courses.iter().enumerate().map(course).collect()),
    ];
    let title = "Accuracy while ε falls, search by search".to_owned();
    Figure { title, caption, panels, columns: 2 }
}

/// An axis on which ε falls from left to right, with a tick at each.
fn falling(epsilons: impl Iterator<Item = f64>) -> Axis {
    let mut ticks: Vec<f64> = epsilons.collect();
    ticks.sort_by(|a, b| b.total_cmp(a));
    ticks.dedup();
    let (first, last) = (ticks.first().copied(), ticks.last().copied());
    let (from, to) = (first.unwrap_or(1.0), last.unwrap_or(0.0));
    let air = ((from - to) * 0.06).max(0.03);
    let label = "ε, the share of random actions".to_owned();
    Axis { label, from: from + air, to: to - air, log: false, ticks }
}

/// A bar from one deviation below the mean to one above, if there is a deviation.
fn error_bar(spread: &Spread) -> Vec<Mark> {
    let Some(sd) = spread.sd.filter(|sd| *sd > 0.0) else { return Vec::new() };
    let (low, high) = (100.0 * (spread.mean - sd), 100.0 * (spread.mean + sd));
    let (left, middle, right) = (spread.epsilon + CAP, spread.epsilon, spread.epsilon - CAP);
    let lines = [
        vec![(middle, low), (middle, high)],
        vec![(left, low), (right, low)],
        vec![(left, high), (right, high)],
    ];
    lines.map(|line| Mark::unnamed(Ink::Series(0), Shape::Line(line, None))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_falls_to_the_right_and_a_single_search_has_no_bar() {
        let axis = falling([0.1, 1.0, 0.5].into_iter());
        assert_eq!(axis.ticks, [1.0, 0.5, 0.1]);
        assert!(axis.place(1.0) < axis.place(0.5) && axis.place(0.1) < 1.0);
        let spread = |sd| Spread { epsilon: 0.5, mean: 0.8, sd };
        assert_eq!(error_bar(&spread(None)).len() + error_bar(&spread(Some(0.0))).len(), 0);
        let bar = error_bar(&spread(Some(0.1)));
        assert_eq!(bar.len(), 3);
        let Shape::Line(points, None) = &bar[0].shape else { panic!("a line") };
        assert!((points[1].1 - points[0].1 - 20.0).abs() < 1e-9);
    }
}
