//! Crafted images as packed differences to the clean ones.
//!
//! All numbers little-endian. `qtd1`; images (u32); values of an image (u32); parts (u16); then for
//! each part: number of the specification (u16), eps (u8), bits of a value (u8); then the bits of
//! each part, image after image, lowest bit first, each part filled up to a whole byte with zeros.
//! Where bits is 0 the code has two: 0 the value is the clean one, 1 it is eps above, 2 eps below,
//! clipped to 0..255 (one-step attacks). Else the code is the difference and eps, in the fewest bits
//! that hold 2 eps: 2 for eps = 1, 3 for 2, 4 for 4, 5 for 8, 6 for 16.
//!
//! The bytes are not compressed: they name the artifact, and the output of a compressor changes
//! between its releases.

/// First bytes of the format.
const MAGIC: &[u8; 4] = b"qtd1";

/// Images crafted after one specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number of the specification.
    pub spec: u16,
    /// Largest difference.
    pub eps: u8,
    /// Image after image.
    pub pixels: Vec<u8>,
}

/// What is wrong with packed differences, or with images that are to be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Another number of values than the clean images have.
    #[error("there are {found} values, the clean images have {expected}")]
    Length {
        /// Values of the clean images.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// A value is further from the clean one than it may be.
    #[error("value {at} of attack {spec} is {found} away from the clean image, eps is {eps}")]
    Far {
        /// Number of the specification.
        spec: u16,
        /// Which value.
        at: usize,
        /// Its difference.
        found: u8,
        /// The most that it may be.
        eps: u8,
    },
    /// The bytes are not in this format.
    #[error("these are no packed differences: {0}")]
    Format(&'static str),
}

/// Packs images crafted from `clean`, which has `values` values an image.
///
/// # Errors
/// [`PackError`] if an image is not within its box: then nothing is packed.
pub fn pack(clean: &[u8], values: usize, parts: &[Part]) -> Result<Vec<u8>, PackError> {
    let count = clean.len().checked_div(values).filter(|count| count * values == clean.len());
    let count = count.ok_or(PackError::Format("no whole number of images"))?;
    let narrow = |n: usize| u32::try_from(n).map_err(|_| PackError::Format("too many"));
    let mut bytes = MAGIC.to_vec();
    bytes.extend(narrow(count)?.to_le_bytes());
    bytes.extend(narrow(values)?.to_le_bytes());
    let number = u16::try_from(parts.len()).map_err(|_| PackError::Format("too many parts"))?;
    bytes.extend(number.to_le_bytes());
    let mut codes = Vec::with_capacity(parts.len());
    for part in parts {
        check(clean, part)?;
        let signs = clean.iter().zip(&part.pixels).map(|(&x, &y)| sign(x, y, part.eps));
        let signs: Option<Vec<u16>> = signs.collect();
        let bits = if signs.is_some() { 0 } else { width(part.eps) };
        bytes.extend(part.spec.to_le_bytes());
        bytes.extend([part.eps, bits]);
        let differences = || {
            let code = |(&x, &y): (&u8, &u8)| u16::from(y) + u16::from(part.eps) - u16::from(x);
            clean.iter().zip(&part.pixels).map(code).collect()
        };
        codes.push((signs.unwrap_or_else(differences), bits.max(2)));
    }
    for (codes, bits) in codes {
        write_bits(&mut bytes, &codes, bits);
    }
    Ok(bytes)
}

/// Whether every value is within its box.
fn check(clean: &[u8], part: &Part) -> Result<(), PackError> {
    if part.pixels.len() != clean.len() {
        let (expected, found) = (clean.len(), part.pixels.len());
        return Err(PackError::Length { expected, found });
    }
    let far = |(x, y): (&u8, &u8)| x.abs_diff(*y);
    let mut values = clean.iter().zip(&part.pixels).map(far).enumerate();
    match values.find(|&(_, far)| far > part.eps) {
        Some((at, found)) => Err(PackError::Far { spec: part.spec, at, found, eps: part.eps }),
        None => Ok(()),
    }
}

/// The images of each part.
///
/// # Errors
/// [`PackError`] if the bytes are not in the format, or not of these clean images.
pub fn unpack(bytes: &[u8], clean: &[u8]) -> Result<Vec<Part>, PackError> {
    unpack_some(bytes, clean, |_| true)
}

/// The images that were crafted after one specification; `None` if there are none.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_one(bytes: &[u8], clean: &[u8], spec: u16) -> Result<Option<Part>, PackError> {
    Ok(unpack_some(bytes, clean, |number| number == spec)?.pop())
}

