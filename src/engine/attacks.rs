//! Attacks of a session: models and images found, an attack begun or taken up, and carried on.

use std::path::{Path, PathBuf};

use super::attack::Attacking;
use super::jobs::{FoldError, Index};
use super::keeper::Keeper;
use super::news::Report;
use super::references::check_named;
use super::session::{Session, SessionError};
use super::watch::Trainers;
use super::{Ending, Engine, EngineError, Machine, SoFar};
use crate::adversary::classes::Classes;
use crate::adversary::job::{Attack, Plan};
use crate::adversary::opening::opening;
use crate::adversary::protocol::{Data, Settings};
use crate::adversary::range::InputRange;
use crate::agent::trials::Status;
use crate::data::pictures::is_drawn;
use crate::data::{DataHome, ImageSet, Located, Part};
use crate::events::{
    AttackData, AttackStarted, AttackVictim, ConfigPart, Event, Fold as _, Hash, Outcome, Recorded,
    Resumed, Scope, TrialOf, Victim,
};
use crate::log::artifacts::ArtifactHash;
use crate::log::{BATCH_MAX, NamedLock};
use crate::trainer::protocol::{DataRequest, Member, ModelRequest, NetworkRequest};

/// A model that is to be attacked.
#[derive(Debug, Clone)]
pub struct Target {
    /// What is recorded of it; its number is given later.
    pub victim: AttackVictim,
    /// What a trainer is told.
    pub model: ModelRequest,
}

/// The test part of a data set.
#[derive(Debug, Clone)]
pub struct TestPart {
    /// The images.
    pub images: ImageSet,
    /// Name of the data set.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What its classes are called; empty if nothing says so.
    pub class_names: Vec<String>,
    /// The seed that drew it, if nothing else sets it apart from the training part.
    pub seed: Option<u64>,
}

impl TestPart {
    /// Reads the test part of a data set.
    ///
    /// # Errors
    /// [`SessionError::Data`] if it cannot be read.
    pub fn read(data: &Located) -> Result<Self, SessionError> {
        let images = ImageSet::open(data, Part::Test)?;
        let drawn = data.known.is_none() && is_drawn(&data.folder);
        let seed = drawn.then_some(data.reading.seed);
        let (name, folder) = (data.name.clone(), data.folder.clone());
        let class_names = data.told_names().unwrap_or_default();
        Ok(Self { images, name, folder, class_names, seed })
    }

    /// Its classes; `counts` is how many images each has.
    #[must_use]
    pub fn classes<'a>(&'a self, counts: &'a [u32]) -> Classes<'a> {
        Classes { data: &self.name, names: &self.class_names, counts }
    }

    /// Whether models with so many outputs know the classes.
    ///
    /// # Errors
    /// [`SessionError::Settings`] naming the model that does not.
    pub fn check(
        &self,
        settings: &Settings,
        targets: &[Target],
        outputs: &[u32],
    ) -> Result<(), SessionError> {
        let counts = self.images.class_counts();
        let classes = self.classes(&counts);
        for (target, &outputs) in targets.iter().zip(outputs) {
            let label = &target.victim.label;
            classes.check(&settings.outputs, label, outputs).map_err(SessionError::Settings)?;
        }
        Ok(())
    }

    /// What the settings of an attack say of it.
    #[must_use]
    pub fn settings(&self) -> Data {
        Data {
            name: self.name.clone(),
            content: Hash(self.images.digest()),
            channels: self.images.channels,
            seed: self.seed,
        }
    }
}

/// Labels are names: no two models of an attack share one.
fn check_labels(targets: &[Target]) -> Result<(), SessionError> {
    let labels: Vec<String> = targets.iter().map(|t| t.victim.label.to_lowercase()).collect();
    match (1..labels.len()).find(|&at| labels[..at].contains(&labels[at])) {
        Some(at) => wrong(format!(
            "two models are called {}; a model of a file is named as in \
             --model NAME=torchscript:FILE",
            targets[at].victim.label
        )),
        None => Ok(()),
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, SessionError> {
    Err(SessionError::Settings(why.into()))
}

/// The images of a pool with their classes.
pub(super) fn labelled(pool: &[u32], images: &ImageSet) -> Vec<(u32, u16)> {
    pool.iter().map(|&index| (index, images.labels[index as usize])).collect()
}

/// A model in a TorchScript file, and what people call it. [`begin`] makes the file an
/// artifact, so that the attack can be resumed wherever the file goes.
///
/// # Errors
/// [`SessionError::Settings`] if the file cannot be read, or is no TorchScript file.
pub fn script(label: &str, file: &Path, images: &ImageSet) -> Result<Target, SessionError> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return wrong(format!("cannot read {}: {error}", file.display())),
    };
    if !bytes.starts_with(b"PK") {
        // TorchScript is an archive; whether there is a model in it, the trainer says.
        return wrong(format!("{} is no TorchScript file", file.display()));
    }
    let hash = Hash::of(&bytes);
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let what = Victim::Torchscript { file: name.unwrap_or_default() };
    let label = label.to_owned();
    let (architecture, weights) = (String::new(), vec![hash]);
    let victim = AttackVictim { victim: 0, what, label, architecture, weights };
    let members = vec![Member::Torchscript { file, input: InputRange::default() }];
    let model = ModelRequest { members, channels: images.channels, side: images.side };
    Ok(Target { victim, model })
}

