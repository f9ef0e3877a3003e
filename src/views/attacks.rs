//! Folding attacks: images crafted and judged, a micro-batch a row, numbers of images packed.

use rusqlite::{Connection, OptionalExtension as _};

use super::ViewError;
use super::fold::{cached, count, impossible, number, run};
use crate::adversary::gradients::Tally;
use crate::adversary::sampling::Sampling;
use crate::adversary::spec::settings;
use crate::events::{
    AttackOutputs, AttackSpecified, AttackStarted, AttackTrainer, AttackTransformation,
    AttackVictim, ConfigPart, Event, Hash, ImagesCrafted, ImagesScored, PoolPart, Recorded,
    ScoredImage, TrialOf, Victim,
};

/// Digits of a hash that tell models apart.
const MODEL_DIGITS: usize = 12;

/// Takes in an event of an attack.
pub(super) fn fold(db: &Connection, recorded: &Recorded, attack: u32) -> Result<(), ViewError> {
    let at = recorded.at;
    if let Event::AttackStarted(started) = &recorded.event {
        begin(db, recorded, attack, started)?;
    } else if cached(db, "UPDATE attack SET last_at = ? WHERE id = ?")?.execute((at, attack))? == 0
    {
        return Err(impossible(recorded, "the attack has not begun"));
    }
    match &recorded.event {
        Event::AttackStarted(_) => configured(db, recorded, attack),
        Event::ConfigPart(part) => config_part(db, recorded, attack, part),
        Event::PoolPart(part) => pool_part(db, recorded, attack, part),
        Event::AttackVictim(victim) => self::victim(db, recorded, attack, victim),
        Event::AttackOutputs(AttackOutputs { victim, outputs }) => {
            let sql = "UPDATE victim SET outputs = ? WHERE attack = ? AND victim = ?";
            run(db, sql, (outputs, attack, victim))
        }
        Event::AttackSpecified(AttackSpecified { spec, method, eps, hash, text }) => {
            let sql = "INSERT INTO specification VALUES (?, ?, ?, ?, ?, ?, ?)";
            run(db, sql, (attack, spec, method, eps, hash.to_string(), text, settings(text)))
        }
        Event::AttackTransformation(what) => transformation(db, attack, what),
        Event::ImagesCrafted(crafted) => self::crafted(db, recorded, attack, crafted),
        Event::ImagesScored(scored) => self::scored(db, recorded, attack, scored),
        Event::AttackFinished(_) => {
            run(db, "UPDATE attack SET finished_at = ? WHERE id = ?", (at, attack))
        }
        Event::AttackTrainer(AttackTrainer { device, library, .. }) => {
            let sql = "UPDATE attack SET library = ?2, device = CASE
                     WHEN device IS NULL THEN ?1
                     WHEN instr(', ' || device || ',', ', ' || ?1 || ',') THEN device
                     ELSE device || ', ' || ?1 END
                   WHERE id = ?3";
            run(db, sql, (device, library, attack))
        }
        Event::Resumed(_) => {
            run(db, "UPDATE attack SET resumed = resumed + 1 WHERE id = ?", [attack])
        }
        _ => Err(impossible(recorded, "it does not belong to an attack")),
    }
}

fn begin(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    started: &AttackStarted,
) -> Result<(), ViewError> {
    let seen = "SELECT EXISTS (SELECT 1 FROM attack WHERE id = ?)";
    if cached(db, seen)?.query_row([attack], |row| row.get(0))? {
        return Err(impossible(recorded, "it has begun already"));
    }
    let sql =
        "INSERT INTO attack (id, label, name, protocol, seed, chance, data, content, channels,
                 side, classes, test, folder, pool, images, batch, victims, specifications,
                 transformations, to_craft, to_score, threads, program, config_hash, config,
                 started_at, last_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '',
                 ?, ?)";
    let data = &started.data;
    cached(db, sql)?.execute(rusqlite::params![
        attack,
        recorded.scope.to_string(),
        started.name,
        started.protocol,
        started.seed.to_string(),
        started.chance,
        data.name,
        data.content.to_string(),
        data.channels,
        data.side,
        data.classes,
        data.images,
        started.folder,
        started.pool.to_string(),
        started.images,
        started.batch,
        started.victims,
        started.specifications,
        started.transformations,
        number(started.to_craft),
        number(started.to_score),
        started.threads,
        started.program,
        started.config.to_string(),
        recorded.at,
        recorded.at,
    ])?;
    Ok(())
}

fn config_part(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    part: &ConfigPart,
) -> Result<(), ViewError> {
    run(db, "UPDATE attack SET config = config || ? WHERE id = ?", (&part.text, attack))?;
    configured(db, recorded, attack)
}

