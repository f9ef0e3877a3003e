//! What first gradients say about an attack: whether it could move its images at all.
//!
//! An image has *zero gradients* if the gradient of every one of its values was exactly 0 in the
//! first iteration: the attack does not know where to go, and an attack with one step leaves the
//! image as it is. It has *invalid gradients* if at least one of them was NaN or infinite. A model of
//! which many images have either is hard to attack, not robust (Athalye et al. 2018).

use crate::events::{CraftedImage, ImagesCrafted};

/// Fraction of images from which on a result is doubtful.
pub const DOUBTFUL: f64 = 0.1;

/// Images that were crafted, and what their first gradients were like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub images: u64,
    /// Those with zero gradients.
    pub zero: u64,
    /// Those with invalid gradients.
    pub invalid: u64,
}

impl Tally {
    /// The images of a micro-batch, each of so many values.
    #[must_use]
    pub fn of_images(crafted: &ImagesCrafted, values: u64) -> Self {
        let images = crafted.images.iter().enumerate();
        let of = |(at, image): (usize, &CraftedImage)| {
            Self::of_image(values, image.zero_gradient, crafted.invalid(at))
        };
        images.map(of).sum()
    }

    /// One image of so many values, by how many of their gradients were zero or invalid.
    fn of_image(values: u64, zero: u32, invalid: u32) -> Self {
        let invalid = u64::from(invalid > 0);
        let zero = if invalid == 0 { u64::from(u64::from(zero) == values) } else { 0 };
        Self { images: 1, zero, invalid }
    }

    /// Whether accuracy under such an attack says little about the model.
    #[must_use]
    pub fn is_doubtful(self) -> bool {
        (self.zero + self.invalid) as f64 > DOUBTFUL * self.images as f64
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, one| Self {
            images: sum.images + one.images,
            zero: sum.zero + one.zero,
            invalid: sum.invalid + one.invalid,
        })
    }
}

/// A model as attacked by one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What people call the model.
    pub model: String,
    /// The method.
    pub method: String,
    /// Its images, of all sizes.
    pub tally: Tally,
}

/// What has to be said about the models of one attack: a line for each whose images have zero or
/// invalid gradients too often, by the method for which that holds most.
#[must_use]
pub fn warnings(attack: &str, judged: &[Judged]) -> Vec<String> {
    let mut worst: Vec<(&Judged, Vec<&str>)> = Vec::new();
    let bad = |tally: Tally| (tally.zero + tally.invalid) as f64 / tally.images.max(1) as f64;
    for one in judged.iter().filter(|one| one.tally.is_doubtful()) {
        match worst.iter_mut().find(|(known, _)| known.model == one.model) {
            Some((known, methods)) => {
                methods.push(&one.method);
                if bad(one.tally) > bad(known.tally) {
                    *known = one;
                }
            }
            None => worst.push((one, vec![&one.method])),
        }
    }
    let line = |(Judged { model, tally, .. }, methods): (&Judged, Vec<&str>)| {
        let percent = |part: u64| format!("{:.0} %", 100.0 * part as f64 / tally.images as f64);
        let parts = [(tally.zero, "zero"), (tally.invalid, "invalid (NaN or infinite)")];
        let parts = parts.into_iter().filter(|(part, _)| *part > 0);
        let parts: Vec<String> = parts
            .map(|(part, what)| format!("{} of the images have {what} gradients", percent(part)))
            .collect();
        format!(
            "warning: {attack}, {model} ({}): {}; accuracy under attack is then not robustness",
            methods.join(", "),
            parts.join(", ")
        )
    };
    worst.into_iter().map(line).collect()
}

/// What has to be said about scores of an attack that are NaN or infinite, by model (and how many
/// there are of them): they count as misclassified, whatever a model would have said.
#[must_use]
pub fn score_warnings(attack: &str, invalid: &[(String, u64)]) -> Vec<String> {
    let some = invalid.iter().filter(|(_, count)| *count > 0);
    let line = |(model, count): &(String, u64)| {
        format!(
            "warning: {attack}, {model}: its scores for {count} judged images are NaN or infinite; these \
             images count as misclassified, so accuracy under attack may be too low"
        )
    };
    some.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(model: &str, method: &str, images: u64, zero: u64, invalid: u64) -> Judged {
        let tally = Tally { images, zero, invalid };
        Judged { model: model.into(), method: method.into(), tally }
    }

    #[test]
    fn an_image_is_zero_only_if_all_of_its_values_are() {
        let of = |zero, invalid| {
            let Tally { zero, invalid, .. } = Tally::of_image(4, zero, invalid);
            (zero, invalid)
        };
        assert_eq!([of(4, 0), of(3, 0), of(0, 0)], [(1, 0), (0, 0), (0, 0)]);
        assert_eq!([of(0, 1), of(3, 1), of(0, 4)], [(0, 1); 3]);
        let all: Tally = [Tally::of_image(4, 4, 0), Tally::of_image(4, 0, 2)].into_iter().sum();
        assert_eq!(all, Tally { images: 2, zero: 1, invalid: 1 });
    }

    #[test]
    fn more_than_a_tenth_of_the_images_is_said_once_a_model() {
        let few = [judged("a", "fast", 100, 5, 5), judged("b", "fast", 0, 0, 0)];
        assert!(warnings("a1", &few).is_empty());
        let many = [
            judged("a", "fast", 100, 8, 3),
            judged("b", "fast", 100, 0, 0),
            judged("a", "basic", 100, 64, 0),
            judged("c", "basic", 100, 0, 100),
        ];
        let lines = warnings("a1", &many);
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            "warning: a1, a (fast, basic): 64 % of the images have zero gradients; accuracy under \
             attack is then not robustness"
        );
        assert!(lines[1].contains("c (basic): 100 % of the images have invalid (NaN or infinite)"));
        let both = warnings("a1", &many[..1]);
        assert!(both[0].contains("8 % of the images have zero gradients, 3 % of the images"));
    }
}
