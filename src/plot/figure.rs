//! What a figure is, before it is drawn.

use super::scale::Axis;

/// A figure: panels under one title, with one legend and one caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// What it was drawn from, and how to read it; one line each.
    pub caption: Vec<String>,
    /// Its panels, row by row.
    pub panels: Vec<Panel>,
    /// Panels side by side.
    pub columns: usize,
}

/// One coordinate system.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What distinguishes it from the others; empty if it is the only one.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// What is drawn, the first below the others.
    pub marks: Vec<Mark>,
}

/// Something drawn with one colour, and named in the legend unless the name is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its name in the legend.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// What is drawn.
    pub shape: Shape,
}

/// What a mark looks like.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Bars that stand on the lower end of the y axis.
    Bars(Vec<Bar>),
    /// A line through points, with markers on them if there is a marker.
    Line(Vec<Point>, Option<Marker>),
    /// A half transparent area: where it is on the x axis, its lower and its upper end.
    Band(Vec<(f64, f64, f64)>),
    /// Points.
    Points(Vec<Point>, Marker),
    /// A text above a point, to its left where there is no room to its right.
    Text(Point, String),
}

/// A place in the units of the axes.
pub type Point = (f64, f64);

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Where it begins on the x axis.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// How high it is. Where it leaves the panel it is cut, and its height is written beside it.
    pub height: f64,
    /// What is written at its foot: the first that has room.
    pub labels: Vec<String>,
}

/// Forms that can be told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A small, half transparent disc, for many.
    Dot,
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle.
    Triangle,
    /// A diamond.
    Diamond,
    /// A cross.
    Cross,
    /// A triangle on its tip.
    Tip,
    /// A cross that stands.
    Plus,
    /// A circle that is not filled.
    Ring,
}

impl Marker {
    /// The markers of several series, in order.
    pub const SERIES: [Self; 8] = [
        Self::Circle,
        Self::Square,
        Self::Triangle,
        Self::Diamond,
        Self::Cross,
        Self::Tip,
        Self::Plus,
        Self::Ring,
    ];

    /// The marker of series number `index`.
    #[must_use]
    pub fn of(index: usize) -> Self {
        Self::SERIES[index % Self::SERIES.len()]
    }
}

/// A colour by what it is for; the theme knows which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Of series number so and so.
    Series(usize),
    /// Large areas behind something else.
    Area,
    /// What stands back behind the rest.
    Muted,
    /// Text.
    Text,
}

impl Figure {
    /// What the legend lists, in order and each name once.
    #[must_use]
    pub fn legend(&self) -> Vec<&Mark> {
        let mut listed: Vec<&Mark> = Vec::new();
        for mark in self.panels.iter().flat_map(|panel| &panel.marks) {
            if !mark.name.is_empty() && listed.iter().all(|known| known.name != mark.name) {
                listed.push(mark);
            }
        }
        listed
    }

    /// Rows of panels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns.max(1))
    }
}

impl Mark {
    /// A mark without a name in the legend.
    #[must_use]
    pub fn unnamed(ink: Ink, shape: Shape) -> Self {
        Self { name: String::new(), ink, shape }
    }
}
