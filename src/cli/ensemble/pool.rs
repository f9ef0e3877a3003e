//! The models there are probabilities of, and what they made of which images.

use super::choose::Members;
use super::{ChoiceArgs, CliError};
use crate::cli::reading::{choose, collect};
use crate::cli::{Exit, note};
use crate::ensemble::Probabilities;
use crate::events::{EnsembleSaved, Hash, Source};
use crate::log::Store;
use crate::views::{Answer, Value};

/// Models that were shown the same images.
pub(super) struct Pool {
    pub(super) candidates: Vec<Candidate>,
    pub(super) validation: Part,
    pub(super) test: Part,
    /// The data set.
    pub(super) data: String,
}

/// A set of images.
pub(super) struct Part {
    /// Their true classes.
    pub(super) labels: Vec<usize>,
}

/// A trained model.
pub(super) struct Candidate {
    /// `t17`.
    pub(super) trial: String,
    pub(super) arch: String,
    pub(super) source: Source,
    /// Whether it was fitted to the validation images too.
    pub(super) fitted: bool,
    /// Validation accuracy of the trial of a search that it comes from.
    pub(super) searched: Option<f64>,
    pub(super) validation: Shown,
    pub(super) test: Shown,
}

/// What a model made of a set of images.
pub(super) struct Shown {
    pub(super) probabilities: Probabilities,
    /// The likeliest classes.
    pub(super) decisions: Vec<usize>,
}

/// A row about a model that was shown both sets of images.
struct Found {
    id: i64,
    arch: String,
    label: String,
    ordinal: u32,
    fitted: bool,
    searched: Option<f64>,
    /// Data set, its content, the split, labels of both sets: who share these saw the same images.
    images: [String; 5],
    validation: Recorded,
    test: Recorded,
}

struct Recorded {
    images: usize,
    classes: usize,
    artifact: String,
}

const SQL: &str = "
SELECT t.id, a.text, j.label, t.ordinal, coalesce(j.fit, 'train') = 'train+val',
  CASE WHEN j.kind = 'search' THEN t.accuracy
       ELSE (SELECT s.accuracy FROM trial s JOIN job o ON o.id = s.job
             WHERE s.id = t.source AND o.kind = 'search') END,
  j.data, j.content, j.split, v.labels, p.labels,
  v.images, v.classes, v.artifact, p.images, p.classes, p.artifact
FROM trial t
JOIN job j ON j.id = t.job
JOIN architecture a ON a.id = t.architecture
JOIN prediction v ON v.trial = t.id AND v.part = 'validation'
JOIN prediction p ON p.trial = t.id AND p.part = 'test'
WHERE t.status = 'trained' ORDER BY t.id";

impl Pool {
    /// Reads what the models that are asked for, or that may be chosen, made of the images.
    pub(super) fn read(
        answer: &Answer,
        store: &Store,
        choice: &ChoiceArgs,
    ) -> Result<Self, CliError> {
        let all: Vec<Found> = collect(answer, SQL)?.iter().filter_map(|row| found(row)).collect();
        let found = match &choice.members {
            Members::Named(names) => named(all, names, choice.search.as_deref())?,
            _ => candidates(answer, all, choice.search.as_deref())?,
        };
        let most = EnsembleSaved::MEMBERS;
        if found.len() > most {
            let message = format!("{} models, and at most {most} are taken together", found.len());
            return Err(
                CliError::usage(message).hint("--search RUN, or --members t3,t9,… names some")
            );
        }
        let Some(first) = found.first() else { return Err(none()) };
        let [data, _, _, validation, test] = first.images.clone();
        let labels = |hash: &str, images: usize, classes: usize| -> Result<Part, CliError> {
            let bytes = artifact(store, hash)?;
            let right = bytes.len() == images && bytes.iter().all(|&b| usize::from(b) < classes);
            match right {
                true => Ok(Part { labels: bytes.into_iter().map(usize::from).collect() }),
                false => Err(damaged(format!("artifact {hash} does not hold {images} labels"))),
            }
        };
        let validation = labels(&validation, first.validation.images, first.validation.classes)?;
        let test = labels(&test, first.test.images, first.test.classes)?;
        let candidates = found.iter().map(|one| one.read(store)).collect::<Result<_, _>>()?;
        Ok(Self { candidates, validation, test, data })
    }
}

