//! True shapes, parameter counts and multiply-adds.
//!
//! One size rule for search and trainer alike, `floor((side - field) / stride) + 1`. The paper's
//! printed parameter counts follow another one (Tables A2 and A3); [`PoolRule`] names both.

use super::{Architecture, Layer};

/// How the side of a map follows from pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolRule {
    /// `floor((side - field) / stride) + 1`: what the search assumes and the trainer computes.
    True,
    /// `floor((side - field + 1) / stride)`: what the paper's parameter counts were made with.
    Printed,
}

/// What follows the average of a GAP layer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, Hash,
)]
#[serde(rename_all = "kebab-case")]
pub enum GapHead {
    /// Nothing: no ReLU, the averages are the logits (Baker et al. 2017, section 4.2).
    #[default]
    Direct,
    /// ReLU before the average and a further fully connected layer (the authors' code).
    ReluAndFull,
}

/// Channels and side of a map; a flat layer has side 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// Channels, or neurons of a flat layer.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
}

impl Map {
    /// Values in the map.
    #[must_use]
    pub fn values(self) -> u64 {
        u64::from(self.channels) * u64::from(self.side) * u64::from(self.side)
    }
}

/// One layer with what goes in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// The layer.
    pub layer: Layer,
    /// What it reads.
    pub input: Map,
    /// What it writes.
    pub output: Map,
    /// Weights and biases.
    pub parameters: u64,
    /// Multiplications with a weight, for one image.
    pub multiply_adds: u64,
}

/// The shapes of an architecture on images of a given size, layer by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes {
    /// One entry a layer, softmax included.
    pub layers: Vec<LayerShape>,
}

/// Why an architecture does not fit images of a given size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A pooling window larger than its map.
    #[error("layer {number}, {layer}: its field exceeds the map of side {side}")]
    FieldTooLarge {
        /// Number of the layer, from 1.
        number: usize,
        /// The layer.
        layer: Layer,
        /// Side of the map it would read.
        side: u32,
    },
    /// A convolution whose padding cannot be symmetric.
    #[error("layer {number}, {layer}: convolutions have an odd field")]
    EvenField {
        /// Number of the layer, from 1.
        number: usize,
        /// The layer.
        layer: Layer,
    },
}

impl Shapes {
    /// Follows an image of `input` channels and side through `architecture`.
    ///
    /// # Errors
    /// [`ShapeError`] naming the first layer that does not fit.
    pub fn of(
        architecture: &Architecture,
        input: Map,
        gap: GapHead,
        rule: PoolRule,
    ) -> Result<Self, ShapeError> {
        let mut layers: Vec<LayerShape> = Vec::with_capacity(architecture.layers().len());
        for (index, &layer) in architecture.layers().iter().enumerate() {
            let before = layers.last();
            let input = before.map_or(input, |before| before.output);
            let after_gap = before.is_some_and(|b| matches!(b.layer, Layer::GlobalAverage { .. }));
            let averages_are_logits = after_gap && gap == GapHead::Direct;
            layers.push(layer_shape(layer, input, averages_are_logits, rule, index + 1)?);
        }
        Ok(Self { layers })
    }

    /// Whether the layer of this index has weights, and `other` has as many in the same places
    /// there: only then can they be taken over.
    #[must_use]
    pub fn weights_fit(&self, other: &Self, index: usize) -> bool {
        let (Some(here), Some(there)) = (self.layers.get(index), other.layers.get(index)) else {
            return false;
        };
        let read = |shape: &LayerShape| match shape.layer {
            Layer::Conv { .. } | Layer::GlobalAverage { .. } => shape.input.channels.into(),
            _ => shape.input.values(),
        };
        let written = |shape: &LayerShape| shape.output.channels;
        here.parameters > 0
            && here.parameters == there.parameters
            && std::mem::discriminant(&here.layer) == std::mem::discriminant(&there.layer)
            && (read(here), written(here)) == (read(there), written(there))
    }

    /// Weights and biases of the whole network.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.parameters))
    }

    /// Multiplications with a weight for one image.
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.multiply_adds))
    }
}

