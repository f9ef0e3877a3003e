//! Waiting for a log to go on: what `log tail -f` and `watch` share.
//!
//! `HEAD` is read without a lock, so nobody is disturbed as long as nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{CliError, Exit};
use crate::events::frame::Head;
use crate::log::Store;

/// Between two looks at signals and at who reads.
const PAUSE: Duration = Duration::from_millis(50);

/// The option `--every`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct EveryArgs {
    /// How often to look, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = parse_seconds)]
    pub every: f64,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds, from 0.05 on".to_owned())
}

/// Follows the end of a log.
#[derive(Debug)]
pub struct Follow {
    store: Store,
    every: Duration,
    stop: Arc<AtomicBool>,
    seen: Option<Head>,
}

impl Follow {
    /// Follows the log of a store. From now on signals end the following, not the process.
    ///
    /// # Errors
    /// If signals cannot be watched.
    pub fn new(store: Store, args: EveryArgs) -> Result<Self, CliError> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| {
                CliError::new(Exit::Bug, format!("cannot watch signals: {error}"))
            })?;
        }
        Ok(Self { store, every: Duration::from_secs_f64(args.every), stop, seen: None })
    }

    /// The end of the log once it is another than last time; the first time, at once. `None`: a
    /// signal came, or nobody reads what is printed any more.
    ///
    /// # Errors
    /// If `HEAD` cannot be read.
    pub fn change(&mut self) -> Result<Option<Head>, CliError> {
        loop {
            let head = self.store.read_head()?.record.head;
            if self.seen.replace(head) != Some(head) {
                return Ok(Some(head));
            }
            if !self.pause() {
                return Ok(None);
            }
        }
    }

    /// What was seen was not dealt with: the next time gives it again, after a pause. `false` if
    /// it is over.
    pub fn again(&mut self) -> bool {
        self.seen = None;
        self.pause()
    }

    /// Waits until it is time to look again; `false` if it is over.
    fn pause(&self) -> bool {
        let until = Instant::now() + self.every;
        loop {
            if self.stop.load(Ordering::Relaxed) || nobody_reads() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(PAUSE));
        }
    }
}

/// Whether stdout is a pipe or terminal that was closed at the other end. Writing would tell too,
/// but there may be nothing to write for hours.
fn nobody_reads() -> bool {
    let stdout = std::io::stdout();
    let mut wanted = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&at_once)).is_ok()
        && wanted[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
