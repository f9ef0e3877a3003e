//! Calls into libraries that panic on what they do not understand: that is an answer about a file,
//! not a bug of this program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread will be caught and told as an error. A panic hook asks, so that it
/// is not printed as well.
#[must_use]
pub fn panics_are_caught() -> bool {
    INSIDE.get()
}

/// Runs `call`, whose leftovers nobody uses after a panic.
///
/// # Errors
/// The text of the panic.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}
