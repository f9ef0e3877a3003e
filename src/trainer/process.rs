//! One trainer process: started, spoken to, listened to, and ended.
//!
//! A reader thread turns its lines into [`Said`]; another drains stderr and keeps the end of it.
//! The process has a process group of its own, so that Ctrl-C reaches qtrail only. It ends by
//! itself when its stdin closes, which also happens when qtrail is killed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::Talk;
use super::protocol::{Answer, Hello, LINE_MAX, PROTOCOL, Request};
use super::silence::Silence;

/// How long a trainer may take to say who it is: loading libtorch and waking a GPU takes a while.
pub const HELLO_WAIT: Duration = Duration::from_secs(120);
/// How long a trainer may take to leave once its stdin is closed.
const LEAVE_WAIT: Duration = Duration::from_millis(1500);
/// Bytes kept of the end of stderr.
const LAST_WORDS: usize = 1_500;
/// Lines that wait to be heard. When so many do, the pipe fills up and the trainer has to wait.
const QUEUE: usize = 64;
/// A trainer is called hung only after one more look of this length: a result that is already in
/// the pipe is heard first.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// A trainer that has ended is noticed after this silence even if a process that it left behind
/// holds its stdout open.
const ENDED_SILENTLY: Duration = Duration::from_secs(1);

/// Something heard from a trainer.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A line of the protocol.
    Answer(Answer),
    /// A line that is none.
    Nonsense(String),
    /// It hangs, and why that is believed.
    Hangs(String),
    /// The pipe to or from it failed, for another reason than that it is gone: a fault of the
    /// machine, whatever becomes of the trainer.
    Cut(PipeFault),
    /// Its stdout closed: the process ended or is about to.
    Ended,
}

/// What the system said of a pipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {message}")]
pub struct PipeFault {
    what: &'static str,
    message: String,
    errno: Option<i32>,
}

impl PipeFault {
    /// `error` in the words of the system, after what it kept from being done.
    #[must_use]
    pub fn new(what: &'static str, error: &std::io::Error) -> Self {
        Self { what, message: error.to_string(), errno: error.raw_os_error() }
    }
}

/// What can go wrong with starting a trainer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be run.
    #[error("the trainer {} cannot be started: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It did not say hello.
    #[error("the trainer {} {what}{last_words}", program.display())]
    Hello {
        /// The program.
        program: PathBuf,
        /// What happened instead.
        what: String,
        /// The end of its stderr.
        last_words: String,
    },
}

impl StartError {
    /// Whether the machine is at fault: too many open files or processes, no memory, a bad disk.
    #[must_use]
    pub fn is_of_machine(&self) -> bool {
        use rustix::io::Errno;
        let of_machine =
            [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::IO, Errno::NOSPC];
        match self {
            Self::Spawn { source, .. } => {
                Errno::from_io_error(source).is_some_and(|errno| of_machine.contains(&errno))
            }
            Self::Hello { .. } => false,
        }
    }
}

/// Why there was no hello.
enum Ungreeted {
    /// The trainer did something else.
    Said(String),
    /// The pipe failed, so that its end tells nothing.
    Cut(PipeFault),
}

/// A running trainer.
#[derive(Debug)]
pub struct Trainer {
    child: Child,
    /// Takes lines to its stdin, which closes once this is gone.
    stdin: Option<SyncSender<Vec<u8>>>,
    lines: Receiver<Said>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    hello: Hello,
    silence: Silence,
}

/// How OpenMP's threads wait for each other: without spinning, unless the user set a policy. On a
/// machine that does something else too, threads that spin keep the others from coming to an end:
/// two of them were slower than one there, and half as fast as two that do not.
#[expect(clippy::disallowed_methods, reason = "a setting of OpenMP, not of qtrail")]
fn openmp_wait_policy() -> Option<(&'static str, &'static str)> {
    let set = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"];
    let is_set = set.iter().any(|name| std::env::var_os(name).is_some());
    (!is_set).then_some(("OMP_WAIT_POLICY", "passive"))
}

