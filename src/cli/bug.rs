//! Panics are bugs of this program: one line that asks for a report, exit code 70.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::set_hook;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Exit, note};
use crate::guard::panics_are_caught;
use crate::log::is_thread_of_sled;

/// Whether a bug was reported.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// From now on a panic prints one line to stderr, which cannot fail.
pub fn install() {
    set_hook(Box::new(|panic| {
        let place = panic.location();
        // sled and decoders panic on damaged files; that is caught and told as an error.
        let of_sled =
            is_thread_of_sled() || place.is_some_and(|place| place.file().contains("/sled-"));
        if panics_are_caught() || of_sled {
            return;
        }
        let place = place.map(|place| format!(" ({}:{})", place.file(), place.line()));
        report(panic.payload(), &place.unwrap_or_default());
        // Where RUST_BACKTRACE asks for it.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            note(&trace.to_string());
        }
    }));
}

/// Ends with a panic that nobody caught.
#[must_use]
pub fn exit(payload: &(dyn Any + Send)) -> Exit {
    if !REPORTED.load(Ordering::Relaxed) {
        report(payload, "");
    }
    Exit::Bug
}

fn report(payload: &dyn Any, place: &str) {
    REPORTED.store(true, Ordering::Relaxed);
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    let (version, home) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"));
    let text = text.replace('\n', " ");
    note(&format!("bug in qtrail {version}: {text}{place}; please report it: {home}/issues"));
}
