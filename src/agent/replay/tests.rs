//! What each policy draws, against its distribution: at a fixed seed, within bounds that a right
//! sampler leaves about once in a million.

use super::*;

fn facts(index: u32, phase: u32, architecture: u32, reward: f64) -> Facts {
    Facts { episode: index + 1, phase, architecture, reward }
}

/// A sampler with experiences (phase, architecture, reward) in it.
fn filled(policy: &str, experiences: &[(u32, u32, f64)]) -> Box<dyn Sampler> {
    let mut sampler = sampler(&policy.parse().unwrap()).unwrap();
    for (index, &(phase, architecture, reward)) in (0..).zip(experiences) {
        let mut chance = Stream::new(1, "push", index.into());
        sampler.push(&facts(index, phase, architecture, reward), &mut chance);
    }
    sampler
}

fn plain(n: u32) -> Vec<(u32, u32, f64)> {
    (0..n).map(|index| (0, index, 0.5)).collect()
}

/// Draws, and holds the counts against the shares expected.
fn expect(sampler: &mut Box<dyn Sampler>, shares: &[f64]) {
    const DRAWS: u32 = 100_000;
    let mut counts = vec![0_u32; shares.len()];
    let mut chance = Stream::new(7, "draw", 0);
    for _ in 0..DRAWS {
        counts[sampler.draw(&mut chance).index as usize] += 1;
    }
    let sum: f64 = shares.iter().sum();
    for (index, (&count, share)) in counts.iter().zip(shares).enumerate() {
        let p = share / sum;
        let (mean, sd) = (f64::from(DRAWS) * p, (f64::from(DRAWS) * p * (1.0 - p)).sqrt());
        assert!((f64::from(count) - mean).abs() <= 5.0 * sd, "{index}: {count}, not {mean}±{sd}");
    }
}

#[test]
fn uniform_and_its_relatives() {
    expect(&mut filled("uniform", &plain(10)), &[1.0; 10]);
    expect(&mut filled("newest", &plain(3)), &[0.0, 0.0, 1.0]);
    expect(&mut filled("window(2)", &plain(5)), &[0.0, 0.0, 0.0, 1.0, 1.0]);
    expect(&mut filled("window(9)", &plain(3)), &[1.0; 3]);
    // Architecture 0 has two experiences, which share its half.
    let again = [(0, 0, 0.5), (0, 1, 0.5), (0, 0, 0.5)];
    expect(&mut filled("uniform-distinct", &again), &[0.25, 0.5, 0.25]);
    let phases = [(4, 0, 0.5), (4, 1, 0.5), (9, 2, 0.5), (4, 3, 0.5)];
    let sixth = 1.0 / 6.0;
    expect(&mut filled("epsilon-balanced", &phases), &[sixth, sixth, 0.5, sixth]);
}

#[test]
fn combined_begins_with_the_newest_each_time() {
    let mut sampler = filled("combined", &plain(10));
    let mut chance = Stream::new(3, "draw", 0);
    let mut later = [0_u32; 10];
    for _ in 0..10_000 {
        sampler.begin();
        assert_eq!(sampler.draw(&mut chance), Draw::of(9));
        later[sampler.draw(&mut chance).index as usize] += 1;
    }
    // Binomial(10000, 1/10): sd 30.
    assert!(later.iter().all(|n| (850..=1_150).contains(n)), "{later:?}");
}

#[test]
fn by_age_and_by_reward() {
    let half = |age: i32| 0.5_f64.powi(age);
    expect(&mut filled("recency(1)", &plain(4)), &[half(3), half(2), half(1), 1.0]);
    // Far beyond the half-lives after which weights are written anew.
    let mut long = filled("recency(1)", &plain(2_000));
    let mut shares = vec![0.0; 2_000];
    for (share, age) in shares.iter_mut().rev().zip(0..30) {
        *share = half(age);
    }
    expect(&mut long, &shares);
    let rewards = [(0, 0, 0.1), (0, 1, 0.3), (0, 2, 0.2)];
    let e = std::f64::consts::E;
    expect(&mut filled("reward-weighted(0.1)", &rewards), &[1.0, e * e, e]);
    let huge = [(0, 0, 1e6), (0, 1, 1e6 + 0.1)];
    expect(&mut filled("reward-weighted(0.1)", &huge), &[1.0, e]);
    let mut revalued = filled("reward-weighted(0.1)", &rewards);
    revalued.revalue(0, 0.4);
    expect(&mut revalued, &[e * e * e, e * e, e]);
}

