//! `qtrail attack`: crafts adversarial images against trained models, transforms them, and records
//! what every model makes of them.

mod classes;
mod labels;
mod models;
mod options;
mod progress;

use std::sync::atomic::{AtomicBool, Ordering};

use super::cells::counted;
use super::progress::{Progress, duration};
use super::{CliError, Context, Exit, data, names, note, say, work};
use crate::adversary::gradients::{score_warnings, warnings};
use crate::adversary::job::Attack;
use crate::adversary::protocol::Settings;
use crate::data::{DataError, Located, Part, Reading};
use crate::engine::Ending;
use crate::engine::attacks::{self, Target, TestPart};
use crate::engine::measure::{self, Costs};
use crate::engine::openings;
use crate::engine::preflight::{self, Trial};
use crate::engine::session::{Session, SessionError};
use crate::engine::watch::{Trainers, Trying, Watch};
use crate::events::Scope;
use crate::events::job::Job as _;
use crate::log::{NamedLock, Store};
use classes::Mapping;
use progress::Line;

/// Attacks trained models with adversarial images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    models: models::ModelArgs,
    #[command(flatten)]
    classes: classes::ClassArgs,
    #[command(flatten)]
    options: options::OptionArgs,
    /// Name of the attack
    #[arg(long, default_value = "")]
    name: String,
    /// Crop images to squares and resample them to this side in pixels [default: as the first trial saw
    /// them, otherwise unchanged]
    #[arg(long, value_name = "SIDE", value_parser = super::data::side())]
    resize: Option<u32>,
    /// Seed that draws the test images from folders of classes without `train` and `test` [default: that of
    /// the first trial, otherwise 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    data_seed: Option<u64>,
    /// Number of CPU threads of each trainer [default: all, divided among the trainers]
    #[arg(long, value_name = "N", value_parser = work::thread_count)]
    threads: Option<u32>,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    names::check_optional("--name", &args.name)?;
    let (mut session, wanted, tried) = match store(args, context)? {
        Some(store) => {
            let mut session = open(args, context, store)?;
            let wanted = wanted(args, Some(&mut session), context)?;
            (session, wanted, None)
        }
        None => {
            let wanted = wanted(args, None, context)?;
            let stop = work::stop_flag()?;
            let tried = try_aside(args, &wanted, context, &stop)?;
            let session = open(args, context, Store::open_or_create(&context.store)?)?;
            (session, wanted, Some((tried, stop)))
        }
    };
    let Wanted { targets, test, settings, .. } = &wanted;
    // The same command again goes on with the attack that it began, or has nothing left to do.
    let beginning = attacks::lock(&mut session)?;
    let any_batch = args.options.batch().is_none();
    let known = match (
        openings::find_attack(&mut session, settings, any_batch)?,
        args.options.without_noise(settings),
    ) {
        (None, Some(earlier)) => openings::find_attack(&mut session, &earlier, any_batch)?,
        (known, _) => known,
    };
    if let Some(scope) = known {
        drop(beginning);
        let lock = session.lock(scope)?;
        let mut attack = attacks::state(&mut session, scope)?;
        if let Some(kept) = kept(args, targets, &attack) {
            note(&format!("{scope} is this attack; {kept}"));
        }
        if attack.is_finished() {
            session.close()?;
            note(&format!("nothing is left to do: {scope} is this attack, and is finished"));
            return Ok(());
        }
        note(&format!("{scope} is this attack, and goes on"));
        openings::finish(&mut session, scope, &mut attack, test)?;
        let begun = Begun { scope, lock, attack };
        return carry_on(session, begun, targets, test, None, &*work::stop_flag()?);
    }
    for (label, open) in attacks::other_models(&session, targets) {
        note(&format!(
            "the file of {label} has changed since {open} began: this is another attack; {open} stays \
             open, and `qtrail resume {open}` goes on with the model that it began with"
        ));
    }
    let mut trainers = session.pool()?;
    let threads = work::threads_each(args.threads, trainers.size());
    // From here on Ctrl-C ends it between two micro-batches, and before that leaves nothing.
    let (tried, stop) = match tried {
        Some(tried) => tried,
        None => {
            let stop = work::stop_flag()?;
            (wanted.try_out(args, &mut trainers, &stop)?, stop)
        }
    };
    let Tried { costs, outputs, settings } = tried;
    let (scope, lock) =
        attacks::begin(&mut session, &args.name, &settings, targets, &outputs, test, threads)?;
    drop(beginning);
    let attack = attacks::state(&mut session, scope)?;
    announce(scope, &attack, &settings);
    foretell(scope, &attack, &costs, test, &trainers);
    if any_batch {
        tell_batch(scope, &settings, &costs);
    }
    args.classes.doubt(&test.classes(&wanted.counts), targets, &outputs, context);
    let begun = Begun { scope, lock, attack };
    carry_on(session, begun, targets, test, Some(trainers), &stop)
}

