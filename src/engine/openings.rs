//! The beginning of an attack: found again by its settings, recorded batch by batch, completed.

use super::EngineError;
use super::attacks::{TestPart, check_test, labelled};
use super::jobs::FoldError;
use super::session::{Session, SessionError};
use crate::adversary::job::Attack;
use crate::adversary::opening::pool_parts;
use crate::adversary::protocol::Settings;
use crate::events::{Configs, Fold as _, Recorded, Scope, folding};
use crate::log::BATCH_MAX;

/// The attack with this configuration, if there is one; with `any_batch` whatever the size of
/// its micro-batches, which was chosen by the memory that there was.
///
/// # Errors
/// [`SessionError`] if the log cannot be read.
pub fn find_attack(
    session: &mut Session,
    settings: &Settings,
    any_batch: bool,
) -> Result<Option<Scope>, SessionError> {
    let mut configs = Configs::default();
    session.journal.reread(folding(&mut configs))?;
    let wanted = settings.to_toml();
    let attacks = || {
        let all = configs.texts().iter().rev();
        all.filter(|(scope, _)| matches!(scope, Scope::Attack(_)))
    };
    let same = |(_, text): &(&Scope, &String)| **text == wanted;
    let like = |(_, text): &(&Scope, &String)| {
        Settings::read(text).is_ok_and(|found| settings.are_alike(&found, any_batch))
    };
    let found = attacks().find(same).or_else(|| attacks().find(like));
    Ok(found.map(|(scope, _)| *scope))
}

/// Records what is missing of the beginning of an attack: whoever began it may have been killed
/// between two batches of images.
///
/// # Errors
/// [`SessionError`] if the images are others, or the log refuses.
pub fn finish(
    session: &mut Session,
    scope: Scope,
    attack: &mut Attack,
    test: &TestPart,
) -> Result<(), SessionError> {
    if attack.plan().is_some() {
        return Ok(());
    }
    check_test(scope, attack, test)?;
    let settings = attack.settings().map_err(|error| SessionError::Settings(error.to_string()))?;
    let pool = settings.pool(test.images.count);
    let parts = pool_parts(&labelled(&pool, &test.images), attack.pool().len());
    for batch in parts.chunks(BATCH_MAX) {
        session.record(scope, batch)?;
        for event in batch {
            let recorded = Recorded::unplaced(event.clone());
            attack.apply(&recorded).map_err(EngineError::from)?;
        }
    }
    match attack.plan() {
        Some(_) => Ok(()),
        None => {
            let reason = "is not complete".to_owned();
            Err(FoldError::Config { scope, reason }.into())
        }
    }
}
