//! The fuzz targets of the tests, for libFuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../tests/fuzz/targets.rs"]
pub mod targets;
