//! `HEAD`: how far the log was acknowledged, and whether it was closed.
//!
//! It is written after the journal is durable, so it never names an event that could be lost, and
//! readers, who take no lock, read up to what it names. Only closing makes it durable itself: after
//! a power cut it may lag behind the journal, whose end is the truth. It is also how a missing end
//! of the journal is noticed.
//!
//! It has two slots, written in turn, so that a write cut short leaves the other one: the state one
//! acknowledgement earlier.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::Damage;
use super::files::failed;
use super::plain::{open_plain, open_with};
use super::{Kind, LogError};
use crate::events::frame::{Chain, Head, Position};

/// Offsets of the slots: a page apart, so that no write touches both.
const SLOTS: [u64; 2] = [0, 4096];
/// Length of the file: allocated whole at creation, so that no later write needs space.
const FILE_LEN: usize = 8192;
/// Length of a slot, checksum included.
const SLOT_LEN: usize = 80;
/// Where the second slot ends.
const SLOTS_END: usize = 4096 + SLOT_LEN;
/// First bytes of a slot: name and layout version.
const MAGIC: [u8; 8] = *b"qtHEAD\0\x01";

/// Whether a process has the log open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Closed properly: everything was on disk before this was written.
    Closed,
    /// In use by this process, or it ended without closing.
    Open {
        /// Process id.
        pid: u32,
    },
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Counts writes; the higher of two valid slots holds.
    pub serial: u64,
    /// The last acknowledged event.
    pub head: Head,
    /// Open or closed.
    pub state: State,
}

/// What reading `HEAD` gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The newest valid slot.
    pub record: Record,
    /// Whether the other slot is valid too. If not, a write was cut short, or a byte decayed.
    pub both_valid: bool,
}

/// Reads `HEAD` without a lock. A slot is written with one system call, but nothing promises that
/// it is also seen whole; a reading with an invalid slot is therefore repeated.
///
/// # Errors
/// [`LogError::Damaged`] if the file is missing or no slot is valid; [`LogError::Io`].
pub fn read(path: &Path) -> Result<Reading, LogError> {
    let file = open_plain(path);
    let file = file.map_err(|error| unopened(path, error))?;
    match slots(&file, path).and_then(|slots| newest(slots, path)) {
        Ok((reading, _)) if reading.both_valid => Ok(reading),
        Err(error) if error.kind() != Kind::Damaged => Err(error),
        Ok(_) | Err(_) => {
            std::thread::sleep(std::time::Duration::from_millis(2));
            newest(slots(&file, path)?, path).map(|(reading, _)| reading)
        }
    }
}

/// `HEAD`, open for writing. Only whoever holds the log does this.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    path: PathBuf,
    /// The slot that holds; the other one is written next.
    slot: usize,
    serial: u64,
}

impl HeadFile {
    /// Writes the file of an empty, closed log, and makes its bytes (not its name) durable.
    pub(super) fn create(path: &Path) -> Result<(), LogError> {
        super::files::write_new(path, &Self::empty())
    }

    fn empty() -> Vec<u8> {
        let mut bytes = vec![0; FILE_LEN];
        for (serial, at) in [(0, 0), (1, 4096)] {
            let record = Record { serial, head: Head::default(), state: State::Closed };
            bytes[at..at + SLOT_LEN].copy_from_slice(&encode(&record));
        }
        bytes
    }

    /// Opens and reads the file. One that is missing or has no valid slot is made anew, and gives
    /// `None`: the journal has the end too.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Reading>), LogError> {
        let options = OpenOptions::new().read(true).write(true).create(true).clone();
        let file = open_with(path, &options).map_err(failed("open", path))?;
        let (reading, slot) = match newest(slots(&file, path)?, path) {
            Ok((reading, slot)) => (Some(reading), slot),
            Err(LogError::Damaged(_)) => {
                let anew = file.write_all_at(&Self::empty(), 0).and_then(|()| file.sync_all());
                anew.map_err(failed("write", path))?;
                (None, 1)
            }
            Err(error) => return Err(error),
        };
        let serial = reading.map_or(1, |reading| reading.record.serial);
        Ok((Self { file, path: path.to_path_buf(), slot, serial }, reading))
    }

    /// The newest valid slot by now: others write too.
    pub(super) fn read_again(&mut self) -> Result<Record, LogError> {
        let (reading, slot) = newest(slots(&self.file, &self.path)?, &self.path)?;
        (self.slot, self.serial) = (slot, reading.record.serial);
        Ok(reading.record)
    }

    /// Writes the other slot. After an error the old one still holds. The caller holds the lock of
    /// the log and has read the file under it.
    pub(super) fn write(&mut self, head: Head, state: State) -> Result<(), LogError> {
        let (slot, serial) = (1 - self.slot, self.serial + 1);
        let bytes = encode(&Record { serial, head, state });
        let written = self.file.write_all_at(&bytes, SLOTS[slot]);
        written.map_err(failed("write", &self.path))?;
        (self.slot, self.serial) = (slot, serial);
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}

fn unopened(path: &Path, error: io::Error) -> LogError {
    if error.kind() == io::ErrorKind::NotFound {
        return Damage::of_file(path.to_path_buf(), "HEAD is missing").into();
    }
    failed("open", path)(error)
}