impl Trainer {
    /// Starts `program` and waits for its hello. It inherits `shared`, the lock of its device,
    /// so that the device stays locked until the trainer is really gone. After `silence` without
    /// a line it counts as hung.
    ///
    /// # Errors
    /// [`StartError`] if it cannot be run, speaks another protocol, says nothing, or says of itself
    /// what cannot be.
    pub fn start(
        program: &Path,
        shared: Option<OwnedFd>,
        silence: Duration,
    ) -> Result<Self, StartError> {
        let spawned = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .envs(openmp_wait_policy())
            .spawn();
        let spawn_error = |source| StartError::Spawn { program: program.to_owned(), source };
        let mut child = spawned.map_err(spawn_error)?;
        drop(shared); // no other child is to inherit it
        let (sender, lines) = sync_channel(QUEUE);
        let (requests, asked) = sync_channel(QUEUE);
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(pipe)) = pipes else {
            return Err(spawn_error(ErrorKind::BrokenPipe.into()));
        };
        let tail = Arc::clone(&stderr);
        let cut = sender.clone();
        let started = thread::Builder::new().spawn(move || listen(stdout, &sender));
        let started = started
            .and_then(|_| thread::Builder::new().spawn(move || drain(pipe, &tail)))
            .and_then(|_| thread::Builder::new().spawn(move || speak(stdin, &asked, &cut)));
        if let Err(error) = started {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(spawn_error(error));
        }
        let hello = Hello {
            protocol: 0,
            program: String::new(),
            library: String::new(),
            devices: Vec::new(),
            isa: String::new(),
            threads: 0,
            bf16: None,
        };
        let stdin = Some(requests);
        let waiting = Silence::new(HELLO_WAIT, Instant::now());
        let mut trainer = Self { child, stdin, lines, stderr, hello, silence: waiting };
        let greeted = trainer.greet();
        trainer.silence = Silence::new(silence, Instant::now());
        match greeted {
            Ok(()) => Ok(trainer),
            Err(Ungreeted::Cut(fault)) => Err(spawn_error(match fault.errno {
                Some(errno) => std::io::Error::from_raw_os_error(errno),
                None => std::io::Error::other(fault),
            })),
            Err(Ungreeted::Said(what)) => {
                let (program, last_words) = (program.to_owned(), trainer.last_words());
                Err(StartError::Hello { program, what, last_words })
            }
        }
    }

    fn greet(&mut self) -> Result<(), Ungreeted> {
        // A program that does not read its stdin is noticed by what it fails to answer.
        let _ = self.send(&Request::Hello { protocol: PROTOCOL });
        let said = loop {
            match self.listen(Duration::from_millis(100)) {
                None => {}
                Some(said) => break said,
            }
        };
        let what = match said {
            Said::Answer(Answer::Hello(hello)) if hello.protocol == PROTOCOL => {
                hello.check().map_err(Ungreeted::Said)?;
                self.hello = hello;
                return Ok(());
            }
            Said::Answer(Answer::Hello(hello)) => {
                format!("speaks protocol {}, not {PROTOCOL}", hello.protocol)
            }
            Said::Answer(_) => "did not begin with hello".into(),
            Said::Nonsense(line) => format!("said {line:?} instead of hello"),
            Said::Hangs(why) => format!("did not say hello: {why}"),
            Said::Cut(fault) => return Err(Ungreeted::Cut(fault)),
            Said::Ended => {
                thread::sleep(Duration::from_millis(50)); // let the last words arrive
                "ended before it said hello".into()
            }
        };
        Err(Ungreeted::Said(what))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote to stderr, for people.
    #[must_use]
    pub fn last_words(&self) -> String {
        let bytes: Vec<u8> = match self.stderr.lock() {
            Ok(tail) => tail.iter().copied().collect(),
            Err(_) => Vec::new(),
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim() {
            "" => String::new(),
            text => format!("; its last words: {text}"),
        }
    }
}

impl Talk for Trainer {
    fn hello(&self) -> &Hello {
        &self.hello
    }

    fn send(&mut self, request: &Request) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.silence.restart(Instant::now());
        let sent = self.stdin.as_ref().and_then(|stdin| stdin.try_send(line).ok());
        sent.ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }

    fn listen(&mut self, patience: Duration) -> Option<Said> {
        let overdue = self.silence.too_long().is_some();
        let patience = if overdue { patience.max(LAST_LOOK) } else { patience };
        let heard = self.lines.recv_timeout(patience);
        self.silence.look(Instant::now());
        if let Ok(said) = heard {
            let answer = match &said {
                Said::Answer(answer) => Some(answer),
                _ => None,
            };
            self.silence.broken(answer);
            return Some(self.silence.too_long().map_or(said, Said::Hangs));
        }
        if self.silence.quiet() >= ENDED_SILENTLY && matches!(self.child.try_wait(), Ok(Some(_))) {
            return Some(Said::Ended);
        }
        if overdue { self.silence.too_long().map(Said::Hangs) } else { None }
    }

    fn end(mut self: Box<Self>) -> String {
        // One that is ending by itself is given a moment, so that it is known how it ended.
        let deadline = Instant::now() + Duration::from_millis(100);
        let mut ended = None;
        while ended.is_none() && Instant::now() < deadline {
            ended = self.child.try_wait().ok().flatten();
            thread::sleep(Duration::from_millis(5));
        }
        let how = match ended {
            Some(status) => format!("the trainer ended ({status})"),
            None => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                "the trainer was ended".to_owned()
            }
        };
        thread::sleep(Duration::from_millis(20)); // let the last words arrive
        how + &self.last_words()
    }
}

