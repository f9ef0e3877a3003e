//! The masks of dropout.
//!
//! On a CPU they come from [`crate::chance`]: libtorch draws them one by one in one thread, which
//! takes as long as the convolutions, and differently on processors of different makers. There they
//! are never written down either: values are set to 0 where they lie. On a GPU libtorch draws them:
//! it is fast there, and they need not cross the bus.

use tch::{Device, Kind, Tensor};

use super::TorchError;
use super::raw::{self, Bf16, Value};
use crate::chance::Stream;

/// Values to a random word: 16 bits say the probability well enough.
const TO_A_WORD: usize = 4;

/// Draws masks, one after the other.
#[derive(Debug)]
pub struct Masks {
    chance: Stream,
    /// Numbers drawn so far.
    drawn: u64,
}

impl Masks {
    /// The masks of an attempt.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Stream::new(seed, "dropout", 0);
        tch::manual_seed(chance.bits().cast_signed()); // for GPUs
        Self { chance, drawn: 1 }
    }

    /// The masks of an attempt that goes on after `drawn` numbers.
    #[must_use]
    pub fn after(seed: u64, drawn: u64) -> Self {
        let masks = Self::new(seed);
        tch::manual_seed(Stream::new(seed, "dropout after", drawn).bits().cast_signed());
        Self { drawn, ..masks }
    }

    /// Numbers drawn so far: where an attempt can go on.
    #[must_use]
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Sets each of `values` to 0 with `probability`. The others are to be scaled up by what comes
    /// back, so that the expected sum stays: the layer that reads them does that to fewer numbers.
    ///
    /// libtorch does not see it. So the gradient is right only if `values` are the output of a ReLU:
    /// its backward pass lets through what is above 0 at its end, not what was.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn drop_some(&mut self, values: &mut Tensor, probability: f64) -> Result<f64, TorchError> {
        if values.device() != Device::Cpu {
            *values = values.f_dropout(probability, true)?;
            return Ok(1.0);
        }
        match values.kind() {
            Kind::BFloat16 => self.zero_some_of::<Bf16>(values, probability)?,
            _ => self.zero_some_of::<f32>(values, probability)?,
        }
        Ok(1.0 / (1.0 - probability))
    }

    fn zero_some_of<T: Value>(
        &mut self,
        values: &mut Tensor,
        probability: f64,
    ) -> Result<(), TorchError> {
        // SAFETY: libtorch computes only when it is called, and is not called until they are set.
        #[allow(unsafe_code)]
        let values = unsafe { raw::values::<T>(values) }?;
        self.zero_some(values, probability, raw::parts(values.len()))
    }

    /// What is drawn depends neither on `parts` nor on the type of the values.
    fn zero_some<T: Value>(
        &mut self,
        values: &mut [T],
        probability: f64,
        parts: usize,
    ) -> Result<(), TorchError> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below 2^16, as probability is below 1"
        )]
        let dropped = (probability * 65_536.0) as u16;
        let words = values.len().div_ceil(TO_A_WORD);
        let (part, from) = (words.div_ceil(parts).max(1), self.drawn);
        let parts = values.chunks_mut(part * TO_A_WORD).zip(0_u64..);
        raw::in_threads(parts, |(values, number)| {
            let mut chance = self.chance.clone();
            chance.seek(from + number * part as u64);
            zero(values, &mut chance, dropped);
        })?;
        self.drawn += words as u64;
        Ok(())
    }
}

