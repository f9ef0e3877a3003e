//! The trainer process: requests in, answers out, until stdin closes.
//!
//! A thread reads stdin, so that its end is noticed while a network is training: whoever started
//! this process is gone then, and it must not hold a device. What a request does wrong (an error of
//! libtorch, a panic) is an answer; the process lives on.

use std::any::Any;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::attack;
use super::data::DeviceData;
use super::model::Models;
use super::reporter::{Heartbeat, Lines, Place};
use super::training::{Outcome, train};
use super::{TorchError, device, memory, speaks_of_memory};
use crate::trainer::protocol::{
    Answer, CraftRequest, ErrorCause, FailedReason, Hello, PROTOCOL, Request, ScoreRequest,
    TrainRequest,
};

/// Name and version of this program.
pub const PROGRAM: &str = concat!("qtrail-torch ", env!("CARGO_PKG_VERSION"));
/// Longest request, in bytes.
const REQUEST_MAX: u64 = 1 << 20;
/// After the end of stdin, requests that came before it may still be answered for so long.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// Answers requests until stdin closes.
#[must_use]
pub fn serve() -> ExitCode {
    memory::keep(); // before libtorch allocates
    let lines = match take_stdout() {
        Ok(lines) => lines,
        Err(error) => {
            let _ = writeln!(io::stderr(), "qtrail-torch: stdout cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (sender, requests) = channel();
    thread::spawn(move || read_requests(sender));
    if let Err(error) = device::open_cuda() {
        let _ = writeln!(io::stderr(), "qtrail-torch: no CUDA: {error}");
    }
    answer_all(&requests, &lines);
    leave()
}

/// Keeps stdout for the protocol: what libraries print there goes to stderr.
fn take_stdout() -> io::Result<Lines> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(Lines::new(Box::new(std::fs::File::from(stdout))))
}

/// Passes lines on; at the end of stdin, ends the process whatever it is doing.
fn read_requests(sender: Sender<Vec<u8>>) {
    let mut reader = BufReader::new(io::stdin());
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(REQUEST_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => {
                let _ = sender.send(line);
            }
        }
    }
    drop(sender); // the last answer given, the process ends
    thread::sleep(LAST_ANSWERS);
    leave();
}

/// Ends the process without the destructors of libtorch: while another thread computes, they pull
/// the ground from under it.
fn leave() -> ! {
    signal_hook::low_level::exit(0)
}

fn answer_all(requests: &Receiver<Vec<u8>>, lines: &Lines) {
    let mut trainer = Trainer { data: None, models: Models::default(), lines: lines.clone() };
    for line in requests {
        let answer = match serde_json::from_slice(&line) {
            Ok(Request::Hello { .. }) => Answer::Hello(hello()),
            Ok(Request::Train(request)) => trainer.answer(&request),
            Ok(Request::Craft(request)) => {
                trainer.work(request.id, |trainer, place| trainer.craft(&request, place))
            }
            Ok(Request::Score(request)) => {
                trainer.work(request.id, |trainer, place| trainer.score(&request, place))
            }
            Err(error) => wrong(id_of(&line), format!("no request: {error}")),
        };
        if lines.say(&answer).is_err() {
            leave(); // nobody listens
        }
    }
}

/// The id of a line that is no request, if it has one, so that the answer can be told apart.
fn id_of(line: &[u8]) -> u64 {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.and_then(|value| value.get("id")?.as_u64()).unwrap_or(0)
}

/// Who this is; the version of the protocol is ours, whatever was asked.
fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        program: PROGRAM.to_owned(),
        library: device::library(),
        devices: device::names(),
        isa: device::instruction_set(),
        threads: device::physical_cores(),
        bf16: Some(device::with_bf16()),
    }
}

/// What lasts from one request to the next.
struct Trainer {
    /// The last data set; most often the next one too.
    data: Option<DeviceData>,
    /// Models that were attacked or judged by.
    models: Models,
    lines: Lines,
}

