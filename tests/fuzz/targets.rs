//! Fuzz targets: every parser that reads bytes of others, each with what must hold for any bytes.
//!
//! `tests/fuzz_inputs.rs` runs them on mutated samples in `make test`, `fuzz/` runs the same
//! functions in libFuzzer. A target panics if something does not hold. No target may panic, abort,
//! take long, or allocate more than [`Target::memory`], whatever the bytes.

use std::cell::OnceCell;
use std::path::PathBuf;

use qtrail::adversary::classes::{Classes, read_outputs};
use qtrail::adversary::pack::{pack, unpack};
use qtrail::adversary::protocol::Settings;
use qtrail::adversary::sampling::Sampling;

use qtrail::arch::shape::Map;
use qtrail::arch::{Architecture, GapHead, Notation, PoolRule, Shapes};
use qtrail::config::expression::{Expression, Known};
use qtrail::config::recipe::Recipe;
use qtrail::config::replay::Policy;
use qtrail::config::space::SpaceConfig;
use qtrail::config::{SearchConfig, recipes};
use qtrail::data::cifar::Version;
use qtrail::data::idx::Kind;
use qtrail::data::{Format, Part, Reading, Split, idx, mat, npz};
use qtrail::events::codec::{decode, encode, restore};
use qtrail::events::digest::Digests;
use qtrail::events::frame::{Frame, Head, Payload, Position, seal, view};
use qtrail::events::lines::{Reader, Writer};
use qtrail::events::{Fold as _, Recorded};
use qtrail::import::{metaqnn, qvalues};
use qtrail::lab::settings::Seeds;
use qtrail::log::journal::record;
use qtrail::tensors;
use qtrail::trainer::protocol::{Answer, Request};

/// A parser under test.
pub struct Target {
    /// Its name, also that of the program in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Parses the bytes, and panics if something is not as it must be.
    pub run: fn(&[u8]),
    /// Inputs that `make test` runs, in percent of the whole number: fewer where one takes long.
    pub percent: u32,
    /// Most bytes that one input may have allocated at a time.
    pub memory: usize,
}

const MIB: usize = 1 << 20;

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame, percent: 100, memory: 4 * MIB },
    Target { name: "event", run: event, percent: 100, memory: 4 * MIB },
    Target { name: "journal", run: journal, percent: 100, memory: 4 * MIB },
    Target { name: "export", run: export, percent: 25, memory: 4 * MIB },
    Target { name: "trainer", run: trainer, percent: 100, memory: 4 * MIB },
    Target { name: "config", run: config, percent: 20, memory: 16 * MIB },
    Target { name: "notation", run: notation, percent: 100, memory: 4 * MIB },
    Target { name: "expression", run: expression, percent: 100, memory: 4 * MIB },
    Target { name: "idx", run: idx_file, percent: 50, memory: 64 * MIB },
    Target { name: "npz", run: npz_file, percent: 20, memory: 64 * MIB },
    Target { name: "mat", run: mat_file, percent: 50, memory: 64 * MIB },
    Target { name: "cifar", run: cifar_file, percent: 50, memory: 64 * MIB },
    Target { name: "png", run: png_picture, percent: 15, memory: 64 * MIB },
    Target { name: "jpeg", run: jpeg_picture, percent: 20, memory: 512 * MIB },
    Target { name: "checkpoint", run: checkpoint, percent: 100, memory: 4 * MIB },
    Target { name: "differences", run: differences, percent: 100, memory: 4 * MIB },
    Target { name: "split", run: split, percent: 100, memory: 4 * MIB },
    Target { name: "import", run: import, percent: 25, memory: 16 * MIB },
];

/// The target of this name.
pub fn named(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of this name")
}

/// A stored frame: its bytes as they are, and with a checksum that fits them.
pub fn frame(bytes: &[u8]) {
    let position = Position(1);
    checked_frame(position, bytes);
    if let Some((covered, _)) = bytes.split_last_chunk::<4>() {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&position.key());
        crc.update(covered);
        checked_frame(position, &[covered, &crc.finalize().to_le_bytes()].concat());
    }
}

