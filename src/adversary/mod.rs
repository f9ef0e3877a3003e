//! Adversarial evaluation (Kurakin, Goodfellow and Bengio 2017): attacks, transformations and what
//! is made of their results. Pure.
//!
//! [`spec`] says exactly what an attack does, [`sweep`] shares gradients between attacks of several
//! sizes, [`noise`] is what they are compared with, [`craft`] is the arithmetic of a step on whole pixel values, over anything that is a
//! [`Classifier`]. [`rank`] turns logits into facts, [`pack`] keeps crafted images small,
//! [`transform`] is what happens to an image on its way to a model, [`protocol`] puts all of it
//! together, [`job`] says what is left to do. [`preflight`] says whether a model can be attacked,
//! [`range`] what it expects of pixel values, [`gradients`] whether an attack could move its images.
//! [`sampling`] draws the samples of the result tables,
//! [`destruction`] has their rates and intervals, [`outcomes`] the same from packed bits, [`comparison`]
//! two attacks on the same images.
//! [`checks`] looks for signs that an attack was weak.
//!
//! Pixel values are bytes, 0 to 255, and so is the size of an attack, `eps`. Iterates are whole
//! numbers: with a whole step nothing is ever rounded, and |X' - X| <= eps holds exactly.

pub mod checks;
pub mod classes;
pub mod comparison;
pub mod craft;
pub mod destruction;
pub mod gradients;
pub mod job;
pub mod linear;
pub mod noise;
pub mod outcomes;
pub mod pack;
pub mod plan;
pub mod preflight;
pub mod protocol;
pub mod range;
pub mod rank;
pub mod sampling;
pub mod spec;
pub mod sweep;
pub mod transform;

/// A model that tells logits and the gradient of its loss.
pub trait Classifier {
    /// The logits of an image.
    fn logits(&self, image: &[u8]) -> Vec<f64>;

    /// The gradient of the cross-entropy of `label` by each value of the image.
    fn gradient(&self, image: &[u8], label: usize) -> Vec<f64>;
}
