//! Upcasters: old versions of a kind, frozen, and the way from each to the newest.
//!
//! When a kind changes after it was given to others (in a release, or in a log that comes with the
//! program), its old struct moves here, with a `From` that leads to the new one and a line in
//! [`decode`]. Old events are never rewritten.

use serde::Deserialize;

use super::attacks::{CraftedImage, ImagesCrafted};
use super::codec::{CodecError, exact};
use super::ids::{Hash, Scope};
use super::kinds::{AttemptStarted, Event};
use super::runs::Continues;

/// `attempt-started`, version 1: every attempt started anew.
#[derive(Deserialize)]
struct AttemptStarted1 {
    trial: u32,
    attempt: u32,
    device: String,
    threads: u32,
    trainer: String,
    library: String,
    isa: String,
    host: String,
}

impl From<AttemptStarted1> for AttemptStarted {
    fn from(old: AttemptStarted1) -> Self {
        let AttemptStarted1 { trial, attempt, device, threads, trainer, library, isa, host } = old;
        let continues = None;
        AttemptStarted2 { trial, attempt, device, threads, trainer, library, isa, host, continues }
            .into()
    }
}

/// `attempt-started`, version 2: one process carried on a search, and had no name.
#[derive(Deserialize)]
struct AttemptStarted2 {
    trial: u32,
    attempt: u32,
    device: String,
    threads: u32,
    trainer: String,
    library: String,
    isa: String,
    host: String,
    continues: Option<Continues>,
}

impl From<AttemptStarted2> for AttemptStarted {
    fn from(old: AttemptStarted2) -> Self {
        let AttemptStarted2 {
            trial,
            attempt,
            device,
            threads,
            trainer,
            library,
            isa,
            host,
            continues,
        } = old;
        let worker = String::new();
        AttemptStarted3 {
            trial,
            attempt,
            device,
            threads,
            trainer,
            library,
            isa,
            host,
            continues,
            worker,
        }
        .into()
    }
}

/// `attempt-started`, version 3: nothing was trained in another precision than f32, and none was named.
#[derive(Deserialize)]
struct AttemptStarted3 {
    trial: u32,
    attempt: u32,
    device: String,
    threads: u32,
    trainer: String,
    library: String,
    isa: String,
    host: String,
    continues: Option<Continues>,
    worker: String,
}

impl From<AttemptStarted3> for AttemptStarted {
    fn from(old: AttemptStarted3) -> Self {
        Self {
            trial: old.trial,
            attempt: old.attempt,
            device: old.device,
            threads: old.threads,
            trainer: old.trainer,
            library: old.library,
            isa: old.isa,
            host: old.host,
            continues: old.continues,
            worker: old.worker,
            precision: String::new(),
        }
    }
}

/// `images-crafted`, version 1: invalid gradients were not counted.
#[derive(Deserialize)]
struct ImagesCrafted1 {
    victim: u16,
    spec: u16,
    first: u32,
    iterations: u16,
    artifact: Hash,
    images: Vec<CraftedImage>,
}

impl From<ImagesCrafted1> for ImagesCrafted {
    fn from(old: ImagesCrafted1) -> Self {
        let ImagesCrafted1 { victim, spec, first, iterations, artifact, images } = old;
        let invalid_gradient = None;
        Self { victim, spec, first, iterations, artifact, images, invalid_gradient }
    }
}

/// Decodes an older version and leads it to the newest; `None` if this version never existed.
pub(super) fn decode(
    kind: u16,
    version: u16,
    payload: &[u8],
) -> Option<Result<(i64, Scope, Event), CodecError>> {
    let (name, decoded) = match (kind, version) {
        (5, 1) => ("attempt-started", led::<AttemptStarted1, AttemptStarted>(payload)),
        (5, 2) => ("attempt-started", led::<AttemptStarted2, AttemptStarted>(payload)),
        (5, 3) => ("attempt-started", led::<AttemptStarted3, AttemptStarted>(payload)),
        (34, 1) => ("images-crafted", led::<ImagesCrafted1, ImagesCrafted>(payload)),
        _ => return None,
    };
    Some(decoded.map_err(|reason| CodecError::Payload { name, version, reason }))
}

fn led<Old, New>(payload: &[u8]) -> Result<(i64, Scope, Event), String>
where
    Old: serde::de::DeserializeOwned + Into<New>,
    New: Into<Event>,
{
    let (at, scope, old) = exact::<Old>(payload)?;
    Ok((at, scope, old.into().into()))
}
