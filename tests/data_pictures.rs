//! Pictures in folders: as other programs write them, as people keep them, damaged and hostile ones.
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod data_support;

use std::fs;
use std::path::Path;

use data_support::{copy, error, files, pixels, shape};
use qtrail::data::{
    DataHome, Format, ImageSet, Images, Located, Part, Reading, check, format, pictures,
};

/// Lossy: near enough.
#[track_caller]
fn near(found: &[u8], expected: [u8; 3]) {
    for (channel, expected) in found.chunks_exact(found.len() / 3).zip(expected) {
        assert!(channel.iter().all(|value| value.abs_diff(expected) < 4), "{channel:?} {expected}");
    }
}

#[test]
fn pictures_are_read_as_pillow_writes_them() {
    let train = Images::read(&files("pictures"), Part::Train).unwrap();
    assert_eq!(shape(&train), (6, 3, 8, 2));
    assert_eq!(train.labels, [0, 0, 0, 1, 1, 1]);
    assert_eq!(train.image(0), pixels(0, 3, 8));
    assert_eq!(train.image(1), pixels(1, 3, 8), "what is transparent stays as it is");
    near(train.image(2), [10, 200, 30]);
    near(train.image(3), [200, 100, 50]);
    near(train.image(4), [77; 3]);
    near(train.image(5), [20, 100, 150]);
    let test = Images::read(&files("pictures"), Part::Test).unwrap();
    assert_eq!((shape(&test), test.labels.as_slice()), ((2, 3, 8, 2), &[0, 1][..]));
    assert_eq!(test.image(0), pixels(0, 1, 8).repeat(3), "grey in a set in colour");
    let home = DataHome::default();
    let located = home.locate(&files("pictures").display().to_string()).unwrap();
    assert_eq!(located.class_names(2), ["cat", "dog"]);
    assert_eq!(located.class_names(3), ["0", "1", "2"], "names that are too few are none");
}

/// The decoder panics where a palette ends within a colour.
#[test]
fn a_palette_that_is_cut_short_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("train/a");
    fs::create_dir_all(&class).unwrap();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8], data: &[u8]| {
        let body = [name, data].concat();
        file.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        file.extend(&body);
        file.extend(crc32fast::hash(&body).to_be_bytes());
    };
    // 8 x 8, one bit a pixel, a palette.
    chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 1, 3, 0, 0, 0]);
    chunk(b"PLTE", &[7; 19]);
    chunk(b"IDAT", b"x\x9cc`@\x05");
    chunk(b"IEND", &[]);
    fs::write(class.join("1.png"), file).unwrap();
    let found = error(folder.path(), Part::Train);
    assert!(found.contains("its palette ends within a colour"), "{found}");
}

#[test]
fn grey_pictures_stay_grey_and_other_shapes_need_to_be_resized() {
    let folder = files("pictures-grey");
    let error = error(&folder, Part::Train);
    let sizes = "have 2 different sizes";
    assert!(
        error.contains(sizes) && error.contains("\n  8 x 12: 1 picture; the first is"),
        "{error}"
    );
    assert!(error.contains("2-wide.png"), "{error}");
    assert!(error.contains("--resize SIDE"), "{error}");
    let reading = Reading { resize: Some(8), ..Reading::default() };
    let train = format::read(&folder, Part::Train, reading).unwrap();
    assert_eq!((shape(&train), train.labels.as_slice()), ((4, 1, 8, 2), &[0, 0, 1, 1][..]));
    assert_eq!(train.image(0), pixels(0, 1, 8));
    assert_eq!(train.image(1), [9; 64]);
    assert_eq!(train.image(2), pixels(0, 1, 8), "the upper eight of sixteen bits");
    assert_eq!(train.image(3), [255; 64]);
}

/// Spoils a copy of the set of pictures.
fn spoilt(spoil: &dyn Fn(&Path)) -> String {
    let folder = copy("pictures");
    spoil(folder.path());
    error(folder.path(), Part::Train)
}

