//! The beginning of an attack: found again by its settings, recorded batch by batch, completed.

use std::collections::BTreeMap;

use super::EngineError;
use super::attacks::TestPart;
use super::jobs::FoldError;
use super::session::{Session, SessionError};
use crate::adversary::job::{Attack, pool_parts};
use crate::adversary::protocol::Settings;
use crate::data::ImageSet;
use crate::events::job::Job as _;
use crate::events::{Event, Hash, Scope};
use crate::log::BATCH_MAX;

/// The images of a pool with their classes.
pub(super) fn labelled(pool: &[u32], images: &ImageSet) -> Vec<(u32, u16)> {
    pool.iter().map(|&index| (index, images.labels[index as usize])).collect()
}

impl Session {
    /// The attack with this configuration, if there is one; with `any_batch` whatever the size of
    /// its micro-batches, which was chosen by the memory that there was.
    ///
    /// # Errors
    /// [`SessionError`] if the log cannot be read.
    pub fn find_attack(
        &mut self,
        settings: &Settings,
        any_batch: bool,
    ) -> Result<Option<Scope>, SessionError> {
        let mut texts: BTreeMap<Scope, (Hash, String)> = BTreeMap::new();
        self.journal.reread(|recorded| match &recorded.event {
            Event::AttackStarted(started) => {
                texts.insert(recorded.scope, (started.config, String::new()));
            }
            Event::ConfigPart(part) => {
                if let Some((_, text)) = texts.get_mut(&recorded.scope) {
                    text.push_str(&part.text);
                }
            }
            _ => {}
        })?;
        let wanted = Hash::of(settings.to_toml().as_bytes());
        let same = |(_, (hash, _)): &(&Scope, &(Hash, String))| *hash == wanted;
        let like = |(_, (_, text)): &(&Scope, &(Hash, String))| {
            let found = Settings::read(text);
            found.is_ok_and(|found| settings.are_alike(&found, any_batch))
        };
        let newest = || texts.iter().rev();
        Ok(newest().find(same).or_else(|| newest().find(like)).map(|(scope, _)| *scope))
    }

    pub(super) fn record_opening(
        &mut self,
        scope: Scope,
        batch: &[Event],
    ) -> Result<(), SessionError> {
        self.append_own(scope, batch)
    }

    /// Records what is missing of the beginning of an attack: whoever began it may have been killed
    /// between two batches of images.
    ///
    /// # Errors
    /// [`SessionError`] if the images are others, or the log refuses.
    pub fn finish_opening(
        &mut self,
        scope: Scope,
        attack: &mut Attack,
        test: &TestPart,
    ) -> Result<(), SessionError> {
        if attack.plan().is_some() {
            return Ok(());
        }
        self.check_test(scope, attack, test)?;
        let settings =
            attack.settings().map_err(|error| SessionError::Settings(error.to_string()))?;
        let pool = settings.pool(test.images.count);
        let parts = pool_parts(&labelled(&pool, &test.images), attack.pool().len());
        for batch in parts.chunks(BATCH_MAX) {
            self.record_opening(scope, batch)?;
            for event in batch {
                attack.apply(event).map_err(EngineError::from)?;
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
}
