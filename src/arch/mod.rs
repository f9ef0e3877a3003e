//! Nouns: layers, architectures, their notation, shapes and sizes.
//!
//! An [`Architecture`] is a legal sequence of layers ending in softmax; its identity is its
//! topology. Dropout is not part of it: [`dropout`] derives it. Everything here is pure and knows
//! nothing of training, the agent or the log.

pub mod dropout;
mod notation;
pub mod shape;

use std::fmt;

pub use notation::{Notation, NotationError};
pub use shape::{GapHead, PoolRule, ShapeError, Shapes};

/// Longest architecture that can be written down, in layers.
pub const LAYERS_MAX: usize = 64;
/// Largest number in a layer (filters, widths, classes).
pub const NUMBER_MAX: u32 = 65_535;

/// One layer, written as in the paper (Baker et al. 2017, Tables A1 to A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// `C(filters,field,stride)`: convolution, padded so that stride 1 keeps the side; ReLU.
    Conv {
        /// Number of filters, which is the number of output channels.
        filters: u32,
        /// Side of the square receptive field in pixels; odd.
        field: u32,
        /// Step in pixels.
        stride: u32,
    },
    /// `P(field,stride)`: max pooling without padding.
    Pool {
        /// Side of the square window in pixels.
        field: u32,
        /// Step in pixels.
        stride: u32,
    },
    /// `FC(width)`: fully connected; ReLU.
    Full {
        /// Number of neurons.
        width: u32,
    },
    /// `GAP(classes)`: 1x1 convolution to the classes, averaged over the whole map.
    GlobalAverage {
        /// Number of classes.
        classes: u32,
    },
    /// `SM(classes)`: softmax over the classes; always the last layer.
    Softmax {
        /// Number of classes.
        classes: u32,
    },
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv { filters, field, stride } => write!(f, "C({filters},{field},{stride})"),
            Self::Pool { field, stride } => write!(f, "P({field},{stride})"),
            Self::Full { width } => write!(f, "FC({width})"),
            Self::GlobalAverage { classes } => write!(f, "GAP({classes})"),
            Self::Softmax { classes } => write!(f, "SM({classes})"),
        }
    }
}

/// A legal sequence of layers: what the agent samples and a trial trains.
///
/// ```
/// let net: qtrail::arch::Architecture = "[C(64,3,1), P(2,2), FC(128), SM(10)]".parse()?;
/// assert_eq!(net.layers().len(), 4);
/// assert_eq!(net.to_string(), "[C(64,3,1), P(2,2), FC(128), SM(10)]");
/// # Ok::<(), qtrail::arch::NotationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Architecture {
    layers: Vec<Layer>,
}

/// Why a sequence of layers is no architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalSequence {
    /// No layer at all.
    #[error("an architecture has at least one layer, SM(classes)")]
    Empty,
    /// More than [`LAYERS_MAX`] layers.
    #[error("{0} layers exceed the limit of {LAYERS_MAX}")]
    TooLong(usize),
    /// The last layer is not softmax.
    #[error("the last layer must be SM(classes), found {0}")]
    NoSoftmax(Layer),
    /// A layer stands where it cannot.
    #[error("{layer} cannot follow {previous}")]
    Order {
        /// The layer before.
        previous: Layer,
        /// The layer that cannot follow it.
        layer: Layer,
    },
    /// Global average pooling and softmax disagree on the classes.
    #[error("{0} and {1} disagree on the number of classes")]
    Classes(Layer, Layer),
}

impl Architecture {
    /// Makes an architecture of `layers`, softmax last.
    ///
    /// # Errors
    /// [`IllegalSequence`] if the layers cannot follow each other.
    pub fn new(layers: Vec<Layer>) -> Result<Self, IllegalSequence> {
        let last = *layers.last().ok_or(IllegalSequence::Empty)?;
        if layers.len() > LAYERS_MAX {
            return Err(IllegalSequence::TooLong(layers.len()));
        }
        for pair in layers.windows(2) {
            check_order(pair[0], pair[1])?;
        }
        match last {
            Layer::Softmax { .. } => Ok(Self { layers }),
            other => Err(IllegalSequence::NoSoftmax(other)),
        }
    }

    /// The layers, softmax last.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The same layers for another number of classes.
    #[must_use]
    pub fn with_classes(&self, classes: u32) -> Self {
        let adapted = |layer: &Layer| match layer {
            Layer::GlobalAverage { .. } => Layer::GlobalAverage { classes },
            Layer::Softmax { .. } => Layer::Softmax { classes },
            other => *other,
        };
        Self { layers: self.layers.iter().map(adapted).collect() }
    }

    /// Number of layers without softmax: the depth of the papers' figures.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len() - 1
    }

    /// Number of classes: the argument of softmax.
    #[must_use]
    pub fn classes(&self) -> u32 {
        match self.layers.last() {
            Some(Layer::Softmax { classes }) => *classes,
            _ => 0, // `new` admits nothing else as the last layer
        }
    }
}

fn check_order(previous: Layer, layer: Layer) -> Result<(), IllegalSequence> {
    let flat = |layer| matches!(layer, Layer::Full { .. } | Layer::Softmax { .. });
    let legal = match previous {
        Layer::Conv { .. } | Layer::Pool { .. } => true,
        Layer::Full { .. } => flat(layer),
        Layer::GlobalAverage { classes } => match layer {
            Layer::Softmax { classes: same } if same == classes => true,
            Layer::Softmax { .. } => return Err(IllegalSequence::Classes(previous, layer)),
            _ => false,
        },
        Layer::Softmax { .. } => false,
    };
    if legal { Ok(()) } else { Err(IllegalSequence::Order { previous, layer }) }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, layer) in self.layers.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{layer}")?;
        }
        f.write_str("]")
    }
}

impl std::str::FromStr for Architecture {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        Notation::parse(text)?.without_dropout()
    }
}

impl serde::Serialize for Architecture {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Architecture {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