/// The network of a trial, as a trainer is told of it, and the hash of its weights.
///
/// `label` is what people call it. Its training images are needed for what happens to pixels.
///
/// # Errors
/// [`SessionError`] if there is no such trial, or its weights are gone.
pub fn network(
    session: &mut Session,
    trial: TrialOf,
    label: &str,
    home: &DataHome,
) -> Result<(NetworkRequest, Hash), SessionError> {
    let job = session.job(trial.scope)?;
    let Some(found) = job.trials().get(trial.trial) else {
        return wrong(format!("{label} is no trial of {}", trial.scope));
    };
    let architecture = found.planned.architecture.clone();
    let weights = match found.status {
        Status::Finished(Outcome::Trained { weights: Some(hash), kept: true, .. }) => hash,
        Status::Finished(Outcome::Trained { .. }) => {
            return wrong(format!(
                "{label} has no weights: they were not kept. `qtrail train '{architecture}'` \
                 trains it again; --set keep-weights=all keeps all"
            ));
        }
        _ => return wrong(format!("{label} was not trained: it has no weights")),
    };
    let artifacts = session.store.artifacts();
    if let Err(error) = artifacts.open(ArtifactHash(weights.0)) {
        return wrong(format!(
            "the weights of {label} cannot be used: {error}. `qtrail train \
             '{architecture}'` trains it again"
        ));
    }
    let located = home.recorded(job.folder(), &job.data().name)?;
    if !session.checked.contains(&trial.scope) {
        session.check_data(trial.scope, &*job, &located)?;
        session.checked.push(trial.scope);
    }
    let (data, settings) = (job.data(), &job.config().data);
    let data = DataRequest {
        name: data.name.clone(),
        folder: located.folder,
        channels: data.channels,
        side: data.side,
        classes: data.classes,
        split: artifacts.path(ArtifactHash(data.split.0)),
        resize: settings.resize,
        extra: settings.extra,
        seed: settings.seed,
        fit: job.terms(trial.trial).fit,
    };
    let recipe = job.config().recipe.clone();
    let weights_file = artifacts.path(ArtifactHash(weights.0));
    Ok((NetworkRequest { architecture, recipe, weights: weights_file, data }, weights))
}

/// A model of one or several trials (with what people call them).
///
/// # Errors
/// [`SessionError`] if one of them cannot be attacked, or they do not fit together.
pub fn target(
    session: &mut Session,
    name: &str,
    members: &[(TrialOf, String)],
    home: &DataHome,
) -> Result<Target, SessionError> {
    let (mut networks, mut weights) = (Vec::new(), Vec::new());
    for (trial, label) in members {
        let (network, hash) = network(session, *trial, label, home)?;
        networks.push(network);
        weights.push(hash);
    }
    let Some(first) = networks.first() else { return wrong(format!("{name} has no members")) };
    if members.len() > AttackVictim::MEMBERS {
        let most = AttackVictim::MEMBERS;
        return wrong(format!("{name} has more than {most} members"));
    }
    let (channels, side, classes) = (first.data.channels, first.data.side, first.data.classes);
    let same = |network: &NetworkRequest| {
        let data = &network.data;
        (data.channels, data.side, data.classes) == (channels, side, classes)
    };
    if !networks.iter().all(same) {
        return wrong(format!("the members of {name} see images of different sizes or classes"));
    }
    let trials = members.iter().map(|(trial, _)| *trial);
    let (what, label, architecture) = match members {
        [(trial, label)] => (Victim::Trial(*trial), label.clone(), first.architecture.to_string()),
        _ => {
            let (name, members) = (name.to_owned(), trials.collect());
            (Victim::Ensemble { name: name.clone(), members }, name, String::new())
        }
    };
    let members = networks.into_iter().map(|network| Member::Network(Box::new(network)));
    let model = ModelRequest { members: members.collect(), channels, side };
    let victim = AttackVictim { victim: 0, what, label, architecture, weights };
    Ok(Target { victim, model })
}