/// Takes in how samples are drawn, once the last part of the configuration is there.
fn configured(db: &Connection, recorded: &Recorded, attack: u32) -> Result<(), ViewError> {
    let sql = "SELECT config, config_hash FROM attack WHERE id = ?";
    let (text, hash): (String, String) =
        cached(db, sql)?.query_row([attack], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if Hash::of(text.as_bytes()).to_string() != hash {
        return Ok(());
    }
    let wrong = |error| impossible(recorded, format!("the configuration is not one: {error}"));
    let Sampling { draw, fixed, prefilter_k, confidence, side } =
        Sampling::of_config(&text).map_err(wrong)?;
    let prefilter_k: Vec<String> = prefilter_k.iter().map(ToString::to_string).collect();
    let sql = "UPDATE attack SET draw = ?, fixed = ?, prefilter_k = ?, confidence = ?,
                 confident_side = ?
               WHERE id = ?";
    run(db, sql, (draw, fixed, prefilter_k.join(","), confidence, side.name(), attack))
}

fn pool_part(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    part: &PoolPart,
) -> Result<(), ViewError> {
    if part.indices.len() != part.labels.len() {
        return Err(impossible(recorded, "it has not as many labels as images"));
    }
    let mut insert = cached(db, "INSERT INTO pool VALUES (?, ?, ?, ?)")?;
    for (place, (image, label)) in (part.first..).zip(part.indices.iter().zip(&part.labels)) {
        insert.execute((attack, place, image, label))?;
    }
    Ok(())
}

fn victim(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    victim: &AttackVictim,
) -> Result<(), ViewError> {
    let id = |trial: &TrialOf| -> Result<i64, ViewError> {
        let sql = "SELECT t.id FROM trial t JOIN job j ON j.id = t.job
                   WHERE j.label = ? AND t.ordinal = ?";
        cached(db, sql)?
            .query_row((trial.scope.to_string(), trial.trial), |row| row.get(0))
            .optional()?
            .ok_or_else(|| {
                let why = format!("trial {} of {} is not known", trial.trial, trial.scope);
                impossible(recorded, why)
            })
    };
    let (kind, trial, members) = match &victim.what {
        Victim::Trial(trial) => ("trial", Some(id(trial)?), String::new()),
        Victim::Ensemble { members, .. } => {
            let members = members.iter().map(|trial| Ok(format!("t{}", id(trial)?)));
            ("ensemble", None, members.collect::<Result<Vec<_>, ViewError>>()?.join(" "))
        }
        Victim::Torchscript { .. } => ("torchscript", None, String::new()),
    };
    let weights: Vec<String> = victim.weights.iter().map(ToString::to_string).collect();
    let AttackVictim { victim, label, architecture, .. } = victim;
    let label = distinct(db, attack, label)?;
    // A model of one file or trial is known by its own hash.
    let mut model = match &weights[..] {
        [one] => one.clone(),
        several => Hash::of(several.join(" ").as_bytes()).to_string(),
    };
    model.truncate(MODEL_DIGITS);
    let sql = "INSERT INTO victim VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?,
                 (SELECT classes FROM attack WHERE id = ?))";
    cached(db, sql)?.execute(rusqlite::params![
        attack,
        victim,
        kind,
        trial,
        label,
        architecture,
        weights.join(" "),
        members,
        model,
        attack,
    ])?;
    Ok(())
}

/// A label that no other model of the attack has: the second of two `m.pt` is `m.pt#2`. New attacks
/// have none twice.
fn distinct(db: &Connection, attack: u32, label: &str) -> Result<String, ViewError> {
    let known = "SELECT EXISTS (SELECT 1 FROM victim WHERE attack = ? AND label = ?)";
    let (mut shown, mut number) = (label.to_owned(), 1);
    while cached(db, known)?.query_row((attack, &shown), |row| row.get(0))? {
        number += 1;
        shown = format!("{label}#{number}");
    }
    Ok(shown)
}

fn transformation(
    db: &Connection,
    attack: u32,
    what: &AttackTransformation,
) -> Result<(), ViewError> {
    let AttackTransformation { transformation, name, parameter, repeats, random, text } = what;
    let sql = "INSERT INTO transformation VALUES (?, ?, ?, ?, ?, ?, ?)";
    run(db, sql, (attack, transformation, name, parameter, repeats, random, text))
}

