//! `--q`: which Q-values are meant, those on record or those of a study, learned again.

use super::cells::exact;
use super::reading::collect;
use super::replay::study::{self, Saved};
use super::{CliError, Context};
use crate::views::{Answer, Values};

/// Tables and figures of Q-values.
pub(super) const OF_VALUES: &[&str] = &["qtable", "qdepth", "qfield"];

/// Which Q-values are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ValueArgs {
    /// Which Q-values: recorded, imported, or replay:STUDY, those of a study (`qtrail table
    /// replays`) learned again: of its first policy and seed, or replay:STUDY:POLICY:SEED
    /// [default: recorded, else imported]
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    pub(super) q: Option<QSource>,
}

/// Where Q-values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QSource {
    /// Learned by a search of this store.
    Recorded,
    /// Imported with the log of another program.
    Imported,
    /// Learned again as a study did; what follows `replay:`.
    Replay(String),
}

fn source(text: &str) -> Result<QSource, String> {
    match (text, text.strip_prefix("replay:")) {
        ("recorded", _) => Ok(QSource::Recorded),
        ("imported", _) => Ok(QSource::Imported),
        (_, Some(study)) if !study.is_empty() => Ok(QSource::Replay(study.to_owned())),
        _ => Err("recorded, imported, or replay:STUDY[:POLICY[:SEED]]".to_owned()),
    }
}

/// A Q-table of a study: which, and the study.
pub(super) struct OfStudy {
    saved: Saved,
    policy: Option<String>,
    seed: Option<u64>,
}

impl ValueArgs {
    /// The study whose Q-values are meant, if one is.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn study(&self, answer: &Answer) -> Result<Option<OfStudy>, CliError> {
        let Some(QSource::Replay(text)) = &self.q else { return Ok(None) };
        // A name may hold colons: the longest that is one is meant.
        let known = study::names(answer)?;
        let is = |name: &str| known.iter().any(|known| known == name);
        let (mut name, mut policy, mut seed) = (text.as_str(), None, None);
        if !is(name)
            && let Some((study, last)) = name.rsplit_once(':')
        {
            match study.rsplit_once(':') {
                Some((first, middle)) if is(first) => {
                    (name, policy, seed) = (first, Some(middle), Some(last));
                }
                _ => (name, policy) = (study, Some(last)),
            }
        }
        let seed = seed.map(|seed| {
            seed.parse()
                .map_err(|_| CliError::usage(format!("--q replay:{text}: {seed} is no seed")))
        });
        let saved = study::find(answer, name)?;
        let policy = policy.map(str::to_owned);
        Ok(Some(OfStudy { saved, policy, seed: seed.transpose()? }))
    }

    /// The search of the study whose Q-values are meant, if one is.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn search(&self, answer: &Answer) -> Result<Option<String>, CliError> {
        self.study(answer)?.map(|of| of.search()).transpose()
    }

    /// Lets all that follows see the Q-values that are meant; `search` must have them.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn show(
        &self,
        context: &Context,
        answer: &mut Answer,
        search: &str,
    ) -> Result<(), CliError> {
        match self.study(answer)? {
            Some(of) => of.show(context, answer, search),
            None => self.check(answer, search),
        }
    }

    /// Refuses Q-values that the search does not have.
    fn check(&self, answer: &Answer, search: &str) -> Result<(), CliError> {
        let Some(wanted) = self.q.as_ref().map(QSource::name) else { return Ok(()) };
        let label = search.replace('\'', "''");
        let sql = format!("SELECT coalesce(q_source, 'none') FROM job WHERE label = '{label}'");
        let found = collect(answer, &sql)?.first().map(|row| exact(&row[0])).unwrap_or_default();
        if found == wanted {
            return Ok(());
        }
        let message = format!("--q {wanted}: {search} has no {wanted} Q-values");
        Err(CliError::usage(message).hint(match found.as_str() {
            "none" => "`import metaqnn --q-values FILE` brings some".to_owned(),
            found => format!("it has {found} ones"),
        }))
    }
}

impl QSource {
    /// As the tables have it; of a study all begin so.
    #[must_use]
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Imported => "imported",
            Self::Replay(_) => "replay",
        }
    }
}

impl OfStudy {
    /// The search that it learns from.
    pub(super) fn search(&self) -> Result<String, CliError> {
        Ok(self.saved.settings()?.search)
    }

    /// Learns again and lets all that follows see what came of it.
    pub(super) fn show(
        &self,
        context: &Context,
        answer: &mut Answer,
        search: &str,
    ) -> Result<(), CliError> {
        let (study, of) = (self.saved.name(), self.search()?);
        if of != search {
            return Err(CliError::usage(format!(
                "--q replay:{study}: the study is about {of}, not {search}"
            )));
        }
        let policies = self.saved.policies()?;
        let policy = match &self.policy {
            None => policies[0],
            Some(text) => {
                let wanted = text.parse().map_err(CliError::usage)?;
                *policies.iter().find(|policy| **policy == wanted).ok_or_else(|| {
                    let all: Vec<String> = policies.iter().map(ToString::to_string).collect();
                    CliError::usage(format!("study {study} has no {wanted}"))
                        .hint(format!("it has {}", all.join(", ")))
                })?
            }
        };
        let lesson = self.saved.lesson(context)?;
        let seeds = lesson.seeds(&policy).to_vec();
        let seed = self.seed.unwrap_or(seeds[0]);
        if self.seed.is_some() && !seeds.contains(&seed) {
            let all = crate::lab::settings::Seeds(seeds);
            return Err(CliError::usage(format!("study {study} has no seed {seed} of {policy}"))
                .hint(format!("it has {all}")));
        }
        let derived = lesson.derive(&policy, seed)?;
        let source = format!("replay:{study}:{policy}:{seed}");
        let values = Values {
            search,
            source: &source,
            space: &lesson.history.space,
            q: &derived.q,
            init: lesson.settings.learning.init,
        };
        Ok(answer.show_values(&values)?)
    }
}