/// One layer, `number` from 1, on a map. `averages_are_logits`: it follows GAP, and has no weights
/// if it is softmax.
///
/// # Errors
/// [`ShapeError`] if it does not fit.
pub fn layer_shape(
    layer: Layer,
    input: Map,
    averages_are_logits: bool,
    rule: PoolRule,
    number: usize,
) -> Result<LayerShape, ShapeError> {
    let output = output(layer, input, rule, number)?;
    let weights = weights(layer, input, averages_are_logits);
    let (parameters, multiply_adds) = (weights.parameters(), weights.multiply_adds(input, output));
    Ok(LayerShape { layer, input, output, parameters, multiply_adds })
}

/// Side after a convolution padded by half its field: stride 1 keeps it.
#[must_use]
pub fn conv_side(side: u32, stride: u32) -> u32 {
    (side - 1) / stride + 1
}

/// Side after pooling, or `None` if the window exceeds the map.
#[must_use]
pub fn pool_side(side: u32, field: u32, stride: u32, rule: PoolRule) -> Option<u32> {
    let room = side.checked_sub(field)?;
    match rule {
        PoolRule::True => Some(room / stride + 1),
        PoolRule::Printed => Some((room + 1) / stride),
    }
}

fn output(layer: Layer, input: Map, rule: PoolRule, number: usize) -> Result<Map, ShapeError> {
    Ok(match layer {
        Layer::Conv { field, .. } if field % 2 == 0 => {
            return Err(ShapeError::EvenField { number, layer });
        }
        Layer::Conv { filters, stride, .. } => {
            Map { channels: filters, side: conv_side(input.side, stride) }
        }
        Layer::Pool { field, stride } => {
            let side = pool_side(input.side, field, stride, rule).filter(|&side| side > 0);
            let too_large = ShapeError::FieldTooLarge { number, layer, side: input.side };
            Map { channels: input.channels, side: side.ok_or(too_large)? }
        }
        Layer::Full { width } => Map { channels: width, side: 1 },
        Layer::GlobalAverage { classes } | Layer::Softmax { classes } => {
            Map { channels: classes, side: 1 }
        }
    })
}

/// The weights of a layer: none, a kernel that slides over the map, or a matrix.
enum Weights {
    None,
    Kernel { filters: u64, size: u64, everywhere: bool },
    Matrix { inputs: u64, outputs: u64 },
}

fn weights(layer: Layer, input: Map, averages_are_logits: bool) -> Weights {
    let channels = u64::from(input.channels);
    match layer {
        Layer::Conv { filters, field, .. } => {
            let size = channels * u64::from(field) * u64::from(field);
            Weights::Kernel { filters: u64::from(filters), size, everywhere: false }
        }
        Layer::GlobalAverage { classes } => {
            Weights::Kernel { filters: u64::from(classes), size: channels, everywhere: true }
        }
        Layer::Softmax { .. } if averages_are_logits => Weights::None,
        Layer::Pool { .. } => Weights::None,
        Layer::Full { width: outputs } | Layer::Softmax { classes: outputs } => {
            Weights::Matrix { inputs: input.values(), outputs: u64::from(outputs) }
        }
    }
}

/// Numbers beyond 2^64 stay at the highest: no limit admits them, and nothing can be trained.
impl Weights {
    fn parameters(&self) -> u64 {
        match *self {
            Self::None => 0,
            Self::Kernel { filters, size, .. } => {
                filters.saturating_mul(size).saturating_add(filters)
            }
            Self::Matrix { inputs, outputs } => {
                inputs.saturating_mul(outputs).saturating_add(outputs)
            }
        }
    }

    fn multiply_adds(&self, input: Map, output: Map) -> u64 {
        match *self {
            Self::None => 0,
            // The 1x1 convolution of GAP covers its input; its output is the average.
            Self::Kernel { filters, size, everywhere } => {
                let side = u64::from(if everywhere { input.side } else { output.side });
                filters.saturating_mul(size).saturating_mul(side * side)
            }
            Self::Matrix { inputs, outputs } => inputs.saturating_mul(outputs),
        }
    }
}
