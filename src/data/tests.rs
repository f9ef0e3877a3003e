use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::idx::Kind;
use super::*;

/// A folder with both files of the training part; `count` images of 2 x 2 pixels, labels 0, 1, 2,
/// 0, …
fn folder(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_part(folder.path(), "train", count, 2, 3);
    folder
}

fn write_part(folder: &Path, stem: &str, count: u32, side: u32, classes: u32) {
    fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images(count, side)).unwrap();
    fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), labels(count, classes)).unwrap();
}

fn images(count: u32, side: u32) -> Vec<u8> {
    let pixels = (0..count * side * side).map(|pixel| pixel.to_le_bytes()[0]);
    big_endian(&[0x0803, count, side, side]).into_iter().chain(pixels).collect()
}

fn labels(count: u32, classes: u32) -> Vec<u8> {
    let labels = (0..count).map(|image| (image % classes).to_le_bytes()[0]);
    big_endian(&[0x0801, count]).into_iter().chain(labels).collect()
}

fn big_endian(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_and_gzipped_files_are_the_same_data() {
    let folder = folder(6);
    let plain = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!((plain.count, plain.channels, plain.side, plain.classes), (6, 1, 2, 3));
    assert_eq!(plain.class_counts(), [2, 2, 2]);
    for (name, bytes) in
        [("train-images-idx3-ubyte", images(6, 2)), ("train-labels-idx1-ubyte", labels(6, 3))]
    {
        fs::remove_file(folder.path().join(name)).unwrap();
        let dotted = name.replacen("-idx", ".idx", 1);
        fs::write(folder.path().join(format!("{dotted}.gz")), gzip(&bytes)).unwrap();
    }
    let gzipped = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!(plain.digest(), gzipped.digest());
    assert_eq!(plain, gzipped);
}

/// Browsers unpack what they download, or do not, and keep the name in either case.
#[test]
fn the_content_says_whether_a_file_is_compressed() {
    let folder = folder(6);
    let path = folder.path().join("train-images-idx3-ubyte");
    fs::write(&path, gzip(&images(6, 2))).unwrap();
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().count, 6);
    fs::remove_file(path).unwrap();
    fs::write(folder.path().join("train-images-idx3-ubyte.gz"), images(6, 2)).unwrap();
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().count, 6);
}

#[test]
fn gzip_in_several_members_is_one_file() {
    let folder = folder(6);
    let (start, end) = (&images(6, 2)[..20], &images(6, 2)[20..]);
    let path = folder.path().join("train-images-idx3-ubyte");
    fs::write(path, [gzip(start), gzip(end)].concat()).unwrap();
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().count, 6);
}

#[test]
fn content_is_hashed_as_if_decompressed() {
    let folder = folder(6);
    let path = folder.path().join("train-images-idx3-ubyte");
    let plain = idx::read(&path, Kind::Images, true).unwrap();
    let expected: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        images(6, 2),
    ))
    .into();
    assert_eq!(plain.content_sha256(), expected);
    let labels_file = idx::read(&folder.path().join("train-labels-idx1-ubyte"), Kind::Labels, true);
    assert_eq!(labels_file.unwrap().header.bytes(), labels(6, 3)[..8]);
}

#[test]
fn damaged_files_are_named() {
    let (good, header) = (images(6, 2), |numbers: &[u32]| big_endian(numbers));
    for (bytes, message) in [
        (good[..39].to_vec(), "announces 40 bytes in all, there are at most 39"),
        ([good.clone(), vec![0]].concat(), "is longer than the 40 bytes that its header"),
        ([&[0, 0, 8, 1], &good[4..]].concat(), "starts with 0x00000801, expected 0x00000803"),
        (header(&[0x0803, u32::MAX, 2, 2]), "announces 4294967295 images; allowed are 1 to 10000"),
        (header(&[0x0803, 0, 2, 2]), "announces 0 images; allowed"),
        (header(&[0x0803, 6, 2000, 2000]), "announces 2000 rows; allowed are 1 to 1024"),
        (header(&[0x0803, 6, 2, u32::MAX]), "announces 4294967295 columns"),
        (header(&[0x0803, 10_000_000, 1000, 1000]), "announces 10000000000000 bytes of pixels"),
        (header(&[0x0803, 4_000_000, 28, 28]), "announces 3136000016 bytes in all"),
        (header(&[0x0803, 6, 3, 2]), "3 x 2 pixels; qtrail needs square"),
        (good[..9].to_vec(), "announces 16 bytes in all, there are at most 9"),
        (good[..3].to_vec(), "is truncated"),
        (Vec::new(), "is truncated"),
        (images(5, 2), "holds 5 images but "),
    ] {
        for bytes in [gzip(&bytes), bytes] {
            let folder = folder(6);
            fs::write(folder.path().join("train-images-idx3-ubyte"), &bytes).unwrap();
            let error = Images::read(folder.path(), Part::Train).unwrap_err().to_string();
            let compressed_lengths_differ = bytes.starts_with(&[0x1f, 0x8b])
                && (message.contains("in all") && error.contains("is truncated"));
            assert!(error.contains(message) || compressed_lengths_differ, "{error}: {message}");
            assert!(error.contains("train-images-idx3-ubyte"), "{error} should name the file");
        }
    }
}

