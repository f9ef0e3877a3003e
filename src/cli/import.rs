//! `qtrail import`: takes over the history of another program.

use std::path::{Path, PathBuf};

use super::cells::counted;
use super::{CliError, Context, names, note, say, work};
use crate::config::{Flavour, Phase, SearchConfig, presets};
use crate::engine::importing::{self, Import};
use crate::engine::session::read_limited;
use crate::events::{DataFacts, Hash, ImportFinished, ImportStarted, Scope};
use crate::import::{FILE_MAX, ImportError, metaqnn, qvalues};
use crate::log::Store;

/// Imports the history of another program as a search.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    format: Format,
}

/// What can be imported.
#[derive(Debug, clap::Subcommand)]
enum Format {
    /// The replay database of the MetaQNN authors' program (replay_database.csv)
    Metaqnn(MetaqnnArgs),
}

#[derive(Debug, clap::Args)]
struct MetaqnnArgs {
    /// The file: a row a sampled architecture, with its accuracy and epsilon
    file: PathBuf,
    /// Its Q-table (q_values.csv), in the authors' 21 columns or in 17
    #[arg(long, value_name = "FILE")]
    q_values: Option<PathBuf>,
    /// Side of the images in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 32)]
    side: u32,
    /// Most layers before softmax
    #[arg(long, value_name = "N", default_value_t = 12)]
    layer_limit: u32,
    /// The data set it was about
    #[arg(long, value_name = "NAME", default_value = "svhn")]
    data: String,
    /// What to call the search
    #[arg(long, default_value = "")]
    name: String,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.format {
        Format::Metaqnn(args) => metaqnn(args, context),
    }
}

fn metaqnn(args: &MetaqnnArgs, context: &Context) -> Result<(), CliError> {
    names::check_optional("--name", &args.name)?;
    names::check("--data", &args.data)?;
    let (import, log) = read(args)?;
    let phantoms = import.count_foreign_states()?;
    let store = Store::open_or_create(&context.store)?;
    let mut session = work::session_without_trainer(context, store)?;
    let (started, finished) = (import.started.clone(), import.finished.clone());
    let bar = super::progress::counter(u64::from(started.rows));
    let imported = importing::import(&mut session, import, &mut |events| bar.set_position(events));
    bar.finish_and_clear();
    let scope = imported.map_err(|error| {
        let hint = "`qtrail table searches` lists what is in the store";
        CliError::from(error).hint(hint)
    });
    session.close()?;
    summary(scope?, &started, &finished, &log, phantoms);
    Ok(())
}

/// Reads and checks everything before the store is touched.
fn read(args: &MetaqnnArgs) -> Result<(Import, metaqnn::Log), CliError> {
    let text = contents(&args.file)?;
    let preset = presets::text("svhn")?;
    let settings = [format!("space.layer-limit={}", args.layer_limit)];
    let mut config = SearchConfig::read(preset, Some(Flavour::Code), &settings)?;
    config.data.name.clone_from(&args.data);
    let wrong = |file: &Path, error: ImportError| {
        CliError::usage(format!("{}: {error}", file.display())).hint("nothing was imported")
    };
    let log = metaqnn::Log::read(&text, args.side, &config.space)
        .map_err(|error| wrong(&args.file, error))?;
    let counts = log.phases.iter().filter(|(_, models)| *models > 0);
    config.schedule.phases = counts.map(|&(epsilon, models)| Phase { epsilon, models }).collect();
    if config.schedule.phases.is_empty() {
        let error = ImportError::Rows("every row is to be quarantined".to_owned());
        return Err(wrong(&args.file, error));
    }
    config.recipe.dropout = log.dropout_rule.unwrap_or(config.recipe.dropout);
    let (pairs, q_file, q_content) = match &args.q_values {
        None => (Vec::new(), None, None),
        Some(file) => {
            let text = contents(file)?;
            let pairs = qvalues::read(&text).map_err(|error| wrong(file, error))?;
            (pairs, Some(name(file)), Some(Hash::of(text.as_bytes())))
        }
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let started = ImportStarted {
        format: "metaqnn".to_owned(),
        file: name(&args.file),
        content: Hash::of(text.as_bytes()),
        rows: count(log.rows.len()),
        q_file,
        q_content,
        pairs: count(pairs.len()),
    };
    let (name, data) = (args.name.clone(), unknown_data(args, log.classes));
    let (rows, finished) = (log.rows.clone(), log.tally());
    let mut import = Import { config, name, data, started, rows, pairs, finished };
    import.count_foreign_pairs()?;
    Ok((import, log))
}

fn contents(file: &Path) -> Result<String, CliError> {
    read_limited(file, FILE_MAX).map_err(|error| CliError::file("read", file, &error))
}

/// The name of a file without its folders, which are nobody else's business.
fn name(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The images are not there: what is not known of them is zero.
fn unknown_data(args: &MetaqnnArgs, classes: u32) -> DataFacts {
    DataFacts {
        name: args.data.clone(),
        content: Hash::default(),
        channels: 3,
        side: args.side,
        classes,
        train: 0,
        validation: 0,
        split: Hash::default(),
    }
}

fn summary(
    scope: Scope,
    started: &ImportStarted,
    finished: &ImportFinished,
    log: &metaqnn::Log,
    phantoms: u32,
) {
    let ImportFinished { episodes, trials, repeated, quarantined, conflicts, .. } = finished;
    say(&format!(
        "{scope}: {} of {}: {}, {}, {} repeated",
        counted(started.rows, "row"),
        started.file,
        counted(episodes, "episode"),
        counted(trials, "trial"),
        counted(repeated, "architecture")
    ));
    if *quarantined > 0 {
        note(&format!(
            "{quarantined} rows are in quarantine (`qtrail table quarantine`): an accuracy of \
             theirs is not from 0 to 1"
        ));
    }
    let all = finished.conflicts_with_quarantined;
    if all > 0 {
        note(&format!(
            "{conflicts} architectures have several accuracies ({all} with the rows in quarantine)"
        ));
    }
    if !finished.missing.is_empty() {
        let numbers: Vec<String> = finished.missing.iter().map(ToString::to_string).collect();
        let and_more = if numbers.len() == ImportFinished::MISSING { ", …" } else { "" };
        note(&format!(
            "gaps in ix_q_value_update: {}{and_more} (a model that was lost?)",
            numbers.join(", ")
        ));
    }
    let rules = log.dropout.iter().filter(|(_, rows)| **rows > 0);
    let rules: Vec<String> = rules.map(|(rule, rows)| format!("{rule} {rows}")).collect();
    note(&format!("rows whose dropout marks follow a rule: {}", rules.join(", ")));
    if started.pairs > 0 {
        note(&format!(
            "{} Q-values (`qtrail table qtable`); {} pairs of {phantoms} phantom states, which \
             the state space does not have",
            started.pairs, finished.foreign_pairs
        ));
    }
}