impl Found {
    fn read(&self, store: &Store) -> Result<Candidate, CliError> {
        let shown = |recorded: &Recorded| -> Result<Shown, CliError> {
            let bytes = artifact(store, &recorded.artifact)?;
            let probabilities = Probabilities::read(&bytes, recorded.images, recorded.classes)
                .map_err(|error| damaged(format!("probabilities of t{}: {error}", self.id)))?;
            let decisions = probabilities.decisions();
            Ok(Shown { probabilities, decisions })
        };
        let scope = self.label.parse().unwrap_or_default();
        Ok(Candidate {
            trial: format!("t{}", self.id),
            arch: self.arch.clone(),
            source: Source { scope, trial: self.ordinal },
            fitted: self.fitted,
            searched: self.searched,
            validation: shown(&self.validation)?,
            test: shown(&self.test)?,
        })
    }
}

fn artifact(store: &Store, hash: &str) -> Result<Vec<u8>, CliError> {
    // As the read model writes hashes.
    let bytes: Option<Vec<u8>> = (0..hash.len() / 2)
        .map(|place| u8::from_str_radix(hash.get(2 * place..2 * place + 2)?, 16).ok())
        .collect();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Hash);
    let hash = hash.ok_or_else(|| damaged("a hash in the tables is none".to_owned()))?;
    Ok(store.artifacts().read(hash)?)
}

fn damaged(message: String) -> CliError {
    CliError::new(Exit::Damaged, message).hint("`qtrail log verify` says more")
}

fn none() -> CliError {
    CliError::usage("no model has class probabilities on record")
        .hint("`qtrail final` trains the best of a search and records them")
}

/// The models that are named, in that order.
fn named(all: Vec<Found>, names: &[String], search: Option<&str>) -> Result<Vec<Found>, CliError> {
    if search.is_some() {
        return Err(CliError::usage("--search: the members are named"));
    }
    let mut known: Vec<Option<Found>> = all.into_iter().map(Some).collect();
    let mut found: Vec<Found> = Vec::new();
    for name in names {
        let is = |one: &&mut Option<Found>| {
            one.as_ref().is_some_and(|one| format!("t{}", one.id) == *name)
        };
        let Some(one) = known.iter_mut().find(is).and_then(Option::take) else {
            return Err(match names.iter().filter(|other| *other == name).count() {
                1 => CliError::usage(format!("{name} has no class probabilities on record")).hint(
                    "`qtrail final` records them; `qtrail sql \"SELECT * FROM prediction\"` lists them",
                ),
                _ => CliError::usage(format!("--members: {name} is named twice")),
            });
        };
        found.push(one);
    }
    if let Some(other) = found.iter().find(|one| one.images != found[0].images) {
        let (first, other) = (found[0].id, other.id);
        return Err(CliError::usage(format!("t{first} and t{other} were shown different images"))
            .hint("members are models of one data set and split"));
    }
    Ok(found)
}

/// All that may be chosen: those that were shown the same images as the newest.
fn candidates(
    answer: &Answer,
    all: Vec<Found>,
    search: Option<&str>,
) -> Result<Vec<Found>, CliError> {
    let label = match search {
        Some(search) => choose(answer, Some(search))?,
        None => None,
    };
    let of_search = |one: &Found| label.as_ref().is_none_or(|label| one.label == *label);
    let mut found: Vec<Found> = all.into_iter().filter(of_search).collect();
    let Some(images) = found.last().map(|newest| newest.images.clone()) else { return Err(none()) };
    let before = found.len();
    found.retain(|one| one.images == images);
    if found.len() < before {
        let others = before - found.len();
        note(&format!(
            "{others} other models were shown other images than the newest, and left out"
        ));
    }
    Ok(found)
}

fn found(row: &[Value]) -> Option<Found> {
    let text = |place: usize| match row.get(place) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let whole = |place: usize| match row.get(place) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let size = |place: usize| whole(place).and_then(|number| usize::try_from(number).ok());
    let recorded = |place: usize| {
        let (images, classes) = (size(place)?, size(place + 1)?);
        Some(Recorded { images, classes, artifact: text(place + 2)? })
    };
    Some(Found {
        id: whole(0)?,
        arch: text(1)?,
        label: text(2)?,
        ordinal: whole(3).and_then(|number| u32::try_from(number).ok())?,
        fitted: whole(4)? != 0,
        searched: match row.get(5) {
            Some(Value::Real(accuracy)) => Some(*accuracy),
            _ => None,
        },
        images: [text(6)?, text(7)?, text(8)?, text(9)?, text(10)?],
        validation: recorded(11)?,
        test: recorded(14)?,
    })
}
