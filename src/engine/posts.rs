//! Hiring trainers: which program, on which devices, and who else uses those.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::devices::{DeviceError, Devices};
use super::error::SessionError;
use super::faults::refused;
use super::pool::Post;
use crate::config::recipe::Precision;
use crate::log::{Busy, Locks, LogError, NamedLock};
use crate::trainer::process::{StartError, Trainer};
use crate::trainer::protocol::{Arithmetic, Hello};
use crate::trainer::{Start, Talk};

/// How to get trainers.
#[derive(Debug, Clone)]
pub struct Trainers {
    /// The program.
    pub program: PathBuf,
    /// The devices that they are to use.
    pub devices: Devices,
    /// Threads each computes with on a CPU, if not as many as were recorded when the work began.
    pub threads: Option<u32>,
    /// Whether they may train in bfloat16 on a device without instructions for it.
    pub emulate_bf16: bool,
    /// Folder for locks of devices, the same for all stores of this host.
    pub locks: PathBuf,
    /// What others are told about this process.
    pub command: String,
    /// How long to wait for a device.
    pub wait: Duration,
    /// Silence after which a trainer counts as hung.
    pub silence: Duration,
}

impl Trainers {
    /// Asks the program for its devices and locks those that are wanted: a post for each trainer, to
    /// train in `precision`.
    ///
    /// # Errors
    /// [`SessionError`] if the program is no trainer, cannot use a device, or not in this precision, or
    /// if another process uses it.
    pub fn hire(&self, precision: Precision) -> Result<Vec<Post>, SessionError> {
        let (program, silence) = (&self.program, self.silence);
        // Only the trainer knows which devices it can use; it is asked before one is locked.
        let asked = patiently(|| Trainer::start(program, None, silence))?;
        let offered = &asked.hello().devices;
        let mut locked = None;
        let wanted = match self.devices.is_auto() {
            true => {
                let (device, lock) = self.free(offered)?;
                locked = lock;
                self.devices.resolve(&[device])?
            }
            false => self.devices.resolve(offered)?,
        };
        for (device, _) in &wanted {
            self.check_precision(asked.hello(), device, precision)?;
        }
        let mut asked = Some(asked);
        let mut posts = Vec::new();
        for (device, trainers) in wanted {
            let lock = match locked.take() {
                Some(lock) => Some(lock),
                None => self.lock(&device, self.wait)?,
            };
            let lock = lock.map(Arc::new);
            for _ in 0..trainers {
                // The one that was asked does not hold the lock of a device.
                let ready = asked.take().filter(|_| lock.is_none());
                let (program, lock) = (program.clone(), lock.clone());
                let mut start = TrainerStart { program, lock, silence, ready };
                // All are there before anything is recorded that relies on them.
                if start.ready.is_none() {
                    start.ready = Some(start.launch()?);
                }
                posts.push(Post { device: device.clone(), start: Box::new(start) });
            }
        }
        Ok(posts)
    }

    /// The best of these devices that no other process has, and its lock. If all GPUs are taken, the
    /// first is waited for: a CPU is not what somebody with a GPU expects.
    fn free(&self, offered: &[String]) -> Result<(String, Option<NamedLock>), SessionError> {
        let gpus = || offered.iter().filter(|device| *device != "cpu");
        for device in gpus() {
            match self.lock(device, Duration::ZERO) {
                Err(SessionError::Log(LogError::Busy(_))) => {}
                lock => return Ok((device.clone(), lock?)),
            }
        }
        let first = gpus().chain(offered).next().cloned().unwrap_or_else(|| "cpu".to_owned());
        let lock = self.lock(&first, self.wait)?;
        Ok((first, lock))
    }

    fn check_precision(
        &self,
        hello: &Hello,
        device: &str,
        precision: Precision,
    ) -> Result<(), DeviceError> {
        let device = device.to_owned();
        match hello.arithmetic(&device, precision) {
            Some(Arithmetic::Native) => Ok(()),
            Some(Arithmetic::Emulated) if self.emulate_bf16 => Ok(()),
            Some(Arithmetic::Emulated) => Err(DeviceError::Emulated { device, precision }),
            None => {
                let trainer = hello.program.clone();
                Err(DeviceError::Precision { trainer, precision })
            }
        }
    }

    /// A GPU belongs to one process, whatever store it works in. A CPU is shared.
    fn lock(&self, device: &str, wait: Duration) -> Result<Option<NamedLock>, SessionError> {
        if device == "cpu" {
            return Ok(None);
        }
        own_folder(&self.locks).map_err(|source| refused("use", &self.locks, source))?;
        let locks = Locks::new(&self.locks, self.command.clone(), wait);
        let lock = locks.named(&format!("device-{}", device.replace(':', "")));
        Ok(Some(lock.map_err(|error| match error {
            LogError::Busy(busy) => Busy { lock: device.to_owned(), ..busy }.into(),
            other => other,
        })?))
    }
}

/// Makes a folder for this user alone. It may lie in a folder that everybody can write to: a link
/// or a folder of somebody else in its place is refused.
fn own_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    match found.is_dir() && found.uid() == rustix::process::getuid().as_raw() {
        true => Ok(()),
        false => Err(std::io::Error::other("it is a link, or belongs to another user")),
    }
}

/// Starts trainer processes that share the lock of their device.
struct TrainerStart {
    program: PathBuf,
    lock: Option<Arc<NamedLock>>,
    silence: Duration,
    /// One that was started already.
    ready: Option<Trainer>,
}

impl TrainerStart {
    fn launch(&self) -> Result<Trainer, StartError> {
        let lock = || self.lock.as_ref().and_then(|lock| lock.inheritable().ok());
        patiently(|| Trainer::start(&self.program, lock(), self.silence))
    }
}

impl Start for TrainerStart {
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError> {
        let trainer = match self.ready.take() {
            Some(trainer) => trainer,
            None => self.launch()?,
        };
        Ok(Box::new(trainer))
    }
}

/// A trainer that ends before its hello may have been killed; a broken one ends every time.
fn patiently(
    mut start: impl FnMut() -> Result<Trainer, StartError>,
) -> Result<Trainer, StartError> {
    for _ in 1..START_TRIES {
        match start() {
            Err(StartError::Hello { .. }) => std::thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
    start()
}

/// How often a trainer is started before that is an error.
const START_TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_the_folder_of_locks_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("a/own"), folder.path().join("link"));
        own_folder(&own).unwrap();
        own_folder(&own).unwrap();
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(own_folder(&link).unwrap_err().to_string().starts_with("it is a link"));
    }
}
