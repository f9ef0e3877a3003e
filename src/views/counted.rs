//! SQL functions that count images by what models made of them, over bits
//! ([`crate::adversary::outcomes`]): of 50,000 images under hundreds of judgements, ranks themselves
//! would take a second to be read again and again.

use std::sync::{Mutex, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Result};

use super::packed::{IMAGES_MAX, blob, whole, wrong};
use crate::adversary::comparison::{Comparison, Difference, Pair, compare};
use crate::adversary::destruction::Share;
use crate::adversary::outcomes::{self, Outcomes, both, plane};

/// Makes the functions.
pub(super) fn functions(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("outcomes", 2, flags, |context| {
        let ks = numbers(&context.get::<String>(0)?);
        let Some(ranks) = blob(context, 1)? else { return Ok(None) };
        Ok(Some(Outcomes::pack(&ks, ranks)))
    })?;
    connection.create_scalar_function("everything", 1, flags, |context| {
        let images: u32 = context.get(0)?;
        Ok(plane((0..images.min(IMAGES_MAX) as usize).map(|_| true)))
    })?;
    connection.create_scalar_function("restricted", 5, flags, restricted)?;
    connection.create_scalar_function("still", 3, flags, still)?;
    connection.create_scalar_function("seen", 2, flags, |context| {
        let Some((mask, of)) = blob(context, 0)?.zip(outcomes(context, 1)?) else {
            return Ok(None);
        };
        Ok(Some(both(mask, of.seen()).iter().map(|byte| byte.count_ones()).sum::<u32>()))
    })?;
    connection.create_scalar_function("correct", 3, flags, |context| {
        let k = context.get(0)?;
        let Some((mask, of)) = blob(context, 1)?.zip(outcomes(context, 2)?) else {
            return Ok(None);
        };
        known(k, outcomes::accuracy(k, mask, of)).map(|share| Some(share.part))
    })?;
    type Count = fn(Share) -> u32;
    let counts: [(&str, Count); 2] =
        [("fooled", |share| share.all), ("destroyed", |share| share.part)];
    for (name, count) in counts {
        connection.create_scalar_function(name, 5, flags, move |context| {
            let k = context.get(0)?;
            let Some((mask, [clean, adv, t_adv])) = under(context, [1, 2, 3, 4])? else {
                return Ok(None);
            };
            known(k, outcomes::destruction(k, mask, clean, adv, t_adv)).map(count).map(Some)
        })?;
    }
    // SQLite asks again for each number it takes of the answer: the last one is kept.
    let last: Mutex<Option<(blake3::Hash, Option<String>)>> = Mutex::new(None);
    connection.create_scalar_function("compared", 8, flags, move |context| {
        let asked = fingerprint(context)?;
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, answer)) if *known == asked => Ok(answer.clone()),
            _ => {
                let answer = compared(context)?;
                *last = Some((asked, answer.clone()));
                Ok(answer)
            }
        }
    })
}

/// Numbers with commas between.
pub(super) fn numbers(list: &str) -> Vec<u16> {
    list.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

/// The outcomes of an argument; `None` if it is NULL.
fn outcomes<'c>(context: &'c Context<'_>, index: usize) -> Result<Option<Outcomes<'c>>> {
    let Some(bytes) = blob(context, index)? else { return Ok(None) };
    let found = Outcomes::read(bytes);
    found.map(Some).ok_or_else(|| wrong("outcomes are needed, as outcomes(ks, ranks) makes them"))
}

/// A mask, and clean, adversarial and transformed outcomes.
fn under<'c>(
    context: &'c Context<'_>,
    at: [usize; 4],
) -> Result<Option<(&'c [u8], [Outcomes<'c>; 3])>> {
    let of = |index| outcomes(context, index);
    let (clean, adversarial, transformed) = (of(at[1])?, of(at[2])?, of(at[3])?);
    let all = blob(context, at[0])?.zip(clean).zip(adversarial).zip(transformed);
    Ok(all.map(|(((mask, clean), adversarial), transformed)| {
        (mask, [clean, adversarial, transformed])
    }))
}

