//! `schema/reader.py`, which reads stores and exports by `schema/` alone, says the same as the
//! program: events, digests, Q-tables, the best models. What it needs and they do not say, fails here.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(clippy::cast_possible_truncation)]

mod common;
mod history;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::World;
use qtrail::events::codec::decode;
use qtrail::events::digest::Digests;
use qtrail::events::frame::{Head, Payload, Position, seal, view};
use qtrail::events::lines::{Line, Reader, Writer};
use qtrail::events::{Event, Fold as _, KINDS};
use serde_json::{Value, json};

/// Runs the reader.
fn reader(path: &Path, command: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/reader.py");
    Command::new("python3").arg("-B").arg(script).arg(path).arg(command).output().unwrap()
}

#[track_caller]
fn said(path: &Path, command: &str) -> String {
    let output = reader(path, command);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {errors}", path.display());
    String::from_utf8(output.stdout).unwrap()
}

/// Its answer, a value a line.
#[track_caller]
fn values(path: &Path, command: &str) -> Vec<Value> {
    said(path, command).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An export, checked by the program: its events as JSON has them, and the digests.
fn exported(text: &str) -> (Vec<Value>, String) {
    let (mut reader, mut writer) = (Reader::default(), Writer::default());
    let (mut digests, mut events) = (Digests::default(), Vec::new());
    for line in text.lines() {
        if let Line::Event(frame) = reader.line(line.as_bytes()).unwrap() {
            digests.apply(&decode(reader.head().position, &frame).unwrap()).unwrap();
            let line = writer.event(&frame).unwrap();
            let mut value: Value = serde_json::from_str(&line).unwrap();
            value.as_object_mut().unwrap().remove("frame");
            events.push(value);
        }
    }
    reader.finish().unwrap();
    let line = |(scope, digest)| format!("{scope} {digest}\n");
    (events, digests.finish().into_iter().map(line).collect())
}

#[track_caller]
fn same(found: &[Value], expected: &[Value]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

/// A file of this world.
fn file(world: &World, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn the_bundled_log_is_read_from_the_schema_alone() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/data/exhaustive-demo.jsonl.gz");
    let mut text = String::new();
    let packed = fs::File::open(&path).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let (events, digests) = exported(&text);
    assert!(events.len() > 3_000);
    same(&values(&path, "events"), &events);
    assert_eq!(said(&path, "digest"), digests);
    assert!(said(&path, "verify").ends_with(": good\n"));
    assert_eq!(values(&path, "top").len(), 548);
}

/// Golden bytes of every kind and version, and logs with everything that the program records.
#[test]
fn every_kind_of_event_is_decoded_and_digested() {
    let world = World::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden");
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    names.sort_unstable();
    let (mut writer, mut head, mut text) = (Writer::default(), Head::default(), String::new());
    for path in &names {
        let digits: Vec<u8> =
            fs::read(path).unwrap().into_iter().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let golden = view(Position(1), &bytes).unwrap();
        let bytes = golden.payload.to_vec();
        let payload = Payload { kind: golden.kind, version: golden.version, bytes };
        let (frame, next) = seal(head, &payload).unwrap();
        head = next;
        text += &(writer.event(&frame).unwrap() + "\n");
    }
    text += &(writer.close().0 + "\n");
    let path = file(&world, "golden.jsonl", &text);
    let (events, _) = exported(&text);
    assert!(events.len() >= KINDS.len());
    same(&values(&path, "events"), &events);

    // Imports, forks, runs and attacks belong together: the logs of other tests.
    for (name, history) in
        [("several", history::several()), ("attacked", history::attack::attacked())]
    {
        let mut writer = Writer::default();
        let mut text: String =
            history.frames.iter().map(|frame| writer.event(frame).unwrap() + "\n").collect();
        text += &(writer.close().0 + "\n");
        let path = file(&world, name, &text);
        let (events, digests) = exported(&text);
        same(&values(&path, "events"), &events);
        assert_eq!(said(&path, "digest"), digests, "{name}");
    }
}

/// Rows of a table, with these columns.
#[track_caller]
fn table(world: &World, name: &str, columns: &str) -> Vec<Value> {
    let all = ["--search", "all", "--format", "jsonl", "--limit", "100000"];
    let arguments = [&["table", name, "--columns", columns], &all[..]].concat();
    let rows = world.run("store", &arguments).code(0).stdout();
    rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A search, a fork of it and a training by hand: Q-tables after every update, and tables.
#[test]
fn the_q_table_and_the_best_models_are_folded_alike() {
    let world = World::new();
    world.run("store", &World::tiny("7")).code(0);
    world.run("store", &["fork", "s1", "--seed", "9", "--extend", "0.1:2"]).code(0);
    world.run("store", &["resume"]).code(0);
    world.run("store", &["log", "export", "-o", "log.jsonl"]).code(0);
    let export = world.path("log.jsonl");
    let (events, digests) = exported(&fs::read_to_string(&export).unwrap());
    let updates = events.iter().filter(|event| event["kind"] == "replay-updated").count();
    assert!(updates > 20);

    for path in [export, world.path("store")] {
        same(&values(&path, "events"), &events);
        assert_eq!(said(&path, "digest"), digests);
        let verified = said(&path, "verify");
        assert!(verified.contains(&format!("{updates} Q-tables: good")), "{verified}");

        let columns = "search,pair,action,value,updates,layer_type,layer_depth,filter_depth,\
                       filter_size,stride,image_size,fc_size";
        let expected = table(&world, "qtable", columns);
        assert!(expected.iter().any(|row| row["updates"] != json!(0)));
        same(&values(&path, "qtable"), &expected);
        let columns = "rank,accuracy,arch,params,madds,seconds,epsilon,depth,kept,trial,search";
        same(&values(&path, "top"), &table(&world, "top", columns));
    }
}

/// What an import gave is ranked, and its ids follow those of trials before it.
#[test]
fn imported_trials_are_folded_alike() {
    let world = World::new();
    fs::write(world.path("log.csv"), history::IMPORTED_LOG).unwrap();
    fs::write(world.path("q.csv"), history::IMPORTED_Q).unwrap();
    world.run("store", &["import", "metaqnn", "log.csv", "--q-values", "q.csv"]).code(0);
    world.run("store", &["log", "export", "-o", "log.jsonl"]).code(0);
    let columns = "rank,accuracy,arch,params,madds,seconds,epsilon,depth,kept,trial,search";
    let expected = table(&world, "top", columns);
    assert!(!expected.is_empty());
    same(&values(&world.path("log.jsonl"), "top"), &expected);
}

/// Damage is found, in an export and in every file of a store that it reads.
#[test]
fn damage_is_noticed() {
    let world = World::new();
    world.run("store", &World::tiny("7")).code(0);
    world.run("store", &["log", "export", "-o", "log.jsonl"]).code(0);
    let whole = fs::read(world.path("log.jsonl")).unwrap();
    let refused = |path: &Path| {
        let output = reader(path, "events");
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("damaged"));
    };
    let frame = whole.windows(8).position(|bytes| bytes == b"\"frame\":").unwrap() + 40;
    let mut flipped = whole.clone();
    flipped[frame] = if flipped[frame] == b'A' { b'B' } else { b'A' };
    refused(&file(&world, "flipped.jsonl", flipped));
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    refused(&file(&world, "cut.jsonl", lines[..lines.len() - 1].concat()));
    refused(&file(&world, "missing.jsonl", [&lines[..2], &lines[3..]].concat().concat()));

    let journal = fs::read_dir(world.path("store/journal")).unwrap().flatten().next().unwrap();
    let segment = format!("journal/{}", journal.file_name().to_string_lossy());
    for name in ["STORE", &segment] {
        let path = world.path("store").join(name);
        let whole = fs::read(&path).unwrap();
        for at in [10, whole.len() / 2, whole.len() - 10] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            refused(&world.path("store"));
        }
        fs::write(&path, whole).unwrap();
    }
    said(&world.path("store"), "verify");
    let head = world.path("store/HEAD");
    let mut bytes = fs::read(&head).unwrap();
    (bytes[20], bytes[4096 + 20]) = (bytes[20] ^ 1, bytes[4096 + 20] ^ 1);
    fs::write(&head, bytes).unwrap();
    refused(&world.path("store"));
}

/// Its own BLAKE3 is that of the program, at every length that its tree changes at.
#[test]
fn hashes_are_the_same() {
    let lengths = [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 3072, 3073, 5000, 8193];
    let code = format!(
        "import sys; sys.path.insert(0, 'schema'); import reader\n\
         for n in {lengths:?}: print(reader.blake3(bytes(i % 251 for i in range(n))))"
    );
    let output = Command::new("python3")
        .args(["-B", "-c", &code])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let hash = |length: usize| {
        let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        format!("{}\n", qtrail::events::Hash::of(&bytes))
    };
    let expected: String = lengths.into_iter().map(hash).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn numbers_in_single_precision_are_written_alike() {
    let world = World::new();
    let crafted = |loss: f32| qtrail::events::CraftedImage {
        target: 1,
        linf: 255,
        l2: loss,
        changed: 1,
        zero_gradient: 0,
        loss_before: -loss,
        loss_after: f32::from_bits(loss.to_bits().wrapping_add(1)),
    };
    let losses = [0.1, 1e-45, 3.402_823_5e38, 16_777_216.0, 0.333_333_34, f32::NAN, f32::INFINITY];
    let event = Event::from(qtrail::events::ImagesCrafted {
        victim: 0,
        spec: 0,
        first: 0,
        iterations: 1,
        artifact: qtrail::events::Hash([1; 32]),
        images: losses.into_iter().map(crafted).collect(),
        invalid_gradient: None,
    });
    let payload =
        qtrail::events::codec::encode(-7, qtrail::events::Scope::Attack(1), &event).unwrap();
    let (frame, _) = seal(Head::default(), &payload).unwrap();
    let mut writer = Writer::default();
    let text = writer.event(&frame).unwrap() + "\n" + &writer.close().0 + "\n";
    let path = file(&world, "single.jsonl", &text);
    same(&values(&path, "events"), &exported(&text).0);
}

/// The worked values of `schema/README.md` are those of the program.
#[test]
fn worked_values_hold() {
    use qtrail::adversary::transform::{Image, Noise, Transform, chance};
    use qtrail::agent::qtable::QTable;
    use qtrail::agent::space::Space;
    use qtrail::config::learning::Learning;
    use qtrail::config::space::SpaceConfig;
    use qtrail::ensemble::combine::weight;
    use qtrail::events::Hash;

    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/README.md")).unwrap();
    let says = |text: &str| assert!(page.contains(text), "schema/README.md should say {text}");
    let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
    let trajectory = space.trajectory(&"[C(64,3,1), P(2,2), SM(10)]".parse().unwrap()).unwrap();
    assert_eq!(
        (space.states().len(), space.pair_count(), &trajectory[..]),
        (349, 4_058, &[2, 47, 452][..])
    );
    let mut q = QTable::new(space.pair_count(), 0.5);
    says(&format!("| all 0.5 | `{}` |", Hash(q.digest())));
    q.learn(&space, &trajectory, 0.9, Learning::default());
    says(&format!("reward 0.9, alpha 0.01, gamma 1 | `{}` |", Hash(q.digest())));

    let noise = Noise(8.0);
    let image = Image { values: &[100; 4], channels: 1, side: 2 };
    let moved = noise.apply(image, &mut chance(7, &noise, 0, 3));
    assert_eq!(moved, [100, 110, 88, 101]);
    says("the values 100, 100, 100, 100 become 100, 110, 88, 101");
    assert_eq!(format!("{:.4}", weight(25, 100, 10)), "3.2958");
    says("25 wrong of 100 images in 10 classes: ln 3 + ln 9 = 3.2958");
}