#[test]
fn damaged_and_hostile_pictures_are_named() {
    let cut = |name: &'static str, keep: usize| {
        move |folder: &Path| {
            let path = folder.join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..keep]).unwrap();
        }
    };
    for (name, keep) in [
        ("train/cat/1.png", 0),
        ("train/cat/1.png", 30),
        ("train/cat/1.png", 60),
        ("train/cat/1.png", 70),
        ("train/dog/1.jpg", 0),
        ("train/dog/1.jpg", 2),
        ("train/dog/1.jpg", 300),
        ("train/dog/1.jpg", 615),
    ] {
        let error = spoilt(&cut(name, keep));
        assert!(error.contains(name), "{error}");
    }
    let write = |name: &'static str, bytes: Vec<u8>| {
        spoilt(&move |folder| fs::write(folder.join(name), &bytes).unwrap())
    };
    // A picture that says it has other sides.
    let png_of = |width: u32, height: u32| {
        let mut bytes = fs::read(files("pictures/train/cat/1.png")).unwrap();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    };
    assert!(write("train/cat/1.png", png_of(1_000_000, 1)).contains("announces 1000000 columns"));
    let large = png_of(8000, 8000);
    assert!(write("train/cat/1.png", large).contains("announces 64000000 pixels"));
    let mut flipped = fs::read(files("pictures/train/cat/1.png")).unwrap();
    flipped[50] ^= 1;
    assert!(write("train/cat/1.png", flipped).contains("no good PNG picture"));
    assert!(write("train/cat/0.png", vec![1]).contains("its content is neither PNG nor JPEG"));
    for (start, name) in [
        (&b"GIF89a.."[..], "GIF"),
        (b"BM......", "BMP"),
        (b"II*\0....", "TIFF"),
        (b"RIFF....WEBPVP8 ", "WebP"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
    ] {
        let error = write("train/cat/0.png", start.to_vec());
        let expected = format!("it is a {name} file; qtrail reads PNG and JPEG: convert it");
        assert!(error.contains(&expected), "{error}");
    }
    let within = |folder: &Path| fs::create_dir(folder.join("train/cat/more")).unwrap();
    assert!(spoilt(&within).contains("it is a folder in the folder of a class"));
    assert!(write("train/notes", vec![1]).contains("lies beside the folders of the classes"));
    let empty = |folder: &Path| fs::create_dir(folder.join("train/ant")).unwrap();
    assert!(spoilt(&empty).contains("ant is no good folder of a class: it has no pictures"));
    // Hidden files are nobody's pictures.
    let folder = copy("pictures");
    fs::write(folder.path().join("train/cat/.DS_Store"), "x").unwrap();
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().count, 6);
    fs::create_dir(folder.path().join("test/emu")).unwrap();
    assert!(error(folder.path(), Part::Test).contains("the training part has no class emu"));
}

/// ImageNet has a PNG that is called .JPEG; web browsers name WebP pictures .jpg.
#[test]
fn the_content_says_what_a_picture_is() {
    let plain = Images::read(&files("pictures"), Part::Train).unwrap();
    let folder = copy("pictures");
    let rename = |from: &str, to: &str| {
        fs::rename(folder.path().join("train").join(from), folder.path().join("train").join(to))
            .unwrap();
    };
    rename("cat/1.png", "cat/1.jpg");
    rename("dog/1.jpg", "dog/1.jfif");
    rename("dog/3-progressive.jpg", "dog/3");
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap(), plain);
    let located = Located::at("pictures", folder.path(), Reading::default());
    let report = check::check(&located).unwrap();
    let remarks = report.parts[0].remarks.join("\n");
    assert!(remarks.contains("another format than their names say: 2"), "{remarks}");
    assert!(remarks.contains("cat/1.jpg, a PNG file"), "{remarks}");
}

/// Compared with what Pillow makes of the same file: 8 x 8 pixels of one colour.
#[test]
fn inks_are_turned_into_colours_and_counted() {
    let folder = copy("pictures");
    let path = folder.path().join("train/dog/1.jpg");
    fs::copy(files("cmyk.jpg"), &path).unwrap();
    let located = Located::at("pictures", folder.path(), Reading::default());
    let images = located.read(Part::Train).unwrap();
    near(images.image(3), [250, 249, 248]);
    let remarks = check::check(&located).unwrap().parts[0].remarks.join("\n");
    assert!(remarks.contains("CMYK pictures turned into RGB: 1; the first is"), "{remarks}");
    // Without Adobe's marker nobody knows whether inks are inverted.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"Adobe").unwrap();
    bytes[at..at + 5].copy_from_slice(b"Other");
    fs::write(path, bytes).unwrap();
    let error = error(folder.path(), Part::Train);
    assert!(error.contains("CMYK without Adobe's marker"), "{error}");
}

