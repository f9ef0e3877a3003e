//! Figures: rows in, pictures out.
//!
//! A figure is described once, as panels with axes and marks, and then drawn: as SVG, as PNG, or
//! with characters in a terminal. Pure: it reads nothing, and knows nothing of stores. This is the
//! only place that names plotters and resvg.
//!
//! | file | what it holds |
//! |---|---|
//! | `figure` | what a figure is, before it is drawn: panels, axes, marks |
//! | `scale` | axes with round ticks, linear and logarithmic |
//! | `theme` | colours, light and dark |
//! | `layout` | where things go on a page |
//! | `svg`, `png`, `term` | the three ways of drawing |
//! | `learning`, `histogram`, `qvalues`, `pareto`, `curves`, `exposure`, `stability` | the figures themselves |

pub mod curves;
pub mod exposure;
pub mod figure;
pub mod histogram;
mod layout;
pub mod learning;
pub mod pareto;
mod png;
pub mod qvalues;
pub mod scale;
pub mod simulated;
pub mod stability;
mod svg;
mod term;
mod theme;

pub use figure::Figure;
pub use png::png;
pub use svg::svg;
pub use term::term;
pub use theme::Theme;

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The picture could not be composed.
    #[error("the figure cannot be drawn: {0}")]
    Draw(String),
    /// The SVG could not be turned into pixels.
    #[error("the picture cannot be made: {0}")]
    Picture(String),
}
