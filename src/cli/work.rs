//! What `search`, `resume` and `train` share: a session that works until it is done or told to
//! stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::cells::counted;
use super::progress::{Progress, duration};
use super::{CliError, Context, Exit, clock, note, say};
use crate::agent::Training;
use crate::agent::trials::Status;
use crate::config::recipe::Precision;
use crate::data::DataError;
use crate::engine::Ending;
use crate::engine::devices::Devices;
use crate::engine::posts::Trainers;
use crate::engine::session::{Session, Surroundings};
use crate::engine::trainings;
use crate::events::Scope;
use crate::log::{NamedLock, Store};
use crate::trainer::locate::{NotFound, Places};
use crate::views::Appender;

/// Options of every verb that trains.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkArgs {
    /// Devices to train on: auto, cpu, cuda:N, or a list such as cuda:0,cuda:1; cpu*2 starts two
    /// trainers on the CPU
    #[arg(long, value_name = "DEVICE,…", default_value = "auto")]
    pub device: Devices,
    /// With auto, as many trainers on the CPU as can work at once (a search trains --in-flight models
    /// at once), which share the machine's threads
    #[arg(long, value_name = "auto", value_parser = ["auto"])]
    pub trainers: Option<String>,
    /// The trainer program
    #[arg(long, value_name = "PROGRAM")]
    pub trainer: Option<PathBuf>,
    /// A data set by name, or a folder with its files
    #[arg(long, value_name = "NAME|DIR")]
    pub data: Option<String>,
}

/// What trainings compute in.
#[derive(Debug, clap::Args)]
pub struct PrecisionArgs {
    /// Precision of convolutions and matrix products: f32 or bf16; as recipe.precision
    #[arg(long)]
    precision: Option<Precision>,
    /// Allow bf16 on a device without instructions for it, where it is slower than f32
    #[arg(long)]
    emulate_bf16: bool,
}

impl PrecisionArgs {
    /// The setting to be laid over a configuration.
    #[must_use]
    pub fn setting(&self) -> Option<String> {
        self.precision.map(|precision| format!("recipe.precision={precision}"))
    }

    /// The same trainers, who may emulate bfloat16 if that was allowed.
    #[must_use]
    pub fn allow(&self, trainers: Trainers) -> Trainers {
        Trainers { emulate_bf16: self.emulate_bf16, ..trainers }
    }
}

impl WorkArgs {
    /// The same with as many trainers as were asked for, where `at_once` trainings can be under way,
    /// each with `each` threads if that is known.
    ///
    /// # Errors
    /// If devices are named that say how many trainers there are, or are no CPU.
    pub fn with_trainers_for(&self, at_once: u32, each: Option<u32>) -> Result<Self, CliError> {
        if self.trainers.is_none() {
            return Ok(self.clone());
        }
        let room = threads() / each.unwrap_or(1).max(1);
        let device = self.device.clone().with_cpu_trainers(room.min(at_once)).ok_or_else(|| {
            let message =
                format!("--trainers auto counts trainers on the CPU, not on {}", self.device);
            CliError::usage(message).hint("cuda:0*2 or cpu*2 says how many there are on a device")
        })?;
        Ok(Self { device, ..self.clone() })
    }
}

/// Finds the trainer program and says how it is started. Before a store is made: a verb that cannot
/// train makes none.
///
/// # Errors
/// What a person is to be told.
pub fn trainers(args: &WorkArgs, context: &Context) -> Result<Trainers, CliError> {
    let store = std::path::absolute(&context.store);
    DataError::check_text(&store.unwrap_or_else(|_| context.store.clone()))?;
    let places = Places {
        told: args.trainer.clone().or_else(|| context.trainer.clone()),
        beside: context.program.as_deref().and_then(Path::parent).map(Path::to_owned),
        path: context.path.clone(),
    };
    let program = places.find().map_err(|error| {
        if let NotFound::Unseen(path, error) = &error {
            return CliError::file("look at", path, error);
        }
        let hint = "`make build` in qtrail's sources brings it; \
                    everything that does not train works without";
        CliError::usage(error).hint(hint)
    })?;
    Ok(Trainers {
        program,
        devices: args.device.clone(),
        threads: None,
        emulate_bf16: false,
        locks: context.device_locks.clone(),
        command: context.command.clone(),
        wait: context.wait,
        silence: context.silence,
    })
}

/// Opens a session in the store, which hires `trainers` when it needs them.
///
/// # Errors
/// What a person is to be told.
pub fn session(context: &Context, trainers: Trainers, store: Store) -> Result<Session, CliError> {
    let mut session = session_without_trainer(context, store)?;
    session.set_trainers(trainers);
    Ok(session)
}

/// Opens a session in the store, which is made if there is none, once trainers are hired that train in
/// `precision`: a verb that cannot train makes none.
///
/// # Errors
/// What a person is to be told.
pub fn session_to_begin(
    context: &Context,
    trainers: Trainers,
    precision: Precision,
) -> Result<Session, CliError> {
    let posts = trainers.hire(precision)?;
    let mut session = session(context, trainers, Store::open_or_create(&context.store)?)?;
    session.bring(posts);
    Ok(session)
}

/// Opens a session in the store that records, and trains nothing.
///
/// # Errors
/// What a person is to be told.
pub fn session_without_trainer(context: &Context, store: Store) -> Result<Session, CliError> {
    let surroundings =
        Surroundings { options: context.options(), clock: clock::now, program: program() };
    let appender = Appender::new(store.clone(), note);
    let mut session = Session::open(store, surroundings, Box::new(appender))?;
    session.take_repairs().iter().for_each(|repair| note(&repair.to_string()));
    Ok(session)
}

