//! Completions and man pages come from the one definition of the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::World;

#[test]
fn every_shell_gets_its_completions() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.run("none", &["completions", shell]);
        ran.code(0);
        for word in ["search", "table", "log", "completions"] {
            assert!(ran.stdout().contains(word), "{shell} lacks {word}");
        }
    }
    world.run("none", &["completions", "tcsh"]).code(2);
    let bash = world.run("none", &["completions", "bash"]).stdout();
    std::fs::write(world.path("script"), bash).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(world.path("script")).status();
    assert!(checked.unwrap().success());
}

#[test]
fn every_verb_has_its_man_page() {
    let world = World::new();
    world.run("none", &["man", "pages"]).code(0);
    for page in ["qtrail", "qtrail-search", "qtrail-table", "qtrail-log-export"] {
        let text = std::fs::read_to_string(world.path(&format!("pages/{page}.1"))).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    world.run("none", &["man", "data/train-images-idx3-ubyte"]).code(2).says("cannot create");
}
