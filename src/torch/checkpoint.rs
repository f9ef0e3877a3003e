//! Checkpoints: all that a training needs to go on after an epoch as if it had never stopped.
//!
//! A safetensors file: the parameters, the state of the optimiser, the best parameters so far, and
//! some numbers. Chance is addressed by epoch, so none of it is kept; the masks of dropout are one
//! stream, of which the place is.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Tensor};

use super::TorchError;
use super::files::{failed, read, write_tensors};

/// Numbers in a checkpoint.
const NUMBERS: usize = 6;

/// A checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Restarts before it, from 0.
    pub restart: u32,
    /// The epoch after which it was made.
    pub epoch: u32,
    /// Numbers drawn from the stream of dropout masks.
    pub drawn: u64,
    /// All parameters, as they lie in their buffer.
    pub weights: Tensor,
    /// Right validation images of the best epoch, and its parameters, if those are wanted.
    pub best: Option<(u32, Tensor)>,
    /// Tensors of the optimiser.
    pub tensors: Vec<Tensor>,
    /// Numbers of the optimiser.
    pub numbers: [f64; 2],
}

impl Checkpoint {
    /// Writes it to `path`.
    ///
    /// # Errors
    /// [`TorchError`] if that fails.
    pub fn save(&self, path: &Path) -> Result<(), TorchError> {
        let best = self.best.as_ref().map_or(-1.0, |(correct, _)| f64::from(*correct));
        let [first, second] = self.numbers;
        let numbers: [f64; NUMBERS] =
            [self.restart.into(), self.epoch.into(), self.drawn as f64, best, first, second];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut tensors = vec![("weights".to_owned(), values(&self.weights)?)];
        if let Some((_, weights)) = &self.best {
            tensors.push(("best".to_owned(), values(weights)?));
        }
        for (tensor, number) in self.tensors.iter().zip(0..) {
            tensors.push((format!("optimiser{number}"), values(tensor)?));
        }
        let mut views = Vec::with_capacity(tensors.len() + 1);
        for (name, bytes) in &tensors {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.push((name.as_str(), view.map_err(failed("write", path))?));
        }
        let view = TensorView::new(Dtype::F64, vec![NUMBERS], &numbers);
        views.push(("numbers", view.map_err(failed("write", path))?));
        write_tensors(path, views)
    }

    /// Reads it from `path` onto `device`.
    ///
    /// # Errors
    /// [`TorchError`] if it cannot be read, or is none.
    pub fn load(path: &Path, device: Device) -> Result<Self, TorchError> {
        let bytes = read(path)?;
        let file = SafeTensors::deserialize(&bytes).map_err(failed("read", path))?;
        let tensor = |name: &str| -> Result<Option<Tensor>, TorchError> {
            let Ok(view) = file.tensor(name) else { return Ok(None) };
            let (four, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = four.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Ok(Some(Tensor::f_from_slice(&values)?.f_to_device(device)?))
        };
        let none = || TorchError::Request(format!("{} is no checkpoint", path.display()));
        let view = file.tensor("numbers").map_err(|_| none())?;
        let (eight, _) = view.data().as_chunks::<8>();
        let numbers: Vec<f64> = eight.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let &[restart, epoch, drawn, best, first, second] = &numbers[..] else {
            return Err(none());
        };
        let mut tensors = Vec::new();
        while let Some(tensor) = tensor(&format!("optimiser{}", tensors.len()))? {
            tensors.push(tensor);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as written")]
        let whole = |number: f64| number as u64;
        let small = |number: f64| u32::try_from(whole(number)).map_err(|_| none());
        Ok(Self {
            restart: small(restart)?,
            epoch: small(epoch)?,
            drawn: whole(drawn),
            weights: tensor("weights")?.ok_or_else(none)?,
            best: match tensor("best")? {
                Some(weights) => Some((small(best)?, weights)),
                None => None,
            },
            tensors,
            numbers: [first, second],
        })
    }
}

/// The bytes of a tensor of f32.
fn values(tensor: &Tensor) -> Result<Vec<u8>, TorchError> {
    let mut values = vec![0_f32; tensor.numel()];
    tensor.f_to_device(Device::Cpu)?.f_copy_data(&mut values, tensor.numel())?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let tensor = |values: &[f32]| Tensor::from_slice(values);
        let checkpoint = Checkpoint {
            restart: 2,
            epoch: 7,
            drawn: 1 << 40,
            weights: tensor(&[1.0, -2.5]),
            best: Some((31, tensor(&[0.5, 0.25]))),
            tensors: vec![tensor(&[3.0]), tensor(&[4.0])],
            numbers: [0.9_f64.powi(5), 0.1 + 0.2],
        };
        checkpoint.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, Device::Cpu).unwrap();
        assert_eq!(format!("{:?}", loaded.numbers), format!("{:?}", checkpoint.numbers));
        assert_eq!((loaded.restart, loaded.epoch, loaded.drawn), (2, 7, 1 << 40));
        assert!(loaded.weights == checkpoint.weights);
        let ((correct, best), (_, expected)) = (loaded.best.unwrap(), checkpoint.best.unwrap());
        assert!(correct == 31 && best == expected);
        assert!(loaded.tensors == checkpoint.tensors);
        std::fs::write(&path, b"junk").unwrap();
        assert!(Checkpoint::load(&path, Device::Cpu).is_err());
    }
}
