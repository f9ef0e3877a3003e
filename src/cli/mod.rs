//! The command line: one file per verb. The only place that prints, reads the environment, and
//! (in [`clock`]) the clock.

pub mod after;
pub mod artifacts;
pub mod attack;
pub mod bug;
mod cells;
pub mod clock;
pub mod compare;
pub mod completions;
pub mod data;
mod destination;
pub mod diff;
pub mod ensemble;
pub mod error;
pub mod export;
mod exports;
pub mod finals;
pub mod follow;
pub mod fork;
mod gallery;
mod help;
pub mod import;
pub mod log;
pub mod man;
mod masking;
mod names;
pub mod output;
mod parameters;
pub mod plot;
pub mod plots;
pub mod policies;
pub mod progress;
pub mod reading;
mod repairs;
pub mod replay;
pub mod report;
pub mod resume;
mod samples;
pub mod search;
mod series;
pub mod settings;
pub mod show;
pub mod simulate;
pub mod sql;
pub mod status;
pub mod table;
pub mod tables;
mod terminal;
pub mod train;
pub mod transfer;
mod values;
pub mod watch;
pub mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::data::DataHome;
use crate::log::Options;
use crate::views::newest_stamp;
pub use error::{CliError, Exit};
pub use terminal::{note, say};

/// An event-sourced experiment database for reinforcement-learning architecture search.
#[derive(Debug, Parser)]
#[command(name = "qtrail", version, propagate_version = false)]
pub struct Cli {
    /// Folder of the store
    #[arg(long, global = true, env = "QTRAIL_STORE", default_value = "qtrail-store")]
    pub store: PathBuf,
    /// How long to wait for another process, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub wait: f64,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Search for architectures
    Search(search::Args),
    /// Go on with an unfinished search
    Resume(resume::Args),
    /// Begin a search with the experiences of another one
    Fork(fork::Args),
    /// What runs, and for how much longer
    Status(status::Args),
    /// Train one given architecture
    Train(train::Args),
    /// Train the best of a search once more, and long
    Final(finals::Args),
    /// Train an architecture on another data set
    Transfer(transfer::Args),
    /// Attack trained models with adversarial images
    Attack(attack::Args),
    /// Print a result table
    Table(table::Args),
    /// List the result tables, or the columns of one
    Tables(tables::Args),
    /// Draw a figure
    Plot(plot::Args),
    /// List the figures
    Plots(plots::Args),
    /// Write a search into one HTML file
    Report(report::Args),
    /// Print a result table anew whenever it changes
    Watch(watch::Args),
    /// Learn again under other replay policies
    Replay(replay::Args),
    /// List the replay policies
    Policies(policies::Args),
    /// Carry out whole searches with trials on record in the place of training
    Simulate(simulate::Args),
    /// Show a search, a trial, an episode or an attack
    Show(show::Args),
    /// Compare searches
    Compare(compare::Args),
    /// Compare two trials
    Diff(diff::Args),
    /// How models do together
    Ensemble(ensemble::Args),
    /// Run one SQL statement that reads
    Sql(sql::Args),
    /// Look at the events that everything follows from
    Log(log::Args),
    /// List artifacts, and remove those that no event names
    Artifacts(artifacts::Args),
    /// Take over the history of another program
    Import(import::Args),
    /// Hand over to the tools of others
    Export(export::Args),
    /// Data sets: list, fetch, check, split
    Data(data::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the man pages
    Man(man::Args),
}

/// Reads a time in seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e9).contains(seconds));
    seconds.ok_or_else(|| "expected a number of seconds from 0 to 1000000000".to_owned())
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// Exit code 2 for mistakes in it, 0 after a request for help; both are printed already.
    fn read() -> Result<Self, CliError> {
        let read = help::grouped(Self::command())
            .try_get_matches()
            .and_then(|matches| Self::from_arg_matches(&matches));
        read.map_err(|error| {
            if !error.use_stderr() {
                return match error.print() {
                    Ok(()) => CliError::told(Exit::Done),
                    Err(error) => CliError::output(&error),
                };
            }
            // It repeats arguments, which may come from anywhere: in colour only if they are tame.
            let is_wild =
                |a: std::ffi::OsString| a.to_string_lossy().contains(terminal::is_command);
            if std::env::args_os().any(is_wild) {
                note(error.to_string().trim_end());
            } else {
                let _ = error.print();
            }
            CliError::told(Exit::Usage)
        })
    }
}

/// Reads the command line, runs the verb, and tells what went wrong.
#[must_use]
pub fn main() -> Exit {
    let ran = Cli::read().and_then(|cli| run(&cli));
    let error = match ran.and_then(|()| terminal::printed()) {
        Ok(()) => return Exit::Done,
        // Help and the rows before a closed pipe are in a buffer.
        Err(error) if error.exit == Exit::Done => match terminal::printed() {
            Ok(()) => return Exit::Done,
            Err(error) => error,
        },
        Err(error) => error,
    };
    report(&error);
    error.exit
}

