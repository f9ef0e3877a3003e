//! Upcasters: old versions of a kind, frozen, and the way from each to the newest.
//!
//! When a kind changes after a release, its old struct moves here as `v1::Name`, with
//! `impl From<v1::Name> for kinds::Name`, and a line in [`decode`]. Old events are never rewritten.
//! There is no old version yet.

use super::codec::CodecError;
use super::ids::Scope;
use super::kinds::Event;

/// Decodes an older version and leads it to the newest; `None` if this version never existed.
pub(super) fn decode(
    kind: u16,
    version: u16,
    payload: &[u8],
) -> Option<Result<(i64, Scope, Event), CodecError>> {
    let _ = (kind, version, payload);
    None
}