#[test]
fn all_bad_files_are_named_at_once() {
    let folder = copy("pictures");
    let bad = |name: String| fs::write(folder.path().join("train/cat").join(name), "x").unwrap();
    bad("0.png".to_owned());
    bad("9.txt".to_owned());
    let error = |folder: &Path| self::error(folder, Part::Train);
    let two = error(folder.path());
    assert!(two.starts_with("2 files in ") && two.lines().count() == 3, "{two}");
    assert!(two.contains("cat/0.png is no good picture") && two.contains("cat/9.txt"), "{two}");
    (10..60).for_each(|number| bad(format!("{number}.png")));
    let many = error(folder.path());
    assert!(many.starts_with("52 files in ") && many.ends_with("\n  and 32 more"), "{many}");
}

/// A folder of classes, `each` pictures of 2 x 2 pixels in each.
fn classes_in(folder: &Path, each: u8) {
    for (class, shade) in [("ant", 10), ("bee", 130)] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for number in 0..each {
            let picture = pictures::png(1, 2, &[shade + number; 4]).unwrap();
            fs::write(folder.join(class).join(format!("{number:02}.png")), picture).unwrap();
        }
    }
}

#[test]
fn folders_of_classes_alone_are_split_by_the_data_seed() {
    let folder = tempfile::tempdir().unwrap();
    classes_in(folder.path(), 20);
    // What lies around: other programs' files, a folder without pictures.
    for clutter in ["Thumbs.db", "ant/desktop.ini", "bee/.DS_Store", "bee/Thumbs.db", "notes.txt"] {
        fs::write(folder.path().join(clutter), "x").unwrap();
    }
    fs::create_dir(folder.path().join("store")).unwrap();
    fs::write(folder.path().join("store/HEAD"), "x").unwrap();
    assert_eq!(Format::of(folder.path()).unwrap(), Format::Pictures);
    let located = |seed| Located::at("set", folder.path(), Reading { seed, ..Reading::default() });
    let read = |seed, part| located(seed).read(part).unwrap();
    let (train, test) = (read(3, Part::Train), read(3, Part::Test));
    assert_eq!((train.class_counts(), test.class_counts()), (vec![16, 16], vec![4, 4]));
    assert!(test.pixels.iter().all(|pixel| !train.pixels.contains(pixel)), "in one part only");
    assert_ne!(read(4, Part::Test).digest(), test.digest());
    assert_eq!(read(3, Part::Test), test);
    assert_eq!(located(3).class_names(2), ["ant", "bee"]);
    let report = check::check(&located(3)).unwrap();
    let remarks = report.parts[1].remarks.join("\n");
    assert!(remarks.contains("drawn with the data seed 3"), "{remarks}");
    // What is true of both parts is said once.
    assert!(!remarks.contains("hidden files"), "{remarks}");
    let remarks = report.parts[0].remarks.join("\n");
    assert!(remarks.contains("passed over: 4 hidden files"), "{remarks}");
    // A class with a single picture is trained on; no test part is left.
    let folder = tempfile::tempdir().unwrap();
    classes_in(folder.path(), 1);
    assert_eq!(Images::read(folder.path(), Part::Train).unwrap().count, 2);
    assert!(error(folder.path(), Part::Test).contains("no class has two pictures"));
}

#[test]
fn val_stands_for_test_and_training_images_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    classes_in(&folder.path().join("train"), 3);
    classes_in(&folder.path().join("val"), 2);
    let test = Images::read(folder.path(), Part::Test).unwrap();
    assert_eq!((test.count, test.classes), (4, 2));
    fs::remove_dir_all(folder.path().join("train")).unwrap();
    assert_eq!(Images::read(folder.path(), Part::Test).unwrap(), test);
    let missing = error(folder.path(), Part::Train);
    assert!(missing.contains("has no folder `train` with its classes"), "{missing}");
    let located = Located::at("set", folder.path(), Reading::default());
    let report = check::check(&located).unwrap();
    assert_eq!(report.parts.iter().map(|part| part.part).collect::<Vec<_>>(), [Part::Test]);
    assert!(report.parts[0].remarks[0].contains("the folder `val` is the test part"));
    // The test part, where both are there.
    classes_in(&folder.path().join("test"), 1);
    assert_eq!(Images::read(folder.path(), Part::Test).unwrap().count, 2);
}

/// Left out, it would shift the numbers of the classes behind it.
#[test]
fn an_empty_folder_of_a_class_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    classes_in(folder.path(), 3);
    let classes = || Images::read(folder.path(), Part::Test).map(|images| images.classes);
    assert_eq!(classes().unwrap(), 2);
    // A folder with other things is none of a class.
    fs::create_dir(folder.path().join("notes")).unwrap();
    fs::write(folder.path().join("notes/a.txt"), "none").unwrap();
    assert_eq!(classes().unwrap(), 2);
    let empty = folder.path().join("ape");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("Thumbs.db"), "").unwrap();
    let error = classes().unwrap_err().to_string();
    assert!(error.contains("ape is no good folder of a class: it has no pictures"), "{error}");
}

