//! `qtrail attack`: crafts adversarial images against trained models, transforms them, and records
//! what every model makes of them.

mod classes;
mod labels;
mod models;
mod options;
mod progress;

use std::sync::atomic::{AtomicBool, Ordering};

use super::progress::duration;
use super::{CliError, Context, Exit, data, names, note, say, work};
use crate::adversary::gradients::warnings;
use crate::adversary::job::Attack;
use crate::adversary::protocol::Settings;
use crate::data::{DataError, Located, Part, Reading};
use crate::engine::Ending;
use crate::engine::attacks::{Target, TestPart};
use crate::engine::measure::Costs;
use crate::engine::session::Session;
use crate::engine::workplace::Workplace;
use crate::events::Scope;
use crate::log::{Aside, NamedLock, Store};
use classes::Mapping;
use progress::Progress;

/// Attacks trained models with adversarial images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    models: models::ModelArgs,
    #[command(flatten)]
    classes: classes::ClassArgs,
    #[command(flatten)]
    options: options::OptionArgs,
    /// What to call the attack
    #[arg(long, default_value = "")]
    name: String,
    /// Cuts images to squares and resamples them to this side in pixels [default: as the first trial
    /// saw them, else as they are]
    #[arg(long, value_name = "SIDE", value_parser = super::data::side())]
    resize: Option<u32>,
    /// Seed that draws the test images of pictures that lie in folders of classes alone [default: that
    /// of the first trial, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    data_seed: Option<u64>,
    /// Threads to compute with on a CPU [default: all]
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
    let Opened { mut session, aside } = open(args, context)?;
    let wanted = wanted(args, &mut session, context)?;
    let threads = args.threads.unwrap_or_else(work::threads);
    let mut tried = None;
    if let Some(aside) = aside {
        // Only models that can be attacked are worth a store.
        let mut workplace = session.workplace(threads)?;
        tried = Some(wanted.try_out(args, &mut session, &mut workplace)?);
        drop(workplace); // the trainer leaves before its folder does
        session.close()?;
        drop(aside);
        session = open_store(args, context, Store::open_or_create(&context.store)?)?;
    }
    let Wanted { targets, test, settings, .. } = &wanted;
    // The same command again goes on with the attack that it began, or has nothing left to do.
    let beginning = session.attack_lock()?;
    let any_batch = args.options.batch().is_none();
    let known =
        match (session.find_attack(settings, any_batch)?, args.options.without_noise(settings)) {
            (None, Some(earlier)) => session.find_attack(&earlier, any_batch)?,
            (known, _) => known,
        };
    if let Some(scope) = known {
        drop(beginning);
        let lock = session.lock(scope)?;
        let mut attack = session.attack(scope)?;
        if let Some(kept) = kept(args, targets, &attack) {
            note(&format!("{scope} is this attack; {kept}"));
        }
        if attack.is_finished() {
            session.close()?;
            note(&format!("nothing is left to do: {scope} is this attack, and is finished"));
            return Ok(());
        }
        note(&format!("{scope} is this attack, and goes on"));
        session.finish_opening(scope, &mut attack, test)?;
        let begun = Begun { scope, lock, attack };
        return carry_on(session, begun, targets, test, None, &*work::stop_flag()?);
    }
    let mut workplace = session.workplace(threads)?;
    let Tried { costs, outputs } = match tried {
        Some(tried) => tried,
        None => wanted.try_out(args, &mut session, &mut workplace)?,
    };
    // From here on Ctrl-C ends it between two micro-batches.
    let stop = work::stop_flag()?;
    let settings = args.options.sized(settings, &costs, test);
    let (scope, lock) =
        session.begin_attack(&args.name, &settings, targets, &outputs, test, threads)?;
    drop(beginning);
    let attack = session.attack(scope)?;
    announce(scope, &attack, &settings);
    foretell(scope, &attack, &costs, test, &workplace.device);
    args.classes.doubt(&test.classes(&wanted.counts), targets, &outputs, context);
    let begun = Begun { scope, lock, attack };
    carry_on(session, begun, targets, test, Some(workplace), &stop)
}

/// A session, in the store, or where there is none in one that is gone afterwards.
struct Opened {
    session: Session,
    aside: Option<Aside>,
}

fn open(args: &Args, context: &Context) -> Result<Opened, CliError> {
    let there = Store::open_if_there(&context.store)?;
    let (store, aside) = match there {
        Some(store) => (store, None),
        // Trials and ensembles are those of a store.
        None if args.models.of_store()? => (Store::open(&context.store)?, None),
        None => {
            // A verb that cannot train makes no store.
            work::trainers(&args.work, context)?;
            let aside = Store::aside(&context.store)?;
            (aside.store.clone(), Some(aside))
        }
    };
    Ok(Opened { session: open_store(args, context, store)?, aside })
}

fn open_store(args: &Args, context: &Context, store: Store) -> Result<Session, CliError> {
    let trainers = work::trainers(&args.work, context)?;
    work::session(context, trainers, store)
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
}

