//! The codec: recorded events to payloads and back.
//!
//! A payload is bincode 2 (standard configuration) of time, scope, and the fields of exactly the
//! version that the frame's header names. Bytes from outside are decoded under a limit, and only
//! if all of them are consumed.

use bincode::config;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frame, FrameError, Payload, Position};
use super::ids::Scope;
use super::kinds::{Event, KINDS};

/// A fact with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// When it was recorded, in milliseconds since 1970 UTC. For people: never decides anything.
    pub at: i64,
    /// Whose it is.
    pub scope: Scope,
    /// The fact, in its newest version.
    pub event: Event,
}

impl Recorded {
    /// An event as a fold takes it in before it is recorded: without place, time and scope.
    #[must_use]
    pub fn unplaced(event: Event) -> Self {
        Self { position: Position::default(), at: 0, scope: Scope::Store, event }
    }
}

/// Why bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame is damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A kind or version that this program does not know.
    #[error("event kind {kind} version {version} is not known to this program")]
    Unknown {
        /// Number of the kind.
        kind: u16,
        /// Its version.
        version: u16,
    },
    /// The payload does not decode.
    #[error("{name} v{version}: {reason}")]
    Payload {
        /// Name of the kind.
        name: &'static str,
        /// Its version.
        version: u16,
        /// What the codec says.
        reason: String,
    },
    /// The event is too large to be recorded.
    #[error("{name}: {reason}")]
    Encode {
        /// Name of the kind.
        name: &'static str,
        /// What the codec says.
        reason: String,
    },
}

/// Most bytes that decoding may allocate.
const DECODE_LIMIT: usize = 65_536;

/// Encodes an event in its newest version.
///
/// # Errors
/// [`CodecError::Encode`] if it exceeds the limit of a payload.
pub fn encode(at: i64, scope: Scope, event: &Event) -> Result<Payload, CodecError> {
    let kind = event.kind();
    let failed = |reason: String| CodecError::Encode { name: kind.name, reason };
    let bytes =
        event.encode_with(Stamped { at, scope }).map_err(|error| failed(error.to_string()))?;
    if bytes.len() > super::frame::PAYLOAD_MAX {
        return Err(failed(FrameError::TooLarge(bytes.len()).to_string()));
    }
    Ok(Payload { kind: kind.number, version: kind.version, bytes })
}

/// The bytes a digest takes of an event: its fields alone, without time and scope.
///
/// # Errors
/// [`CodecError::Encode`] if the codec refuses.
pub fn fields(event: &Event) -> Result<Vec<u8>, CodecError> {
    let name = event.kind().name;
    let failed =
        |error: bincode::error::EncodeError| CodecError::Encode { name, reason: error.to_string() };
    event.encode_with(Bare).map_err(failed)
}

/// Decodes a frame, whatever its version: older ones are led to the newest.
///
/// # Errors
/// [`CodecError`] for damaged frames, unknown kinds and payloads that do not decode.
pub fn decode(position: Position, frame: &Frame) -> Result<Recorded, CodecError> {
    let view = frame.view(position)?;
    let (at, scope, event) = payload(view.kind, view.version, view.payload)?;
    Ok(Recorded { position, at, scope, event })
}

/// Decodes a frame if it is of `scope`; of another one only the scope is decoded.
///
/// # Errors
/// As [`decode`].
pub fn decode_of(
    scope: Scope,
    position: Position,
    frame: &Frame,
) -> Result<Option<Recorded>, CodecError> {
    let view = frame.view(position)?;
    let limited = config::standard().with_limit::<DECODE_LIMIT>();
    let stamp = bincode::serde::decode_from_slice::<(i64, Scope), _>(view.payload, limited);
    match stamp {
        Ok(((_, whose), _)) if whose != scope => Ok(None),
        // What cannot be decoded is an error all the same.
        _ => decode(position, frame).map(Some),
    }
}

/// Decodes what [`encode`] made, wherever it was kept.
///
/// # Errors
/// As [`decode`].
pub fn restore(position: Position, payload: &Payload) -> Result<Recorded, CodecError> {
    let (at, scope, event) = self::payload(payload.kind, payload.version, &payload.bytes)?;
    Ok(Recorded { position, at, scope, event })
}

fn payload(number: u16, version: u16, bytes: &[u8]) -> Result<(i64, Scope, Event), CodecError> {
    let unknown = CodecError::Unknown { kind: number, version };
    let kind = KINDS.iter().find(|kind| kind.number == number).ok_or(unknown.clone())?;
    if version != kind.version {
        return super::upcast::decode(number, version, bytes).ok_or(unknown)?;
    }
    let mut stamp = None;
    let decoder = Reader { payload: bytes, stamp: &mut stamp };
    let event = Event::decode_with(number, decoder).ok_or(unknown)?;
    let failed = |reason| CodecError::Payload { name: kind.name, version, reason };
    let event = event.map_err(failed)?;
    let (at, scope) = stamp.unwrap_or_default();
    Ok((at, scope, event))
}

/// Decodes the payload of exactly one version.
///
/// # Errors
/// A description of what is wrong: not decodable, over the limit, or bytes left over.
pub(super) fn exact<T: DeserializeOwned>(payload: &[u8]) -> Result<(i64, Scope, T), String> {
    let limited = config::standard().with_limit::<DECODE_LIMIT>();
    let (value, consumed) =
        bincode::serde::decode_from_slice(payload, limited).map_err(|error| error.to_string())?;
    match payload.len() - consumed {
        0 => Ok(value),
        left => Err(format!("{left} bytes left over")),
    }
}

/// Something that can encode the fields of any kind.
pub trait Encode {
    /// What comes of it.
    type Out;
    /// Encodes the fields of one event.
    fn encode<T: Serialize>(self, fields: &T) -> Self::Out;
}

/// Something that can decode the fields of any kind.
pub trait Decode {
    /// What can go wrong.
    type Error;
    /// Decodes the fields of one event.
    ///
    /// # Errors
    /// If the bytes are not such fields.
    fn decode<T: DeserializeOwned>(self) -> Result<T, Self::Error>;
}

struct Stamped {
    at: i64,
    scope: Scope,
}

impl Encode for Stamped {
    type Out = Result<Vec<u8>, bincode::error::EncodeError>;

    fn encode<T: Serialize>(self, fields: &T) -> Self::Out {
        bincode::serde::encode_to_vec((self.at, self.scope, fields), config::standard())
    }
}

struct Bare;

impl Encode for Bare {
    type Out = Result<Vec<u8>, bincode::error::EncodeError>;

    fn encode<T: Serialize>(self, fields: &T) -> Self::Out {
        bincode::serde::encode_to_vec(fields, config::standard())
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    stamp: &'a mut Option<(i64, Scope)>,
}

impl Decode for Reader<'_> {
    type Error = String;

    fn decode<T: DeserializeOwned>(self) -> Result<T, String> {
        let (at, scope, fields) = exact(self.payload)?;
        *self.stamp = Some((at, scope));
        Ok(fields)
    }
}
