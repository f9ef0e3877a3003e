//! `qtrail plot`: a figure, into a file or onto the terminal.

mod attacked;
mod figures;
mod stability;

use std::io::IsTerminal as _;

use super::destination::Destination;
use super::output::terminal_width;
use super::parameters::QuarantineArgs;
use super::reading::{AtArgs, answer, choose, footer};
use super::replay::lesson::LessonArgs;
use super::replay::{history, study};
use super::simulate::{self, Simulations, WorldArgs};
use super::terminal::escaped;
use super::values::{OF_VALUES, ValueArgs};
use super::{CliError, Context, Exit, note};
use crate::config::replay::Policy;
use crate::plot::{Drawing, PlotError, Theme};
use crate::views;
pub(super) use attacked::{ATTACK_PLOTS, AttackArgs, AttackKind, draw as draw_attack};
pub(super) use figures::{Asked, PLOTS};
use figures::{EXPOSURE, Kind, Replayed, SIMULATE};
use stability::{STABILITY, of_series};

/// Draws a figure (`qtrail plots` lists them).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which figure
    name: String,
    /// File to write: .svg or .png; - for stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<Destination>,
    /// How it is drawn [default: what the name of the file ends in; term without a file]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Light, for paper, or dark
    #[arg(long, value_enum, default_value_t)]
    theme: ThemeName,
    /// Of this search: s1, or its name [default: the newest]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
    /// How many trials `curves` shows, best first
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    top: u8,
    /// How many samples the line of `learning` averages [default: 100, fewer in small searches]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    window: Option<u32>,
    /// `exposure`, `simulate`: of a recorded study (`qtrail table replays`), instead of --policy
    #[arg(long, value_name = "NAME", conflicts_with_all = [
        "search", "policies", "draws", "alpha", "gamma", "init", "order", "duplicates", "reward",
        "missing", "include_quarantined", "seeds", "shuffle", "path_value", "at", "preset",
        "table", "schedule", "unknown",
    ])]
    study: Option<String>,
    /// `stability`: of this series, by its name or number [default: the newest]
    #[arg(long, value_name = "SERIES")]
    series: Option<String>,
    #[command(flatten)]
    attacked: AttackArgs,
    #[command(flatten)]
    lesson: LessonArgs,
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    rows: QuarantineArgs,
    #[command(flatten)]
    q: ValueArgs,
    #[command(flatten)]
    at: AtArgs,
}

/// How a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Scalable, for papers and pages
    Svg,
    /// Pixels
    Png,
    /// Characters
    Term,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum ThemeName {
    #[default]
    Light,
    Dark,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    // Mistakes first: reading a store may take a while.
    let format = format(args)?;
    if let Some(kind) = ATTACK_PLOTS.iter().find(|kind| kind.name == args.name) {
        return of_attack(kind, args, format, context);
    }
    let kind = kind(&args.name)?;
    if args.attacked.is_told() {
        let names: Vec<&str> = ATTACK_PLOTS.iter().map(|kind| kind.name).collect();
        let message = format!("{} shows a search, no attack", kind.name);
        return Err(CliError::usage(message).hint(format!("{} show attacks", names.join(", "))));
    }
    if args.q.q.is_some() && !OF_VALUES.contains(&kind.name) {
        return Err(CliError::usage(format!("--q: {} shows no Q-values", kind.name)));
    }
    if kind.name == SIMULATE {
        return simulated(args, kind, format, context);
    }
    let policies = policies(args, kind)?;
    check_series(args, kind)?;
    let mut answer = answer(context, args.at.at)?;
    if kind.name == STABILITY {
        args.rows.set(&mut answer)?;
        return match of_series(&answer, args.series.as_deref())? {
            Some(figure) => {
                put(&Drawing::Figure(figure), args, format, kind.name, &footer(&answer))
            }
            None => Err(nothing(kind, "the series", &answer)),
        };
    }
    let replayed = replayed(args, &policies, kind, context, &mut answer)?;
    let search = match &replayed {
        Some(replayed) => replayed.lesson.settings.search.clone(),
        None => {
            args.rows.set(&mut answer)?;
            let search = args.search.clone().or(args.q.search(&answer)?);
            one_search(&answer, search.as_deref(), "a figure")?
        }
    };
    args.q.show(context, &mut answer, &search)?;
    let (top, window) = (args.top, args.window);
    let asked = Asked { answer: &answer, search: &search, top, window, replayed };
    let Some(figure) = asked.figure(kind)? else {
        return Err(nothing(kind, &search, &answer));
    };
    put(&Drawing::Figure(figure), args, format, kind.name, &footer(&answer))
}

