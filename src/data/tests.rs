use std::fs;
use std::io::Write;

use proptest::prelude::*;

use super::*;

/// A folder with both files of a part; `count` images of 2 x 2 pixels, labels 0, 1, 2, 0, …
fn folder(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train-images-idx3-ubyte"), images(count)).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte"), labels(count)).unwrap();
    folder
}

fn images(count: u32) -> Vec<u8> {
    let header = [0x0803_u32, count, 2, 2];
    let mut bytes: Vec<u8> = header.iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.extend((0..count * 4).map(|pixel| pixel as u8));
    bytes
}

fn labels(count: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0x0801_u32, count].iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.extend((0..count).map(|image| (image % 3) as u8));
    bytes
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
    for (name, bytes) in [("train-images", images(6)), ("train-labels", labels(6))] {
        let kind = if name.ends_with("images") { "idx3-ubyte" } else { "idx1-ubyte" };
        fs::remove_file(folder.path().join(format!("{name}-{kind}"))).unwrap();
        fs::write(folder.path().join(format!("{name}.{kind}.gz")), gzip(&bytes)).unwrap();
    }
    let gzipped = Images::read(folder.path(), Part::Train).unwrap();
    assert_eq!(plain.digest(), gzipped.digest());
}

#[test]
fn damaged_files_are_named() {
    let changed = |at: usize, to: u8| {
        let mut bytes = images(6);
        bytes[at] = to;
        bytes
    };
    for (bytes, message) in [
        (images(6)[..39].to_vec(), "announces 24 bytes, it holds 23"),
        ([images(6), vec![0]].concat(), "more than the 24 bytes of its header follow"),
        (changed(3, 1), "it begins with 0x00000801, not 0x00000803"),
        (changed(4, 255), "announces more than 8 GiB"),
        (changed(11, 3), "3 x 2 pixels, not square"),
        (images(6)[..9].to_vec(), "cut short"),
        (images(5), "it holds 6 labels for 5 images"),
        (Vec::new(), "cut short"),
    ] {
        let folder = folder(6);
        fs::write(folder.path().join("train-images-idx3-ubyte"), bytes).unwrap();
        let error = Images::read(folder.path(), Part::Train).unwrap_err().to_string();
        assert!(error.contains(message), "{error} should say {message}");
    }
}

#[test]
fn damaged_gzip_is_named() {
    for bytes in [gzip(&images(6))[..20].to_vec(), b"no gzip".to_vec()] {
        let folder = folder(6);
        fs::remove_file(folder.path().join("train-images-idx3-ubyte")).unwrap();
        fs::write(folder.path().join("train-images-idx3-ubyte.gz"), bytes).unwrap();
        let error = Images::read(folder.path(), Part::Train).unwrap_err().to_string();
        assert!(error.contains("cut short or damaged"), "{error}");
    }
}

#[test]
fn missing_files_and_unknown_names_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = Images::read(empty.path(), Part::Test).unwrap_err().to_string();
    assert!(error.contains("has no t10k-images-idx3-ubyte"), "{error}");
    let home = DataHome { told: None, cache: empty.path().into() };
    let error = home.locate("nonsense").unwrap_err().to_string();
    assert!(
        error.contains("neither a folder nor a known data set (fashion-mnist, mnist)"),
        "{error}"
    );
    let error = home.locate("mnist").unwrap_err().to_string();
    assert_eq!(error, "the data set mnist is not on this machine");
    fs::create_dir(empty.path().join("mnist")).unwrap();
    assert_eq!(home.locate("mnist").unwrap().folder, empty.path().join("mnist"));
}

/// Pinned: the same seed must draw the same split for ever.
#[test]
fn a_known_split() {
    let labels: Vec<u8> = (0..100).map(|image| image % 10).collect();
    let split = Split::draw(&labels, 20, Some(30), 7).unwrap();
    let digest = blake3::hash(&split.to_bytes()).to_hex();
    assert_eq!(digest.as_str(), "6c11e121dd9acc1c4871f7761842fc59e3e044ed6be5a12aa39b6fb14835aecc");
}

#[test]
fn too_few_images_and_false_bytes_are_refused() {
    let labels = [0, 1, 0, 1];
    let error =
        |validation, train| Split::draw(&labels, validation, train, 0).unwrap_err().to_string();
    assert_eq!(error(5, None), "5 validation images wanted, 4 are left");
    assert_eq!(error(2, Some(3)), "3 training images wanted, 2 are left");
    assert_eq!(error(4, None), "no image is left to train on");
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    for (bytes, reason) in [
        (vec![0; 7], "is cut short"),
        (words(&[2, 1, 0, 1]), "does not have the length it announces"),
        (words(&[2, 1, 1, 0, 2]), "is not in ascending order"),
        (words(&[2, 1, 0, 4, 2]), "names an image that does not exist"),
        (words(&[2, 1, 0, 2, 2]), "has an image in both parts"),
    ] {
        let error = Split::from_bytes(&bytes, 4).unwrap_err().to_string();
        assert_eq!(error, format!("the split {reason}"));
    }
}

proptest! {
    #[test]
    fn splits_are_stratified_disjoint_and_stable(
        labels in prop::collection::vec(0_u8..5, 50..300),
        seed: u64,
        validation in 1_u32..20,
        train in 1_u32..20,
    ) {
        let split = Split::draw(&labels, validation, Some(train), seed).unwrap();
        prop_assert_eq!(split.train.len(), train as usize);
        prop_assert_eq!(split.validation.len(), validation as usize);
        let images = u32::try_from(labels.len()).unwrap();
        prop_assert_eq!(&Split::from_bytes(&split.to_bytes(), images).unwrap(), &split);
        // The number of training images does not change what is validated on.
        let other = Split::draw(&labels, validation, None, seed).unwrap();
        prop_assert_eq!(&other.validation, &split.validation);
        prop_assert_eq!(other.train.len() + other.validation.len(), labels.len());
        for class in 0..5 {
            let count = |list: &[u32]| list.iter().filter(|&&i| labels[i as usize] == class).count();
            let all = labels.iter().filter(|&&label| label == class).count();
            let share = all as f64 * f64::from(validation) / labels.len() as f64;
            prop_assert!((count(&split.validation) as f64 - share).abs() < 1.0);
        }
    }
}
