//! The journal: events in, events out, over any log.
//!
//! It stamps, encodes and seals what is to be recorded, follows what others recorded in the
//! meantime, and hands everything new to an observer (the read model) once it is durable.

use crate::events::codec::{CodecError, decode, decode_of, encode};
use crate::events::frame::{Frame, FrameError, Head, Position, seal};
use crate::events::{Event, Recorded, Scope};
use crate::log::{EventLog, LogError};

/// Frames read at a time.
const CHUNK: usize = 1_000;

/// When a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Once it is recorded.
    Now,
    /// With one of the next [`RELAXED_MAX`] at the latest. For what counts for nothing before a
    /// closing event, which is recorded durably.
    Soon,
}

/// What others may have recorded since this process last read on, so that a batch is recorded all
/// the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Despite {
    /// Nothing: the batch follows from all that was read, as a new number does.
    Nothing,
    /// What belongs to other searches, runs and attacks: the batch follows from the state of its own.
    OtherScopes,
    /// Anything: the batch is a fact that nothing takes back.
    Anything,
}

/// Batches that are made durable together.
pub const RELAXED_MAX: usize = 10;

/// Sees every event once it is durable, in the order of the log.
pub trait Observer {
    /// New events, and the head after them.
    fn recorded(&mut self, events: &[Recorded], head: Head);
}

impl Observer for () {
    fn recorded(&mut self, _: &[Recorded], _: Head) {}
}

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An event that cannot be encoded: a mistake in this program.
    #[error(transparent)]
    Encode(CodecError),
    /// An event in the log that cannot be read.
    #[error("event {position}: {source}")]
    Decode {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: CodecError,
    },
}

/// The way into a log.
pub struct Journal<L> {
    log: L,
    head: Head,
    clock: fn() -> i64,
    observer: Box<dyn Observer>,
    /// Recorded by this process; the first `shown` are durable, and the observer has seen them.
    recorded: Vec<Recorded>,
    shown: usize,
    /// Batches that the observer has not seen.
    batches: usize,
}

impl<L> std::fmt::Debug for Journal<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<L: EventLog> Journal<L> {
    /// A journal over `log`, before its first event. `clock` tells milliseconds since 1970.
    pub fn new(log: L, clock: fn() -> i64, observer: Box<dyn Observer>) -> Self {
        let (head, recorded) = (Head::default(), Vec::new());
        Self { log, head, clock, observer, recorded, shown: 0, batches: 0 }
    }

    /// Reads on to the end of the log, handing each new event to `fold`. Checks the chain.
    ///
    /// # Errors
    /// [`JournalError`] if the log cannot be read, or holds what is no event.
    pub fn catch_up(&mut self, mut fold: impl FnMut(&Recorded)) -> Result<(), JournalError> {
        loop {
            let frames = self.log.read(self.head.position, CHUNK)?;
            if frames.is_empty() {
                return Ok(());
            }
            let mut events = Vec::with_capacity(frames.len());
            for frame in &frames {
                let recorded = self.follow(frame)?;
                fold(&recorded);
                events.push(recorded);
            }
            self.observer.recorded(&events, self.head);
        }
    }

    /// Reads what is known of the log again, from its first event.
    ///
    /// # Errors
    /// [`JournalError`] if the log cannot be read, or holds what is no event.
    pub fn reread(&mut self, fold: impl FnMut(&Recorded)) -> Result<(), JournalError> {
        let all = (Position(1), self.head.position);
        self.read_again(all, |position, frame| decode(position, frame).map(Some), fold)
    }

    /// Reads again what is known of a scope whose events lie between two positions.
    ///
    /// # Errors
    /// As [`Journal::reread`].
    pub fn reread_of(
        &mut self,
        scope: Scope,
        between: (Position, Position),
        fold: impl FnMut(&Recorded),
    ) -> Result<(), JournalError> {
        self.read_again(between, |position, frame| decode_of(scope, position, frame), fold)
    }

