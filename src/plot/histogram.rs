//! How accurate are the architectures of each epsilon? Figure A2 of the paper.
//!
//! A panel for each epsilon, 100 bins from its lowest to its highest accuracy. The paper's axis
//! says "% Models" and shows a density; this one shows the share of the samples, in percent.

use super::figure::{Bar, Figure, Ink, Mark, Panel, Shape};
use super::scale::Axis;

/// A bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Share of random actions when its samples were drawn.
    pub epsilon: f64,
    /// Its lower end: an accuracy, 0 to 1.
    pub from: f64,
    /// Its upper end.
    pub to: f64,
    /// Samples in it.
    pub samples: u32,
}

/// A bar this many times as high as the second is cut: one bin of failures would flatten the rest.
const TOWERING: f64 = 2.5;

/// Draws bins, which are ordered by epsilon and accuracy.
#[must_use]
pub fn figure(bins: &[Bin], caption: Vec<String>) -> Figure {
    let highest = bins.iter().map(|bin| bin.to).fold(0.0, f64::max);
    #[expect(clippy::float_cmp, reason = "copies of one setting")]
    let series: Vec<&[Bin]> = bins.chunk_by(|a, b| a.epsilon == b.epsilon).collect();
    let panels: Vec<Panel> = series.iter().map(|bins| panel(bins, highest)).collect();
    let columns = if panels.len() > 1 { 2 } else { 1 };
    Figure { title: "Accuracy of the architectures sampled".into(), caption, panels, columns }
}

fn panel(bins: &[Bin], highest: f64) -> Panel {
    let samples: u32 = bins.iter().map(|bin| bin.samples).sum();
    let share = |bin: &Bin| 100.0 * f64::from(bin.samples) / f64::from(samples.max(1));
    let bar = |bin: &Bin| {
        // A bin without width (all samples alike) is still seen.
        let to = bin.to.max(bin.from + 0.005);
        let (from, to) = (100.0 * bin.from, 100.0 * to);
        Bar { from, to, height: share(bin), labels: Vec::new() }
    };
    let bars: Vec<Bar> = bins.iter().filter(|bin| bin.samples > 0).map(bar).collect();
    let y = Axis::between("share of samples (%)", 0.0, height(&bars), 5);
    let ends = [0.0, (100.0 * highest).max(1.0)];
    let x = Axis::holding("validation accuracy (%)", ends.into_iter(), 5);
    let epsilon = bins.first().map_or(0.0, |bin| bin.epsilon);
    let title = format!("ε = {epsilon}, {samples} samples");
    let marks = vec![Mark::unnamed(Ink::Series(0), Shape::Bars(bars))];
    Panel { title, x, y, marks }
}

fn height(bars: &[Bar]) -> f64 {
    let mut heights: Vec<f64> = bars.iter().map(|bar| bar.height).collect();
    heights.sort_by(|a, b| b.total_cmp(a));
    match heights[..] {
        [first, second, ..] if first > TOWERING * second => second * 1.25,
        [first, ..] => first * 1.08,
        [] => 1.0,
    }
}
