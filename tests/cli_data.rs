//! `qtrail data`, and data sets of every kind named on the command line.
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use common::World;
use qtrail::events::Event;

fn files(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_files");
    folder.join(name).display().to_string()
}

#[test]
fn some_classes_of_a_set_are_a_set_by_name() {
    let world = World::new();
    let split = ["data", "split", "data", "--classes", "0-1,3"];
    world.run("s", &split).code(0).says("data-0-1_3 is in").says("120 + 120 images");
    world.run("s", &split).code(0).says("already");
    let list = world.run("s", &["data", "list"]);
    list.code(0).says("120 + 120").says("classes 0-1,3 of data").says("(qtrail data fetch svhn)");
    let search = |name: &'static str| {
        vec![
            "search",
            "--preset",
            "tiny",
            "--data",
            name,
            "--set",
            "data.validation=30",
            "--set",
            "data.train=60",
            "--threads",
            "1",
        ]
    };
    world.run("s", &search("data-0-1_3")).code(0).says(
        "s1: data-0-1_3, 60 images to train on and 30 to validate on, 3 classes, 28 x 28 pixels",
    );
    world
        .run("s", &["data", "split", "data", "--classes", "8-10"])
        .code(2)
        .says("its classes are 0 to 9");
    world.run("s", &["data", "split", "data", "--classes", "x"]).code(2).says("looks like 0-4,7");
}

#[test]
fn images_are_resized_as_recorded() {
    let world = World::new();
    let mut search = World::tiny("1");
    search.extend(["--resize", "14"]);
    world.run("s", &search).code(0).says("10 classes, 14 x 14 pixels");
    world.run("s", &World::tiny("1")).code(0).says("10 classes, 28 x 28 pixels");
    let events = world.events("s");
    let started: Vec<_> = events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::SearchStarted(started) => Some(&started.data),
            _ => None,
        })
        .collect();
    assert_eq!([started[0].side, started[1].side], [14, 28]);
    assert_ne!(started[0].content, started[1].content, "the images as they were seen");
    let texts = events.iter().filter_map(|recorded| match &recorded.event {
        Event::ConfigPart(part) => Some(part.text.as_str()),
        _ => None,
    });
    assert_eq!(texts.filter(|text| text.contains("resize = 14")).count(), 1);
    world.run("s", &["search", "--preset", "tiny", "--resize", "0"]).code(2).says("--resize");
}

#[test]
fn an_interrupted_search_goes_on_with_images_resized() {
    let world = World::new();
    let mut search = World::tiny("2");
    search.extend(["--resize", "10"]);
    let mut child = world.start("s", &search, "0.05");
    while world.position("s") < 10 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.run("s", &["resume"]).code(0).says("10 x 10 pixels");
    world.run("unbroken", &search).code(0);
    assert_eq!(world.digest("s"), world.digest("unbroken"));
}

