//! Networks: any legal architecture, built after its true shapes.

use tch::{Device, Kind, Tensor};

use super::TorchError;
use super::masks::Masks;
use super::parameters::{Pair, Parameters, Plan};
use crate::arch::shape::{LayerShape, Map};
use crate::arch::{Architecture, GapHead, Layer, PoolRule, Shapes, dropout};
use crate::config::recipe::{Precision, Recipe};

/// Whether dropout is at work.
#[derive(Debug)]
pub enum Mode<'a> {
    /// It is.
    Train(&'a mut Masks),
    /// It is not.
    Evaluate,
}

/// One operation of a network.
#[derive(Debug)]
enum Step {
    /// Padded so that stride 1 keeps the side.
    Conv { weights: Pair, stride: i64, padding: i64 },
    /// Max pooling without padding; what does not fill a window is left out.
    Pool { field: i64, stride: i64 },
    /// Reads a map as one long vector.
    Full { weights: Pair },
    /// What is below 0 becomes 0.
    Relu,
    /// Over the whole map.
    Average,
    /// Sets values to 0 with this probability. On a CPU the next layer scales the others up for it.
    Dropout(f64),
}

/// A network with its weights on a device. Its outputs are logits: softmax belongs to the loss.
///
/// In bfloat16, weights and values are cast before each layer: gradients come back through the casts,
/// so that the weights themselves, and whatever moves them, stay in single precision.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    parameters: Parameters,
    /// What layers compute in.
    kind: Kind,
}

/// What libtorch calls a precision.
pub fn kind_of(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

impl Network {
    /// Builds `architecture` for images like `input`, with initial weights that follow from `seed`
    /// on every device.
    ///
    /// # Errors
    /// [`TorchError`] if it does not fit the images or the memory.
    pub fn new(
        architecture: &Architecture,
        input: Map,
        recipe: &Recipe,
        seed: u64,
        device: Device,
    ) -> Result<Self, TorchError> {
        let shapes = Shapes::of(architecture, input, recipe.gap, PoolRule::True)?;
        let dropout = dropout::place(architecture, recipe.dropout);
        let mut plan = Plan::new(seed, recipe.init);
        let mut steps = Vec::new();
        for (shape, number) in shapes.layers.iter().zip(1..) {
            push_layer(&mut steps, &mut plan, shape, number, recipe.gap)?;
            let after = dropout.iter().filter(|dropout| dropout.after == number);
            steps.extend(after.map(|dropout| Step::Dropout(dropout.probability())));
        }
        Ok(Self { steps, parameters: plan.build(device)?, kind: kind_of(recipe.precision) })
    }

    /// The same network for evaluation alone, computing in `kind`, whatever it was trained in.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for it.
    pub fn frozen(self, kind: Kind) -> Result<Self, TorchError> {
        Ok(Self { parameters: self.parameters.frozen(kind)?, kind, ..self })
    }

    /// The weights.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The weights, to be frozen.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The logits of `images` (count x channels x side x side, f32): count x classes, f32.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn forward(&self, images: &Tensor, mut mode: Mode<'_>) -> Result<Tensor, TorchError> {
        let mut values = images.f_to_kind(self.kind)?;
        // What dropout has still to multiply the values by. Pooling and ReLU do not mind the order.
        let mut scale = 1.0;
        for step in &self.steps {
            values = match (step, &mut mode) {
                (Step::Dropout(probability), Mode::Train(masks)) => {
                    scale *= masks.drop_some(&mut values, *probability)?;
                    values
                }
                (step, _) => self.apply(step, values, &mut scale)?,
            };
        }
        debug_assert!(scale == 1.0, "a layer with weights follows every dropout");
        Ok(values.f_to_kind(Kind::Float)?)
    }

    /// Weights and biases of a layer as it computes with them, the weights times `scale`.
    fn operands(&self, layer: Pair, scale: f64) -> Result<(Tensor, Tensor), TorchError> {
        let (weight, bias) = (self.parameters.weight(layer), self.parameters.bias(layer));
        let weight = match scale {
            1.0 => weight.f_to_kind(self.kind)?,
            // In full precision: it is rounded once.
            scale => weight.f_mul_scalar(scale)?.f_to_kind(self.kind)?,
        };
        Ok((weight, bias.f_to_kind(self.kind)?))
    }

    fn apply(
        &self,
        step: &Step,
        mut values: Tensor,
        scale: &mut f64,
    ) -> Result<Tensor, TorchError> {
        Ok(match *step {
            Step::Conv { weights, stride, padding } => {
                // The weights are scaled, which are fewer than what they are applied to.
                let (weight, bias) = self.operands(weights, std::mem::replace(scale, 1.0))?;
                let steps = [stride, stride];
                values.f_conv2d(&weight, Some(&bias), steps, [padding, padding], [1, 1], 1)?
            }
            Step::Pool { field, stride } => {
                values.f_max_pool2d([field, field], [stride, stride], [0, 0], [1, 1], false)?
            }
            Step::Full { weights } => {
                let (weight, bias) = self.operands(weights, 1.0)?;
                let values = values.f_flatten(1, -1)?;
                match std::mem::replace(scale, 1.0) {
                    1.0 => values.f_linear(&weight, Some(&bias))?,
                    // The sums, which are fewer than the weights.
                    scale => {
                        let sums = values.f_linear(&weight, None::<Tensor>)?;
                        sums.f_mul_scalar(scale)?.f_add(&bias)?
                    }
                }
            }
            // In place: the backward pass of no layer needs what was there before.
            Step::Relu => values.f_relu_()?,
            Step::Average => values.f_mean_dim(&[2_i64, 3][..], false, None)?,
            Step::Dropout(_) => values,
        })
    }
}

