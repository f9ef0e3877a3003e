//! Putting one whole journal together from a damaged one and from sled.
//!
//! Event by event, the next one is taken from the journal if it is there and continues the chain,
//! else from sled under the same condition. Where neither has it, the history ends, because the
//! chain says nothing of what is behind.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::record::{self, Header, RECORD_FRAMES_MAX, SEGMENT_HEADER_LEN, resync};
use super::tail::read_from;
use super::{SEGMENT_FULL, path, segments};
use crate::events::frame::{Frame, Head, Position};
use crate::log::files::{failed, is_there, make_folder, sync_folder};
use crate::log::plain::{open_plain, open_with};
use crate::log::sled::{Database, Trouble};
use crate::log::{LogError, Store, engine};

/// What mending found, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::log) struct Mended {
    /// The end of the history that can be had.
    pub(in crate::log) end: Head,
    /// The last event that any record of the journal has, whether it can be had or not.
    pub(in crate::log) last: Position,
    /// Events taken from sled.
    pub(in crate::log) restored: u64,
    /// What is wrong with which segment.
    pub(in crate::log) found: Vec<(Position, String)>,
    /// The first segment that the disk refuses to read.
    pub(in crate::log) unreadable: Option<PathBuf>,
    /// Why sled could not be read on, if it could not.
    pub(in crate::log) sled: Option<String>,
}

/// How to go about it.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct How<'a> {
    /// Where damaged segments are put, if files are to be changed.
    pub(in crate::log) aside: Option<&'a Path>,
    /// Whether a segment that cannot be read counts as damaged. Else it is an error, which may pass.
    pub(in crate::log) unreadable: bool,
}

/// Puts the journal of `store` together, with the help of `sled` if there is one.
pub(in crate::log) fn mend(
    store: &Store,
    sled: Option<&Database>,
    how: How<'_>,
) -> Result<Mended, LogError> {
    let folder = store.journal_folder();
    let firsts = segments(&folder)?;
    let mut copy = SledFrames { store, sled, buffer: VecDeque::new(), trouble: None };
    let mut mended = Mended::default();
    let mut taken = 0;
    loop {
        let (before, first) = (mended.end, mended.end.position.next());
        let here = firsts.binary_search(&first).is_ok();
        let following = firsts.iter().copied().find(|other| *other > first);
        let segment = match here {
            true => Segment::load(store, first, how)?,
            false => Segment::default(),
        };
        mended.saw(&segment);
        let (frames, restored) = segment.frames(&mut mended.end, following, &mut copy)?;
        let whole = here && segment.found.is_none() && segment.before == Some(before);
        let same = whole && restored == 0 && frames.len() == segment.frames.len();
        taken += usize::from(here);
        if !same && (here || !frames.is_empty()) {
            let missing = || "the segment is missing".to_owned();
            let found = match (segment.found, here) {
                (Some(found), _) => found,
                (None, true) => "it does not continue the chain".to_owned(),
                (None, false) => missing(),
            };
            mended.found.push((first, found));
            mended.restored += restored;
            if let Some(aside) = how.aside {
                set_aside(&folder, first, aside)?;
                write(store, before, &frames)?;
            }
        }
        if following != Some(mended.end.position.next()) {
            break;
        }
    }
    // What is behind cannot be continued to.
    let end = mended.end.position;
    for &first in firsts.iter().filter(|first| **first > end) {
        if firsts.iter().take(taken).any(|used| *used == first) {
            continue;
        }
        let segment = Segment::load(store, first, How { unreadable: true, ..how })?;
        mended.saw(&segment);
        mended.found.push((first, "nothing leads up to this segment".to_owned()));
        if let Some(aside) = how.aside {
            set_aside(&folder, first, aside)?;
            let path = path(&folder, first);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            sync_folder(&folder)?;
        }
    }
    mended.sled = copy.trouble;
    Ok(mended)
}

impl Mended {
    fn saw(&mut self, segment: &Segment) {
        self.last = self.last.max(segment.last());
        if let Some(path) = &segment.unreadable {
            self.unreadable.get_or_insert_with(|| path.clone());
        }
    }
}

/// What can be read of a segment.
#[derive(Debug, Default)]
struct Segment {
    /// Its path, if the disk refuses to read it.
    unreadable: Option<PathBuf>,
    before: Option<Head>,
    frames: BTreeMap<Position, Frame>,
    found: Option<String>,
}

impl Segment {
    fn load(store: &Store, first: Position, how: How<'_>) -> Result<Self, LogError> {
        let path = path(&store.journal_folder(), first);
        let read = open_plain(&path).and_then(|file| read_from(&file, 0));
        let bytes = match read {
            Err(error) if how.unreadable && is_unreadable(&error) => {
                let found = Some(format!("it cannot be read: {error}"));
                return Ok(Self { found, unreadable: Some(path), ..Self::default() });
            }
            other => other.map_err(failed("read", &path))?,
        };
        let mut segment = Self::default();
        match Header::parse(&bytes) {
            Ok(header) if header.store == store.id() => segment.before = Some(header.before),
            Ok(_) => segment.note("it is of another store".to_owned()),
            Err(flaw) => segment.note(flaw.to_string()),
        }
        let mut rest = bytes.get(SEGMENT_HEADER_LEN..).unwrap_or_default();
        let mut next = first;
        while !rest.is_empty() {
            let record = match record::parse(rest) {
                Ok(record) => record,
                Err(flaw) => {
                    segment.note(flaw.to_string());
                    let Some((at, record)) = resync(rest, next) else { break };
                    rest = &rest[at..];
                    record
                }
            };
            if record.first != next {
                segment.note(format!("event {} stands in the place of {next}", record.first));
            }
            for (position, frame) in record.positioned() {
                segment.frames.entry(position).or_insert_with(|| Frame(frame.to_vec()));
            }
            next = record.last().next();
            rest = &rest[record.size()..];
        }
        Ok(segment)
    }

