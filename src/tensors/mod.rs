//! Tensors as files of others: safetensors and NumPy's NPZ. Pure: bytes in, bytes out.
//!
//! Both formats are small and fixed, so they are written here; the trainer's library for
//! safetensors comes with libtorch, which the command line does not need. A [`Frame`] has the bytes
//! around the values, so that a file can be written whose values do not fit into memory.

mod npz;
mod safetensors;

pub use safetensors::read;

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

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// How many in each dimension.
    pub shape: Vec<usize>,
}

impl Entry {
    /// A tensor of bytes.
    #[must_use]
    pub fn of_bytes(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), kind: Kind::U8, shape: shape.to_vec() }
    }

    /// Bytes of its values.
    #[must_use]
    pub fn length(&self) -> usize {
        self.shape.iter().product::<usize>() * self.kind.size()
    }
}

/// A tensor with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// What it is.
    pub entry: Entry,
    /// The values, row after row.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of bytes.
    #[must_use]
    pub fn of_bytes(name: impl Into<String>, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { entry: Entry::of_bytes(name, shape), bytes }
    }

    /// A row of integers.
    pub fn of_numbers(name: impl Into<String>, numbers: impl Iterator<Item = i64>) -> Self {
        let bytes: Vec<u8> = numbers.flat_map(i64::to_le_bytes).collect();
        let entry = Entry { name: name.into(), kind: Kind::I64, shape: vec![bytes.len() / 8] };
        Self { entry, bytes }
    }
}

/// The bytes of a file around the values of its tensors, in the order in which they are written:
/// [`Frame::before`], the values ([`Frame::take`]), and so on for each tensor; [`Frame::end`].
#[derive(Debug)]
pub enum Frame {
    /// A safetensors file; its header, until it is written.
    Safetensors(Vec<u8>),
    /// An NPZ archive.
    Npz(npz::Archive),
}

impl Frame {
    /// A safetensors file of these tensors, with a few words about them.
    #[must_use]
    pub fn safetensors(entries: &[Entry], about: &[(&str, String)]) -> Self {
        Self::Safetensors(safetensors::header(entries, about))
    }

    /// An NPZ archive of these tensors; `None` if it would be larger than a ZIP archive can be
    /// (4 GiB).
    #[must_use]
    pub fn npz(entries: &[Entry]) -> Option<Self> {
        npz::Archive::of(entries).map(Self::Npz)
    }

    /// What comes before the values of the next tensor.
    pub fn before(&mut self, entry: &Entry) -> Vec<u8> {
        match self {
            Self::Safetensors(header) => std::mem::take(header),
            Self::Npz(archive) => archive.before(entry),
        }
    }

    /// Takes in values that are written.
    pub fn take(&mut self, values: &[u8]) {
        if let Self::Npz(archive) = self {
            archive.take(values);
        }
    }

    /// What comes after the values of the last tensor.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        match self {
            // A file without tensors has a header too.
            Self::Safetensors(header) => header,
            Self::Npz(archive) => archive.end(),
        }
    }
}

/// Tensors as one safetensors file, with a few words about them.
#[must_use]
pub fn safetensors(tensors: &[Tensor], about: &[(&str, String)]) -> Vec<u8> {
    file(Frame::safetensors(&entries(tensors), about), tensors)
}

/// Tensors as one NPZ archive; `None` if it would be too large, as of [`Frame::npz`].
#[must_use]
pub fn npz(tensors: &[Tensor]) -> Option<Vec<u8>> {
    Some(file(Frame::npz(&entries(tensors))?, tensors))
}

fn entries(tensors: &[Tensor]) -> Vec<Entry> {
    tensors.iter().map(|tensor| tensor.entry.clone()).collect()
}

fn file(mut frame: Frame, tensors: &[Tensor]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tensor in tensors {
        bytes.extend(frame.before(&tensor.entry));
        frame.take(&tensor.bytes);
        bytes.extend(&tensor.bytes);
    }
    bytes.extend(frame.end());
    bytes
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