/// Adds a pooling layer, before the ReLU if that is last: the maximum is the same, and there is less
/// to set to 0. So what is dropped is always the output of a ReLU, or of pooled images, into which no
/// gradient flows.
fn push_pool(steps: &mut Vec<Step>, field: u32, stride: u32) {
    let pool = Step::Pool { field: field.into(), stride: stride.into() };
    let place = steps.len() - usize::from(matches!(steps.last(), Some(Step::Relu)));
    steps.insert(place, pool);
}

fn push_layer(
    steps: &mut Vec<Step>,
    plan: &mut Plan,
    shape: &LayerShape,
    number: usize,
    gap: GapHead,
) -> Result<(), TorchError> {
    let channels = shape.input.channels;
    match shape.layer {
        Layer::Conv { filters, field, stride } => {
            let weights = plan.layer(number, &[filters, channels, field, field])?;
            let (stride, padding) = (stride.into(), (field / 2).into());
            steps.extend([Step::Conv { weights, stride, padding }, Step::Relu]);
        }
        Layer::Pool { field, stride } => push_pool(steps, field, stride),
        Layer::Full { width } => {
            let weights = plan.layer(number, &[width, values(shape)?])?;
            steps.extend([Step::Full { weights }, Step::Relu]);
        }
        Layer::GlobalAverage { classes } => {
            let weights = plan.layer(number, &[classes, channels, 1, 1])?;
            steps.push(Step::Conv { weights, stride: 1, padding: 0 });
            steps.extend((gap == GapHead::ReluAndFull).then_some(Step::Relu));
            steps.push(Step::Average);
        }
        // The averages of a GAP layer are the logits already.
        Layer::Softmax { .. } if shape.parameters == 0 => {}
        Layer::Softmax { classes } => {
            let weights = plan.layer(number, &[classes, values(shape)?])?;
            steps.push(Step::Full { weights });
        }
    }
    Ok(())
}

