//! `qtrail attack`: crafts adversarial images against trained models, transforms them, and records
//! what every model makes of them.

mod models;
mod options;
mod progress;

use std::sync::atomic::{AtomicBool, Ordering};

use super::progress::duration;
use super::{CliError, Context, Exit, names, note, say, work};
use crate::adversary::gradients::warnings;
use crate::adversary::job::Attack;
use crate::adversary::protocol::Settings;
use crate::data::{DataError, Located, Reading};
use crate::engine::Ending;
use crate::engine::attacks::{Target, TestPart};
use crate::engine::session::Session;
use crate::engine::workplace::Workplace;
use crate::events::Scope;
use crate::log::{NamedLock, Store};
use progress::Progress;

/// Attacks trained models with adversarial images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    models: models::ModelArgs,
    #[command(flatten)]
    options: options::OptionArgs,
    /// What to call the attack
    #[arg(long, default_value = "")]
    name: String,
    /// Threads to compute with on a CPU [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
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
    let store = Store::open(&context.store)?;
    let wanted = args.models.find(context)?;
    let trainer = work::trainer(&args.work, context)?;
    let mut session = work::session(&args.work, context, trainer, store)?;
    let mut targets = Vec::new();
    for model in &wanted {
        targets.push(session.target(&model.name, &model.members, &context.data)?);
    }
    let data = images(args, &targets, context)?;
    DataError::check_text(&data.folder)?;
    let test = TestPart::read(&data)?;
    for (file, range) in args.models.scripts()? {
        let target = session.script(file, &test.images)?.with_range(&range);
        if targets.iter().any(|known: &Target| known.victim.weights == target.victim.weights) {
            return Err(CliError::usage(format!("{} is named twice", target.victim.label)));
        }
        targets.push(target);
    }
    let settings = args.options.settings(&test, &targets)?;
    let threads = args.threads.unwrap_or_else(work::threads);
    // The same command again goes on with the attack that it began, or has nothing left to do.
    let beginning = session.attack_lock()?;
    if let Some(scope) = session.find_attack(&settings)? {
        drop(beginning);
        let lock = session.lock(scope)?;
        let attack = session.attack(scope)?;
        if attack.is_finished() {
            session.close()?;
            note(&format!("nothing is left to do: {scope} is this attack, and is finished"));
            return Ok(());
        }
        note(&format!("{scope} is this attack, and goes on"));
        let begun = Begun { scope, lock, attack };
        return carry_on(session, begun, &targets, &test, None, &*work::stop_flag()?);
    }
    let mut workplace = session.workplace(threads)?;
    if !args.models.scripts()?.is_empty() {
        note("trying the models on images of the set; nothing is recorded yet"); // large ones take a while
    }
    let propose = args.models.is_range_open();
    let remarks = session.try_out(&targets, &test, &settings, propose, &mut workplace)?;
    remarks.iter().for_each(|remark| note(remark));
    // From here on Ctrl-C ends it between two micro-batches.
    let stop = work::stop_flag()?;
    let (scope, lock) = session.begin_attack(&args.name, &settings, &targets, &test, threads)?;
    drop(beginning);
    let attack = session.attack(scope)?;
    announce(scope, &attack, &settings);
    let begun = Begun { scope, lock, attack };
    carry_on(session, begun, &targets, &test, Some(workplace), &stop)
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
    let attack = session.attack(scope)?;
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
    let test = TestPart::read(&data.read_as(Reading { resize, extra: false }))?;
    session.check_test(scope, &attack, &test)?;
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
    // All models see the images at the same size.
    let reading = Reading { resize: first.and_then(|data| data.resize), extra: false };
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
        Ending::Lost(reason) => {
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
    let eps: Vec<String> = settings.eps.iter().map(ToString::to_string).collect();
    note(&format!(
        "{scope}: {} images of {} against {}; {} attacks (eps {}) of {} gradients, {} transformations",
        started.images,
        started.data.name,
        labels.join(", "),
        plan.specs.len(),
        eps.join(", "),
        crate::adversary::sweep::gradients(&plan.chains),
        plan.transforms.len() - 1,
    ));
}
