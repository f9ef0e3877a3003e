//! The events with which an attack begins.

use super::job::Plan;
use super::noise::RANDOM_NOISE;
use crate::events::{
    AttackOutputs, AttackSpecified, AttackTransformation, AttackVictim, Event, Hash, PoolPart,
};

/// The images of a pool that follow the first `known` ones, as events.
#[must_use]
pub fn pool_parts(pool: &[(u32, u16)], known: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut first = known;
    for part in pool.get(known..).unwrap_or_default().chunks(PoolPart::IMAGES) {
        let (indices, labels) = part.iter().copied().unzip();
        let place = u32::try_from(first).unwrap_or(u32::MAX);
        events.push(PoolPart { first: place, indices, labels }.into());
        first += part.len();
    }
    events
}

/// The events after the first with which an attack begins: victims, attacks, transformations and
/// the pool, which comes last because a large one takes more than one batch of the log. Each victim
/// comes with the number of its outputs; `classes` is that of the images, which is not recorded
/// again.
#[must_use]
pub fn opening(
    plan: &Plan,
    pool: &[(u32, u16)],
    victims: Vec<(AttackVictim, u32)>,
    classes: u32,
) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (victim, outputs) in victims {
        let number = victim.victim;
        events.push(victim.into());
        if outputs != classes {
            events.push(AttackOutputs { victim: number, outputs }.into());
        }
    }
    let attacks = plan.specs.iter().map(|spec| (spec.method.name(), spec.eps, spec.text()));
    let noise = plan.noise.iter().map(|noise| (RANDOM_NOISE, noise.eps, noise.text()));
    for ((method, eps, text), spec) in attacks.chain(noise).zip(0..) {
        let (method, eps, hash) = (method.to_owned(), eps.into(), Hash::of(text.as_bytes()));
        events.push(AttackSpecified { spec, method, eps, hash, text }.into());
    }
    for (repeated, number) in plan.transforms.iter().zip(0..) {
        let transform = &*repeated.transform;
        let event = AttackTransformation {
            transformation: number,
            name: transform.name().to_owned(),
            parameter: transform.parameter(),
            repeats: repeated.repeats,
            random: transform.is_random(),
            text: super::transform::text(transform),
        };
        events.push(event.into());
    }
    events.extend(pool_parts(pool, 0));
    events
}
