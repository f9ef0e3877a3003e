//! Samples: which images of a pool a table looks at.
//!
//! The paper (Kurakin, Goodfellow and Bengio 2017, section 3.2) photographs 102 images for each
//! method and eps: drawn at random (average case), or drawn among those that are classified
//! rightly when clean and wrongly, with confidence, when adversarial (prefiltered case). Artificial
//! transformations (section 4) see the same 1,000 images throughout. Nothing is lost by drawing
//! when a table is asked for: the facts are of the whole pool, and the draws are addressed.

use serde::{Deserialize, Serialize};

use crate::chance::Stream;

/// How samples are drawn: the part `[sampling]` of an attack's configuration. What is left out of
/// it is as in [`Sampling::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Images of a sample of one method and eps; 0: the whole pool.
    pub draw: u32,
    /// The first so many images of the pool are those of artificial transformations (all but
    /// `camera`); 0: the whole pool.
    pub fixed: u32,
    /// A prefiltered image is right when clean, and wrong when adversarial, for each of these k.
    pub prefilter_k: Vec<u16>,
    /// The prediction for a prefiltered image has at least this probability.
    pub confidence: f64,
    /// Whose prediction that is.
    pub side: Side,
}

/// Whose prediction has to be confident. The paper does not say; the caption of its Table 2 speaks
/// of adversarial images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The adversarial image's, which is wrong.
    #[default]
    Adv,
    /// The clean image's, which is right.
    Clean,
    /// Both.
    Both,
}

impl Side {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Adv => "adv",
            Self::Clean => "clean",
            Self::Both => "both",
        }
    }
}

impl Default for Sampling {
    /// The whole pool; prefiltered as in the paper.
    fn default() -> Self {
        let (prefilter_k, side) = (vec![1, 5], Side::Adv);
        Self { draw: 0, fixed: 0, prefilter_k, confidence: 0.8, side }
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sampling: Sampling,
}

impl Sampling {
    /// As in the paper.
    #[must_use]
    pub fn kurakin2017() -> Self {
        Self { draw: 102, fixed: 1_000, ..Self::default() }
    }

    /// For small nets, on which the paper's rule leaves next to nothing.
    #[must_use]
    pub fn small() -> Self {
        Self { prefilter_k: vec![1], confidence: 0.5, ..Self::default() }
    }

    /// Reads the part `[sampling]` of an attack's configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_config(text: &str) -> Result<Self, String> {
        let Config { sampling } = toml::from_str(text).map_err(|error| error.to_string())?;
        match sampling.confidence {
            confidence if (0.0..=1.0).contains(&confidence) => Ok(sampling),
            other => Err(format!("sampling.confidence is {other}, not from 0 to 1")),
        }
    }
}

/// The places of a pool in the order in which a sample of one method and eps takes them: fresh for
/// each of them, the same for every model.
#[must_use]
pub fn order(seed: u64, method: &str, eps: u16, images: u32) -> Vec<u32> {
    let mut places: Vec<u32> = (0..images).collect();
    Stream::new(seed, &format!("adversary sample {method} {eps}"), 0).shuffle(&mut places);
    places
}

/// The first `draw` of `order` for which `passes`, or all of them if `draw` is 0: places in rising
/// order.
#[must_use]
pub fn sample(order: &[u32], draw: u32, passes: impl Fn(u32) -> bool) -> Vec<u32> {
    let most = if draw == 0 { usize::MAX } else { draw as usize };
    let mut places: Vec<u32> =
        order.iter().copied().filter(|place| passes(*place)).take(most).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_fresh_for_each_method_and_eps_and_always_the_same() {
        let draw = |method, eps| sample(&order(7, method, eps, 1_000), 102, |_| true);
        let sets = [draw("fast", 8), draw("fast", 16), draw("basic", 8)];
        for (at, set) in sets.iter().enumerate() {
            assert_eq!(set.len(), 102);
            assert!(set.windows(2).all(|pair| pair[0] < pair[1]) && set[101] < 1_000);
            assert!(sets[at + 1..].iter().all(|other| other != set));
        }
        assert_eq!(draw("fast", 8), sets[0]);
        // The address is part of the format: other numbers here are other tables.
        assert_eq!(order(7, "fast", 8, 8), [2, 6, 7, 0, 4, 5, 3, 1]);
    }

    #[test]
    fn a_filter_takes_the_first_that_pass_and_as_many_as_there_are() {
        let order = [5, 3, 8, 1, 0];
        assert_eq!(sample(&order, 2, |place| place != 3), [5, 8]);
        assert_eq!(sample(&order, 102, |place| place > 2), [3, 5, 8]);
        assert_eq!(sample(&order, 0, |_| true), [0, 1, 3, 5, 8]);
        assert!(sample(&order, 2, |_| false).is_empty());
    }

    #[test]
    fn the_part_of_a_configuration_is_read_and_may_be_missing() {
        let read = |text: &str| Sampling::of_config(text);
        assert_eq!(read("seed = 3\n").unwrap(), Sampling::default());
        let text = toml::to_string(&Sampling::small()).unwrap();
        assert_eq!(read(&format!("seed = 3\n[sampling]\n{text}")).unwrap(), Sampling::small());
        assert_eq!(
            read("[sampling]\ndraw = 102\nfixed = 1000\n").unwrap(),
            Sampling::kurakin2017()
        );
        for wrong in
            ["[sampling]\nside = \"left\"", "[sampling]\nconfidence = 1.5", "[sampling]\nx = 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
