//! `cargo +nightly fuzz run import`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::import(bytes));
