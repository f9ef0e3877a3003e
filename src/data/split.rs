//! Splits: which images of the training part are trained on, and which are validated on.
//!
//! Stratified: each class gives its share. Decided by a data seed, never by the seed of a search.
//! The bytes of a split (an artifact, and a file for the trainer) are little-endian u32: count of
//! training images, count of validation images, then the indices of both, each ascending.

use super::DataError;
use crate::chance::Stream;

/// Indices into the training part of a data set, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Images to train on.
    pub train: Vec<u32>,
    /// Images to validate on.
    pub validation: Vec<u32>,
}

/// Why a split cannot be made, or why bytes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// More images wanted than there are.
    #[error("{wanted} {part} images wanted, {left} are left; ask for fewer")]
    TooFew {
        /// `validation` or `training`; validation images are taken first.
        part: &'static str,
        /// How many are wanted.
        wanted: u32,
        /// How many there are to take from.
        left: u64,
    },
    /// More images of a class wanted than there are.
    #[error("{wanted} {part} images of class {class} wanted, {left} are there; ask for fewer")]
    TooFewOfClass {
        /// `validation` or `training`.
        part: &'static str,
        /// The class.
        class: u16,
        /// How many are wanted.
        wanted: u64,
        /// How many there are.
        left: u64,
    },
    /// Validation takes everything.
    #[error("no image is left to train on: all {images} are taken for validation")]
    NothingToTrain {
        /// Number of images.
        images: u64,
    },
    /// A class of which no image would be trained on.
    #[error(
        "class {class} has {images} images, none of which would be among the {train} to train on; \
         ask for more training or fewer validation images"
    )]
    ClassNotTrained {
        /// The class.
        class: u8,
        /// How many images it has.
        images: u64,
        /// How many images are trained on.
        train: u32,
    },
    /// Bytes that are no split.
    #[error("the split {0}")]
    Malformed(&'static str),
}

impl Split {
    /// Draws `validation` images for validation and then `train` of the others (all if unset),
    /// each with every class in its share of `labels`.
    ///
    /// Every class is shuffled by a stream of its own, and validation is taken first: so neither
    /// the number of training images nor another class changes what is validated on.
    ///
    /// # Errors
    /// [`DataError::Split`] if there are too few images, in all or of a class.
    pub fn draw(
        labels: &[u8],
        validation: u32,
        train: Option<u32>,
        data_seed: u64,
    ) -> Result<Self, DataError> {
        let mut classes: Vec<Vec<u32>> = vec![Vec::new(); 256];
        for (&label, index) in labels.iter().zip(0..) {
            classes[usize::from(label)].push(index);
        }
        let sizes = sizes(&classes);
        for (class, members) in classes.iter_mut().enumerate() {
            Stream::new(data_seed, "split", class as u64).shuffle(members);
        }
        let validation = take(&mut classes, validation, "validation")?;
        let left = classes.iter().map(Vec::len).sum::<usize>();
        let train = train.unwrap_or(u32::try_from(left).unwrap_or(u32::MAX));
        let train = take(&mut classes, train, "training")?;
        check_trained(&train, labels, &sizes)?;
        Ok(Self { train, validation })
    }

    /// Draws as the MetaQNN authors do with SVHN's extra images: of the `validation` images two thirds
    /// are from the first `ordinary` ones and one third from those after them, equally many of each
    /// class (6,000 are 400 and 200 of each). What is left is trained on, or `train` of it.
    ///
    /// # Errors
    /// [`DataError::Split`] if there are too few images, in all or of a class.
    pub fn draw_with_extra(
        labels: &[u8],
        ordinary: u32,
        validation: u32,
        train: Option<u32>,
        data_seed: u64,
    ) -> Result<Self, DataError> {
        let mut taken = Vec::with_capacity(validation as usize);
        let mut rest: Vec<Vec<u32>> = vec![Vec::new(); 256];
        let middle = (ordinary as usize).min(labels.len());
        let third = validation / 3;
        for (purpose, range, wanted) in [
            ("split", 0..middle, validation - third),
            ("split of extra images", middle..labels.len(), third),
        ] {
            let mut classes: Vec<Vec<u32>> = vec![Vec::new(); 256];
            for (&label, index) in labels[range.clone()].iter().zip(range) {
                classes[usize::from(label)].extend(u32::try_from(index));
            }
            for (class, members) in classes.iter_mut().enumerate() {
                Stream::new(data_seed, purpose, class as u64).shuffle(members);
            }
            let equal: Vec<u64> =
                classes.iter().map(|members| (!members.is_empty()).into()).collect();
            taken.extend(take_in(&mut classes, &equal, wanted, "validation")?);
            rest.iter_mut().zip(classes).for_each(|(rest, more)| rest.extend(more));
        }
        taken.sort_unstable();
        // Members come off the end; shuffled again, extra images are not all taken first.
        for (class, members) in rest.iter_mut().enumerate() {
            Stream::new(data_seed, "split of the rest", class as u64).shuffle(members);
        }
        let left = rest.iter().map(Vec::len).sum::<usize>();
        let mut sizes = vec![0; 256];
        labels.iter().for_each(|&label| sizes[usize::from(label)] += 1);
        let train = train.unwrap_or(u32::try_from(left).unwrap_or(u32::MAX));
        let train = take(&mut rest, train, "training")?;
        check_trained(&train, labels, &sizes)?;
        Ok(Self { train, validation: taken })
    }

