//! The weights and biases of a network: named tensors that share one buffer.
//!
//! One buffer, because an optimiser step or a copy of all weights is then a few operations on one
//! long vector, not a few for each layer: on a GPU, small networks are bound by the number of
//! operations.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::files::{failed, read, write_tensors};
use super::{TorchError, memory};
use crate::chance::Stream;
use crate::config::recipe::Init;

/// Every tensor begins at a multiple of this many values (256 bytes), as an allocation of its own
/// would: kernels for vectors depend on it.
const ALIGNMENT: usize = 64;
/// Bytes that training takes for each parameter at least: its value, its gradient, and two running
/// means of the optimiser.
const BYTES_EACH: u64 = 16;

/// A weight or bias that is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    name: String,
    /// Number of its layer, from 1.
    layer: usize,
    shape: Vec<i64>,
    /// Place in the buffer.
    start: usize,
    length: usize,
}

/// A plan of all weights, with their initial values.
#[derive(Debug)]
pub struct Plan {
    slots: Vec<Slot>,
    values: Vec<f32>,
    seed: u64,
    init: Init,
}

/// Weights and biases on a device.
#[derive(Debug)]
pub struct Parameters {
    slots: Vec<Slot>,
    /// All values, with gaps that stay 0.
    buffer: Tensor,
    /// One leaf of the autograd graph a slot; it shares the buffer.
    leaves: Vec<Tensor>,
    /// Zeros for the gap after each slot.
    gaps: Vec<Tensor>,
    /// The first slot that is trained.
    first: usize,
}

/// Weight and bias of a layer, as numbers within [`Parameters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    weight: usize,
    bias: usize,
}

impl Plan {
    /// Nothing yet. Each layer's weights follow from `seed` and the layer's number alone.
    #[must_use]
    pub fn new(seed: u64, init: Init) -> Self {
        Self { slots: Vec::new(), values: Vec::new(), seed, init }
    }

    /// Adds the weights (`shape`: outputs, inputs, then field twice for a convolution) and biases
    /// of layer `number` (from 1).
    ///
    /// # Errors
    /// [`TorchError::Memory`] if they do not fit.
    pub fn layer(&mut self, number: usize, shape: &[u32]) -> Result<Pair, TorchError> {
        let field: u64 = shape.iter().skip(2).map(|&side| u64::from(side)).product();
        let fan = |index: usize| shape.get(index).map_or(1, |&n| u64::from(n)) * field;
        let (fan_out, fan_in) = (fan(0), fan(1));
        let bound = match self.init {
            Init::Glorot => (6.0 / (fan_in + fan_out) as f64).sqrt(),
            Init::FanIn => (3.0 / fan_in as f64).sqrt(),
        };
        let weight = self.slot(number, "weight", shape)?;
        let mut chance = Stream::new(self.seed, "init", number as u64);
        let range = self.range(weight);
        let values = self.values.get_mut(range).unwrap_or_default();
        values.fill_with(|| uniform(&mut chance, bound));
        let bias = self.slot(number, "bias", shape.get(..1).unwrap_or_default())?;
        Ok(Pair { weight, bias })
    }

    /// Adds a tensor of zeros.
    fn slot(&mut self, layer: usize, what: &str, shape: &[u32]) -> Result<usize, TorchError> {
        let count = shape.iter().try_fold(1_u64, |count, &n| count.checked_mul(n.into()));
        let too_large = || TorchError::Memory(count.unwrap_or(u64::MAX));
        let length = count.and_then(|count| usize::try_from(count).ok()).ok_or_else(too_large)?;
        let start = self.values.len();
        let end = start.checked_add(length).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        let end = end.ok_or_else(too_large)?;
        // The system grants memory that it does not have, and kills later: then the trial is lost
        // and repeated, where it could be known to be impossible.
        if (end as u64).saturating_mul(BYTES_EACH) > memory::of_machine() {
            return Err(too_large());
        }
        self.values.try_reserve(end - start).map_err(|_| too_large())?;
        self.values.resize(end, 0.0);
        let shape = shape.iter().map(|&n| i64::from(n)).collect();
        let name = format!("layer{layer}.{what}");
        self.slots.push(Slot { name, layer, shape, start, length });
        Ok(self.slots.len() - 1)
    }

