//! What `final` and `transfer` share: the recipe and its settings, and where a model comes from.

use std::path::{Path, PathBuf};

use super::reading::collect;
use super::settings::RECIPE_MAX;
use super::{CliError, Context, names, note, work};
use crate::config::recipe::WeightsOf;
use crate::config::{KeepWeights, SearchConfig, recipes};
use crate::data::{KnownSet, Located, Part};
use crate::engine::posts::Trainers;
use crate::engine::session::{NewRun, Prepared, prepare_with_test, read_limited};
use crate::events::{Fit, Purpose, RunModel};
use crate::log::Store;
use crate::paths;
use crate::views::{Answer, Value};

/// How what was found is trained.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct RecipeArgs {
    /// A recipe that comes with the program (`--recipe help` lists them), or a file (TOML)
    /// [default: the paper's for its data sets, else modern]
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// The images to train on: train, or train+val for those to validate on too
    #[arg(long, default_value = "train")]
    fit: Fit,
    /// A single setting laid over all, as in recipe.epochs=5 or data.train=20000
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    pub(super) precision: work::PrecisionArgs,
    /// How often each, each time with another seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) repeats: u32,
    /// Seed of training
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// CPU threads per trainer [default: all, divided among the trainers]
    #[arg(long, value_name = "N", value_parser = work::thread_count)]
    pub(super) threads: Option<u32>,
}

/// A configuration and what people call its recipe.
#[derive(Debug)]
pub struct Chosen {
    /// The configuration.
    pub config: SearchConfig,
    /// The recipe's name.
    pub recipe: String,
}

impl RecipeArgs {
    /// The configuration of a run on `data` for what was found by a search with another.
    ///
    /// # Errors
    /// What a person is to be told.
    pub fn choose(&self, searched: &SearchConfig, data: &str) -> Result<Chosen, CliError> {
        let usual = recipes::usual(data);
        let (name, text) = match self.recipe.as_deref() {
            Some("help") => return Err(CliError::usage(list())),
            None => {
                note(&format!("recipe {usual}; --recipe chooses another (short takes minutes)"));
                (usual.to_owned(), recipes::text(usual)?.to_owned())
            }
            Some(told) => named(told)?,
        };
        let recipe = recipes::read(&text, &searched.recipe)?;
        let mut config = SearchConfig { recipe, ..searched.clone() };
        if config.data.name != data {
            // How the images of one set are read says nothing of another.
            (config.data.resize, config.data.extra) = (None, false);
            data.clone_into(&mut config.data.name);
        }
        // There are few of them, and all are wanted afterwards.
        config.keep_weights = KeepWeights::All;
        if self.fit == Fit::TrainAndValidation {
            // The best on images that are trained on is the one that knows them by heart.
            config.reward.accuracy = WeightsOf::Last;
        }
        let settings = [&self.settings[..], self.precision.setting().as_slice()].concat();
        let config = SearchConfig::read(&config.to_toml(), None, &settings)?;
        let changed = if settings.is_empty() { "" } else { " (changed)" };
        Ok(Chosen { config, recipe: format!("{name}{changed}") })
    }

    /// Whether weights are taken of the last epoch, as `--fit train+val` has it.
    #[must_use]
    pub fn fits_validation(&self) -> bool {
        self.fit == Fit::TrainAndValidation
    }
}

/// A recipe by name or from a file, and what to call it.
fn named(told: &str) -> Result<(String, String), CliError> {
    if let Ok(text) = recipes::text(told) {
        return Ok((told.to_owned(), text.to_owned()));
    }
    let path = Path::new(told);
    if !paths::is_there(path).map_err(|error| CliError::file("look at", path, &error))? {
        let message = format!("no recipe is called {told}, and there is no such file");
        return Err(CliError::usage(message).hint(format!("the recipes are {}", recipes::names())));
    }
    let text = read_limited(path, RECIPE_MAX)
        .map_err(|error| CliError::file("read the recipe", path, &error))?;
    // The name of the file is on record as that of the recipe.
    let name = path.file_stem().map_or(told.into(), |stem| stem.to_string_lossy().into_owned());
    names::check("--recipe", &name)?;
    Ok((name, text))
}

fn list() -> String {
    let line = |(name, what, _): &(&str, &str, &str)| format!("\n  {name:10} {what}");
    format!("the recipes are{}", recipes::RECIPES.iter().map(line).collect::<String>())
}

/// The search or run that models are taken from.
#[derive(Debug)]
pub struct Origin {
    /// `s1`.
    pub label: String,
    /// Its configuration.
    pub config: SearchConfig,
    /// Name of its data set.
    pub data: String,
    /// Hash of the training part.
    pub content: String,
    /// Where the images were.
    folder: PathBuf,
    /// Channels, side, classes.
    pub shape: [u32; 3],
}

impl Origin {
    /// Reads what is recorded of a search or run.
    ///
    /// # Errors
    /// What a person is to be told.
    pub fn read(answer: &Answer, label: &str) -> Result<Self, CliError> {
        let sql = format!(
            "SELECT config, data, content, folder, channels, side, classes FROM job
             WHERE label = '{label}'"
        );
        let row = collect(answer, &sql)?.pop().unwrap_or_default();
        let text = |index: usize| match row.get(index) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let number = |index: usize| match row.get(index) {
            Some(Value::Integer(number)) => u32::try_from(*number).unwrap_or(0),
            _ => 0,
        };
        Ok(Self {
            label: label.to_owned(),
            config: SearchConfig::read(&text(0), None, &[])?,
            data: text(1),
            content: text(2),
            folder: text(3).into(),
            shape: [number(4), number(5), number(6)],
        })
    }

    /// Its images on this machine, under the name it has for them.
    ///
    /// # Errors
    /// What a person is to be told.
    pub fn images(&self, context: &Context) -> Result<Located, CliError> {
        let known = KnownSet::named(&self.data).is_some();
        let located = match known {
            true => context.data.locate(&self.data)?,
            false => context.data.recorded(&self.folder.to_string_lossy(), &self.data)?,
        };
        Ok(Located { name: self.data.clone(), ..located })
    }
}

/// A run about to begin.
#[derive(Debug)]
pub struct Plan {
    /// What it is for.
    pub purpose: Purpose,
    /// What is trained.
    pub models: Vec<RunModel>,
    /// The configuration and the name of its recipe.
    pub chosen: Chosen,
    /// The images.
    pub prepared: Prepared,
}

/// Reads the images, those of the test part too.
///
/// # Errors
/// What a person is to be told.
pub fn prepare(config: &SearchConfig, data: &Located) -> Result<Prepared, CliError> {
    let prepared = prepare_with_test(config, data)?;
    super::data::look_at_classes(data, Part::Train, &prepared.class_counts)?;
    Ok(prepared)
}

/// Begins a run and carries it on.
///
/// # Errors
/// What a person is to be told.
pub fn begin(
    plan: Plan,
    args: &RecipeArgs,
    trainers: Trainers,
    context: &Context,
) -> Result<(), CliError> {
    let Plan { purpose, models, chosen, prepared } = plan;
    let store = Store::open(&context.store)?;
    let mut session = work::session(context, trainers, store)?;
    let run = NewRun {
        purpose,
        models,
        repeats: args.repeats,
        recipe: chosen.recipe,
        fit: args.fit,
        seed: args.seed,
        threads: work::threads_each(args.threads, session.hire(chosen.config.recipe.precision)?),
    };
    let (scope, lock) = session.begin_run(&chosen.config, run, &prepared)?;
    let job = session.job(scope)?;
    work::announce(scope, &*job);
    work::carry_on(session, scope, lock, job, &prepared.folder)
}
