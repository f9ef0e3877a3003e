//! Reading a log ahead of the fold: one thread reads, checks and decodes, the other folds. Each
//! takes about half of the time that building a read model takes.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

use super::ViewError;
use super::query::decoded;
use crate::events::Recorded;
use crate::events::frame::{Head, Position};
use crate::log::{LogError, Reader as LogReader, read_on};

/// Events read in one go.
const CHUNK: usize = 1_000;
/// Events handed over together, and folded in one transaction. Three of these are in memory.
const LEG: usize = 10_000;

/// Events in the order of the log, and the head after them; or why there are no more.
pub(super) type Leg = Result<(Vec<Recorded>, Head), ViewError>;

/// What is read ahead.
pub(super) struct Ahead {
    /// The legs, in order. Dropping it ends the reader.
    pub(super) legs: Receiver<Leg>,
    /// Takes events back: who allocated them frees them with less work than anybody else.
    pub(super) done: Sender<Vec<Recorded>>,
}

/// Reads on from `from` up to `target` in a thread of its own.
/// `foreign` is the error that the log is not the one of which `from` is a head.
///
/// # Errors
/// [`ViewError::Io`] if there can be no other thread.
pub(super) fn read_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    log: LogReader,
    (from, target): (Head, Head),
    foreign: ViewError,
) -> Result<Ahead, ViewError> {
    let (legs, receiver) = sync_channel(1);
    let (done, used) = channel();
    let read = move || {
        let mut reader = Reader { log, head: from, target, legs, used };
        if let Err(error) = reader.run(foreign) {
            // Nobody may listen any more, which is as well.
            let _ = reader.legs.send(Err(error));
        }
    };
    std::thread::Builder::new().spawn_scoped(scope, read).map_err(ViewError::thread)?;
    Ok(Ahead { legs: receiver, done })
}

struct Reader {
    log: LogReader,
    head: Head,
    target: Head,
    legs: SyncSender<Leg>,
    used: Receiver<Vec<Recorded>>,
}

impl Reader {
    fn run(&mut self, foreign: ViewError) -> Result<(), ViewError> {
        if !self.is_of_this_log()? {
            return Err(foreign);
        }
        while self.head.position < self.target.position {
            let events = self.leg()?;
            if events.is_empty() {
                break;
            }
            if self.legs.send(Ok((events, self.head))).is_err() {
                break; // nobody listens any more
            }
        }
        Ok(())
    }

    fn is_of_this_log(&mut self) -> Result<bool, LogError> {
        let Head { position, chain } = self.head;
        let Some(before) = position.0.checked_sub(1) else { return Ok(true) };
        let frames = self.log.read(Position(before), 1)?;
        let view = frames.first().and_then(|frame| frame.view(position).ok());
        Ok(view.is_some_and(|view| view.chain == chain))
    }

    fn leg(&mut self) -> Result<Vec<Recorded>, ViewError> {
        let mut events = Vec::with_capacity(LEG);
        while events.len() < LEG && self.head.position < self.target.position {
            let (frames, next) = read_on(&mut self.log, self.head, CHUNK)?;
            if frames.is_empty() {
                break;
            }
            events.extend(decoded(self.head.position, &frames)?);
            self.head = next;
            self.used.try_iter().for_each(drop);
        }
        Ok(events)
    }
}
