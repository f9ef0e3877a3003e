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
    Conv { weights: Pair, stride: i64, padding: i64 },
    /// Max pooling without padding; what does not fill a window is left out.
    Pool { field: i64, stride: i64 },
    /// Reads a map as one long vector.
    Full { weights: Pair },
    /// What is below 0 becomes 0.
    Relu,
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

    /// The same network for evaluation alone, computing in `kind`.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for it.
    pub fn frozen(self, kind: tch::Kind) -> Result<Self, TorchError> {
        Ok(Self { parameters: self.parameters.frozen(kind)?, ..self })
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
        Ok(values)
    }

    fn apply(
        &self,
        step: &Step,
        mut values: Tensor,
        scale: &mut f64,
    ) -> Result<Tensor, TorchError> {
        let mut scaled = |weights: Pair| -> Result<Tensor, TorchError> {
            let weight = self.parameters.weight(weights);
            match std::mem::replace(scale, 1.0) {
                1.0 => Ok(weight.shallow_clone()),
                scale => Ok(weight.f_mul_scalar(scale)?),
            }
        };
        Ok(match *step {
            Step::Conv { weights, stride, padding } => {
                let (weight, bias) = (scaled(weights)?, Some(self.parameters.bias(weights)));
                let (steps, padding) = ([stride, stride], [padding, padding]);
                values.f_conv2d(&weight, bias, steps, padding, [1, 1], 1)?
            }
            Step::Pool { field, stride } => {
                values.f_max_pool2d([field, field], [stride, stride], [0, 0], [1, 1], false)?
            }
            Step::Full { weights } => {
                let (weight, bias) = (scaled(weights)?, Some(self.parameters.bias(weights)));
                values.f_flatten(1, -1)?.f_linear(&weight, bias)?
            }
            // In place: the backward pass of no layer needs what was there before.
            Step::Relu => values.f_relu_()?,
            Step::Average => values.f_mean_dim(&[2_i64, 3][..], false, None)?,
            Step::Dropout(_) => values,
        })
    }
}

/// Adds a ReLU, or a pooling layer before the ReLUs that are last: the maximum is the same, and
/// there is less to set to 0. So what is dropped is always the output of a ReLU, or of a pooled
/// image, which nothing is differentiated by.
fn push_pool(steps: &mut Vec<Step>, field: u32, stride: u32) {
    let relus = steps.iter().rev().take_while(|step| matches!(step, Step::Relu)).count();
    let pool = Step::Pool { field: field.into(), stride: stride.into() };
    steps.insert(steps.len() - relus, pool);
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