#[test]
fn the_best_and_the_older_of_equals() {
    let rewards = [(0, 0, 0.5), (0, 1, 0.9), (0, 2, 0.9), (0, 3, 0.9)];
    expect(&mut filled("top(0.5)", &rewards), &[0.0, 1.0, 1.0, 0.0]);
    expect(&mut filled("top(0.51)", &rewards), &[0.0, 1.0, 1.0, 1.0]);
    expect(&mut filled("top(0.01)", &rewards), &[0.0, 1.0, 0.0, 0.0]);
    let mut revalued = filled("top(0.25)", &rewards);
    revalued.revalue(0, 0.95);
    expect(&mut revalued, &[1.0, 0.0, 0.0, 0.0]);
    // 0.1 x 30 is a trifle above 3 in floating point.
    let shares: Vec<f64> = (0..30).map(|index| f64::from(u8::from(index < 3))).collect();
    expect(&mut filled("top(0.1)", &plain(30)), &shares);
}

#[test]
fn a_reservoir_keeps_each_of_the_past_equally_often() {
    let mut kept = [0_u32; 20];
    for seed in 0..2_000 {
        let mut sampler = sampler(&"reservoir(5)".parse().unwrap()).unwrap();
        for index in 0..20 {
            let mut chance = Stream::new(seed, "push", index.into());
            sampler.push(&facts(index, 0, index, 0.5), &mut chance);
        }
        let mut chance = Stream::new(seed, "draw", 0);
        kept[sampler.draw(&mut chance).index as usize] += 1;
    }
    // Binomial(2000, 1/20): mean 100, sd 9.7.
    assert!(kept.iter().all(|n| (51..=149).contains(n)), "{kept:?}");
    let mut small = filled("reservoir(50)", &plain(4));
    expect(&mut small, &[1.0; 4]);
}

#[test]
fn the_least_replayed_comes_first_and_the_newest_of_equals() {
    let mut sampler = filled("least-replayed", &plain(3));
    let mut chance = Stream::new(0, "draw", 0);
    let mut draw = |sampler: &mut Box<dyn Sampler>| {
        let index = sampler.draw(&mut chance).index;
        sampler.learned(index, 0.0);
        index
    };
    let first: Vec<u32> = (0..5).map(|_| draw(&mut sampler)).collect();
    assert_eq!(first, [2, 1, 0, 2, 1]);
    sampler.push(&facts(3, 0, 3, 0.5), &mut Stream::new(0, "push", 3));
    let then: Vec<u32> = (0..4).map(|_| draw(&mut sampler)).collect();
    assert_eq!(then, [3, 3, 0, 3]);
}

#[test]
fn the_more_surprising_the_likelier() {
    let errors = [0.4, 0.1, 0.2];
    let told = |policy: &str| {
        let mut sampler = filled(policy, &plain(3));
        (0..).zip(errors).for_each(|(index, error)| sampler.learned(index, error));
        sampler.begin();
        sampler
    };
    expect(&mut told("prioritized(alpha=1,beta=0)"), &[0.4, 0.1, 0.2]);
    expect(&mut told("prioritized(alpha=2,beta=0)"), &[0.16, 0.01, 0.04]);
    expect(&mut told("prioritized(alpha=0,beta=1)"), &[1.0; 3]);
    expect(&mut told("rank-prioritized(alpha=1,beta=0)"), &[1.0, 1.0 / 3.0, 0.5]);
    expect(&mut told("rank-prioritized(alpha=0,beta=1)"), &[1.0; 3]);
    // A new one enters at the greatest.
    let mut with_new = told("prioritized(alpha=1,beta=0)");
    with_new.push(&facts(3, 0, 3, 0.5), &mut Stream::new(0, "push", 3));
    expect(&mut with_new, &[0.4, 0.1, 0.2, 0.4]);
}

#[test]
fn importance_weights_undo_the_preference() {
    for policy in ["prioritized(alpha=1,beta=1)", "rank-prioritized(alpha=1,beta=1)"] {
        let mut sampler = filled(policy, &plain(3));
        (0..).zip([0.4, 0.1, 0.2]).for_each(|(index, error)| sampler.learned(index, error));
        sampler.begin();
        let mut chance = Stream::new(5, "draw", 0);
        let mut sums = [0.0; 3];
        for _ in 0..100_000 {
            let draw = sampler.draw(&mut chance);
            assert!(draw.weight > 0.0 && draw.weight <= 1.0 + 1e-12);
            sums[draw.index as usize] += draw.weight;
        }
        // With beta 1 weight times probability is the same for all.
        let mean = sums.iter().sum::<f64>() / 3.0;
        assert!(sums.iter().all(|sum| (sum / mean - 1.0).abs() < 0.05), "{policy}: {sums:?}");
    }
}

