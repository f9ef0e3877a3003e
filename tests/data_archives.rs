//! Fetching sets that publishers have in an archive, or as files that are used as they are; and sets
//! made of some classes of another one.
#![allow(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use md5::{Digest, Md5};
use qtrail::data::catalog::{KnownFile, KnownFiles, KnownSet, KnownShape, hex};
use qtrail::data::derive::{Classes, derive};
use qtrail::data::fetch::{Fetch, Fetched, Http, PackageTools, Source};
use qtrail::data::{DataError, DataHome, Images, Located, Part, Reading};
use tempfile::TempDir;

/// Images of each class in each part of the small CIFAR-10.
const EACH: u8 = 2;

/// A file of the small CIFAR-10: `EACH` records of every class.
fn batch(seed: u8) -> Vec<u8> {
    let labels = (0..EACH).flat_map(|_| 0..10);
    labels.flat_map(|label| [vec![label], vec![seed ^ label; 3072]].concat()).collect()
}

fn members() -> [(&'static str, Vec<u8>); 2] {
    [("data_batch_1.bin", batch(100)), ("test_batch.bin", batch(200))]
}

/// A member of a tar archive, whatever its name.
fn member(name: &str, kind: tar::EntryType, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // The library refuses to write names that lead outside.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let padding = vec![0; bytes.len().next_multiple_of(512) - bytes.len()];
    [header.as_bytes(), bytes, &padding].concat()
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&[members.concat(), vec![0; 1024]].concat()).unwrap();
    encoder.finish().unwrap()
}

fn good_members() -> Vec<Vec<u8>> {
    let file = tar::EntryType::Regular;
    let mut all = vec![
        member("cifar/", tar::EntryType::Directory, &[]),
        member("cifar/readme.html", file, b"<html>"),
    ];
    all.extend(members().map(|(name, bytes)| member(&format!("cifar/{name}"), file, &bytes)));
    all
}

fn md5(bytes: &[u8]) -> &'static str {
    hex(&Md5::digest(bytes)).leak()
}

fn file(name: &'static str, bytes: &[u8]) -> KnownFile {
    KnownFile { name, bytes: bytes.len() as u64, md5: Some(md5(bytes)), extra: false }
}

