//! NPZ: a ZIP archive, uncompressed, with a NumPy array (NPY 1.0) for each tensor.

use super::{Entry, Kind};

impl Kind {
    fn numpy_name(self) -> &'static str {
        match self {
            Self::U8 => "|u1",
            Self::I32 => "<i4",
            Self::I64 => "<i8",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }
}

/// Bytes of what the archive says of a file before it, after it and in the directory, without its
/// name.
const LOCAL: usize = 30;
const AFTER: usize = 16;
const LISTED: usize = 46;
/// Bytes of the end of the archive.
const END: usize = 22;

/// An archive in the making. What the archive says of a file in front of it leaves out what is only
/// known at its end, and it is said again there.
#[derive(Debug, Default)]
pub struct Archive {
    /// Bytes so far.
    place: u32,
    count: u16,
    directory: Vec<u8>,
    /// The file whose values are being written.
    open: Option<File>,
}

#[derive(Debug)]
struct File {
    name: String,
    place: u32,
    size: u32,
    crc: crc32fast::Hasher,
}

impl Archive {
    /// An archive of these tensors; `None` if it would be too large.
    pub(super) fn of(entries: &[Entry]) -> Option<Self> {
        let _ = u16::try_from(entries.len()).ok()?;
        let mut size = END;
        for entry in entries {
            let name = name(entry);
            let _ = u16::try_from(name.len()).ok()?;
            let array = header(entry).len().checked_add(entry.length())?;
            size = size.checked_add(LOCAL + AFTER + LISTED + 2 * name.len())?.checked_add(array)?;
        }
        u32::try_from(size).is_ok().then(Self::default)
    }

    pub(super) fn before(&mut self, entry: &Entry) -> Vec<u8> {
        let mut bytes = self.after();
        let file =
            File { name: name(entry), place: self.place, size: 0, crc: crc32fast::Hasher::new() };
        let mut local = b"PK\x03\x04".to_vec();
        local.extend(described(&file.name, 0, 0));
        local.extend(file.name.as_bytes());
        self.place += length(&local);
        self.open = Some(file);
        let array = header(entry);
        self.take(&array);
        bytes.extend(local);
        bytes.extend(array);
        bytes
    }

    pub(super) fn take(&mut self, values: &[u8]) {
        if let Some(file) = &mut self.open {
            file.crc.update(values);
            file.size += length(values);
            self.place += length(values);
        }
    }

    /// Ends the file whose values are written.
    fn after(&mut self) -> Vec<u8> {
        let Some(file) = self.open.take() else { return Vec::new() };
        let crc = file.crc.finalize();
        let mut bytes = b"PK\x07\x08".to_vec();
        bytes.extend([crc, file.size, file.size].iter().flat_map(|number| number.to_le_bytes()));
        self.place += length(&bytes);
        self.count += 1;
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20_u16.to_le_bytes()); // made by: version 2.0
        self.directory.extend(described(&file.name, crc, file.size));
        self.directory.extend([0; 6]); // no comment, first disk
        self.directory.extend([0; 4]); // attributes
        self.directory.extend(file.place.to_le_bytes());
        self.directory.extend(file.name.as_bytes());
        bytes
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        let mut bytes = self.after();
        let size = length(&self.directory);
        bytes.extend(self.directory);
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0; 4]); // one disk
        bytes.extend([self.count, self.count].iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend(size.to_le_bytes());
        bytes.extend(self.place.to_le_bytes());
        bytes.extend([0; 2]); // no comment
        bytes
    }
}

/// A length that fits: [`Archive::of`] has looked.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn name(entry: &Entry) -> String {
    format!("{}.npy", entry.name)
}

/// What the archive says of a file in both places: needed version, flags, method, time, CRC, sizes.
fn described(name: &str, crc: u32, size: u32) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(20_u16.to_le_bytes());
    head.extend(0x0808_u16.to_le_bytes()); // CRC and sizes follow; names are UTF-8
    head.extend([0; 2]); // stored
    // The first day that a ZIP archive knows: the same tensors give the same bytes.
    head.extend([0, 0, 0x21, 0]);
    head.extend([crc, size, size].iter().flat_map(|number| number.to_le_bytes()));
    head.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    head.extend([0; 2]); // nothing extra
    head
}

/// What an array begins with.
fn header(entry: &Entry) -> Vec<u8> {
    let sizes: Vec<String> = entry.shape.iter().map(ToString::to_string).collect();
    let shape = match sizes.as_slice() {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    };
    let kind = entry.kind.numpy_name();
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    // Values begin at a multiple of 64.
    let whole = (10 + header.len() + 1).next_multiple_of(64);
    header.resize(whole - 11, b' ');
    header.push(b'\n');
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Tensor, npz};
    use super::*;

    /// Byte for byte what `numpy.save` writes (NumPy 2.3).
    #[test]
    fn an_array_is_numpys() {
        let bytes = header(&Entry::of_bytes("x", &[2, 3]));
        let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(format!("{text:117}\n").as_bytes());
        assert_eq!(bytes, expected);
        let row = Tensor::of_numbers("n", 0..3).entry;
        assert!(String::from_utf8_lossy(&header(&row)).contains("(3,)"));
    }

    /// Sizes and places of an archive fit together; Python reads one in `tests/attack_tables.rs`.
    #[test]
    fn an_archive_ends_with_its_directory() {
        let tensors = ["one", "two"].map(|name| Tensor::of_bytes(name, &[4], vec![9, 8, 7, 6]));
        let bytes = npz(&tensors).unwrap();
        // The same comes piece by piece.
        let mut frame = Frame::npz(&tensors.clone().map(|tensor| tensor.entry)).unwrap();
        let mut pieces = Vec::new();
        for tensor in &tensors {
            pieces.extend(frame.before(&tensor.entry));
            for piece in tensor.bytes.chunks(3) {
                frame.take(piece);
                pieces.extend(piece);
            }
        }
        pieces.extend(frame.end());
        assert_eq!(pieces, bytes);
        let end = bytes.len() - END;
        assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let start = number(end + 16);
        assert_eq!(&bytes[start..start + 4], b"PK\x01\x02");
        assert_eq!(&bytes[..4], b"PK\x03\x04");
        // The second file begins where the directory says.
        let second = number(start + LISTED + "one.npy".len() + 42);
        assert_eq!(&bytes[second..second + 4], b"PK\x03\x04");
        assert_eq!(npz(&[]).map(|bytes| bytes.len()), Some(END));
    }

    #[test]
    fn an_archive_holds_less_than_four_gib() {
        let of = |size| Frame::npz(&[Entry::of_bytes("x", &[size])]);
        assert!(of(u32::MAX as usize - 300).is_some());
        for size in [u32::MAX as usize - 100, u32::MAX as usize, usize::MAX / 2] {
            assert!(of(size).is_none(), "{size}");
        }
    }
}
