//! The contract of the data: one event of each kind and version as bytes and as JSON, and the
//! registry of kinds. `QTRAIL_WRITE_GOLDEN=1` writes the newest versions anew (before v0.1.0 only).
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

mod golden_samples;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use qtrail::events::codec::{decode, encode};
use qtrail::events::frame::{Frame, Head, Position, seal};
use qtrail::events::*;
use serde_json::{Value, json};

use golden_samples::samples;

const AT: i64 = 1_795_176_000_123;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden")
}

/// The first event of a log.
fn frame(scope: Scope, event: &Event) -> Frame {
    seal(Head::default(), &encode(AT, scope, event).unwrap()).unwrap().0
}

fn as_json(recorded: &Recorded, version: u16) -> Value {
    let kind = recorded.event.kind();
    json!({
        "kind": kind.number, "name": kind.name, "version": version,
        "at": recorded.at, "scope": recorded.scope.to_string(), "fields": recorded.event,
    })
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn stem(kind: &Kind, version: u16) -> String {
    format!("{:02}-{}-v{version}", kind.number, kind.name)
}

#[test]
fn every_kind_and_version_decodes_as_it_did() {
    write_if_told();
    let registry = registry();
    for kind in KINDS {
        let versions = registry.iter().find(|entry| entry.name == kind.name).unwrap();
        for &version in &versions.versions {
            let stem = stem(kind, version);
            let read = |end: &str| {
                let path = folder().join(format!("{stem}.{end}"));
                fs::read_to_string(&path)
                    .unwrap_or_else(|_| panic!("{} is missing", path.display()))
            };
            let golden = Frame(bytes(&read("hex")));
            let recorded = decode(Position(1), &golden).unwrap();
            let expected: Value = serde_json::from_str(&read("json")).unwrap();
            assert_eq!(as_json(&recorded, version), expected, "{stem}");
            if version == kind.version {
                assert_eq!(frame(recorded.scope, &recorded.event), golden, "{stem}");
            }
        }
    }
}

/// A field that a kind got later does not change the digest of what was recorded before.
#[test]
fn old_versions_keep_their_digest() {
    let read = fs::read_to_string(folder().join("34-images-crafted-v1.hex")).unwrap();
    let golden = Frame(bytes(&read));
    let recorded = decode(Position(1), &golden).unwrap();
    let payload = golden.view(Position(1)).unwrap().payload.to_vec();
    // A time of nine bytes and a scope of two, then the fields as they were.
    let fields = &payload[11..];
    let mut expected = Vec::new();
    expected.extend(34_u16.to_le_bytes());
    expected.extend((fields.len() as u64).to_le_bytes());
    expected.extend(fields);
    let digest =
        |recorded: &Recorded| digest::Digests::default().folded([recorded]).unwrap().finish();
    assert_eq!(digest(&recorded), [(recorded.scope, Hash::of(&expected))]);
    // What is new counts.
    let mut other = recorded.clone();
    if let Event::ImagesCrafted(crafted) = &mut other.event {
        crafted.invalid_gradient = Some(vec![0, 1]);
    }
    assert_ne!(digest(&other), digest(&recorded));
}

/// Attempts of older versions name no precision: there was one alone.
#[test]
fn older_attempts_computed_in_f32() {
    for version in 1..4 {
        let read = fs::read_to_string(folder().join(format!("05-attempt-started-v{version}.hex")));
        let recorded = decode(Position(1), &Frame(bytes(&read.unwrap()))).unwrap();
        let Event::AttemptStarted(started) = recorded.event else { panic!("version {version}") };
        assert_eq!(started.computes_in(), "f32");
    }
}

/// The samples say the same as the files: a change of a kind shows.
#[test]
fn samples_are_the_golden_events() {
    write_if_told();
    let samples = samples();
    assert_eq!(samples.len(), KINDS.len());
    for (scope, event) in samples {
        let path = folder().join(stem(event.kind(), event.kind().version) + ".hex");
        assert_eq!(hex(&frame(scope, &event).0), fs::read_to_string(&path).unwrap());
    }
}

fn write_if_told() {
    static ONCE: Once = Once::new();
    if std::env::var_os("QTRAIL_WRITE_GOLDEN").is_some() {
        ONCE.call_once(write);
    }
}

fn write() {
    fs::create_dir_all(folder()).unwrap();
    for (scope, event) in samples() {
        let (frame, kind) = (frame(scope, &event), event.kind());
        let recorded = decode(Position(1), &frame).unwrap();
        let path = folder().join(stem(kind, kind.version));
        let json = serde_json::to_string_pretty(&as_json(&recorded, kind.version)).unwrap();
        fs::write(path.with_extension("hex"), hex(&frame.0)).unwrap();
        fs::write(path.with_extension("json"), json + "\n").unwrap();
    }
}

#[derive(serde::Deserialize)]
struct Registry {
    event: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: u16,
    name: String,
    versions: Vec<u16>,
    class: String,
    what: String,
    key: Option<String>,
    #[serde(default)]
    clear: Vec<String>,
    fields: Vec<String>,
}

fn registry() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events.toml");
    toml::from_str::<Registry>(&fs::read_to_string(path).unwrap()).unwrap().event
}

#[test]
fn the_registry_is_what_the_program_knows() {
    let registry = registry();
    assert_eq!(registry.len(), KINDS.len());
    let samples = samples();
    for (entry, kind) in registry.iter().zip(KINDS) {
        let (name, newest) = (entry.name.as_str(), entry.versions.iter().copied().max());
        assert_eq!((entry.number, name, newest), (kind.number, kind.name, Some(kind.version)));
        let logical = kind.class == Class::Logical;
        assert_eq!(entry.class, if logical { "logical" } else { "operational" }, "{name}");
        assert_eq!(entry.key.is_some(), logical, "{name}: logical events have a key");
        assert!(!entry.what.is_empty());
        let (_, event) = samples.iter().find(|(_, event)| event.kind() == kind).unwrap();
        let Value::Object(fields) = serde_json::to_value(event).unwrap() else { unreachable!() };
        let mut fields: Vec<&String> = fields.keys().collect();
        let word = |text: &String| text.split([' ', ':']).next().unwrap().to_owned();
        let mut listed: Vec<String> = entry.fields.iter().map(word).collect();
        fields.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, fields.into_iter().cloned().collect::<Vec<_>>(), "{name}");
        check_cleared(entry, event);
    }
}

/// The fields said to be cleared are those that are.
fn check_cleared(entry: &Entry, event: &Event) {
    let Some(cleared) = event.clone().logical() else { return };
    let (before, after) = (json!(event), json!(cleared));
    for field in before.as_object().unwrap().keys() {
        let said = entry.clear.iter().any(|name| name.split(':').next() == Some(field));
        assert_eq!(said, before[field] != after[field], "{}: {field}", entry.name);
    }
}
