//! The end of the journal: finding it, following what others append, appending.
//!
//! Everything here is done under the lock of the log.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use super::record::{self, Flaw, Header, SEGMENT_HEADER_LEN, resync};
use super::{SEGMENT_FULL, damage, path, segments};
use crate::events::frame::{Chain, Frame, Head, Position};
use crate::log::files::{failed, is_there, sync_folder};
use crate::log::plain::open_with;
use crate::log::store::StoreId;
use crate::log::{LogError, Store};

/// The end of the journal, open for appending.
#[derive(Debug)]
pub(in crate::log) struct Tail {
    folder: PathBuf,
    store: StoreId,
    last: Option<Segment>,
    end: Head,
}

/// The last segment.
#[derive(Debug)]
struct Segment {
    file: File,
    first: Position,
    /// Bytes up to the end of its last whole record.
    length: u64,
    /// Which file it is: another one may have been put in its place, to mend it.
    inode: u64,
}

/// Bytes behind the last whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log) struct Rest {
    /// What is wrong with them.
    pub(in crate::log) found: String,
    /// Whether a whole record follows: then this is damage, because at most one record is ever
    /// written and not yet durable.
    pub(in crate::log) goes_on: bool,
}

/// What following gave.
#[derive(Debug)]
pub(in crate::log) struct Followed {
    /// Bytes behind the last whole record.
    pub(in crate::log) rest: Option<Rest>,
}

impl Tail {
    /// Finds the end. What follows the last whole record, if anything, is returned too and left
    /// as it is. `chain_at` asks for the chain at a position in the last segment.
    pub(in crate::log) fn find(
        store: &Store,
        chain_at: Position,
    ) -> Result<(Self, Option<Rest>, Option<Chain>), LogError> {
        let (folder, id) = (store.journal_folder(), store.id());
        let mut tail = Self { folder, store: id, last: None, end: Head::default() };
        for first in segments(&tail.folder)?.into_iter().rev() {
            let path = path(&tail.folder, first);
            let options = OpenOptions::new().read(true).write(true).clone();
            let file = open_with(&path, &options).map_err(failed("open", &path))?;
            let bytes = read_from(&file, 0).map_err(failed("read", &path))?;
            // A segment whose creation was cut short holds nothing. It goes when the next one is
            // created; what is before it is the end.
            if bytes.len() < SEGMENT_HEADER_LEN || bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let header = match Header::parse(&bytes) {
                Ok(header) if header.store != id => Err("it is of another store".to_owned()),
                Ok(header) if header.before.position.next() != first => {
                    Err("it has another file's name".to_owned())
                }
                Ok(header) => Ok(header),
                Err(flaw) => Err(flaw.to_string()),
            };
            let header = match header {
                Ok(header) => header,
                Err(found) => {
                    // Where the end is cannot be told from here.
                    let before = Position(first.0 - 1);
                    tail.end = Head { position: before, chain: Chain::default() };
                    return Ok((tail, Some(Rest { found, goes_on: true }), None));
                }
            };
            let scan = Scan::of(&bytes[SEGMENT_HEADER_LEN..], header.before, chain_at);
            tail.end = scan.end;
            let length = (SEGMENT_HEADER_LEN + scan.length) as u64;
            let inode = inode_of(&file).map_err(failed("read", &path))?;
            tail.last = Some(Segment { file, first, length, inode });
            return Ok((tail, scan.rest, scan.chain));
        }
        Ok((tail, None, None))
    }

    /// The last event.
    pub(in crate::log) const fn end(&self) -> Head {
        self.end
    }

    /// Takes in what other processes have appended since. `None` if the end has to be found anew,
    /// because the last segment is another file by now.
    pub(in crate::log) fn follow(&mut self) -> Result<Option<Followed>, LogError> {
        let followed = |rest| Ok(Some(Followed { rest }));
        if let Some(last) = &mut self.last {
            let path = path(&self.folder, last.first);
            let there = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
            if there.ino() != last.inode {
                return Ok(None);
            }
            if there.len() != last.length {
                let bytes = read_from(&last.file, last.length).map_err(failed("read", &path))?;
                let scan = Scan::of(&bytes, self.end, Position(0));
                self.end = scan.end;
                last.length += scan.length as u64;
                if scan.rest.is_some() {
                    return followed(scan.rest);
                }
            }
        }
        // A full segment is never appended to: the next one bears the name of the next event.
        while let Some(next) = self.begun()? {
            let scan = Scan::of(&next.1[SEGMENT_HEADER_LEN..], self.end, Position(0));
            self.end = scan.end;
            let length = (SEGMENT_HEADER_LEN + scan.length) as u64;
            self.last = Some(Segment { length, ..next.0 });
            if scan.rest.is_some() || scan.length == 0 {
                return followed(scan.rest);
            }
        }
        followed(None)
    }