/// Networks are trained on at most 256 classes; models of others may know a thousand.
#[test]
fn a_thousand_classes_can_be_attacked() {
    let folder = tempfile::tempdir().unwrap();
    let picture = pictures::png(1, 1, &[7]).unwrap();
    for class in 0..300 {
        let within = folder.path().join(format!("test/{class:04}"));
        fs::create_dir_all(&within).unwrap();
        fs::write(within.join("0.png"), &picture).unwrap();
    }
    let located = Located::at("set", folder.path(), Reading::default());
    let set = ImageSet::open(&located, Part::Test).unwrap();
    assert_eq!((set.count, set.classes, set.labels[299]), (300, 300, 299));
    let error = error(folder.path(), Part::Test);
    assert!(error.contains("300 classes to train on; allowed are 1 to 256"), "{error}");
}

#[test]
fn sizes_must_be_equal_and_all_of_them_are_told() {
    let folder = copy("pictures");
    let put = |name: String, side: u32| {
        let pixels = vec![7; 3 * side as usize * side as usize];
        let path = folder.path().join("train/dog").join(name);
        fs::write(path, pictures::png(3, side, &pixels).unwrap()).unwrap();
    };
    put("9.png".to_owned(), 2);
    put("9b.png".to_owned(), 3);
    put("9c.png".to_owned(), 3);
    let error = |folder: &Path| self::error(folder, Part::Train);
    let three = error(folder.path());
    assert!(three.contains("have 3 different sizes"), "{three}");
    let lines: Vec<&str> = three.lines().skip(1).collect();
    for (line, (size, file)) in lines.iter().zip([
        ("8 x 8: 6 pictures", "1.png"),
        ("3 x 3: 2", "9b.png"),
        ("2 x 2: 1 picture;", "9.png"),
    ]) {
        assert!(line.trim().starts_with(size) && line.contains(file), "{three}");
    }
    assert!(three.contains("--resize SIDE"), "{three}");
    (10..40).for_each(|side| put(format!("{side}.png"), side));
    let many = error(folder.path());
    assert!(many.contains("have 33 different sizes") && many.ends_with("and 13 more"), "{many}");
}

#[test]
fn damaged_files_and_other_sizes_of_both_parts_are_told_at_once() {
    let folder = copy("pictures");
    let small = pictures::png(3, 2, &[7; 12]).unwrap();
    fs::write(folder.path().join("train/dog/0.png"), &small).unwrap();
    fs::write(folder.path().join("train/dog/9.png"), &small[..small.len() / 2]).unwrap();
    fs::write(folder.path().join("test/dog/9.png"), b"no picture").unwrap();
    let located = Located::at("pictures", folder.path(), Reading::default());
    let told = check::check(&located).unwrap_err().to_string();
    for what in ["train/dog/9.png", "have 2 different sizes", "2 x 2: 1 picture;", "test/dog/9.png"]
    {
        assert!(told.contains(what), "{what}: {told}");
    }
}

#[test]
fn what_is_not_seen_of_pictures_is_counted() {
    let folder = copy("pictures");
    let dog = folder.path().join("train/dog");
    let write = |name: &str, color, depth, values: &[u8]| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 8, 8);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(values).unwrap();
        fs::write(dog.join(name), file).unwrap();
    };
    write("8.png", png::ColorType::Rgb, png::BitDepth::Sixteen, &[9; 8 * 8 * 6]);
    write("9.png", png::ColorType::Rgba, png::BitDepth::Eight, &[9; 8 * 8 * 4]);
    // A camera that was held upright.
    let jpeg = fs::read(dog.join("1.jpg")).unwrap();
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xff, 0xe1]);
    turned.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    turned.extend(exif);
    turned.extend(&jpeg[2..]);
    fs::write(dog.join("7.jpg"), turned).unwrap();
    let located = Located::at("pictures", folder.path(), Reading::default());
    let remarks = check::check(&located).unwrap().parts[0].remarks.join("\n");
    for (what, file) in [
        ("16 bits a value, of which the upper eight are taken: 1", "8.png"),
        ("EXIF orientation turns or mirrors", "7.jpg"),
    ] {
        let line = remarks.lines().find(|line| line.contains(what));
        assert!(line.is_some_and(|line| line.contains(file)), "{remarks}");
    }
    assert!(remarks.contains("with transparency (RGBA), which is dropped: "), "{remarks}");
}
