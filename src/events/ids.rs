//! Ids as newtypes. Ids that count per store (searches, trials) never enter a logical digest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose event it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Scope {
    /// The store itself: repairs, released artifacts.
    #[default]
    Store,
    /// A search, numbered from 1 in its store: `s1`.
    Search(u32),
    /// A training run outside any search, numbered from 1 in its store: `r1`.
    Run(u32),
    /// An attack on models, numbered from 1 in its store: `a1`.
    Attack(u32),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Search(number) => write!(f, "s{number}"),
            Self::Run(number) => write!(f, "r{number}"),
            Self::Attack(number) => write!(f, "a{number}"),
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = ();

    /// Reads `s1`, `r1` and `a1`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |rest: &str| rest.parse().ok().filter(|&number: &u32| number > 0).ok_or(());
        if let Some(rest) = text.strip_prefix('s') {
            number(rest).map(Self::Search)
        } else if let Some(rest) = text.strip_prefix('r') {
            number(rest).map(Self::Run)
        } else if let Some(rest) = text.strip_prefix('a') {
            number(rest).map(Self::Attack)
        } else {
            Err(())
        }
    }
}

/// A 32-byte BLAKE3 hash: of a configuration, a split, a Q-table, an artifact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// Hexadecimal for people (JSON), 32 bytes in a payload.
impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
            Ok(Self(*hash.as_bytes()))
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

impl std::str::FromStr for Hash {
    type Err = ();

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(drop)
    }
}

impl Hash {
    /// The hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