    fn range(&self, slot: usize) -> std::ops::Range<usize> {
        self.slots.get(slot).map_or(0..0, |slot| slot.start..slot.start + slot.length)
    }

    /// Puts them on `device`.
    ///
    /// # Errors
    /// [`TorchError`] if they do not fit there.
    pub fn build(self, device: Device) -> Result<Parameters, TorchError> {
        let buffer = Tensor::f_from_slice(&self.values)?.f_to_device(device)?;
        let (mut leaves, mut gaps) = (Vec::new(), Vec::new());
        for (index, slot) in self.slots.iter().enumerate() {
            let end = self.slots.get(index + 1).map_or(self.values.len(), |next| next.start);
            let gap = end - slot.start - slot.length;
            gaps.push(Tensor::f_zeros([length(gap)], (Kind::Float, device))?);
            let leaf = slot.of(&buffer)?.f_detach()?.f_set_requires_grad(true)?;
            leaves.push(leaf);
        }
        Ok(Parameters { slots: self.slots, buffer, leaves, gaps, first: 0 })
    }
}

/// A number within ± `bound`: 24 random bits, all that a float of this size can hold.
fn uniform(chance: &mut Stream, bound: f64) -> f32 {
    let share = (chance.bits() >> 40) as f64 / f64::from(1 << 24);
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    return ((2.0 * share - 1.0) * bound) as f32;
}

