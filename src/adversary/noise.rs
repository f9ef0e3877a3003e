//! Random noise of the size of an attack: what changes of this size do without knowing the model.
//!
//! An attack that leaves no more images misclassified than random noise has not found the model's
//! gradients (Carlini et al. 2019, section 5.3). Each value moves by eps, up or down with equal
//! probability: this is a `fast` step whose signs are random. Noise drawn uniformly from the
//! epsilon-ball would be shorter than the steps it is compared with, by a factor of the square
//! root of 3.

use crate::chance::Stream;
use crate::config::recipe::Precision;

/// The method of its specifications.
pub const RANDOM_NOISE: &str = "random-noise";

/// Random noise of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseSpec {
    /// Change of every value, of 255, before it is clipped to 0..255.
    pub eps: u8,
    /// What scores are computed in.
    pub dtype: Precision,
    /// Images scored at once.
    pub batch: u16,
}

impl NoiseSpec {
    /// All of it as TOML, always in the same order and spelling.
    #[must_use]
    pub fn text(&self) -> String {
        [
            format!("method = \"{RANDOM_NOISE}\""),
            format!("eps = {}", self.eps),
            "norm = \"linf\"".to_owned(),
            "scale = 255".to_owned(),
            "clip = \"to 0 to 255\"".to_owned(),
            "direction = \"up or down for each value, equally likely\"".to_owned(),
            "mode = \"evaluation\"".to_owned(),
            format!("dtype = \"{}\"", self.dtype),
            format!("micro-batch = {}", self.batch),
        ]
        .map(|line| line + "\n")
        .concat()
    }
}

/// An image with random noise of size `eps`. It depends on the seed of the attack, the size and the
/// index of the image in the test part; it is the same for all models.
///
/// Signs are the bits of the stream (seed, `attack noise EPS`, image), 64 from each number, lowest
/// first; 1 moves up.
#[must_use]
pub fn noisy(seed: u64, image: u32, eps: u8, clean: &[u8]) -> Vec<u8> {
    let mut stream = Stream::new(seed, &format!("attack noise {eps}"), image.into());
    let mut noisy = Vec::with_capacity(clean.len());
    for values in clean.chunks(64) {
        let bits = stream.bits();
        noisy.extend(values.iter().enumerate().map(|(at, value)| match bits >> at & 1 {
            1 => value.saturating_add(eps),
            _ => value.saturating_sub(eps),
        }));
    }
    noisy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_moves_by_eps_in_a_direction_of_its_own() {
        let clean = vec![128_u8; 3_000];
        let noise = noisy(7, 3, 8, &clean);
        assert!(noise.iter().all(|value| value.abs_diff(128) == 8));
        let up = noise.iter().filter(|value| **value > 128).count();
        // Five standard deviations around the half.
        assert!((1_363..=1_637).contains(&up), "{up}");
        // Another image, size or seed has other signs.
        for other in [noisy(7, 4, 8, &clean), noisy(7, 3, 9, &clean), noisy(8, 3, 8, &clean)] {
            let same = noise.iter().zip(&other).filter(|(a, b)| (**a > 128) == (**b > 128));
            assert!((1_363..=1_637).contains(&same.count()));
        }
        assert_eq!(noisy(7, 3, 8, &clean[..100]), noise[..100]);
    }

    /// The address is part of the format: the example of `schema/README.md`.
    #[test]
    fn known_signs() {
        assert_eq!(noisy(7, 3, 8, &[100, 100, 100, 100, 100, 100, 3, 252]), KNOWN);
    }

    const KNOWN: [u8; 8] = [108, 108, 108, 92, 108, 108, 0, 244];

    #[test]
    fn the_text_is_toml() {
        let spec = NoiseSpec { eps: 8, dtype: Precision::F32, batch: 100 };
        let table: toml::Table = spec.text().parse().unwrap();
        assert_eq!(table["method"].as_str(), Some(RANDOM_NOISE));
        assert_ne!(NoiseSpec { eps: 9, ..spec }.text(), spec.text());
        assert_ne!(NoiseSpec { batch: 9, ..spec }.text(), spec.text());
        assert_ne!(NoiseSpec { dtype: Precision::Bf16, ..spec }.text(), spec.text());
    }
}
