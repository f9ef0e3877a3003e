//! Replay: which experiences are learned from, and the learning itself.
//!
//! A [`Sampler`] is a policy at work; a new policy is one small type that implements it, a line in
//! [`sampler`], and an entry of [`Policy::LIST`]. A [`Learner`] brings memory, Q-table and sampler
//! together; a search, the replay lab and the simulator all learn with it.
//!
//! | file | what it holds |
//! |---|---|
//! | `learner` | memory, Q-table and sampler; the update of the Q-table, where all time goes |
//! | `even` | policies whose draws are uniform over some set of experiences |
//! | `weighted` | policies that weigh experiences: by age, by reward, by surprise |
//! | `tree` | weights with their sum, least and greatest, drawn from in proportion |
//!
//! Powers and exponentials come from `libm`, not from the system: they enter history, and must
//! have the same bits everywhere.

mod even;
mod learner;
mod tree;
mod weighted;

pub use learner::{Learner, Order};

use crate::chance::Stream;
use crate::config::replay::Policy;

/// What a policy may know of an experience.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Its episode, from 1; later ones are higher.
    pub episode: u32,
    /// Phase of the schedule.
    pub phase: u32,
    /// Its architecture, numbered by first appearance from 0.
    pub architecture: u32,
    /// What it is worth.
    pub reward: f64,
}

/// An experience that is learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Its index in the memory.
    pub index: u32,
    /// What the learning rate of its transitions is multiplied by; 1 unless importance is weighed.
    pub weight: f64,
}

impl Draw {
    /// A draw that is not weighted.
    #[must_use]
    pub fn of(index: u32) -> Self {
        Self { index, weight: 1.0 }
    }
}

/// A policy at work. State changes with what enters and what was learned from, not with drawing:
/// draws that are taken from the record leave it as those did that were made.
pub trait Sampler: std::fmt::Debug + Send {
    /// An experience enters; its index is the number of those before it.
    fn push(&mut self, facts: &Facts, chance: &mut Stream);

    /// An earlier experience is worth something else now.
    fn revalue(&mut self, _index: u32, _reward: f64) {}

    /// The draws of an episode begin: before the first one, after whatever entered.
    fn begin(&mut self) {}

    /// Draws one. There is at least one.
    fn draw(&mut self, chance: &mut Stream) -> Draw;

    /// One was learned from; `error` is the largest |TD error| of its transitions, each before its
    /// update.
    fn learned(&mut self, _index: u32, _error: f64) {}

    /// A copy.
    fn boxed(&self) -> Box<dyn Sampler>;
}

impl Clone for Box<dyn Sampler> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

/// The sampler of a policy; `None` for those that draw nothing while a history goes on.
#[must_use]
pub fn sampler(policy: &Policy) -> Option<Box<dyn Sampler>> {
    Some(match *policy {
        Policy::Uniform => Box::new(even::Uniform::default()),
        Policy::UniformDistinct => Box::new(even::Groups::by_architecture()),
        Policy::EpsilonBalanced => Box::new(even::Groups::by_phase()),
        Policy::Newest => Box::new(even::Newest::default()),
        Policy::Combined => Box::new(even::Combined::default()),
        Policy::Window { capacity } => Box::new(even::Window::new(capacity)),
        Policy::Reservoir { capacity } => Box::new(even::Reservoir::new(capacity)),
        Policy::Top { fraction } => Box::new(even::Top::new(fraction)),
        Policy::LeastReplayed => Box::new(even::LeastReplayed::default()),
        Policy::Recency { half_life } => Box::new(weighted::Recency::new(half_life)),
        Policy::RewardWeighted { temperature } => {
            Box::new(weighted::RewardWeighted::new(temperature))
        }
        Policy::Prioritized { alpha, beta } => Box::new(weighted::Prioritized::new(alpha, beta)),
        Policy::RankPrioritized { alpha, beta } => {
            Box::new(weighted::RankPrioritized::new(alpha, beta))
        }
        Policy::Sweep { .. } | Policy::AsLogged => return None,
    })
}

#[cfg(test)]
mod tests;