fn wanted(args: &Args, session: &mut Session, context: &Context) -> Result<Wanted, CliError> {
    let mut targets = Vec::new();
    for model in &args.models.find(context)? {
        targets.push(session.target(&model.name, &model.members, &context.data)?);
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
    for ((script, label), range) in args.models.scripts().iter().zip(&labels).zip(&ranges) {
        let target = session.script(label, &script.file, &test.images)?.with_range(range);
        let same = |known: &&Target| known.victim.weights == target.victim.weights;
        if let Some(known) = targets.iter().find(same) {
            let (one, other) = (&known.victim.label, script.file.display());
            return Err(CliError::usage(format!(
                "{other} is named twice: {one} is the same model"
            )));
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
        session: &mut Session,
        workplace: &mut Workplace,
    ) -> Result<Tried, CliError> {
        let Self { targets, test, settings, .. } = self;
        if !args.models.scripts().is_empty() {
            // Large ones take a while.
            note("trying the models on images of the set; nothing is recorded yet");
        }
        let propose = args.models.is_range_open();
        let tried = session.try_out(targets, test, settings, propose, workplace)?;
        let outputs: Vec<u32> = tried.iter().map(|model| model.outputs).collect();
        self.mapping.check(targets, &outputs)?;
        test.check(settings, targets, &outputs)?;
        tried.iter().flat_map(|model| &model.remarks).for_each(|remark| note(remark));
        let costs = session.measure(targets, test, settings.dtype, workplace)?;
        Ok(Tried { costs, outputs })
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
    let mut attack = session.attack(scope)?;
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
    session.check_test(scope, &attack, &test)?;
    session.finish_opening(scope, &mut attack, &test)?;
    let mut targets = Vec::new();
    for (victim, at) in attack.victims().iter().zip(0..) {
        let range = attack.plan().map(|plan| plan.settings.input_range(at)).unwrap_or_default();
        let target = session.recorded_target(victim, &test.images, &context.data)?;
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
    workplace: Option<Workplace>,
    stop: &AtomicBool,
) -> Result<(), CliError> {
    let Begun { scope, lock, mut attack } = begun;
    let threads = attack.started().map_or(1, |started| started.threads);
    let mut workplace = match workplace {
        Some(workplace) => workplace,
        None => session.workplace(threads)?,
    };
    let models: Vec<_> = targets.iter().map(|target| target.model.clone()).collect();
    let asked = || stop.load(Ordering::Relaxed);
    let mut progress = Progress::new(scope, &attack);
    let ending = session.carry_on_attack(
        scope,
        &mut attack,
        &models,
        test,
        &mut workplace,
        &asked,
        &mut progress,
    );
    progress.finish();
    drop(workplace); // the trainer leaves before the log is closed
    let closed = session.close();
    drop(lock);
    let resume = format!("the same command, or `qtrail resume {scope}`, goes on");
    match ending? {
        Ending::Finished => {
            closed?;
            let done = attack.closing();
            let mut text = format!(
                "{scope} is finished: {} images crafted against {}, {} scores",
                done.crafted,
                models_named(attack.victims().len()),
                done.scored
            );
            if progress.elapsed().as_secs() > 0 {
                text += &format!(" ({} in this session)", duration(progress.elapsed()));
            }
            say(&text);
            warnings(&scope.to_string(), &attack.gradients()).iter().for_each(|line| note(line));
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

fn models_named(count: usize) -> String {
    if count == 1 { "1 model".to_owned() } else { format!("{count} models") }
}

/// Says what an attack is about to do.
fn announce(scope: Scope, attack: &Attack, settings: &Settings) {
    let Some((plan, started)) = attack.plan().zip(attack.started()) else { return };
    let labels: Vec<&str> = attack.victims().iter().map(|victim| victim.label.as_str()).collect();
    let noise = match settings.noise_images.min(started.images) {
        0 => String::new(),
        images => format!(", random noise on {images} images"),
    };
    let eps: Vec<String> = settings.eps.iter().map(ToString::to_string).collect();
    note(&format!(
        "{scope}: {} images of {} against {}; {} attacks (eps {}) of {} gradients, {} transformations{noise}",
        started.images,
        started.data.name,
        labels.join(", "),
        plan.specs.len(),
        eps.join(", "),
        crate::adversary::sweep::gradients(&plan.chains),
        plan.transforms.len() - 1,
    ));
}

/// Says how much an attack is about to do, and very roughly for how long.
fn foretell(scope: Scope, attack: &Attack, costs: &Costs, test: &TestPart, device: &str) {
    let Some((plan, started)) = attack.plan().zip(attack.started()) else { return };
    let estimate = costs.estimate(plan, started.images, test.images.length());
    note(&format!(
        "{scope}: {} images to craft by {} gradients, {} scores, in micro-batches of {}; very roughly \
         {} on {device}, up to {:.0} MB on disk",
        started.to_craft,
        estimate.gradients,
        started.to_score,
        plan.settings.batch,
        duration(estimate.time),
        (estimate.bytes as f64 / 1e6).ceil(),
    ));
    if costs.image > 0 && plan.settings.batch < Settings::BATCH {
        note(&format!(
            "{scope}: an image takes {:.0} MB; --memory allows larger micro-batches, --batch sets them",
            (costs.image as f64 / 1e6).ceil()
        ));
    }
}