/// The model of a recorded victim.
///
/// # Errors
/// [`SessionError`] if it is gone.
pub fn recorded_target(
    session: &mut Session,
    victim: &AttackVictim,
    images: &ImageSet,
    home: &DataHome,
) -> Result<Target, SessionError> {
    let label = &victim.label;
    let target = match &victim.what {
        Victim::Trial(trial) => target(session, label, &[(*trial, label.clone())], home)?,
        Victim::Ensemble { name, members } => {
            let named =
                |trial: &TrialOf| (*trial, format!("trial {} of {}", trial.trial, trial.scope));
            let members: Vec<_> = members.iter().map(named).collect();
            target(session, name, &members, home)?
        }
        Victim::Torchscript { .. } => {
            let hash = victim.weights.first().copied().unwrap_or_default();
            let artifacts = session.store.artifacts();
            let _ = artifacts.open(ArtifactHash(hash.0))?;
            let file = artifacts.path(ArtifactHash(hash.0));
            script(label, &file, images)?
        }
    };
    if target.victim.weights != victim.weights {
        return wrong(format!("the weights of {label} are not those that were attacked"));
    }
    Ok(Target { victim: victim.clone(), model: target.model })
}

/// Begins an attack and returns its id. `outputs` is what [`super::preflight::try_out`] found.
///
/// # Errors
/// [`SessionError`]; nothing is recorded then.
pub fn begin(
    session: &mut Session,
    name: &str,
    settings: &Settings,
    targets: &[Target],
    outputs: &[u32],
    test: &TestPart,
    threads: u32,
) -> Result<(Scope, NamedLock), SessionError> {
    let batch = beginning(session, name, settings, targets, outputs, test, threads)?;
    let artifacts = session.store.artifacts();
    // Until the events that name them are recorded.
    let _pin = artifacts.pin(session.surroundings.options.wait)?;
    for target in targets {
        for member in &target.model.members {
            if let Member::Torchscript { file, .. } = member {
                let read = std::fs::read(file);
                let read = read.map_err(|error| {
                    let file = file.display();
                    SessionError::Settings(format!("cannot read {file}: {error}"))
                })?;
                artifacts.put(&read)?;
            }
        }
    }
    check_named(&batch, &artifacts)?;
    let (scope, lock) = session.claim(Index::next_attack)?;
    for batch in batch.chunks(BATCH_MAX) {
        session.record(scope, batch)?;
    }
    Ok((scope, lock))
}

/// Which of these models of files have the label of another one that an unfinished attack is on,
/// and that attack.
#[must_use]
pub fn other_models(session: &Session, targets: &[Target]) -> Vec<(String, Scope)> {
    let files = targets.iter().map(|target| &target.victim);
    let files = files.filter(|victim| matches!(victim.what, Victim::Torchscript { .. }));
    let others = files.map(|victim| {
        let open = session.index().attacks_on_other(&victim.label, &victim.weights);
        open.into_iter().map(|scope| (victim.label.clone(), scope))
    });
    others.flatten().collect()
}

