//! Every format of data sets: files of other people's writers, and damaged and hostile ones.
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod data_support;

use std::fs;
use std::io::Write;

use data_support::{copy, error, files, pixels, shape};
use proptest::prelude::*;
use qtrail::data::{Format, Images, Located, Part, Reading, Split, check, format};
use tempfile::TempDir;

#[test]
fn svhn_is_read_as_scipy_writes_it() {
    let train = Images::read(&files("svhn"), Part::Train).unwrap();
    assert_eq!(shape(&train), (6, 3, 32, 10));
    assert_eq!(train.labels, [1, 0, 2, 9, 0, 1], "10 is the digit 0");
    (0..6).for_each(|image| assert_eq!(train.image(image), pixels(image, 3, 32), "{image}"));
    // Not compressed, and labels in double precision.
    let test = Images::read(&files("svhn"), Part::Test).unwrap();
    assert_eq!((test.count, test.labels.as_slice()), (2, &[0, 2][..]));
    assert_eq!(test.image(1), pixels(1, 3, 32));
    let reading = Reading { extra: true, ..Reading::default() };
    let all = format::read(&files("svhn"), Part::Train, reading).unwrap();
    assert_eq!((all.count, all.labels.as_slice()), (9, &[1, 0, 2, 9, 0, 1, 1, 0, 2][..]));
    assert_eq!(all.image(7), pixels(1, 3, 32));
    assert_eq!(format::read(&files("svhn"), Part::Test, reading).unwrap(), test);
}

#[test]
fn extra_images_are_missed() {
    let reading = Reading { extra: true, ..Reading::default() };
    let folder = copy("svhn");
    fs::remove_file(folder.path().join("extra_32x32.mat")).unwrap();
    for folder in [folder.path(), &files("npz")] {
        let error = format::read(folder, Part::Train, reading).unwrap_err().to_string();
        assert!(error.contains("has no extra_32x32.mat"), "{error}");
        assert!(error.contains("`qtrail data fetch svhn --extra`"), "{error}");
    }
}

/// An element of a MAT file.
fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let padding = vec![0; bytes.len().next_multiple_of(8) - bytes.len()];
    [&kind.to_le_bytes(), &length.to_le_bytes(), bytes, &padding].concat()
}

fn matrix(name: &str, dimensions: &[u32], kind: u32, values: &[u8]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|n| n.to_le_bytes()).collect();
    let parts = [
        element(6, &[9, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &dimensions),
        element(1, name.as_bytes()),
        element(kind, values),
    ];
    element(14, &parts.concat())
}

fn compressed(element: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(element).unwrap();
    let bytes = encoder.finish().unwrap();
    [&15_u32.to_le_bytes()[..], &u32::try_from(bytes.len()).unwrap().to_le_bytes(), &bytes].concat()
}

fn mat(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![b' '; 124];
    header.extend([0, 1, b'I', b'M']);
    [header, elements.concat()].concat()
}