/// What the two slots say; `None` where a slot is not valid.
fn slots(file: &File, path: &Path) -> Result<[Option<Record>; 2], LogError> {
    // Both with one system call. What a file cut short does not have stays zero, which is no slot.
    let mut bytes = [0; SLOTS_END];
    let mut there = 0;
    while there < bytes.len() {
        match file.read_at(&mut bytes[there..], there as u64) {
            Ok(0) => break,
            Ok(read) => there += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    let slot = |at: usize| bytes[at..].first_chunk::<SLOT_LEN>().and_then(decode);
    Ok([slot(0), slot(SLOTS_END - SLOT_LEN)])
}

/// The newest valid slot and its number.
fn newest(slots: [Option<Record>; 2], path: &Path) -> Result<(Reading, usize), LogError> {
    let (record, slot) = match slots {
        [Some(first), Some(second)] if second.serial > first.serial => (second, 1),
        [Some(first), _] => (first, 0),
        [None, Some(second)] => (second, 1),
        [None, None] => {
            let found = "neither slot of HEAD has a valid checksum";
            return Err(Damage::of_file(path.to_path_buf(), found).into());
        }
    };
    Ok((Reading { record, both_valid: slots.iter().all(Option::is_some) }, slot))
}

/// Layout: magic 8, serial 8, position 8, chain 32, zeros 16, state and pid 4, CRC32 4.
/// Numbers are little-endian. `state and pid` is 0 when closed: no process has id 0.
fn encode(record: &Record) -> [u8; SLOT_LEN] {
    let pid = match record.state {
        State::Closed => 0,
        State::Open { pid } => pid,
    };
    let mut bytes = Vec::with_capacity(SLOT_LEN);
    bytes.extend(MAGIC);
    bytes.extend(record.serial.to_le_bytes());
    bytes.extend(record.head.position.0.to_le_bytes());
    bytes.extend(record.head.chain.0);
    bytes.extend([0; 16]);
    bytes.extend(pid.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let mut slot = [0; SLOT_LEN];
    slot.copy_from_slice(&bytes);
    slot
}

fn decode(bytes: &[u8; SLOT_LEN]) -> Option<Record> {
    let (checked, stored) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*stored) {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<8>()?;
    let (serial, rest) = rest.split_first_chunk::<8>()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let (chain, rest) = rest.split_first_chunk::<32>()?;
    let (_, pid) = rest.split_first_chunk::<16>()?;
    let pid = u32::from_le_bytes(*pid.first_chunk()?);
    (*magic == MAGIC).then_some(Record {
        serial: u64::from_le_bytes(*serial),
        head: Head { position: Position(u64::from_le_bytes(*position)), chain: Chain(*chain) },
        state: if pid == 0 { State::Closed } else { State::Open { pid } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(position: u64) -> Head {
        Head { position: Position(position), chain: Chain([7; 32]) }
    }

    fn created() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("HEAD");
        HeadFile::create(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn a_new_head_is_closed_and_empty() {
        let (_folder, path) = created();
        let reading = read(&path).unwrap();
        assert_eq!((reading.record.head, reading.record.state), (Head::default(), State::Closed));
    }

    #[test]
    fn the_newest_slot_holds() {
        let (_folder, path) = created();
        for position in 1..=5 {
            let (mut file, _) = HeadFile::open(&path).unwrap();
            file.write(head(position), State::Open { pid: 9 }).unwrap();
            file.write(head(position + 1), State::Open { pid: 9 }).unwrap();
            file.write(head(position), State::Open { pid: 9 }).unwrap();
            let record = read(&path).unwrap().record;
            assert_eq!((record.head, record.state), (head(position), State::Open { pid: 9 }));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_state_before_it_and_the_next_write_heals() {
        let (_folder, path) = created();
        let (mut file, _) = HeadFile::open(&path).unwrap();
        file.write(head(1), State::Closed).unwrap();
        file.write(head(2), State::Closed).unwrap();
        let torn = SLOTS[file.slot];
        file.file.write_all_at(b"torn", torn + 30).unwrap();
        let reading = read(&path).unwrap();
        assert_eq!((reading.record.head, reading.both_valid), (head(1), false));
        let (mut file, _) = HeadFile::open(&path).unwrap();
        file.write(head(3), State::Closed).unwrap();
        let reading = read(&path).unwrap();
        assert_eq!((reading.record.head, reading.both_valid), (head(3), true));
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let bytes = encode(&Record { serial: 4, head: head(5), state: State::Closed });
        assert!(decode(&bytes).is_some());
        for bit in 0..SLOT_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn every_cut_leaves_a_slot_or_is_reported() {
        let (_folder, path) = created();
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(16) {
            std::fs::write(&path, &whole[..length]).unwrap();
            match read(&path) {
                Ok(reading) => assert!(length >= SLOT_LEN, "{reading:?}"),
                Err(error) => assert_eq!(error.kind(), Kind::Damaged),
            }
        }
    }

    #[test]
    fn a_file_without_a_valid_slot_is_made_anew() {
        let (_folder, path) = created();
        std::fs::write(&path, "no slot").unwrap();
        let (mut file, reading) = HeadFile::open(&path).unwrap();
        assert_eq!(reading, None);
        file.write(head(4), State::Closed).unwrap();
        assert_eq!(file.read_again().unwrap().head, head(4));
        let reading = read(&path).unwrap();
        assert_eq!((reading.record.head, reading.both_valid), (head(4), true));
    }
}
