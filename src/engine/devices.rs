//! On which devices trainers work, as a person says it: `auto`, `cpu*2`, `cuda:0,cuda:1`.

use std::fmt;
use std::str::FromStr;

use crate::config::recipe::Precision;

/// The most trainers of one process.
pub const TRAINERS_MAX: u32 = 256;

/// Devices, and how many trainers work on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    /// In the order given; empty: the best that the trainer offers.
    list: Vec<(String, u32)>,
    /// Trainers on a CPU, where the list does not say how many; 0 is 1.
    on_cpu: u32,
}

/// What is wrong with a list of devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It is not written as a list.
    #[error(
        "{text:?} is not a device; expected auto alone, or a list of cpu and cuda:N, such as \
         cuda:0,cuda:1; cpu*2 starts two trainers on the CPU"
    )]
    Text {
        /// The part that is none.
        text: String,
    },
    /// A device stands there twice.
    #[error("{device} is listed twice; {device}*2 starts two trainers on it")]
    Twice {
        /// Which one.
        device: String,
    },
    /// More trainers than a process may start.
    #[error("{trainers} trainers are too many; at most {TRAINERS_MAX} are started")]
    Many {
        /// How many.
        trainers: u32,
    },
    /// The trainer does not offer it.
    #[error("the trainer cannot use {device}; it offers {offered}")]
    NotOffered {
        /// The device asked for.
        device: String,
        /// What it offers.
        offered: String,
    },
    /// The device has no instructions for a precision.
    #[error("{device} has no {precision} instructions, so that the trainer would emulate them")]
    Emulated {
        /// The device.
        device: String,
        /// What is to be computed in.
        precision: Precision,
    },
    /// The trainer does not say that it can train in a precision.
    #[error("the trainer {trainer:?} does not say that it can train in {precision}")]
    Precision {
        /// Program and version.
        trainer: String,
        /// What is to be computed in.
        precision: Precision,
    },
}

impl Devices {
    /// How many trainers are asked for.
    #[must_use]
    pub fn trainers(&self) -> u32 {
        let sum: u32 = self.list.iter().map(|(_, trainers)| trainers).sum();
        if self.list.is_empty() { self.on_cpu.max(1) } else { sum }
    }

    /// The same with `trainers` on the CPU; `None` if something else is said.
    #[must_use]
    pub fn with_cpu_trainers(mut self, trainers: u32) -> Option<Self> {
        let trainers = trainers.clamp(1, TRAINERS_MAX);
        match self.list.as_mut_slice() {
            [] => self.on_cpu = trainers,
            [(device, only @ 1)] if device == "cpu" => *only = trainers,
            _ => return None,
        }
        Some(self)
    }

    /// Those of trainers that were hired, one name each.
    #[must_use]
    pub fn of<'a>(trainers: impl Iterator<Item = &'a str>) -> Self {
        let mut devices = Self::default();
        for device in trainers {
            match devices.list.iter_mut().find(|(known, _)| known == device) {
                Some((_, trainers)) => *trainers += 1,
                None => devices.list.push((device.to_owned(), 1)),
            }
        }
        devices
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether CPUs do all the work, as far as that is known before a trainer is asked.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.list.iter().all(|(device, _)| device == "cpu")
    }

    /// The devices with their trainers, of those that the trainer offers, the best first.
    ///
    /// # Errors
    /// [`DeviceError::NotOffered`] naming the first that it does not offer.
    pub fn resolve(&self, offered: &[String]) -> Result<Vec<(String, u32)>, DeviceError> {
        let not = |device: &str| DeviceError::NotOffered {
            device: device.to_owned(),
            offered: offered.join(", "),
        };
        if self.list.is_empty() {
            let best = offered.first().ok_or_else(|| not("any device"))?;
            let trainers = if best == "cpu" { self.trainers() } else { 1 };
            return Ok(vec![(best.clone(), trainers)]);
        }
        match self.list.iter().find(|(device, _)| !offered.contains(device)) {
            Some((device, _)) => Err(not(device)),
            None => Ok(self.list.clone()),
        }
    }
}