#[test]
fn damaged_and_hostile_mat_files_are_named() {
    let x = || matrix("X", &[2, 2, 3, 2], 2, &[7; 24]);
    let y = |labels: &[u8]| matrix("y", &[u32::try_from(labels.len()).unwrap(), 1], 2, labels);
    let good = mat(&[x(), y(&[1, 2])]);
    let real = fs::read(files("svhn/train_32x32.mat")).unwrap();
    let mut flipped = real.clone();
    flipped[300] ^= 0x10;
    let mut big_endian = good.clone();
    big_endian[124..128].copy_from_slice(&[1, 0, b'M', b'I']);
    let mut complex = good.clone();
    complex[145] |= 0x08;
    let huge = |dimensions: &[u32]| mat(&[matrix("X", dimensions, 2, &[0; 8]), y(&[1])]);
    for (bytes, message) in [
        (good[..100].to_vec(), "it is cut short"),
        (real[..700].to_vec(), "an element announces"),
        (flipped, "is damaged"),
        (b"hello".to_vec(), "it is cut short"),
        (vec![0; 500], "does not start as MAT files of level 5 do"),
        (big_endian, "it is big-endian"),
        (complex, "complex numbers"),
        (mat(&[y(&[1, 2])]), "it has no array X"),
        (mat(&[x()]), "it has no array y"),
        (mat(&[x(), x(), y(&[1, 2])]), "two arrays X"),
        (mat(&[x(), y(&[1, 11])]), "label 1 in y is not one of 1 to 10"),
        (mat(&[x(), y(&[0, 1])]), "label 0 in y is not one of 1 to 10"),
        (mat(&[x(), y(&[1, 2, 3])]), "holds 2 images but"),
        (mat(&[matrix("X", &[2, 2, 3], 2, &[7; 12]), y(&[1])]), "not four of them"),
        (mat(&[matrix("X", &[2, 2, 3, 1], 9, &[7; 96]), y(&[1])]), "not bytes"),
        (huge(&[32, 32, 3, u32::MAX]), "announces 4294967295 images"),
        (huge(&[32, 32, 3, 9_000_000]), "announces 27648000000 bytes of pixels"),
        (huge(&[4000, 32, 3, 1]), "announces 4000 rows"),
        (huge(&[32, 32, 3, 2]), "X has 8 bytes, its dimensions announce 6144"),
        (mat(&[matrix("X", &[1, 2, 3, 4, 5], 2, &[7; 120])]), "the dimensions of an array take 20"),
        (mat(&[element(14, &[0xff; 40])]), "an element of 4 bytes at most announces 65535"),
        (mat(&[vec![15, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]]), "announces 4294967295 bytes"),
        (
            mat(&[matrix("X", &[3, 2, 3, 1], 2, &[7; 18]), y(&[1])]),
            "3 x 2 pixels; qtrail needs square",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train_32x32.mat"), bytes).unwrap();
        let error = error(folder.path(), Part::Train);
        assert!(error.contains(message), "{error}\nshould say {message}");
        assert!(error.contains("train_32x32.mat"), "{error}");
    }
}

/// A tag that announces 4 GB of pixels, and an array that would unpack to 1 GB: neither is reserved
/// or unpacked.
#[test]
fn a_mat_bomb_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train_32x32.mat");
    let mut announcing = matrix("X", &[1000, 1000, 3, 1300], 2, &[0; 8]);
    announcing.splice(68..72, 3_900_000_000_u32.to_le_bytes());
    fs::write(&path, mat(&[compressed(&announcing)])).unwrap();
    let error = error(folder.path(), Part::Train);
    assert!(error.contains("X announces 3900000000 bytes, the file can hold at most"), "{error}");
    // An array that is not wanted is passed over as it is stored.
    let bomb = compressed(&matrix("bomb", &[1 << 28, 1], 2, &vec![0; 1 << 28]));
    assert!(bomb.len() < 1 << 20);
    let x = compressed(&matrix("X", &[2, 2, 3, 1], 2, &[7; 12]));
    let started = std::time::Instant::now();
    fs::write(&path, mat(&[bomb, x, matrix("y", &[1, 1], 2, &[5])])).unwrap();
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().labels, [5]);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn arrays_are_read_as_numpy_writes_them() {
    let train = Images::read(&files("npz"), Part::Train).unwrap();
    assert_eq!(shape(&train), (6, 3, 5, 3));
    assert_eq!(train.labels, [0, 1, 2, 0, 1, 2]);
    (0..6).for_each(|image| assert_eq!(train.image(image), pixels(image, 3, 5), "{image}"));
    // Labels with the high byte first, in a column.
    assert_eq!(Images::read(&files("npz"), Part::Test).unwrap().labels, [0, 1, 2]);
    let grey = Images::read(&files("npz-grey"), Part::Train).unwrap();
    assert_eq!(shape(&grey), (4, 1, 5, 2));
    assert_eq!(grey.image(3), pixels(3, 1, 5));
}

