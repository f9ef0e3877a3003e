//! Samples that mutations begin from: golden events, the files of other tests, and some made here.

use std::fs;
use std::path::{Path, PathBuf};

use qtrail::adversary::pack::{Part, pack};
use qtrail::adversary::protocol::Settings;
use qtrail::config::presets::PRESETS;
use qtrail::data::idx::{Header, Kind};
use qtrail::events::Hash;
use qtrail::events::frame::{Frame, Head, Payload, Position, seal, view};
use qtrail::events::lines::Writer;
use qtrail::log::journal::record;
use qtrail::log::store::StoreId;
use qtrail::tensors::{Tensor, safetensors};

/// The samples of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "frame" => golden(),
        "event" => golden().iter().map(|frame| [&frame[2..6], payload(frame)].concat()).collect(),
        "journal" => journals(),
        "export" => exports(),
        "trainer" => texts(MESSAGES),
        "config" => configs(),
        "notation" => texts(NETS),
        "expression" => texts(EXPRESSIONS),
        "idx" => idx_files(),
        "npz" => npz_files(),
        "mat" => mat_files(),
        "cifar" => cifar_files(),
        "png" => pngs(),
        "jpeg" => files("tests/data_files", &["jpg", "jpeg"]),
        "checkpoint" => checkpoints(),
        "differences" => differences(),
        "split" => vec![words(&[3, 2, 0, 4, 9, 1, 2]), words(&[0, 0]), words(&[1, 0, 7])],
        "import" => files("tests/history", &["csv"]),
        other => panic!("{other} has no samples"),
    }
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Files with these extensions below a folder of the project, in the order of their names.
fn files(folder: &str, extensions: &[&str]) -> Vec<Vec<u8>> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if extensions.iter().any(|wanted| path.extension().is_some_and(|e| e == *wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    assert!(!found.is_empty(), "{folder} has no samples");
    found.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The frames of golden events.
fn golden() -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let frame = |text: Vec<u8>| {
        let digits: Vec<u8> = text.into_iter().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(byte).collect()
    };
    files("schema/golden", &["hex"]).into_iter().map(frame).collect()
}

fn payload(frame: &[u8]) -> &[u8] {
    &frame[10..frame.len() - 36]
}

/// Golden events, each the first of a log, as one log.
fn sealed(golden: &[Vec<u8>]) -> Vec<Frame> {
    let mut head = Head::default();
    let seal = |bytes: &Vec<u8>| {
        let golden = view(Head::default().position.next(), bytes).unwrap();
        let (kind, version, bytes) = (golden.kind, golden.version, golden.payload.to_vec());
        let (frame, next) = seal(head, &Payload { kind, version, bytes }).unwrap();
        head = next;
        frame
    };
    golden.iter().map(seal).collect()
}

/// Records of the journal of a few events each, and a segment header.
fn journals() -> Vec<Vec<u8>> {
    let first = Position(1);
    let mut all: Vec<Vec<u8>> =
        golden().chunks(3).map(|few| record::encode(first, &sealed(few))).collect();
    let before = Head { position: Position(41), ..Head::default() };
    all.push(record::Header { store: StoreId([4; 16]), before }.encode().to_vec());
    all
}

/// Exports of the golden events, a few each.
fn exports() -> Vec<Vec<u8>> {
    let export = |golden: &[Vec<u8>]| {
        let mut writer = Writer::default();
        let mut lines: Vec<String> =
            sealed(golden).iter().map(|frame| writer.event(frame).unwrap()).collect();
        lines.push(writer.artifact(Hash([7; 32])));
        lines.push(writer.close().0);
        (lines.join("\n") + "\n").into_bytes()
    };
    golden().chunks(3).map(export).collect()
}

/// Presets, recipes, settings of attacks, and single settings.
fn configs() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        PRESETS.iter().map(|(_, _, text)| text.as_bytes().to_vec()).collect();
    all.extend(files("recipes", &["toml"]));
    for name in ["kurakin2017", "small", "custom"] {
        all.push(Settings::of_protocol(name, 3).unwrap().to_toml().into_bytes());
    }
    all.extend(texts(SETTINGS));
    all
}