#[test]
fn damaged_gzip_is_named() {
    let good = gzip(&images(600, 2));
    let mut flipped = good.clone();
    let at = good.len() - 6; // in the CRC
    flipped[at] ^= 1;
    for (bytes, message) in [
        (good[..good.len() - 9].to_vec(), "is damaged gzip data"),
        (good[..good.len() - 3].to_vec(), "is damaged gzip data"),
        (flipped, "is damaged gzip data"),
        ([&good[..], b"rubbish"].concat(), "is damaged gzip data"),
        (b"no gzip".to_vec(), "is not an IDX file of images"),
    ] {
        let folder = folder(600);
        fs::write(folder.path().join("train-images-idx3-ubyte"), bytes).unwrap();
        let error = Images::read(folder.path(), Part::Train).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// 64 MiB of zeros in 64 KiB, behind a header that announces one image: no more than the announced
/// bytes (and one) are unpacked.
#[test]
fn a_gzip_bomb_is_not_unpacked() {
    let folder = folder(1);
    let bomb = [big_endian(&[0x0803, 1, 2, 2]), vec![0; 64 << 20]].concat();
    fs::write(folder.path().join("train-images-idx3-ubyte"), gzip(&bomb)).unwrap();
    let error = Images::read(folder.path(), Part::Train).unwrap_err();
    assert!(matches!(error, DataError::TrailingBytes { expected: 20, .. }), "{error}");
}

#[test]
fn missing_files_and_unknown_names_are_named() {
    let part = folder(6);
    let error = Images::read(part.path(), Part::Test).unwrap_err().to_string();
    assert!(error.contains("has no t10k-images-idx3-ubyte"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Images::read(empty.path(), Part::Test).unwrap_err().to_string();
    assert!(error.contains("holds no data set that qtrail knows the format of"), "{error}");
    let home = DataHome { told: None, cache: empty.path().into() };
    let error = home.locate("nonsense").unwrap_err().to_string();
    assert!(error.contains(
        "no data set and no folder `nonsense`; known sets: fashion-mnist, mnist, cifar10, \
             cifar100, svhn"
    ));
    let error = home.locate("mnist").unwrap_err().to_string();
    assert!(error.starts_with("the data set mnist is not here (looked in "), "{error}");
    assert!(error.contains(&empty.path().display().to_string()), "{error}");
}

#[test]
fn sets_are_found_where_they_lie() {
    let (told, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = DataHome { told: Some(told.path().into()), cache: cache.path().into() };
    let place = |root: &Path, name: &str| {
        fs::create_dir_all(root.join(name)).unwrap();
        write_part(&root.join(name), "train", 6, 2, 3);
    };
    place(cache.path(), "mnist");
    fs::create_dir(told.path().join("mnist")).unwrap();
    let located = home.locate("mnist").unwrap();
    assert_eq!(located.folder, cache.path().join("mnist"), "an empty folder hides nothing");
    place(told.path(), "mnist");
    assert_eq!(home.locate("mnist").unwrap().folder, told.path().join("mnist"));
    place(told.path(), "own");
    let own = home.locate("own").unwrap();
    assert_eq!((own.name.as_str(), own.known), ("own", None));
    assert_eq!(own.class_names(2), ["0", "1"]);
    let by_folder = home.locate(&told.path().join("mnist").display().to_string()).unwrap();
    assert_eq!((by_folder.name.as_str(), by_folder.known), ("mnist", None));
    assert!(home.locate("../nonsense").is_err());
}

/// A name is a promise; a folder is not.
#[test]
fn a_known_name_needs_the_known_content() {
    let root = tempfile::tempdir().unwrap();
    let home = DataHome { told: None, cache: root.path().into() };
    fs::create_dir(root.path().join("fashion-mnist")).unwrap();
    write_part(&root.path().join("fashion-mnist"), "train", 6, 2, 3);
    let located = home.locate("fashion-mnist").unwrap();
    let error = located.read(Part::Train).unwrap_err();
    assert!(matches!(error, DataError::NotTheKnownFile { set: "fashion-mnist", .. }), "{error}");
    assert_eq!(located.class_names(10)[9], "Ankle boot");
    let folder = home.locate(&located.folder.display().to_string()).unwrap();
    assert_eq!(folder.read(Part::Train).unwrap().count, 6);
}

#[test]
fn check_tells_everything() {
    let folder = folder(6);
    write_part(folder.path(), "t10k", 3, 2, 3);
    let located = DataHome::default().locate(&folder.path().display().to_string()).unwrap();
    let report = check::check(&located).unwrap();
    assert_eq!(report.parts.iter().map(|part| part.count).collect::<Vec<_>>(), [6, 3]);
    assert_eq!(report.parts[1].class_counts, [1, 1, 1]);
    assert_eq!(report.files.len(), 4);
    assert!(report.files.iter().all(|file| file.sha256.len() == 64 && file.known.is_none()));
    let [first, ..] = report.parts[0].mean_image.as_slice() else { panic!("no mean image") };
    assert_eq!(*first, f64::from(4 + 8 + 12 + 16 + 20) / 6.0);
}

#[test]
fn check_holds_the_parts_against_each_other() {
    for (side, classes, message) in
        [(4, 3, "images of side 4, but the training images have side 2"), (2, 6, "labels up to 5")]
    {
        let folder = folder(6);
        write_part(folder.path(), "t10k", 6, side, classes);
        let located = DataHome::default().locate(&folder.path().display().to_string()).unwrap();
        let error = check::check(&located).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn known_hashes_are_hashes() {
    let hexadecimal = |text: &str, length| {
        let digits = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        assert!(digits && text.len() == length, "{text}");
    };
    for set in &catalog::KNOWN {
        assert!(matches!(set.class_names.len(), 0 | 10));
        let plain = set.plain().to_vec();
        let files = match &set.files {
            catalog::KnownFiles::Idx(contents) => {
                contents.iter().for_each(|content| hexadecimal(content.sha256, 64));
                plain
            }
            catalog::KnownFiles::Archive { archive, .. } => [plain, vec![*archive]].concat(),
            catalog::KnownFiles::Plain(_) => plain,
        };
        files.iter().filter_map(|file| file.md5).for_each(|md5| hexadecimal(md5, 32));
        // What comes over a line that anybody can write on has a hash for each of its files.
        let sure = set.publishers.iter().all(|url| url.starts_with("https://"));
        assert!(sure || files.iter().all(|file| file.md5.is_some()), "{}", set.name);
    }
}

/// Pinned: the same seed must draw the same split for ever.
#[test]
fn a_known_split() {
    let labels: Vec<u8> = (0..100).map(|image| image % 10).collect();
    let split = Split::draw(&labels, 20, Some(30), 7).unwrap();
    let digest = catalog::hex(&split.digest());
    assert_eq!(digest, "6c11e121dd9acc1c4871f7761842fc59e3e044ed6be5a12aa39b6fb14835aecc");
}

#[test]
fn shares_go_to_the_largest_remainders() {
    // 4, 2 and 1 images; 3 wanted: shares 1.71, 0.86, 0.43.
    let split = Split::draw(&[0, 0, 0, 0, 1, 1, 2], 3, None, 0).unwrap();
    let of = |class: std::ops::Range<u32>| {
        split.validation.iter().filter(|&index| class.contains(index)).count()
    };
    assert_eq!([of(0..4), of(4..6), of(6..7)], [2, 1, 0]);
    // Equal remainders: the lower classes.
    let split = Split::draw(&[2, 1, 0, 2, 1, 0], 2, None, 0).unwrap();
    let classes: Vec<_> = split.validation.iter().map(|&index| 2 - index % 3).collect();
    assert!(classes.contains(&0) && classes.contains(&1), "{classes:?}");
}

#[test]
fn too_few_images_and_false_bytes_are_refused() {
    let labels = [0, 1, 0, 1];
    let error =
        |validation, train| Split::draw(&labels, validation, train, 0).unwrap_err().to_string();
    assert_eq!(error(5, None), "5 validation images wanted, 4 are left; ask for fewer");
    assert_eq!(error(2, Some(3)), "3 training images wanted, 2 are left; ask for fewer");
    assert_eq!(error(4, None), "no image is left to train on: all 4 are taken for validation");
    assert!(error(2, Some(1)).starts_with("class 1 has 2 images, none of which"));
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    for (bytes, reason) in [
        (vec![0; 7], "is cut short"),
        (words(&[2, 1, 0, 1]), "does not have the length it announces"),
        (words(&[u32::MAX, 1, 0, 1]), "does not have the length it announces"),
        (words(&[2, 1, 1, 0, 2]), "is not in ascending order"),
        (words(&[2, 1, 0, 4, 2]), "names an image that does not exist"),
        (words(&[2, 1, 0, 2, 2]), "has an image in both parts"),
    ] {
        let error = Split::from_bytes(&bytes, 4).unwrap_err().to_string();
        assert_eq!(error, format!("the split {reason}"));
    }
}

/// The paper's: 400 of each class of the training part, 200 of each class of the extra one.
#[test]
fn extra_images_give_a_third_of_validation() {
    let labels: Vec<u8> = (0..1000).map(|image| [0, 0, 0, 1][image % 4]).collect();
    let split = Split::draw_with_extra(&labels, 200, 60, None, 3).unwrap();
    let count = |list: &[u32], from: u32, to: u32, class: u8| {
        let of = |&&index: &&u32| (from..to).contains(&index) && labels[index as usize] == class;
        list.iter().filter(of).count()
    };
    for class in [0, 1] {
        assert_eq!(count(&split.validation, 0, 200, class), 20);
        assert_eq!(count(&split.validation, 200, 1000, class), 10);
    }
    assert_eq!(split.train.len(), 940);
    assert_eq!(&Split::from_bytes(&split.to_bytes(), 1000).unwrap(), &split);
    assert_eq!(Split::draw_with_extra(&labels, 200, 60, None, 3).unwrap(), split);
    let fewer = Split::draw_with_extra(&labels, 200, 60, Some(470), 3).unwrap();
    assert_eq!(fewer.validation, split.validation);
    // Of what is left, in proportion: 470 of 940, so half of the 160 and half of the 780.
    let ordinary = fewer.train.iter().filter(|&&index| index < 200).count();
    assert!((40..=120).contains(&ordinary), "{ordinary}: both parts are drawn from");
    let error = Split::draw_with_extra(&labels, 200, 300, None, 3).unwrap_err().to_string();
    assert_eq!(error, "100 validation images of class 1 wanted, 50 are there; ask for fewer");
    // The only image of class 1 is taken: none is left to train on.
    let error = Split::draw_with_extra(&[0, 0, 1, 0, 0], 3, 3, None, 0).unwrap_err();
    assert!(error.to_string().starts_with("class 1 has 1 images, none of which"), "{error}");
}

proptest! {
    #[test]
    fn splits_are_stratified_disjoint_and_stable(
        mut labels in prop::collection::vec(0_u8..5, 50..300),
        seed: u64,
        validation in 1_u32..20,
        train in 1_u32..20,
    ) {
        // Every class large enough to be trained on.
        labels.extend((0..5).flat_map(|class| [class; 25]));
        let train = train + 15;
        let split = Split::draw(&labels, validation, Some(train), seed).unwrap();
        prop_assert_eq!(split.train.len(), train as usize);
        prop_assert_eq!(split.validation.len(), validation as usize);
        let images = u32::try_from(labels.len()).unwrap();
        // Reading back also checks order, range and disjointness.
        prop_assert_eq!(&Split::from_bytes(&split.to_bytes(), images).unwrap(), &split);
        // The number of training images does not change what is validated on.
        let other = Split::draw(&labels, validation, None, seed).unwrap();
        prop_assert_eq!(&other.validation, &split.validation);
        prop_assert_eq!(other.train.len() + other.validation.len(), labels.len());
        for class in 0..5 {
            let count =
                |list: &[u32]| list.iter().filter(|&&i| labels[i as usize] == class).count();
            let all = labels.iter().filter(|&&label| label == class).count();
            let share = |wanted: u32, of: usize, all: usize| {
                all as f64 * f64::from(wanted) / of as f64
            };
            let validated = count(&split.validation);
            prop_assert!((validated as f64 - share(validation, labels.len(), all)).abs() < 1.0);
            let left = labels.len() - validation as usize;
            let trained = count(&split.train) as f64;
            prop_assert!((trained - share(train, left, all - validated)).abs() < 1.0);
        }
    }

    /// Whatever the bytes, reading ends in an answer.
    #[test]
    fn no_file_makes_the_reader_panic(
        head in prop::sample::select(vec![0x0803_u32, 0x0804, 0x0801, 0x1f8b_0800]),
        numbers in prop::collection::vec(prop_oneof![0_u32..4, any::<u32>()], 0..4),
        rest in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [big_endian(&[head]), big_endian(&numbers), rest].concat();
        fs::write(file.path(), bytes).unwrap();
        let _ = idx::read(file.path(), Kind::Images, true);
        let _ = idx::read(file.path(), Kind::Images, false);
        let _ = idx::read(file.path(), Kind::Labels, true);
    }
}
