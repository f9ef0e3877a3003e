//! Whole searches without training: the agent as it is, the environment from what is on record.
//!
//! A simulated search samples, looks up what training gives, remembers and replays, phase after
//! phase, exactly as a search does; only the trainer is missing. Seeds pair the policies: with the
//! same seed the same training is drawn of each architecture.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::environment::{Environment, Unknown};
use super::neighbours::Neighbours;
use crate::agent::policy::sample;
use crate::agent::replay::{Facts, Learner, Order, sampler};
use crate::agent::search::EPISODES_PER_TRIAL;
use crate::agent::space::{Space, Trajectory};
use crate::chance::Stream;
use crate::config::learning::{Epsilon, Learning};
use crate::config::replay::Policy;
use crate::config::{Phase, Schedule};

/// Times that `resample` tries before it gives up.
const RESAMPLES: u32 = 10_000;

/// Who chooses architectures, and how it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agent {
    /// Epsilon-greedy by the schedule, learning under a replay policy.
    Learns {
        /// The replay policy.
        policy: Policy,
        /// Trials that wait to be learned from while the next is sampled.
        in_flight: u32,
    },
    /// Random throughout: every phase of the schedule at epsilon 1.
    Random,
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Learns { policy, in_flight: 1 } => policy.fmt(f),
            Self::Learns { policy, in_flight } => write!(f, "{policy}@{in_flight}"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// What is the same for all simulated searches.
#[derive(Debug)]
pub struct World {
    /// The state space.
    pub space: Arc<Space>,
    /// What training gives.
    pub environment: Environment,
    /// Which share of random actions, for how many models.
    pub schedule: Schedule,
    /// Draws after each episode.
    pub draws: u32,
    /// Constants of Q-learning.
    pub learning: Learning,
    /// What is done about architectures without a record.
    pub unknown: Unknown,
    /// What guesses, if that is what is done.
    pub guess: Option<Neighbours>,
}

/// A simulated search.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// The highest reward so far, after each new architecture.
    pub best: Vec<f64>,
    /// The record of the architecture that was best; `None` if it was guessed.
    pub found: Option<usize>,
    /// Mean reward of the samples of the last phase, known architectures too: what the agent aims
    /// at. The new ones alone are those at which it strayed from what it knows to be good.
    pub last_phase: f64,
    /// Architectures sampled, known ones included.
    pub episodes: u32,
    /// New architectures that had no record and were guessed.
    pub guessed: u32,
    /// New architectures sampled and passed over, or at which it ended, for want of a record.
    pub missing: u32,
}

impl Simulated {
    /// New architectures.
    #[must_use]
    pub fn models(&self) -> usize {
        self.best.len()
    }

    /// The highest reward.
    #[must_use]
    pub fn final_best(&self) -> f64 {
        self.best.last().copied().unwrap_or(f64::NAN)
    }

    /// Mean over the curve: how soon good ones were found.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.best.iter().sum::<f64>() / self.best.len() as f64
    }
}

/// A schedule like the paper's (Table 2) for so many models: the same shares of them at each
/// epsilon, every phase with one model at least.
#[must_use]
pub fn scaled_schedule(models: u32) -> Vec<Phase> {
    const PAPER: [(f64, u32); 10] = [
        (1.0, 1500),
        (0.9, 100),
        (0.8, 100),
        (0.7, 100),
        (0.6, 150),
        (0.5, 150),
        (0.4, 150),
        (0.3, 150),
        (0.2, 150),
        (0.1, 150),
    ];
    let total: u32 = PAPER.iter().map(|(_, n)| n).sum();
    let mut phases = Vec::new();
    let (mut paper, mut given) = (0, 0);
    for (epsilon, n) in PAPER {
        paper += n;
        // What is due by the end of this phase, less what was given: roundings do not add up.
        let due = (u64::from(models) * u64::from(paper) + u64::from(total) / 2) / u64::from(total);
        let share = u32::try_from(due).unwrap_or(u32::MAX).saturating_sub(given);
        if let (Some(epsilon), 1..) = (Epsilon::new(epsilon), share) {
            phases.push(Phase { epsilon, models: share });
            given += share;
        }
    }
    phases
}

