//! Adam (Kingma and Ba 2015, algorithm 1), on the one buffer of all parameters.

use tch::{Device, Tensor};

use super::{TorchError, raw};

/// The state of the optimiser.
#[derive(Debug)]
pub struct Adam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    /// Running mean of the gradient.
    mean: Tensor,
    /// Running mean of its square.
    square: Tensor,
    /// Powers of the betas: what is missing from 1 in both means.
    missing: (f64, f64),
}

impl Adam {
    /// At rest, for parameters like `buffer`.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for its state.
    pub fn new(
        (beta1, beta2): (f64, f64),
        epsilon: f64,
        buffer: &Tensor,
    ) -> Result<Self, TorchError> {
        let (mean, square) = (buffer.f_zeros_like()?, buffer.f_zeros_like()?);
        Ok(Self { beta1, beta2, epsilon, mean, square, missing: (1.0, 1.0) })
    }

    /// Running means of the gradient and of its square.
    pub fn means(&self) -> [&Tensor; 2] {
        [&self.mean, &self.square]
    }

    /// What is missing from 1 in both means.
    #[must_use]
    pub fn missing(&self) -> [f64; 2] {
        [self.missing.0, self.missing.1]
    }

    /// Takes over what is missing from 1 in both means.
    pub fn set_missing(&mut self, [mean, square]: [f64; 2]) {
        self.missing = (mean, square);
    }

    /// Moves `buffer` one step against `gradient`.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn step(
        &mut self,
        buffer: &Tensor,
        gradient: &Tensor,
        learning_rate: f64,
    ) -> Result<(), TorchError> {
        self.missing = (self.missing.0 * self.beta1, self.missing.1 * self.beta2);
        // rate * m^ / (sqrt(v^) + epsilon) with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t): the
        // corrections are numbers, not tensors, so they are pulled out of the fraction.
        let correction = (1.0 - self.missing.1).sqrt();
        let rate = learning_rate * correction / (1.0 - self.missing.0);
        if buffer.device() == Device::Cpu {
            return self.pass(buffer, gradient, rate, self.epsilon * correction);
        }
        let _ = self.mean.f_lerp_(gradient, 1.0 - self.beta1)?;
        let _ = self.square.f_lerp_(&gradient.f_square()?, 1.0 - self.beta2)?;
        let divisor = self.square.f_sqrt()?.f_add_scalar_(self.epsilon * correction)?;
        let mut change = self.mean.f_div(&divisor)?;
        let _ = buffer.shallow_clone().f_sub_(&change.f_mul_scalar_(rate)?)?;
        Ok(())
    }

    /// The same in one pass over memory, where libtorch makes eight.
    #[expect(clippy::cast_possible_truncation, reason = "parameters are single precision")]
    fn pass(
        &mut self,
        buffer: &Tensor,
        gradient: &Tensor,
        rate: f64,
        epsilon: f64,
    ) -> Result<(), TorchError> {
        let (rate, epsilon) = (rate as f32, epsilon as f32);
        let (mean_part, square_part) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (mut buffer, mut gradient) = (buffer.shallow_clone(), gradient.shallow_clone());
        // SAFETY: four tensors that share nothing, the gradient being made anew each time; libtorch
        // computes only when it is called, and is not called here.
        #[allow(unsafe_code)]
        let (values, gradients, means, squares) = unsafe {
            let (values, gradients) =
                (raw::values::<f32>(&mut buffer)?, raw::values::<f32>(&mut gradient)?);
            (
                values,
                gradients,
                raw::values::<f32>(&mut self.mean)?,
                raw::values::<f32>(&mut self.square)?,
            )
        };
        if [gradients.len(), means.len(), squares.len()] != [values.len(); 3] {
            return Err(TorchError::Request("a gradient is not that of the parameters".into()));
        }
        let length = values.len();
        let part = length.div_ceil(raw::parts(length)).max(1);
        let parts = values.chunks_mut(part).zip(gradients.chunks(part));
        let states = means.chunks_mut(part).zip(squares.chunks_mut(part));
        raw::in_threads(parts.zip(states), |((values, gradients), (means, squares))| {
            let values = values.iter_mut().zip(gradients);
            for ((value, gradient), (mean, square)) in values.zip(means.iter_mut().zip(squares)) {
                *mean += (*gradient - *mean) * mean_part;
                *square += (*gradient * *gradient - *square) * square_part;
                *value -= *mean / (square.sqrt() + epsilon) * rate;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook's form, on numbers.
    fn textbook(gradients: &[f64], rate: f64) -> f64 {
        let (mut m, mut v, mut x) = (0.0, 0.0, 1.0_f64);
        for (gradient, t) in gradients.iter().zip(1..) {
            m = 0.9 * m + 0.1 * gradient;
            v = 0.999 * v + 0.001 * gradient * gradient;
            let (m, v) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.999_f64.powi(t)));
            x -= rate * m / (v.sqrt() + 1e-8);
        }
        x
    }

    #[test]
    fn it_follows_the_textbook() {
        let gradients = [0.5, -0.25, 3.0, 1e-3];
        let buffer = Tensor::from_slice(&[1.0_f32, 1.0]);
        let mut adam = Adam::new((0.9, 0.999), 1e-8, &buffer).unwrap();
        for gradient in gradients {
            #[expect(clippy::cast_possible_truncation, reason = "exact enough for a test")]
            let gradient = Tensor::from_slice(&[gradient as f32, 0.0]);
            adam.step(&buffer, &gradient, 0.01).unwrap();
        }
        assert!((buffer.double_value(&[0]) - textbook(&gradients, 0.01)).abs() < 1e-6);
        assert_eq!(buffer.double_value(&[1]), 1.0); // gaps stay as they are
    }
}