fn idx_files() -> Vec<Vec<u8>> {
    let header = |kind, count, channels, side| {
        Header { kind, count, channels, rows: side, columns: side }.bytes()
    };
    let with = |header: Vec<u8>, bytes: usize| {
        [header, (0..bytes).map(|byte| byte as u8).collect()].concat()
    };
    let plain = vec![
        with(header(Kind::Images, 3, 1, 4), 48),
        with(header(Kind::Images, 2, 3, 2), 24),
        with(header(Kind::Labels, 5, 1, 1), 5),
    ];
    let packed = plain.iter().map(|bytes| gzip(bytes)).collect();
    [plain, packed].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npz_files() -> Vec<Vec<u8>> {
    let array = |name: &str, shape: &[usize]| {
        let bytes = (0..shape.iter().product()).map(|byte: usize| byte as u8).collect();
        Tensor::of_bytes(name, shape, bytes)
    };
    let labels = |name: &str| Tensor::of_numbers(name, [1, 0].into_iter());
    let whole = [
        array("x_train", &[2, 3, 3]),
        labels("y_train"),
        array("x_test", &[2, 2, 2, 3]),
        labels("y_test"),
    ];
    let mut all = files("tests/data_files", &["npz"]);
    all.push(qtrail::tensors::npz(&whole).unwrap());
    all
}

/// Small MAT files; those of other tests are large.
fn mat_files() -> Vec<Vec<u8>> {
    let element = |kind: u32, bytes: &[u8]| {
        let mut element = words(&[kind, bytes.len() as u32]);
        element.extend(bytes);
        element.resize(element.len().next_multiple_of(8), 0);
        element
    };
    let matrix = |name: &str, dimensions: &[u32], kind: u32, values: &[u8]| {
        let inside = [
            element(6, &words(&[kind, 0])),
            element(5, &words(dimensions)),
            element(1, name.as_bytes()),
            element(kind, values),
        ];
        element(14, &inside.concat())
    };
    let file = |elements: &[Vec<u8>]| {
        let mut file = vec![b' '; 124];
        file.extend([0, 1, b'I', b'M']);
        file.extend(elements.concat());
        file
    };
    let pixels: Vec<u8> = (0..24).collect();
    let x = matrix("X", &[2, 2, 3, 2], 2, &pixels);
    let doubles: Vec<u8> = [10.0_f64, 2.0].iter().flat_map(|label| label.to_le_bytes()).collect();
    let ys = [
        matrix("y", &[2, 1], 2, &[1, 10]),
        matrix("y", &[2, 1, 1, 1], 4, &[1, 0, 10, 0]),
        matrix("y", &[2, 1], 9, &doubles),
        matrix("y", &[1 << 16, 1 << 16, 1 << 16, 1 << 16], 2, &[1, 10]),
    ];
    let mut all: Vec<Vec<u8>> = ys.iter().map(|y| file(&[x.clone(), y.clone()])).collect();
    all.push(file(&[ys[0].clone(), matrix("more", &[1], 2, &[3]), x]));
    all.push(files("tests/data_files/svhn", &["mat"]).remove(2));
    all
}

fn pngs() -> Vec<Vec<u8>> {
    let mut all = files("tests/data_files", &["png", "PNG"]);
    // One that announces far more pixels than it holds.
    let mut large = all[0].clone();
    large[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x10, 0]);
    all.push(large);
    all
}

fn cifar_files() -> Vec<Vec<u8>> {
    let record = |labels: &[u8]| {
        let pixels = (0..3072).map(|pixel| (pixel % 251) as u8);
        labels.iter().copied().chain(pixels).collect::<Vec<u8>>()
    };
    vec![record(&[3]), [record(&[9]), record(&[0])].concat(), record(&[19, 99])]
}

fn checkpoints() -> Vec<Vec<u8>> {
    let tensors = [
        Tensor::of_bytes("clean", &[2, 1, 1, 3], vec![1, 2, 3, 4, 5, 6]),
        Tensor::of_numbers("numbers", [7, -1].into_iter()),
    ];
    let by_hand = |header: &str, values: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    };
    vec![
        safetensors(&tensors, &[("attack", "a1".into())]),
        safetensors(&[], &[]),
        by_hand(
            "{\"weights\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
             \"best\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[8,16]}}",
            &[1; 16],
        ),
    ]
}

