//! `qtrail transfer`: an architecture found on one data set, trained on another.

use super::after::{self, Origin, Plan, RecipeArgs};
use super::reading::answer_from_log;
use super::show::Row;
use super::{CliError, Context, note, work};
use crate::arch::shape::Map;
use crate::arch::{Architecture, Layer, PoolRule, Shapes};
use crate::events::{Initial, Purpose, RunModel, Source};
use crate::views::Answer;

/// Trains the architecture of a trial on another data set, from scratch or from its weights.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trial: t17
    trial: String,
    /// Where the weights begin
    #[arg(long, value_enum)]
    init: Init,
    /// So many layers from the first on keep the weights they were taken over with
    #[arg(long, value_name = "N", default_value_t = 0)]
    freeze: u16,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Where weights begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Init {
    /// Anew, all of them
    Scratch,
    /// As the trial left them, where they fit
    Weights,
}

/// A trial whose architecture is taken.
struct Taken {
    label: String,
    ordinal: u32,
    architecture: Architecture,
    /// Hash of its weights, if they are kept.
    weights: Option<crate::events::Hash>,
    /// planned, running, trained, failed or lost.
    status: String,
    origin: Origin,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let Some(data) = &args.work.data else {
        return Err(CliError::usage("transfer to which images? Name them with --data")
            .hint("`qtrail data list` shows data sets; a folder will do"));
    };
    if args.freeze > 0 && args.init == Init::Scratch {
        let message = "--freeze keeps weights that were taken over; from scratch there are none";
        return Err(CliError::usage(message).hint("--init weights"));
    }
    let answer = answer_from_log(context, None)?;
    let taken = Taken::read(&answer, &args.trial)?;
    drop(answer);
    let data = context.data.locate(data)?;
    let chosen = args.recipe.choose(&taken.origin.config, &data.name)?;
    let work = args.work.with_trainers_for(args.recipe.repeats, args.recipe.threads)?;
    let trainers = args.recipe.precision.allow(work::trainers(&work, context)?);
    let prepared = after::prepare(&chosen.config, &data)?;
    let facts = &prepared.facts;
    let architecture = taken.architecture.with_classes(facts.classes);
    let gap = chosen.config.recipe.gap;
    let [channels, side, _] = taken.origin.shape;
    let before = Map { channels, side };
    let now = Map { channels: facts.channels, side: facts.side };
    let shapes = |net: &Architecture, map, gap| Shapes::of(net, map, gap, PoolRule::True);
    let here = shapes(&architecture, now, gap).map_err(|error| {
        let message = format!("{} does not fit {}: {error}", taken.label, facts.name);
        CliError::usage(message).hint(format!("it was found on images of {side} x {side} pixels"))
    })?;
    let initial = match args.init {
        Init::Scratch => None,
        Init::Weights => {
            let there = shapes(&taken.architecture, before, taken.origin.config.recipe.gap)
                .map_err(|error| CliError::usage(format!("{}: {error}", taken.label)))?;
            let same = facts.content.to_string() == taken.origin.content;
            Some(taken.initial(&here, &there, same, args.freeze)?)
        }
    };
    let scope = taken.origin.label.parse().ok();
    let source = scope.map(|scope| Source { scope, trial: taken.ordinal });
    let models = vec![RunModel { index: 0, architecture, source, initial }];
    let plan = Plan { purpose: Purpose::Transfer, models, chosen, prepared };
    after::begin(plan, &args.recipe, trainers, context)
}

impl Taken {
    fn read(answer: &Answer, id: &str) -> Result<Self, CliError> {
        let none = || {
            CliError::usage(format!("there is no trial {id}"))
                .hint("a trial is t17; `qtrail table trials --search all` lists them")
        };
        let number: u32 = id.strip_prefix('t').and_then(|n| n.parse().ok()).ok_or_else(none)?;
        let sql = format!(
            "SELECT t.ordinal, t.weights, t.kept, t.status, a.text AS arch, j.label AS search
             FROM trial t JOIN architecture a ON a.id = t.architecture JOIN job j ON j.id = t.job
             WHERE t.id = {number}"
        );
        let row = Row::first(answer, &sql)?.ok_or_else(none)?;
        let text = row.text("arch");
        let architecture = text
            .parse()
            .map_err(|error| CliError::usage(format!("{text} is no architecture: {error}")))?;
        let kept = row.int("kept") == Some(1);
        Ok(Self {
            label: id.to_owned(),
            ordinal: u32::try_from(row.int("ordinal").unwrap_or(0)).unwrap_or(0),
            architecture,
            weights: row.text("weights").parse().ok().filter(|_| kept),
            status: row.text("status"),
            origin: Origin::read(answer, &row.text("search"))?,
        })
    }

    /// The weights that are taken over: where layers have the same in the same places. The head of
    /// other images knows other classes, even if they are as many.
    fn initial(
        &self,
        here: &Shapes,
        there: &Shapes,
        same_images: bool,
        freeze: u16,
    ) -> Result<Initial, CliError> {
        let id = &self.label;
        let weights = self.weights.ok_or_else(|| match self.status.as_str() {
            "trained" => CliError::usage(format!("the weights of {id} are not kept")).hint(
                "--init scratch needs none; `qtrail final` keeps all, a search the best ones",
            ),
            status => CliError::usage(format!("{id} has no weights: it is {status}"))
                .hint("--init scratch needs none"),
        })?;
        let (mut layers, mut anew) = (Vec::new(), Vec::new());
        for (layer, index) in here.layers.iter().zip(0_u16..) {
            let head = matches!(layer.layer, Layer::Softmax { .. } | Layer::GlobalAverage { .. });
            match here.weights_fit(there, index.into()) && (same_images || !head) {
                true => layers.push(index + 1),
                false if layer.parameters > 0 => anew.push((index + 1, layer.layer)),
                false => {}
            }
        }
        note(&what_is_taken(id, &layers, &anew));
        if layers.is_empty() {
            let message = format!("no layer of {id} has weights that fit these images");
            return Err(CliError::usage(message).hint("--init scratch"));
        }
        let with_weights =
            here.layers.iter().zip(1_u16..).filter(|(layer, _)| layer.parameters > 0);
        if with_weights.map(|(_, number)| number).max().is_none_or(|last| freeze >= last) {
            let message = format!("--freeze {freeze}: nothing would be left to train");
            return Err(CliError::usage(message));
        }
        if let Some((number, layer)) = anew.iter().find(|(number, _)| *number <= freeze) {
            let message = format!(
                "--freeze {freeze}: layer {number}, {layer}, begins anew, so it has to be trained"
            );
            return Err(CliError::usage(message).hint(format!("--freeze {} at most", number - 1)));
        }
        Ok(Initial { weights, layers, freeze })
    }
}

/// Which layers are taken over, and which begin anew.
fn what_is_taken(id: &str, layers: &[u16], anew: &[(u16, Layer)]) -> String {
    let numbers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    let new: Vec<String> = anew.iter().map(|(n, layer)| format!("{n}, {layer}")).collect();
    let begins = match new.is_empty() {
        true => "none begins anew".to_owned(),
        false => format!("begin anew: {}", new.join("; ")),
    };
    match numbers.is_empty() {
        true => begins,
        false => format!("layers taken over from {id}: {}; {begins}", numbers.join(", ")),
    }
}