/// The store, if there is one. Without one only models of files can be attacked, by a trainer that
/// is there.
fn store(args: &Args, context: &Context) -> Result<Option<Store>, CliError> {
    match Store::open_if_there(&context.store)? {
        Some(store) => Ok(Some(store)),
        // Trials and ensembles are those of a store.
        None if args.models.of_store()? => Ok(Some(Store::open(&context.store)?)),
        None => {
            // A verb that cannot train makes no store.
            work::trainers(&args.work, context)?;
            Ok(None)
        }
    }
}

fn open(args: &Args, context: &Context, store: Store) -> Result<Session, CliError> {
    let work = args.work.with_trainers_for(u32::MAX, args.threads)?;
    work::session(context, work::trainers(&work, context)?, store)
}

/// Tries the models in a store that is gone afterwards: only models that can be attacked are worth
/// one.
fn try_aside(
    args: &Args,
    wanted: &Wanted,
    context: &Context,
    stop: &AtomicBool,
) -> Result<Tried, CliError> {
    // Whatever happens, it is the last to go.
    let aside = Store::aside(&context.store)?;
    let mut session = open(args, context, aside.store.clone())?;
    let mut trainers = session.pool()?;
    let tried = wanted.try_out(args, &mut trainers, stop)?;
    drop(trainers); // they leave before their folders do
    session.close()?;
    Ok(tried)
}

/// What is to be attacked, with which images and how.
struct Wanted {
    targets: Vec<Target>,
    test: TestPart,
    /// Images of each class.
    counts: Vec<u32>,
    mapping: Mapping,
    settings: Settings,
}

/// What was found out about the models before anything is recorded.
struct Tried {
    costs: Costs,
    /// How many outputs each has.
    outputs: Vec<u32>,
    /// The settings with micro-batches that fit into memory.
    settings: Settings,
}

/// Finds models and images; without a session, which is that of a store, only models of files.
fn wanted(
    args: &Args,
    session: Option<&mut Session>,
    context: &Context,
) -> Result<Wanted, CliError> {
    let mut targets = Vec::new();
    if let Some(session) = session {
        for model in &args.models.find(context)? {
            targets.push(attacks::target(session, &model.name, &model.members, &context.data)?);
        }
    }
    let located = images(args, &targets, context)?;
    DataError::check_text(&located.folder)?;
    let test = TestPart::read(&located)?;
    test.images.remarks.iter().for_each(|remark| note(&format!("{}: {remark}", located.name)));
    let counts = test.images.class_counts();
    data::look_at_classes(&located, Part::Test, &counts)?;
    let taken: Vec<String> = targets.iter().map(|target| target.victim.label.clone()).collect();
    let labels = labels::labels(&taken, args.models.scripts())?;
    let ranges = args.models.ranges()?;
    let scripts = args.models.scripts();
    for ((script, label), range) in scripts.iter().zip(&labels).zip(&ranges) {
        let target = attacks::script(label, &script.file, &test.images)?.with_range(range);
        let same = |known: &&Target| known.victim.weights == target.victim.weights;
        if let Some(at) = targets[taken.len()..].iter().position(|known| same(&known)) {
            let (one, other) = (scripts[at].file.display(), script.file.display());
            return Err(CliError::usage(format!("--model: {one} and {other} are the same model"))
                .hint("name it once"));
        }
        targets.push(target);
    }
    let mapping = args.classes.find(&test.classes(&counts))?;
    let settings = args.options.settings(&test, &targets, mapping.outputs.clone())?;
    Ok(Wanted { targets, test, counts, mapping, settings })
}