fn checked_frame(position: Position, bytes: &[u8]) {
    let Ok(view) = view(position, bytes) else { return };
    let (kind, version, payload) = (view.kind, view.version, view.payload.to_vec());
    if let Ok(head) = view.follows(Head::default()) {
        // A frame that continues the chain is the one that sealing gives.
        let sealed = seal(Head::default(), &Payload { kind, version, bytes: payload });
        assert_eq!(sealed, Ok((Frame(bytes.to_vec()), head)));
    }
    let frame = Frame(bytes.to_vec());
    if let Ok(recorded) = decode(position, &frame) {
        sound(&recorded);
    }
}

/// A payload: two bytes each for kind and version, then the payload.
pub fn event(bytes: &[u8]) {
    let Some((&[k0, k1, v0, v1], payload)) = bytes.split_first_chunk::<4>() else { return };
    let (kind, version) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([v0, v1]));
    let payload = Payload { kind, version, bytes: payload.to_vec() };
    if let Ok(recorded) = restore(Position(1), &payload) {
        sound(&recorded);
    }
}

/// What can be decoded can be encoded, shown, digested, and comes back the same.
fn sound(recorded: &Recorded) {
    let Recorded { position, at, scope, event } = recorded;
    // Encodings are not canonical: the new one may be longer than a payload can be.
    if let Ok(payload) = encode(*at, *scope, event) {
        let again = restore(*position, &payload).expect("what was encoded decodes");
        let twice = encode(again.at, again.scope, &again.event).expect("it encodes again");
        assert_eq!(twice, payload);
    }
    assert!(serde_json::to_string(event).is_ok());
    assert!(serde_json::to_string(&event.clone().anonymous()).is_ok());
    let digests = Digests::default().folded([recorded]).expect("what was decoded has a digest");
    let _ = digests.finish();
}

/// A record of the journal, or the header of a segment: as they are, and with checksums that fit.
pub fn journal(bytes: &[u8]) {
    journal_record(bytes);
    let mut mended = bytes.to_vec();
    let length = mended.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four) as usize);
    if let Some(record) = mended.get_mut(..length.saturating_add(record::RECORD_OVERHEAD))
        && let Some((covered, crc)) = record.split_last_chunk_mut::<4>()
    {
        *crc = crc32fast::hash(covered).to_le_bytes();
        journal_record(&mended);
    }
    if let Ok(header) = record::Header::parse(bytes) {
        assert_eq!(header.encode(), bytes[..record::SEGMENT_HEADER_LEN]);
    }
}

fn journal_record(bytes: &[u8]) {
    let Ok(found) = record::parse(bytes) else { return };
    assert!(found.size() <= bytes.len());
    let frames: Vec<Frame> = found.positioned().map(|(_, frame)| Frame(frame.to_vec())).collect();
    assert_eq!(frames.len(), found.count);
    assert_eq!(found.positioned().last().map(|(position, _)| position), Some(found.last()));
    // Encoded again it is the same record.
    assert_eq!(record::encode(found.first, &frames), bytes[..found.size()]);
}

/// The lines of an exported log.
pub fn export(bytes: &[u8]) {
    let mut reader = Reader::default();
    let (mut writer, mut events) = (Writer::default(), 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        match reader.line(line) {
            Ok(qtrail::events::lines::Line::Event(frame)) => {
                events += 1;
                writer.event(&frame).expect("a frame that was read can be written");
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
        }
        assert_eq!(reader.head().position.0, events);
    }
    let _ = reader.finish();
}

/// A line between qtrail and a trainer, either way.
pub fn trainer(bytes: &[u8]) {
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        let text = serde_json::to_vec(&answer).expect("an answer has JSON");
        // Infinite numbers have none; JSON does not have them, so they do not come out of it.
        assert_eq!(serde_json::from_slice::<Answer>(&text).ok(), Some(answer));
    }
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        assert!(serde_json::to_vec(&request).is_ok());
    }
}