fn differences() -> Vec<Vec<u8>> {
    let clean: Vec<u8> = (0..24_u8).map(|value| value.wrapping_mul(21)).collect();
    let moved = |eps: u8, by: fn(usize, u8) -> u8| Part {
        spec: eps.into(),
        eps,
        pixels: clean.iter().enumerate().map(|(at, value)| by(at, *value)).collect(),
    };
    let parts = [
        moved(8, |_, value| value.saturating_add(8)),
        moved(4, |at, value| value.saturating_sub(at as u8 % 5)),
        moved(1, |at, value| value.saturating_add(at as u8 % 2)),
    ];
    vec![
        pack(&clean, 12, &parts).unwrap(),
        pack(&clean[..12], 12, &[]).unwrap(),
        pack(&clean[..1], 1, &[Part { pixels: vec![clean[0]], ..parts[0].clone() }]).unwrap(),
    ]
}

const NETS: &[&str] = &[
    "[C(64,3,1), P(2,2), FC(128), SM(10)]",
    "[C(512,5,1), C(512,5,1), P(5,3), D(1,2), C(256,1,1), P(3,2), D(2,2), GAP(10), SM(10)]",
    "[C(65535,65535,1), C(65535,65535,1), C(65535,65535,65535), SM(65535)]",
    "[FC(65535),FC(65535),SM(2)]",
    "[ SM(100) ]",
];

const EXPRESSIONS: &[&str] = &[
    "accuracy - 0.1 * params / 1e6",
    "case when failed then -1 when accuracy between 0.5 and 1 then accuracy else 0.5 end",
    "max(0, min(accuracy, 1)) % 0.3 + ln(madds) - sqrt(depth)",
    "not (epochs in (1, 2, 3)) and restarts is not null or seconds <> 2",
    "- - -(((best_correct))) / (total + epsilon) >= peak_memory = 1",
    "coalesce(seconds, 1) ** 2",
];

const SETTINGS: &[&str] = &[
    "n01440764 tench, Tinca tinca\ngreat_white\nGreat White\n",
    r#"{"0": ["n01440764", "tench"], "1": "dog"}"#,
    r#"{"tench": 0, "dog": 1}"#,
    "replay.draws=128",
    "schedule.phases=[{epsilon=1.0,models=4294967295},{epsilon=0.5,models=4294967295}]",
    "reward.expression=accuracy-0.01*params",
    "space.pools=[[3,2],[2,2]]",
    "keep-weights=top:10",
    "prioritized(alpha=0.6,beta=0.4)",
    "top(fraction=0.1)",
    "recency(half-life=100)",
    "1..5,7",
];

const MESSAGES: &[&str] = &[
    r#"{"type":"hello","protocol":1,"program":"p 1","library":"l","devices":["cuda:0","cpu"],"isa":"AVX2","threads":4,"bf16":["cuda:0"]}"#,
    r#"{"type":"progress","id":1,"epoch":2,"batch":10,"batches":400}"#,
    concat!(
        r#"{"type":"epoch","id":1,"restart":0,"epoch":1,"learning_rate":0.001,"train_loss":2.3,"#,
        r#""train_correct":10,"train_total":100,"validation_loss":2.2,"validation_correct":4,"#,
        r#""validation_total":50,"seconds":1.5}"#,
    ),
    r#"{"type":"checkpoint","id":1,"restart":0,"epoch":3,"file":"checkpoint-1"}"#,
    concat!(
        r#"{"type":"finished","id":18446744073709551615,"parameters":1234,"weights":"weights-1","#,
        r#""peak_memory":0,"predictions":[{"part":"test","file":"p"},{"part":"validation","file":"q"}]}"#,
    ),
    r#"{"type":"crafted","id":2,"images":"i","logits":"l","zeros":"z","invalid":"n","classes":10}"#,
    r#"{"type":"scored","id":2,"logits":"l","classes":10}"#,
    r#"{"type":"failed","id":1,"reason":"non-finite","message":"loss"}"#,
    r#"{"type":"error","id":1,"message":"no \u00e9 \ud83d\ude00"}"#,
    concat!(
        r#"{"type":"score","id":7,"model":{"members":[{"kind":"torchscript","file":"m.pt"}],"channels":3,"#,
        r#""side":32},"images":"i","count":2,"batch":1,"dtype":"f32","device":"cpu","threads":1,"staging":"s"}"#,
    ),
];