impl Trainer {
    fn answer(&mut self, request: &TrainRequest) -> Answer {
        let id = request.id;
        memory::forget_peak();
        let place = Arc::new(Place::default());
        let beat = match Heartbeat::start(id, Arc::clone(&place), self.lines.clone()) {
            Ok(beat) => beat,
            Err(error) => return failed(id, &error),
        };
        let result = catch_unwind(AssertUnwindSafe(|| self.train(request, &place)));
        drop(beat); // before the last line
        match result {
            Ok(Ok(Outcome::Finished(mut finished))) => {
                if request.device == "cpu" {
                    finished.peak_memory = memory::peak();
                }
                Answer::Finished(finished)
            }
            Ok(Ok(Outcome::Failed { reason, message })) => Answer::Failed { id, reason, message },
            Ok(Err(error)) if error.is_too_large() => too_large(id, error.to_string()),
            Ok(Err(error)) => failed(id, &error),
            Err(panic) => match panic_message(&*panic) {
                message if speaks_of_memory(&message) => too_large(id, message),
                message => wrong(id, format!("a bug: {message}")),
            },
        }
    }

    /// Answers what is no training: whatever goes wrong says nothing about an architecture.
    fn work(
        &mut self,
        id: u64,
        work: impl FnOnce(&mut Self, &Place) -> Result<Answer, TorchError>,
    ) -> Answer {
        let place = Arc::new(Place::default());
        let beat = match Heartbeat::start(id, Arc::clone(&place), self.lines.clone()) {
            Ok(beat) => beat,
            Err(error) => return failed(id, &error),
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(self, &place)));
        drop(beat); // before the last line
        match result {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(id, &error),
            Err(panic) => wrong(id, format!("a bug: {}", panic_message(&*panic))),
        }
    }

    fn craft(&mut self, request: &CraftRequest, place: &Place) -> Result<Answer, TorchError> {
        set_threads(request.threads);
        let device = device::named(&request.device)?;
        let model = self.models.get(&request.model, request.dtype, device, &mut self.data)?;
        if request.measure {
            memory::forget_peak();
        }
        let mut answer = attack::craft(request, model, device, place)?;
        if request.measure {
            answer.memory = memory::of_device(device);
        }
        Ok(Answer::Crafted(answer))
    }

    fn score(&mut self, request: &ScoreRequest, place: &Place) -> Result<Answer, TorchError> {
        set_threads(request.threads);
        let device = device::named(&request.device)?;
        let model = self.models.get(&request.model, request.dtype, device, &mut self.data)?;
        attack::score(request, model, device, place).map(Answer::Scored)
    }

    fn train(&mut self, request: &TrainRequest, place: &Place) -> Result<Outcome, TorchError> {
        set_threads(request.threads);
        let device = device::named(&request.device)?;
        let kept = match self.data.take() {
            Some(data) if data.is(&request.data, device)? => data,
            // The old one is gone before the new one needs its memory.
            _ => DeviceData::load(&request.data, device)?,
        };
        let data = self.data.insert(kept);
        let lines = self.lines.clone();
        train(request, data, place, &mut |answer| {
            if lines.say(&answer).is_err() {
                leave();
            }
        })
    }
}

fn set_threads(wanted: u32) {
    let threads = if wanted == 0 { device::physical_cores() } else { wanted };
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// An error that says nothing about the machine.
fn wrong(id: u64, message: String) -> Answer {
    Answer::Error { id, message, cause: None, errno: None }
}

/// An error of a request: with its cause, if the machine refused a file.
fn failed(id: u64, error: &TorchError) -> Answer {
    let (message, errno) = (error.to_string(), error.errno());
    Answer::Error { id, message, cause: errno.map(|_| ErrorCause::Machine), errno }
}

fn too_large(id: u64, message: String) -> Answer {
    Answer::Failed { id, reason: FailedReason::TooLarge, message }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
