//! TorchScript models: files that others made. What they expect of pixels and what they give is
//! theirs; here both become what attacks work with.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tch::{CModule, Device, IValue, Kind, Tensor};

use super::TorchError;
use crate::adversary::range::InputRange;
use crate::config::recipe::Precision;

/// The name under which a dictionary holds logits.
const LOGITS: &str = "logits";

/// A TorchScript model on a device.
#[derive(Debug)]
pub struct Script {
    file: Rc<File>,
    scale: Scale,
    /// Which of its outputs was taken last.
    taken: Cell<Option<Taken>>,
}

/// A model as its file has it, on a device. Models that differ in the input range alone share it.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    device: Device,
    module: CModule,
    /// What the model computes in: f32, or f64 if its parameters are.
    kind: Kind,
}

/// How bytes become what a model expects.
#[derive(Debug)]
enum Scale {
    Bytes,
    Unit,
    /// Mean and deviation, 1 x channels x 1 x 1 (or 1 x 1 x 1 x 1).
    Normalised(Tensor, Tensor),
}

/// One of several outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// The first tensor of a tuple or list of so many.
    First(usize),
    /// `logits` of a dictionary of so many.
    Logits(usize),
    /// The first tensor of a dictionary of so many.
    FirstOfDictionary(usize),
}

impl File {
    /// Reads a model onto a device. Its parameters and buffers keep their types: an index that
    /// became a float would be none.
    ///
    /// # Errors
    /// [`TorchError::Request`] if the file holds no model, or it cannot be had in `dtype`;
    /// [`TorchError::Torch`] from libtorch.
    pub fn load(file: &Path, dtype: Precision, device: Device) -> Result<Self, TorchError> {
        let fail = |error: tch::TchError| {
            let reason = super::first_line(&error);
            TorchError::Request(format!("{} is no TorchScript model: {reason}", file.display()))
        };
        if dtype != Precision::F32 {
            // libtorch's interface casts all tensors of a module or none, integers among them.
            return Err(TorchError::Request(format!(
                "TorchScript models are attacked in f32, not in {dtype}: {}",
                file.display()
            )));
        }
        let mut module = CModule::load_on_device(file, device).map_err(fail)?;
        module.f_set_eval().map_err(fail)?;
        let parameters = module.named_parameters().map_err(fail)?;
        for (_, parameter) in &parameters {
            let _ = parameter.f_set_requires_grad(false)?;
        }
        let is_double =
            |kinds: &[Kind]| kinds.contains(&Kind::Double) && !kinds.contains(&Kind::Float);
        let kinds: Vec<Kind> = parameters.iter().map(|(_, parameter)| parameter.kind()).collect();
        let kind = if is_double(&kinds) { Kind::Double } else { Kind::Float };
        Ok(Self { path: file.to_owned(), device, module, kind })
    }

    /// Whether it was read from this file onto this device.
    #[must_use]
    pub fn is(&self, path: &Path, device: Device) -> bool {
        self.path == path && self.device == device
    }
}

impl Script {
    /// A model that gets values of an input range.
    ///
    /// # Errors
    /// [`TorchError::Torch`] from libtorch.
    pub fn new(file: Rc<File>, input: &InputRange) -> Result<Self, TorchError> {
        let device = file.device;
        let channels = |numbers: &[f32]| -> Result<Tensor, TorchError> {
            Ok(Tensor::f_from_slice(numbers)?.f_view([1, -1, 1, 1])?.f_to_device(device)?)
        };
        let scale = match input {
            InputRange::Bytes => Scale::Bytes,
            InputRange::Unit => Scale::Unit,
            InputRange::Normalised { mean, deviation } => {
                Scale::Normalised(channels(mean)?, channels(deviation)?)
            }
        };
        Ok(Self { file, scale, taken: Cell::new(None) })
    }

    /// The model as its file has it.
    #[must_use]
    pub fn file(&self) -> &Rc<File> {
        &self.file
    }