/// The events with which an attack begins.
fn beginning(
    session: &Session,
    name: &str,
    settings: &Settings,
    targets: &[Target],
    outputs: &[u32],
    test: &TestPart,
    threads: u32,
) -> Result<Vec<Event>, SessionError> {
    session.index().check_free("attack", name).map_err(SessionError::Settings)?;
    check_labels(targets)?;
    for AttackVictim { what, label, .. } in targets.iter().map(|target| &target.victim) {
        let taken = label == name || session.index().find(label).is_some();
        if taken && matches!(what, Victim::Torchscript { .. }) {
            return wrong(format!(
                "{label} would be a model and a search, run or attack; call the model \
                 something else, as in --model NAME=torchscript:FILE"
            ));
        }
    }
    let images = &test.images;
    test.check(settings, targets, outputs)?;
    let pool = settings.pool(images.count);
    let count = u32::try_from(pool.len()).unwrap_or(u32::MAX);
    let plan = Plan::new(settings.clone(), count).map_err(SessionError::Settings)?;
    let labelled = labelled(&pool, images);
    let victims = targets.iter().zip(outputs).zip(0..);
    let victims = victims
        .map(|((t, &outputs), victim)| (AttackVictim { victim, ..t.victim.clone() }, outputs));
    let rest = opening(&plan, &labelled, victims.collect(), images.classes);
    let text = settings.to_toml();
    let parts = ConfigPart::cut(&text);
    let few = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let (to_craft, to_score) = plan.totals(count);
    let bytes: Vec<u8> = pool.iter().flat_map(|index| index.to_le_bytes()).collect();
    let started = AttackStarted {
        name: name.to_owned(),
        protocol: settings.protocol.clone(),
        seed: settings.seed,
        chance: crate::chance::SCHEME.into(),
        data: AttackData {
            name: test.name.clone(),
            content: settings.data.content,
            channels: images.channels,
            side: images.side,
            classes: images.classes,
            images: images.count,
        },
        folder: test.folder.to_string_lossy().into_owned(),
        pool: Hash::of(&bytes),
        images: count,
        pool_parts: few(labelled.chunks(crate::events::PoolPart::IMAGES).count()),
        batch: settings.batch,
        victims: few(targets.len()),
        specifications: few(plan.specifications()),
        transformations: few(plan.transforms.len()),
        to_craft,
        to_score,
        config: Hash::of(text.as_bytes()),
        config_parts: few(parts.len()),
        threads,
        program: session.surroundings.program.clone(),
    };
    let first = std::iter::once(Event::from(started));
    let batch: Vec<Event> = first.chain(parts.into_iter().map(Event::from)).chain(rest).collect();
    // A large pool follows in batches of its own; all else is one.
    let pooled = |event: &Event| matches!(event, Event::PoolPart(_));
    let head = batch.iter().take_while(|event| !pooled(event)).count();
    if head > BATCH_MAX {
        let most = BATCH_MAX;
        return wrong(format!(
            "an attack begins with at most {most} facts besides its images, this one has {head}: \
             fewer models, sizes or transformations are needed"
        ));
    }
    Ok(batch)
}

/// The state of an attack, folded from the log. It has no plan if whoever began it was killed:
/// [`super::openings::finish`] completes it.
///
/// # Errors
/// [`SessionError`] if its history cannot be.
pub fn state(session: &mut Session, scope: Scope) -> Result<Attack, SessionError> {
    // As in [`Session::job`].
    session.catch_up()?;
    let (mut attack, mut wrong) = (Attack::default(), None);
    session.reread_of(scope, |recorded| {
        if wrong.is_none() {
            wrong = attack.apply(recorded).err().map(|error| (recorded.position, error));
        }
    })?;
    match wrong {
        None => Ok(attack),
        Some((position, error)) => {
            let reason = format!("cannot be followed: event {position}, {error}");
            Err(FoldError::Config { scope, reason }.into())
        }
    }
}

/// Carries on an attack whose lock is held.
///
/// # Errors
/// [`SessionError`]. What is recorded by then is whole, and can be resumed.
pub fn carry_on(
    session: &mut Session,
    scope: Scope,
    attack: &mut Attack,
    (models, test): (&[ModelRequest], &TestPart),
    pool: Trainers,
    stop: &dyn Fn() -> bool,
    report: &mut dyn Report,
) -> Result<Ending, SessionError> {
    let threads = attack.started().map_or(1, |started| started.threads);
    let machine = Machine::here(threads);
    if !attack.trainers().is_empty() {
        let (program, host) = (session.surroundings.program.clone(), machine.host.clone());
        let event = Event::from(Resumed { program, host });
        session.record(scope, std::slice::from_ref(&event))?;
        attack.apply(&Recorded::unplaced(event)).map_err(EngineError::from)?;
    }
    let mut engine = Engine {
        scope,
        work: Attacking::new(attack, &test.images, models),
        journal: &mut session.journal,
        index: &mut session.index,
        pool,
        keeper: Keeper::new(Some(session.store.artifacts())),
        machine,
        stop,
        report,
        so_far: SoFar::default(),
    };
    Ok(engine.run()?)
}

/// Whether the images of `test` are those that an attack began with.
///
/// # Errors
/// [`SessionError::OtherData`] if they are not.
pub fn check_test(scope: Scope, attack: &Attack, test: &TestPart) -> Result<(), SessionError> {
    let content = attack.started().map(|started| started.data.content);
    if content != Some(Hash(test.images.digest())) {
        return Err(SessionError::OtherData { scope, folder: test.folder.clone() });
    }
    Ok(())
}

/// A lock under which an attack is begun: two processes with the same command begin it once.
///
/// # Errors
/// [`SessionError`] if somebody holds it for too long.
pub fn lock(session: &mut Session) -> Result<NamedLock, SessionError> {
    let lock = session.named_lock("attacks")?;
    session.catch_up()?;
    Ok(lock)
}

#[cfg(test)]
#[path = "attacks_tests.rs"]
mod tests;
