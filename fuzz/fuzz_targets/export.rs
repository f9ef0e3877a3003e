//! `cargo +nightly fuzz run export`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::export(bytes));
