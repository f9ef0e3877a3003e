//! Lines: a log as text, for keeping and carrying, and back.
//!
//! One JSON object a line: an event each, then the artifacts carried along, then a closing line
//! with their number and the final hash. Reading takes the stored frames alone; what stands beside
//! them (time, scope, fields) is for people. Nothing read is trusted: every frame has to fit its
//! checksum and continue the chain, and the closing line has to fit them all.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::codec::{CodecError, decode};
use super::frame::{Frame, FrameError, Head};
use super::ids::Hash;
use super::kinds::{Event, KINDS};

/// Longest line that is read, in bytes: several times what the largest event takes.
pub const LINE_MAX: usize = 256 * 1024;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`LINE_MAX`].
    #[error("the line is longer than {LINE_MAX} bytes")]
    TooLong,
    /// It is no JSON object of ours.
    #[error("it is no line of an exported log: {0}")]
    Json(String),
    /// It is neither an event, nor an artifact, nor the closing line.
    #[error("it is neither an event, nor an artifact, nor the closing line")]
    Unknown,
    /// The frame is not base64.
    #[error("the frame is not base64: {0}")]
    Base64(String),
    /// Events are missing, repeated or exchanged.
    #[error("it holds event {found}; event {expected} comes next")]
    Order {
        /// The position that comes next.
        expected: u64,
        /// The position found.
        found: u64,
    },
    /// The frame is damaged, or of another log.
    #[error("the frame of event {position}: {source}")]
    Frame {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The frame is whole, but holds no event known to this program.
    #[error("event {position}: {source}")]
    Event {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The closing line counts something else.
    #[error("the closing line counts {told} {what}, the file holds {found}")]
    Count {
        /// Events or artifacts.
        what: &'static str,
        /// As the closing line says.
        told: u64,
        /// As they are.
        found: u64,
    },
    /// The closing line has another final hash.
    #[error("the closing line has another final hash than the last event")]
    Chain,
    /// Something follows the closing line, or an event follows an artifact.
    #[error("nothing may follow here: {0}")]
    After(&'static str),
    /// There is no closing line.
    #[error("the file ends without a closing line: it is not complete")]
    Unfinished,
}

/// A line that is wrong, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The frame of the next event.
    Event(Frame),
    /// An artifact that is carried along.
    Artifact(Hash),
    /// The end, fitting all before it.
    Closing,
}

/// Writes lines. Goes through a log from its first event.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    head: Head,
    artifacts: u64,
}

/// A line as it is written.
#[derive(Serialize)]
struct EventLine<'a> {
    position: u64,
    kind: Option<&'static str>,
    version: u16,
    frame: String,
    at: Option<i64>,
    scope: Option<String>,
    fields: Option<&'a Event>,
}

impl Writer {
    /// The line of the next event. An event that this program cannot decode is written all the
    /// same, without what is for people: an export must not fail where it is needed most.
    ///
    /// # Errors
    /// [`FrameError`] if the frame is damaged, or does not continue the one before.
    pub fn event(&mut self, frame: &Frame) -> Result<String, FrameError> {
        let position = self.head.position.next();
        let view = frame.view(position)?;
        self.head = view.follows(self.head)?;
        let recorded = decode(position, frame).ok();
        let mut line = EventLine {
            position: position.0,
            kind: KINDS.iter().find(|kind| kind.number == view.kind).map(|kind| kind.name),
            version: view.version,
            frame: STANDARD.encode(&frame.0),
            at: recorded.as_ref().map(|recorded| recorded.at),
            scope: recorded.as_ref().map(|recorded| recorded.scope.to_string()),
            fields: recorded.as_ref().map(|recorded| &recorded.event),
        };
        // Numbers and texts always have JSON; should an event ever not, its frame has.
        let text = serde_json::to_string(&line).or_else(|_| {
            line.fields = None;
            serde_json::to_string(&line)
        });
        Ok(text.unwrap_or_default())
    }

    /// The line of an artifact. After the events.
    pub fn artifact(&mut self, hash: Hash) -> String {
        self.artifacts += 1;
        format!("{{\"artifact\":\"{hash}\"}}")
    }

    /// The closing line, and the head it closes with.
    #[must_use]
    pub fn close(self) -> (String, Head) {
        let Self { head: Head { position, chain }, artifacts } = self;
        let line =
            format!("{{\"events\":{position},\"artifacts\":{artifacts},\"chain\":\"{chain}\"}}");
        (line, Head { position, chain })
    }
}

