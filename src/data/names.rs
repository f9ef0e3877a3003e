//! What classes are called: files with a name a line, and whether they fit the labels.
//!
//! A name stands for a label by its place. A line too few, or labels that begin at 1, would give
//! every class the name of another one, so such names are refused where something new is made.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{DataError, Located, Part};

const KIND: &str = "file of class names";
/// Most bytes of such a file.
const BYTES_MAX: u64 = 1 << 20;
/// Classes in one message.
const SHOWN: usize = 5;

/// The text of a file of names: UTF-8, also with a byte order mark, and with any ends of lines.
///
/// # Errors
/// [`DataError`] if it cannot be read, is too large, or is not UTF-8.
pub fn text(path: &Path) -> Result<String, DataError> {
    let wrong = |reason: String| Err(DataError::malformed(path, KIND, reason));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(DataError::io("open", path))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > BYTES_MAX {
        return wrong(format!("it has more than {BYTES_MAX} bytes"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return wrong("it is UTF-16, expected UTF-8".to_owned());
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => wrong("it has zero bytes, expected text".to_owned()),
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
        }
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            wrong(format!("line {line} is not UTF-8"))
        }
    }
}

/// The names in a file, one a line; none if there is no such file.
///
/// # Errors
/// [`DataError`] as [`text`], or if a line before the last name is empty.
pub fn read(path: &Path) -> Result<Vec<String>, DataError> {
    if !DataError::check_file(path)? {
        return Ok(Vec::new());
    }
    let text = text(path)?;
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if let Some(line) = lines.iter().position(|line| line.is_empty()) {
        let reason = format!("line {} is empty, expected the name of class {line}", line + 1);
        return Err(DataError::malformed(path, KIND, reason));
    }
    // They are shown on terminals, and written one a line.
    let shown = |line: &str| line.chars().filter(|c| !c.is_control()).collect();
    Ok(lines.into_iter().map(shown).collect())
}

/// The classes of a part of a data set, as people see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassNames {
    /// What they are called; empty if nothing says so.
    pub names: Vec<String>,
    /// What looks wrong, in words; empty if nothing does.
    pub remarks: Vec<String>,
}

/// The names of classes with `counts` images each, and what looks wrong with both. A test part may
/// lack the last classes, and so may a set of which some were left out.
///
/// # Errors
/// [`DataError::ClassNames`] if there are fewer names than classes; [`DataError`] if they cannot be
/// read.
pub fn look(located: &Located, part: Part, counts: &[u32]) -> Result<ClassNames, DataError> {
    let names = located.told_names()?;
    let mut remarks = empty_classes(&names, part, counts);
    if !names.is_empty() && names.len() < counts.len() {
        let (told, classes) = (names.len(), counts.len());
        let begin_at_1 = counts.first() == Some(&0);
        return Err(DataError::ClassNames {
            folder: located.folder.clone(),
            told,
            classes,
            remark: remarks.into_iter().next().filter(|_| begin_at_1),
        });
    }
    if part == Part::Train && names.len() > counts.len() {
        let (told, classes) = (names.len(), counts.len());
        remarks.push(format!(
            "{told} class names for {classes} classes: there are no images of {}",
            listed(&names, classes..told)
        ));
    }
    let same = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    if let Some(name) = names.iter().find(|name| same(name)) {
        remarks.push(format!("several classes are called {name}"));
    }
    Ok(ClassNames { names, remarks })
}

/// What is to be said of classes of a part that have no images.
#[must_use]
pub fn empty_classes(names: &[String], part: Part, counts: &[u32]) -> Vec<String> {
    let images = if part == Part::Test { "test images" } else { "images" };
    let empty: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] == 0).collect();
    match empty[..] {
        [] => Vec::new(),
        [0] => {
            let last = counts.len() - 1;
            vec![format!("class 0 has no {images}; are the labels 1 to {last}?")]
        }
        _ => vec![format!("there are no {images} of {}", listed(names, empty.into_iter()))],
    }
}

/// `class 3 (dog), class 4 (emu)`, as far as they fit into a message.
fn listed(names: &[String], classes: impl Iterator<Item = usize> + Clone) -> String {
    let title = |class: usize| match names.get(class) {
        Some(name) => format!("class {class} ({name})"),
        None => format!("class {class}"),
    };
    let shown: Vec<String> = classes.clone().take(SHOWN).map(title).collect();
    let more = classes.count().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Reading;
    use crate::data::format::CLASS_NAMES;

    fn named(text: &[u8]) -> (tempfile::TempDir, Located) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CLASS_NAMES), text).unwrap();
        let located = Located::at("pets", folder.path(), Reading::default());
        (folder, located)
    }

    #[test]
    fn names_are_read_however_editors_save_them() {
        for text in
            ["cat\ndog\n", "cat\ndog", "\u{feff}cat\r\ndog\r\n", "cat\rdog\r\r", " cat \ndog\n\n"]
        {
            let (_folder, located) = named(text.as_bytes());
            assert_eq!(located.told_names().unwrap(), ["cat", "dog"], "{text:?}");
        }
        for (text, expected) in [
            (&b"\xff\xfec\0a\0t\0"[..], "it is UTF-16, expected UTF-8"),
            (b"cat\ndo\xe9\n", "line 2 is not UTF-8"),
            (b"c\0a\0t\0", "zero bytes"),
            (b"cat\n\ndog\n", "line 2 is empty, expected the name of class 1"),
            (&[b'x'; 1_100_000], "more than 1048576 bytes"),
        ] {
            let (_folder, located) = named(text);
            let error = located.told_names().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(CLASS_NAMES), "{error}");
            // What is shown of a recorded attack does without them.
            assert_eq!(located.class_names(2), ["0", "1"]);
        }
    }

    #[test]
    fn names_that_are_shifted_are_refused_and_the_rest_is_said() {
        let (_folder, located) = named(b"left\nright\n");
        let look = |counts: &[u32]| look(&located, Part::Train, counts);
        assert_eq!(look(&[3, 4]).unwrap().remarks, [""; 0]);
        let error = look(&[0, 3, 4]).unwrap_err().to_string();
        assert!(error.contains("2 class names for 3 classes"), "{error}");
        assert!(error.contains("class 0 has no images; are the labels 1 to 2?"), "{error}");
        let error = look(&[1, 3, 4]).unwrap_err().to_string();
        assert!(!error.contains("are the labels"), "{error}");
        assert_eq!(
            look(&[0, 7]).unwrap().remarks,
            ["class 0 has no images; are the labels 1 to 1?"]
        );
        let remarks = look(&[7]).unwrap().remarks;
        let expected = "2 class names for 1 classes: there are no images of class 1 (right)";
        assert_eq!(remarks, [expected]);
        let (_folder, located) = named(b"a\nb\nc\na\n");
        let found = super::look(&located, Part::Test, &[5, 0, 0, 5]).unwrap();
        let empty = "there are no test images of class 1 (b), class 2 (c)";
        assert_eq!(found.remarks, [empty, "several classes are called a"]);
        assert_eq!(super::look(&located, Part::Test, &[5, 5, 5]).unwrap().remarks.len(), 1);
    }
}
