//! How fast a history is learned from again: Q updates a second on one core, over a history of the
//! paper's size, against a floor that does the same arithmetic on a flat list.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use qtrail::agent::policy::sample;
use qtrail::agent::qtable::QTable;
use qtrail::agent::replay::{Facts, Learner, Order, sampler};
use qtrail::agent::space::{PairId, Space};
use qtrail::chance::Stream;
use qtrail::config::learning::{Epsilon, Learning};
use qtrail::config::replay::Policy;
use qtrail::config::space::SpaceConfig;

use crate::report::{Report, Row, Target};

/// Experiences, as many as the paper's search has.
const EXPERIENCES: u64 = 3_000;
/// Draws after each.
const DRAWS: u32 = 100;
/// Runs of which the fastest is shown.
const RUNS: usize = 5;

pub fn speed(report: &mut Report) {
    let space = Arc::new(Space::new(&SpaceConfig::paper(12), 32, 10).unwrap());
    let q = QTable::new(space.pair_count(), 0.5);
    let random = Epsilon::new(1.0).unwrap();
    let paths: Vec<Vec<PairId>> =
        (0..EXPERIENCES).map(|n| sample(&space, &q, random, &mut Stream::new(1, "s", n))).collect();

    let floor = fastest(|| floor(&paths, space.pair_count()));
    for (text, target) in [
        ("uniform", None),
        ("combined", None),
        ("recency", None),
        ("prioritized", Some(Target::AtLeast(40.0))),
        ("rank-prioritized", Some(Target::AtLeast(25.0))),
        ("least-replayed", None),
    ] {
        let policy: Policy = text.parse().unwrap();
        let speed = fastest(|| learn(&space, &paths, policy)) / 1e6;
        let row = Row::new(format!("replay {policy}"), speed, "million updates/s");
        let note = format!("a flat list {:.0}: {:.2} of it", floor / 1e6, speed * 1e6 / floor);
        report.add(row.note(note).target(target));
    }
}

/// Updates a second of the fastest run.
fn fastest(mut run: impl FnMut() -> u64) -> f64 {
    let speeds = (0..RUNS).map(|_| {
        let started = Instant::now();
        run() as f64 / started.elapsed().as_secs_f64()
    });
    speeds.fold(0.0, f64::max)
}

/// A whole history: the number of updates.
fn learn(space: &Arc<Space>, paths: &[Vec<PairId>], policy: Policy) -> u64 {
    let start = sampler(&policy);
    let mut learner = Learner::new(Arc::clone(space), Learning::default(), Order::Backward, start);
    for (index, path) in (0_u32..).zip(paths) {
        let mut chance = Stream::new(3, "replay", u64::from(index) + 1);
        let reward = f64::from(index % 97) / 97.0;
        let facts = Facts { episode: index + 1, phase: index / 300, architecture: index, reward };
        learner.push(path, facts, &mut chance);
        learner.replay(DRAWS, &mut chance);
    }
    black_box(learner.q().digest());
    learner.updates()
}

/// As many draws of as many transitions, each moved towards the one before: no states, no policy.
fn floor(paths: &[Vec<PairId>], pairs: usize) -> u64 {
    let (mut values, mut updates) = (vec![0.5; pairs], 0);
    for index in 0..paths.len() {
        let mut chance = Stream::new(3, "replay", index as u64 + 1);
        for _ in 0..DRAWS {
            let path = &paths[chance.index(index + 1)];
            let mut next = 0.5;
            for &pair in path.iter().rev() {
                let q = values[pair as usize];
                next = q + 0.01 * (next - q);
                values[pair as usize] = next;
            }
            updates += path.len() as u64;
        }
    }
    black_box(values);
    updates
}