/// A line as it is read: the frame alone counts. Other keys are passed over.
#[derive(Deserialize)]
struct Raw<'a> {
    position: Option<u64>,
    #[serde(borrow)]
    frame: Option<Cow<'a, str>>,
    artifact: Option<Hash>,
    events: Option<u64>,
    artifacts: Option<u64>,
    #[serde(borrow)]
    chain: Option<Cow<'a, str>>,
}

/// Reads lines, one after the other, and checks that they are one whole log.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    line: u64,
    head: Head,
    artifacts: u64,
    closed: bool,
}

impl Reader {
    /// The log so far.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Takes the next line, without its line end.
    ///
    /// # Errors
    /// [`LineError`] with the number of the line.
    pub fn line(&mut self, bytes: &[u8]) -> Result<Line, LineError> {
        self.line += 1;
        self.read(bytes).map_err(|fault| self.error(fault))
    }

    /// The next line is longer than [`LINE_MAX`]; its rest need not be read.
    #[must_use]
    pub fn too_long(&self) -> LineError {
        LineError { line: self.line + 1, fault: LineFault::TooLong }
    }

    /// The end of the file.
    ///
    /// # Errors
    /// [`LineFault::Unfinished`] if there was no closing line.
    pub fn finish(self) -> Result<Head, LineError> {
        if self.closed { Ok(self.head) } else { Err(self.error(LineFault::Unfinished)) }
    }