/// A known set in an archive; `publishers` have it.
fn cifar(archive: &[u8], publishers: &[&'static str]) -> &'static KnownSet {
    let members: Vec<KnownFile> = members().iter().map(|(name, bytes)| file(name, bytes)).collect();
    let shape = KnownShape {
        train: u32::from(EACH) * 10,
        test: u32::from(EACH) * 10,
        extra: 0,
        channels: 3,
        side: 32,
    };
    Box::leak(Box::new(KnownSet {
        name: "small",
        about: "for tests",
        class_names: &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
        shape,
        files: KnownFiles::Archive {
            archive: file("small.tar.gz", archive),
            members: members.leak(),
        },
        publishers: publishers.to_vec().leak(),
        debian: None,
    }))
}

/// The SVHN of `tests/data_files` as a known set.
fn svhn(publishers: &[&'static str]) -> &'static KnownSet {
    let folder = svhn_folder();
    let known = |name| file(name, &fs::read(folder.join(name)).unwrap());
    let extra = KnownFile { extra: true, ..known("extra_32x32.mat") };
    Box::leak(Box::new(KnownSet {
        name: "small",
        about: "for tests",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        shape: KnownShape { train: 6, test: 2, extra: 3, channels: 3, side: 32 },
        files: KnownFiles::Plain(
            vec![known("train_32x32.mat"), known("test_32x32.mat"), extra].leak(),
        ),
        publishers: publishers.to_vec().leak(),
        debian: None,
    }))
}

fn svhn_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_files/svhn")
}

struct Bench {
    _root: TempDir,
    home: DataHome,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = DataHome { told: None, cache: root.path().join("data") };
        Self { _root: root, home }
    }

    fn fetch(
        &self,
        set: &'static KnownSet,
        from: Option<&Path>,
        extra: bool,
    ) -> Result<Fetched, DataError> {
        let (http, tools) = (Http::new(None, Duration::from_millis(500)), PackageTools::default());
        Fetch { set, home: &self.home, from, extra, http: &http, tools: &tools }.run(&mut |_| ())
    }

    /// Why the only source failed.
    fn failure(&self, set: &'static KnownSet, from: Option<&Path>) -> String {
        let Err(DataError::NoSource { failures, .. }) = self.fetch(set, from, false) else {
            panic!("there should be no source")
        };
        assert!(!self.place().exists());
        assert_eq!(failures.len(), 1);
        failures[0].reason.clone()
    }

    fn place(&self) -> PathBuf {
        self.home.folder("small")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A server that has files under their names; the number of its answers.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> (&'static str, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/there", listener.local_addr().unwrap()).leak();
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines =
                BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let path = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned()));
            let _ = lines.find(String::is_empty);
            let name = path.unwrap_or_default().replace("/there/", "");
            let body = files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| bytes);
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            let body = body.cloned().unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (url, answers)
}

#[test]
fn an_archive_is_fetched_and_only_what_is_wanted_is_unpacked() {
    let packed = archive(&good_members());
    let (url, answers) = serve(vec![("small.tar.gz", packed.clone())]);
    let (bench, set) = (Bench::new(), cifar(&packed, &[url]));
    let Fetched::Placed { source, .. } = bench.fetch(set, None, false).unwrap() else {
        panic!("it was not there")
    };
    assert_eq!(source, Source::Publisher(url));
    assert_eq!(bench.names(), ["data_batch_1.bin", "test_batch.bin"]);
    let folder = bench.place();
    assert_eq!(bench.fetch(set, None, false).unwrap(), Fetched::Present { folder: folder.clone() });
    assert_eq!(answers.load(Ordering::Relaxed), 1);
    let train = set.read(&folder, Part::Train, Reading::default()).unwrap();
    assert_eq!((train.count, train.classes, train.image(11)[0]), (20, 10, 101));
}

#[test]
fn an_archive_or_its_files_may_be_given() {
    let packed = archive(&good_members());
    let set = cifar(&packed, &[]);
    let given = tempfile::tempdir().unwrap();
    fs::write(given.path().join("small.tar.gz"), packed).unwrap();
    Bench::new().fetch(set, Some(given.path()), false).unwrap();
    let given = tempfile::tempdir().unwrap();
    members().iter().for_each(|(name, bytes)| fs::write(given.path().join(name), bytes).unwrap());
    let bench = Bench::new();
    bench.fetch(set, Some(given.path()), false).unwrap();
    fs::remove_file(given.path().join("test_batch.bin")).unwrap();
    let failure = Bench::new().failure(set, Some(given.path()));
    assert_eq!(failure, "it has no test_batch.bin");
    // Damage after that is noticed whenever the set is read under its name.
    fs::write(bench.place().join("test_batch.bin"), batch(201)).unwrap();
    let error = set.read(&bench.place(), Part::Test, Reading::default()).unwrap_err();
    assert!(
        error.to_string().contains("test_batch.bin is not the file of small: its MD5 is"),
        "{error}"
    );
    assert!(set.read(&bench.place(), Part::Train, Reading::default()).is_ok());
}

#[test]
fn hostile_and_damaged_archives_are_refused() {
    let regular = tar::EntryType::Regular;
    let [(name, bytes), _] = members();
    let with = |more: Vec<u8>| archive(&[good_members(), vec![more]].concat());
    let instead = |more: Vec<u8>| archive(&[vec![more], good_members().split_off(3)].concat());
    let good = archive(&good_members());
    for (packed, reason) in [
        (with(member("../data_batch_1.bin", regular, &bytes)), "a file outside of itself, ../data"),
        (with(member("a/../../x", regular, b"x")), "a file outside of itself, a/../../x"),
        (with(member("/etc/passwd", regular, b"x")), "a file outside of itself, /etc/passwd"),
        (with(member(&format!("again/{name}"), regular, &bytes)), "it has data_batch_1.bin twice"),
        (
            instead(member(name, tar::EntryType::Symlink, &[])),
            "data_batch_1.bin in it is no plain file",
        ),
        (instead(member(name, regular, &bytes[1..])), "61459 bytes, expected 61460"),
        (
            instead(member(name, regular, &[&bytes[..], &[0]].concat())),
            "61461 bytes, expected 61460",
        ),
        (instead(member("other.bin", regular, &bytes)), "it has no data_batch_1.bin"),
        (good[..good.len() / 2].to_vec(), "no good archive"),
        (b"<html>Please log in</html>".to_vec(), "no good archive"),
        // 64 MiB that nobody wants, before what is wanted.
        (instead(member("bomb", regular, &vec![0; 64 << 20])), "no good archive"),
    ] {
        let given = tempfile::tempdir().unwrap();
        fs::write(given.path().join("small.tar.gz"), &packed).unwrap();
        let failure = Bench::new().failure(cifar(&packed, &[]), Some(given.path()));
        assert!(failure.contains(reason), "{failure}\nshould say {reason}");
    }
    // Another archive than the known one is not even opened.
    let other = with(member("../x", regular, b"x"));
    let (url, _) = serve(vec![("small.tar.gz", other)]);
    let failure = Bench::new().failure(cifar(&good, &[url]), None);
    assert!(
        failure.starts_with("small.tar.gz: its MD5 is")
            || failure.contains("more than such a file"),
        "{failure}"
    );
}

/// What has no published hash is known by its numbers.
#[test]
fn counts_are_held_against_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    members().iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    let set = cifar(&[], &[]);
    let KnownFiles::Archive { archive, members } = set.files else { panic!() };
    let members: Vec<KnownFile> =
        members.iter().map(|file| KnownFile { md5: None, ..*file }).collect();
    let files = KnownFiles::Archive { archive, members: members.leak() };
    let set: &KnownSet = Box::leak(Box::new(KnownSet { files, ..set.clone() }));
    set.verify(folder.path()).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(folder.path().join("data_batch_1.bin"), bytes).unwrap();
        set.read(folder.path(), Part::Train, Reading::default()).unwrap_err().to_string()
    };
    let mut bytes = batch(1);
    bytes[0] = 1;
    assert!(error(&bytes).contains("has 1 images of class 0, small has 2"), "{}", error(&bytes));
    let fewer = &batch(1)[3073..];
    assert!(error(fewer).contains("the train part in"), "{}", error(fewer));
    assert!(error(fewer).contains("has 19 images, small has 20"), "{}", error(fewer));
}

