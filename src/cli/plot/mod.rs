//! `qtrail plot`: a figure, into a file or onto the terminal.

mod attacked;
mod figures;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::output::terminal_width;
use super::parameters::{OF_VALUES, QuarantineArgs, ValueArgs};
use super::reading::{AtArgs, answer, choose, footer};
use super::replay::lesson::LessonArgs;
use super::replay::{history, study};
use super::{CliError, Context, Exit, note};
use crate::config::replay::Policy;
use crate::plot::{Drawing, PlotError, Theme};
use crate::views;
pub(super) use attacked::{ATTACK_PLOTS, AttackArgs, AttackKind, draw as draw_attack};
pub(super) use figures::{Asked, PLOTS};
use figures::{EXPOSURE, Kind, Replayed};

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
    /// `exposure`: of a recorded study (`qtrail table replays`), instead of --policy
    #[arg(long, value_name = "NAME", conflicts_with_all = [
        "search", "policies", "k", "alpha", "gamma", "init", "order", "duplicates", "reward",
        "missing", "include_quarantined", "seeds", "shuffle", "path_value", "at",
    ])]
    study: Option<String>,
    #[command(flatten)]
    attacked: AttackArgs,
    #[command(flatten)]
    lesson: LessonArgs,
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
    let policies = policies(args, kind)?;
    let mut answer = answer(context, args.at.at)?;
    let replayed = replayed(args, &policies, kind, context, &mut answer)?;
    let search = match &replayed {
        Some(replayed) => replayed.lesson.settings.search.clone(),
        None => {
            args.rows.set(&mut answer)?;
            one_search(&answer, args.search.as_deref(), "a figure")?
        }
    };
    args.q.check(&answer, &search)?;
    let (top, window) = (args.top, args.window);
    let asked = Asked { answer: &answer, search: &search, top, window, replayed };
    let Some(figure) = asked.figure(kind)? else {
        let message = format!("there is nothing to draw: {search} has {}", kind.without);
        return Err(CliError::usage(message).hint(footer(&answer)));
    };
    put(&Drawing::Figure(figure), args, format, kind.name, &answer)
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
        let message = format!("there is nothing to draw: {attack} has {}", kind.without);
        return Err(CliError::usage(message).hint(footer(&answer)));
    };
    put(&drawing, args, format, kind.name, &answer)
}

/// Draws, and puts it where it was asked for.
fn put(
    drawing: &Drawing,
    args: &Args,
    format: Format,
    name: &str,
    answer: &views::Answer,
) -> Result<(), CliError> {
    let theme = match args.theme {
        ThemeName::Light => Theme::Light,
        ThemeName::Dark => Theme::Dark,
    };
    let drawn = match format {
        Format::Term => drawing.term(terminal_width().unwrap_or(100).into()).into_bytes(),
        Format::Svg => drawing.svg(theme)?.into_bytes(),
        Format::Png => drawing.png(theme)?,
    };
    match &args.output {
        Some(file) if file != Path::new("-") => {
            write(file, &drawn)?;
            note(&format!("{}: {name}, {}", file.display(), footer(answer)));
            Ok(())
        }
        _ => std::io::stdout().write_all(&drawn).map_err(|error| CliError::output(&error)),
    }
}

/// The policies of a figure that learns again.
fn policies(args: &Args, kind: &Kind) -> Result<Vec<Policy>, CliError> {
    let asked = args.lesson.is_told() || args.study.is_some();
    match (kind.name == EXPOSURE, asked) {
        (true, _) if args.study.is_some() => Ok(Vec::new()),
        (true, _) => args.lesson.check(),
        (false, false) => Ok(Vec::new()),
        (false, true) => Err(CliError::usage(format!("{} shows what is on record", kind.name))
            .hint(format!("only {EXPOSURE} takes the arguments of replay, or --study"))),
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
