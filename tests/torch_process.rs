//! The trainer process: the protocol through the real binary.
#![cfg(feature = "train")]
#![allow(missing_docs)]

mod torch_support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use qtrail::trainer::protocol::{Answer, FailedReason, PROTOCOL, Request, TrainRequest};
use torch_support::{Show, Workplace, needs};

const PROGRAM: &str = env!("CARGO_BIN_EXE_qtrail-torch");

/// A running trainer and the lines it says.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().for_each(|line| drop(sender.send(line.unwrap()))));
        Self { stdin: child.stdin.take(), child, lines }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn train(&mut self, request: &TrainRequest) {
        let request = Request::Train(Box::new(request.clone()));
        self.write(&serde_json::to_string(&request).unwrap());
    }

    fn hear(&self) -> Answer {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The answer that ends a request.
    fn end_of_request(&self) -> Answer {
        loop {
            match self.hear() {
                Answer::Progress { .. } | Answer::Epoch(_) => {}
                answer => return answer,
            }
        }
    }

    fn error(&self) -> (u64, String) {
        match self.end_of_request() {
            Answer::Error { id, message } => (id, message),
            other => panic!("{other:?}"),
        }
    }

    /// Closes stdin; how long the process took to leave.
    fn leave(&mut self) -> Duration {
        let started = Instant::now();
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
        started.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_conversation() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    process.write(r#"{"type":"hello","protocol":1}"#);
    let Answer::Hello(hello) = process.hear() else { panic!("no hello") };
    assert_eq!(hello.protocol, PROTOCOL);
    assert_eq!(hello.program, concat!("qtrail-torch ", env!("CARGO_PKG_VERSION")));
    assert!(hello.library.starts_with("libtorch 2.11.0"), "{}", hello.library);
    assert!(hello.devices.contains(&"cpu".to_owned()) && hello.threads > 0);
    let mut hashes = Vec::new();
    for id in [5, 6] {
        let mut request = workplace.request("[C(4,3,1), P(2,2), FC(8), SM(4)]");
        request.id = id;
        process.train(&request);
        for epoch in 1..=2 {
            let Answer::Epoch(answer) = process.hear() else { panic!("no epoch {epoch}") };
            assert_eq!((answer.id, answer.restart, answer.epoch), (id, 0, epoch));
            assert!(answer.train_total == 320 && answer.validation_total == 160);
        }
        let Answer::Finished(finished) = process.hear() else { panic!("not finished") };
        assert_eq!((finished.id, finished.parameters), (id, 40 + 520 + 36));
        assert!(finished.peak_memory > 1 << 20);
        hashes.push(workplace.staged(&finished.weights.unwrap()));
    }
    assert!(hashes[0] == hashes[1], "what was trained before must not matter");
    assert!(process.leave() < Duration::from_secs(1));
}

#[test]
fn it_leaves_in_mid_epoch_when_stdin_closes() {
    let workplace = Workplace::new(Show::Class);
    let mut request = workplace.request("[C(64,5,1), C(64,5,1), C(64,5,1), SM(4)]");
    request.recipe.epochs = 10_000;
    request.recipe.chance = Some(0.0);
    let mut process = Process::start();
    process.train(&request);
    assert!(matches!(process.hear(), Answer::Epoch(_) | Answer::Progress { .. }));
    assert!(process.leave() < Duration::from_secs(1));
}

#[test]
fn signs_of_life_come_while_it_works() {
    let workplace = Workplace::new(Show::Class);
    let mut request = workplace.request("[C(256,5,1), C(256,5,1), C(256,5,1), SM(4)]");
    request.recipe.batch = 320; // an epoch of one long batch
    let mut process = Process::start();
    process.train(&request);
    let answer = process.hear();
    assert_eq!(answer, Answer::Progress { id: 1, epoch: 1, batch: 0, batches: 1 });
}

#[test]
fn what_it_cannot_do_is_an_answer_and_not_its_end() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    for (junk, id) in [("junk", 0), (r#"{"type":"train","id":9}"#, 9), ("{\"a\":\u{1}", 0)] {
        process.write(junk);
        let (answered, message) = process.error();
        assert!(answered == id && message.starts_with("no request: "), "{message}");
    }
    let good = workplace.request("[SM(4)]");
    let with = |change: fn(&mut TrainRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let bad = [
        (with(|r| r.device = "cuda:99".into()), "there is no device `cuda:99`"),
        (with(|r| r.data.folder = "/nonexistent".into()), "/nonexistent"),
        (with(|r| r.data.split = "/nonexistent".into()), "cannot read /nonexistent"),
        (with(|r| r.data.side = 9), "bars has (1, 8) channels and side"),
        (with(|r| r.data.classes = 3), "bars has 4 classes"),
        (with(|r| r.architecture = "[SM(3)]".parse().unwrap()), "the architecture has 3 classes"),
        (with(|r| r.architecture = "[P(9,1), SM(4)]".parse().unwrap()), "layer 1, P(9,1)"),
        (with(|r| r.recipe.batch = 0), "recipe.batch = 0"),
        (with(|r| r.staging = "/nonexistent".into()), "cannot write /nonexistent"),
    ];
    for (request, expected) in bad {
        process.train(&request);
        let (id, message) = process.error();
        assert!(id == 1 && message.contains(expected), "{message} has no {expected}");
    }
    process.train(&good);
    assert!(matches!(process.end_of_request(), Answer::Finished(_)));
}

#[test]
fn what_does_not_fit_into_memory_is_too_large() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    for architecture in [
        "[C(65535,1,1), FC(65535), SM(4)]",
        "[FC(65535), FC(65535), FC(65535), \
                          FC(65535), FC(65535), FC(65535), FC(65535), FC(65535), SM(4)]",
    ] {
        process.train(&workplace.request(architecture));
        let answer = process.end_of_request();
        let Answer::Failed { reason: FailedReason::TooLarge, .. } = answer else {
            panic!("{architecture}: {answer:?}")
        };
    }
    process.train(&workplace.request("[SM(4)]"));
    assert!(matches!(process.end_of_request(), Answer::Finished(_)));
}

#[test]
fn it_says_what_it_is() {
    let run = |argument: &str| Command::new(PROGRAM).arg(argument).output().unwrap();
    let version = String::from_utf8(run("--version").stdout).unwrap();
    assert_eq!(version.trim(), concat!("qtrail-torch ", env!("CARGO_PKG_VERSION")));
    assert!(String::from_utf8(run("--help").stdout).unwrap().contains("schema/trainer.md"));
    assert_eq!(run("--junk").status.code(), Some(2));
}

#[test]
fn the_examples_of_the_reference_are_messages() {
    let text = include_str!("../schema/trainer.md");
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 8);
    for (example, number) in examples.into_iter().zip(0..) {
        let error = match number {
            0 | 1 => serde_json::from_str::<Request>(example).err(),
            _ => serde_json::from_str::<Answer>(example).err(),
        };
        assert!(error.is_none(), "{example}: {error:?}");
    }
}

#[test]
fn only_the_trainer_loads_libtorch() {
    assert!(needs(Path::new(PROGRAM), "libtorch_cpu.so"));
    assert!(!needs(Path::new(env!("CARGO_BIN_EXE_qtrail")), "libtorch_cpu.so"));
}