/// Sets each value to 0 if its 16 bits are below `dropped`.
fn zero<T: Value>(values: &mut [T], chance: &mut Stream, dropped: u16) {
    let mut words = [0_u64; 256];
    for values in values.chunks_mut(TO_A_WORD * words.len()) {
        let words = &mut words[..values.len().div_ceil(TO_A_WORD)];
        words.fill_with(|| chance.bits());
        for (four, word) in values.chunks_mut(TO_A_WORD).zip(words) {
            for (value, place) in four.iter_mut().zip(0..) {
                #[expect(clippy::cast_possible_truncation, reason = "16 bits are wanted")]
                let bits = (*word >> (16 * place)) as u16;
                // Not a product: what is infinite must not become no number.
                *value = if bits < dropped { T::ZERO } else { *value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(count: i64) -> Tensor {
        Tensor::ones([count], (Kind::Float, Device::Cpu))
    }

    fn dropped(masks: &mut Masks, probability: f64) -> (Tensor, f64) {
        let mut values = ones(64);
        let scale = masks.drop_some(&mut values, probability).unwrap();
        (values, scale)
    }

    #[test]
    fn so_many_are_dropped_and_the_sum_stays() {
        let mut masks = Masks::new(3);
        for probability in [1.0 / 6.0, 0.25, 0.5] {
            let mut values = ones(250_000);
            let scale = masks.drop_some(&mut values, probability).unwrap();
            let dropped = values.eq(0.0).sum(Kind::Int64).double_value(&[]) / 250_000.0;
            // sd at most 0.001; ±5 sd.
            assert!((dropped - probability).abs() < 0.005, "{dropped} of {probability}");
            let mean = scale * values.mean(Kind::Double).double_value(&[]);
            assert!((mean - 1.0).abs() < 0.01, "{mean}");
        }
    }

    #[test]
    fn masks_follow_from_the_seed_and_differ_from_each_other() {
        let mut two = Masks::new(3);
        let [first, second] = [0, 1].map(|_| dropped(&mut two, 0.5).0);
        assert!(first != second);
        let mut gone_on = Masks::after(3, 1 + 16); // four values to a number
        assert!(second == dropped(&mut gone_on, 0.5).0);
        assert_eq!(gone_on.drawn(), two.drawn());
        assert!(first == dropped(&mut Masks::new(3), 0.5).0);
        assert!(first != dropped(&mut Masks::new(4), 0.5).0);
    }

    #[test]
    fn threads_share_the_work_and_change_nothing() {
        let draw = |parts| {
            let (mut masks, mut values) = (Masks::new(3), vec![1.0_f32; 5_003]);
            masks.zero_some(&mut values, 0.3, parts).unwrap();
            (values, masks.drawn())
        };
        let alone = draw(1);
        assert!([2, 3, 5, 64].iter().all(|&parts| draw(parts) == alone));
    }

    #[test]
    fn the_same_values_are_dropped_in_either_precision() {
        let (mut full, mut half) = (ones(5_003), ones(5_003).to_kind(Kind::BFloat16));
        let scales = [&mut full, &mut half]
            .map(|values| Masks::new(3).drop_some(values, 0.3).unwrap().to_bits());
        assert!(scales[0] == scales[1] && half.kind() == Kind::BFloat16);
        assert!(half.to_kind(Kind::Float) == full);
        assert!(Masks::new(3).drop_some(&mut full.to_kind(Kind::Double), 0.3).is_err());
    }

    /// The gradient through a ReLU whose output lost values is that of the product with a mask.
    #[test]
    fn what_is_dropped_has_no_gradient() {
        let input = Tensor::from_slice(&[-1.0_f32, 2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0]);
        let leaf = input.set_requires_grad(true);
        let (mut values, mut masks) = (leaf.relu(), Masks::new(3));
        let scale = masks.drop_some(&mut values, 0.5).unwrap();
        let mask = values.detach().gt(0.0).to_kind(Kind::Float);
        let loss = (values.square() * scale).sum(Kind::Float);
        let found = Tensor::run_backward(&[loss], &[&leaf], false, false).remove(0);
        let expected = leaf.detach() * mask * (2.0 * scale);
        assert!(found == expected, "{found:?} {expected:?}");
        assert!(found.eq(0.0).sum(Kind::Int64).int64_value(&[]) > 2);
    }
}
