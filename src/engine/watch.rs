//! Whoever watches while models are tried and measured, before an attack on them is recorded: sees
//! what is done, and may stop it.

use std::fmt;

use super::EngineError;
use super::faults::MARGIN;
use super::session::SessionError;
use super::workplace::{Lost, Workplace};
use crate::adversary::range::InputRange;
use crate::trainer::protocol::{Answer, Request};

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

impl Watch<'_> {
    /// Asks the trainer, which is started if it is not there. Inside, why there is no answer.
    pub(super) fn ask(
        &mut self,
        workplace: &mut Workplace,
        (label, trying): (&str, &Trying),
        request: &Request,
        id: u64,
    ) -> Result<Result<Answer, Lost>, SessionError> {
        (self.report)(label, trying, 0.0);
        workplace.muster()?;
        let asked = workplace.ask(request, id, |done| {
            if (self.stop)() {
                return Err(SessionError::Stopped);
            }
            if let Some(done) = done {
                (self.report)(label, trying, done);
            }
            Ok(())
        });
        if asked.is_err() {
            workplace.dismiss(""); // in the middle of a request that nobody waits for
        }
        asked
    }
}

/// The error for a model that cannot be attacked, unless the machine is to blame.
pub(super) fn refused(workplace: &mut Workplace, label: &str, why: &str) -> SessionError {
    if let Err(fault) = workplace.look_for_faults(MARGIN) {
        return EngineError::from(fault).into();
    }
    let how = match &workplace.trainer {
        // A trainer that refuses lives on.
        Some(_) => "cannot be attacked",
        None if workplace.hung => {
            return SessionError::Hung { label: label.to_owned(), why: why.to_owned() };
        }
        None => "makes the trainer crash, so it cannot be attacked",
    };
    SessionError::Settings(format!("{label} {how}: {why}"))
}
