//! Learning again: the experiences of a history, in their order, under a policy.
//!
//! After the n-th experience a policy draws from the first n. Nothing is trained, and nothing is
//! sampled: the architectures are those of the history, whatever this Q-table would have chosen.

use std::sync::Arc;

use super::history::{Experience, History, Recorded};
use super::measure::PathValue;
use crate::agent::qtable::QTable;
use crate::agent::replay::{Draw, Facts, Learner, Order, sampler};
use crate::chance::Stream;
use crate::config::learning::Learning;
use crate::config::replay::Policy;
use crate::events::Hash;

/// How a history is learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Which experiences are drawn.
    pub policy: Policy,
    /// Draws after each experience, the paper's K.
    pub draws: u32,
    /// Constants of Q-learning.
    pub learning: Learning,
    /// In which order the transitions of a trajectory are learned from.
    pub order: Order,
    /// What an architecture that was sampled again is worth.
    pub duplicates: Duplicates,
    /// What a trajectory is worth by a Q-table.
    pub path_value: PathValue,
}

/// The reward of an architecture that was sampled more than once. Only experiences that are in the
/// memory by then are known to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// That of its first experience, as the authors' program does.
    #[default]
    First,
    /// Each experience its own.
    Own,
    /// The highest so far, of all of them.
    Best,
    /// The mean so far, of all of them.
    Mean,
}

impl Duplicates {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::First, Self::Own, Self::Best, Self::Mean];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Own => "own",
            Self::Best => "best",
            Self::Mean => "mean",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Derived {
    /// The Q-table at the end.
    pub q: QTable,
    /// How often each experience was drawn.
    pub counts: Vec<u32>,
    /// Experiences between the recording of each and its first draw, 0 if it was drawn in its own
    /// step; `None` if it never was.
    pub first: Vec<Option<u32>>,
    /// Each new architecture, when it entered the memory: the experience, and the value of its
    /// path by the Q-table as it was just before. Under `sweep`, just before it was learned from.
    pub scores: Vec<(u32, f64)>,
    /// Updates of a Q-value.
    pub updates: u64,
    /// How learning again compares with the record.
    pub check: Check,
}

/// How learning again compares with the digests on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing is to be compared: another policy, or other settings.
    Other,
    /// Every Q-table had the digest on record; so many were compared.
    Equal(usize),
    /// The first that has not.
    Differs {
        /// After this episode.
        episode: u32,
        /// The digest on record.
        recorded: Hash,
        /// The digest found.
        found: Hash,
    },
}

/// Why a history cannot be learned from so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RederiveError {
    /// `as-logged`, and there are no draws on record.
    #[error("as-logged: {0}")]
    NoDraws(&'static str),
    /// No experience.
    #[error("it has no experiences: nothing was sampled and learned from, or not yet")]
    Empty,
}

/// Whether all seeds give the same.
#[must_use]
pub fn is_deterministic(policy: &Policy) -> bool {
    matches!(
        policy,
        Policy::Sweep { .. } | Policy::AsLogged | Policy::Newest | Policy::LeastReplayed
    )
}

/// Learns from a history under a policy. `seed` is that of the draws: with the policy and the seed
/// of a search of qtrail's own, the draws are those on record.
///
/// # Errors
/// [`RederiveError`] if there is nothing to learn from, or `as-logged` has no draws.
pub fn rederive(history: &History, task: &Task, seed: u64) -> Result<Derived, RederiveError> {
    if history.experiences.is_empty() {
        return Err(RederiveError::Empty);
    }
    let mut lesson = Lesson::new(history, task);
    match task.policy {
        Policy::AsLogged => lesson.as_logged(seed)?,
        Policy::Sweep { passes } => lesson.sweep(passes, seed),
        _ => lesson.history(seed),
    }
    Ok(lesson.derived)
}

/// Whether learning from the recorded draws must give the recorded digests.
fn is_comparable(history: &History, task: &Task) -> bool {
    let same = |one: &Experience| one.reward.to_bits() == one.accuracy.to_bits();
    task.learning == history.config.learning
        && task.order == Order::Backward
        && history.experiences.iter().all(same)
}

struct Lesson<'h> {
    history: &'h History,
    task: &'h Task,
    learner: Learner,
    rewards: Rewards,
    derived: Derived,
}

impl<'h> Lesson<'h> {
    fn new(history: &'h History, task: &'h Task) -> Self {
        let (count, space) = (history.experiences.len(), &history.space);
        let learner =
            Learner::new(Arc::clone(space), task.learning, task.order, sampler(&task.policy));
        let derived = Derived {
            q: QTable::new(0, 0.0),
            counts: vec![0; count],
            first: vec![None; count],
            scores: Vec::with_capacity(history.architectures.len()),
            updates: 0,
            check: Check::Other,
        };
        let rewards = Rewards::new(task.duplicates, history.architectures.len());
        Self { history, task, learner, rewards, derived }
    }

    fn history(&mut self, seed: u64) {
        for (index, one) in self.history.experiences.iter().enumerate() {
            let mut chance = Stream::new(seed, "replay", one.episode.into());
            self.score(index);
            self.push(index, &mut chance);
            let draws = self.learner.replay(self.task.draws, &mut chance);
            count(&mut self.derived, draws, index);
        }
        self.finish();
    }

