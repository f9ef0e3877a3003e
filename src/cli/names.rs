//! The rule for names that people give: one for all verbs.

use super::{CliError, terminal};

/// Most characters of a name.
const CHARACTERS: usize = 60;
/// Most bytes of a name, in which letters of some alphabets take several.
const BYTES: usize = 120;
/// Letters that begin ids: search, run, trial, attack, episode.
const IDS: &[char] = &['s', 'r', 't', 'a', 'e'];

/// Checks a name that may be left out, which is given as an empty one.
///
/// # Errors
/// As [`check`].
pub(super) fn check_optional(what: &str, name: &str) -> Result<(), CliError> {
    if name.is_empty() { Ok(()) } else { check(what, name) }
}

/// Checks a name; `what` says which, as in `--name`.
///
/// # Errors
/// Exit code 2, saying what is wrong with it, and the rule.
pub(super) fn check(what: &str, name: &str) -> Result<(), CliError> {
    let Some(wrong) = wrong(name) else { return Ok(()) };
    let mut shown: String = name.chars().take(CHARACTERS).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    let shown = terminal::escaped(&shown).replace('\n', "\\n").replace('\t', "\\t");
    Err(CliError::usage(format!("{what}: `{shown}` cannot be a name: {wrong}")).hint(format!(
        "a name has 1 to {CHARACTERS} letters, digits, `-`, `_` and `.`, begins with a letter or \
         digit, and is unlike an id (s7, r1, a1, t17, e5), a number, and `all`"
    )))
}

/// What is wrong with a name.
fn wrong(name: &str) -> Option<String> {
    let legal = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let count = name.chars().count();
    if name.is_empty() {
        Some("it is empty".to_owned())
    } else if count > CHARACTERS {
        Some(format!("it has {count} characters"))
    } else if name.len() > BYTES {
        Some(format!("it has {} bytes, more than {BYTES}", name.len()))
    } else if let Some(c) = name.chars().find(|c| !legal(*c)) {
        Some(match c {
            ' ' => "it contains a space".to_owned(),
            c if c.is_control() => "it contains a control character".to_owned(),
            c => format!("it contains `{c}`"),
        })
    } else if !name.starts_with(char::is_alphanumeric) {
        Some("it begins with a punctuation mark".to_owned())
    } else if is_like_an_id(name) {
        Some("it looks like an id".to_owned())
    } else {
        None
    }
}

/// A text made into a name, or nearly: what a name may not have is replaced or left out. It may
/// still look like an id.
pub(super) fn made_of(text: &str) -> String {
    let legal = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut name: String = text.chars().map(legal).take(CHARACTERS).collect();
    while name.len() > BYTES {
        name.pop();
    }
    if name.is_empty() { "model".to_owned() } else { name }
}

/// Whether a name could be an id, or a word with a meaning.
pub(super) fn is_like_an_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    let number = lower.strip_prefix(IDS).unwrap_or(&lower);
    lower == "all" || (!number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_one_rule() {
        let (long, wide) = ("n".repeat(60), "网".repeat(40));
        for name in ["a", "night-2", "v1.0_b", "Größe", "s7b", "as1", "x7", &long, &wide] {
            assert!(check("--name", name).is_ok(), "{name}");
            assert!(check_optional("--name", name).is_ok(), "{name}");
        }
        assert!(check_optional("--name", "").is_ok());
        let (too_long, too_wide) = ("n".repeat(61), "网".repeat(41));
        let bad = [
            "",
            " ",
            "a b",
            " a",
            "a ",
            "a\nb",
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a/b",
            "-a",
            ".a",
            "s7",
            "S7",
            "r1",
            "a1",
            "t17",
            "e5",
            "all",
            "ALL",
            "17",
            "a+b",
            "a:1",
            &too_long,
            &too_wide,
        ];
        for name in bad {
            let error = check("--name", name).unwrap_err();
            assert_eq!(error.exit, crate::cli::Exit::Usage);
            assert!(error.message.starts_with("--name: `"), "{}", error.message);
            assert!(!error.message.contains(char::is_control), "{:?}", error.message);
            assert!(error.message.len() < 400, "{}", error.message);
        }
    }
}
