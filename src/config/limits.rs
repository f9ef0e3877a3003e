//! How large an architecture may be, by its true shapes. What is larger is never sampled; the
//! state space and its Q-table stay whole.

use serde::{Deserialize, Serialize};

/// Limits of an architecture; unset: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most weights and biases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<u64>,
    /// Most multiplications with a weight for one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub madds: Option<u64>,
}

impl Limits {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something of so many parameters and multiply-adds is within them.
    #[must_use]
    pub fn hold(&self, params: u64, madds: u64) -> bool {
        self.params.is_none_or(|most| params <= most) && self.madds.is_none_or(|most| madds <= most)
    }
}