/// The exact laws: after N episodes experience i (from 1) has mean K (H_N - H_{i-1}) draws, variance
/// K Σ_{n=i..N} (1/n)(1 - 1/n), and was never drawn with probability ((i-1)/N)^K.
#[test]
fn uniform_follows_its_laws() {
    const N: u32 = 400;
    const K: u32 = 20;
    const SEEDS: u64 = 50;
    let mut counts = vec![0_u32; N as usize];
    let mut never = vec![0_u32; N as usize];
    for seed in 0..SEEDS {
        let mut sampler = sampler(&Policy::Uniform).unwrap();
        let mut own = vec![0_u32; N as usize];
        for index in 0..N {
            let mut chance = Stream::new(seed, "replay", u64::from(index) + 1);
            sampler.push(&facts(index, 0, index, 0.5), &mut chance);
            (0..K).for_each(|_| own[sampler.draw(&mut chance).index as usize] += 1);
        }
        for (index, draws) in own.into_iter().enumerate() {
            counts[index] += draws;
            never[index] += u32::from(draws == 0);
        }
    }
    let (k, seeds) = (f64::from(K), SEEDS as f64);
    let (mut unseen, mut unseen_mean, mut unseen_variance) = (0.0, 0.0, 0.0);
    for i in 1..=N {
        let of = |f: &dyn Fn(f64) -> f64| (i..=N).map(|n| f(1.0 / f64::from(n))).sum::<f64>();
        let (mean, variance) = (k * of(&|p| p), k * of(&|p| p * (1.0 - p)));
        let index = i as usize - 1;
        let z = (f64::from(counts[index]) - seeds * mean) / (seeds * variance).sqrt();
        assert!(z.abs() <= 4.0, "{i}: z = {z}");
        let p = (f64::from(i - 1) / f64::from(N)).powf(k);
        let (mean, variance) = (seeds * p, seeds * p * (1.0 - p));
        unseen += f64::from(never[index]);
        unseen_mean += mean;
        unseen_variance += variance;
        // A few searches at least on either side: else the counts are not normal.
        let z = (f64::from(never[index]) - mean) / variance.sqrt();
        assert!(variance < 5.0 || z.abs() <= 4.0, "{i}, never drawn: z = {z}");
    }
    let z = (unseen - unseen_mean) / unseen_variance.sqrt();
    assert!(z.abs() <= 4.0, "never drawn in all: {unseen}, not {unseen_mean}");
}

/// The same seed gives the same draws, and draws from the record leave a sampler as those did that
/// were made.
#[test]
fn recalled_draws_leave_the_same_state() {
    use std::sync::Arc;

    use crate::agent::space::Space;
    use crate::config::learning::Learning;
    use crate::config::space::SpaceConfig;

    let space = Arc::new(Space::new(&SpaceConfig::paper(4), 32, 10).unwrap());
    let paths: Vec<_> =
        space.all().iter().take(60).filter_map(|net| space.trajectory(net)).collect();
    for entry in Policy::LIST {
        let policy: Policy = entry.name.parse().unwrap();
        let Some(start) = sampler(&policy) else { continue };
        let learning = Learning { alpha: 0.2, ..Learning::default() };
        let new =
            || Learner::new(Arc::clone(&space), learning, Order::Backward, Some(start.clone()));
        let (mut drawing, mut recalling, mut again) = (new(), new(), new());
        for (index, path) in (0_u32..).zip(&paths) {
            let reward = f64::from(index * 7 % 11) / 11.0;
            let facts = facts(index, index / 20, index, reward);
            let stream = || Stream::new(9, "replay", index.into());
            let mut chance = stream();
            drawing.push(path, facts, &mut chance);
            let draws = drawing.replay(30, &mut chance).to_vec();
            recalling.push(path, facts, &mut stream());
            recalling.recall(&draws);
            let mut chance = stream();
            again.push(path, facts, &mut chance);
            assert_eq!(again.replay(30, &mut chance), draws, "{policy}");
        }
        assert_eq!(drawing.q().digest(), recalling.q().digest(), "{policy}");
        // What comes next is the same too: so is all that is remembered.
        let mut chance = [Stream::new(9, "next", 0), Stream::new(9, "next", 0)];
        let next = drawing.replay(200, &mut chance[0]).to_vec();
        assert_eq!(recalling.replay(200, &mut chance[1]), next, "{policy}");
    }
}
