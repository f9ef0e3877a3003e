//! safetensors: the length of a JSON header (u64, little-endian), the header, the values.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Entry, Kind, Tensor, TensorError};

impl Kind {
    fn safetensors_name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }
}

/// What a file begins with: all but the values, which follow end to end.
pub(super) fn header(entries: &[Entry], about: &[(&str, String)]) -> Vec<u8> {
    let mut header = Map::new();
    let words = about.iter().map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())));
    header.insert("__metadata__".into(), Value::Object(words.collect()));
    let mut end = 0;
    for entry in entries {
        let start = end;
        end += entry.length();
        let described = json!({
            "dtype": entry.kind.safetensors_name(), "shape": entry.shape,
            "data_offsets": [start, end],
        });
        header.insert(entry.name.clone(), described);
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // So that the values begin at a multiple of 8.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The tensors of a file, in the order of their values. Numbers in two bytes become ones in four.
///
/// # Errors
/// [`TensorError`] if it is not in the format, or holds values of another kind.
pub fn read(bytes: &[u8]) -> Result<Vec<Tensor>, TensorError> {
    let wrong = |what: &str| TensorError::Format(what.to_owned());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| wrong("it is too short"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let header = rest.get(..length).ok_or_else(|| wrong("its header is not whole"))?;
    let values = &rest[length..];
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|error| TensorError::Format(error.to_string()))?;
    let mut entries = Vec::new();
    for (name, value) in header {
        if name != "__metadata__" {
            let entry: Described = serde_json::from_value(value)
                .map_err(|error| TensorError::Format(format!("{name}: {error}")))?;
            entries.push((name, entry));
        }
    }
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    // As the format wants it. Else a small file could be many large tensors.
    let overlap = entries.windows(2).any(|two| two[1].1.data_offsets[0] < two[0].1.data_offsets[1]);
    if overlap {
        return Err(wrong("its tensors share values"));
    }
    let tensor = |(name, entry): (String, Described)| {
        let [start, end] = entry.data_offsets;
        let bytes = values.get(start..end).ok_or_else(|| wrong("its values are not whole"))?;
        let known = Kind::ALL.into_iter().find(|kind| kind.safetensors_name() == entry.dtype);
        let (kind, bytes) = match (known, entry.dtype.as_str()) {
            (Some(kind), _) => (kind, bytes.to_vec()),
            (None, "BF16") => {
                // The upper half of a number in four bytes.
                let wide = bytes.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]]);
                (Kind::F32, wide.collect())
            }
            (None, kind) => {
                return Err(TensorError::Kind { name, kind: kind.to_owned() });
            }
        };
        let count = entry.shape.iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
        let size = count.and_then(|count| count.checked_mul(kind.size()));
        if size != Some(bytes.len()) {
            return Err(wrong(&format!("{name} has not as many values as its shape says")));
        }
        Ok(Tensor { entry: Entry { name, kind, shape: entry.shape }, bytes })
    };
    entries.into_iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::super::safetensors;
    use super::*;

    fn tensors() -> Vec<Tensor> {
        vec![
            Tensor::of_bytes("clean", &[2, 1, 1, 3], vec![1, 2, 3, 4, 5, 6]),
            Tensor::of_numbers("labels", [7, -1].into_iter()),
        ]
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = safetensors(&tensors(), &[("attack", "a1".into())]);
        assert_eq!(read(&bytes), Ok(tensors()));
        assert_eq!(read(&safetensors(&[], &[])), Ok(Vec::new()));
        let header = std::str::from_utf8(&bytes[8..]).unwrap_or_default();
        assert!(bytes.len() > 8 && header.is_empty() || header.starts_with("{\"__metadata__\""));
        let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        assert!(length.is_multiple_of(8));
        assert_eq!(&bytes[8 + length..8 + length + 6], [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_cut_and_nonsense_is_refused() {
        let bytes = safetensors(&tensors(), &[]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "cut to {length}");
        }
        let header = |text: &str| {
            let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            bytes.extend([0; 8]);
            read(&bytes)
        };
        let entry = |kind: &str, shape: &str| {
            header(&format!(
                "{{\"x\":{{\"dtype\":\"{kind}\",\"shape\":{shape},\"data_offsets\":[0,8]}}}}"
            ))
        };
        assert!(entry("F32", "[2]").is_ok() && entry("F32", "[3]").is_err());
        assert!(entry("F32", "[18446744073709551615,2]").is_err());
        assert!(matches!(entry("F8_E4M3", "[8]"), Err(TensorError::Kind { .. })));
        let wide = entry("BF16", "[4]").unwrap();
        assert_eq!((wide[0].entry.kind, wide[0].bytes.len()), (Kind::F32, 16));
        assert!(header("[]").is_err());
        let two = |first: &str, second: &str| {
            let entry =
                |at: &str| format!("{{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":{at}}}");
            header(&format!("{{\"x\":{},\"y\":{}}}", entry(first), entry(second)))
        };
        assert_eq!(two("[4,8]", "[0,4]").map(|tensors| tensors.len()), Ok(2));
        for (first, second) in [("[0,4]", "[0,4]"), ("[0,4]", "[3,7]"), ("[3,7]", "[0,4]")] {
            let error = two(first, second).unwrap_err().to_string();
            assert!(error.contains("share values"), "{error}");
        }
    }
}
