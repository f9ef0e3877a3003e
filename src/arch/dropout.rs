//! Where dropout goes and how strong it is: derived from the topology.
//!
//! After every second layer and after every fully connected layer, with probability
//! `i / (2 n)` for the i-th of n (Baker et al. 2017, section 4.2). Paper and code count n
//! differently.

use super::{Architecture, Layer};

/// What n counts in `i / (2 n)`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, Hash,
)]
#[serde(rename_all = "kebab-case")]
pub enum DropoutRule {
    /// The dropout layers that are really placed, so that the last has probability 1/2 (paper).
    #[default]
    Placed,
    /// `floor((layers - GAP - FC) / 2) + FC`, softmax counted: a slot that falls on softmax counts
    /// too, so that the last probability may be below 1/2 (the authors' published code).
    Slots,
    /// The rule the authors' SVHN log was written with; recognised when such a log is imported.
    Logged,
    /// No dropout.
    None,
}

/// One dropout layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropout {
    /// Number of layers before it.
    pub after: usize,
    /// Its number i, from 1.
    pub index: u32,
    /// The count n.
    pub of: u32,
}

impl Dropout {
    /// Probability of dropping a value, `i / (2 n)`.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.index) / f64::from(2 * self.of)
    }
}

/// The dropout layers of `architecture` under `rule`, in order.
#[must_use]
pub fn place(architecture: &Architecture, rule: DropoutRule) -> Vec<Dropout> {
    let layers = architecture.layers();
    let limit = match rule {
        DropoutRule::None => 0,
        DropoutRule::Placed => u32::MAX,
        DropoutRule::Slots => slots(layers),
        DropoutRule::Logged => logged(layers),
    };
    let wanted = layers.iter().enumerate().filter(|&(index, layer)| match layer {
        Layer::Softmax { .. } | Layer::GlobalAverage { .. } => false,
        Layer::Full { .. } => true,
        Layer::Conv { .. } | Layer::Pool { .. } => index % 2 == 1,
    });
    let mut placed: Vec<Dropout> = (1..=limit)
        .zip(wanted)
        .map(|(number, (index, _))| Dropout { after: index + 1, index: number, of: limit })
        .collect();
    if rule == DropoutRule::Placed {
        let count = u32::try_from(placed.len()).unwrap_or(u32::MAX);
        placed.iter_mut().for_each(|dropout| dropout.of = count);
    }
    placed
}

fn slots(layers: &[Layer]) -> u32 {
    let (length, gap, full) = counts(layers);
    (length - gap - full) / 2 + full
}

fn logged(layers: &[Layer]) -> u32 {
    match counts(layers) {
        (length, 1.., _) => length.saturating_sub(2) / 2,
        (length, 0, 0) => length / 2,
        (length, 0, 1) => length / 2 + 1,
        (length, 0, full) => (length - 1) / 2 + full,
    }
}

/// Layers with softmax, GAP layers, fully connected layers.
fn counts(layers: &[Layer]) -> (u32, u32, u32) {
    let count = |wanted: fn(&Layer) -> bool| {
        u32::try_from(layers.iter().filter(|layer| wanted(layer)).count()).unwrap_or(u32::MAX)
    };
    (
        count(|_| true),
        count(|layer| matches!(layer, Layer::GlobalAverage { .. })),
        count(|layer| matches!(layer, Layer::Full { .. })),
    )
}