fn unpack_some(
    bytes: &[u8],
    clean: &[u8],
    wanted: impl Fn(u16) -> bool,
) -> Result<Vec<Part>, PackError> {
    let mut rest = Reader(bytes);
    if rest.take(4)? != MAGIC {
        return Err(PackError::Format("they begin otherwise"));
    }
    let (images, values) = (rest.number(4)?, rest.number(4)?);
    if images.checked_mul(values) != Some(clean.len()) {
        let found = images.saturating_mul(values);
        return Err(PackError::Length { expected: clean.len(), found });
    }
    let number = rest.number(2)?;
    let mut heads = Vec::new();
    for _ in 0..number {
        let spec = u16::try_from(rest.number(2)?).unwrap_or(u16::MAX);
        let &[eps, bits] = rest.take(2)? else { return Err(PackError::Format("too short")) };
        if bits != 0 && bits != width(eps) {
            return Err(PackError::Format("a number of bits that does not fit its eps"));
        }
        heads.push((spec, eps, bits));
    }
    let mut parts = Vec::new();
    for (spec, eps, bits) in heads {
        let width = usize::from(bits.max(2));
        let packed = rest.take((clean.len() * width).div_ceil(8))?;
        if !wanted(spec) {
            continue;
        }
        let value = |(at, &x): (usize, &u8)| {
            let code = read_bits(packed, at * width, width);
            match (bits, code) {
                (0, 0) => Ok(x),
                (0, 1) => Ok(x.saturating_add(eps)),
                (0, 2) => Ok(x.saturating_sub(eps)),
                (0, _) => Err(PackError::Format("a code that means nothing")),
                _ => (u16::from(x) + code)
                    .checked_sub(eps.into())
                    .and_then(|y| u8::try_from(y).ok())
                    .filter(|y| y.abs_diff(x) <= eps)
                    .ok_or(PackError::Format("a value outside its box")),
            }
        };
        let pixels = clean.iter().enumerate().map(value).collect::<Result<_, _>>()?;
        parts.push(Part { spec, eps, pixels });
    }
    if !rest.0.is_empty() {
        return Err(PackError::Format("bytes after the end"));
    }
    Ok(parts)
}

/// The code of a value that was moved by one step of `eps`, if it was.
fn sign(clean: u8, value: u8, eps: u8) -> Option<u16> {
    match value {
        _ if value == clean => Some(0),
        _ if value == clean.saturating_add(eps) => Some(1),
        _ if value == clean.saturating_sub(eps) => Some(2),
        _ => None,
    }
}

/// The fewest bits that hold 0 to 2 eps.
#[must_use]
pub fn width(eps: u8) -> u8 {
    u8::try_from(u32::BITS - (2 * u32::from(eps)).leading_zeros()).unwrap_or(9).max(2)
}