/// Carries out one search.
#[must_use]
pub fn simulate(world: &World, agent: Agent, seed: u64) -> Simulated {
    let policy = match agent {
        Agent::Learns { policy, .. } => sampler(&policy),
        Agent::Random => None,
    };
    let window = match agent {
        Agent::Learns { in_flight, .. } => in_flight as usize,
        Agent::Random => 1, // nothing is learned from
    };
    let learner = Learner::new(Arc::clone(&world.space), world.learning, Order::Backward, policy);
    let mut run = Run {
        world,
        seed,
        window,
        learner,
        known: HashMap::new(),
        phase_rewards: Vec::new(),
        result: Simulated {
            best: Vec::new(),
            found: None,
            last_phase: f64::NAN,
            episodes: 0,
            guessed: 0,
            missing: 0,
        },
    };
    let whole = Epsilon::new(1.0);
    for (index, phase) in (0..).zip(&world.schedule.phases) {
        let epsilon = match agent {
            Agent::Random => whole.unwrap_or(phase.epsilon),
            Agent::Learns { .. } => phase.epsilon,
        };
        let goes_on = run.phase(index, Phase { epsilon, ..*phase });
        if !run.phase_rewards.is_empty() {
            let n = run.phase_rewards.len() as f64;
            run.result.last_phase = run.phase_rewards.drain(..).sum::<f64>() / n;
        }
        if !goes_on {
            break;
        }
    }
    run.result
}

/// An episode that was not learned from.
struct Waiting {
    trajectory: Trajectory,
    facts: Facts,
    /// Whether its architecture was sampled for the first time.
    new: bool,
}

struct Run<'w> {
    world: &'w World,
    seed: u64,
    /// Trials that may wait to be learned from.
    window: usize,
    learner: Learner,
    /// Number and reward of the architectures sampled so far.
    known: HashMap<Trajectory, (u32, f64)>,
    phase_rewards: Vec<f64>,
    result: Simulated,
}