/// A series is not of one search.
fn check_series(args: &Args, kind: &Kind) -> Result<(), CliError> {
    match (kind.name == STABILITY, &args.series, &args.search) {
        (true, _, Some(_)) => {
            Err(CliError::usage("--search: stability shows a series, not a search")
                .hint("--series names it"))
        }
        (false, Some(_), _) => {
            Err(CliError::usage(format!("--series: {} shows no series", kind.name)))
        }
        _ => Ok(()),
    }
}

fn nothing(kind: &Kind, what: &str, answer: &views::Answer) -> CliError {
    let message = format!("there is nothing to draw: {what} has {}", kind.without);
    CliError::usage(message).hint(footer(answer))
}

/// Draws a figure of an attack.
fn of_attack(
    kind: &AttackKind,
    args: &Args,
    format: Format,
    context: &Context,
) -> Result<(), CliError> {
    if args.search.is_some() || args.study.is_some() || args.lesson.is_told() || args.q.q.is_some()
    {
        return Err(CliError::usage(format!("{} shows an attack", kind.name))
            .hint("name a model, or an attack with --attack"));
    }
    let mut answer = answer(context, args.at.at)?;
    let (attack, drawing) = draw_attack(kind, &args.attacked, context, &mut answer)?;
    let Some(drawing) = drawing else {
        return Err(attacked::nothing(kind, &args.attacked, &answer, &attack)?);
    };
    put(&drawing, args, format, kind.name, &footer(&answer))
}

/// Draws, and puts it where it was asked for.
fn put(
    drawing: &Drawing,
    args: &Args,
    format: Format,
    name: &str,
    as_of: &str,
) -> Result<(), CliError> {
    let theme = match args.theme {
        ThemeName::Light => Theme::Light,
        ThemeName::Dark => Theme::Dark,
    };
    let drawn = match format {
        Format::Term => {
            let text = drawing.term(terminal_width().unwrap_or(100).into());
            escaped(&text).into_owned().into_bytes()
        }
        Format::Svg => drawing.svg(theme)?.into_bytes(),
        Format::Png => drawing.png(theme)?,
    };
    let destination = args.output.as_ref().unwrap_or(&Destination::Stdout);
    destination.write(&drawn)?;
    if destination.path().is_some() {
        note(&format!("{destination}: {name}, {as_of}"));
    }
    Ok(())
}

/// Draws simulated searches. There need not be a store.
fn simulated(args: &Args, kind: &Kind, format: Format, context: &Context) -> Result<(), CliError> {
    if args.lesson.is_of_history() || args.rows.count() {
        return Err(CliError::usage("simulate learns from no history")
            .hint("it takes the arguments of `qtrail simulate`, or --study"));
    }
    let done: Simulations = match &args.study {
        Some(name) => simulate::of_study(&study::find(&answer(context, None)?, name)?, context)?,
        None => {
            let uniform = ["uniform".to_owned()];
            let lesson = &args.lesson;
            let asked = simulate::Asked {
                search: args.search.as_deref(),
                policies: if lesson.policies.is_empty() { &uniform } else { &lesson.policies },
                seeds: lesson.seeds.clone(),
                draws: lesson.draws,
                learning: (lesson.alpha, lesson.gamma, lesson.init),
                world: &args.world,
                at: args.at.at,
            };
            asked.carry_out(&asked.agents()?, context)?
        }
    };
    let drawing = Drawing::Figure(figures::simulated(&done));
    put(&drawing, args, format, kind.name, &done.told)
}

