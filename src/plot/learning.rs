//! Does the agent find better architectures the less it explores? Figure 3 of the paper.
//!
//! A bar for each epsilon: as high as the mean accuracy of its samples, as wide as their number.
//! Over them the mean of the last samples.

use super::figure::{Bar, Figure, Ink, Mark, Panel, Point, Shape};
use super::scale::Axis;

/// An architecture that was sampled, in the order of sampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Share of random actions.
    pub epsilon: f64,
    /// Its accuracy, 0 to 1.
    pub accuracy: f64,
}

/// The paper's window.
const WINDOW: usize = 100;
/// More points than these are not seen.
const POINTS: usize = 2_000;

/// The window for so many samples: the paper's 100, or where that leaves no line to speak of, a
/// tenth of them.
#[must_use]
pub fn window(samples: usize) -> usize {
    (samples / 10).clamp(5.min(samples.max(1)), WINDOW)
}

/// Draws samples; `window` of them are averaged for the line.
#[must_use]
pub fn figure(samples: &[Sample], window: usize, caption: Vec<String>) -> Figure {
    let bars = Mark {
        name: "mean of the samples of one ε".into(),
        ink: Ink::Area,
        shape: Shape::Bars(bars(samples)),
    };
    let line = Mark {
        name: format!("mean of the last {window} samples"),
        ink: Ink::Series(1),
        shape: Shape::Line(rolling(samples, window), None),
    };
    let panel = Panel {
        title: String::new(),
        x: Axis::between(
            "architectures sampled (known ones included)",
            0.0,
            count(samples.len()),
            8,
        ),
        y: Axis::between("mean validation accuracy (%)", 0.0, 100.0, 5),
        marks: vec![bars, line],
    };
    let title = "Accuracy while ε, the share of random actions, falls".to_owned();
    Figure { title, caption, panels: vec![panel], columns: 1 }
}

fn bars(samples: &[Sample]) -> Vec<Bar> {
    #[expect(clippy::float_cmp, reason = "copies of one setting")]
    let phases = samples.chunk_by(|a, b| a.epsilon == b.epsilon);
    let mut from = 0.0;
    let bar = |phase: &[Sample]| {
        let to = from + count(phase.len());
        let sum: f64 = phase.iter().map(|sample| sample.accuracy).sum();
        let height = 100.0 * sum / count(phase.len());
        let epsilon = phase[0].epsilon;
        let labels = vec![
            format!("ε = {epsilon}: {height:.1} %"),
            format!("ε = {epsilon}"),
            format!("{epsilon}"),
        ];
        Bar { from: std::mem::replace(&mut from, to), to, height, labels }
    };
    phases.map(bar).collect()
}

fn rolling(samples: &[Sample], window: usize) -> Vec<Point> {
    let step = samples.len().div_ceil(POINTS).max(1);
    let mean = |last: &[Sample]| {
        100.0 * last.iter().map(|sample| sample.accuracy).sum::<f64>() / count(last.len())
    };
    let windows = samples.windows(window.max(1)).enumerate();
    let kept = windows.filter(|(index, _)| (index + window).is_multiple_of(step));
    kept.map(|(index, last)| (count(index + window), mean(last))).collect()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