/// Settings: of a search, a recipe, an attack, the replay lab; a single `KEY=VALUE`; names of outputs.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(config) = SearchConfig::read(text, None, &[]) {
        let canonical = config.to_toml();
        let again = SearchConfig::read(&canonical, None, &[]).expect("its own text reads back");
        assert_eq!(again.to_toml(), canonical);
    }
    let _ = SearchConfig::read("", None, &[text.to_owned()]);
    if let Ok(recipe) = recipes::read(text, &Recipe::default()) {
        assert!(toml::to_string(&recipe).is_ok());
    }
    if let Ok(settings) = Settings::read(text)
        && settings.check().is_ok()
    {
        let _ = settings.specs();
        let _ = settings.transforms();
    }
    if let Ok(outputs) = read_outputs(text) {
        let names: Vec<String> = text.lines().take(9).map(str::to_owned).collect();
        let classes = Classes { data: "fuzz", names: &names, counts: &[1, 0, 2] };
        let mapping = classes.by_names(&outputs).unwrap_or_default();
        let _ = classes.check(&mapping, "model", u32::try_from(outputs.len()).unwrap_or(0));
    }
    let _ = Sampling::of_config(text);
    let _ = toml::from_str::<qtrail::lab::settings::Settings>(text);
    let _ = toml::from_str::<qtrail::lab::simulation::Simulation>(text);
    if let Ok(policy) = text.parse::<Policy>() {
        assert_eq!(policy.to_string().parse::<Policy>().ok(), Some(policy));
    }
    let _ = text.parse::<Seeds>();
}

/// An architecture as a text, and its sizes on small and large images.
pub fn notation(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(notation) = Notation::parse(text) else { return };
    let net = notation.architecture;
    assert_eq!(net.to_string().parse::<Architecture>().as_ref(), Ok(&net));
    for input in [Map { channels: 1, side: 28 }, Map { channels: 16, side: 4096 }] {
        for gap in [GapHead::Direct, GapHead::ReluAndFull] {
            for rule in [PoolRule::True, PoolRule::Printed] {
                if let Ok(shapes) = Shapes::of(&net, input, gap, rule) {
                    assert!(shapes.parameters() >= shapes.layers[0].parameters);
                    assert!(shapes.multiply_adds() >= shapes.layers[0].multiply_adds);
                }
            }
        }
    }
}

/// An expression of a reward, and its value.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Expression>() {
        Ok(expression) => {
            let mut known = Known::default();
            for fact in expression.facts() {
                known.set(fact, Some(0.5));
            }
            assert!(expression.value(&known).is_none_or(f64::is_finite));
            let _ = expression.value(&Known::default());
            let again = expression.to_string().parse::<Expression>();
            assert_eq!(again.as_ref(), Ok(&expression));
        }
        // Where it is wrong can be shown.
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file of MNIST's format: images or labels.
pub fn idx_file(bytes: &[u8]) {
    let path = file("images", bytes);
    let (square, any) =
        (idx::read(&path, Kind::Images, true), idx::read(&path, Kind::Images, false));
    if let Ok(found) = &any {
        assert_eq!(found.header.payload(), found.payload.len() as u64);
        assert_eq!(idx::peek(&path, Kind::Images).ok(), Some(found.header));
    }
    assert!(square.is_err() || any.is_ok());
    if let Ok(labels) = idx::read(&path, Kind::Labels, true) {
        assert_eq!(labels.header.count as usize, labels.payload.len());
    }
}

/// NumPy arrays in a ZIP archive.
pub fn npz_file(bytes: &[u8]) {
    let path = file("arrays.npz", bytes);
    for part in Part::ALL {
        let _ = npz::has(&path, part);
        let _ = npz::peek(&path, part);
        whole(npz::read(&path, part, None));
    }
    whole(npz::read(&path, Part::Train, Some(4)));
}