    fn note(&mut self, found: String) {
        self.found.get_or_insert(found);
    }

    fn last(&self) -> Position {
        self.frames.keys().next_back().copied().unwrap_or_default()
    }

    /// The frames that continue `head`, up to the segment `following`; and how many of them are
    /// from sled.
    fn frames(
        &self,
        head: &mut Head,
        following: Option<Position>,
        copy: &mut SledFrames<'_>,
    ) -> Result<(Vec<Frame>, u64), LogError> {
        let (mut frames, mut restored) = (Vec::new(), 0);
        loop {
            let position = head.position.next();
            if following == Some(position) {
                return Ok((frames, restored));
            }
            let follows = |frame: &Frame| frame.view(position).ok()?.follows(*head).ok();
            let here = self.frames.get(&position);
            if let Some((frame, next)) = here.and_then(|frame| Some((frame, follows(frame)?))) {
                frames.push(frame.clone());
                *head = next;
                continue;
            }
            let Some(frame) = copy.get(position)? else { return Ok((frames, restored)) };
            let Some(next) = follows(&frame) else { return Ok((frames, restored)) };
            frames.push(frame);
            restored += 1;
            *head = next;
        }
    }
}

/// Whether the disk itself refuses: anything else passes.
fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Frames of sled by position, read ahead.
struct SledFrames<'a> {
    store: &'a Store,
    sled: Option<&'a Database>,
    buffer: VecDeque<(Position, Frame)>,
    trouble: Option<String>,
}

impl SledFrames<'_> {
    /// The frame at a position, if it is there and good.
    fn get(&mut self, position: Position) -> Result<Option<Frame>, LogError> {
        while self.buffer.front().is_some_and(|(at, _)| *at < position) {
            self.buffer.pop_front();
        }
        if let Some(sled) = self.sled
            && self.buffer.is_empty()
        {
            match sled.read(Position(position.0 - 1), 1_000) {
                Ok(frames) => self.buffer.extend(frames),
                Err(Trouble::Broken(found)) => {
                    // One by one the good ones before the bad one are found.
                    self.trouble.get_or_insert(found);
                    let single = sled.read(Position(position.0 - 1), 1);
                    self.buffer.extend(single.unwrap_or_default());
                }
                // The frames may well be there.
                Err(trouble) => return Err(engine::trouble(self.store, trouble)),
            }
        }
        Ok(match self.buffer.front() {
            Some((at, _)) if *at == position => self.buffer.pop_front().map(|(_, frame)| frame),
            _ => None,
        })
    }
}

/// Keeps a second name of a segment, so that it survives being replaced.
fn set_aside(folder: &Path, first: Position, aside: &Path) -> Result<(), LogError> {
    let from = path(folder, first);
    if !is_there(&from)? {
        return Ok(());
    }
    make_folder(aside)?;
    let to: PathBuf = path(aside, first);
    let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("copy to", &to)(error))
        }
        _ => sync_folder(aside),
    }
}

/// Writes the segments that hold `frames` behind `before`, each beside its name and renamed. The
/// segment there is removed if there are none.
fn write(store: &Store, before: Head, frames: &[Frame]) -> Result<(), LogError> {
    let folder = store.journal_folder();
    make_folder(&folder)?;
    if frames.is_empty() {
        let path = path(&folder, before.position.next());
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        return sync_folder(&folder);
    }
    let (mut before, mut rest) = (before, frames);
    while !rest.is_empty() {
        let to = path(&folder, before.position.next());
        let beside = folder.join(format!(".{}.mending", before.position.next()));
        let mut size = 0;
        let full = rest.iter().position(|frame| {
            size += frame.0.len() as u64;
            size > SEGMENT_FULL
        });
        let (now, later) = rest.split_at(full.map_or(rest.len(), |at| at.max(1)));
        let end = write_one(&beside, store, before, now).map_err(failed("write", &beside))?;
        fs::rename(&beside, &to).map_err(failed("create", &to))?;
        (before, rest) = (end, later);
    }
    sync_folder(&folder)
}

fn write_one(path: &Path, store: &Store, before: Head, frames: &[Frame]) -> io::Result<Head> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = io::BufWriter::new(open_with(path, &options)?);
    file.write_all(&Header { store: store.id(), before }.encode())?;
    let mut end = before;
    for frames in frames.chunks(RECORD_FRAMES_MAX) {
        file.write_all(&record::encode(end.position.next(), frames))?;
        end.position = Position(end.position.0 + frames.len() as u64);
    }
    if let Some(chain) = frames.last().and_then(|last| super::tail::chain_of(&last.0)) {
        end.chain = chain;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(end)
}