fn write_bits(bytes: &mut Vec<u8>, codes: &[u16], width: u8) {
    let (mut buffer, mut held) = (0_u32, 0);
    for &code in codes {
        buffer |= u32::from(code) << held;
        held += u32::from(width);
        while held >= 8 {
            bytes.push((buffer & 0xff) as u8);
            buffer >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        bytes.push((buffer & 0xff) as u8);
    }
}

/// `width` (at most 9) bits from bit `at` on.
fn read_bits(bytes: &[u8], at: usize, width: usize) -> u16 {
    let byte = |index: usize| bytes.get(index).copied().map_or(0, u32::from);
    let window = byte(at / 8) | byte(at / 8 + 1) << 8 | byte(at / 8 + 2) << 16;
    u16::try_from(window >> (at % 8) & ((1 << width) - 1)).unwrap_or(0)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or(PackError::Format("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, length: usize) -> Result<usize, PackError> {
        let bytes = self.take(length)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "small numbers")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_as_few_as_the_sheet_says() {
        let widths = [1, 2, 4, 8, 16, 32, 255].map(width);
        assert_eq!(widths, [2, 3, 4, 5, 6, 7, 9]);
        // 1,000 images of 32 x 32 x 3 at eps 16: 6 bits a value.
        let clean = vec![100; 3072];
        let pixels: Vec<u8> = (0..3072).map(|i| 84 + (i % 33) as u8).collect();
        let bytes = pack(&clean, 3072, &[Part { spec: 0, eps: 16, pixels }]).unwrap();
        assert_eq!(bytes.len(), 4 + 4 + 4 + 2 + 4 + 3072 * 6 / 8);
        let pixels = vec![116; 3072];
        let bytes = pack(&clean, 3072, &[Part { spec: 0, eps: 16, pixels }]).unwrap();
        assert_eq!(bytes.len(), 18 + 3072 * 2 / 8, "one step takes two bits");
    }

    #[test]
    fn the_format_is_what_the_page_says() {
        let parts = [
            Part { spec: 0, eps: 2, pixels: vec![12, 9, 1] },
            Part { spec: 7, eps: 1, pixels: vec![11, 9, 0] },
        ];
        let bytes = pack(&[10, 10, 0], 3, &parts).unwrap();
        let expected = [
            &b"qtd1\x01\0\0\0\x03\0\0\0\x02\0"[..],
            &[0, 0, 2, 3, 7, 0, 1, 0],
            &[0b11_001_100, 0b0], // codes 4, 1, 3
            &[0b00_10_01],
        ];
        assert_eq!(bytes, expected.concat());
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            clean in proptest::collection::vec(0_u8.., 12), eps in 1_u8..,
            moves in proptest::collection::vec(-255_i16..=255, 12), one: bool,
        ) {
            let moved = |(&x, &by): (&u8, &i16)| {
                let eps = i16::from(eps);
                let by = if one { eps * by.signum() } else { by.clamp(-eps, eps) };
                (i16::from(x) + by).clamp(0, 255) as u8
            };
            let pixels: Vec<u8> = clean.iter().zip(&moves).map(moved).collect();
            let parts = [Part { spec: 3, eps, pixels }, Part { spec: 4, eps, pixels: clean.clone() }];
            let bytes = pack(&clean, 4, &parts).unwrap();
            prop_assert_eq!(unpack(&bytes, &clean).unwrap(), parts.clone());
            for part in parts {
                prop_assert_eq!(unpack_one(&bytes, &clean, part.spec).unwrap(), Some(part));
            }
            for end in 0..bytes.len() {
                prop_assert!(unpack(&bytes[..end], &clean).is_err());
            }
        }

        #[test]
        fn junk_is_refused(junk in proptest::collection::vec(0_u8.., 0..60)) {
            let _ = unpack(&junk, &[0; 8]);
            let bytes = [&MAGIC[..], &[1, 0, 0, 0, 8, 0, 0, 0], &junk].concat();
            let _ = unpack(&bytes, &[0; 8]);
        }
    }

    #[test]
    fn a_value_outside_its_box_is_not_packed() {
        let part = Part { spec: 2, eps: 3, pixels: vec![10, 14] };
        let error = pack(&[10, 10], 2, std::slice::from_ref(&part)).unwrap_err();
        assert_eq!(error, PackError::Far { spec: 2, at: 1, found: 4, eps: 3 });
        assert!(matches!(pack(&[10; 4], 2, &[part]), Err(PackError::Length { .. })));
        assert!(pack(&[10; 5], 2, &[]).is_err() && pack(&[10; 5], 0, &[]).is_err());
    }
}