    /// What the model gives for `pixels` (f32, 0 to 255), of several outputs the first, or
    /// `logits`.
    ///
    /// # Errors
    /// [`TorchError`] if the model fails, or gives no tensor.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let images = match &self.scale {
            // A copy: the model may change its input in place.
            Scale::Bytes => pixels.f_add_scalar(0.0)?,
            Scale::Unit => pixels.f_div_scalar(255.0)?,
            Scale::Normalised(mean, deviation) => {
                pixels.f_div_scalar(255.0)?.f_sub(mean)?.f_div(deviation)?
            }
        };
        let images = IValue::Tensor(images.f_to_kind(self.file.kind)?);
        let given = self.file.module.forward_is(&[images]).map_err(|error| {
            // What TorchScript says ends with the reason; its trace comes first.
            let text = error.to_string();
            let mut lines = text.lines().filter(|line| line.contains("Error:"));
            let reason = lines.next_back().unwrap_or("it fails").trim().to_owned();
            let size = pixels.size();
            TorchError::Request(format!("the model does not take {size:?}: {reason}"))
        })?;
        let what = kind_of(&given);
        let (logits, taken) = pick(given).ok_or_else(|| {
            TorchError::Request(format!(
                "the model gives {what} without a tensor; a tensor of images x classes is needed, \
                 alone, first in a tuple or list, or as `{LOGITS}` of a dictionary"
            ))
        })?;
        self.taken.set(taken);
        Ok(logits)
    }

    /// Which of several outputs is taken, for people; `None` if the model has one.
    #[must_use]
    pub fn output(&self) -> Option<String> {
        Some(match self.taken.get()? {
            Taken::First(count) => format!("the first of {count} outputs"),
            Taken::Logits(count) => format!("`{LOGITS}` of a dictionary of {count}"),
            Taken::FirstOfDictionary(count) => format!("the first of a dictionary of {count}"),
        })
    }
}

/// The tensor of an answer that is meant.
fn pick(given: IValue) -> Option<(Tensor, Option<Taken>)> {
    match given {
        IValue::Tensor(tensor) => Some((tensor, None)),
        IValue::TensorList(all) => {
            let count = all.len();
            Some((all.into_iter().next()?, Some(Taken::First(count))))
        }
        IValue::Tuple(all) | IValue::GenericList(all) => {
            let count = all.len();
            let (tensor, _) = all.into_iter().find_map(pick)?;
            Some((tensor, Some(Taken::First(count))))
        }
        IValue::GenericDict(all) => {
            let (count, name) = (all.len(), IValue::from(LOGITS));
            let (named, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|(key, _)| *key == name);
            let first = |all: Vec<(IValue, IValue)>| all.into_iter().find_map(|(_, one)| pick(one));
            match first(named) {
                Some((tensor, _)) => Some((tensor, Some(Taken::Logits(count)))),
                None => Some((first(others)?.0, Some(Taken::FirstOfDictionary(count)))),
            }
        }
        _ => None,
    }
}

/// What an answer is, for people.
fn kind_of(given: &IValue) -> &'static str {
    match given {
        IValue::None => "nothing",
        IValue::Tensor(_) => "a tensor",
        IValue::Tuple(_) => "a tuple",
        IValue::TensorList(_) | IValue::GenericList(_) => "a list",
        IValue::GenericDict(_) => "a dictionary",
        _ => "something",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(value: f32) -> IValue {
        Tensor::from_slice(&[value]).into()
    }

    #[track_caller]
    fn picks(given: IValue, value: f64, taken: Option<Taken>) {
        let (tensor, which) = pick(given).unwrap();
        assert_eq!((tensor.double_value(&[0]), which), (value, taken));
    }

    #[test]
    fn of_several_outputs_the_meant_one_is_taken() {
        picks(tensor(1.0), 1.0, None);
        picks(IValue::Tuple(vec![tensor(1.0), tensor(2.0)]), 1.0, Some(Taken::First(2)));
        // As GoogLeNet leaves its auxiliary outputs out.
        let tuple = IValue::Tuple(vec![tensor(1.0), IValue::None, IValue::None]);
        picks(tuple, 1.0, Some(Taken::First(3)));
        let list = vec![Tensor::from_slice(&[3.0_f32]), Tensor::from_slice(&[4.0_f32])];
        picks(IValue::TensorList(list), 3.0, Some(Taken::First(2)));
        let entry = |name: &str, value| (IValue::from(name), tensor(value));
        let named = IValue::GenericDict(vec![entry("features", 5.0), entry("logits", 6.0)]);
        picks(named, 6.0, Some(Taken::Logits(2)));
        let unnamed = IValue::GenericDict(vec![entry("out", 7.0), entry("aux", 8.0)]);
        picks(unnamed, 7.0, Some(Taken::FirstOfDictionary(2)));
        assert!(pick(IValue::Tuple(vec![IValue::None])).is_none());
        assert!(pick(IValue::Int(3)).is_none());
    }
}
