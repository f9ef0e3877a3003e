//! What a search will cost, said before it begins.
//!
//! Architectures are sampled as in the first phase, and their multiply-adds counted. The speed of
//! a device is a rough constant: the estimate is replaced by measured times as trials end.

use crate::agent::policy::sample;
use crate::agent::qtable::QTable;
use crate::agent::search::Search;
use crate::arch::shape::Map;
use crate::arch::{PoolRule, Shapes};
use crate::chance::Stream;
use crate::config::KeepWeights;
use crate::config::learning::Epsilon;

/// Multiply-adds a second in training, for one CPU thread.
const CPU_THREAD: f64 = 4e9;
/// The same for a GPU.
const GPU: f64 = 3e12;
/// A training step costs about three evaluations.
const TRAINING: f64 = 3.0;
/// A small network does not keep a device busy: seconds a batch at least.
const BATCH_FLOOR: f64 = 0.002;
/// Architectures sampled.
const SAMPLES: u64 = 200;
/// Bytes in the log for each trial, with its epochs and replay updates.
const LOG_BYTES: f64 = 4_000.0;

/// An estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// New models to train.
    pub models: u32,
    /// Mean multiply-adds of a sampled architecture, for one image.
    pub multiply_adds: f64,
    /// Seconds for all of them.
    pub seconds: f64,
    /// Bytes on disk.
    pub bytes: f64,
}

/// Estimates a search on one CPU or GPU.
#[must_use]
pub fn estimate(search: &Search, on_cpu: bool, threads: u32) -> Estimate {
    let (space, config, data) = (search.space(), search.config(), &search.started().data);
    let q = QTable::new(space.pair_count(), 0.0);
    let input = Map { channels: data.channels, side: data.side };
    let (mut multiply_adds, mut parameters) = (0.0, 0.0_f64);
    let everywhere = Epsilon::new(1.0);
    for index in 0..SAMPLES {
        let Some(epsilon) = everywhere else { break };
        let mut chance = Stream::new(search.started().seed, "estimate", index);
        let net = space.architecture(&sample(space, &q, epsilon, &mut chance));
        if let Ok(shapes) = Shapes::of(&net, input, config.recipe.gap, PoolRule::True) {
            multiply_adds += shapes.multiply_adds() as f64 / SAMPLES as f64;
            parameters = parameters.max(shapes.parameters() as f64);
        }
    }
    let speed = if on_cpu { CPU_THREAD * f64::from(threads) } else { GPU };
    let images = f64::from(data.train) * TRAINING + f64::from(data.validation);
    let batches = f64::from(data.train) / f64::from(config.recipe.batch);
    let epoch = (images * multiply_adds / speed).max(batches * BATCH_FLOOR);
    let models = config.schedule.models();
    let kept = match config.keep_weights {
        KeepWeights::Top(n) => n.min(models),
        KeepWeights::All => models,
        KeepWeights::None => 0,
    };
    Estimate {
        models,
        multiply_adds,
        seconds: epoch * f64::from(config.recipe.epochs) * f64::from(models),
        bytes: parameters * 4.0 * f64::from(kept) + LOG_BYTES * f64::from(models),
    }
}
