//! A part of a data set whose images need not be in memory at once.
//!
//! Pictures in folders are decoded when they are needed: 50,000 of 299 x 299 pixels in colour would
//! take 13 GB. All of them are decoded once when the set is opened, for their hashes; a picture that
//! is another one later is noticed. Images of other formats stay in memory.

use rayon::prelude::*;

use super::pictures::Pictures;
use super::{DataError, Format, Images, Located, Part};

/// A part of a data set.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// The class of each image, below `classes`.
    pub labels: Vec<u16>,
    /// Number of images, at least 1.
    pub count: u32,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
    /// Number of classes: the highest label and one.
    pub classes: u32,
    /// Facts about the files that a person should know, a sentence each.
    pub remarks: Vec<String>,
    digest: [u8; 32],
    pixels: Pixels,
}

#[derive(Debug, Clone)]
enum Pixels {
    /// All of them.
    Memory(Vec<u8>),
    /// Files, and the hash of the pixels of each.
    Files(Box<Pictures>, Vec<[u8; 32]>),
}

impl From<Images> for ImageSet {
    fn from(images: Images) -> Self {
        Self {
            digest: images.digest(),
            labels: images.labels.iter().map(|&label| label.into()).collect(),
            count: images.count,
            channels: images.channels,
            side: images.side,
            classes: images.classes,
            remarks: Vec::new(),
            pixels: Pixels::Memory(images.pixels),
        }
    }
}

impl ImageSet {
    /// Opens a part of a data set, and looks at each image once.
    ///
    /// # Errors
    /// [`DataError`] naming the files that cannot be used and what is wrong with them.
    pub fn open(located: &Located, part: Part) -> Result<Self, DataError> {
        Self::open_with(located, part, &mut |_| ())
    }

    /// The same; each image is shown to `each`.
    ///
    /// # Errors
    /// As [`ImageSet::open`].
    pub fn open_with(
        located: &Located,
        part: Part,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, DataError> {
        if located.known.is_some() || Format::of(&located.folder)? != Format::Pictures {
            let images = located.read(part)?;
            images.pixels.chunks_exact(images.length().max(1)).for_each(each);
            return Ok(images.into());
        }
        if located.reading.extra && part == Part::Train {
            return Err(DataError::NoExtra { folder: located.folder.clone() });
        }
        let pictures = Pictures::open(&located.folder, part, located.reading)?;
        let (mut all, mut hashes) = (blake3::Hasher::new(), Vec::new());
        let walked = pictures.walk(&mut |_, _, _, pixels| {
            all.update(pixels);
            hashes.push(*blake3::hash(pixels).as_bytes());
            each(pixels);
            Ok(())
        })?;
        let labels: Vec<u16> = pictures.labels().collect();
        let classes = labels.iter().max().map_or(0, |&highest| u32::from(highest) + 1);
        all.update(&label_bytes(&labels));
        Ok(Self {
            count: u32::try_from(labels.len()).unwrap_or(u32::MAX),
            channels: pictures.channels(),
            side: walked.side,
            classes,
            remarks: walked.remarks,
            digest: *all.finalize().as_bytes(),
            labels,
            pixels: Pixels::Files(Box::new(pictures), hashes),
        })
    }

    /// BLAKE3 over the pixels, then the labels: that of [`Images::digest`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Bytes of one image.
    #[must_use]
    pub fn length(&self) -> usize {
        self.channels as usize * self.side as usize * self.side as usize
    }

    /// The images of these indices, end to end: channel after channel, row after row.
    ///
    /// # Errors
    /// [`DataError::NoImage`] if there is no such image, [`DataError::Changed`] if a picture is another
    /// one than when the set was opened, or what is wrong with its file.
    pub fn gather(&self, indices: &[u32]) -> Result<Vec<u8>, DataError> {
        let missing = |index: u32| DataError::NoImage { index, count: self.count };
        match &self.pixels {
            Pixels::Memory(pixels) => {
                let length = self.length();
                let mut images = Vec::with_capacity(indices.len() * length);
                for &index in indices {
                    let start = index as usize * length;
                    let image = pixels.get(start..start + length);
                    images.extend_from_slice(image.ok_or_else(|| missing(index))?);
                }
                Ok(images)
            }
            Pixels::Files(pictures, hashes) => {
                let image = |&index: &u32| {
                    let at = index as usize;
                    let known = hashes.get(at).ok_or_else(|| missing(index))?;
                    let pixels = pictures.pixels(at)?;
                    if blake3::hash(&pixels).as_bytes() != known {
                        return Err(DataError::Changed { path: pictures.path(at).to_path_buf() });
                    }
                    Ok(pixels)
                };
                Ok(indices.par_iter().map(image).collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    /// Images of each class.
    #[must_use]
    pub fn class_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.classes as usize];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }
}

/// Labels as they are hashed: a byte each, or two (little-endian) where one does not do.
fn label_bytes(labels: &[u16]) -> Vec<u8> {
    let bytes: Result<Vec<u8>, _> = labels.iter().map(|&label| u8::try_from(label)).collect();
    bytes.unwrap_or_else(|_| labels.iter().flat_map(|label| label.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, pictures};
    use super::*;

    #[test]
    fn pictures_on_disk_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        for (class, shade) in [("a", 10), ("b", 200)] {
            let within = folder.path().join("test").join(class);
            std::fs::create_dir_all(&within).unwrap();
            for number in 0..3 {
                let pixels: Vec<u8> = (0..16).map(|at| shade + number * 4 + at % 4).collect();
                let picture = pictures::png(1, 4, &pixels).unwrap();
                std::fs::write(within.join(format!("{number}.png")), picture).unwrap();
            }
        }
        let located = Located::at("set", folder.path(), Reading::default());
        let mut shown: Vec<u8> = Vec::new();
        let set =
            ImageSet::open_with(&located, Part::Test, &mut |image| shown.extend(image)).unwrap();
        let images = located.read(Part::Test).unwrap();
        assert_eq!(set.digest(), images.digest());
        assert_eq!((set.count, set.side, set.classes, set.length()), (6, 4, 2, 16));
        assert_eq!(set.class_counts(), [3, 3]);
        assert_eq!(shown, images.pixels);
        let some = [5, 0, 3];
        let wanted: Vec<u8> = some.iter().flat_map(|&at| images.image(at)).copied().collect();
        assert_eq!(set.gather(&some).unwrap(), wanted);
        assert_eq!(ImageSet::from(images).gather(&some).unwrap(), wanted);
        assert!(matches!(set.gather(&[6]), Err(DataError::NoImage { index: 6, count: 6 })));
        // A picture that is another one by now is not taken for the first.
        let other = pictures::png(1, 4, &[7; 16]).unwrap();
        std::fs::write(folder.path().join("test/a/1.png"), other).unwrap();
        assert!(set.gather(&[0]).is_ok());
        let error = set.gather(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("test/a/1.png") && error.contains("another"), "{error}");
    }

    #[test]
    fn more_classes_than_a_byte_holds_take_two_bytes() {
        assert_eq!(label_bytes(&[0, 255]), [0, 255]);
        assert_eq!(label_bytes(&[1, 256]), [1, 0, 0, 1]);
    }
}