/// A length as libtorch wants it; no buffer is as long as i64 can say.
fn length(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Slot {
    fn of(&self, buffer: &Tensor) -> Result<Tensor, TorchError> {
        let flat = buffer.f_narrow(0, length(self.start), length(self.length))?;
        Ok(flat.f_view(self.shape.as_slice())?)
    }
}

impl Parameters {
    /// All weights and biases, in the order of layers.
    #[cfg(test)]
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// The weights of a layer.
    pub fn weight(&self, pair: Pair) -> &Tensor {
        &self.leaves[pair.weight]
    }

    /// The biases of a layer.
    pub fn bias(&self, pair: Pair) -> &Tensor {
        &self.leaves[pair.bias]
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.slots.iter().map(|slot| slot.length as u64).sum()
    }

    /// All values, gaps included; changing them changes the network.
    pub fn buffer(&self) -> &Tensor {
        &self.buffer
    }

    /// The values that are trained: all, unless some are frozen. Changing them changes the network.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn trained(&self) -> Result<Tensor, TorchError> {
        let start = self.slots.get(self.first).map_or(0, |slot| length(slot.start));
        Ok(self.buffer.f_narrow(0, start, length(self.buffer.numel()) - start)?)
    }

    /// Takes `layers` layers, from the first on, out of training.
    ///
    /// # Errors
    /// [`TorchError::Request`] if nothing is left.
    pub fn freeze(&mut self, layers: usize) -> Result<(), TorchError> {
        let left = self.slots.iter().position(|slot| slot.layer > layers);
        self.first = left.ok_or_else(|| {
            TorchError::Request(format!("with {layers} frozen layers nothing is left to train"))
        })?;
        for leaf in self.leaves.iter_mut().take(self.first) {
            let _ = leaf.f_set_requires_grad(false)?;
        }
        Ok(())
    }

    /// Sets all values.
    ///
    /// # Errors
    /// [`TorchError::Request`] if they are not as many.
    pub fn set(&self, values: &Tensor) -> Result<(), TorchError> {
        if values.size() != self.buffer.size() {
            return Err(TorchError::Request("the weights are those of another network".into()));
        }
        self.buffer.shallow_clone().f_copy_(values)?;
        Ok(())
    }

    /// Takes over the values of some layers from a file that [`Parameters::save`] wrote.
    ///
    /// # Errors
    /// [`TorchError`] if it cannot be read, or a layer is not in it or has another shape there.
    pub fn take_over(&self, path: &Path, layers: &[u16]) -> Result<(), TorchError> {
        let bytes = read(path)?;
        let file = SafeTensors::deserialize(&bytes).map_err(failed("read", path))?;
        for slot in
            self.slots.iter().filter(|slot| layers.iter().any(|&n| slot.layer == usize::from(n)))
        {
            let view = file.tensor(&slot.name).map_err(failed("read", path))?;
            let shape: Vec<i64> = view.shape().iter().map(|&side| length(side)).collect();
            if shape != slot.shape {
                let (name, expected) = (&slot.name, &slot.shape);
                let message = format!("{name} has shape {shape:?} in the file, not {expected:?}");
                return Err(TorchError::Request(message));
            }
            let (four, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = four.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let place = self.buffer.f_narrow(0, length(slot.start), length(slot.length))?;
            place.shallow_clone().f_copy_(&Tensor::f_from_slice(&values)?)?;
        }
        Ok(())
    }

    /// A copy of all values as they are now.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for it.
    pub fn snapshot(&self) -> Result<Tensor, TorchError> {
        let mut copy = self.buffer.f_empty_like()?;
        copy.f_copy_(&self.buffer)?;
        Ok(copy)
    }

    /// The gradient of `loss` by the values that are trained, in the order of the buffer.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn gradient(&self, loss: &Tensor) -> Result<Tensor, TorchError> {
        let leaves = &self.leaves[self.first..];
        let gradients = Tensor::f_run_backward(&[loss], leaves, false, false)?;
        let mut parts = Vec::with_capacity(2 * gradients.len());
        for (gradient, gap) in gradients.iter().zip(&self.gaps[self.first..]) {
            parts.push(gradient.f_reshape([-1])?);
            parts.push(gap.shallow_clone());
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Takes over the values of a weights file that [`Parameters::save`] wrote for the same network.
    ///
    /// # Errors
    /// [`TorchError`] if it cannot be read, or belongs to another network.
    pub fn load(&self, path: &Path) -> Result<(), TorchError> {
        let bytes = read(path)?;
        let file = SafeTensors::deserialize(&bytes).map_err(failed("read", path))?;
        if file.len() != self.slots.len() {
            let (found, expected) = (file.len(), self.slots.len());
            let wrong = format!("it has {found} tensors, the network {expected}");
            return Err(failed("read", path)(wrong));
        }
        let _guard = tch::no_grad_guard();
        for (slot, leaf) in self.slots.iter().zip(&self.leaves) {
            let view = file.tensor(&slot.name).map_err(failed("read", path))?;
            let same = view.shape().iter().map(|&n| length(n)).eq(slot.shape.iter().copied());
            if view.dtype() != Dtype::F32 || !same {
                let name = &slot.name;
                return Err(failed("read", path)(format!("{name} is not what the network has")));
            }
            let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let values: Vec<f32> = view.data().chunks_exact(4).map(value).collect();
            let values = Tensor::f_from_slice(&values)?.f_view(slot.shape.as_slice())?;
            leaf.shallow_clone().f_copy_(&values)?;
        }
        Ok(())
    }

    /// The same values in `kind`, for evaluation alone: nothing is differentiated by them.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for it.
    pub fn frozen(mut self, kind: Kind) -> Result<Self, TorchError> {
        self.buffer = self.buffer.f_to_kind(kind)?;
        let leaf = |slot: &Slot| Ok(slot.of(&self.buffer)?.f_detach()?);
        self.leaves = self.slots.iter().map(leaf).collect::<Result<_, TorchError>>()?;
        Ok(self)
    }

    /// Writes `values`, a snapshot or the buffer itself, as safetensors to `path`.
    ///
    /// The bytes follow from names, shapes and values alone.
    ///
    /// # Errors
    /// [`TorchError::File`] if that fails.
    pub fn save(&self, buffer: &Tensor, path: &Path) -> Result<(), TorchError> {
        let mut values = vec![0_f32; buffer.numel()];
        buffer.f_to_device(Device::Cpu)?.f_copy_data(&mut values, buffer.numel())?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut views = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let shape = slot.shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
            let data = bytes.get(4 * slot.start..4 * (slot.start + slot.length));
            let view = TensorView::new(Dtype::F32, shape, data.unwrap_or_default());
            views.push((slot.name.as_str(), view.map_err(failed("write", path))?));
        }
        write_tensors(path, views)
    }
}
