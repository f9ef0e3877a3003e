//! Networks: any legal architecture, built after its true shapes.

use tch::{Device, Tensor};

use super::TorchError;
use super::masks::Masks;
use super::parameters::{Pair, Parameters, Plan};
use crate::arch::shape::{LayerShape, Map};
use crate::arch::{Architecture, GapHead, Layer, PoolRule, Shapes, dropout};
use crate::config::recipe::Recipe;

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
    Conv { weights: Pair, stride: i64, padding: i64, relu: bool },
    /// Max pooling without padding; what does not fill a window is left out.
    Pool { field: i64, stride: i64 },
    /// Reads a map as one long vector.
    Full { weights: Pair, relu: bool },
    /// Over the whole map.
    Average,
    /// Sets values to 0 with this probability, and scales the others up for it.
    Dropout(f64),
}

/// A network with its weights on a device. Its outputs are logits: softmax belongs to the loss.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    parameters: Parameters,
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
        Ok(Self { steps, parameters: plan.build(device)? })
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

    /// The logits of `images` (count x channels x side x side, f32): count x classes.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn forward(&self, images: &Tensor, mut mode: Mode<'_>) -> Result<Tensor, TorchError> {
        let mut values = images.shallow_clone();
        for step in &self.steps {
            values = self.apply(step, values, &mut mode)?;
        }
        Ok(values)
    }

    fn apply(
        &self,
        step: &Step,
        values: Tensor,
        mode: &mut Mode<'_>,
    ) -> Result<Tensor, TorchError> {
        Ok(match *step {
            Step::Conv { weights, stride, padding, relu } => {
                let (weight, bias) =
                    (self.parameters.weight(weights), self.parameters.bias(weights));
                let steps = [stride, stride];
                activate(
                    values.f_conv2d(weight, Some(bias), steps, [padding, padding], [1, 1], 1)?,
                    relu,
                )?
            }
            Step::Pool { field, stride } => {
                values.f_max_pool2d([field, field], [stride, stride], [0, 0], [1, 1], false)?
            }
            Step::Full { weights, relu } => {
                let (weight, bias) =
                    (self.parameters.weight(weights), self.parameters.bias(weights));
                activate(values.f_flatten(1, -1)?.f_linear(weight, Some(bias))?, relu)?
            }
            Step::Average => values.f_mean_dim(&[2_i64, 3][..], false, None)?,
            Step::Dropout(probability) => match mode {
                Mode::Train(masks) => masks.drop_some(&values, probability)?,
                Mode::Evaluate => values,
            },
        })
    }
}

/// In place: the backward pass of neither layer needs what was there before.
fn activate(mut values: Tensor, relu: bool) -> Result<Tensor, TorchError> {
    if relu { Ok(values.f_relu_()?) } else { Ok(values) }
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
            steps.push(Step::Conv { weights, stride, padding, relu: true });
        }
        Layer::Pool { field, stride } => {
            steps.push(Step::Pool { field: field.into(), stride: stride.into() });
        }
        Layer::Full { width } => {
            let weights = plan.layer(number, &[width, values(shape)?])?;
            steps.push(Step::Full { weights, relu: true });
        }
        Layer::GlobalAverage { classes } => {
            let weights = plan.layer(number, &[classes, channels, 1, 1])?;
            let relu = gap == GapHead::ReluAndFull;
            steps.push(Step::Conv { weights, stride: 1, padding: 0, relu });
            steps.push(Step::Average);
        }
        // The averages of a GAP layer are the logits already.
        Layer::Softmax { .. } if shape.parameters == 0 => {}
        Layer::Softmax { classes } => {
            let weights = plan.layer(number, &[classes, values(shape)?])?;
            steps.push(Step::Full { weights, relu: false });
        }
    }
    Ok(())
}

/// Values that a layer reads, as a dimension.
fn values(shape: &LayerShape) -> Result<u32, TorchError> {
    let values = shape.input.values();
    u32::try_from(values).map_err(|_| TorchError::Memory(values))
}
