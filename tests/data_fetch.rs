//! Fetching data sets: every source, every way in which one can fail, and no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qtrail::data::catalog::{DebianPackage, KnownContent, KnownFiles, KnownSet, KnownShape, hex};
use qtrail::data::fetch::{Fetch, Fetched, Http, PackageTools, Source, SourceFailure, Step};
use qtrail::data::folder::FILES;
use qtrail::data::{DataError, DataHome, IdxFolder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What the four files of the small set hold: 6 and 3 images of 2 x 2 pixels.
fn contents() -> [Vec<u8>; 4] {
    let file = |header: &[u32], payload: std::ops::Range<u8>| -> Vec<u8> {
        header.iter().flat_map(|number| number.to_be_bytes()).chain(payload).collect()
    };
    [
        file(&[0x0803, 6, 2, 2], 0..24),
        file(&[0x0801, 6], 0..6),
        file(&[0x0803, 3, 2, 2], 50..62),
        file(&[0x0801, 3], 1..4),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A small known set with these sources. Known sets are static, so a test leaks its own.
fn known(publishers: &[&'static str], debian: Option<DebianPackage>) -> &'static KnownSet {
    let content = |bytes: Vec<u8>| KnownContent {
        bytes: bytes.len() as u64,
        sha256: leak(hex(&Sha256::digest(bytes))),
    };
    Box::leak(Box::new(KnownSet {
        name: "small",
        about: "for tests",
        class_names: &["a", "b", "c", "d", "e", "f"],
        shape: KnownShape { train: 6, test: 3, extra: 0, channels: 1, side: 2 },
        files: KnownFiles::Idx(contents().map(content)),
        publishers: Box::leak(publishers.to_vec().into_boxed_slice()),
        debian,
    }))
}

/// A folder with the four files, compressed.
fn good_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in FILES.iter().zip(contents()) {
        fs::write(folder.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    folder
}

/// A data home of its own, and what a fetch may use.
struct Bench {
    root: TempDir,
    home: DataHome,
    http: Http,
    tools: PackageTools,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = DataHome { told: None, cache: root.path().join("cache/data") };
        let http = Http::new(None, Duration::from_millis(500));
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_tools");
        let tools =
            PackageTools { apt_get: tools.join("apt-get"), dpkg_deb: tools.join("dpkg-deb") };
        Self { root, home, http, tools }
    }

    fn fetch(&self, set: &'static KnownSet, from: Option<&Path>) -> Result<Fetched, DataError> {
        let Self { home, http, tools, .. } = self;
        Fetch { set, home, from, extra: false, http, tools }.run(&mut |_| ())
    }

    /// Why each source failed.
    fn failures(&self, set: &'static KnownSet, from: Option<&Path>) -> Vec<SourceFailure> {
        match self.fetch(set, from) {
            Err(DataError::NoSource { failures, .. }) => failures,
            other => panic!("expected no source, got {other:?}"),
        }
    }

    fn place(&self) -> PathBuf {
        self.home.folder("small")
    }

    /// Names in the data home, without the lock file.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.root()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".lock");
        names.sort();
        names
    }
}

#[track_caller]
fn source_of(fetched: Fetched) -> Source {
    match fetched {
        Fetched::Placed { source, .. } => source,
        Fetched::Present { .. } => panic!("expected a new set, it was present"),
    }
}

#[test]
fn from_a_folder_in_any_spelling() {
    let (bench, set, given) = (Bench::new(), known(&[], None), tempfile::tempdir().unwrap());
    let names = [
        "train-images.idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels.idx1-ubyte.gz",
    ];
    for (name, bytes) in names.iter().zip(contents()) {
        let bytes = if name.ends_with("gz") { gzip(&bytes) } else { bytes };
        fs::write(given.path().join(name), bytes).unwrap();
    }
    let source = source_of(bench.fetch(set, Some(given.path())).unwrap());
    assert_eq!(source, Source::Given(given.path().into()));
    set.verify(&bench.place()).unwrap();
    assert_eq!(bench.names(), ["small"]);
    let placed = IdxFolder::new(&bench.place()).paths().unwrap();
    let placed = placed.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(placed[..2], FILES[..2]);
    assert_eq!(placed[2], format!("{}.gz", FILES[2]));
}

#[test]
fn a_present_set_is_left_alone() {
    let (bench, server) = (Bench::new(), Server::start(Manner::Well));
    let set = known(&[server.url], None);
    source_of(bench.fetch(set, None).unwrap());
    assert_eq!(server.requests(), 4);
    let folder = bench.place();
    assert_eq!(bench.fetch(set, None).unwrap(), Fetched::Present { folder });
    assert_eq!(server.requests(), 4);
}

#[test]
fn from_the_system_folder() {
    let (bench, system) = (Bench::new(), good_folder());
    let folder = leak(system.path().display().to_string());
    let package = DebianPackage { name: "dataset-small", folder };
    let fetched = bench.fetch(known(&["http://127.0.0.1:1"], Some(package)), None).unwrap();
    assert_eq!(source_of(fetched), Source::System(package));
}

#[test]
fn from_a_publisher_with_progress() {
    let (bench, server) = (Bench::new(), Server::start(Manner::Well));
    let set = known(&[server.url], None);
    let mut heard = Vec::new();
    let Bench { home, http, tools, .. } = &bench;
    let fetch = Fetch { set, home, from: None, extra: false, http, tools };
    let fetched = fetch.run(&mut |step| {
        if let Step::Receiving { file, done, total } = step {
            assert_eq!(total, Some(done), "so small a file comes in one piece");
            heard.push(file.to_owned());
        }
    });
    assert_eq!(source_of(fetched.unwrap()), Source::Publisher(server.url));
    assert_eq!(heard, FILES.map(|file| format!("{file}.gz")));
}

#[test]
fn a_second_publisher_stands_in() {
    let (bench, bad, good) =
        (Bench::new(), Server::start(Manner::Missing), Server::start(Manner::Well));
    let fetched = bench.fetch(known(&[bad.url, good.url], None), None).unwrap();
    assert_eq!(source_of(fetched), Source::Publisher(good.url));
}

#[test]
fn every_failing_publisher_is_named_with_its_reason() {
    for (manner, reason) in [
        (Manner::Missing, "status 404"),
        (Manner::OtherContent, "train-images-idx3-ubyte.gz: SHA-256 of its decompressed content"),
        (Manner::Page, "is not an IDX file of images"),
        (Manner::CutShort, "train-images-idx3-ubyte.gz: "),
        (Manner::Endless, "more than such a file can have"),
        (Manner::Silent, "timeout"),
    ] {
        let (bench, server) = (Bench::new(), Server::start(manner));
        let set = known(&[server.url], None);
        let failures = bench.failures(set, None);
        assert_eq!(failures.len(), 1);
        assert!(failures[0].reason.contains(reason), "{manner:?}: {}", failures[0]);
        assert!(!failures[0].reason.contains(".fetch-"), "{}", failures[0]);
        assert!(bench.names().is_empty(), "{manner:?} left {:?}", bench.names());
    }
}

#[test]
fn a_refused_connection_is_a_reason() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = leak(format!("http://{}", free.local_addr().unwrap()));
    drop(free);
    let failures = Bench::new().failures(known(&[url], None), None);
    assert!(failures[0].reason.to_lowercase().contains("refused"), "{}", failures[0]);
}

#[test]
fn from_the_package_without_installing_it() {
    let (bench, package_root) = (Bench::new(), tempfile::tempdir().unwrap());
    let inside = package_root.path().join("usr/share/datasets/small");
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    fs::rename(good_folder().keep(), inside).unwrap();
    let name = leak(package_root.path().display().to_string());
    let package = DebianPackage { name, folder: "/usr/share/datasets/small" };
    let fetched = bench.fetch(known(&[], Some(package)), None).unwrap();
    assert_eq!(source_of(fetched), Source::Package(package));
    assert_eq!(bench.names(), ["small"]);
}

#[test]
fn the_last_resort_names_all_sources_and_says_what_to_do() {
    let (mut bench, server) = (Bench::new(), Server::start(Manner::Missing));
    let package = DebianPackage { name: "dataset-small", folder: "/nowhere/small" };
    let set = known(&[server.url], Some(package));
    let given = bench.root.path().join("given");
    let error = bench.fetch(set, Some(&given)).unwrap_err().to_string();
    for expected in [
        "no source has the data set small:",
        &format!("the folder {}: ", given.display()),
        "the system folder /nowhere/small: there is no such folder",
        &format!("{}: train-images-idx3-ubyte.gz: the server answers with status 404", server.url),
        "Debian's package dataset-small: ",
        "E: Unable to locate package dataset-small",
        &format!("into {}:", bench.place().display()),
        "t10k-labels-idx1-ubyte.gz",
        "qtrail data fetch small --from DIR",
    ] {
        assert!(error.contains(expected), "{error}\nshould say {expected}");
    }
    bench.tools.apt_get = "/nowhere/apt-get".into();
    let failures = bench.failures(set, None);
    assert!(failures[2].reason.contains("No such file"), "{}", failures[2]);
}

/// It may be somebody's own work: what is in the way is kept.
#[test]
fn other_files_in_the_place_are_moved_aside() {
    let (bench, given) = (Bench::new(), good_folder());
    let set = known(&[], None);
    for expected in ["small.aside-1", "small.aside-2"] {
        fs::create_dir_all(bench.place()).unwrap();
        fs::write(bench.place().join(FILES[0]), "mine").unwrap();
        let Fetched::Placed { moved_aside: Some(aside), .. } =
            bench.fetch(set, Some(given.path())).unwrap()
        else {
            panic!("nothing was moved aside")
        };
        assert_eq!(aside, bench.home.root().join(expected));
        assert_eq!(fs::read_to_string(aside.join(FILES[0])).unwrap(), "mine");
        set.verify(&bench.place()).unwrap();
    }
}

#[test]
fn an_interrupted_fetch_is_swept_away_and_a_running_one_is_not() {
    let (bench, given) = (Bench::new(), good_folder());
    let staging = |name: &str| {
        let folder = bench.home.root().join(name);
        fs::create_dir_all(folder.join("set")).unwrap();
        File::create(folder.join("owner")).unwrap()
    };
    drop(staging(".fetch-dead"));
    fs::create_dir(bench.home.root().join(".fetch-half-swept")).unwrap();
    let running = staging(".fetch-running");
    running.lock().unwrap();
    bench.fetch(known(&[], None), Some(given.path())).unwrap();
    assert_eq!(bench.names(), [".fetch-running", "small"]);
}

#[test]
fn fetches_at_once_do_not_collide() {
    let (bench, given) = (Bench::new(), good_folder());
    let set = known(&[], None);
    let placed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if let Fetched::Placed { moved_aside, .. } =
                    bench.fetch(set, Some(given.path())).unwrap()
                {
                    assert_eq!(moved_aside, None);
                    placed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(placed.into_inner(), 1);
    assert_eq!(bench.names(), ["small"]);
    set.verify(&bench.place()).unwrap();
}

/// How a server treats those who ask.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Well,
    Missing,
    OtherContent,
    /// A page of HTML, as captive portals like to give.
    Page,
    /// Announces more than it sends.
    CutShort,
    /// Sends without end.
    Endless,
    /// Accepts, and says nothing.
    Silent,
}

/// An HTTP server for the small set.
struct Server {
    url: &'static str,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = leak(format!("http://{}/small", listener.local_addr().unwrap()));
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        // Ends with the test process; whoever hangs up early is no concern of ours.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || answer(stream, manner));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, manner: Manner) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    let file = path.strip_prefix("/small/")?.strip_suffix(".gz")?;
    let at = FILES.iter().position(|&name| name == file)?;
    let mut content = contents()[at].clone();
    if manner == Manner::OtherContent {
        *content.last_mut()? ^= 1;
    }
    let body = match manner {
        Manner::Page => b"<html>Please log in</html>".to_vec(),
        _ => gzip(&content),
    };
    let (status, announced) = match manner {
        Manner::Missing => ("404 Not Found", body.len()),
        Manner::CutShort => ("200 OK", body.len() + 1),
        Manner::Endless => ("200 OK", 1 << 40),
        _ => ("200 OK", body.len()),
    };
    if manner == Manner::Silent {
        std::thread::sleep(Duration::from_secs(5));
        return None;
    }
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    if manner == Manner::Endless {
        loop {
            stream.write_all(&[0; 4096]).ok()?;
        }
    }
    Some(())
}