/// CIFAR-100 tells the names of its classes itself, in a file whose length is not known.
#[test]
fn a_text_of_unknown_length_comes_out_of_an_archive_too() {
    let record = |fine: u8| [vec![fine % 20, fine], vec![fine; 3072]].concat();
    let records: Vec<u8> = (0..100).flat_map(record).collect();
    let names: String = (0..100).map(|class| format!("class {class}\n")).collect();
    let file = |name, bytes: &[u8]| member(&format!("c/{name}"), tar::EntryType::Regular, bytes);
    let all = [
        file("train.bin", &records),
        file("test.bin", &records),
        file("fine_label_names.txt", names.as_bytes()),
    ];
    let known = |name, bytes| KnownFile { name, bytes, md5: None, extra: false };
    let set = |packed: &[u8]| -> &'static KnownSet {
        let length = records.len() as u64;
        let members = vec![
            known("train.bin", length),
            known("test.bin", length),
            known("fine_label_names.txt", 0),
        ];
        let archive = self::file("small.tar.gz", packed);
        Box::leak(Box::new(KnownSet {
            class_names: &[],
            shape: KnownShape { train: 100, test: 100, extra: 0, channels: 3, side: 32 },
            files: KnownFiles::Archive { archive, members: members.leak() },
            ..cifar(&[], &[]).clone()
        }))
    };
    let given = tempfile::tempdir().unwrap();
    let packed = archive(&all);
    fs::write(given.path().join("small.tar.gz"), &packed).unwrap();
    let (bench, known) = (Bench::new(), set(&packed));
    bench.fetch(known, Some(given.path()), false).unwrap();
    let located = Located { known: Some(known), ..bench.home.locate("small").unwrap() };
    let train = located.read(Part::Train).unwrap();
    assert_eq!((train.classes, train.labels[42], train.image(42)[0]), (100, 42, 42));
    assert_eq!(located.class_names(100)[42], "class 42");
    // Longer than a list of names can be.
    let long = file("fine_label_names.txt", &vec![b'x'; 70_000]);
    let packed = archive(&[&all[..2], &[long]].concat());
    fs::write(given.path().join("small.tar.gz"), &packed).unwrap();
    let failure = Bench::new().failure(set(&packed), Some(given.path()));
    assert!(failure.contains("has 70000 bytes, expected 65536"), "{failure}");
}

