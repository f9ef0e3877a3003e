//! The trainer process: the protocol through the real binary.
#![cfg(feature = "train")]
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod torch_support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use qtrail::config::recipe::Precision;
use qtrail::trainer::protocol::{
    Answer, Arithmetic, DataRequest, ErrorCause, FailedReason, PROTOCOL, Request, TrainRequest,
};
use torch_support::{PROGRAM, Process, Show, Workplace, needs};

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
    let native =
        |device: &str| hello.arithmetic(device, Precision::Bf16) == Some(Arithmetic::Native);
    assert!(hello.devices.iter().all(|device| device == "cpu" || native(device)));
    assert!(hello.check() == Ok(()) && hello.bf16.is_some());
    let mut hashes = Vec::new();
    for id in [5, 6] {
        let mut request = workplace.request("[C(4,3,1), P(2,2), FC(8), SM(4)]");
        request.id = id;
        process.train(&request);
        let (epochs, Answer::Finished(finished)) = process.result() else { panic!("no result") };
        for (epoch, number) in epochs.iter().zip(1..) {
            assert_eq!((epoch.id, epoch.restart, epoch.epoch), (id, 0, number));
            assert!(epoch.train_total == 320 && epoch.validation_total == 160);
        }
        assert_eq!(epochs.len(), 2);
        assert_eq!((finished.id, finished.parameters), (id, 40 + 520 + 36));
        assert!(finished.peak_memory > 1 << 20);
        hashes.push(workplace.staged(&finished.weights.unwrap()));
    }
    assert!(hashes[0] == hashes[1], "what was trained before must not matter");
    assert!(process.leave() < Duration::from_secs(1));
}

/// The peak of a trial is its own, not that of the process.
#[test]
fn peak_memory_is_that_of_the_trial() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut peak = |architecture: &str| {
        let mut request = workplace.request(architecture);
        request.recipe.epochs = 1;
        request.recipe.chance = Some(0.0);
        request.recipe.batch = 320;
        process.train(&request);
        match process.result().1 {
            Answer::Finished(finished) => finished.peak_memory,
            other => panic!("{other:?}"),
        }
    };
    let [before, large, after] =
        ["[SM(4)]", "[FC(3000), FC(3000), SM(4)]", "[SM(4)]"].map(&mut peak);
    // 9 million parameters, each at least with its gradient and two means.
    assert!(large > before + 4 * 4 * 9_000_000, "{before} {large}");
    assert!(after < before + (large - before) / 4, "{before} {large} {after}");
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
    request.recipe.batch = 320; // an epoch of one long batch, and one to validate
    let mut process = Process::start();
    process.train(&request);
    // Before the first batch it does not know how many there are.
    let unknown = Answer::Progress { id: 1, epoch: 1, batch: 0, batches: 1 };
    let answer = std::iter::repeat_with(|| process.hear()).find(|answer| *answer != unknown);
    assert_eq!(answer, Some(Answer::Progress { id: 1, epoch: 1, batch: 0, batches: 2 }));
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
    assert!(matches!(process.result().1, Answer::Finished(_)));
}

/// What the system refuses is a fault of the machine; what a request says wrong is not.
#[test]
fn errors_of_files_name_their_cause() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let good = workplace.request("[SM(4)]");
    let full = workplace.path("full");
    std::fs::create_dir(&full).unwrap();
    for name in ["weights-1.safetensors", "checkpoint-1-0-1.safetensors"] {
        std::os::unix::fs::symlink("/dev/full", full.join(name)).unwrap();
    }
    type Change = fn(&mut TrainRequest);
    let changes: [(Change, Option<i32>); 6] = [
        (|r| r.data.folder = "/nonexistent".into(), Some(2)),
        (|r| r.data.split = "/nonexistent".into(), Some(2)),
        (|r| r.staging = "/nonexistent".into(), Some(2)),
        (|r| r.checkpoints = true, Some(28)),
        (|_| (), Some(28)),
        (|r| r.data.classes = 3, None),
    ];
    for (change, expected) in changes {
        let mut request = good.clone();
        request.staging.clone_from(&full);
        change(&mut request);
        process.train(&request);
        let answer = loop {
            match process.hear() {
                Answer::Progress { .. } | Answer::Epoch(_) => {}
                answer => break answer,
            }
        };
        let Answer::Error { cause, errno, message, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(errno, expected, "{message}");
        assert_eq!(cause, expected.map(|_| ErrorCause::Machine), "{message}");
    }
}

/// Whatever the format, and cut, resampled and with extra images as the request says.
#[test]
fn every_format_is_trained_on() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_files");
    for (name, channels, side, classes, resize, extra, images) in [
        ("svhn", 3, 32, 10, None, false, 6),
        ("svhn", 3, 8, 10, Some(8), true, 9),
        ("npz", 3, 5, 3, None, false, 6),
        ("npz-grey", 1, 5, 2, None, false, 4),
        ("pictures", 3, 8, 2, None, false, 6),
        ("pictures-grey", 1, 6, 2, Some(6), false, 4),
    ] {
        let mut request = workplace.request(&format!("[C(2,3,1), SM({classes})]"));
        let split = [images - 2, 2].into_iter().chain(0..images);
        let split: Vec<u8> = split.flat_map(|number: u32| number.to_le_bytes()).collect();
        std::fs::write(workplace.path("other-split"), split).unwrap();
        request.recipe.chance = Some(0.0);
        request.recipe.restarts = 0;
        let (folder, name, split) =
            (files.join(name), name.to_owned(), workplace.path("other-split"));
        let fit = Default::default();
        request.data = DataRequest {
            name,
            folder,
            channels,
            side,
            classes,
            split,
            fit,
            resize,
            extra,
            seed: 0,
        };
        process.train(&request);
        let (epochs, answer) = process.result();
        // Two images are no better than chance, or are: either way they were trained on.
        assert!(matches!(answer, Answer::Finished(_) | Answer::Failed { .. }), "{answer:?}");
        assert_eq!((epochs[0].train_total, epochs[0].validation_total), (images - 2, 2));
        request.data.resize = Some(4);
        process.train(&request);
        assert!(process.error().1.contains("channels and side, the request says"));
    }
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
        let answer = process.result().1;
        let Answer::Failed { reason: FailedReason::TooLarge, .. } = answer else {
            panic!("{architecture}: {answer:?}")
        };
    }
    process.train(&workplace.request("[SM(4)]"));
    assert!(matches!(process.result().1, Answer::Finished(_)));
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
    assert_eq!(examples.len(), 13);
    for (example, number) in examples.into_iter().zip(0..) {
        let error = match number {
            0..=3 => serde_json::from_str::<Request>(example).err(),
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
