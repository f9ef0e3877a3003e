//! Upcasters: old versions of a kind, frozen, and the way from each to the newest.
//!
//! When a kind changes after it was given to others (in a release, or in a log that comes with the
//! program), its old struct moves here, with a `From` that leads to the new one and a line in
//! [`decode`]. Old events are never rewritten.

use serde::Deserialize;

use super::codec::{CodecError, exact};
use super::ids::Scope;
use super::kinds::{AttemptStarted, Event};

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
        Self { trial, attempt, device, threads, trainer, library, isa, host, continues }
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
