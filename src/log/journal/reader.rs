//! Reading the journal without a lock, up to the end that `HEAD` acknowledges.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::record::{self, Flaw, Header, SEGMENT_HEADER_LEN};
use super::{damage, open, segments};
use crate::events::frame::{Frame, Head, Position};
use crate::log::files::{failed, is_there};
use crate::log::head;
use crate::log::{EventLog, LogError, Store};

/// Bytes read in one go.
const BLOCK: usize = 256 << 10;

/// A log that is only read. It takes no lock, opens no sled and writes nothing, so that it can
/// neither wait for anybody nor keep anybody waiting.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    /// The acknowledged end when it was last looked at.
    end: Head,
    cursor: Option<Cursor>,
}

/// A place in a segment.
#[derive(Debug)]
struct Cursor {
    file: File,
    segment: Position,
    /// Bytes of the segment, from `offset` on.
    block: Vec<u8>,
    /// The first byte in `block` that was not taken.
    taken: usize,
    /// Offset of `block` in the file.
    offset: u64,
    /// Frames of the last record, not handed out yet.
    frames: VecDeque<Frame>,
    /// Position of the first one in `frames`, or of the next record.
    next: Position,
}

impl Reader {
    /// A reader of the log in `store`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] or [`LogError::Io`] if `HEAD` cannot be read.
    pub fn open(store: &Store) -> Result<Self, LogError> {
        let mut reader = Self::up_to(store, Head::default());
        reader.end = head::read(&store.head_path())?.record.head;
        Ok(reader)
    }

    /// A reader up to an end that is known already.
    pub(in crate::log) fn up_to(store: &Store, end: Head) -> Self {
        Self { store: store.clone(), end, cursor: None }
    }

    /// The store this log is in.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The end of the log by now.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn head(&mut self) -> Result<Head, LogError> {
        let end = head::read(&self.store.head_path())?.record.head;
        // Another reading of `HEAD` may be one acknowledgement older.
        if end.position >= self.end.position {
            self.end = end;
        }
        Ok(self.end)
    }

    /// Up to `max` frames after position `after`, in order, each from a record with a valid checksum;
    /// none at the end of the log. The chain is followed by whoever uses them ([`super::super::read_on`]).
    ///
    /// # Errors
    /// [`LogError::Damaged`] naming the first bad position; [`LogError::Io`] if the system refuses.
    pub fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        if after >= self.end.position && after >= self.head()?.position {
            return Ok(Vec::new());
        }
        let left = usize::try_from(self.end.position.0 - after.0).unwrap_or(usize::MAX);
        self.read_within(after, max.min(left))
    }

    /// Exactly `wanted` frames after `after`.
    pub(in crate::log) fn read_within(
        &mut self,
        after: Position,
        wanted: usize,
    ) -> Result<Vec<Frame>, LogError> {
        let mut frames = Vec::with_capacity(wanted.min(10_000));
        let mut next = after.next();
        while frames.len() < wanted {
            let mut cursor = match self.cursor.take() {
                Some(cursor) if cursor.next == next => cursor,
                _ => Cursor::seek(&self.store, next)?,
            };
            cursor.take(&self.store, wanted - frames.len(), &mut frames)?;
            next = cursor.next;
            self.cursor = Some(cursor);
        }
        Ok(frames)
    }
}

impl EventLog for Reader {
    fn head(&mut self) -> Result<Head, LogError> {
        Self::head(self)
    }

    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        Self::read(self, after, max)
    }

    fn append(&mut self, _: Head, _: &[Frame]) -> Result<Head, LogError> {
        Err(LogError::ReadOnly)
    }
}

impl Cursor {
    /// A cursor at the event at `next`.
    fn seek(store: &Store, next: Position) -> Result<Self, LogError> {
        let folder = store.journal_folder();
        let all = segments(&folder)?;
        let Some(&segment) = all.iter().rev().find(|first| **first <= next) else {
            return Err(damage(&folder, next, next, "the journal has no segment with this event"));
        };
        let mut cursor = Self::begin(store, segment)?;
        while cursor.next < next {
            cursor.fill(store)?;
            let skip = usize::try_from(next.0 - cursor.next.0).unwrap_or(usize::MAX);
            let skip = skip.min(cursor.frames.len());
            drop(cursor.frames.drain(..skip));
            cursor.next = Position(cursor.next.0 + skip as u64);
        }
        Ok(cursor)
    }