    /// The segment that begins at the next event, if there is one.
    fn begun(&self) -> Result<Option<(Segment, Vec<u8>)>, LogError> {
        let first = self.end.position.next();
        // Only a full segment is left behind.
        let open = |last: &Segment| last.first == first || last.length < SEGMENT_FULL;
        if self.last.as_ref().is_some_and(open) {
            return Ok(None);
        }
        let path = path(&self.folder, first);
        if !is_there(&path)? {
            return Ok(None);
        }
        let options = OpenOptions::new().read(true).write(true).clone();
        let file = open_with(&path, &options).map_err(failed("open", &path))?;
        let bytes = read_from(&file, 0).map_err(failed("read", &path))?;
        let ours = |header: Header| header.store == self.store && header.before == self.end;
        let inode = inode_of(&file).map_err(failed("read", &path))?;
        let whole = Header::parse(&bytes).is_ok_and(ours);
        Ok(whole.then_some((Segment { file, first, length: 0, inode }, bytes)))
    }

    /// Removes what follows the last whole record: a write that was cut short.
    pub(in crate::log) fn cut(&mut self) -> Result<(), LogError> {
        let Some(last) = &self.last else { return Ok(()) };
        let cut = last.file.set_len(last.length).and_then(|()| last.file.sync_all());
        cut.map_err(failed("shorten", &path(&self.folder, last.first)))
    }

    /// Makes all of it durable: written by a process that ended before it did so itself.
    pub(in crate::log) fn sync(&self) -> Result<(), LogError> {
        let Some(last) = &self.last else { return Ok(()) };
        last.file.sync_data().map_err(failed("sync", &path(&self.folder, last.first)))
    }

    /// Whether the next append begins a new segment.
    pub(in crate::log) fn is_full(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.length >= SEGMENT_FULL)
    }

    /// Appends one record, durable on return. `end` is the head after its frames.
    ///
    /// After an error what is on disk is known only after finding the end again.
    pub(in crate::log) fn append(&mut self, frames: &[Frame], end: Head) -> Result<(), LogError> {
        if self.is_full() {
            self.last = Some(self.begin()?);
        }
        let Some(last) = &mut self.last else { return Err(LogError::Poisoned) };
        let bytes = record::encode(self.end.position.next(), frames);
        let written =
            last.file.write_all_at(&bytes, last.length).and_then(|()| last.file.sync_data());
        if let Err(error) = written {
            // The batch was not acknowledged; best effort to leave nothing of it.
            let _ = last.file.set_len(last.length);
            return Err(failed("append to", &path(&self.folder, last.first))(error));
        }
        last.length += bytes.len() as u64;
        self.end = end;
        Ok(())
    }

    /// Makes the next segment: its header and its name are durable before it is used. One whose
    /// creation was cut short is written anew.
    fn begin(&self) -> Result<Segment, LogError> {
        let first = self.end.position.next();
        let path = path(&self.folder, first);
        let options = OpenOptions::new().read(true).write(true).create(true).clone();
        let file = open_with(&path, &options).map_err(failed("create", &path))?;
        let there = file.metadata().map_err(failed("look at", &path))?;
        if there.len() > SEGMENT_HEADER_LEN as u64 {
            let found = "a segment that does not continue the log has the name of the next one";
            return Err(damage(&self.folder, first, first, found));
        }
        let length = SEGMENT_HEADER_LEN as u64;
        let header = Header { store: self.store, before: self.end }.encode();
        let write = file.write_all_at(&header, 0).and_then(|()| file.sync_all());
        write.map_err(failed("create", &path))?;
        sync_folder(&self.folder)?;
        let inode = inode_of(&file).map_err(failed("read", &path))?;
        Ok(Segment { file, first, length, inode })
    }
}

fn inode_of(file: &File) -> std::io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Whole records, one after another.
struct Scan {
    end: Head,
    /// Bytes of the whole records.
    length: usize,
    rest: Option<Rest>,
    chain: Option<Chain>,
}

impl Scan {
    /// Follows the records in `bytes`, which begin behind `before`.
    fn of(bytes: &[u8], before: Head, chain_at: Position) -> Self {
        let (mut end, mut length) = (before, 0);
        let mut chain = (before.position == chain_at).then_some(before.chain);
        while length < bytes.len() {
            let found = match record::parse(&bytes[length..]) {
                Ok(record) if record.first == end.position.next() => {
                    if (record.first..=record.last()).contains(&chain_at) {
                        let at = record.positioned().find(|(position, _)| *position == chain_at);
                        chain = at.and_then(|(_, frame)| chain_of(frame));
                    }
                    // Checked by its checksum; the chain is followed by whoever reads.
                    end = record.end().unwrap_or(end);
                    length += record.size();
                    continue;
                }
                Ok(record) => format!("event {} stands in its place", record.first),
                Err(Flaw::Short { .. }) => "a record is cut short".to_owned(),
                Err(flaw) => flaw.to_string(),
            };
            let goes_on = resync(&bytes[length..], end.position.next()).is_some();
            return Self { end, length, rest: Some(Rest { found, goes_on }), chain };
        }
        Self { end, length, rest: None, chain }
    }
}

/// The chain hash that a frame says it has.
pub(in crate::log) fn chain_of(frame: &[u8]) -> Option<Chain> {
    frame.split_last_chunk::<4>()?.0.last_chunk::<32>().copied().map(Chain)
}

/// All bytes of a file from an offset on.
pub(super) fn read_from(file: &File, offset: u64) -> std::io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut there = 0;
    while there < bytes.len() {
        match file.read_at(&mut bytes[there..], offset + there as u64) {
            Ok(0) => break,
            Ok(read) => there += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(there);
    Ok(bytes)
}