fn crafted(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    crafted: &ImagesCrafted,
) -> Result<(), ViewError> {
    let ImagesCrafted { victim, spec, first, iterations, artifact, images, .. } = crafted;
    let number_of = within_pool(db, recorded, attack, *first, images.len())?;
    let mean = |value: &dyn Fn(usize) -> f64| {
        let sum: f64 = (0..images.len()).map(value).sum();
        Some(sum / f64::from(number_of)).filter(|mean| mean.is_finite())
    };
    let zero: u64 = images.iter().map(|image| u64::from(image.zero_gradient)).sum();
    let invalid: u64 = (0..images.len()).map(|at| u64::from(crafted.invalid(at))).sum();
    let values: i64 = cached(db, "SELECT channels * side * side FROM attack WHERE id = ?")?
        .query_row([attack], |row| row.get(0))?;
    let tally = Tally::of_images(crafted, values.unsigned_abs());
    let sql =
        "INSERT INTO crafted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    cached(db, sql)?.execute(rusqlite::params![
        attack,
        victim,
        spec,
        first,
        number_of,
        iterations,
        artifact.to_string(),
        mean(&|at| images[at].linf.into()).unwrap_or(0.0),
        mean(&|at| images[at].l2.into()).unwrap_or(0.0),
        mean(&|at| images[at].changed.into()).unwrap_or(0.0),
        number(zero),
        number(invalid),
        number(tally.zero),
        number(tally.invalid),
        mean(&|at| images[at].loss_before.into()),
        mean(&|at| images[at].loss_after.into()),
        packed(images, |image| image.target.to_le_bytes()),
        packed(images, |image| image.linf.to_le_bytes()),
        packed(images, |image| image.l2.to_le_bytes()),
        packed(images, |image| image.changed.to_le_bytes()),
    ])?;
    run(db, "UPDATE attack SET crafted = crafted + ? WHERE id = ?", (number_of, attack))
}

/// The number of some images, which must lie in the pool.
fn within_pool(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    first: u32,
    count: usize,
) -> Result<u32, ViewError> {
    let images: u32 = cached(db, "SELECT images FROM attack WHERE id = ?")?
        .query_row([attack], |row| row.get(0))?;
    match u32::try_from(count) {
        Ok(count @ 1..) if first.checked_add(count).is_some_and(|end| end <= images) => Ok(count),
        _ => Err(impossible(recorded, format!("its images are not in the pool of {images}"))),
    }
}

fn packed<T, const N: usize>(images: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    images.iter().flat_map(bytes).collect()
}

fn scored(
    db: &Connection,
    recorded: &Recorded,
    attack: u32,
    scored: &ImagesScored,
) -> Result<(), ViewError> {
    let ImagesScored { judge, source, transformation, repeat, first, images } = scored;
    let number_of = within_pool(db, recorded, attack, *first, images.len())?;
    let victim = source.map_or(-1, |source| i64::from(source.victim));
    let spec = source.map_or(-1, |source| i64::from(source.spec));
    let counts = |image: &&ScoredImage| image.flags & ScoredImage::DROPPED == 0;
    let right = |k: u16| count(images.iter().filter(counts).filter(|image| image.rank < k).count());
    let flagged = |flag: u8| count(images.iter().filter(|image| image.flags & flag != 0).count());
    let joint = match source {
        None => None,
        Some(_) => {
            let ranks = |victim: i64, spec: i64| -> Result<Option<Vec<u16>>, ViewError> {
                let sql = "SELECT ranks FROM scored WHERE attack = ? AND judge = ? AND victim = ?
                             AND spec = ? AND transformation = 0 AND repeat = 0 AND first = ?";
                let blob: Option<Vec<u8>> = cached(db, sql)?
                    .query_row((attack, judge, victim, spec, first), |row| row.get(0))
                    .optional()?;
                let ranks = blob.map(|blob| {
                    let pairs = blob.chunks_exact(2);
                    pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
                });
                Ok(ranks.filter(|ranks| ranks.len() == images.len()))
            };
            let own = images.iter().map(|image| image.rank).collect();
            let adversarial = match *transformation {
                0 => Some(own),
                _ => ranks(victim, spec)?,
            };
            ranks(-1, -1)?.zip(adversarial)
        }
    };
    let fooled = |k: u16, destroyed: bool| {
        joint.as_ref().map(|(clean, adversarial)| {
            let both = clean.iter().zip(adversarial).zip(images);
            let fooled = both.filter(|((clean, adversarial), image)| {
                let fooled = **clean < k && **adversarial >= k && counts(image);
                fooled && (!destroyed || image.rank < k)
            });
            count(fooled.count())
        })
    };
    let event = number(recorded.position.0);
    let sql = "INSERT INTO scored VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    cached(db, sql)?.execute(rusqlite::params![
        attack,
        judge,
        victim,
        spec,
        transformation,
        repeat,
        first,
        number_of,
        flagged(ScoredImage::DROPPED),
        flagged(ScoredImage::NOT_FINITE),
        right(1),
        right(5),
        fooled(1, false),
        fooled(5, false),
        fooled(1, true),
        fooled(5, true),
        packed(images, |image| image.rank.to_le_bytes()),
        packed(images, |image| image.flags.to_le_bytes()),
        event,
    ])?;
    let sql = "INSERT INTO score_detail VALUES (?, ?, ?, ?, ?)";
    cached(db, sql)?.execute(rusqlite::params![
        event,
        packed(images, |image| image.top1.to_le_bytes()),
        packed(images, |image| image.p_top1.to_le_bytes()),
        packed(images, |image| image.p_true.to_le_bytes()),
        packed(images, |image| image.target_rank.to_le_bytes()),
    ])?;
    run(db, "UPDATE attack SET scored = scored + ? WHERE id = ?", (number_of, attack))
}
