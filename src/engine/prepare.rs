//! Images made ready: read, split, and described as they are recorded.

use std::path::PathBuf;

use super::error::SessionError;
use crate::config::{DataConfig, SearchConfig};
use crate::data::{DataError, Located, Part, Reading, Split};
use crate::events::{DataFacts, Hash, Predicted};

/// Images with their split, ready to be trained on.
#[derive(Debug)]
pub struct Prepared {
    /// What is recorded of them.
    pub facts: DataFacts,
    /// The bytes of the split.
    pub split: Vec<u8>,
    /// Their folder.
    pub folder: PathBuf,
    /// Labels of the validation images, in the order of the split.
    pub labels: Vec<u8>,
    /// The test part, if it was asked for.
    pub test: Option<TestPart>,
    /// Training images of each class, those to validate on included.
    pub class_counts: Vec<u32>,
}

/// What there is to know of the test part of a data set.
#[derive(Debug)]
pub struct TestPart {
    /// Hash of its images, then labels.
    pub content: Hash,
    /// The labels.
    pub labels: Vec<u8>,
}

impl Prepared {
    /// What is recorded of the images that trained models are shown.
    pub(super) fn predicted(&self) -> Option<Predicted> {
        self.test.as_ref().map(|test| Predicted {
            validation_labels: Hash::of(&self.labels),
            test: test.content,
            test_images: u32::try_from(test.labels.len()).unwrap_or(u32::MAX),
            test_labels: Hash::of(&test.labels),
        })
    }

    /// What events refer to: the split, and the labels of what models are shown.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = &[u8]> {
        let labels = self.test.iter().flat_map(|test| [&self.labels[..], &test.labels]);
        std::iter::once(&self.split[..]).chain(labels)
    }
}

/// How a configuration has images read.
#[must_use]
pub fn reading(config: &DataConfig) -> Reading {
    Reading { resize: config.resize, extra: config.extra, seed: config.seed }
}

/// Reads the training images of a data set and draws the split that `config` asks for.
///
/// # Errors
/// [`DataError`] if the images are not right or too few.
pub fn prepare(config: &SearchConfig, data: &Located) -> Result<Prepared, DataError> {
    DataError::check_text(&data.folder)?;
    let wanted = &config.data;
    let data = data.read_as(reading(wanted));
    let images = data.read(Part::Train)?;
    let (labels, validation, train, seed) =
        (&images.labels, wanted.validation, wanted.train, wanted.seed);
    let split = if wanted.extra {
        Split::draw_with_extra(labels, data.ordinary()?, validation, train, seed)?
    } else {
        Split::draw(labels, validation, train, seed)?
    };
    let class_counts = images.class_counts();
    let count = |list: &[u32]| u32::try_from(list.len()).unwrap_or(u32::MAX);
    let labels = split.validation.iter().map(|&index| images.labels[index as usize]).collect();
    let (train, validation, split) =
        (count(&split.train), count(&split.validation), split.to_bytes());
    let facts = DataFacts {
        name: data.name.clone(),
        content: Hash(images.digest()),
        channels: images.channels,
        side: images.side,
        classes: images.classes,
        train,
        validation,
        split: Hash::of(&split),
    };
    Ok(Prepared { facts, split, folder: data.folder.clone(), labels, test: None, class_counts })
}

/// [`prepare`], and the test part too.
///
/// # Errors
/// [`DataError`] if the images are not right or too few, or test images do not go with the others.
pub fn prepare_with_test(config: &SearchConfig, data: &Located) -> Result<Prepared, SessionError> {
    let mut prepared = prepare(config, data)?;
    let test = data.read_as(reading(&config.data)).read(Part::Test)?;
    let facts = &prepared.facts;
    let (found, expected) = ((test.channels, test.side), (facts.channels, facts.side));
    if found != expected || test.classes > facts.classes {
        return Err(SessionError::Settings(format!(
            "{}: the test images ({} channels, {} pixels a side, {} classes) do not go with the \
             training images ({} channels, {} pixels a side, {} classes)",
            data.name,
            test.channels,
            test.side,
            test.classes,
            facts.channels,
            facts.side,
            facts.classes
        )));
    }
    prepared.test = Some(TestPart { content: Hash(test.digest()), labels: test.labels });
    Ok(prepared)
}