impl FromStr for Devices {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text == "auto" {
            return Ok(Self::default());
        }
        let mut devices = Self::default();
        for part in text.split(',') {
            let wrong = || DeviceError::Text { text: part.to_owned() };
            let (device, trainers) = match part.split_once('*') {
                Some((device, number)) => (device, number.parse().map_err(|_| wrong())?),
                None => (part, 1),
            };
            let number = device.strip_prefix("cuda:").map(u16::from_str);
            if trainers == 0 || !(device == "cpu" || matches!(number, Some(Ok(_)))) {
                return Err(wrong());
            }
            if devices.list.iter().any(|(known, _)| known == device) {
                return Err(DeviceError::Twice { device: device.to_owned() });
            }
            devices.list.push((device.to_owned(), trainers));
        }
        let trainers = devices.list.iter().map(|(_, trainers)| trainers);
        let trainers = trainers.fold(0_u32, |sum, &more| sum.saturating_add(more));
        match trainers {
            ..=TRAINERS_MAX => Ok(devices),
            trainers => Err(DeviceError::Many { trainers }),
        }
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return f.write_str("auto");
        }
        for (place, (device, trainers)) in self.list.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match trainers {
                1 => write!(f, "{comma}{device}")?,
                _ => write!(f, "{comma}{device}*{trainers}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainers_are_added_where_nothing_is_said_and_a_cpu_works() {
        let offered =
            |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let counted = |text: &str| text.parse::<Devices>().unwrap().with_cpu_trainers(3);
        let resolved =
            |text: &str, names: &[&str]| counted(text).unwrap().resolve(&offered(names)).unwrap();
        assert_eq!(resolved("auto", &["cpu"]), [("cpu".to_owned(), 3)]);
        assert_eq!(resolved("auto", &["cuda:0", "cpu"]), [("cuda:0".to_owned(), 1)]);
        assert_eq!(resolved("cpu", &["cuda:0", "cpu"]), [("cpu".to_owned(), 3)]);
        assert!(["cpu*2", "cuda:0", "cpu,cuda:0"].iter().all(|text| counted(text).is_none()));
        assert_eq!(["auto", "cpu"].map(|text| counted(text).unwrap().trainers()), [3, 3]);
        let none = "auto".parse::<Devices>().unwrap().with_cpu_trainers(0).unwrap();
        assert_eq!(none.trainers(), 1);
    }

    #[test]
    fn lists_are_read_and_written_alike() {
        for text in ["auto", "cpu", "cpu*2", "cuda:0,cuda:1", "cuda:0*2,cpu"] {
            assert_eq!(text.parse::<Devices>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:0*2,cpu".parse::<Devices>().unwrap().trainers(), 3);
        assert_eq!("auto".parse::<Devices>().unwrap().trainers(), 1);
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        for text in ["", "gpu", "cpu*0", "cpu*x", "cuda:", "cuda:-1", "cuda:0,,cpu", "auto,cpu"] {
            let error = text.parse::<Devices>().unwrap_err();
            assert!(matches!(error, DeviceError::Text { .. }), "{text}: {error}");
        }
        let twice = "cpu,cpu".parse::<Devices>().unwrap_err();
        assert_eq!(twice.to_string(), "cpu is listed twice; cpu*2 starts two trainers on it");
        assert!("cpu*999".parse::<Devices>().unwrap_err().to_string().starts_with("999 trainers"));
    }

    #[test]
    fn only_what_the_trainer_offers_is_used() {
        let offered = ["cuda:0".to_owned(), "cpu".to_owned()];
        let resolve = |text: &str| text.parse::<Devices>().unwrap().resolve(&offered);
        assert_eq!(resolve("auto").unwrap(), [("cuda:0".to_owned(), 1)]);
        assert_eq!(resolve("cpu*2").unwrap(), [("cpu".to_owned(), 2)]);
        let error = resolve("cuda:1").unwrap_err().to_string();
        assert_eq!(error, "the trainer cannot use cuda:1; it offers cuda:0, cpu");
    }
}
