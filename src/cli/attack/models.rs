//! Which models are attacked: trials, ensembles of them, files.

use std::path::PathBuf;

use crate::adversary::range::InputRange;
use crate::cli::reading::{answer_from_log, choose, collect};
use crate::cli::{CliError, Context};
use crate::events::{Scope, TrialOf};
use crate::views::{Answer, Value};

/// Which models.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArgs {
    /// Trials (t17), or ensembles of trials (t3+t9+t12)
    #[arg(value_name = "TRIAL")]
    models: Vec<String>,
    /// Saved ensemble; its loss is -log of the mean probability
    #[arg(long, value_name = "NAME")]
    ensemble: Vec<String>,
    /// The N best trials of a search
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    top: Option<u32>,
    /// Search that --top selects from [default: the newest]
    #[arg(long, value_name = "SEARCH", requires = "top")]
    search: Option<String>,
    /// TorchScript model that takes images and returns logits, or several outputs, of which the first (or
    /// `logits` of a dictionary) is used.
    /// The file is code that is run: use only files of people whose programs you would run.
    /// Its label is NAME [default: the name of the file, with as much of its path as tells it from the
    /// others]
    #[arg(long = "model", value_name = "[NAME=]torchscript:FILE", value_parser = script)]
    scripts: Vec<Script>,
    /// Pixel values that a --model expects: 0..255, 0..1, imagenet, or MEAN/STD of values from 0 to 1, as
    /// 0.5/0.5 or 0.485,0.456,0.406/0.229,0.224,0.225. Give it once for all models, or once for each, in
    /// their order [default: 0..255]
    #[arg(long = "input-range", value_name = "RANGE", requires = "scripts")]
    ranges: Vec<InputRange>,
}

/// A TorchScript file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// What it is to be called, if that is given.
    pub(super) name: Option<String>,
    /// The file.
    pub(super) file: PathBuf,
}

/// A trial or an ensemble of trials.
pub(super) struct Wanted {
    /// What to call it.
    pub(super) name: String,
    /// Its members and what people call them.
    pub(super) members: Vec<(TrialOf, String)>,
}

const FORMAT: &str = "torchscript:";

fn script(text: &str) -> Result<Script, String> {
    let (name, of) = match text.split_once('=') {
        Some((name, of)) if !text.starts_with(FORMAT) => (Some(name.to_owned()), of),
        _ => (None, text),
    };
    match of.strip_prefix(FORMAT) {
        Some(file) if !file.is_empty() => Ok(Script { name, file: file.into() }),
        _ => Err("expected torchscript:FILE or NAME=torchscript:FILE".to_owned()),
    }
}

impl ModelArgs {
    /// Files of models.
    pub(super) fn scripts(&self) -> &[Script] {
        &self.scripts
    }

    /// What the models of files expect of pixel values, in their order.
    ///
    /// # Errors
    /// Exit code 2 if there are neither one nor as many input ranges as files.
    pub(super) fn ranges(&self) -> Result<Vec<InputRange>, CliError> {
        let (files, ranges) = (self.scripts.len(), self.ranges.len());
        match self.ranges.as_slice() {
            [] => Ok(vec![InputRange::default(); files]),
            [one] => Ok(vec![one.clone(); files]),
            each if ranges == files => Ok(each.to_vec()),
            _ => Err(CliError::usage(format!(
                "--input-range is given {ranges} times for {files} models"
            ))
            .hint("give it once for all --model, or once for each, in their order")),
        }
    }

    /// Whether a person said what models expect of pixel values.
    pub(super) fn are_ranges_given(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Whether any of them is in the store.
    ///
    /// # Errors
    /// If none is named at all.
    pub(super) fn of_store(&self) -> Result<bool, CliError> {
        let trials = !self.models.is_empty() || self.top.is_some() || !self.ensemble.is_empty();
        if !trials && self.scripts.is_empty() {
            return Err(CliError::usage("which models are to be attacked?")
                .hint("name trials (t17), or say --top 3, or --model torchscript:FILE"));
        }
        Ok(trials)
    }

    /// Finds the trials in the store.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn find(&self, context: &Context) -> Result<Vec<Wanted>, CliError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        if !self.of_store()? {
            return Ok(wanted);
        }
        let answer = answer_from_log(context, None)?;
        for name in &self.models {
            let members = name.split('+').map(|name| trial(&answer, name));
            wanted.push(Wanted { name: name.clone(), members: members.collect::<Result<_, _>>()? });
        }
        for name in &self.ensemble {
            wanted.push(Wanted { name: name.clone(), members: saved(&answer, name)? });
        }
        if let Some(count) = self.top {
            wanted.extend(best(&answer, self.search.as_deref(), count)?);
        }
        for (index, model) in wanted.iter().enumerate() {
            if wanted[..index].iter().any(|other| other.members == model.members) {
                return Err(CliError::usage(format!("{} is named twice", model.name)));
            }
        }
        Ok(wanted)
    }
}

