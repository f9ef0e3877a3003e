//! Tensors as files of others: safetensors and NumPy's NPZ. Pure: bytes in, bytes out.
//!
//! Both formats are small and fixed, so they are written here; the trainer's library for
//! safetensors comes with libtorch, which the command line does not need.

mod npz;
mod safetensors;

pub use npz::npz;
pub use safetensors::{read, safetensors};

/// What the values of a tensor are; little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    U8,
    /// Whole numbers in 4 bytes.
    I32,
    /// Whole numbers in 8 bytes.
    I64,
    /// Numbers in 4 bytes.
    F32,
    /// Numbers in 8 bytes.
    F64,
}

impl Kind {
    const ALL: [Self; 5] = [Self::U8, Self::I32, Self::I64, Self::F32, Self::F64];

    /// Bytes of a value.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

/// A tensor with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// How many in each dimension.
    pub shape: Vec<usize>,
    /// The values, row after row.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of bytes.
    #[must_use]
    pub fn of_bytes(name: impl Into<String>, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { name: name.into(), kind: Kind::U8, shape: shape.to_vec(), bytes }
    }

    /// A row of whole numbers.
    pub fn of_numbers(name: impl Into<String>, numbers: impl Iterator<Item = i64>) -> Self {
        let bytes: Vec<u8> = numbers.flat_map(i64::to_le_bytes).collect();
        Self { name: name.into(), kind: Kind::I64, shape: vec![bytes.len() / 8], bytes }
    }
}

/// What is wrong with a file of tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// It is not in the format.
    #[error("this is no safetensors file: {0}")]
    Format(String),
    /// It holds values of a kind that cannot be handed over.
    #[error("tensor {name} holds values of kind {kind}, which is not known here")]
    Kind {
        /// Its name.
        name: String,
        /// The kind.
        kind: String,
    },
}
