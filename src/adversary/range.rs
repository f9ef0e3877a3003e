//! Value ranges of models: what a model of somebody else expects in the place of bytes.
//!
//! Attacks work on bytes, 0 to 255. The conversion is part of the function that is differentiated,
//! so gradients stay gradients by bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a model expects of pixel values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InputRange {
    /// Bytes: 0 to 255.
    #[default]
    Bytes,
    /// Bytes divided by 255.
    Unit,
    /// Bytes divided by 255, less the mean, divided by the standard deviation.
    Normalised {
        /// Of all channels, or of each one.
        mean: Vec<f32>,
        /// As many.
        deviation: Vec<f32>,
    },
}

/// Why a text is no input range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an input range (0..255, 0..1, imagenet, or MEAN/STD with a number for all channels or \
     one for each, as 0.5/0.5 or 0.485,0.456,0.406/0.229,0.224,0.225), found {0:?}"
)]
pub struct RangeError(String);

impl InputRange {
    /// The normalisation that torchvision's models for ImageNet expect.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::Normalised { mean: vec![0.485, 0.456, 0.406], deviation: vec![0.229, 0.224, 0.225] }
    }

    /// Whether models get bytes as they are.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        *self == Self::Bytes
    }

    /// Whether images of so many channels can be converted.
    #[must_use]
    pub fn fits(&self, channels: u32) -> bool {
        match self {
            Self::Bytes | Self::Unit => true,
            Self::Normalised { mean, .. } => mean.len() == 1 || mean.len() == channels as usize,
        }
    }

    /// The ranges in use: one of them is worth trying if a model does badly with another one.
    #[must_use]
    pub fn candidates(channels: u32) -> Vec<Self> {
        let centred = Self::Normalised { mean: vec![0.5], deviation: vec![0.5] };
        [Self::Bytes, Self::Unit, centred, Self::imagenet()]
            .into_iter()
            .filter(|range| range.fits(channels))
            .collect()
    }
}

impl fmt::Display for InputRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |numbers: &[f32]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Bytes => f.pad("0..255"),
            Self::Unit => f.pad("0..1"),
            Self::Normalised { mean, deviation } => {
                f.pad(&format!("{}/{}", list(mean), list(deviation)))
            }
        }
    }
}

impl FromStr for InputRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let refused = || RangeError(text.to_owned());
        let list = |text: &str| -> Option<Vec<f32>> {
            let number = |text: &str| text.trim().parse().ok().filter(|x: &f32| x.is_finite());
            text.split(',').map(number).collect()
        };
        match text {
            "0..255" => Ok(Self::Bytes),
            "0..1" => Ok(Self::Unit),
            "imagenet" => Ok(Self::imagenet()),
            _ => {
                let (mean, deviation) = text.split_once('/').ok_or_else(refused)?;
                let both = list(mean).zip(list(deviation));
                let (mean, deviation) = both.ok_or_else(refused)?;
                if mean.len() != deviation.len() || deviation.iter().any(|&x| x <= 0.0) {
                    return Err(refused());
                }
                Ok(Self::Normalised { mean, deviation })
            }
        }
    }
}

impl TryFrom<String> for InputRange {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<InputRange> for String {
    fn from(range: InputRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let texts =
            ["0..255", "0..1", "0.5/0.5", "0.485,0.456,0.406/0.229,0.224,0.225", "-1/0.1307"];
        for text in texts {
            assert_eq!(text.parse::<InputRange>().unwrap().to_string(), text);
        }
        let imagenet: InputRange = "imagenet".parse().unwrap();
        assert_eq!(imagenet.to_string(), texts[3]);
        assert!(imagenet.fits(3) && !imagenet.fits(1));
        assert_eq!(InputRange::candidates(3).len(), 4);
        assert_eq!(InputRange::candidates(1).len(), 3);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "0..2", "0.5", "0.5/0", "0.5/-1", "1,2/1", "nan/1", "a/b", "0,0/1,inf"] {
            let error = text.parse::<InputRange>().unwrap_err().to_string();
            assert!(error.contains("0.5/0.5") && error.contains(text), "{error}");
        }
    }
}
