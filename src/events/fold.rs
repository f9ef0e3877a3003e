//! Folds: state that follows from the events of a log, and from nothing else.

use std::convert::Infallible;

use super::codec::Recorded;

/// State that follows from recorded events. Folded again from the first event, it is the same.
pub trait Fold {
    /// Why an event is refused; [`Infallible`] for folds that refuse none.
    type Error;

    /// Takes in the next event.
    ///
    /// # Errors
    /// [`Fold::Error`] if the event cannot follow those before it; the state is then undefined.
    fn apply(&mut self, recorded: &Recorded) -> Result<(), Self::Error>;

    /// The state after a stream of events.
    ///
    /// # Errors
    /// [`Fold::Error`] of the first event that is refused.
    fn folded<'a>(
        mut self,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Self, Self::Error>
    where
        Self: Sized,
    {
        events.into_iter().try_for_each(|recorded| self.apply(recorded))?;
        Ok(self)
    }
}

/// A fold that refuses no event, as a function of events.
pub fn folding<F: Fold<Error = Infallible>>(fold: &mut F) -> impl FnMut(&Recorded) {
    |recorded| {
        let Ok(()) = fold.apply(recorded);
    }
}

/// A fold, or why it ended: once it has refused an event, it takes in no other.
impl<F: Fold> Fold for Result<F, F::Error> {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        if let Ok(fold) = self
            && let Err(error) = fold.apply(recorded)
        {
            *self = Err(error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, TrialLost};
    use super::*;

    /// Adds up ordinals, and refuses 0.
    #[derive(Debug, Default, PartialEq)]
    struct Sum(u32);

    impl Fold for Sum {
        type Error = String;

        fn apply(&mut self, recorded: &Recorded) -> Result<(), String> {
            let trial = recorded.event.trial().filter(|&trial| trial > 0);
            self.0 += trial.ok_or_else(|| format!("no trial after {}", self.0))?;
            Ok(())
        }
    }

    #[test]
    fn a_refused_event_ends_a_fold() {
        let lost = |trial| Recorded::unplaced(Event::from(TrialLost { trial }));
        let events = [2, 3, 0, 4].map(lost);
        assert_eq!(Sum::default().folded(&events[..2]), Ok(Sum(5)));
        assert_eq!(Sum::default().folded(&events), Err("no trial after 5".to_owned()));
        let Ok(kept) = Ok(Sum::default()).folded(&events);
        assert_eq!(kept, Err("no trial after 5".to_owned()));
    }
}
