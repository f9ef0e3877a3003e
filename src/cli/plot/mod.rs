//! `qtrail plot`: a figure, into a file or onto the terminal.

mod figures;
mod stability;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::output::terminal_width;
use super::parameters::QuarantineArgs;
use super::reading::{AtArgs, answer, choose, footer};
use super::replay::lesson::LessonArgs;
use super::replay::{history, study};
use super::simulate::{self, Simulations, WorldArgs};
use super::values::{OF_VALUES, ValueArgs};
use super::{CliError, Context, Exit, note};
use crate::config::replay::Policy;
use crate::plot::{self, Figure, PlotError, Theme};
use crate::views;
pub(super) use figures::{Asked, PLOTS};
use figures::{EXPOSURE, Kind, Replayed, SIMULATE};
use stability::{STABILITY, of_series};

/// Draws a figure (`qtrail plots` lists them).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which figure
    name: String,
    /// File to write: .svg or .png
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
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
        "search", "policies", "k", "alpha", "gamma", "init", "order", "duplicates", "reward",
        "missing", "include_quarantined", "seeds", "shuffle", "path_value", "at", "preset",
        "table", "schedule", "unknown",
    ])]
    study: Option<String>,
    /// `stability`: of this series, by its name or number [default: the newest]
    #[arg(long, value_name = "SERIES")]
    series: Option<String>,
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
    let kind = kind(&args.name)?;
    let format = format(args)?;
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
            Some(figure) => show(args, kind, format, &figure, &footer(&answer)),
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
    show(args, kind, format, &figure, &footer(&answer))
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

/// Writes a figure to where it is wanted.
fn show(
    args: &Args,
    kind: &Kind,
    format: Format,
    figure: &Figure,
    as_of: &str,
) -> Result<(), CliError> {
    let theme = match args.theme {
        ThemeName::Light => Theme::Light,
        ThemeName::Dark => Theme::Dark,
    };
    let drawn = draw(figure, format, theme)?;
    match &args.output {
        Some(file) if file != Path::new("-") => {
            write(file, &drawn)?;
            note(&format!("{}: {}, {as_of}", file.display(), kind.name));
            Ok(())
        }
        _ => std::io::stdout().write_all(&drawn).map_err(|error| CliError::output(&error)),
    }
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
                draws: lesson.k,
                learning: (lesson.alpha, lesson.gamma, lesson.init),
                world: &args.world,
                at: args.at.at,
            };
            asked.carry_out(&asked.agents()?, context)?
        }
    };
    show(args, kind, format, &figures::simulated(&done), &done.told)
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
        let names: Vec<&str> = PLOTS.iter().map(|kind| kind.name).collect();
        CliError::usage(format!("no plot is called `{name}`"))
            .hint(views::suggestion(name, &names, "plots"))
    })
}

fn format(args: &Args) -> Result<Format, CliError> {
    let Some(file) = args.output.as_deref().filter(|file| *file != Path::new("-")) else {
        let format = args.format.unwrap_or(Format::Term);
        if format == Format::Png && std::io::stdout().is_terminal() {
            return Err(CliError::usage("a PNG is not for a terminal").hint("name a file with -o"));
        }
        return Ok(format);
    };
    let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match (args.format, ending.as_str()) {
        (Some(format), _) => Ok(format),
        (None, "svg") => Ok(Format::Svg),
        (None, "png") => Ok(Format::Png),
        (None, "txt") => Ok(Format::Term),
        (None, _) => {
            let message = format!("{}: the name ends in neither .svg nor .png", file.display());
            Err(CliError::usage(message).hint("name it so, or say --format svg|png|term"))
        }
    }
}

fn draw(figure: &Figure, format: Format, theme: Theme) -> Result<Vec<u8>, CliError> {
    match format {
        Format::Term => Ok(plot::term(figure, terminal_width().unwrap_or(100).into()).into_bytes()),
        Format::Svg => Ok(plot::svg(figure, theme)?.into_bytes()),
        Format::Png => Ok(plot::png(&plot::svg(figure, theme)?)?),
    }
}

/// Writes a file that others are to read: whole or not at all.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = tempfile::Builder::new()
        .prefix(".qtrail-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .and_then(|mut temporary| {
            temporary.write_all(bytes)?;
            temporary.persist(file).map_err(|error| error.error)
        });
    written.map(drop).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::StorageFull => Exit::Space,
            _ => Exit::Usage,
        };
        CliError::new(exit, format!("{} cannot be written: {error}", file.display()))
            .hint("name another file with -o")
    })
}

impl From<PlotError> for CliError {
    fn from(error: PlotError) -> Self {
        Self::new(Exit::Bug, error).hint("please report this")
    }
}
