//! The rehearsal: opening a copy of the engine's files in a child process, with a time limit.
//!
//! In a child, because damaged files have made sled panic, and could make it abort or hang; none
//! of these is to happen to the process that holds the log. The child is this same program, with a
//! hidden first argument.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Database;
use super::entry::{Finding, Refusal, confirm};
use super::files::from_hex;
use super::sled::Trouble;
use crate::events::frame::{Chain, Head, Position};

/// The hidden first argument that makes the program a probing child; what follows goes to
/// [`probe_main`].
pub const PROBE_ARGUMENT: &str = "__probe-log";

/// Time a child has for a small log, and how many bytes more buy it another second.
const LIMIT: Duration = Duration::from_secs(60);
const BYTES_PER_SECOND: u64 = 10 << 20;
/// Most bytes of a child's answer that are read.
const ANSWER_MAX: u64 = 8192;

/// Opens the database in `folder` and compares it with `expected`: in a child if there is a
/// program for it, else in this process. Returns the end of the log found there.
pub(super) fn probe(
    folder: &Path,
    expected: Head,
    program: Option<&Path>,
) -> Result<Head, Refusal> {
    match program {
        None => probe_here(folder, expected),
        Some(program) => probe_in_child(folder, expected, program),
    }
}

fn probe_here(folder: &Path, expected: Head) -> Result<Head, Refusal> {
    let database = Database::open(folder)?;
    let end = confirm(&database, expected)?;
    database.close()?;
    Ok(end)
}

/// The main function of the probing child: `arguments` are those after [`PROBE_ARGUMENT`]. Its
/// one-line answer goes to `out`, which is the standard output.
pub fn probe_main(arguments: &[OsString], out: &mut dyn Write) -> ExitCode {
    let answer = match parse_arguments(arguments) {
        None => "failed usage: DIR POSITION CHAIN".to_owned(),
        Some((folder, expected)) => match probe_here(folder, expected) {
            Ok(end) => format!("ok {} {}", end.position, end.chain),
            Err(Refusal::Finding(Finding { position, found })) => {
                format!("damaged {} {found}", position.unwrap_or_default())
            }
            Err(Refusal::Trouble(Trouble::Broken(found))) => format!("damaged 0 {found}"),
            Err(Refusal::Trouble(Trouble::Io(error))) => {
                format!("failed {} {error}", error.raw_os_error().unwrap_or(0))
            }
        },
    };
    match writeln!(out, "{}", answer.replace('\n', " ")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn parse_arguments(arguments: &[OsString]) -> Option<(&Path, Head)> {
    let [folder, position, chain] = arguments else { return None };
    let position = Position(position.to_str()?.parse().ok()?);
    let chain = Chain(from_hex(chain.to_str()?)?);
    Some((Path::new(folder), Head { position, chain }))
}

fn probe_in_child(folder: &Path, expected: Head, program: &Path) -> Result<Head, Refusal> {
    let mut child = Command::new(program)
        .arg(PROBE_ARGUMENT)
        .arg(folder)
        .args([expected.position.to_string(), expected.chain.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Trouble::Io)?;
    let limit = LIMIT + Duration::from_secs(size_of(folder) / BYTES_PER_SECOND);
    let Some(status) = wait(&mut child, limit).map_err(Trouble::Io)? else {
        let found = format!("opening a copy did not end within {} s", limit.as_secs());
        return Err(broken(found));
    };
    let answer = text(child.stdout.take());
    match parse_answer(answer.trim_end()) {
        Some(result) if status.success() => result,
        _ => {
            let stderr = text(child.stderr.take());
            let last = stderr.lines().rfind(|line| !line.is_empty()).unwrap_or("no message");
            Err(broken(format!("opening a copy ended with {status}: {last}")))
        }
    }
}

/// Waits for the child; at the limit ends it and returns `None`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(1));
    }
}

/// The end found, or why it was refused; `None` if this is not an answer.
fn parse_answer(answer: &str) -> Option<Result<Head, Refusal>> {
    let (word, rest) = answer.split_once(' ')?;
    let (number, rest) = rest.split_once(' ')?;
    match word {
        "ok" => {
            let position = Position(number.parse().ok()?);
            Some(Ok(Head { position, chain: Chain(from_hex(rest)?) }))
        }
        "damaged" => {
            let position = Some(Position(number.parse().ok()?)).filter(|p| *p != Position(0));
            Some(Err(Refusal::Finding(Finding { position, found: rest.to_owned() })))
        }
        "failed" => {
            let error = match number.parse() {
                Ok(code) if code != 0 => io::Error::from_raw_os_error(code),
                _ => io::Error::other(rest.to_owned()),
            };
            Some(Err(Refusal::Trouble(Trouble::Io(error))))
        }
        _ => None,
    }
}

fn broken(found: String) -> Refusal {
    Refusal::Finding(Finding { position: None, found })
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What could not be read is not in the message, that is all.
        let _ = pipe.take(ANSWER_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes of the files directly in a folder.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back() {
        let head = Head { position: Position(9), chain: Chain([0xab; 32]) };
        let answer = format!("ok {} {}", head.position, head.chain);
        assert_eq!(parse_answer(&answer).unwrap().unwrap(), head);
        for (answer, at) in [("damaged 4 bad chain", Some(Position(4))), ("damaged 0 bad", None)] {
            let Some(Err(Refusal::Finding(finding))) = parse_answer(answer) else { panic!() };
            assert_eq!(finding.position, at);
        }
        for answer in ["", "ok", "ok x y", "ok 1 ab", "hello 1 2"] {
            assert!(parse_answer(answer).is_none(), "{answer}");
        }
    }

    #[test]
    fn running_out_of_space_survives_the_pipe() {
        let Some(Err(Refusal::Trouble(Trouble::Io(error)))) = parse_answer("failed 28 full") else {
            panic!()
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_millis(20)).unwrap(), None);
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_child_that_says_nonsense_or_dies_is_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["/bin/true", "/bin/false", "/bin/echo"] {
            let refusal = probe(folder.path(), Head::default(), Some(Path::new(program)));
            let Err(Refusal::Finding(finding)) = refusal else { panic!("{program}: {refusal:?}") };
            assert!(finding.found.starts_with("opening a copy ended with"), "{finding:?}");
        }
        let missing = probe(folder.path(), Head::default(), Some(Path::new("/no/such/program")));
        assert!(matches!(missing, Err(Refusal::Trouble(Trouble::Io(_)))), "{missing:?}");
    }
}