#[test]
fn extra_images_are_fetched_when_wanted() {
    let of = |name| (name, fs::read(svhn_folder().join(name)).unwrap());
    let (url, answers) =
        serve(vec![of("train_32x32.mat"), of("test_32x32.mat"), of("extra_32x32.mat")]);
    let (bench, set) = (Bench::new(), svhn(&[url]));
    bench.fetch(set, None, false).unwrap();
    assert_eq!(bench.names(), ["test_32x32.mat", "train_32x32.mat"]);
    let reading = Reading { extra: true, ..Reading::default() };
    let error = set.read(&bench.place(), Part::Train, reading).unwrap_err().to_string();
    assert!(error.contains("`qtrail data fetch svhn --extra` brings them"), "{error}");
    for _ in 0..2 {
        bench.fetch(set, None, true).unwrap();
        assert_eq!(bench.names(), ["extra_32x32.mat", "test_32x32.mat", "train_32x32.mat"]);
        assert_eq!(answers.load(Ordering::Relaxed), 3, "each file came once");
    }
    assert_eq!(set.read(&bench.place(), Part::Train, reading).unwrap().count, 9);
    // Another file in its place is replaced.
    fs::write(bench.place().join("extra_32x32.mat"), "x").unwrap();
    bench.fetch(set, Some(&svhn_folder()), true).unwrap();
    assert_eq!(set.read(&bench.place(), Part::Train, reading).unwrap().count, 9);
    fs::remove_file(bench.place().join("extra_32x32.mat")).unwrap();
    let error = bench.fetch(svhn(&[]), None, true).unwrap_err().to_string();
    assert!(
        error.contains("put these files into") && error.contains("\n  extra_32x32.mat\n"),
        "{error}"
    );
    let error = bench.fetch(cifar(&[], &[]), None, true).unwrap_err();
    assert!(matches!(error, DataError::NoExtra { .. }), "{error}");
}

#[test]
fn lists_of_classes_are_read_and_written_in_one_way() {
    let canonical = |text: &str| text.parse::<Classes>().unwrap().to_string();
    assert_eq!(canonical("0-4"), "0-4");
    assert_eq!(canonical(" 7, 2,1,0 ,4"), "0-2,4,7");
    assert_eq!(canonical("0,1"), "0-1");
    for (text, reason) in [
        ("", "is no list"),
        ("a-b", "is no list"),
        ("1-2-3", "is no list"),
        ("-4", "is no list"),
        ("0-256", "is no list"),
        ("4-0", "runs backwards"),
        ("0-4,3", "names class 3 twice"),
        ("3", "there is nothing to tell apart"),
    ] {
        let error = text.parse::<Classes>().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&format!("`{text}`")), "{error}");
    }
}

#[test]
fn a_set_of_some_classes_is_made_once() {
    let (bench, given) = (Bench::new(), tempfile::tempdir().unwrap());
    members().iter().for_each(|(name, bytes)| fs::write(given.path().join(name), bytes).unwrap());
    fs::write(given.path().join("class-names.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let source = Located::at("own", given.path(), Reading::default());
    let made = derive(&bench.home, &source, &"7,0-1".parse().unwrap()).unwrap();
    assert_eq!((made.name.as_str(), made.counts, made.was_there), ("own-0-1_7", [6, 6], false));
    let located = bench.home.locate("own-0-1_7").unwrap();
    let images = located.read(Part::Train).unwrap();
    assert_eq!((images.channels, images.side, images.classes), (3, 32, 3));
    assert_eq!(images.labels, [0, 1, 2, 0, 1, 2]);
    assert_eq!([images.image(2)[0], images.image(4)[0]], [100 ^ 7, 100 ^ 1]);
    assert_eq!(located.class_names(3), ["a", "b", "h"]);
    assert_eq!(
        bench.home.own().iter().map(|set| set.name.clone()).collect::<Vec<_>>(),
        ["own-0-1_7"]
    );
    let about = fs::read_to_string(made.folder.join("about.txt")).unwrap();
    assert!(about.starts_with("classes 0-1,7 of own, whose training part has BLAKE3 "), "{about}");

    let modified = || fs::metadata(made.folder.join("about.txt")).unwrap().modified().unwrap();
    let before = modified();
    let again = derive(&bench.home, &source, &"0,1,7".parse().unwrap()).unwrap();
    assert!(again.was_there && before == modified());
    // What was spoilt is made anew, and kept.
    fs::write(made.folder.join("class-names.txt"), "mine\n").unwrap();
    let anew = derive(&bench.home, &source, &"0,1,7".parse().unwrap()).unwrap();
    assert_eq!(
        fs::read_to_string(anew.moved_aside.unwrap().join("class-names.txt")).unwrap(),
        "mine\n"
    );
    assert_eq!(bench.home.own().len(), 1);

    let error = derive(&bench.home, &source, &"8-10".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "own has no images of class 10; its classes are 0 to 9");
    assert!(!bench.home.folder("own-8-10").exists());
}

#[test]
fn grey_sets_are_made_as_plain_idx_files() {
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_files/npz-grey");
    let source = Located::at("grey", &folder, Reading::default());
    let made = derive(&bench.home, &source, &"0-1".parse().unwrap()).unwrap();
    assert!(made.folder.join("train-images-idx3-ubyte").is_file());
    for part in Part::ALL {
        let expected = Images::read(&folder, part).unwrap();
        assert_eq!(Images::read(&made.folder, part).unwrap(), expected);
    }
}
