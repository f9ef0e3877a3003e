//! A TorchScript model of ten outputs is attacked with photographs of three classes, through
//! libtorch: its accuracy is right with a mapping of the classes, and only then.
#![cfg(feature = "train")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::fs;

use common::{Ran, World};
use qtrail::data::pictures::png;
use tch::{CModule, Kind, Tensor};

const TRAINER: &str = env!("CARGO_BIN_EXE_qtrail-torch");
/// What the classes are called, how bright their pictures are, and the output that means each.
const CLASSES: [(&str, u8, usize); 3] = [("cat", 40, 7), ("dog", 120, 0), ("emu", 200, 5)];
const PER_CLASS: u8 = 5;
const SIDE: u32 = 16;

/// `photos/PART/CLASS/N.png`, in colour.
fn photos(world: &World) {
    for part in ["train", "test"] {
        for (class, level, _) in CLASSES {
            let folder = world.path("photos").join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..PER_CLASS {
                let value = |at: u32| level + u8::try_from(at % 7).unwrap() + number;
                let pixels: Vec<u8> = (0..3 * SIDE * SIDE).map(value).collect();
                let file = folder.join(format!("{number}.png"));
                fs::write(file, png(3, SIDE, &pixels).unwrap()).unwrap();
            }
        }
    }
}

/// A traced model: the output whose level is nearest to the mean of an image has the highest score.
fn model(world: &World, name: &str) {
    let mut levels = [255.0_f32, 0.0, 1.0, 254.0, 2.0, 0.0, 253.0, 0.0, 3.0, 252.0];
    for (_, level, output) in CLASSES {
        levels[output] = f32::from(level) + 5.0;
    }
    let levels = Tensor::from_slice(&levels);
    let side = i64::from(SIDE);
    let input = Tensor::zeros([2, 3, side, side], (Kind::Float, tch::Device::Cpu));
    let mut forward = |inputs: &[Tensor]| {
        let mean = inputs[0].mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float);
        vec![-((mean.unsqueeze(1) - &levels) / 16.0).square()]
    };
    let module = CModule::create_by_tracing("net", "forward", &[input], &mut forward).unwrap();
    module.save(world.path(name)).unwrap();
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.qtrail("store", arguments);
    Ran(command.env("QTRAIL_TRAINER", TRAINER).env("QTRAIL_CUDA", "0").output().unwrap())
}

#[test]
fn ten_outputs_on_three_classes() {
    let world = World::new();
    qtrail::log::Store::open_or_create(&world.path("store")).unwrap();
    photos(&world);
    model(&world, "ten.pt");
    let mut names = ["?"; 10];
    for (class, _, output) in CLASSES {
        names[output] = class;
    }
    let numbered: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| name.replace('?', &format!("other {at}")))
        .collect();
    fs::write(world.path("names.txt"), numbered.join("\n")).unwrap();
    let object: Vec<String> = numbered
        .iter()
        .enumerate()
        .map(|(at, name)| format!("\"{at}\": [\"n{at}\", \"{name}\"]"))
        .collect();
    fs::write(world.path("names.json"), format!("{{{}}}", object.join(", "))).unwrap();

    let attack = |more: &[&str]| {
        let attack = ["attack", "--model", "torchscript:ten.pt", "--data", "photos", "--eps", "60"];
        let short = ["--threads", "1", "--transform", "none", "--method", "fast"];
        run(&world, &[&attack[..], &short, more].concat())
    };
    let clean = |attack: &str| {
        let columns = ["--k", "1", "--attack", attack, "--columns", "method,top,fraction"];
        let ran =
            run(&world, &[&["table", "robustness", "--format", "csv"], &columns[..]].concat());
        let rows = ran.code(0).stdout();
        rows.lines().find(|row| row.starts_with("clean")).unwrap().to_owned()
    };
    let ran = attack(&[]);
    ran.code(0)
        .says("ten.pt has 10 outputs, photos has 3 classes; they are matched by number alone");
    assert_eq!(clean("a1"), "clean,1/10,0/15");
    let mapped = attack(&["--classes", "7,0,5"]);
    assert!(!mapped.code(0).stderr().contains("by number"), "{}", mapped.stderr());
    assert_eq!(clean("a2"), "clean,1/10,15/15");
    for file in ["names.txt", "names.json"] {
        attack(&["--class-names", file]).code(0).says("a2 is this attack, and is finished");
        attack(&["--class-names", file, "--seed", "1"]).code(0);
        assert_eq!(clean("a3"), "clean,1/10,15/15");
    }
}
