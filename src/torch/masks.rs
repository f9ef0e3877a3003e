//! The masks of dropout.
//!
//! On a CPU they come from [`crate::chance`]: libtorch draws them one by one in one thread, which
//! takes as long as the convolutions, and differently on processors of different makers. On a GPU
//! libtorch draws them: it is fast there, and they need not cross the bus.

use tch::{Device, Tensor};

use super::TorchError;
use crate::chance::Stream;

/// Draws masks, one after the other.
#[derive(Debug)]
pub struct Masks {
    chance: Stream,
    /// Numbers drawn so far.
    drawn: u64,
    values: Vec<f32>,
}

impl Masks {
    /// The masks of an attempt.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Stream::new(seed, "dropout", 0);
        tch::manual_seed(chance.bits().cast_signed()); // for GPUs
        Self { chance, drawn: 1, values: Vec::new() }
    }

    /// The masks of an attempt that goes on after `drawn` numbers.
    #[must_use]
    pub fn after(seed: u64, drawn: u64) -> Self {
        let mut masks = Self::new(seed);
        masks.chance.seek(drawn);
        tch::manual_seed(Stream::new(seed, "dropout after", drawn).bits().cast_signed());
        Self { drawn, ..masks }
    }

    /// Numbers drawn so far: where an attempt can go on.
    #[must_use]
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Sets each of `values` to 0 with `probability`, and scales the others so that the expected
    /// sum stays.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn drop_some(&mut self, values: &Tensor, probability: f64) -> Result<Tensor, TorchError> {
        if values.device() != Device::Cpu {
            return Ok(values.f_dropout(probability, true)?);
        }
        self.values.resize(values.numel(), 0.0);
        self.draw(probability);
        let mask = Tensor::f_from_slice(&self.values)?.f_view(values.size().as_slice())?;
        Ok(values.f_mul(&mask)?)
    }

    /// Four values to a random word: 16 bits say the probability well enough.
    fn draw(&mut self, probability: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a scale is single precision")]
        let scale = (1.0 / (1.0 - probability)) as f32;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below 2^16, as probability is below 1"
        )]
        let dropped = (probability * 65_536.0) as u64;
        for four in self.values.chunks_mut(4) {
            let mut word = self.chance.bits();
            self.drawn += 1;
            for value in four {
                *value = if word & 0xffff < dropped { 0.0 } else { scale };
                word >>= 16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_dropped_and_the_sum_stays() {
        let ones = Tensor::ones([1000, 250], (tch::Kind::Float, Device::Cpu));
        let mut masks = Masks::new(3);
        for probability in [1.0 / 6.0, 0.25, 0.5] {
            let masked = masks.drop_some(&ones, probability).unwrap();
            assert_eq!(masked.size(), [1000, 250]);
            let dropped = masked.eq(0.0).sum(tch::Kind::Int64).double_value(&[]) / 250_000.0;
            // sd at most 0.001; ±5 sd.
            assert!((dropped - probability).abs() < 0.005, "{dropped} of {probability}");
            let mean = masked.mean(tch::Kind::Double).double_value(&[]);
            assert!((mean - 1.0).abs() < 0.01, "{mean}");
        }
    }

    #[test]
    fn masks_follow_from_the_seed_and_differ_from_each_other() {
        let ones = Tensor::ones([64], (tch::Kind::Float, Device::Cpu));
        let mut two = Masks::new(3);
        let [first, second] = [0, 1].map(|_| two.drop_some(&ones, 0.5).unwrap());
        assert!(first != second);
        let mut gone_on = Masks::after(3, 1 + 16); // four values to a number
        assert!(second == gone_on.drop_some(&ones, 0.5).unwrap());
        assert_eq!(gone_on.drawn(), two.drawn());
        assert!(first == Masks::new(3).drop_some(&ones, 0.5).unwrap());
        assert!(first != Masks::new(4).drop_some(&ones, 0.5).unwrap());
    }
}