/// An array as NumPy stores it.
fn npy(kind: &str, order: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn damaged_and_hostile_arrays_are_named() {
    let x = |shape: &str, values: &[u8]| npy("|u1", "False", shape, values);
    let y = || npy("|u1", "False", "(2,)", &[0, 1]);
    let two = |x: Vec<u8>, y: Vec<u8>| npz(&[("x_train.npy", x), ("y_train.npy", y)]);
    let good = || x("(2, 2, 2)", &[9; 8]);
    let real = fs::read(files("npz/colour.npz")).unwrap();
    let mut flipped = real.clone();
    flipped[200] ^= 0x10;
    let long = [b"\x93NUMPY\x02\x00".as_slice(), &[0xff; 4], &[b' '; 50]].concat();
    for (bytes, message) in [
        (real[..real.len() - 30].to_vec(), "no good NPZ file"),
        (flipped, "no good NPZ file: x_train"),
        (b"PK\x03\x04 and nothing else".to_vec(), "no good NPZ file"),
        (npz(&[("y_train.npy", y())]), "it has no array x_train"),
        (npz(&[("x_train.npy", good())]), "it has no array y_train"),
        (two(good(), npy("<f8", "False", "(2,)", &[0; 16])), "y_train: it is of type <f8"),
        (two(good(), npy("<i8", "False", "(2,)", &[0xff; 16])), "label 0 is not from 0 to 255"),
        (two(good(), npy("|i1", "False", "(2,)", &[1, 0x80])), "label 1 is not from 0 to 255"),
        (two(good(), npy("|u1", "False", "(2, 2)", &[0; 4])), "expected one label an image"),
        (two(good(), npy("|u1", "False", "(3,)", &[0; 3])), "holds 2 images but"),
        (two(npy("<f4", "False", "(2, 2, 2)", &[0; 32]), y()), "x_train: it is of type <f4"),
        (two(npy("|u1", "True", "(2, 2, 2)", &[0; 8]), y()), "save it in C order"),
        (two(x("(2, 8)", &[0; 16]), y()), "its shape is [2, 8]"),
        (two(x("(2, 2, 2, 2)", &[0; 16]), y()), "one channel or three"),
        (two(x("(2, 2, 2)", &[9; 7]), y()), "x_train: it is cut short"),
        (two(x("(2, 2, 2)", &[9; 9]), y()), "x_train is longer than its header announces"),
        (two(x("(2, 2, 3)", &[9; 12]), y()), "2 x 3 pixels; qtrail needs square"),
        (two(x("(99999999999, 2, 2)", &[9; 8]), y()), "announces 99999999999 images"),
        (two(x("(2, 5000, 5000)", &[9; 8]), y()), "announces 5000 rows"),
        (two(x("(9000000, 1000, 1000)", &[9; 8]), y()), "announces 9000000000000 bytes"),
        (two(x("(2, two, 2)", &[9; 8]), y()), "its header is not one that NumPy writes"),
        (two(long, y()), "its header announces 4294967295 bytes"),
        (two(b"not an array".to_vec(), y()), "does not start as NumPy's arrays do"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("own.npz"), bytes).unwrap();
        let error = error(folder.path(), Part::Train);
        assert!(error.contains(message), "{error}\nshould say {message}");
        assert!(error.contains("own.npz"), "{error}");
    }
}

/// 256 MiB of zeros behind a header that announces two images.
#[test]
fn an_npz_bomb_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let bomb = npy("|u1", "False", "(2, 2, 2)", &vec![0; 256 << 20]);
    fs::write(folder.path().join("own.npz"), npz(&[("x_train.npy", bomb)])).unwrap();
    let started = std::time::Instant::now();
    assert!(error(folder.path(), Part::Train).contains("longer than its header announces"));
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

/// A folder with CIFAR's files: `count` records each.
fn cifar(names: &[&str], count: u8, marks: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let record = |image: u8| {
            let label = vec![image % 10; marks];
            [label, pixels(image.into(), 3, 32)].concat()
        };
        let bytes: Vec<u8> = (0..count).flat_map(record).collect();
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

const TEN: [&str; 3] = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"];
const HUNDRED: [&str; 2] = ["train.bin", "test.bin"];

#[test]
fn cifar_is_read_record_by_record() {
    let folder = cifar(&TEN, 12, 1);
    let train = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!(shape(&train), (24, 3, 32, 10));
    assert_eq!(train.labels[..13], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 0]);
    assert_eq!(train.image(13), pixels(1, 3, 32));
    assert_eq!(Images::read(folder.path(), Part::Test).unwrap().count, 12);
    let folder = cifar(&HUNDRED, 7, 2);
    fs::write(folder.path().join("fine_label_names.txt"), "apple\nbee\n\n").unwrap();
    let train = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!(shape(&train), (7, 3, 32, 7));
    assert_eq!(train.image(6), pixels(6, 3, 32));
    let located = Located::at("own", folder.path(), Reading::default());
    assert_eq!(located.class_names(2), ["apple", "bee"]);
}

#[test]
fn damaged_cifar_files_are_named() {
    let spoil = |name: &'static str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let folder = cifar(
            if name.starts_with("train") { &HUNDRED } else { &TEN },
            3,
            1 + usize::from(name.starts_with("train")),
        );
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        fs::write(path, bytes).unwrap();
        let error = error(folder.path(), Part::Train);
        assert!(error.contains(name), "{error}");
        error
    };
    let error = spoil("data_batch_2.bin", &|bytes| bytes.truncate(5000));
    assert!(
        error.contains("5000 bytes, which is not a whole number of records of 3073"),
        "{error}"
    );
    let error = spoil("data_batch_2.bin", &|bytes| bytes[3073] = 10);
    assert!(error.contains("record 1 has the label 10, allowed are 0 to 9"), "{error}");
    let error = spoil("data_batch_1.bin", &Vec::clear);
    assert!(error.contains("announces 0 bytes"), "{error}");
    let error = spoil("train.bin", &|bytes| bytes[0] = 20);
    assert!(error.contains("record 0 has the label 20, allowed are 0 to 19"), "{error}");
    let error = spoil("train.bin", &|bytes| bytes[3075] = 100);
    assert!(error.contains("record 1 has the label 100, allowed are 0 to 99"), "{error}");
    let folder = cifar(&["data_batch_1.bin", "data_batch_3.bin"], 1, 1);
    let error = self::error(folder.path(), Part::Train);
    assert!(error.contains("it is here, but data_batch_2.bin is not"), "{error}");
}