impl Run<'_> {
    /// Returns whether the search goes on after it. What is in flight waits to be learned from, in
    /// order, as in a real search ([`crate::agent::search`]).
    fn phase(&mut self, index: u32, phase: Phase) -> bool {
        let window = self.window;
        let (mut models, mut again) = (0, 0);
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        loop {
            let in_flight = waiting.iter().filter(|one| one.new).count();
            let room = models + in_flight < phase.models as usize
                && again < self.world.schedule.max_duplicates_in_a_row
                && (self.known.len() as u128) < self.world.space.architectures();
            let front_is_known = waiting.front().is_some_and(|front| !front.new);
            let ahead = in_flight < window && waiting.len() < window * EPISODES_PER_TRIAL as usize;
            if room && ahead && !front_is_known {
                let Some((trajectory, reward)) = self.episode(phase.epsilon) else { return false };
                let new = reward.is_some();
                again = if new { 0 } else { again + 1 };
                let (architecture, reward) = match reward {
                    Some(reward) => {
                        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
                        self.known.insert(trajectory.clone(), (number, reward));
                        (number, reward)
                    }
                    None => self.known[&trajectory],
                };
                self.phase_rewards.push(reward);
                let episode = self.result.episodes;
                let facts = Facts { episode, phase: index, architecture, reward };
                waiting.push_back(Waiting { trajectory, facts, new });
            } else if let Some(Waiting { trajectory, facts, new }) = waiting.pop_front() {
                models += usize::from(new);
                let mut chance = Stream::new(self.seed, "replay", facts.episode.into());
                self.learner.push(&trajectory, facts, &mut chance);
                self.learner.replay(self.world.draws, &mut chance);
            } else {
                return true;
            }
        }
    }

    /// Samples an architecture; with it the reward if it is new. `None` if the search ends here.
    fn episode(&mut self, epsilon: Epsilon) -> Option<(Trajectory, Option<f64>)> {
        self.result.episodes += 1;
        let mut chance = Stream::new(self.seed, "sample", self.result.episodes.into());
        for _ in 0..RESAMPLES {
            let trajectory = sample(&self.world.space, self.learner.q(), epsilon, &mut chance);
            if self.known.contains_key(&trajectory) {
                return Some((trajectory, None));
            }
            if let Some(reward) = self.reward(&trajectory) {
                return Some((trajectory, Some(reward)));
            }
            self.result.missing += 1;
            if self.world.unknown != Unknown::Resample {
                break;
            }
        }
        None
    }

    /// What training gives; `None` if that is not known, nor to be guessed.
    fn reward(&mut self, trajectory: &Trajectory) -> Option<f64> {
        let architecture = self.world.space.architecture(trajectory);
        let record = self.world.environment.find(&architecture);
        let reward = match record {
            Some(index) => self.world.environment.draw(index, self.seed),
            None => {
                let guess = self.world.guess.as_ref()?.guess(&architecture)?;
                self.result.guessed += 1;
                guess
            }
        };
        let best = self.result.best.last().copied();
        if best.is_none_or(|best| reward > best) {
            self.result.found = record;
        }
        self.result.best.push(best.map_or(reward, |best| best.max(reward)));
        Some(reward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::space::SpaceConfig;

    /// A space whose every architecture is on record, its reward by its place in it.
    fn world(models: u32) -> World {
        let config = SpaceConfig {
            layer_limit: 3,
            filters: vec![8, 16],
            fields: vec![1, 3],
            pools: vec![(3, 2), (2, 2)],
            widths: vec![32],
            max_full: 2,
        };
        let space = Space::new(&config, 28, 10).unwrap();
        let mut environment = Environment::default();
        for (place, net) in space.all().iter().enumerate() {
            environment.push(net, place as f64 / 186.0);
        }
        let phases = scaled_schedule(models);
        World {
            space: Arc::new(space),
            environment,
            schedule: Schedule {
                order: crate::config::Order::Sample,
                repeats: 1,
                in_flight: 1,
                max_duplicates_in_a_row: 1_000,
                phases,
            },
            draws: 20,
            learning: Learning { alpha: 0.1, ..Learning::default() },
            unknown: Unknown::Stop,
            guess: None,
        }
    }

    fn learns(policy: Policy) -> Agent {
        Agent::Learns { policy, in_flight: 1 }
    }

    /// A window changes what is learned from when, never how much is trained or learned.
    #[test]
    fn with_several_in_flight_as_much_is_trained_and_other_things_are_sampled() {
        let world = world(111);
        let one = simulate(&world, learns(Policy::Uniform), 3);
        for in_flight in [4, 16, 10_000] {
            let agent = Agent::Learns { policy: Policy::Uniform, in_flight };
            let many = simulate(&world, agent, 3);
            assert_eq!((many.models(), many.missing), (111, 0));
            assert_eq!(many, simulate(&world, agent, 3));
            assert_ne!(many.last_phase, one.last_phase);
        }
    }

    #[test]
    fn schedules_are_scaled_without_losing_a_model() {
        for models in [1, 9, 30, 111, 2_700] {
            let sum: u32 = scaled_schedule(models).iter().map(|phase| phase.models).sum();
            assert_eq!(sum, models);
        }
        let full: Vec<u32> = scaled_schedule(2_700).iter().map(|phase| phase.models).collect();
        assert_eq!(full, [1500, 100, 100, 100, 150, 150, 150, 150, 150, 150]);
    }

    #[test]
    fn a_search_trains_what_the_schedule_says_and_repeats_itself() {
        let world = world(111);
        for agent in [learns(Policy::Uniform), learns(Policy::Newest), Agent::Random] {
            let one = simulate(&world, agent, 3);
            assert_eq!(one.models(), 111, "{agent}");
            assert!(one.best.is_sorted() && one.missing == 0 && one.guessed == 0);
            let found = &world.environment.records()[one.found.unwrap()];
            assert_eq!(found.rewards[0], one.final_best());
            assert_eq!(one, simulate(&world, agent, 3));
            assert_ne!(one, simulate(&world, agent, 4));
        }
    }

    /// What is sampled at last is better than chance where there is something to learn.
    #[test]
    fn learning_beats_chance() {
        let world = world(40);
        let mean = |agent| {
            let last = (0..200).map(|seed| simulate(&world, agent, seed).last_phase);
            last.sum::<f64>() / 200.0
        };
        let (learned, random) = (mean(learns(Policy::Uniform)), mean(Agent::Random));
        assert!(learned > random + 0.2, "{learned} {random}");
    }

    #[test]
    fn what_has_no_record_is_handled_as_told() {
        let complete = world(60);
        let mut half = Environment::default();
        for record in complete.environment.records().iter().step_by(2) {
            half.push(&record.architecture, record.rewards[0]);
        }
        let with = |unknown: Unknown| {
            let guess = unknown.neighbours().map(|count| half.neighbours(count));
            World { environment: half.clone(), unknown, guess, ..world(60) }
        };
        let agent = learns(Policy::Uniform);
        let stopped = simulate(&with(Unknown::Stop), agent, 1);
        assert!(stopped.models() < 60 && stopped.missing == 1);
        let resampled = simulate(&with(Unknown::Resample), agent, 1);
        assert!(resampled.models() == 60 && resampled.missing > 0 && resampled.guessed == 0);
        let guessed = simulate(&with(Unknown::Surrogate), agent, 1);
        assert!(guessed.models() == 60 && guessed.guessed > 10 && guessed.missing == 0);
    }
}
