//! What people read: lines to stdout and stderr.
//!
//! stderr is a courtesy: if it cannot be written to (a full disk, a reader that left), the verb
//! goes on. stdout is the result: if it cannot be written to, the verb goes on too, because what it
//! records counts, but its exit code says so ([`printed`]).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use super::CliError;

/// The first error of [`say`].
static UNSAID: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to stderr. Control characters are escaped.
pub fn note(line: &str) {
    // One write, so that lines of several processes do not mix.
    let _ = io::stderr().write_all(format!("{}\n", escaped(line)).as_bytes());
}

/// Prints a line to stdout, for people: control characters are escaped.
pub fn say(line: &str) {
    say_exactly(&escaped(line));
}

/// Prints a line to stdout, for programs.
pub(super) fn say_exactly(line: &str) {
    if let Err(error) = io::stdout().write_all(format!("{line}\n").as_bytes()) {
        let _ = UNSAID.set(error); // the first one says why
    }
}

/// Whether all that was printed to stdout has arrived.
///
/// # Errors
/// Exit code 5 if it cannot be written to, 0 if nobody reads on.
pub(super) fn printed() -> Result<(), CliError> {
    match UNSAID.get() {
        Some(error) => Err(CliError::output(error)),
        None => io::stdout().flush().map_err(|error| CliError::output(&error)),
    }
}

/// A text without what a terminal obeys: control characters, and those that change the direction of
/// writing, so that a text reads otherwise than it is. Names in a log, folders and what a trainer
/// says may come from anybody. Line ends and tabs stay.
#[must_use]
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            c if !is_command(c) => safe.write_char(c),
            '\r' => safe.write_str("\\r"),
            c if u32::from(c) < 0x100 => write!(safe, "\\x{:02x}", u32::from(c)),
            c => write!(safe, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(safe)
}

/// Whether a character is obeyed instead of shown.
pub(super) fn is_command(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_all_else_stays() {
        for text in ["", "a\n  b\tc", "[C(64,3,1), SM(10)] µ × 网络 \u{fffd}"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        }
        let cases = [
            ("\u{1b}[31mred\u{7}", "\\x1b[31mred\\x07"),
            ("a\rb\u{7f}\u{9b}2J\0", "a\\rb\\x7f\\x9b2J\\x00"),
            ("t\u{202e}gpj.exe\u{2066}x\u{2069}", "t\\u{202e}gpj.exe\\u{2066}x\\u{2069}"),
        ];
        for (text, safe) in cases {
            assert_eq!(escaped(text), safe);
            assert!(!escaped(text).contains(is_command));
        }
    }
}
