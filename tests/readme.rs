//! The commands of README.md run: those in `console` blocks, in order, in one store.
//!
//! Training is done by the example trainer, so that this takes seconds; the images are real. Where
//! they have not been fetched the test says so and ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use qtrail::data::DataHome;

/// The lines after `$ ` in `console` blocks.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```console\n").skip(1);
    let lines = blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines);
    lines.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Where data sets are fetched to, as the program sees it.
fn home() -> DataHome {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    DataHome { told: var("QTRAIL_DATA"), cache: cache.unwrap_or_default().join("qtrail/data") }
}

#[test]
fn the_commands_of_the_readme_run() {
    let images = match home().locate("fashion-mnist") {
        Ok(images) => images.folder,
        Err(error) => {
            eprintln!("skipped: {error}; `qtrail data fetch fashion-mnist` brings it");
            return;
        }
    };
    // Some commands make data sets, which are nobody's.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(images, home.path().join("fashion-mnist")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 8, "{commands:?}");
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_qtrail")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    for command in commands {
        let output = Command::new("bash")
            .args(["-c", &command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("QTRAIL_TRAINER", common::trainer())
            .env("QTRAIL_DATA", home.path())
            .env_remove("QTRAIL_STORE")
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "$ {command}\n{out}{err}");
    }
}