impl Drop for Trainer {
    /// Closes its stdin, which tells it to leave, and helps if it does not.
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + LEAVE_WAIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes lines to a trainer. A thread of its own: a trainer that does not read must not stop qtrail.
fn speak(mut stdin: impl Write, requests: &Receiver<Vec<u8>>, cut: &SyncSender<Said>) {
    for line in requests {
        if let Err(error) = stdin.write_all(&line).and_then(|()| stdin.flush()) {
            // Said before the trainer ends for want of requests. A pipe that nobody reads from any
            // more is the trainer's own end, which says why.
            if error.kind() != ErrorKind::BrokenPipe {
                let what = "a request cannot be written to the trainer";
                let _ = cut.send(Said::Cut(PipeFault::new(what, &error)));
            }
            return;
        }
    }
}

/// Reads lines until the end, each at most [`LINE_MAX`] bytes long.
fn listen(stdout: impl Read, sender: &SyncSender<Said>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(LINE_MAX as u64).read_until(b'\n', &mut line);
        let said = match read {
            Ok(0) => Said::Ended,
            Err(error) => Said::Cut(PipeFault::new("the trainer cannot be read from", &error)),
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(answer) => Said::Answer(answer),
                Err(_) => Said::Nonsense(excerpt(&line)),
            },
        };
        let ended = matches!(said, Said::Ended | Said::Cut(_));
        if sender.send(said).is_err() || ended {
            return;
        }
    }
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().chars().take(200).collect()
}

