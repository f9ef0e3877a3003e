//! Tells the linker where `qtrail-torch` finds libtorch when it runs; without the feature `train`,
//! nothing.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "how build scripts talk")]

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_TRAIN").is_none() {
        return;
    }
    // Set by .cargo/config.toml: the link `.libtorch`, unless the environment says otherwise.
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from);
    let Some(link) = libtorch.filter(|libtorch| libtorch.join("lib").is_dir()) else {
        println!("cargo::warning=libtorch is not set up: run `make setup`, or set LIBTORCH");
        return;
    };
    // Absolute, so that any target folder will do. The link goes first, so that a later set-up
    // with CUDA serves binaries that are there; what it points to now, so that they outlive the
    // checkout.
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", link.join("lib").display());
    if let Ok(folder) = link.canonicalize() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.join("lib").display());
    }
}
