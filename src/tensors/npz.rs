//! NPZ: a ZIP archive, uncompressed, with a NumPy array (NPY 1.0) for each tensor.

use super::{Kind, Tensor};

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

/// Tensors as one archive; `None` if it would be larger than a ZIP archive can be (4 GiB).
#[must_use]
pub fn npz(tensors: &[Tensor]) -> Option<Vec<u8>> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let name = format!("{}.npy", tensor.name);
        let array = npy(tensor);
        let place = u32::try_from(bytes.len()).ok()?;
        let head = head(&name, &array)?;
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&head);
        bytes.extend(name.as_bytes());
        bytes.extend(&array);
        directory.extend(b"PK\x01\x02");
        directory.extend(20_u16.to_le_bytes()); // made by: version 2.0
        directory.extend(&head);
        directory.extend([0; 6]); // no comment, first disk
        directory.extend([0; 4]); // attributes
        directory.extend(place.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(tensors.len()).ok()?;
    let (start, size) = (u32::try_from(bytes.len()).ok()?, u32::try_from(directory.len()).ok()?);
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06");
    bytes.extend([0; 4]); // one disk
    bytes.extend([count, count].iter().flat_map(|count| count.to_le_bytes()));
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]); // no comment
    Some(bytes)
}

/// What the archive says of a file in both places: needed version, flags, method, time, CRC, sizes.
fn head(name: &str, array: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(array.len()).ok()?.to_le_bytes();
    let mut head = Vec::new();
    head.extend(20_u16.to_le_bytes());
    head.extend(0x0800_u16.to_le_bytes()); // names are UTF-8
    head.extend([0; 2]); // stored
    // The first day that a ZIP archive knows: the same tensors give the same bytes.
    head.extend([0, 0, 0x21, 0]);
    head.extend(crc32fast::hash(array).to_le_bytes());
    head.extend([size, size].concat());
    head.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
    head.extend([0; 2]); // nothing extra
    Some(head)
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let sizes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    let shape = match sizes.as_slice() {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    };
    let kind = tensor.kind.numpy_name();
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
    bytes.extend(&tensor.bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte for byte what `numpy.save` writes (NumPy 2.3).
    #[test]
    fn an_array_is_numpys() {
        let tensor = Tensor::of_bytes("x", &[2, 3], vec![1, 2, 3, 4, 5, 6]);
        let bytes = npy(&tensor);
        let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(format!("{text:117}\n").as_bytes());
        expected.extend([1, 2, 3, 4, 5, 6]);
        assert_eq!(bytes, expected);
        assert!(String::from_utf8_lossy(&npy(&Tensor::of_numbers("n", 0..3))).contains("(3,)"));
    }

    /// Sizes and places of an archive fit together; Python reads one in `tests/attack_tables.rs`.
    #[test]
    fn an_archive_ends_with_its_directory() {
        let one = Tensor::of_bytes("one", &[1], vec![9]);
        let bytes = npz(&[one.clone(), Tensor { name: "two".into(), ..one }]).unwrap();
        let end = bytes.len() - 22;
        assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
        let start = u32::from_le_bytes(bytes[end + 16..end + 20].try_into().unwrap()) as usize;
        assert_eq!(&bytes[start..start + 4], b"PK\x01\x02");
        assert_eq!(&bytes[..4], b"PK\x03\x04");
        assert_eq!(npz(&[]).map(|bytes| bytes.len()), Some(22));
    }
}