/// SVHN's MATLAB files.
pub fn mat_file(bytes: &[u8]) {
    let path = file(mat::TRAIN, bytes);
    let _ = mat::peek(&path);
    whole(mat::read(&path, None));
    whole(mat::read(&path, Some(4)));
}

/// CIFAR's records, of ten classes and of a hundred.
pub fn cifar_file(bytes: &[u8]) {
    for (version, name) in [(Version::Ten, "data_batch_1.bin"), (Version::Hundred, "train.bin")] {
        let path = file(name, bytes);
        let folder = path.parent().expect("it lies in a folder");
        let count = version.count(folder, Part::Train).ok();
        if let Some(images) = whole(version.read(folder, Part::Train, None)) {
            assert_eq!(count, Some(images.into()));
        }
    }
}

/// A PNG picture, as it is and with checksums that fit.
pub fn png_picture(bytes: &[u8]) {
    picture("1.png", bytes);
    picture("1.png", &with_png_checksums(bytes));
}

/// A JPEG picture.
pub fn jpeg_picture(bytes: &[u8]) {
    picture("1.jpg", bytes);
}

fn picture(name: &str, bytes: &[u8]) {
    let folder = scratch().join(name);
    let class = folder.join("train/a");
    std::fs::create_dir_all(&class).expect("a folder");
    std::fs::write(class.join(name), bytes).expect("a file");
    let _ = Format::Pictures.glance(&folder, Part::Train);
    whole(Format::Pictures.read(&folder, Part::Train, Reading::default()));
}

/// The chunks of a PNG with their checksums made anew, so that what is inside is looked at.
fn with_png_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 8;
    while let Some(&[a, b, c, d]) = bytes.get(at..at + 4).and_then(|four| four.first_chunk()) {
        let end = at + 8 + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(chunk) = bytes.get(at + 4..end) else { break };
        let crc = crc32fast::hash(chunk).to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&crc);
        at = end + 4;
    }
    bytes
}

/// Tensors in safetensors: weights and checkpoints.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(found) = tensors::read(bytes) else { return };
    let written = tensors::safetensors(&found, &[]);
    let again = tensors::read(&written).expect("what was written reads back");
    assert_eq!(again.len(), found.len());
    let _ = tensors::npz(&found);
}

/// Packed differences of crafted images, against clean ones of a few sizes.
pub fn differences(bytes: &[u8]) {
    for length in [0_u8, 1, 12, 24] {
        let clean: Vec<u8> = (0..length).map(|value| value.wrapping_mul(21)).collect();
        let Ok(parts) = unpack(bytes, &clean) else { continue };
        let packed = pack(&clean, clean.len().max(1), &parts).expect("it packs again");
        assert_eq!(unpack(&packed, &clean).ok(), Some(parts));
    }
}

/// The artifact with the split of a data set.
pub fn split(bytes: &[u8]) {
    for images in [0, 10, u32::MAX] {
        if let Ok(split) = Split::from_bytes(bytes, images) {
            assert_eq!(split.to_bytes(), bytes);
        }
    }
}

/// The files of the MetaQNN authors' program.
pub fn import(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let space = SpaceConfig { filters: vec![64], ..SpaceConfig::paper(4) };
    if let Ok(log) = metaqnn::Log::read(text, 28, &space) {
        let _ = log.tally();
    }
    let _ = qvalues::read(text);
}

/// Images that were read are as many as their labels, and their bytes as many as they need.
fn whole(read: Result<qtrail::data::Images, qtrail::data::DataError>) -> Option<u32> {
    match read {
        Ok(images) => {
            assert_eq!(images.labels.len(), images.count as usize);
            assert_eq!(images.pixels.len(), images.count as usize * images.length());
            Some(images.count)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// A file with these bytes, in a folder of this thread.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn scratch() -> PathBuf {
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|folder| {
        // In memory where that is to be had: files are written by the hundred thousand.
        let parent = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
        let made = || parent.iter().find_map(|parent| tempfile::tempdir_in(parent).ok());
        let folder = folder.get_or_init(|| made().expect("a folder"));
        folder.path().to_owned()
    })
}