impl Wanted {
    /// Tries the models, and measures them.
    fn try_out(
        &self,
        args: &Args,
        trainers: &mut Trainers,
        stop: &AtomicBool,
    ) -> Result<Tried, CliError> {
        let Self { targets, test, settings, .. } = self;
        let ranges_given = args.models.are_ranges_given();
        let threads = work::threads_each(args.threads, trainers.size());
        let trial = Trial { targets, test, settings, ranges_given, threads };
        // Models of others may take a while.
        let mut line = Line::new(targets, !args.models.scripts().is_empty());
        let mut report = |label: &str, trying: &Trying, done| line.show(label, trying, done);
        let asked = || stop.load(Ordering::Relaxed);
        let mut watch = Watch { stop: &asked, report: &mut report };
        let tried = preflight::try_out(trial, trainers, &mut watch)?;
        let outputs: Vec<u32> = tried.iter().map(|model| model.outputs).collect();
        self.mapping.check(targets, &outputs)?;
        test.check(settings, targets, &outputs)?;
        let costs = measure::measure(trial, trainers, &mut watch)?;
        let settings = args.options.sized(settings, &costs, test);
        let sized = Trial { settings: &settings, ..trial };
        preflight::try_batches(sized, &tried, trainers, &mut watch)?;
        line.finish();
        if asked() {
            return Err(SessionError::Stopped.into());
        }
        tried.iter().flat_map(|model| &model.remarks).for_each(|remark| note(remark));
        Ok(Tried { costs, outputs, settings })
    }
}

/// What is not changed by naming an attack or its models anew; `None` if nothing is.
fn kept(args: &Args, targets: &[Target], attack: &Attack) -> Option<String> {
    let mut kept = Vec::new();
    let name = attack.started().map_or("", |started| started.name.as_str());
    if !args.name.is_empty() && args.name != name {
        kept.push(match name {
            "" => "it stays without a name".to_owned(),
            name => format!("its name stays {name}"),
        });
    }
    let labels = attack.victims().iter().map(|victim| victim.label.as_str());
    let labels: Vec<&str> = labels.collect();
    if !targets.iter().map(|target| target.victim.label.as_str()).eq(labels.iter().copied()) {
        kept.push(format!("its models stay {}", labels.join(", ")));
    }
    (!kept.is_empty()).then(|| kept.join(", and "))
}

/// Goes on with an attack that was interrupted.
///
/// # Errors
/// What a person is to be told.
pub fn go_on(
    mut session: Session,
    scope: Scope,
    args: &work::WorkArgs,
    context: &Context,
) -> Result<(), CliError> {
    let lock = session.lock(scope)?;
    let mut attack = attacks::state(&mut session, scope)?;
    if attack.is_finished() {
        session.close()?;
        note(&format!("nothing is left to do: {scope} is finished"));
        return Ok(());
    }
    let (folder, name) = attack.started().map_or_else(Default::default, |started| {
        (started.folder.clone(), started.data.name.clone())
    });
    let data = match &args.data {
        Some(data) => context.data.locate(data)?,
        None => context.data.recorded(&folder, &name)?,
    };
    let resize = attack.started().map(|started| started.data.side);
    let drawn = attack.settings().ok().and_then(|settings| settings.data.seed);
    let reading = Reading { resize, extra: false, seed: drawn.unwrap_or(0) };
    let test = TestPart::read(&data.read_as(reading))?;
    attacks::check_test(scope, &attack, &test)?;
    openings::finish(&mut session, scope, &mut attack, &test)?;
    let mut targets = Vec::new();
    for (victim, at) in attack.victims().iter().zip(0..) {
        let range = attack.plan().map(|plan| plan.settings.input_range(at)).unwrap_or_default();
        let target = attacks::recorded_target(&mut session, victim, &test.images, &context.data)?;
        targets.push(target.with_range(&range));
    }
    let begun = Begun { scope, lock, attack };
    carry_on(session, begun, &targets, &test, None, &*work::stop_flag()?)
}

/// The images: those that `--data` names, else those of the first model.
fn images(args: &Args, targets: &[Target], context: &Context) -> Result<Located, CliError> {
    use crate::trainer::protocol::Member;
    let first =
        targets.iter().flat_map(|target| &target.model.members).find_map(|member| match member {
            Member::Network(network) => Some(&network.data),
            Member::Torchscript { .. } => None,
        });
    // All models see the images at the same size, and none that it was trained on.
    let reading = Reading {
        resize: args.resize.or_else(|| first.and_then(|data| data.resize)),
        extra: false,
        seed: args.data_seed.unwrap_or_else(|| first.map_or(0, |data| data.seed)),
    };
    if let Some(data) = &args.work.data {
        return Ok(context.data.locate(data)?.read_as(reading));
    }
    let Some(data) = first else {
        return Err(CliError::usage("which images are to be changed is not known")
            .hint("name them with --data NAME|DIR"));
    };
    let known = context.data.locate(&data.name).ok().filter(|found| found.folder == data.folder);
    let located = known.unwrap_or_else(|| Located {
        name: data.name.clone(),
        folder: data.folder.clone(),
        known: None,
        reading,
    });
    Ok(located.read_as(reading))
}