/// Tells what went wrong.
fn report(error: &CliError) {
    if !error.message.is_empty() {
        note(&format!("error: {}", error.message));
    }
    if let Some(hint) = &error.hint {
        note(&format!("  hint: {hint}"));
    }
}

/// Ends the process where nothing can be returned to: another thread is stuck.
fn end(error: &CliError) -> ! {
    report(error);
    std::process::exit(error.exit as i32)
}

/// The surroundings of a verb.
#[derive(Debug, Clone)]
pub struct Context {
    /// Folder of the store.
    pub store: PathBuf,
    /// How long to wait for others.
    pub wait: Duration,
    /// Where data sets lie.
    pub data: DataHome,
    /// `$QTRAIL_TRAINER`.
    pub trainer: Option<PathBuf>,
    /// `$QTRAIL_TRAINER_SILENCE`: seconds of silence after which a trainer counts as hung.
    pub silence: Duration,
    /// Folder of this host for locks of devices.
    pub device_locks: PathBuf,
    /// Folders of `$PATH`.
    pub path: Vec<PathBuf>,
    /// The running program.
    pub program: Option<PathBuf>,
    /// What others are told about this process.
    pub command: String,
}

impl Context {
    /// Reads the environment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn new(cli: &Cli) -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
            let home = var("HOME").map(PathBuf::from);
            home.map(|home| home.join(".cache"))
        });
        let cache = cache.unwrap_or_else(std::env::temp_dir).join("qtrail/data");
        let arguments = std::env::args_os().skip(1);
        // For people: what is no text is shown as well as it can be.
        let arguments: Vec<String> =
            arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
        Self {
            store: cli.store.clone(),
            wait: Duration::from_secs_f64(cli.wait),
            data: DataHome { told: var("QTRAIL_DATA").map(PathBuf::from), cache },
            trainer: var("QTRAIL_TRAINER").map(PathBuf::from),
            silence: var("QTRAIL_TRAINER_SILENCE")
                .and_then(|value| value.to_str()?.parse().ok())
                .filter(|&seconds: &f64| seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or(crate::trainer::silence::LIMIT),
            device_locks: match var("XDG_RUNTIME_DIR") {
                Some(folder) => PathBuf::from(folder).join("qtrail"),
                None => std::env::temp_dir()
                    .join(format!("qtrail-{}", rustix::process::getuid().as_raw())),
            },
            path: var("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            program: std::env::current_exe().ok(),
            command: format!("qtrail {}", arguments.join(" ")),
        }
    }

    /// How this process works with a log.
    #[must_use]
    pub fn options(&self) -> Options {
        let (command, wait) = (self.command.clone(), self.wait);
        Options { command, wait, witness: Some(newest_stamp) }
    }
}

/// Runs a verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(cli: &Cli) -> Result<(), CliError> {
    let context = Context::new(cli);
    match &cli.verb {
        Verb::Search(args) => search::run(args, &context),
        Verb::Resume(args) => resume::run(args, &context),
        Verb::Fork(args) => fork::run(args, &context),
        Verb::Status(args) => status::run(args, &context),
        Verb::Train(args) => train::run(args, &context),
        Verb::Final(args) => finals::run(args, &context),
        Verb::Transfer(args) => transfer::run(args, &context),
        Verb::Attack(args) => attack::run(args, &context),
        Verb::Table(args) => table::run(args, &context),
        Verb::Tables(args) => tables::run(args, &context),
        Verb::Plot(args) => plot::run(args, &context),
        Verb::Plots(args) => plots::run(args, &context),
        Verb::Report(args) => report::run(args, &context),
        Verb::Replay(args) => replay::run(args, &context),
        Verb::Policies(args) => policies::run(args, &context),
        Verb::Simulate(args) => simulate::run(args, &context),
        Verb::Show(args) => show::run(args, &context),
        Verb::Compare(args) => compare::run(args, &context),
        Verb::Diff(args) => diff::run(args, &context),
        Verb::Ensemble(args) => ensemble::run(args, &context),
        Verb::Sql(args) => sql::run(args, &context),
        Verb::Log(args) => log::run(args, &context),
        Verb::Artifacts(args) => artifacts::run(args, &context),
        Verb::Import(args) => import::run(args, &context),
        Verb::Export(args) => export::run(args, &context),
        Verb::Data(args) => data::run(args, &context),
        Verb::Watch(args) => watch::run(args, &context),
        Verb::Completions(args) => completions::run(args),
        Verb::Man(args) => man::run(args),
    }
}