    /// Folds the events from the first to the last position that `decode` returns.
    fn read_again(
        &mut self,
        (first, last): (Position, Position),
        decode: impl Fn(Position, &Frame) -> Result<Option<Recorded>, CodecError>,
        mut fold: impl FnMut(&Recorded),
    ) -> Result<(), JournalError> {
        let mut position = Position(first.0.saturating_sub(1));
        while position < last {
            let frames = self.log.read(position, CHUNK)?;
            if frames.is_empty() {
                return Ok(());
            }
            for frame in &frames {
                position = position.next();
                let wrong = |source| JournalError::Decode { position, source };
                decode(position, frame).map_err(wrong)?.iter().for_each(&mut fold);
            }
        }
        Ok(())
    }

    fn follow(&mut self, frame: &Frame) -> Result<Recorded, JournalError> {
        let position = self.head.position.next();
        let wrong = |source| JournalError::Decode { position, source };
        let follows = frame.view(position).and_then(|view| view.follows(self.head));
        let head = follows.map_err(|error: FrameError| wrong(error.into()))?;
        let recorded = decode(position, frame).map_err(wrong)?;
        self.head = head;
        Ok(recorded)
    }

    /// Records a batch, durably, which was decided from the state of its scope. What others recorded
    /// in the meantime is handed to `fold` first; if some of it is of the same scope, the batch is
    /// not recorded (`None`), and has to be decided again.
    ///
    /// # Errors
    /// [`JournalError`]; the batch is then not recorded, or the log must be reopened.
    pub fn record(
        &mut self,
        scope: Scope,
        events: &[Event],
        fold: impl FnMut(&Recorded),
    ) -> Result<Option<&[Recorded]>, JournalError> {
        self.put(scope, events, Durable::Now, Despite::OtherScopes, fold)
    }

    /// Records a batch that is durable when `durable` says, `despite` what others recorded in the
    /// meantime, which is handed to `fold` first. `None`: it is not recorded.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub fn put(
        &mut self,
        scope: Scope,
        events: &[Event],
        durable: Durable,
        despite: Despite,
        mut fold: impl FnMut(&Recorded),
    ) -> Result<Option<&[Recorded]>, JournalError> {
        let at = (self.clock)();
        let payloads: Result<Vec<_>, _> =
            events.iter().map(|event| encode(at, scope, event)).collect();
        let payloads = payloads.map_err(JournalError::Encode)?;
        let now = durable == Durable::Now || self.batches + 1 >= RELAXED_MAX;
        let end = loop {
            let (mut head, mut frames) = (self.head, Vec::with_capacity(payloads.len()));
            for payload in &payloads {
                let (frame, next) =
                    seal(head, payload).map_err(|e| JournalError::Encode(e.into()))?;
                frames.push(frame);
                head = next;
            }
            let appended = match now {
                true => self.log.append(self.head, &frames),
                false => self.log.append_relaxed(self.head, &frames),
            };
            match appended {
                Ok(end) => break end,
                Err(LogError::Conflict { .. }) => {
                    // Somebody else appended, which happens only once all of it is durable.
                    self.show();
                    let mut overtaken = despite == Despite::Nothing;
                    self.catch_up(|recorded| {
                        overtaken |= despite == Despite::OtherScopes && recorded.scope == scope;
                        fold(recorded);
                    })?;
                    if overtaken {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        drop(self.recorded.drain(..self.shown));
        self.shown = 0;
        let first = self.recorded.len();
        let positions = (self.head.position.0 + 1..).map(Position);
        let recorded = events.iter().zip(positions);
        let recorded = recorded.map(|(event, position)| Recorded {
            position,
            at,
            scope,
            event: event.clone(),
        });
        self.recorded.extend(recorded);
        self.batches += 1;
        self.head = end;
        if now {
            self.show();
        }
        Ok(Some(&self.recorded[first..]))
    }

    /// Shows the observer what is durable by now.
    fn show(&mut self) {
        self.batches = 0;
        let new = &self.recorded[self.shown..];
        if !new.is_empty() {
            self.observer.recorded(new, self.head);
        }
        self.shown = self.recorded.len();
    }

    /// The last position read or recorded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// The log itself.
    pub fn log(&mut self) -> &mut L {
        &mut self.log
    }

    /// Gives the log back, for example to close it.
    pub fn into_log(self) -> L {
        self.log
    }
}
