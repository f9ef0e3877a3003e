//! Optimisers, on the one buffer of all parameters that are trained.

use tch::Tensor;

use super::TorchError;
use super::adam::Adam;
use crate::config::recipe::{self, Recipe};

/// An optimiser with its state.
#[derive(Debug)]
pub struct Optimiser {
    rule: Rule,
    weight_decay: f64,
    decoupled: bool,
}

#[derive(Debug)]
enum Rule {
    Adam(Adam),
    Sgd {
        momentum: f64,
        /// The last movement, before it is multiplied by the rate.
        velocity: Tensor,
    },
}

impl Optimiser {
    /// At rest, for parameters like `buffer`.
    ///
    /// # Errors
    /// [`TorchError`] if there is no memory for its state.
    pub fn new(recipe: &Recipe, buffer: &Tensor) -> Result<Self, TorchError> {
        let rule = match recipe.optimiser {
            recipe::Optimiser::Adam { beta1, beta2, epsilon } => {
                Rule::Adam(Adam::new((beta1, beta2), epsilon, buffer)?)
            }
            recipe::Optimiser::Sgd { momentum } => {
                Rule::Sgd { momentum, velocity: buffer.f_zeros_like()? }
            }
        };
        Ok(Self { rule, weight_decay: recipe.weight_decay, decoupled: recipe.decoupled })
    }

    /// Moves `buffer` one step against `gradient`.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn step(
        &mut self,
        buffer: &Tensor,
        mut gradient: Tensor,
        learning_rate: f64,
    ) -> Result<(), TorchError> {
        if self.weight_decay > 0.0 && self.decoupled {
            let left = 1.0 - learning_rate * self.weight_decay;
            let _ = buffer.shallow_clone().f_mul_scalar_(left)?;
        } else if self.weight_decay > 0.0 {
            let penalty = buffer.f_mul_scalar(self.weight_decay)?;
            let _ = gradient.f_add_(&penalty)?;
        }
        match &mut self.rule {
            Rule::Adam(adam) => adam.step(buffer, &gradient, learning_rate),
            Rule::Sgd { momentum, velocity } => {
                let _ = velocity.f_mul_scalar_(*momentum)?.f_add_(&gradient)?;
                let change = velocity.f_mul_scalar(learning_rate)?;
                let _ = buffer.shallow_clone().f_sub_(&change)?;
                Ok(())
            }
        }
    }

    /// Its state: tensors, and two numbers.
    #[must_use]
    pub fn state(&self) -> (Vec<&Tensor>, [f64; 2]) {
        match &self.rule {
            Rule::Adam(adam) => (adam.means().into(), adam.missing()),
            Rule::Sgd { velocity, .. } => (vec![velocity], [0.0; 2]),
        }
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// [`TorchError`] if it is not one of this optimiser.
    pub fn restore(&mut self, tensors: &[Tensor], numbers: [f64; 2]) -> Result<(), TorchError> {
        let own: Vec<Tensor> = self.state().0.into_iter().map(Tensor::shallow_clone).collect();
        let fits = own.len() == tensors.len()
            && own.iter().zip(tensors).all(|(own, other)| own.size() == other.size());
        if !fits {
            return Err(TorchError::Request("the checkpoint is of another optimiser".into()));
        }
        for (mut own, other) in own.into_iter().zip(tensors) {
            own.f_copy_(other)?;
        }
        if let Rule::Adam(adam) = &mut self.rule {
            adam.set_missing(numbers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(recipe: &Recipe) -> (Tensor, Optimiser) {
        let buffer = Tensor::from_slice(&[1.0_f32, 2.0]);
        let optimiser = Optimiser::new(recipe, &buffer).unwrap();
        (buffer, optimiser)
    }

    #[test]
    fn momentum_follows_the_textbook() {
        let optimiser = recipe::Optimiser::Sgd { momentum: 0.5 };
        let (buffer, mut sgd) = at(&Recipe { optimiser, ..Recipe::default() });
        for gradient in [1.0_f32, 2.0] {
            sgd.step(&buffer, Tensor::from_slice(&[gradient, 0.0]), 0.25).unwrap();
        }
        // v = 1, then 0.5 * 1 + 2 = 2.5; 1 - 0.25 * 1 - 0.25 * 2.5.
        assert!((buffer.double_value(&[0]) - 0.125).abs() < 1e-7);
        assert_eq!(buffer.double_value(&[1]), 2.0); // gaps stay as they are
    }

    #[test]
    fn weight_decay_is_added_to_the_gradient() {
        let (buffer, mut decaying) = at(&Recipe { weight_decay: 0.5, ..Recipe::default() });
        decaying.step(&buffer, Tensor::from_slice(&[-0.5_f32, -1.0]), 0.1).unwrap();
        assert_eq!(buffer.double_value(&[0]), 1.0);
        decaying.step(&buffer, Tensor::from_slice(&[0.0_f32, 0.0]), 0.1).unwrap();
        assert!(buffer.double_value(&[0]) < 1.0);
    }

    #[test]
    fn decoupled_weight_decay_is_not() {
        let recipe = Recipe { weight_decay: 0.5, decoupled: true, ..Recipe::default() };
        let (buffer, mut decaying) = at(&recipe);
        decaying.step(&buffer, Tensor::from_slice(&[0.0_f32, 0.0]), 0.1).unwrap();
        assert!((buffer.double_value(&[0]) - 0.95).abs() < 1e-7);
    }

    #[test]
    fn a_restored_state_goes_on_as_the_first() {
        for optimiser in [Recipe::default().optimiser, recipe::Optimiser::Sgd { momentum: 0.9 }] {
            let recipe = Recipe { optimiser, ..Recipe::default() };
            let (buffer, mut first) = at(&recipe);
            let gradient = || Tensor::from_slice(&[0.5_f32, -0.25]);
            first.step(&buffer, gradient(), 0.1).unwrap();
            let (tensors, numbers) = first.state();
            let kept: Vec<Tensor> = tensors.into_iter().map(Tensor::copy).collect();
            let other = buffer.copy();
            let mut second = Optimiser::new(&recipe, &other).unwrap();
            second.restore(&kept, numbers).unwrap();
            first.step(&buffer, gradient(), 0.1).unwrap();
            second.step(&other, gradient(), 0.1).unwrap();
            assert!(buffer == other);
            assert!(second.restore(&[], numbers).is_err());
        }
    }
}