/// What was counted for `k`, or that outcomes do not say it.
fn known<T>(k: u16, counted: Option<T>) -> Result<T> {
    counted.ok_or_else(|| wrong(&format!("the outcomes were made for other k than {k}")))
}

/// `restricted(mask, labels, class, from, to)`: a mask of one class, or of some places of the pool.
fn restricted(context: &Context<'_>) -> Result<Option<Vec<u8>>> {
    let Some(mask) = blob(context, 0)? else { return Ok(None) };
    let labels = blob(context, 1)?;
    let class: Option<u32> = context.get(2)?;
    let (from, to): (Option<u32>, Option<u32>) = (context.get(3)?, context.get(4)?);
    if (class, from, to) == (None, None, None) {
        return Ok(Some(mask.to_vec()));
    }
    let meant = |place: usize| {
        let label = labels.and_then(|labels| whole(labels, place));
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let in_class = class.is_none() || label == class;
        in_class && from.is_none_or(|from| place >= from) && to.is_none_or(|to| place <= to)
    };
    Ok(Some(both(mask, &plane((0..mask.len() * 8).map(meant)))))
}

/// `still(k, mask, outcomes)`: the images of a mask that are right.
fn still(context: &Context<'_>) -> Result<Option<Vec<u8>>> {
    let k = context.get(0)?;
    let Some((mask, of)) = blob(context, 1)?.zip(outcomes(context, 2)?) else { return Ok(None) };
    let mut right = known(k, of.right(k))?.to_vec();
    // What was not judged is not right.
    right.resize(mask.len(), 0);
    Ok(Some(both(mask, &right)))
}

/// What a function is asked: its first two arguments and the BLOBs after them.
fn fingerprint(context: &Context<'_>) -> Result<blake3::Hash> {
    let mut hash = blake3::Hasher::new();
    let (seed, k): (String, u16) = (context.get(0)?, context.get(1)?);
    hash.update(seed.as_bytes());
    hash.update(&k.to_le_bytes());
    for index in 2..context.len() {
        let bytes = blob(context, index)?;
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        hash.update(&length.to_le_bytes());
        hash.update(bytes.unwrap_or_default());
    }
    Ok(hash.finalize())
}

/// `compared(seed, k, mask, clean, adv_a, t_adv_a, adv_b, t_adv_b)`: numbers as JSON, since a
/// function gives one value.
fn compared(context: &Context<'_>) -> Result<Option<String>> {
    let (seed, k): (String, u16) = (context.get(0)?, context.get(1)?);
    let seed: u64 = seed.parse().map_err(|_| wrong("the seed is none"))?;
    let (a, b) = (under(context, [2, 3, 4, 5])?, under(context, [2, 3, 6, 7])?);
    let Some((a, b)) = a.zip(b) else { return Ok(None) };
    let images = |(mask, [clean, adversarial, transformed]): (_, [Outcomes<'_>; 3])| {
        let ranks = outcomes::ranks(k, mask, clean, adversarial, transformed);
        known(k, ranks.map(Iterator::collect::<Vec<_>>))
    };
    let (a, b) = (images(a)?, images(b)?);
    let found = compare(k, a.into_iter().zip(b).map(|(a, b)| Pair { a, b }));
    Ok(Some(json(&found, seed)))
}

fn json(found: &Comparison, seed: u64) -> String {
    let number = |x: Option<f64>| x.map_or("null".to_owned(), |x| format!("{x:?}"));
    let of = |of: Difference| {
        let ends = found.bootstrap(seed, of);
        let (low, high) = (ends.map(|ends| ends.0), ends.map(|ends| ends.1));
        format!("[{},{},{}]", number(found.difference(of)), number(low), number(high))
    };
    let share = |share: Share| format!("[{},{}]", share.part, share.all);
    format!(
        "{{\"wrong_a\":{},\"wrong_b\":{},\"only\":[{},{}],\"destroyed_a\":{},\"destroyed_b\":{},\
         \"wrong\":{},\"rate\":{}}}",
        share(found.wrong_a),
        share(found.wrong_b),
        found.only_a,
        found.only_b,
        share(found.destroyed_a),
        share(found.destroyed_b),
        of(Difference::Wrong),
        of(Difference::Destruction),
    )
}