/// The policies of a figure that learns again.
fn policies(args: &Args, kind: &Kind) -> Result<Vec<Policy>, CliError> {
    if args.world.is_told() {
        return Err(CliError::usage(format!("{} simulates nothing", kind.name))
            .hint(format!("only {SIMULATE} takes the arguments of simulate")));
    }
    let asked = args.lesson.is_told() || args.study.is_some();
    match (kind.name == EXPOSURE, asked) {
        (true, _) if args.study.is_some() => Ok(Vec::new()),
        (true, _) => args.lesson.check(),
        (false, false) => Ok(Vec::new()),
        (false, true) => Err(CliError::usage(format!("{} shows what is on record", kind.name))
            .hint(format!(
                "{EXPOSURE} takes the arguments of replay, {SIMULATE} those of simulate"
            ))),
    }
}

/// Learns again, if the figure shows that.
fn replayed(
    args: &Args,
    policies: &[Policy],
    kind: &Kind,
    context: &Context,
    answer: &mut views::Answer,
) -> Result<Option<Replayed>, CliError> {
    if kind.name != EXPOSURE {
        return Ok(None);
    }
    let (lesson, policies) = match &args.study {
        Some(name) => {
            let study = study::find(answer, name)?;
            (study.lesson(context)?, study.policies()?)
        }
        None => {
            let label = history::search(answer, args.search.as_deref())?;
            (args.lesson.lesson(context, answer, &label, args.rows)?, policies.to_vec())
        }
    };
    let learned = lesson.learn(&policies)?;
    Ok(Some(Replayed { lesson, learned }))
}

/// The search that is meant, where it must be one.
pub(super) fn one_search(
    answer: &views::Answer,
    wanted: Option<&str>,
    what: &str,
) -> Result<String, CliError> {
    if let Some(search) = choose(answer, wanted)? {
        return Ok(search);
    }
    Err(match wanted {
        Some(_) => CliError::usage(format!("{what} shows one search, not all"))
            .hint("name it with --search; `qtrail table searches` lists them"),
        None => CliError::usage("there is nothing to draw: the store has no search")
            .hint("`qtrail search` begins one"),
    })
}

fn kind(name: &str) -> Result<&'static Kind, CliError> {
    PLOTS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let attacks = ATTACK_PLOTS.iter().map(|kind| kind.name);
        let names: Vec<&str> = PLOTS.iter().map(|kind| kind.name).chain(attacks).collect();
        CliError::usage(format!("no plot is called `{name}`"))
            .hint(views::suggestion(name, &names, "plots"))
    })
}

fn format(args: &Args) -> Result<Format, CliError> {
    let Some(file) = args.output.as_ref().filter(|file| file.path().is_some()) else {
        let format = args.format.unwrap_or(Format::Term);
        if format == Format::Png && std::io::stdout().is_terminal() {
            return Err(CliError::usage("a PNG is not for a terminal").hint("name a file with -o"));
        }
        return Ok(format);
    };
    match (args.format, file.ending().as_str()) {
        (Some(format), _) => Ok(format),
        (None, "svg") => Ok(Format::Svg),
        (None, "png") => Ok(Format::Png),
        (None, "txt") => Ok(Format::Term),
        (None, _) => {
            let message = format!("{file}: the name ends in neither .svg nor .png");
            Err(CliError::usage(message).hint("name it so, or say --format svg|png|term"))
        }
    }
}

impl From<PlotError> for CliError {
    fn from(error: PlotError) -> Self {
        Self::new(Exit::Bug, error).hint("please report this")
    }
}