/// An attack whose lock is held.
struct Begun {
    scope: Scope,
    lock: NamedLock,
    attack: Attack,
}

fn carry_on(
    mut session: Session,
    begun: Begun,
    targets: &[Target],
    test: &TestPart,
    trainers: Option<Trainers>,
    stop: &AtomicBool,
) -> Result<(), CliError> {
    let Begun { scope, lock, mut attack } = begun;
    let trainers = match trainers {
        Some(trainers) => trainers,
        None => session.pool()?,
    };
    let models: Vec<_> = targets.iter().map(|target| target.model.clone()).collect();
    let asked = || stop.load(Ordering::Relaxed);
    let mut progress = Progress::new(scope);
    let ending = attacks::carry_on(
        &mut session,
        scope,
        &mut attack,
        (&models, test),
        trainers,
        &asked,
        &mut progress,
    );
    progress.finish();
    let closed = session.close();
    drop(lock);
    let resume = format!("the same command, or `qtrail resume {scope}`, goes on");
    match ending? {
        Ending::Finished => {
            closed?;
            let done = attack.closing();
            let mut text = format!(
                "{scope} is finished: {} crafted against {}, {}",
                counted(done.crafted, "image"),
                counted(attack.victims().len(), "model"),
                counted(done.scored, "score")
            );
            if progress.elapsed().as_secs() > 0 {
                text += &format!(" ({} in this session)", duration(progress.elapsed()));
            }
            say(&text);
            let label = scope.to_string();
            let masked = warnings(&label, &attack.gradients());
            let invalid = score_warnings(&label, &attack.not_finite());
            masked.iter().chain(&invalid).for_each(|line| note(line));
            Ok(())
        }
        Ending::Interrupted => {
            Err(CliError::new(Exit::Interrupted, format!("{scope} was interrupted")).hint(resume))
        }
        Ending::Lost(reason) | Ending::Refused(reason) => {
            let message = format!("{scope} lost a micro-batch three times; the last: {reason}");
            Err(CliError::new(Exit::Interrupted, message)
                .hint(format!("see that the trainer can work; then {resume}")))
        }
    }
}

/// Says what an attack is about to do.
fn announce(scope: Scope, attack: &Attack, settings: &Settings) {
    let Some((plan, started)) = attack.plan().zip(attack.started()) else { return };
    let labels: Vec<&str> = attack.victims().iter().map(|victim| victim.label.as_str()).collect();
    let noise = match settings.noise_images.min(started.images) {
        0 => String::new(),
        images => format!(", random noise on {}", counted(images, "image")),
    };
    let eps: Vec<String> = settings.eps.iter().map(ToString::to_string).collect();
    note(&format!(
        "{scope}: {} of {} against {}; {} (eps {}) of {}, {}{noise}",
        counted(started.images, "image"),
        started.data.name,
        labels.join(", "),
        counted(plan.specs.len(), "attack"),
        eps.join(", "),
        counted(crate::adversary::sweep::gradients(&plan.chains), "gradient"),
        counted(plan.transforms.len() - 1, "transformation"),
    ));
}

/// Says how much an attack is about to do, and very roughly for how long.
fn foretell(scope: Scope, attack: &Attack, costs: &Costs, test: &TestPart, trainers: &Trainers) {
    let Some((plan, started)) = attack.plan().zip(attack.started()) else { return };
    let estimate = costs.estimate(plan, started.images, test.images.length());
    note(&format!(
        "{scope}: {} to craft by {}, {}, in micro-batches of {}; very roughly {} on {}, up to \
         {:.0} MB on disk",
        counted(started.to_craft, "image"),
        counted(estimate.gradients, "gradient"),
        counted(started.to_score, "score"),
        plan.settings.batch,
        duration(estimate.time / u32::try_from(trainers.size()).unwrap_or(1).max(1)),
        trainers.devices(),
        (estimate.bytes as f64 / 1e6).ceil(),
    ));
}

/// Says what keeps micro-batches small, unless their size was asked for.
fn tell_batch(scope: Scope, settings: &Settings, costs: &Costs) {
    if costs.image > 0 && settings.batch < Settings::BATCH {
        note(&format!(
            "{scope}: an image takes {:.0} MB; --memory allows larger micro-batches, --batch sets them",
            (costs.image as f64 / 1e6).ceil()
        ));
    }
}
