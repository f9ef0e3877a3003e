//! Memory that training takes: the largest network of the paper's appendix (Table A2, number 1) at
//! batch 128 on a CPU stays below 4 GB. `cargo bench --features train --bench memory`
//!
//! Two gradient steps on random images and their evaluation, then a tiny network in the same
//! process, whose peak must be its own. Minutes on two cores.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use qtrail::chance::Stream;
use qtrail::config::recipe::{Recipe, WeightsOf};
use qtrail::data::Split;
use qtrail::trainer::protocol::{Answer, DataRequest, Fit, Request, TrainRequest};

/// Table A2, number 1: 11.26 million parameters.
const LARGE: &str = "[C(512,5,1), C(256,3,1), C(256,5,1), C(256,3,1), P(5,3), C(512,3,1), \
                     C(512,5,1), P(2,2), SM(10)]";
const SMALL: &str = "[C(8,3,1), P(2,2), SM(10)]";
const IMAGES: u32 = 512;
const LIMIT: u64 = 4_000_000_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = Stream::new(1, "bench", 0);
    let mut file = Vec::new();
    for image in 0..IMAGES {
        file.push(u8::try_from(image % 10).unwrap());
        file.extend((0..384).flat_map(|_| chance.bits().to_le_bytes()));
    }
    let path = |name: &str| folder.path().join(name);
    fs::write(path("data_batch_1.bin"), &file).unwrap();
    let labels: Vec<u8> = (0..IMAGES).map(|image| u8::try_from(image % 10).unwrap()).collect();
    let split = Split::draw(&labels, 256, Some(256), 1).unwrap();
    fs::write(path("split"), split.to_bytes()).unwrap();
    let mut trainer = Command::new(env!("CARGO_BIN_EXE_qtrail-torch"))
        .env("QTRAIL_CUDA", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = trainer.stdin.take().unwrap();
    let mut lines = BufReader::new(trainer.stdout.take().unwrap()).lines();
    let mut peaks = Vec::new();
    for architecture in [SMALL, LARGE, SMALL] {
        let request = TrainRequest {
            id: 1,
            architecture: architecture.parse().unwrap(),
            recipe: Recipe { epochs: 1, restarts: 0, chance: Some(0.0), ..Recipe::default() },
            seed: 1,
            data: DataRequest {
                name: "random".into(),
                folder: folder.path().to_owned(),
                channels: 3,
                side: 32,
                classes: 10,
                split: path("split"),
                fit: Fit::Train,
                resize: None,
                extra: false,
                seed: 0,
            },
            device: "cpu".into(),
            threads: 0,
            weights: WeightsOf::Best,
            staging: folder.path().to_owned(),
            initial: None,
            checkpoints: false,
            resume: None,
            predict: false,
        };
        let request = Request::Train(Box::new(request));
        writeln!(stdin, "{}", serde_json::to_string(&request).unwrap()).unwrap();
        let peak = loop {
            match serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() {
                Answer::Progress { .. } => {}
                Answer::Epoch(epoch) => println!("{:8.1} s an epoch", epoch.seconds),
                Answer::Finished(finished) => break finished.peak_memory,
                other => panic!("{other:?}"),
            }
        };
        println!("{:8.1} MB at most  {architecture}", peak as f64 / 1e6);
        peaks.push(peak);
    }
    drop(stdin);
    trainer.wait().unwrap();
    assert!(peaks[1] < LIMIT, "{} bytes", peaks[1]);
    assert!(peaks[2] < peaks[1] / 2, "the peak of a trial is that of another one: {peaks:?}");
}
