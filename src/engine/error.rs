//! What can go wrong with a session, besides what can go wrong with the engine.

use std::path::PathBuf;

use super::EngineError;
use super::devices::DeviceError;
use super::jobs::FoldError;
use super::journal::JournalError;
use crate::data::DataError;
use crate::events::Scope;
use crate::log::LogError;
use crate::trainer::process::StartError;

/// What can go wrong with a session, besides what can go wrong with the engine.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The images are not there, or not right.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The recorded history cannot be.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The images are not those the search began with.
    #[error("the data set in {} is not the one that {scope} began with", folder.display())]
    OtherData {
        /// The search or run.
        scope: Scope,
        /// The folder.
        folder: PathBuf,
    },
    /// The trainer cannot use a device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Settings that do not fit the data.
    #[error("{0}")]
    Settings(String),
    /// The trainer hangs with a model that is to be attacked.
    #[error("{label} cannot be attacked: the trainer hangs with it; {why}")]
    Hung {
        /// What the model is called.
        label: String,
        /// Why that is believed.
        why: String,
    },
    /// Another process has begun what was to be begun.
    #[error("another process has begun it")]
    Overtaken,
    /// It was asked to stop before an attack was recorded.
    #[error("interrupted while the models were tried; nothing was recorded")]
    Stopped,
}

impl From<JournalError> for SessionError {
    fn from(error: JournalError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<StartError> for SessionError {
    fn from(error: StartError) -> Self {
        Self::Engine(error.into())
    }
}
