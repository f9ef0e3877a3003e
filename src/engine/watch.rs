//! Whoever watches while models are tried and measured, before an attack on them is recorded: sees
//! what is done, and may stop it.

use std::fmt;

use super::EngineError;
use super::attack::Piece;
use super::error::SessionError;
use super::inbox::{Inbox, Refusal};
use super::pool::{Blame, Loss, Pool};
use crate::adversary::range::InputRange;
use crate::adversary::sweep::Chain;
use crate::config::recipe::Precision;
use crate::data::ImageSet;
use crate::trainer::protocol::{
    Answer, CraftRequest, CraftedAnswer, ModelRequest, Request, ScoreRequest, ScoredAnswer,
};

/// The trainers of an attack.
pub type Trainers = Pool<Piece>;

/// The worker whose trainer tries the models.
const FIRST: usize = 0;

/// What is done with a model before an attack on it begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Trying {
    /// The same images are scored in other pairs, twice.
    Pairs,
    /// Accuracy is estimated with this input range.
    Accuracy(InputRange),
    /// Some images are differentiated.
    Gradients,
    /// Time and memory of crafting are measured.
    Cost,
    /// The same images are scored in batches of this size.
    Batches(u32),
}

impl fmt::Display for Trying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairs => f.write_str("scoring pairs of images twice"),
            Self::Accuracy(range) => write!(f, "estimating its accuracy with values {range}"),
            Self::Gradients => f.write_str("differentiating images"),
            Self::Cost => f.write_str("measuring time and memory"),
            Self::Batches(size) => write!(f, "scoring batches of {size} images"),
        }
    }
}

/// Who watches.
pub struct Watch<'a> {
    /// Whether it was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Sees the label of the model, what is done with it, and the fraction of that which is done.
    pub report: &'a mut dyn FnMut(&str, &Trying, f64),
}

/// Why something cannot be had of a model.
#[derive(Debug)]
pub(super) enum Failure {
    /// That is a fact of the model, and who is to blame.
    Model(Loss),
    /// That is not to be found out.
    Session(SessionError),
}

impl Failure {
    /// Something is wrong with the model; the trainer lives.
    pub(super) fn of_model(why: impl fmt::Display) -> Self {
        let reason = why.to_string();
        Self::Model(Loss { blame: Blame::Trainer(reason.clone()), reason })
    }

    /// The error for a model that cannot be attacked, unless the machine is to blame.
    pub(super) fn refused(self, pool: &Trainers, label: &str) -> SessionError {
        let Loss { reason: why, blame } = match self {
            Self::Session(error) => return error,
            Self::Model(loss) => loss,
        };
        if let Err(fault) = pool.check(0) {
            return EngineError::from(fault).into();
        }
        let how = match blame {
            Blame::Machine(reported) => return EngineError::Machine(reported.into()).into(),
            Blame::Hung => return SessionError::Hung { label: label.to_owned(), why },
            Blame::Trainer(_) => "cannot be attacked",
            Blame::Unknown => "makes the trainer crash, so it cannot be attacked",
        };
        SessionError::Settings(format!("{label} {how}: {why}"))
    }
}

impl<E: Into<SessionError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Session(error.into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Trainer(why) => Self::of_model(why),
            Refusal::Engine(error) => error.into(),
        }
    }
}

/// A model that is tried by a trainer.
pub(super) struct Trier<'a, 'w> {
    pub(super) pool: &'a mut Trainers,
    pub(super) watch: &'a mut Watch<'w>,
    /// What it is called.
    pub(super) label: &'a str,
    pub(super) dtype: Precision,
    pub(super) threads: u32,
}

impl Trier<'_, '_> {
    /// The folder of the trainer.
    pub(super) fn inbox(&self) -> Result<&Inbox, Failure> {
        let none = || Failure::of_model("there is no folder for its files");
        self.pool.inbox(FIRST).ok_or_else(none)
    }

    /// Asks the trainer. If it ends and nobody says why, somebody may have ended it: it is the model's
    /// fault only if it happens again.
    fn ask(&mut self, trying: &Trying, id: u64, request: &Request) -> Result<Answer, Failure> {
        match self.ask_once(trying, id, request) {
            Err(Failure::Model(Loss { blame: Blame::Unknown, .. })) => {
                self.ask_once(trying, id, request)
            }
            other => other,
        }
    }

    /// Asks the trainer, which is started if it is not there.
    fn ask_once(&mut self, trying: &Trying, id: u64, request: &Request) -> Result<Answer, Failure> {
        let (watch, label) = (&mut *self.watch, self.label);
        (watch.report)(label, trying, 0.0);
        self.pool.acquire(FIRST)?;
        let answer = self.pool.ask(FIRST, id, request, |done| {
            if let Some(done) = done {
                (watch.report)(label, trying, done);
            }
            if (watch.stop)() { Err(SessionError::Stopped) } else { Ok(()) }
        });
        answer?.map_err(Failure::Model)
    }

    /// Has a model score images.
    pub(super) fn score(
        &mut self,
        trying: &Trying,
        model: &ModelRequest,
        (images, indices): (&ImageSet, &[u32]),
        batch: u32,
    ) -> Result<ScoredAnswer, Failure> {
        let id = self.pool.next_id();
        let inbox = self.inbox()?;
        let request = ScoreRequest {
            id,
            model: model.clone(),
            images: inbox.give("tried", &images.gather(indices)?)?,
            count: u32::try_from(indices.len()).unwrap_or(0),
            batch,
            dtype: self.dtype,
            device: self.pool.device(FIRST),
            threads: self.threads,
            staging: inbox.path().to_owned(),
        };
        match self.ask(trying, id, &Request::Score(Box::new(request)))? {
            Answer::Scored(answer) => Ok(answer),
            other => Err(Failure::of_model(format!("the trainer said {other:?}"))),
        }
    }

    /// Has a model craft images along `chains`, whose labels are these.
    pub(super) fn craft(
        &mut self,
        trying: &Trying,
        model: &ModelRequest,
        (images, indices): (&ImageSet, &[u32]),
        (labels, chains): (Vec<u16>, Vec<Chain>),
    ) -> Result<CraftedAnswer, Failure> {
        let id = self.pool.next_id();
        let inbox = self.inbox()?;
        let request = CraftRequest {
            id,
            model: model.clone(),
            images: inbox.give("clean", &images.gather(indices)?)?,
            count: u32::try_from(indices.len()).unwrap_or(0),
            labels,
            targets: Vec::new(),
            chains,
            dtype: self.dtype,
            device: self.pool.device(FIRST),
            threads: self.threads,
            staging: inbox.path().to_owned(),
            measure: *trying == Trying::Cost,
        };
        match self.ask(trying, id, &Request::Craft(Box::new(request)))? {
            Answer::Crafted(answer) => Ok(answer),
            other => Err(Failure::of_model(format!("the trainer said {other:?}"))),
        }
    }
}