fn drain(mut pipe: impl Read, tail: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        if let Ok(mut tail) = tail.lock() {
            tail.extend(&buffer[..read]);
            let surplus = tail.len().saturating_sub(LAST_WORDS);
            tail.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process writes the executable: a fork of this one by a test beside it would keep
    /// it open for writing for a moment, and such a file cannot be run ("text file busy").
    fn script(folder: &Path, body: &str) -> PathBuf {
        let (text, program) = (folder.join("text"), folder.join("trainer.sh"));
        std::fs::write(&text, format!("#!/bin/sh\n{body}\n")).unwrap();
        let mut install = Command::new("install");
        let installed = install.args(["-m", "755"]).arg(&text).arg(&program).status();
        assert!(installed.unwrap().success());
        program
    }

    fn start(program: &Path) -> Result<Trainer, StartError> {
        Trainer::start(program, None, super::super::silence::LIMIT)
    }

    const HELLO: &str = r#"echo '{"type":"hello","protocol":1,"program":"p 1","devices":["cpu"]}'"#;

    fn refusal(body: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        start(&script(folder.path(), body)).unwrap_err().to_string()
    }

    #[test]
    fn it_says_who_it_is_and_leaves_when_stdin_closes() {
        let folder = tempfile::tempdir().unwrap();
        let trainer = start(&script(folder.path(), &format!("{HELLO}\ncat >/dev/null"))).unwrap();
        assert_eq!(trainer.hello().devices, ["cpu"]);
        drop(trainer); // would take LEAVE_WAIT and a kill if it did not
    }

    #[test]
    fn its_threads_are_told_not_to_spin() {
        let folder = tempfile::tempdir().unwrap();
        let hello = HELLO.replace("p 1", "'$OMP_WAIT_POLICY$GOMP_SPINCOUNT$KMP_BLOCKTIME'");
        let trainer = start(&script(folder.path(), &format!("{hello}\ncat >/dev/null"))).unwrap();
        let mut own = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"].map(|name| {
            #[expect(clippy::disallowed_methods, reason = "what the trainer inherits")]
            std::env::var(name).unwrap_or_default()
        });
        if own.iter().all(String::is_empty) {
            own[0] = "passive".into();
        }
        assert_eq!(trainer.hello().program, own.concat());
    }

    #[test]
    fn what_it_says_is_heard_and_its_last_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let body = format!("{HELLO}\necho nonsense\necho 'out of luck' >&2\nexit 3");
        let mut trainer = start(&script(folder.path(), &body)).unwrap();
        let patience = Duration::from_secs(20);
        assert_eq!(trainer.listen(patience), Some(Said::Nonsense("nonsense".into())));
        assert_eq!(trainer.listen(patience), Some(Said::Ended));
        while trainer.last_words().is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(trainer.last_words(), "; its last words: out of luck");
    }

    #[test]
    fn a_bad_beginning_is_refused() {
        assert!(refusal("echo Hi!").contains(r#"said "Hi!" instead of hello"#));
        assert!(refusal("echo 'no library' >&2").contains("ended before it said hello"));
        let other = HELLO.replace("\"protocol\":1", "\"protocol\":2");
        assert!(refusal(&other).contains("speaks protocol 2, not 1"));
        let nowhere = start(Path::new("/nonexistent/trainer")).unwrap_err();
        assert!(nowhere.to_string().contains("cannot be started"));
    }

    #[test]
    fn one_that_does_not_read_its_requests_does_not_stop_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), &format!("{HELLO}\nexec sleep 1000"));
        let mut trainer = Trainer::start(&program, None, Duration::from_millis(200)).unwrap();
        let long =
            crate::trainer::protocol::ModelRequest { members: Vec::new(), channels: 1, side: 1 };
        let request = Request::Score(Box::new(crate::trainer::protocol::ScoreRequest {
            id: 1,
            model: long,
            images: "x".repeat(1 << 20).into(),
            count: 1,
            batch: 1,
            dtype: Default::default(),
            device: "cpu".into(),
            threads: 1,
            staging: PathBuf::new(),
        }));
        trainer.send(&request).unwrap();
        let said = (0..100).find_map(|_| trainer.listen(Duration::from_millis(20)));
        assert!(
            matches!(&said, Some(Said::Hangs(why)) if why.starts_with("it said nothing")),
            "{said:?}"
        );
    }

    /// What it left in the pipe is heard, however long qtrail was away.
    #[test]
    fn a_result_in_the_pipe_is_heard_before_a_hang_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let result = r#"echo '{"type":"error","id":1,"message":"done"}'"#;
        let program =
            script(folder.path(), &format!("{HELLO}\nsleep 1\n{result}\nexec sleep 1000"));
        let mut trainer = Trainer::start(&program, None, Duration::from_millis(700)).unwrap();
        assert_eq!(trainer.listen(Duration::from_millis(900)), None);
        assert!(trainer.silence.too_long().is_some());
        let said = trainer.listen(Duration::from_millis(1));
        assert!(matches!(said, Some(Said::Answer(Answer::Error { .. }))), "{said:?}");
    }

    #[test]
    fn the_end_of_one_that_left_a_process_behind_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let body = format!("{HELLO}\nread line\nsleep 30 &\nexit 3");
        let mut trainer = start(&script(folder.path(), &body)).unwrap();
        let began = Instant::now();
        let said = std::iter::repeat_with(|| trainer.listen(Duration::from_millis(20)));
        assert_eq!(said.flatten().next(), Some(Said::Ended));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let body = format!("{HELLO}\nhead -c 1000000 /dev/zero | tr '\\0' x");
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = start(&script(folder.path(), &body)).unwrap();
        let said = trainer.listen(Duration::from_secs(20)).unwrap();
        assert_eq!(said, Said::Nonsense("x".repeat(200)));
    }
}