#[test]
fn idx_files_hold_colour_and_other_shapes_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, header: &[u32], body: &[u8]| {
        let header: Vec<u8> = header.iter().flat_map(|n| n.to_be_bytes()).collect();
        fs::write(folder.path().join(name), [&header, body].concat()).unwrap();
    };
    write("train-labels-idx1-ubyte", &[0x0801, 2], &[0, 1]);
    let both = [pixels(0, 3, 4), pixels(1, 3, 4)].concat();
    write("train-images-idx4-ubyte", &[0x0804, 2, 3, 4, 4], &both);
    let images = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!((shape(&images), images.image(1)), ((2, 3, 4, 2), &pixels(1, 3, 4)[..]));
    write("train-images-idx4-ubyte", &[0x0804, 2, 99, 4, 4], &both);
    assert!(
        error(folder.path(), Part::Train).contains("announces 99 channels; allowed are 1 to 16")
    );
    write("train-images-idx4-ubyte", &[0x0804, 2, 3, 4, 2], &both[..48]);
    assert!(error(folder.path(), Part::Train).contains("4 x 2 pixels; qtrail needs square"));
    let reading = Reading { resize: Some(2), ..Reading::default() };
    let images = format::read(folder.path(), Part::Train, reading).unwrap();
    assert_eq!(shape(&images), (2, 3, 2, 2));
    assert_eq!(images.image(0)[..4], [both[2], both[3], both[4], both[5]]);
}

#[test]
fn one_folder_holds_one_set() {
    let folder = copy("npz");
    fs::write(folder.path().join("train_32x32.mat"), "x").unwrap();
    let error = error(folder.path(), Part::Train);
    assert!(
        error.contains("holds SVHN MAT files and an NPZ file: which of them is meant?"),
        "{error}"
    );
    assert_eq!(Format::of(&files("npz")).unwrap(), Format::Npz);
}

