//! Class probabilities as a trainer left them: whether they are any, and how many are right.

/// How far the probabilities of an image may be from a sum of 1: they are single precision.
const SUM_OFF: f64 = 1e-3;

/// Checks `bytes` (images x classes, row-major, little-endian f32) against the true `labels`:
/// images whose likeliest class, the first of equals, is the true one.
///
/// # Errors
/// What is wrong with them.
pub fn check(bytes: &[u8], labels: &[u8], classes: u32) -> Result<u32, String> {
    let (values, rest) = bytes.as_chunks::<4>();
    let columns = (classes as usize).max(1);
    if !rest.is_empty() || values.len() != labels.len() * columns {
        let (images, found) = (labels.len(), bytes.len());
        return Err(format!("{found} bytes are not f32 of {images} images and {classes} classes"));
    }
    let mut correct = 0;
    for ((row, &label), image) in values.chunks_exact(columns).zip(labels).zip(0..) {
        let (mut sum, mut best) = (0.0, (0, f32::NEG_INFINITY));
        for (value, class) in row.iter().zip(0_usize..) {
            let value = f32::from_le_bytes(*value);
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("image {image} has {value} for class {class}"));
            }
            sum += f64::from(value);
            if value > best.1 {
                best = (class, value);
            }
        }
        if (sum - 1.0).abs() > SUM_OFF {
            return Err(format!("the probabilities of image {image} add up to {sum}"));
        }
        correct += u32::from(best.0 == usize::from(label));
    }
    Ok(correct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn the_first_of_the_likeliest_classes_counts() {
        let rows = bytes(&[0.5, 0.5, 0.0, 0.1, 0.2, 0.7, 1.0, 0.0, 0.0]);
        assert_eq!(check(&rows, &[0, 2, 2], 3), Ok(2));
        assert_eq!(check(&rows, &[1, 1, 0], 3), Ok(1));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for (values, expected) in [
            (&[0.5, 0.5, 0.5, 0.5][..], "16 bytes"),
            (&[0.5, 0.6], "add up to"),
            (&[-0.1, 1.1], "has -0.1"),
            (&[f32::NAN, 1.0], "has NaN"),
        ] {
            let error = check(&bytes(values), &[0], 2).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