/// The trial of a name as `t17`.
fn trial(answer: &Answer, name: &str) -> Result<(TrialOf, String), CliError> {
    let number: Option<u32> = name.strip_prefix('t').and_then(|number| number.parse().ok());
    let Some(number) = number else {
        return Err(CliError::usage(format!("expected a trial, as t17, found {name}"))
            .hint("`qtrail table trials --search all` lists trials"));
    };
    let sql = format!(
        "SELECT t.id, j.label, t.ordinal FROM trial t JOIN job j ON j.id = t.job
         WHERE t.id = {number}"
    );
    found(answer, &sql)?.pop().ok_or_else(|| {
        CliError::usage(format!("there is no trial {name}"))
            .hint("`qtrail table trials --search all` lists them")
    })
}

/// The members of a saved ensemble.
fn saved(answer: &Answer, name: &str) -> Result<Vec<(TrialOf, String)>, CliError> {
    let of = |columns: &str| {
        let name = name.replace('\'', "''");
        format!(
            "SELECT {columns} FROM ensemble e JOIN ensemble_member m ON m.ensemble = e.ensemble
             JOIN trial t ON t.id = m.trial JOIN job j ON j.id = t.job
             WHERE e.name = '{name}' ORDER BY m.place"
        )
    };
    // A store in which nothing was ever saved has none of that name either.
    let combined = collect(answer, &of("e.combine")).unwrap_or_default();
    let Some(Value::Text(combined)) = combined.first().and_then(|row| row.first()) else {
        return Err(CliError::usage(format!("no ensemble is called {name}"))
            .hint("an ensemble of trials can be written t3+t9+t12 too"));
    };
    if combined != "mean" {
        return Err(CliError::usage(format!(
            "{name} decides by {combined}; only the mean of probabilities can be differentiated"
        ))
        .hint("write its members as t3+t9+t12: their mean is attacked"));
    }
    let weights = collect(answer, &of("m.weight"))?;
    if weights.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(CliError::usage(format!(
            "the members of {name} have different weights; only a plain mean can be attacked"
        ))
        .hint("name members as often as they count: t3+t3+t9"));
    }
    found(answer, &of("t.id, j.label, t.ordinal"))
}

/// The best trained trials, as `table top` has them.
fn best(answer: &Answer, search: Option<&str>, count: u32) -> Result<Vec<Wanted>, CliError> {
    let of = match choose(answer, search)? {
        Some(label) => format!("j.label = '{}'", label.replace('\'', "''")),
        None => "1".to_owned(),
    };
    let sql = format!(
        "SELECT t.id, j.label, t.ordinal FROM trial t JOIN job j ON j.id = t.job
         WHERE t.status = 'trained' AND {of}
         ORDER BY t.accuracy DESC, t.params, t.id LIMIT {count}"
    );
    let found = found(answer, &sql)?;
    if found.is_empty() {
        return Err(CliError::usage("no trial was trained yet")
            .hint("`qtrail search --preset demo` trains some"));
    }
    let wanted = |(trial, label): (TrialOf, String)| Wanted {
        name: label.clone(),
        members: vec![(trial, label)],
    };
    Ok(found.into_iter().map(wanted).collect())
}

/// Rows of (trial, search or run, ordinal) as the log knows them.
fn found(answer: &Answer, sql: &str) -> Result<Vec<(TrialOf, String)>, CliError> {
    let mut trials = Vec::new();
    for row in collect(answer, sql)? {
        let [Value::Integer(id), Value::Text(label), Value::Integer(ordinal)] = &row[..] else {
            continue;
        };
        let Ok(scope) = label.parse::<Scope>() else { continue };
        let trial = u32::try_from(*ordinal).unwrap_or(0);
        trials.push((TrialOf { scope, trial }, format!("t{id}")));
    }
    Ok(trials)
}
