//! `qtrail final`: trains the best of a search once more, and long.

use super::after::{self, Origin, Plan, RecipeArgs};
use super::reading::{answer_from_log, choose, collect};
use super::{CliError, Context, note, work};
use crate::arch::Architecture;
use crate::engine::session::reading;
use crate::events::{Purpose, RunModel, Scope, Source};
use crate::views::{Answer, Value};

/// Trains the best of a search once more, and long; records what they make of test images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of this search: s1, or its name [default: the newest]
    search: Option<String>,
    /// How many: those of the highest validation accuracy
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=50))]
    top: u16,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let answer = answer_from_log(context, None)?;
    let Some(label) = choose(&answer, args.search.as_deref())? else {
        return Err(CliError::usage("which search? There is none to choose from, or several")
            .hint("`qtrail table searches` lists them"));
    };
    let origin = Origin::read(&answer, &label)?;
    let models = best(&answer, &label, args.top)?;
    drop(answer);
    let data = match &args.work.data {
        Some(told) => context.data.locate(told)?,
        None => origin.images(context)?,
    };
    let chosen = args.recipe.choose(&origin.config, &data.name)?;
    let count = u32::try_from(models.len()).unwrap_or(u32::MAX);
    let at_once = count.saturating_mul(args.recipe.repeats);
    let work = args.work.with_trainers_for(at_once, args.recipe.threads)?;
    let trainers = args.recipe.precision.allow(work::trainers(&work, context)?);
    let prepared = after::prepare(&chosen.config, &data)?;
    let facts = &prepared.facts;
    // Read otherwise (resized, with extra images) it cannot be the same.
    let same = reading(&chosen.config.data) == reading(&origin.config.data);
    if same && args.work.data.is_none() && facts.content.to_string() != origin.content {
        let folder = data.folder.display();
        let message = format!("the data set in {folder} is not the one that {label} began with");
        return Err(CliError::usage(message)
            .hint("name its folder with --data, or other images if other ones are meant"));
    }
    if facts.classes != origin.shape[2] {
        let (has, was) = (facts.classes, origin.shape[2]);
        let message = format!("{} has {has} classes, {label} was about {was}", facts.name);
        return Err(CliError::usage(message).hint("`qtrail transfer` adapts a model"));
    }
    let (count, recipe) = (models.len(), &chosen.recipe);
    note(&format!("the {count} best of {label} by validation accuracy, recipe {recipe}"));
    if args.recipe.fits_validation() {
        note("validation images are trained on too: validation accuracies say nothing then");
    }
    let plan = Plan { purpose: Purpose::Final, models, chosen, prepared };
    after::begin(plan, &args.recipe, trainers, context)
}

/// The best distinct architectures by the accuracy on record, of equals the smaller one first. One
/// trained several times counts with the mean.
fn best(answer: &Answer, label: &str, top: u16) -> Result<Vec<RunModel>, CliError> {
    let sql = format!(
        "SELECT a.text, min(t.ordinal) FROM trial t
         JOIN job j ON j.id = t.job JOIN architecture a ON a.id = t.architecture
         WHERE j.label = '{label}' AND t.status = 'trained' AND t.accuracy IS NOT NULL
         GROUP BY a.id ORDER BY avg(t.accuracy) DESC, min(t.params), min(t.id) LIMIT {top}"
    );
    let scope: Option<Scope> = label.parse().ok();
    let mut models = Vec::new();
    for row in collect(answer, &sql)? {
        let [Value::Text(text), Value::Integer(ordinal)] = &row[..] else { continue };
        let architecture: Architecture = text.parse().map_err(|error| {
            CliError::usage(format!("{text} in {label} is no architecture: {error}"))
        })?;
        let trial = u32::try_from(*ordinal).unwrap_or(0);
        let source = scope.map(|scope| Source { scope, trial });
        let index = u16::try_from(models.len()).unwrap_or(u16::MAX);
        models.push(RunModel { index, architecture, source, initial: None });
    }
    if models.is_empty() {
        return Err(CliError::usage(format!("{label} has no trained model"))
            .hint(format!("`qtrail table trials --search {label}` shows what came of it")));
    }
    Ok(models)
}