/// Program name and version.
#[must_use]
pub fn program() -> String {
    concat!("qtrail ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Threads to compute with, unless told otherwise.
#[must_use]
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// Threads of each of so many trainers: as told, or its share of the machine's.
#[must_use]
pub fn threads_each(told: Option<u32>, trainers: usize) -> u32 {
    let trainers = u32::try_from(trainers.max(1)).unwrap_or(u32::MAX);
    told.unwrap_or_else(|| (threads() / trainers).max(1))
}

/// Reads a number of threads: not more than the machine has.
///
/// # Errors
/// What a person is to be told.
pub fn thread_count(text: &str) -> Result<u32, String> {
    let most = threads();
    match text.parse() {
        Ok(count @ 1..) if count <= most => Ok(count),
        Ok(_) => Err(format!("this machine has {most} threads; give 1 to {most}")),
        Err(_) => Err("a whole number is expected".to_owned()),
    }
}

/// Carries on until done or told to stop, and says how it ended.
///
/// # Errors
/// What a person is to be told; exit code 6 if it can be resumed.
pub fn carry_on(
    session: Session,
    scope: Scope,
    lock: NamedLock,
    job: Box<dyn Training>,
    folder: &Path,
) -> Result<(), CliError> {
    carry_on_until(&*stop_flag()?, session, scope, lock, job, folder)
}

/// Carries on until done or until `stop` is set, and says how it ended.
///
/// # Errors
/// What a person is to be told; exit code 6 if it can be resumed.
pub(super) fn carry_on_until(
    stop: &AtomicBool,
    mut session: Session,
    scope: Scope,
    lock: NamedLock,
    mut job: Box<dyn Training>,
    folder: &Path,
) -> Result<(), CliError> {
    let mut progress = Progress::new(scope);
    let asked = || stop.load(Ordering::Relaxed);
    let ending = trainings::carry_on(&mut session, scope, &mut *job, folder, &asked, &mut progress);
    progress.finish();
    let others = trainings::others_at_work(&mut session, &*job).unwrap_or(0);
    let closed = session.close();
    drop(lock);
    let resume = format!("`qtrail resume {scope}` goes on");
    match ending? {
        Ending::Finished => {
            closed?;
            say(&summary(scope, &*job, &progress));
            Ok(())
        }
        Ending::Interrupted if others > 0 => {
            let message =
                format!("this process stopped; {} still working on {scope}", others_are(others));
            Err(CliError::new(Exit::Interrupted, message)
                .hint("`qtrail status` shows how far it is"))
        }
        Ending::Interrupted => {
            Err(CliError::new(Exit::Interrupted, format!("{scope} was interrupted")).hint(resume))
        }
        Ending::Refused(said) => {
            let message =
                format!("{scope}: the trainer reported three errors in a row; the last: {said}");
            Err(CliError::new(Exit::Interrupted, message)
                .hint(format!("these attempts do not count; fix the cause, then {resume}")))
        }
        Ending::Lost(reason) => {
            let message = format!(
                "the trainers of this process lost several attempts of {scope} in a row; the last: \
                 {reason}"
            );
            let given_up = job.trials().lost().count();
            let retry = match given_up {
                0 => String::new(),
                _ => format!("; --retry-lost retries {}", lost_trials(given_up)),
            };
            Err(CliError::new(Exit::Interrupted, message)
                .hint(format!("see that the trainer can work; then {resume}{retry}")))
        }
    }
}

/// The first signal asks to stop, the second ends the process at once.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| CliError::new(Exit::Bug, format!("cannot watch signals: {error}")))?;
    }
    Ok(stop)
}

/// The subject of a sentence about other processes.
pub(super) fn others_are(others: usize) -> String {
    match others {
        1 => "another process is".to_owned(),
        _ => format!("{others} other processes are"),
    }
}

fn lost_trials(count: usize) -> String {
    format!("{count} lost {}", if count == 1 { "trial" } else { "trials" })
}

fn summary(scope: Scope, job: &dyn Training, progress: &Progress) -> String {
    let trained = job.trials().all().iter();
    let trained = trained.filter_map(|trial| Some((job.accuracy(trial.planned.trial)?, trial)));
    let ended = |status: &Status| matches!(status, Status::Finished(_));
    let models = job.trials().all().iter().filter(|trial| ended(&trial.status)).count();
    let mut text = format!("{scope} is finished: {}", counted(models, "model"));
    if let Some((accuracy, trial)) = trained.reduce(|a, b| if b.0 > a.0 { b } else { a }) {
        let architecture = &trial.planned.architecture;
        text += &format!("; the best has validation accuracy {accuracy:.4}: {architecture}");
    }
    let given_up = job.trials().lost().count();
    if given_up > 0 {
        text +=
            &format!("; `qtrail resume {scope} --retry-lost` retries {}", lost_trials(given_up));
    }
    if progress.elapsed().as_secs() > 0 {
        text += &format!(" ({} in this session)", duration(progress.elapsed()));
    }
    text
}

/// Says what a session is about to do.
pub fn announce(scope: Scope, job: &dyn Training) {
    let data = job.data();
    note(&format!(
        "{scope}: {}, {} images to train on and {} to validate on, {} classes, {} x {} pixels",
        data.name, data.train, data.validation, data.classes, data.side, data.side
    ));
}