    const fn error(&self, fault: LineFault) -> LineError {
        LineError { line: self.line, fault }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Line, LineFault> {
        if bytes.len() > LINE_MAX {
            return Err(LineFault::TooLong);
        }
        if self.closed {
            return Err(LineFault::After("the line before it closes the log"));
        }
        let raw: Raw<'_> =
            serde_json::from_slice(bytes).map_err(|error| LineFault::Json(error.to_string()))?;
        match raw {
            Raw { position: Some(position), frame: Some(frame), .. } => {
                self.event(position, &frame)
            }
            Raw { artifact: Some(hash), .. } => {
                self.artifacts += 1;
                Ok(Line::Artifact(hash))
            }
            Raw {
                events: Some(events), artifacts: Some(artifacts), chain: Some(chain), ..
            } => self.closing(events, artifacts, &chain),
            _ => Err(LineFault::Unknown),
        }
    }

    fn event(&mut self, found: u64, frame: &str) -> Result<Line, LineFault> {
        if self.artifacts > 0 {
            return Err(LineFault::After("events come before artifacts"));
        }
        let next = self.head.position.next();
        if found != next.0 {
            return Err(LineFault::Order { expected: next.0, found });
        }
        let bytes = STANDARD.decode(frame.as_bytes());
        let frame = Frame(bytes.map_err(|error| LineFault::Base64(error.to_string()))?);
        let follows = frame.view(next).and_then(|view| view.follows(self.head));
        let head = follows.map_err(|source| LineFault::Frame { position: next.0, source })?;
        // A log that this program cannot read is not restored by it.
        decode(next, &frame).map_err(|source| LineFault::Event { position: next.0, source })?;
        self.head = head;
        Ok(Line::Event(frame))
    }

    fn closing(&mut self, events: u64, artifacts: u64, chain: &str) -> Result<Line, LineFault> {
        let counts =
            [("events", events, self.head.position.0), ("artifacts", artifacts, self.artifacts)];
        for (what, told, found) in counts {
            if told != found {
                return Err(LineFault::Count { what, told, found });
            }
        }
        if chain != self.head.chain.to_string() {
            return Err(LineFault::Chain);
        }
        self.closed = true;
        Ok(Line::Closing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::super::frame::{Payload, seal};
    use super::super::{Scope, SearchFinished, TrialLost};
    use super::*;

    fn frames(count: u32) -> Vec<Frame> {
        let mut head = Head::default();
        let sealed = (1..=count).map(|trial| {
            let payload = encode(7, Scope::Search(1), &TrialLost { trial }.into()).unwrap();
            let (frame, next) = seal(head, &payload).unwrap();
            head = next;
            frame
        });
        sealed.collect()
    }

    fn text(frames: &[Frame], artifacts: &[Hash]) -> Vec<String> {
        let mut writer = Writer::default();
        let mut lines: Vec<String> =
            frames.iter().map(|frame| writer.event(frame).unwrap()).collect();
        lines.extend(artifacts.iter().map(|hash| writer.artifact(*hash)));
        lines.push(writer.close().0);
        lines
    }

    fn read(lines: &[String]) -> Result<(Vec<Line>, Head), LineError> {
        let mut reader = Reader::default();
        let read = lines.iter().map(|line| reader.line(line.as_bytes()));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        Ok((read, reader.finish()?))
    }

    #[test]
    fn a_log_reads_back_as_it_was() {
        for count in [0, 1, 5] {
            let (frames, hash) = (frames(count), Hash::of(b"weights"));
            let (lines, head) = read(&text(&frames, &[hash])).unwrap();
            let mut expected: Vec<Line> = frames.into_iter().map(Line::Event).collect();
            expected.extend([Line::Artifact(hash), Line::Closing]);
            assert_eq!((lines, head.position.0), (expected, u64::from(count)));
        }
    }

    #[test]
    fn people_see_what_happened_and_changing_it_changes_nothing() {
        let lines = text(&frames(1), &[]);
        for part in ["\"kind\":\"trial-lost\"", "\"version\":1", "\"at\":7", "\"trial\":1"] {
            assert!(lines[0].contains(part), "{} lacks {part}", lines[0]);
        }
        let mut changed = lines.clone();
        changed[0] = changed[0].replace("trial-lost", "trial-finished");
        assert_eq!(read(&changed), read(&lines));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let whole = text(&frames(4), &[]);
        let wrong = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = whole.clone();
            change(&mut lines);
            read(&lines).unwrap_err()
        };
        let order = |expected, found| LineFault::Order { expected, found };
        let cases: Vec<(LineError, u64, LineFault)> = vec![
            (wrong(&|lines| drop(lines.remove(1))), 2, order(2, 3)),
            (wrong(&|lines| lines.swap(0, 1)), 1, order(1, 2)),
            (wrong(&|lines| lines.insert(2, lines[1].clone())), 3, order(3, 2)),
            (wrong(&|lines| drop(lines.pop())), 4, LineFault::Unfinished),
            (wrong(&|lines| lines[4] = "{}".into()), 5, LineFault::Unknown),
            (
                wrong(&|lines| lines[4] = lines[4].replace("\":4", "\":5")),
                5,
                LineFault::Count { what: "events", told: 5, found: 4 },
            ),
            (
                wrong(&|lines| lines.push(lines[4].clone())),
                6,
                LineFault::After("the line before it closes the log"),
            ),
        ];
        for (error, line, fault) in cases {
            assert_eq!(error, LineError { line, fault });
        }
        for text in
            ["", "[]", "null", "\u{0}", "{\"position\":-1}", "{\"position\":1,\"position\":1}"]
        {
            let error = wrong(&|lines| lines[2] = text.into());
            assert!(error.line == 3, "{text:?}: {error}");
        }
        assert_eq!(wrong(&|lines| lines[0] = "[".repeat(100_000)).line, 1);
        assert_eq!(wrong(&|lines| lines[0] += &" ".repeat(LINE_MAX)).fault, LineFault::TooLong);
    }

    #[test]
    fn every_changed_byte_of_a_frame_is_noticed() {
        let lines = text(&frames(2), &[]);
        let start = lines[1].find("frame\":\"").unwrap() + 8;
        let end = start + lines[1][start..].find('"').unwrap();
        for at in start..end {
            let mut changed = lines.clone();
            let other = if &changed[1][at..=at] == "A" { "B" } else { "A" };
            changed[1].replace_range(at..=at, other);
            assert_eq!(read(&changed).unwrap_err().line, 2, "at {at}");
        }
    }

    /// A frame may be whole and yet of another log, or no event at all.
    #[test]
    fn frames_of_other_logs_and_unknown_events_are_refused() {
        let mut lines = text(&frames(3), &[]);
        let other = encode(8, Scope::Store, &SearchFinished { episodes: 1, trials: 1 }.into());
        let (frame, head) = seal(Head::default(), &other.unwrap()).unwrap();
        lines[0] = Writer::default().event(&frame).unwrap();
        let error = read(&lines).unwrap_err();
        assert!(error.line == 2 && error.to_string().contains("does not continue"), "{error}");

        let payload = Payload { kind: 9999, version: 1, bytes: vec![1] };
        let (unknown, _) = seal(head, &payload).unwrap();
        let lines = text(&[frame, unknown], &[]);
        let error = read(&lines).unwrap_err();
        assert!(error.line == 2 && error.to_string().contains("9999"), "{error}");
    }
}
