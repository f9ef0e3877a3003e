//! What a trainer leaves in files that are as long as what it was asked: pixels, counts, and logits, a
//! row an image.

use super::inbox::{Inbox, Refusal};

/// The most bytes of logits: what is held in memory at once.
const LOGITS_MAX: usize = 1 << 30;

/// Takes a file of `length` bytes that the trainer left.
///
/// # Errors
/// [`Refusal::Trainer`] if it is another one, [`Refusal::Engine`] if the machine fails.
pub fn take(inbox: &Inbox, name: &str, length: usize) -> Result<Vec<u8>, Refusal> {
    let bytes = inbox.take(name, length as u64)?;
    match bytes.len() {
        found if found == length => Ok(bytes),
        found => {
            let why = format!("the trainer left {name:?} with {found} bytes, not {length}");
            Err(Refusal::Trainer(why))
        }
    }
}

/// Takes `count` numbers that the trainer counted.
///
/// # Errors
/// As [`take`].
pub fn take_counts(inbox: &Inbox, name: &str, count: usize) -> Result<Vec<u32>, Refusal> {
    let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let bytes = take(inbox, name, count.saturating_mul(4))?;
    Ok(bytes.chunks_exact(4).map(number).collect())
}

/// Logits, a row an image.
#[derive(Debug, Default)]
pub struct Rows {
    values: Vec<f32>,
    wide: usize,
}

impl Rows {
    /// Takes logits of `count` images: a row each.
    ///
    /// # Errors
    /// As [`take`].
    pub fn take(inbox: &Inbox, name: &str, count: usize, classes: u32) -> Result<Self, Refusal> {
        let (wide, least) = (classes as usize, 2);
        let length = count.checked_mul(wide * 4).filter(|&length| length <= LOGITS_MAX);
        let Some(length) = length.filter(|_| (least..=usize::from(u16::MAX)).contains(&wide))
        else {
            let why = format!("the trainer says that the model has {classes} classes");
            return Err(Refusal::Trainer(why));
        };
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let bytes = take(inbox, name, length)?;
        Ok(Self { values: bytes.chunks_exact(4).map(number).collect(), wide })
    }

    /// Takes in more rows after these.
    ///
    /// # Errors
    /// [`Refusal::Trainer`] if they are of another model: of another length.
    pub fn append(&mut self, mut more: Self) -> Result<(), Refusal> {
        if !self.values.is_empty() && self.wide != more.wide {
            let (before, now) = (self.wide, more.wide);
            let changed = format!("the trainer says {before} classes, and then {now}");
            return Err(Refusal::Trainer(changed));
        }
        self.wide = more.wide;
        self.values.append(&mut more.values);
        Ok(())
    }

    /// The logits of an image.
    #[must_use]
    pub fn row(&self, image: usize) -> &[f32] {
        &self.values[image * self.wide..(image + 1) * self.wide]
    }

    /// The same in double precision.
    #[must_use]
    pub fn wide_row(&self, image: usize) -> Vec<f64> {
        self.row(image).iter().map(|&score| score.into()).collect()
    }
}