    /// Nothing is drawn before the end; then every experience once a pass, in order.
    fn sweep(&mut self, passes: u32, seed: u64) {
        let last = self.history.experiences.len() - 1;
        for (index, one) in self.history.experiences.iter().enumerate() {
            self.push(index, &mut Stream::new(seed, "replay", one.episode.into()));
        }
        for pass in 0..passes {
            for index in 0..=last {
                if pass == 0 {
                    self.score(index);
                }
                let draw = Draw { index: narrow(index), weight: 1.0 };
                self.learner.learn(draw);
                count(&mut self.derived, &[draw], last);
            }
        }
        self.finish();
    }

    fn as_logged(&mut self, seed: u64) -> Result<(), RederiveError> {
        let Recorded::Draws(replays) = &self.history.recorded else {
            let why = "the search is an import: which experiences were drawn is not on record";
            return Err(RederiveError::NoDraws(why));
        };
        if !self.history.as_recorded {
            let why = "the draws on record are of other experiences, or of another order";
            return Err(RederiveError::NoDraws(why));
        }
        let comparable = is_comparable(self.history, self.task);
        let (mut replays, mut equal) = (replays.iter().peekable(), 0);
        for (index, one) in self.history.experiences.iter().enumerate() {
            self.score(index);
            self.push(index, &mut Stream::new(seed, "replay", one.episode.into()));
            while let Some(replay) = replays.next_if(|replay| replay.memory == index + 1) {
                let draws: Vec<Draw> =
                    replay.draws.iter().map(|&(index, weight)| Draw { index, weight }).collect();
                self.learner.recall(&draws);
                count(&mut self.derived, &draws, index);
                let found = Hash(self.learner.q().digest());
                if comparable && found == replay.q {
                    equal += 1;
                } else if comparable && !matches!(self.derived.check, Check::Differs { .. }) {
                    let (episode, recorded) = (replay.episode, replay.q);
                    self.derived.check = Check::Differs { episode, recorded, found };
                }
            }
        }
        if comparable && self.derived.check == Check::Other {
            self.derived.check = Check::Equal(equal);
        }
        self.finish();
        Ok(())
    }

    /// Notes what the Q-table makes of an architecture that appears for the first time.
    fn score(&mut self, index: usize) {
        let one = &self.history.experiences[index];
        // Architectures are numbered by first appearance.
        if one.architecture as usize == self.derived.scores.len() {
            let values = self.learner.q().values();
            let value = self.task.path_value.of(values, self.history.path(one));
            self.derived.scores.push((narrow(index), value));
        }
    }

    /// Lets an experience into the memory.
    fn push(&mut self, index: usize, chance: &mut Stream) {
        let one = &self.history.experiences[index];
        let learner = &mut self.learner;
        let reward = self.rewards.enter(narrow(index), one, |earlier, reward| {
            learner.revalue(earlier, reward);
        });
        let Experience { episode, phase, architecture, .. } = *one;
        let facts = Facts { episode, phase, architecture, reward };
        learner.push(self.history.path(one), facts, chance);
    }

    fn finish(&mut self) {
        self.derived.updates = self.learner.updates();
        self.derived.q = self.learner.q().clone();
    }
}

/// Counts draws made while the newest experience was number `newest`.
fn count(derived: &mut Derived, draws: &[Draw], newest: usize) {
    for draw in draws {
        let index = draw.index as usize;
        derived.counts[index] += 1;
        derived.first[index].get_or_insert_with(|| narrow(newest - index));
    }
}

/// What each architecture is worth by the experiences in the memory.
#[derive(Debug)]
pub(super) struct Rewards {
    rule: Duplicates,
    of: Vec<Worth>,
}

#[derive(Debug, Clone, Default)]
struct Worth {
    experiences: Vec<u32>,
    first: f64,
    best: f64,
    /// Sum of the differences to the first.
    beyond: f64,
}

impl Worth {
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    fn now(&self, rule: Duplicates, own: f64) -> f64 {
        match rule {
            Duplicates::First => self.first,
            Duplicates::Own => own,
            Duplicates::Best => self.best,
            // Exact where all are equal: then every difference is 0.
            Duplicates::Mean => self.first + self.beyond / self.experiences.len() as f64,
        }
    }
}

impl Rewards {
    pub(super) fn new(rule: Duplicates, architectures: usize) -> Self {
        Self { rule, of: vec![Worth::default(); architectures] }
    }

    /// Lets an experience in: its own effective reward; `revalue` hears of earlier ones whose
    /// reward is another now.
    pub(super) fn enter(
        &mut self,
        index: u32,
        one: &Experience,
        mut revalue: impl FnMut(u32, f64),
    ) -> f64 {
        let worth = &mut self.of[one.architecture as usize];
        let shared = matches!(self.rule, Duplicates::Best | Duplicates::Mean);
        let before = (!worth.experiences.is_empty()).then(|| worth.now(self.rule, one.reward));
        if before.is_none() {
            (worth.first, worth.best) = (one.reward, one.reward);
        }
        worth.best = worth.best.max(one.reward);
        worth.beyond += one.reward - worth.first;
        worth.experiences.push(index);
        let now = worth.now(self.rule, one.reward);
        if shared && before.is_some_and(|before| before.to_bits() != now.to_bits()) {
            let earlier = &worth.experiences[..worth.experiences.len() - 1];
            earlier.iter().for_each(|&index| revalue(index, now));
        }
        now
    }

    /// What an architecture is worth by all its experiences; of rule `own`, the first.
    pub(super) fn of(&self, architecture: usize) -> f64 {
        let worth = &self.of[architecture];
        worth.now(self.rule, worth.first)
    }
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