#[test]
fn the_mean_image_is_shown_and_written() {
    let world = World::new();
    let pictures = files("pictures");
    let arguments = ["data", "check", &pictures, "--mean-image", "mean.png", "--resize", "4"];
    let ran = world.run("s", &arguments);
    ran.code(0).says(": pictures").says("cat").says("the mean image of the training part:\n");
    let drawn = ran.stdout().lines().rev().take_while(|line| !line.ends_with("part:")).count();
    assert_eq!(drawn, 2, "{}", ran.stdout());
    let file = BufReader::new(File::open(world.path("mean.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height, info.color_type), (4, 4, png::ColorType::Rgb));
    assert!(pixels.iter().any(|&value| value > 0));
    let ran = world.run("s", &["data", "check", "data"]);
    ran.code(0).says("40").says("nothing published").says("@");
}

/// Of every set that a preset names, somebody who has not fetched it is told how.
#[test]
fn presets_say_how_their_images_are_fetched() {
    let world = World::new();
    for (preset, set) in
        [("cifar10", "cifar10"), ("svhn", "svhn"), ("svhn-small", "svhn"), ("mnist", "mnist")]
    {
        let ran = world.run("s", &["search", "--preset", preset]);
        ran.code(2).says(&format!("the data set {set} is not here"));
        ran.says(&format!("`qtrail data fetch {set}` brings it"));
        assert!(!world.path("s").exists(), "bad input changes nothing");
    }
}

/// What lies under a known name is held against what is known, after all of it was shown.
#[test]
fn impostors_are_named() {
    let world = World::new();
    let home = world.path(".cache/qtrail/data");
    std::fs::create_dir_all(&home).unwrap();
    for (name, set) in
        [("svhn", files("svhn")), ("mnist", world.path("data").display().to_string())]
    {
        std::os::unix::fs::symlink(set, home.join(name)).unwrap();
        let ran = world.run("s", &["data", "check", name]);
        ran.code(2)
            .says("DIFFERS")
            .says("the mean image")
            .says(&format!("is not the file of {name}"));
        ran.says(&format!("`qtrail data fetch {name}` replaces it"));
        world.run("s", &["search", "--preset", name]).code(2).says("is not the file of");
    }
    // Of CIFAR-100 only the numbers are known.
    let folder = home.join("cifar100");
    std::fs::create_dir(&folder).unwrap();
    for part in ["train.bin", "test.bin"] {
        let records: Vec<u8> =
            (0..100).flat_map(|fine| [vec![fine % 20, fine], vec![9; 3072]].concat()).collect();
        std::fs::write(folder.join(part), records).unwrap();
    }
    let ran = world.run("s", &["data", "check", "cifar100"]);
    ran.code(2).says("nothing published").says("has 100 images, cifar100 has 50000");
}

#[test]
fn extra_images_need_a_set_that_has_them() {
    let world = World::new();
    let (svhn, npz) = (files("svhn"), files("npz"));
    let train = |data: &str, validation: &str| {
        let validation = format!("data.validation={validation}");
        let arguments = [
            "train",
            "[SM(10)]",
            "--data",
            data,
            "--set",
            "data.extra=true",
            "--set",
            &validation,
            "--set",
            "data.train=5",
        ];
        world.run("s", &arguments)
    };
    let ran = train(&npz, "1");
    ran.code(2).says("has no extra_32x32.mat").says("`qtrail data fetch svhn --extra`");
    train(&svhn, "3").code(0).says("5 images to train on and 3 to validate on");
    train(&svhn, "9").code(2).says("ask for fewer");
    world.run("s", &["data", "check", &svhn, "--extra"]).code(0).says("extra_32x32.mat");
    world
        .run("s", &["data", "fetch", "mnist", "--extra"])
        .code(2)
        .says("only svhn has extra images");
}

/// Labels that begin at 1 leave class 0 empty, and shift names: by all who use them that is noticed.
#[test]
fn classes_that_look_wrong_are_noticed() {
    let world = World::new();
    let labels = |shift: u8| {
        for part in ["train", "t10k"] {
            let path = world.path("data").join(format!("{part}-labels-idx1-ubyte"));
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[8..].iter_mut().for_each(|label| *label += shift);
            std::fs::write(&path, bytes).unwrap();
        }
    };
    let names = |text: &[u8]| std::fs::write(world.path("data/class-names.txt"), text).unwrap();
    let check = ["data", "check", "data"];
    let digits = "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    names(digits.as_bytes());
    assert_eq!(world.run("s", &check).code(0).stderr(), "");
    labels(1);
    let shifted = "10 class names for 11 classes; class 0 has no images; are the labels 1 to 10?";
    world.run("s", &check).code(2).says("the mean image").says(shifted);
    world.run("s", &World::tiny("1")).code(2).says(shifted);
    world.run("s", &["data", "split", "data", "--classes", "1-3"]).code(2).says(shifted);
    assert!(!world.path("s").exists(), "nothing is begun");
    names(format!("none\n{digits}").as_bytes());
    let said = "data: class 0 has no images; are the labels 1 to 10?";
    world.run("s", &check).code(0).says(said);
    world.run("s", &World::tiny("1")).code(0).says(said);
    for (text, expected) in [
        (&b"a\n\nb\n"[..], "class-names.txt is no good file of class names: line 2 is empty"),
        (b"\xff\xfea\0", "it is UTF-16, expected UTF-8"),
        (b"a\nb\xe9\n", "line 2 is not UTF-8"),
    ] {
        names(text);
        world.run("s", &check).code(2).says(expected);
    }
    // Windows ends lines otherwise and marks UTF-8; more names than classes are said.
    names(format!("\u{feff}none\n{digits}more\n").replace('\n', "\r\n").as_bytes());
    let more = "12 class names for 11 classes: there are no images of class 11 (more)";
    world.run("s", &check).code(0).says(said).says(more);
}