#[test]
fn check_tells_of_every_format() {
    for (name, counts, channels) in
        [("svhn", [6, 2], 3), ("npz", [6, 3], 3), ("npz-grey", [4, 2], 1)]
    {
        let located = Located::at(name, &files(name), Reading::default());
        let report = check::check(&located).unwrap();
        assert_eq!(report.parts.iter().map(|part| part.count).collect::<Vec<_>>(), counts);
        let train = &report.parts[0];
        assert_eq!(train.mean_image.len(), (channels * train.side * train.side) as usize);
        let glance = report.format.glance(&located.folder, Part::Train).unwrap();
        assert_eq!(
            (glance.count, glance.channels, glance.width),
            (counts[0], channels, train.side)
        );
        assert_eq!(report.files.len(), if name == "svhn" { 2 } else { 1 });
    }
    let located = Located::at("pictures", &files("pictures"), Reading::default());
    let report = check::check(&located).unwrap();
    assert!(report.files.is_empty());
    assert_eq!(report.parts[1].class_counts, [1, 1]);
    let glance = report.format.glance(&located.folder, Part::Test).unwrap();
    assert_eq!((glance.count, glance.width, glance.height), (2, 8, 8));
}

#[test]
fn splits_are_stratified_whatever_the_format() {
    let ten = cifar(&TEN, 20, 1);
    for (folder, classes) in [
        (files("svhn"), &[0, 1][..]),
        (files("npz"), &[0, 1, 2]),
        (files("npz-grey"), &[0, 1]),
        (files("pictures"), &[0, 1]),
        (ten.path().to_owned(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ] {
        let labels = Images::read(&folder, Part::Train).unwrap().labels;
        let wanted = u32::try_from(classes.len()).unwrap();
        let split = Split::draw(&labels, wanted, None, 5).unwrap();
        let mut drawn: Vec<u8> =
            split.validation.iter().map(|&index| labels[index as usize]).collect();
        drawn.sort_unstable();
        assert_eq!(drawn, classes, "{}", folder.display());
        assert_eq!(Split::draw(&labels, wanted, None, 5).unwrap(), split);
    }
}

/// The digest of a set is what is recorded of it; it must not change from version to version. These
/// were computed with NumPy, SciPy, Pillow and the blake3 package from the same files.
#[test]
fn digests_are_pinned() {
    for (name, part, expected) in [
        ("svhn", Part::Train, "a0abfeb3f11900b67189a7c3cd44aa6e27dcd583d17261c250749e8edf16431f"),
        ("npz", Part::Train, "3addb37477d15685bab01466fb462c03dc6745ef1713b319d509ad717424f43f"),
        (
            "pictures",
            Part::Train,
            "cf74c1470e27d6101aae2e51557f8c329c2852243f98280df0769b56342cb32e",
        ),
    ] {
        let digest = Images::read(&files(name), part).unwrap().digest();
        assert_eq!(qtrail::data::catalog::hex(&digest), expected, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a file, reading it ends in an answer.
    #[test]
    fn no_damage_makes_a_reader_panic(
        (set, file) in prop::sample::select(vec![
            ("svhn", "train_32x32.mat"),
            ("npz", "colour.npz"),
            ("npz-grey", "grey.npz"),
            ("pictures", "train/cat/1.png"),
            ("pictures", "train/cat/3-palette.png"),
            ("pictures", "train/dog/1.jpg"),
            ("pictures", "train/dog/3-progressive.jpg"),
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.25, any::<prop::sample::Index>()),
        resize in prop::option::of(1_u32..9),
    ) {
        let folder = copy(set);
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        fs::write(path, bytes).unwrap();
        let reading = Reading { resize, ..Reading::default() };
        if let Ok(images) = format::read(folder.path(), Part::Train, reading) {
            prop_assert_eq!(images.pixels.len(), images.length() * images.count as usize);
            prop_assert_eq!(images.labels.len(), images.count as usize);
        }
    }
}
