//! Models as attacks see them: from pixels (0 to 255) to logits, one network or several, always in
//! evaluation mode. Nothing is ever differentiated by their weights.

use std::path::Path;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::TorchError;
use super::data::DeviceData;
use super::network::{Mode, Network, kind_of};
use super::preprocess::Preprocessing;
use super::script::{File, Script};
use crate::arch::shape::Map;
use crate::config::recipe::Precision;
use crate::trainer::protocol::{Member, ModelRequest, NetworkRequest};

/// Models kept at a time.
const KEPT: usize = 32;

/// A model on a device.
#[derive(Debug)]
pub struct Model {
    members: Vec<Net>,
}

#[derive(Debug)]
enum Net {
    /// One that a trainer left.
    Own { network: Network, preprocessing: Preprocessing },
    /// A TorchScript file.
    Script(Script),
}

/// Models that were asked for; most often the next request is about one of them.
#[derive(Debug, Default)]
pub struct Models {
    kept: Vec<(ModelRequest, Precision, Device, Model)>,
}

impl Models {
    /// The model of a request. `data` is the last data set; another one takes its place if the
    /// model needs its statistics.
    ///
    /// # Errors
    /// [`TorchError`] if there is no such model, or its images are others.
    pub fn get(
        &mut self,
        request: &ModelRequest,
        dtype: Precision,
        device: Device,
        data: &mut Option<DeviceData>,
    ) -> Result<&Model, TorchError> {
        let same = |(known, kind, place, _): &(ModelRequest, Precision, Device, Model)| {
            known == request && *kind == dtype && *place == device
        };
        let index = match self.kept.iter().position(same) {
            Some(index) => index,
            None => {
                if self.kept.len() >= KEPT {
                    self.kept.remove(0);
                }
                let model =
                    Model::load(request, dtype, device, data, &|file| self.file(file, device))?;
                self.kept.push((request.clone(), dtype, device, model));
                self.kept.len() - 1
            }
        };
        Ok(&self.kept[index].3)
    }

    /// The model of a file that is in memory, whatever its input range.
    fn file(&self, path: &Path, device: Device) -> Option<Rc<File>> {
        let members = self.kept.iter().flat_map(|(.., model)| &model.members);
        let mut files = members.filter_map(|member| match member {
            Net::Own { .. } => None,
            Net::Script(script) => Some(script.file()),
        });
        files.find(|file| file.is(path, device)).cloned()
    }
}

impl Model {
    /// Reads a model onto a device; `known` gives files that were read before.
    ///
    /// # Errors
    /// [`TorchError`] if there is no such model, or its images are others.
    fn load(
        request: &ModelRequest,
        dtype: Precision,
        device: Device,
        data: &mut Option<DeviceData>,
        known: &dyn Fn(&Path) -> Option<Rc<File>>,
    ) -> Result<Self, TorchError> {
        if request.members.is_empty() {
            return Err(TorchError::Request("a model has at least one member".into()));
        }
        let kind = kind_of(dtype);
        let shape = Map { channels: request.channels, side: request.side };
        let mut members = Vec::new();
        for member in &request.members {
            members.push(match member {
                Member::Network(network) => own(network, shape, kind, device, data)?,
                Member::Torchscript { file, input } => {
                    // TorchScript models are had in f32 alone.
                    let file = match known(file) {
                        Some(file) => file,
                        None => Rc::new(File::load(file, dtype, device)?),
                    };
                    Net::Script(Script::new(file, input)?)
                }
            });
        }
        Ok(Self { members })
    }

    /// Which of several outputs of a member is taken for its logits, for people.
    #[must_use]
    pub fn output(&self) -> Option<String> {
        self.members.iter().find_map(|member| match member {
            Net::Own { .. } => None,
            Net::Script(script) => script.output(),
        })
    }

    /// The logits of `pixels` (count x channels x side x side, f32, 0 to 255): count x classes,
    /// f32. Can be differentiated by the pixels.
    ///
    /// Of several members it is the logarithm of the mean probability: logsumexp over the members
    /// of their log-probabilities, less log(members).
    ///
    /// # Errors
    /// [`TorchError`] from libtorch, or if a model does not give what it should.
    pub fn logits(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let mut all = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let logits = member.forward(pixels)?.f_to_kind(Kind::Float)?;
            if logits.dim() != 2 || logits.size()[0] != pixels.size()[0] || logits.size()[1] < 2 {
                let (size, images) = (logits.size(), pixels.size()[0]);
                return Err(TorchError::Request(format!(
                    "the model gives {size:?} for {images} images, not images x classes"
                )));
            }
            all.push(logits);
        }
        if let [_] = all[..] {
            return Ok(all.remove(0));
        }
        let classes = all[0].size()[1];
        if all.iter().any(|logits| logits.size()[1] != classes) {
            return Err(TorchError::Request("the members have different classes".into()));
        }
        let logs = all.iter().map(|logits| logits.f_log_softmax(1, Kind::Float));
        let logs = logs.collect::<Result<Vec<_>, _>>()?;
        let sum = Tensor::f_stack(&logs, 0)?.f_logsumexp(&[0_i64][..], false)?;
        Ok(sum.f_sub_scalar((logs.len() as f64).ln())?)
    }
}

impl Net {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        match self {
            Self::Own { network, preprocessing } => {
                network.forward(&preprocessing.apply(pixels)?, Mode::Evaluate)
            }
            Self::Script(script) => script.forward(pixels),
        }
    }
}

fn own(
    request: &NetworkRequest,
    shape: Map,
    kind: Kind,
    device: Device,
    data: &mut Option<DeviceData>,
) -> Result<Net, TorchError> {
    let kept = match data.take() {
        Some(kept) if kept.is(&request.data, device)? => kept,
        // The old one is gone before the new one needs its memory.
        _ => DeviceData::load(&request.data, device)?,
    };
    let data = data.insert(kept);
    if data.shape != shape {
        let Map { channels, side } = data.shape;
        let message = format!(
            "the images have {} channels of {1} x {1} pixels, the network {channels} of {side} x {side}",
            shape.channels, shape.side
        );
        return Err(TorchError::Request(message));
    }
    let recipe = &request.recipe;
    let network = Network::new(&request.architecture, shape, recipe, 0, device)?;
    network.parameters().load(&request.weights)?;
    let preprocessing = data.preprocessing(recipe.preprocess)?;
    Ok(Net::Own { network: network.frozen(kind)?, preprocessing })
}