/// Values that a layer reads, as a dimension.
fn values(shape: &LayerShape) -> Result<u32, TorchError> {
    let values = shape.input.values();
    u32::try_from(values).map_err(|_| TorchError::Memory(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::dropout::DropoutRule;
    use crate::chance::Stream;

    const NETS: [&str; 7] = [
        "[C(6,3,1), C(6,3,1), P(2,2), SM(4)]",
        "[C(6,3,1), P(2,2), C(6,3,1), SM(4)]",
        "[C(6,3,1), P(2,2), C(6,3,1), P(2,2), FC(9), SM(4)]",
        "[C(6,3,1), P(2,2), P(2,2), SM(4)]",
        "[P(2,2), P(2,2), C(6,3,1), SM(4)]",
        "[C(6,3,1), FC(9), FC(7), SM(4)]",
        "[C(6,3,1), C(6,3,2), C(6,3,1), C(5,1,1), GAP(4), SM(4)]",
    ];

    /// The network layer by layer as the paper has it: ReLU at once, dropout as a product with a
    /// mask and a scale. In bfloat16, what goes into a layer and comes out of it is rounded.
    fn plain(net: &Architecture, recipe: &Recipe, network: &Network, images: &Tensor) -> Tensor {
        let kind = kind_of(recipe.precision);
        let round = |values: &Tensor| values.to_kind(kind).to_kind(Kind::Float);
        let mut masks = Masks::new(5);
        let dropout = dropout::place(net, recipe.dropout);
        let mut leaves = network.parameters.leaves().chunks(2);
        let mut values = round(images);
        for (layer, number) in net.layers().iter().zip(1..) {
            let conv = |values: &Tensor, pair: &[Tensor], stride: u32, field: u32| {
                let (steps, padding) = ([i64::from(stride); 2], [i64::from(field / 2); 2]);
                values.conv2d(&round(&pair[0]), Some(&round(&pair[1])), steps, padding, [1, 1], 1)
            };
            let full = |values: &Tensor, pair: &[Tensor]| {
                values.flatten(1, -1).linear(&round(&pair[0]), Some(&round(&pair[1])))
            };
            values = match *layer {
                Layer::Conv { field, stride, .. } => {
                    conv(&values, leaves.next().unwrap(), stride, field).relu()
                }
                Layer::Pool { field, stride } => {
                    let (field, stride) = ([i64::from(field); 2], [i64::from(stride); 2]);
                    values.max_pool2d(field, stride, [0, 0], [1, 1], false)
                }
                Layer::Full { .. } => full(&values, leaves.next().unwrap()).relu(),
                Layer::GlobalAverage { .. } => {
                    let maps = conv(&values, leaves.next().unwrap(), 1, 1);
                    let maps = if recipe.gap == GapHead::ReluAndFull { maps.relu() } else { maps };
                    maps.mean_dim(&[2_i64, 3][..], false, None)
                }
                Layer::Softmax { .. } => match leaves.next() {
                    Some(pair) => full(&values, pair),
                    None => values,
                },
            };
            for dropout in dropout.iter().filter(|dropout| dropout.after == number) {
                let mut mask = Tensor::ones(values.size(), (Kind::Float, Device::Cpu));
                let scale = masks.drop_some(&mut mask, dropout.probability()).unwrap();
                values = values * mask * scale;
            }
            values = round(&values);
        }
        values
    }

    fn images() -> Tensor {
        let mut chance = Stream::new(1, "test", 0);
        let numbers: Vec<f64> = (0..5 * 2 * 64).map(|_| chance.unit() - 0.5).collect();
        Tensor::from_slice(&numbers).view([5, 2, 8, 8]).to_kind(Kind::Float)
    }

    const INPUT: Map = Map { channels: 2, side: 8 };

    #[test]
    fn outputs_and_gradients_are_those_of_the_layers_one_by_one() {
        let images = images();
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 0]);
        let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let cases = NETS.iter().flat_map(|net| {
            [(GapHead::Direct, 0), (GapHead::ReluAndFull, 0), (GapHead::Direct, 1)]
                .map(|(gap, frozen)| (*net, gap, frozen))
        });
        for (net, gap, frozen) in cases {
            let recipe = Recipe { gap, dropout: DropoutRule::Placed, ..Recipe::default() };
            let architecture: Architecture = net.parse().unwrap();
            let mut network = Network::new(&architecture, INPUT, &recipe, 3, Device::Cpu).unwrap();
            network.parameters_mut().freeze(frozen).unwrap();
            let found = network.forward(&images, Mode::Train(&mut Masks::new(5))).unwrap();
            let expected = plain(&architecture, &recipe, &network, &images);
            assert!(off(&found, &expected) < 1e-5, "{net}: {found:?} {expected:?}");
            let [found, expected] = [found, expected].map(|logits| {
                let loss = logits.cross_entropy_for_logits(&labels);
                network.parameters().gradient(&loss).unwrap()
            });
            assert!(off(&found, &expected) < 1e-5, "{net}, {frozen} frozen");
            assert!(found.abs().max().double_value(&[]) > 1e-3, "{net}");
        }
    }

    #[test]
    fn in_bfloat16_layers_are_rounded_and_weights_and_gradients_are_not() {
        let images = images();
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 0]);
        let norm = |values: &Tensor| values.square().sum(Kind::Double).sqrt().double_value(&[]);
        let off = |found: &Tensor, expected: &Tensor| norm(&(found - expected)) / norm(expected);
        for (net, gap) in NETS.iter().zip([GapHead::Direct, GapHead::ReluAndFull].iter().cycle()) {
            let recipe = Recipe { gap: *gap, dropout: DropoutRule::Placed, ..Recipe::default() };
            let half = Recipe { precision: Precision::Bf16, ..recipe.clone() };
            let architecture: Architecture = net.parse().unwrap();
            let network = |recipe: &Recipe| {
                Network::new(&architecture, INPUT, recipe, 3, Device::Cpu).unwrap()
            };
            let (full, network) = (network(&recipe), network(&half));
            assert!(network.parameters.buffer() == full.parameters.buffer(), "{net}");
            let forward = |network: &Network| {
                network.forward(&images, Mode::Train(&mut Masks::new(5))).unwrap()
            };
            let (found, exact) = (forward(&network), forward(&full));
            assert!(found == forward(&network), "{net}: it repeats");
            let expected = plain(&architecture, &half, &network, &images);
            assert_eq!(found.kind(), Kind::Float);
            // 8 bits: half a unit in the last place is 2^-9 of a value.
            assert!(off(&found, &expected) < 0.01, "{net}: {found:?} {expected:?}");
            assert!((1e-4..0.05).contains(&off(&found, &exact)), "{net}: {}", off(&found, &exact));
            let gradient = |network: &Network, logits: &Tensor| {
                let loss = logits.cross_entropy_for_logits(&labels);
                network.parameters().gradient(&loss).unwrap()
            };
            let (found, exact) = (gradient(&network, &found), gradient(&full, &exact));
            assert_eq!(found.kind(), Kind::Float);
            assert!((1e-4..0.1).contains(&off(&found, &exact)), "{net}: {}", off(&found, &exact));
            // For an attack in single precision it computes as one that was trained so.
            let pair = [network, full].map(|network| network.frozen(Kind::Float).unwrap());
            let [half, full] =
                pair.map(|network| network.forward(&images, Mode::Evaluate).unwrap());
            assert!(half == full, "{net}");
        }
    }
}
