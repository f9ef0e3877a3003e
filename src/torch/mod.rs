//! The trainer: networks, their training, and the process that offers it, `qtrail-torch`.
//!
//! The only place that names `tch`. It knows no log and no agent: requests come in as JSON lines,
//! facts go out ([`crate::trainer::protocol`]). Top knows bottom: [`serve`] answers requests by
//! [`training`], which puts [`network`], [`parameters`], [`data`] and [`optimiser`] together.
//!
//! Everything random comes from [`crate::chance`] streams keyed by the request's seed (on a GPU,
//! the masks of dropout from a generator of libtorch seeded by one). On a CPU, the same request
//! with the same number of threads gives the same weights, bit for bit.
//!
//! It is a part of the program `qtrail-torch`, not of the library: in a library shared with
//! `qtrail`, a linker that does not optimise across units would make that load libtorch too.
#![allow(unreachable_pub, reason = "written as the modules of the library are")]

pub mod adam;
pub mod attack;
pub mod augment;
pub mod checkpoint;
pub mod data;
pub mod device;
pub mod files;
pub mod masks;
pub mod memory;
pub mod model;
pub mod network;
pub mod optimiser;
pub mod parameters;
pub mod preprocess;
pub mod raw;
pub mod reporter;
pub mod script;
pub mod serve;
pub mod training;

use std::path::PathBuf;

use tch::TchError;

use crate::arch::ShapeError;
use crate::config::recipe::RecipeError;
use crate::data::DataError;

/// Why a request could not be answered with a result.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// libtorch refused.
    #[error("{}", first_line(.0))]
    Torch(#[from] TchError),
    /// Memory for so many values cannot be had.
    #[error("out of memory: {0} values do not fit")]
    Memory(u64),
    /// The operating system has no thread to give.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The images cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The architecture does not fit the images.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The recipe cannot be followed.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The parts of a request contradict each other or this machine.
    #[error("{0}")]
    Request(String),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TorchError {
    /// Whether this says that memory ran out: a fact about the architecture, not the machine.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Torch(error) => speaks_of_memory(&error.to_string()),
            Self::Memory(_) => true,
            _ => false,
        }
    }

    /// The error number if the operating system refused a file or a thread: a fact about the machine.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        let mut error: Option<&(dyn std::error::Error + 'static)> = match self {
            Self::File { source, .. } => Some(&**source),
            Self::Data(error) => Some(error),
            Self::Thread(error) => Some(error),
            _ => None,
        };
        while let Some(inner) = error {
            let errno =
                inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
            if errno.is_some() {
                return errno;
            }
            error = inner.source();
        }
        None
    }
}

/// Whether a message of libtorch says that an allocation failed. There is no error code for it.
fn speaks_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    ["out of memory", "defaultcpuallocator", "can't allocate memory", "bad_alloc"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// What libtorch says without the stack trace that it adds.
fn first_line(error: &TchError) -> String {
    let message = error.to_string();
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_from_what_is_wrong_with_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let refused = std::fs::read(&missing).unwrap_err();
        let file = |source| TorchError::File { action: "read", path: missing.clone(), source };
        assert_eq!(file(refused.into()).errno(), Some(2));
        // As it comes out of safetensors and of data sets.
        let full = std::io::Error::from_raw_os_error(28);
        let written = safetensors::SafeTensorError::IoError(full);
        assert_eq!(file(Box::new(written)).errno(), Some(28));
        let images = crate::data::Images::read(&missing, crate::data::Part::Train).unwrap_err();
        assert_eq!(TorchError::Data(images).errno(), Some(2));
        assert_eq!(file("it has 3 tensors, the network 4".into()).errno(), None);
        assert_eq!(TorchError::Request("no".into()).errno(), None);
    }

    #[test]
    fn failed_allocations_are_told_from_other_errors() {
        let torch = |text: &str| TorchError::Torch(TchError::Torch(text.into()));
        let cpu = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't \
                   allocate memory: you tried to allocate 17179869184000 bytes.";
        assert!(torch(cpu).is_too_large());
        assert!(torch("CUDA out of memory. Tried to allocate 20.00 GiB").is_too_large());
        let refused = tch::Tensor::f_zeros([1 << 50], (tch::Kind::Float, tch::Device::Cpu));
        assert!(TorchError::from(refused.unwrap_err()).is_too_large());
        assert!(TorchError::Memory(1 << 50).is_too_large());
        assert!(!torch("mat1 and mat2 shapes cannot be multiplied").is_too_large());
        let traced = torch("it broke\nException raised from …\nframe #0: …");
        assert_eq!(traced.to_string(), "Internal torch error: it broke");
    }
}