    /// The bytes of the split; their BLAKE3 hash is its digest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |list: &[u32]| u32::try_from(list.len()).unwrap_or(u32::MAX);
        let counts = [count(&self.train), count(&self.validation)];
        let numbers = counts.iter().chain(&self.train).chain(&self.validation);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    /// BLAKE3 of the bytes of the split.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }

    /// Reads the bytes of a split for a data set of `images` images.
    ///
    /// # Errors
    /// [`DataError::Split`] if they are none.
    pub fn from_bytes(bytes: &[u8], images: u32) -> Result<Self, DataError> {
        let wrong = |reason| Err(SplitError::Malformed(reason).into());
        let (words, rest) = bytes.as_chunks::<4>();
        let mut numbers = words.iter().map(|word| u32::from_le_bytes(*word));
        let (Some(train), Some(validation)) = (numbers.next(), numbers.next()) else {
            return wrong("is cut short");
        };
        let numbers: Vec<u32> = numbers.collect();
        let total = u64::from(train) + u64::from(validation);
        if !rest.is_empty() || numbers.len() as u64 != total {
            return wrong("does not have the length it announces");
        }
        let (train, validation) = numbers.split_at(train as usize);
        let ascending = |list: &[u32]| list.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending(train) || !ascending(validation) {
            return wrong("is not in ascending order");
        }
        if numbers.iter().any(|&index| index >= images) {
            return wrong("names an image that does not exist");
        }
        if train.iter().any(|index| validation.binary_search(index).is_ok()) {
            return wrong("has an image in both parts");
        }
        Ok(Self { train: train.to_vec(), validation: validation.to_vec() })
    }
}

fn sizes(classes: &[Vec<u32>]) -> Vec<u64> {
    classes.iter().map(|members| members.len() as u64).collect()
}

/// Takes `wanted` images off the ends of the classes, in proportion to what is left of each.
fn take(classes: &mut [Vec<u32>], wanted: u32, part: &'static str) -> Result<Vec<u32>, SplitError> {
    let sizes = sizes(classes);
    take_in(classes, &sizes, wanted, part)
}

/// Takes `wanted` images off the ends of the classes, in these proportions.
fn take_in(
    classes: &mut [Vec<u32>],
    proportions: &[u64],
    wanted: u32,
    part: &'static str,
) -> Result<Vec<u32>, SplitError> {
    let left: u64 = sizes(classes).iter().sum();
    if u64::from(wanted) > left {
        return Err(SplitError::TooFew { part, wanted, left });
    }
    let mut taken = Vec::with_capacity(wanted as usize);
    let shares = shares(proportions, wanted.into());
    for (class, (members, share)) in (0_u16..).zip(classes.iter_mut().zip(shares)) {
        let left = members.len();
        let keep = usize::try_from(share).ok().and_then(|share| left.checked_sub(share));
        let Some(keep) = keep else {
            let left = left as u64;
            return Err(SplitError::TooFewOfClass { part, class, wanted: share, left });
        };
        taken.extend(members.drain(keep..));
    }
    taken.sort_unstable();
    Ok(taken)
}

/// Largest remainder: whole shares first, then one more where the remainder is largest, the lower
/// class of equals. If the proportions are the sizes of the classes, no share exceeds its class: where
/// a share is rounded up, it was below its size.
fn shares(sizes: &[u64], wanted: u64) -> Vec<u64> {
    let total = sizes.iter().sum::<u64>().max(1);
    let mut shares: Vec<u64> = sizes.iter().map(|size| size * wanted / total).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&class| (std::cmp::Reverse(sizes[class] * wanted % total), class));
    let missing = wanted - shares.iter().sum::<u64>();
    for &class in order.iter().take(usize::try_from(missing).unwrap_or(0)) {
        shares[class] += 1;
    }
    shares
}

/// A class that is never shown cannot be learnt, but would count as errors ever after.
fn check_trained(train: &[u32], labels: &[u8], sizes: &[u64]) -> Result<(), SplitError> {
    if train.is_empty() {
        return Err(SplitError::NothingToTrain { images: labels.len() as u64 });
    }
    let mut shown = [false; 256];
    train.iter().for_each(|&index| shown[usize::from(labels[index as usize])] = true);
    for (class, (&images, shown)) in (0..=u8::MAX).zip(sizes.iter().zip(shown)) {
        if images > 0 && !shown {
            let train = u32::try_from(train.len()).unwrap_or(u32::MAX);
            return Err(SplitError::ClassNotTrained { class, images, train });
        }
    }
    Ok(())
}