    /// A cursor at the first event of a segment.
    fn begin(store: &Store, segment: Position) -> Result<Self, LogError> {
        let folder = store.journal_folder();
        let file = open(&folder, segment)?;
        let (block, frames) = (Vec::new(), VecDeque::new());
        let mut cursor = Self { file, segment, block, taken: 0, offset: 0, frames, next: segment };
        cursor.more(store, SEGMENT_HEADER_LEN)?;
        match Header::parse(&cursor.block) {
            Ok(header) if header.store != store.id() => {
                Err(damage(&folder, segment, segment, "the segment is of another store"))
            }
            Ok(header) if header.before.position.next() != segment => {
                Err(damage(&folder, segment, segment, "the segment has another file's name"))
            }
            Ok(_) => {
                cursor.taken = SEGMENT_HEADER_LEN;
                Ok(cursor)
            }
            Err(flaw) => Err(damage(&folder, segment, segment, flaw.to_string())),
        }
    }

    /// Moves at least one frame, and at most `most`, to `out`.
    fn take(&mut self, store: &Store, most: usize, out: &mut Vec<Frame>) -> Result<(), LogError> {
        if self.frames.is_empty() {
            // Whole records go straight there.
            if let Ok(record) = record::parse(&self.block[self.taken..])
                && record.first == self.next
                && record.count <= most
            {
                out.extend(record.positioned().map(|(_, frame)| Frame(frame.to_vec())));
                self.taken += record.size();
                self.next = record.last().next();
                return Ok(());
            }
            self.fill(store)?;
        }
        let take = most.min(self.frames.len());
        out.extend(self.frames.drain(..take));
        self.next = Position(self.next.0 + take as u64);
        Ok(())
    }

    /// Makes sure that there is a frame: parses the next record, in the next segment if this one
    /// is at its end.
    fn fill(&mut self, store: &Store) -> Result<(), LogError> {
        let folder = store.journal_folder();
        let mut needed = record::RECORD_OVERHEAD;
        while self.frames.is_empty() {
            let there = self.more(store, needed)?;
            match record::parse(&self.block[self.taken..]) {
                Ok(record) if record.first == self.next => {
                    let frames = record.positioned().map(|(_, frame)| Frame(frame.to_vec()));
                    self.frames.extend(frames);
                    self.taken += record.size();
                }
                Ok(record) => {
                    let found = format!("event {} stands in its place", record.first);
                    return Err(damage(&folder, self.segment, self.next, found));
                }
                // Room for more: the record was not read whole yet.
                Err(Flaw::Short { needed: all }) if there >= needed && all > needed => needed = all,
                Err(_) if there == 0 && is_there(&super::path(&folder, self.next))? => {
                    *self = Self::begin(store, self.next)?;
                    needed = record::RECORD_OVERHEAD;
                }
                Err(Flaw::Short { .. }) if there == 0 => {
                    let found = "the journal ends before this event, which was acknowledged";
                    return Err(damage(&folder, self.segment, self.next, found));
                }
                Err(flaw) => {
                    return Err(damage(&folder, self.segment, self.next, flaw.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Reads on until at least `needed` bytes are there that were not taken, or the file ends.
    /// Returns how many there are.
    fn more(&mut self, store: &Store, needed: usize) -> Result<usize, LogError> {
        while self.block.len() - self.taken < needed {
            self.block.drain(..self.taken);
            self.offset += self.taken as u64;
            self.taken = 0;
            let had = self.block.len();
            self.block.resize(had + BLOCK.max(needed - had), 0);
            let path = super::path(&store.journal_folder(), self.segment);
            let read = self.file.read_at(&mut self.block[had..], self.offset + had as u64);
            let read = read.map_err(failed("read", &path))?;
            self.block.truncate(had + read);
            if read == 0 {
                break;
            }
        }
        Ok(self.block.len() - self.taken)
    }
}
